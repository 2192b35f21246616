// How much of the box one client, and all of them together, may hold at once.
import { ipv6Groups } from './ipv6.ts';

export interface Limits {
  readonly connections: number;
  readonly connectionsPerClient: number;
  readonly streams: number;
  readonly streamsPerClient: number;
  /** Bytes of request line and headers. */
  readonly headerBytes: number;
  readonly bodyBytes: number;
  /** The same for requests that carry a whole file, and how many of them are held at once. */
  readonly fileBytes: number;
  readonly files: number;
  readonly filesPerClient: number;
  /** Bytes that may wait for a stream's reader before it is cut off. */
  readonly streamBacklog: number;
  /** Times in milliseconds. */
  readonly headersTimeout: number;
  readonly requestTimeout: number;
  readonly keepAliveTimeout: number;
  readonly idleTimeout: number;
  readonly answerTimeout: number;
  readonly streamSilence: number;
}

export const LIMITS: Limits = {
  connections: 256,
  connectionsPerClient: 32,
  streams: 64,
  streamsPerClient: 8,
  headerBytes: 8 * 1024,
  bodyBytes: 64 * 1024,
  fileBytes: 6 * 1024 * 1024,
  files: 2,
  filesPerClient: 1,
  streamBacklog: 64 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 20_000,
  keepAliveTimeout: 10_000,
  idleTimeout: 60_000,
  answerTimeout: 10_000,
  // The router sends a heartbeat every 15 s.
  streamSilence: 40_000,
};

/** Counts what is held, in all and per client; `take` gives the function that lets go, or null when it is too much. */
export class Quota {
  readonly #total: number;
  readonly #perClient: number;
  readonly #held = new Map<string, number>();
  #sum = 0;

  constructor(total: number, perClient: number) {
    this.#total = total;
    this.#perClient = perClient;
  }

  take(client: string): (() => void) | null {
    const held = this.#held.get(client) ?? 0;
    if (this.#sum >= this.#total || held >= this.#perClient) return null;
    this.#held.set(client, held + 1);
    this.#sum += 1;
    let done = false;
    return () => {
      if (done) return;
      done = true;
      this.#sum -= 1;
      const left = this.#held.get(client)! - 1;
      if (left === 0) this.#held.delete(client);
      else this.#held.set(client, left);
    };
  }

  get size(): number {
    return this.#sum;
  }
}

/** Who counts as one client: an IPv4 address, or the /64 an IPv6 host chooses its addresses from. */
export function clientKey(address: string): string {
  return address.includes(':') ? ipv6Groups(address).slice(0, 4).join(':') : address;
}
