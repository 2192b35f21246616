// Keeps the lease records true as time passes: restores them after a boot, ends them, and writes down what is left.
import { type Clock, checkpoint, type Lease, remaining, restore, stateOf } from '../model/lease.ts';
import type { Conditions } from './conditions.ts';
import { StoreUnavailable } from './store/errors.ts';
import type { Store } from './store/store.ts';

const checkpointEvery = 10 * 60_000;
const complainAfter = 90_000;

export class LeaseKeeper {
  readonly #store: Store;
  readonly #conditions: Conditions;
  #checkpointed: number;
  readonly #started: number;

  constructor(store: Store, conditions: Conditions, clock: Clock) {
    this.#store = store;
    this.#conditions = conditions;
    this.#started = clock.boot;
    this.#checkpointed = clock.boot;
  }

  /** Brings the records up to this moment. Milliseconds until something ends or has to be looked at again. */
  tick(clock: Clock): number {
    const live = this.#store.snapshot.leases;
    const restored = live.map((lease) => restore(lease, clock));
    const over = restored.filter((lease) => stateOf(lease, clock) === 'expired');
    this.#write(
      over.map((lease) => ended(lease, clock)),
      'lease expired',
    );
    this.#write(restored.filter((lease, i) => lease !== live[i] && !over.includes(lease)));
    if (clock.boot - this.#checkpointed >= checkpointEvery) this.checkpoint(clock);
    const waiting = restored.some((lease) => stateOf(lease, clock) === 'waiting');
    this.#conditions.set(waiting && clock.boot - this.#started >= complainAfter, {
      code: 'clock-unknown',
      severity: 'warning',
      title: 'The time is not known yet, so leases from before the restart are not open.',
      remedy: 'Check the Internet connection: the clock is set from time servers. New leases work.',
    });
    const left = restored.flatMap((lease) => (over.includes(lease) ? [] : (remaining(lease, clock) ?? [])));
    return Math.min(waiting ? 1000 : checkpointEvery, ...left);
  }

  /** Writes down what is left of each, for the next boot. */
  checkpoint(clock: Clock): void {
    this.#checkpointed = clock.boot;
    this.#write(this.#store.snapshot.leases.map((lease) => checkpoint(lease, clock)));
  }

  /** Ends leases before their time. Whether it could be written down: they go on if not. */
  end(leases: readonly Lease[], clock: Clock, event: string, why: Readonly<Record<string, unknown>>): boolean {
    const over = leases.map((lease) => ({ ...ended(lease, clock), end: { at: clock.wall, how: 'revoked' } as const }));
    return this.#write(over, event, why);
  }

  /** The kernel ends leases by itself: a full disk must not end the router. It is tried again at the next look. */
  #write(leases: readonly Lease[], event?: string, why?: Readonly<Record<string, unknown>>): boolean {
    if (leases.length === 0) return true;
    const code = 'store-failing';
    try {
      this.#store.updateLeases(leases, event, why);
      this.#conditions.clear(code);
      return true;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      const title = 'What becomes of the leases cannot be written down.';
      this.#conditions.raise({ code, severity: 'error', title, remedy: error.remedy }, error);
      return false;
    }
  }
}

function ended(lease: Lease, clock: Clock): Lease {
  return { ...lease, remaining: 0, end: { at: clock.wall, how: 'expired' } };
}
