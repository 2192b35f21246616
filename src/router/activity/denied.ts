// Counts what the firewall refuses inside: one entry for each flow and minute, and few enough of them for any flood.
import type { Address } from '../../model/address.ts';
import type { Flow } from './flow.ts';

/** One flow's refusals since the last entry about it. */
export interface Denial {
  readonly source: Address;
  /** Null: of many more flows of this source. */
  readonly destination: Address | null;
  readonly port: string | null;
  readonly count: number;
  /** Wall clock, milliseconds. */
  readonly first: number;
  readonly last: number;
}

type Open = { -readonly [K in keyof Denial]: Denial[K] } & { openedAt: number; told: boolean };

const minute = 60_000;
/** So many flows of one source have entries of their own; the rest of them share one. */
const flowsEach = 50;
const flowsInAll = 500;

export class Denials {
  readonly #open = new Map<string, Open>();
  readonly #sources = new Map<Address, number>();

  /** Whether something is there that nobody has been told of. */
  get fresh(): boolean {
    return this.#open.values().some(({ told, count }) => !told && count > 0);
  }

  add({ source, destination, port }: Flow, now: number): void {
    const known = this.#open.get(keyOf(source, destination, port));
    if (known !== undefined) {
      counted(known, now);
      return;
    }
    const others = this.#sources.get(source) ?? 0;
    const whole = this.#open.size >= flowsInAll;
    const rest = others >= flowsEach || whole;
    const key = rest ? keyOf(source, null, null) : keyOf(source, destination, port);
    const found = this.#open.get(key);
    if (found !== undefined) {
      counted(found, now);
      return;
    }
    // Made-up sources by the hundred: nobody reads that list.
    if (whole && this.#open.size >= 2 * flowsInAll) return;
    const flow = rest ? { destination: null, port: null } : { destination, port };
    this.#open.set(key, { source, ...flow, count: 1, first: now, last: now, openedAt: now, told: false });
    this.#sources.set(source, others + 1);
  }

  /** What is to be written down now: a new flow soon, one that goes on once a minute. */
  take(now: number): readonly Denial[] {
    const taken: Denial[] = [];
    for (const [key, one] of this.#open) {
      const over = Math.abs(now - one.openedAt) >= minute;
      if (one.told && !over) continue;
      if (one.count > 0) {
        const { source, destination, port, count, first, last } = one;
        taken.push({ source, destination, port, count, first, last });
      } else this.#forget(key, one.source);
      Object.assign(one, { count: 0, told: true, openedAt: over ? now : one.openedAt });
    }
    return taken;
  }

  #forget(key: string, source: Address): void {
    this.#open.delete(key);
    const left = (this.#sources.get(source) ?? 0) - 1;
    if (left > 0) this.#sources.set(source, left);
    else this.#sources.delete(source);
  }
}

function keyOf(source: Address, destination: Address | null, port: string | null): string {
  return `${source} ${destination} ${port}`;
}

function counted(one: Open, now: number): void {
  one.first = one.count === 0 ? now : one.first;
  one.last = now;
  one.count += 1;
}
