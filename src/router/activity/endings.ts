// Says once, at each mark, that a lease is about to end.
import { type Clock, type Lease, remaining, warnings } from '../../model/lease.ts';

export interface Ending {
  readonly lease: Lease;
  /** Milliseconds. */
  readonly left: number;
}

export class Endings {
  /** What was left of each lease when it was looked at last. */
  #left = new Map<string, number>();

  /** The leases that have passed a mark since the last look, and milliseconds until the next mark of any. */
  look(leases: readonly Lease[], clock: Clock): { readonly endings: readonly Ending[]; readonly next: number } {
    const before = this.#left;
    this.#left = new Map();
    const endings: Ending[] = [];
    let next = Number.POSITIVE_INFINITY;
    for (const lease of leases) {
      const left = remaining(lease, clock);
      if (left === null || left === 0) continue;
      this.#left.set(lease.id, left);
      const marks = warnings(lease);
      // The first look tells nothing: whoever is here already has seen it in the list.
      const last = before.get(lease.id) ?? left;
      if (marks.some((mark) => left <= mark && mark < last)) endings.push({ lease, left });
      next = Math.min(next, ...marks.filter((mark) => mark < left).map((mark) => left - mark));
    }
    return { endings, next };
  }
}
