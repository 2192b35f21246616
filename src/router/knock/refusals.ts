// Refused knocks for the audit log: a client that keeps trying is one entry, and strangers cannot fill it.
import type { Knock } from '../../model/knock.ts';
import type { AuditEntry } from '../store/audit.ts';
import { Budget } from './budget.ts';

/** Milliseconds until the same key from the same address is told again. */
const again = 10 * 60_000;
/** Of keys that nobody has: in a burst, and in an hour. */
const unknownKeys = 12;

export class Refusals {
  readonly #told = new Map<string, number>();
  readonly #unknown: Budget;
  #entries: AuditEntry[] = [];

  /** @param now Monotonic clock, milliseconds. */
  constructor(now: number) {
    this.#unknown = new Budget(unknownKeys / 3600, unknownKeys, now);
  }

  /** Whether it is to be told. */
  add({ id, kind, peer, source, outcome }: Knock, now: number): boolean {
    const key = `${id} ${source}`;
    const last = this.#told.get(key);
    if (last !== undefined && now - last < again) return false;
    if (kind === 'unknown' && !this.#unknown.take(now)) return false;
    for (const [old, at] of this.#told) if (now - at >= again) this.#told.delete(old);
    this.#told.set(key, now);
    const body = { kind, peer, fingerprint: id, source, outcome };
    this.#entries.push({ actor: 'router', event: 'lease refused', body });
    return true;
  }

  /** What is to be written; it is gone from here then. */
  take(): readonly AuditEntry[] {
    const taken = this.#entries;
    this.#entries = [];
    return taken;
  }
}
