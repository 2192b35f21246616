// Grants a lease within a save: the one way, for people and for knocks.
import { InvalidInput } from '../../model/errors.ts';
import { type Clock, type Lease, type LeaseWish, makeLease } from '../../model/lease.ts';
import { sourceProblem } from '../../model/rules.ts';
import type { Transaction } from './store.ts';

/** @throws InvalidInput for a source that cannot have one, Conflict when there are too many. */
export function grantLease(transaction: Transaction, wish: LeaseWish, clock: Clock): Lease {
  const why = sourceProblem(wish.source, transaction.config);
  if (why !== null) throw new InvalidInput('source', why);
  const made = makeLease(wish, transaction.leases, clock);
  transaction.putLease(made);
  const { id, source, member, duration: milliseconds, reason } = wish;
  transaction.audit('lease granted', { id, source, member, milliseconds, reason });
  return made;
}
