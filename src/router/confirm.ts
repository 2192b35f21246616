// Undoes a network edit that nobody has confirmed in time, or before the machine was started again.
import type { Clock } from '../model/lease.ts';
import { type Conditions, causeText } from './conditions.ts';
import type { Store } from './store/store.ts';
import { undoPending } from './store/undo.ts';

/** Milliseconds. */
const tryAgain = 5000;
const code = 'undo-failing';

export class ConfirmKeeper {
  readonly #store: Store;
  readonly #conditions: Conditions;

  constructor(store: Store, conditions: Conditions) {
    this.#store = store;
    this.#conditions = conditions;
  }

  /** `next`: milliseconds until it has to be looked at again; null: nothing waits. */
  tick(clock: Clock): { readonly undone: boolean; readonly next: number | null } {
    const { pending } = this.#store.snapshot;
    if (pending === null) {
      this.#conditions.clear(code);
      return { undone: false, next: null };
    }
    const left = pending.bootId === clock.bootId ? pending.deadline - clock.boot : 0;
    if (left > 0) return { undone: false, next: left };
    try {
      const undo = undoPending(this.#store);
      if (undo !== null) this.#store.save({ actor: 'router', summary: undo.summary }, undo.change);
      this.#conditions.clear(code);
      return { undone: true, next: null };
    } catch (error) {
      const title = 'A network change that nobody confirmed cannot be undone.';
      const remedy = 'It is tried again. An owner may confirm it now, or undo what is in the way.';
      this.#conditions.raise({ code, severity: 'error', title, about: causeText(error), remedy }, error);
      return { undone: false, next: tryAgain };
    }
  }
}

/** Looks now and whenever it is called, and again when the time is over. */
export function confirmTimer(keeper: ConfirmKeeper, clock: () => Clock, undone: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const look = () => {
    clearTimeout(timer);
    const { next, undone: now } = keeper.tick(clock());
    if (next !== null) timer = setTimeout(look, next + 5);
    if (now) undone();
  };
  return look;
}
