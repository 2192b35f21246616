// Host names among the endpoints of uplinks: their addresses, looked up again and again, as a provider may move.
import type { Address } from '../../model/address.ts';

export interface EndpointHostsOptions {
  readonly lookUp: (name: string) => Promise<readonly Address[]>;
  /** Whether a peer may be called at this address: a name may point anywhere. */
  readonly isAllowed: (address: Address) => boolean;
  /** Called when an address is new or another one. */
  readonly changed: () => void;
  /** Told the names that have no address, each time that may have changed. */
  readonly missing: (names: readonly string[]) => void;
}

/** Milliseconds: a known name again, and an unknown one from the first to the longest. */
const again = 300_000;
const firstRetry = 2000;

interface Entry {
  address: Address | null;
  retry: number;
  timer: NodeJS.Timeout | undefined;
}

export class EndpointHosts {
  readonly #options: EndpointHostsOptions;
  readonly #entries = new Map<string, Entry>();

  constructor(options: EndpointHostsOptions) {
    this.#options = options;
  }

  /** What is known of these names now. Names that are new are looked up, others than these are forgotten. */
  found(names: readonly string[]): ReadonlyMap<string, Address> {
    const wanted = new Set(names);
    for (const [name, { timer }] of this.#entries) {
      if (wanted.has(name)) continue;
      clearTimeout(timer);
      this.#entries.delete(name);
      this.#tellMissing();
    }
    for (const name of wanted) {
      if (this.#entries.has(name)) continue;
      const entry: Entry = { address: null, retry: firstRetry, timer: undefined };
      this.#entries.set(name, entry);
      void this.#look(name, entry);
    }
    return new Map([...this.#entries].flatMap(([name, { address }]) => (address === null ? [] : [[name, address]])));
  }

  close(): void {
    this.found([]);
  }

  async #look(name: string, entry: Entry): Promise<void> {
    const all = await this.#options.lookUp(name).catch(() => []);
    if (this.#entries.get(name) !== entry) return;
    const usable = all.filter(this.#options.isAllowed);
    const before = entry.address;
    // Of several the one in use is kept, and an old one is better than none.
    if (before === null || (usable.length > 0 && !usable.includes(before))) entry.address = usable[0] ?? before;
    const wait = entry.address === null ? entry.retry : again;
    entry.retry = Math.min(again, entry.retry * 2);
    entry.timer = setTimeout(() => void this.#look(name, entry), wait);
    if (entry.address !== before) this.#options.changed();
    this.#tellMissing();
  }

  #tellMissing(): void {
    this.#options.missing([...this.#entries].flatMap(([name, { address }]) => (address === null ? [name] : [])));
  }
}
