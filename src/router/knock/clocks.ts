// Remembers the newest timestamp of every peer, so that a handshake somebody recorded never counts a second time.
import type { Clock } from '../../model/lease.ts';
import { compareTimestamps, timestampLength, timestampToWall, wallToTimestamp } from './timestamp.ts';

/** Milliseconds that a peer's clock may be ahead of ours and still be taken for right. */
export const clockMargin = 5 * 60_000;

/**
 * What a timestamp says. `new`: never seen. `ahead`: never seen, and from a clock that is ahead of ours. `stuck`: older than
 * the newest one seen, which was ahead: the peer's clock was put right meanwhile, or this is a copy; a person has to say.
 * `replay`: seen.
 */
export type Judgement = 'new' | 'ahead' | 'stuck' | 'replay';

/** Where timestamps outlive the process; a value is `newest` or `newest | forgotten`. */
export interface TimestampStore {
  knockTimestamps(): ReadonlyMap<string, Uint8Array>;
  putKnockTimestamps(entries: ReadonlyMap<string, Uint8Array>): void;
}

interface Seen {
  readonly newest: Uint8Array;
  /** The newest of a wrong clock that a person has forgotten: what is ahead and not newer is a copy. */
  readonly forgotten: Uint8Array | null;
}

export class PeerClocks {
  readonly #store: TimestampStore;
  readonly #seen = new Map<string, Seen>();
  /** Peers whose newest timestamp is not written down yet. */
  readonly #pending = new Set<string>();

  constructor(store: TimestampStore) {
    this.#store = store;
    for (const [peer, bytes] of store.knockTimestamps()) {
      const newest = bytes.subarray(0, timestampLength);
      if (newest.length < timestampLength) continue;
      const forgotten = bytes.length < 2 * timestampLength ? null : bytes.subarray(timestampLength);
      this.#seen.set(peer, { newest, forgotten });
    }
  }

  judge(peer: string, timestamp: Uint8Array, clock: Clock): Judgement {
    const seen = this.#seen.get(peer);
    // Without the time nobody knows whose clock is ahead.
    const ahead = (one: Uint8Array) => clock.synchronised && timestampToWall(one) > clock.wall + clockMargin;
    if (seen !== undefined) {
      if (compareTimestamps(timestamp, seen.newest) <= 0) return ahead(seen.newest) ? 'stuck' : 'replay';
      const forgotten = seen.forgotten !== null && compareTimestamps(timestamp, seen.forgotten) <= 0;
      if (forgotten && (ahead(timestamp) || !clock.synchronised)) return 'replay';
    }
    return ahead(timestamp) ? 'ahead' : 'new';
  }

  /** Holds what was judged `new` or `ahead`. It is written with the next `flush`. */
  hold(peer: string, timestamp: Uint8Array): void {
    this.#seen.set(peer, { newest: timestamp, forgotten: this.#seen.get(peer)?.forgotten ?? null });
    this.#pending.add(peer);
  }

  /** From now on what is newer than now counts, and what was ahead until now does not. */
  forget(peer: string, wall: number): void {
    const seen = this.#seen.get(peer);
    if (seen === undefined) return;
    const { newest, forgotten } = seen;
    const last = forgotten !== null && compareTimestamps(forgotten, newest) > 0 ? forgotten : newest;
    this.#seen.set(peer, { newest: wallToTimestamp(wall), forgotten: last });
    this.#pending.add(peer);
    this.flush();
  }

  /** Writes down what is held. @throws StoreUnavailable; it is kept for the next time. */
  flush(): void {
    if (this.#pending.size === 0) return;
    const entries = [...this.#pending].flatMap((peer) => {
      const seen = this.#seen.get(peer);
      return seen === undefined
        ? []
        : [[peer, Buffer.concat([seen.newest, seen.forgotten ?? new Uint8Array(0)])] as const];
    });
    this.#store.putKnockTimestamps(new Map(entries));
    this.#pending.clear();
  }
}
