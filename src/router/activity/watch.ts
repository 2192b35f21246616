// Looks at the tunnel and the leases every few seconds: writes down who comes and goes and what is refused inside, ends the
// leases that a member's device has left behind, and warns before a lease ends.
import type { Binding } from '../../model/access.ts';
import type { PublicKey } from '../../model/key.ts';
import type { Clock, Lease } from '../../model/lease.ts';
import type { Store } from '../store/store.ts';
import { Denials } from './denied.ts';
import { denialEntry, peerEntry, peerOf } from './describe.ts';
import { type Ending, Endings } from './endings.ts';
import { readFlow } from './flow.ts';
import { Journal } from './journal.ts';
import { compare, leftBehind, type Move, type Peer, type PeerEvent, type Sightings } from './peers.ts';

export interface WatchOptions {
  readonly store: Pick<Store, 'snapshot' | 'record'>;
  readonly clock: () => Clock;
  readonly tunnel: () => Promise<{ readonly up: boolean; readonly peers: ReadonlyMap<PublicKey, Peer> }>;
  readonly leased: () => readonly Binding[];
  /** Ends leases now. Whether it could be written down: it is tried again if not. */
  readonly end: (leases: readonly Lease[], why: Readonly<Record<string, unknown>>) => boolean;
  readonly onEnding: (ending: Ending) => void;
  readonly log: (line: string) => void;
}

/** Milliseconds between looks at the tunnel: while a lease could be left behind, and otherwise. */
const often = 3000;
const seldom = 10_000;
/** So long after the first refusal of a flow it is written down; others come with it. */
const gather = 2000;

export class Watch {
  readonly #options: WatchOptions;
  readonly #journal: Journal;
  readonly #denials = new Denials();
  readonly #endings = new Endings();
  #seen: Sightings | null = null;
  /** Moves whose leases could not be ended yet. */
  #moves: readonly Move[] = [];
  #timer: NodeJS.Timeout | undefined;
  #due = Number.POSITIVE_INFINITY;
  /** When the tunnel was looked at last, on the monotonic clock. */
  #looked = Number.NEGATIVE_INFINITY;
  #working = false;
  /** Asked for while a look was at work, which may have been past it. */
  #asked = Number.POSITIVE_INFINITY;
  #closed = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#journal = new Journal((kind, entries) => options.store.record(kind, entries));
  }

  /** Looks soon: leases have changed. */
  wake(): void {
    this.#schedule(0);
  }

  /** A packet that was refused on the LAN or in the tunnel. */
  denied(packet: Uint8Array): void {
    const flow = readFlow(packet);
    if (flow === null) return;
    this.#denials.add(flow, this.#options.clock().wall);
    if (this.#denials.fresh) this.#schedule(gather);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#write();
  }

  #schedule(delay: number): void {
    const due = performance.now() + delay;
    if (this.#working) this.#asked = Math.min(this.#asked, delay);
    if (this.#closed || this.#working || due >= this.#due) return;
    this.#due = due;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#run(), delay);
  }

  async #run(): Promise<void> {
    this.#due = Number.POSITIVE_INFINITY;
    this.#working = true;
    let next = seldom;
    try {
      next = await this.look();
    } catch (error) {
      this.#options.log(`activity: ${error instanceof Error ? error.stack : String(error)}`);
    }
    this.#working = false;
    const delay = Math.max(10, Math.min(next, this.#asked));
    this.#asked = Number.POSITIVE_INFINITY;
    this.#schedule(delay);
  }

  /** One look at everything; milliseconds until the next. */
  async look(): Promise<number> {
    const { clock, store, onEnding } = this.#options;
    const now = clock();
    const { endings, next } = this.#endings.look(store.snapshot.leases, now);
    for (const ending of endings) onEnding(ending);
    const pause = store.snapshot.leases.some(({ member }) => member !== null) ? often : seldom;
    // A timer may come a moment early.
    if (now.boot - this.#looked >= pause - 50) {
      this.#looked = now.boot;
      await this.#lookAtTunnel();
    }
    this.#write();
    const untilTunnel = this.#looked + pause - clock().boot;
    return Math.min(next, untilTunnel, this.#denials.fresh ? gather : Number.POSITIVE_INFINITY);
  }

  async #lookAtTunnel(): Promise<void> {
    const { tunnel, clock, store } = this.#options;
    const { up, peers } = await tunnel();
    // A tunnel that does not answer says nothing of anybody.
    if (!up || this.#closed) return;
    const { seen, events } = compare(this.#seen, peers, clock().wall);
    this.#seen = seen;
    const { config } = store.snapshot;
    this.#journal.add(
      'handshake',
      events.flatMap((event) => peerEntry(config, event) ?? []),
    );
    this.#moves = [...this.#moves, ...events.flatMap((event) => this.#moveOf(event))].filter(
      (move) => !this.#settled(move, seen),
    );
  }

  #moveOf(event: PeerEvent): readonly Move[] {
    if (event.kind !== 'moved') return [];
    const device = peerOf(this.#options.store.snapshot.config, event.key)?.device ?? null;
    return device === null ? [] : [{ device, from: event.from, last: event.last, to: event.to }];
  }

  #settled(move: Move, seen: Sightings): boolean {
    const { clock, store, end } = this.#options;
    const { config, leases } = store.snapshot;
    const over = leftBehind(move, config, leases, seen, clock());
    return over.length === 0 || end(over, { device: move.device.label, to: move.to });
  }

  #write(): void {
    const { clock, leased, store } = this.#options;
    const denials = this.#denials.take(clock().wall);
    if (denials.length > 0) {
      const { config } = store.snapshot;
      const bound = leased();
      this.#journal.add(
        'denied',
        denials.map((one) => denialEntry(config, bound, one)),
      );
    }
    this.#journal.flush();
  }
}
