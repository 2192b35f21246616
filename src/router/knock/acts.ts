// What a knock does by itself, by the member's policy or the server's: a lease, or a rule that moves. Saved like any change.
import { Conflict, InvalidInput } from '../../model/errors.ts';
import type { PublicKey } from '../../model/key.ts';
import { type Decision, type Outcome, withServerAt } from '../../model/knock.ts';
import { type Clock, sourceText } from '../../model/lease.ts';
import { StoreUnavailable } from '../store/errors.ts';
import { grantLease } from '../store/grant.ts';
import type { Store } from '../store/store.ts';
import { timestampToWall } from './timestamp.ts';

/** Who did it, in the audit log and on the lease. */
export const knockActor = 'knock';

/** Milliseconds. Whatever is older is no sign that somebody waits now; nothing is done for it without a person. */
export const oldest = 10 * 60_000;
/** Milliseconds between two moves of one server's rule: two machines with one key must not make it run to and fro. */
const betweenMoves = 60_000;

export interface ActingParts {
  readonly store: Store;
  readonly clock: () => Clock;
  readonly newId: () => string;
  readonly wake: (what: 'everything' | 'leases') => void;
  /** When the tunnel last had a handshake with this peer; wall clock, milliseconds. */
  readonly lastHandshake: (publicKey: PublicKey) => Promise<number | null>;
  /** Writes down what was seen. */
  readonly settle: () => void;
}

export type Act = Exclude<Decision, { readonly act: 'nothing' }>;

export class Acts {
  readonly #parts: ActingParts;
  /** Server → monotonic clock of its last move. */
  readonly #moved = new Map<string, number>();

  constructor(parts: ActingParts) {
    this.#parts = parts;
  }

  /** Does it, unless the message may be an old one. What became of it. */
  async perform(act: Act, who: { readonly publicKey: PublicKey; readonly timestamp: Uint8Array }): Promise<Outcome> {
    if (await this.#mayBeOld(who)) return 'late';
    const now = this.#parts.clock();
    if (act.act === 'rule') {
      const last = this.#moved.get(act.server);
      if (last !== undefined && now.boot - last < betweenMoves) return 'ask';
      this.#moved.set(act.server, now.boot);
    }
    try {
      // What was seen first: after a power cut the same message must not count again.
      this.#parts.settle();
      if (act.act === 'lease') this.#grant(act, now);
      else this.#move(act);
      return act.act === 'lease' ? 'granted' : 'moved';
    } catch (error) {
      if (error instanceof Conflict) return 'caps';
      if (error instanceof InvalidInput) return 'source';
      if (error instanceof StoreUnavailable) return 'unsaved';
      throw error;
    }
  }

  /**
   * A message from before the last handshake in the tunnel was used then, or was too late for it: nobody may have told
   * us of it, as while the router was not running.
   */
  async #mayBeOld({ publicKey, timestamp }: { publicKey: PublicKey; timestamp: Uint8Array }): Promise<boolean> {
    const { wall, synchronised } = this.#parts.clock();
    if (!synchronised) return false;
    const sent = timestampToWall(timestamp);
    if (sent < wall - oldest) return true;
    const last = await this.#parts.lastHandshake(publicKey);
    return last !== null && sent <= last;
  }

  #grant({ member, source, duration }: Act & { act: 'lease' }, now: Clock): void {
    const id = this.#parts.newId();
    const summary = `lease for ${sourceText(source)}`;
    this.#parts.store.save({ actor: knockActor, summary }, (transaction) =>
      grantLease(transaction, { id, source, member, grantedBy: knockActor, reason: 'knocked', duration }, now),
    );
    this.#parts.wake('leases');
  }

  #move({ server, source }: Act & { act: 'rule' }): void {
    const summary = `rule of a server moved to ${sourceText(source)}`;
    this.#parts.store.save({ actor: knockActor, summary }, (transaction) => {
      transaction.put(withServerAt(transaction.config, server, source, this.#parts.newId()));
      transaction.audit('rule moved', { server, source });
    });
    this.#parts.wake('everything');
  }
}
