// Attempts at passwords and codes: after a few wrong ones each takes longer. Kept in memory, and bounded.
import { type Address, family, prefixOf } from '../../model/address.ts';
import { TooMany } from '../../model/errors.ts';

const second = 1000;
const longestWait = 15 * 60 * second;
/** After so long without a wrong one everything is forgotten. */
const forgottenAfter = 60 * 60 * second;
/** More than a LAN full of guests can fill: each address is slowed down long before. */
const mostEntries = 10_000;

/** Wrong attempts that cost nothing. */
const free = { pair: 5, address: 20 } as const;
/** So many wrong ones for one account, from wherever: from then on each address has one that costs nothing. */
const besieged = 50;

interface Entry {
  /** Wrong ones, and those that are still being looked at. */
  readonly count: number;
  /** Monotonic, milliseconds. */
  readonly last: number;
}

/** One attempt; without a call of either it counts as wrong. */
export interface Attempt {
  /** It was right: this address starts anew with this account. */
  succeeded(): void;
  /** It was neither right nor wrong. */
  withdraw(): void;
}

/**
 * An account is slowed down for each address apart, so that nobody shuts its owner out by guessing: a first attempt
 * from an address that has made no wrong one is always looked at.
 */
export class Attempts {
  readonly #entries = new Map<string, Entry>();
  readonly #now: () => number;

  /** @param now Monotonic, milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Counts the attempt before its outcome is known: many at one moment do not slip through together.
   * @param account Id of the member, or what was typed as a name. @param client Null: the console.
   * @throws TooMany
   */
  begin(account: string, client: Address | null): Attempt {
    const from = client === null ? 'console' : clientOf(client);
    const keys = { account: `account ${account}`, address: `address ${from}`, pair: `pair ${from} ${account}` };
    const underSiege = (this.#entry(keys.account)?.count ?? 0) > besieged;
    const left = Math.max(
      this.#left(keys.pair, underSiege ? 1 : free.pair),
      // Nobody else is on the console.
      client === null ? 0 : this.#left(keys.address, free.address),
    );
    if (left > 0) throw new TooMany('Too many wrong attempts: wait before the next one.', Math.ceil(left / second));
    for (const key of Object.values(keys)) this.#add(key, 1);
    let open = true;
    const close = (...undone: readonly string[]) => {
      if (open) for (const key of undone) this.#add(key, -1);
      open = false;
    };
    return {
      succeeded: () => {
        close(keys.account, keys.address);
        this.#entries.delete(keys.pair);
      },
      withdraw: () => close(keys.account, keys.address, keys.pair),
    };
  }

  get size(): number {
    return this.#entries.size;
  }

  #entry(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    return entry !== undefined && this.#now() - entry.last < forgottenAfter ? entry : undefined;
  }

  /** Milliseconds until the next one is looked at. */
  #left(key: string, costless: number): number {
    const entry = this.#entry(key);
    if (entry === undefined || entry.count < costless) return 0;
    const wait = Math.min(longestWait, second * 2 ** (entry.count - costless));
    return entry.last + wait - this.#now();
  }

  #add(key: string, change: 1 | -1): void {
    const { count = 0, last = this.#now() } = this.#entry(key) ?? {};
    this.#entries.delete(key);
    if (count + change <= 0) return;
    // At the end: the first of the map is the one that was left alone for longest.
    this.#entries.set(key, { count: count + change, last: change > 0 ? this.#now() : last });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > mostEntries && oldest !== undefined) this.#entries.delete(oldest);
  }
}

/** An IPv6 host chooses its addresses from a /64. */
function clientOf(address: Address): string {
  return family(address) === 6 ? prefixOf(address, 64) : address;
}
