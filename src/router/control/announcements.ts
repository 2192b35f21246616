// What is said once, to those who listen to /events at that moment and may know.
import { type Lease, sourceText } from '../../model/lease.ts';

export interface Announcement {
  readonly event: 'lease-ending';
  readonly data: {
    readonly id: string;
    readonly source: string;
    /** Id of the member it is for. */
    readonly member: string | null;
    /** Until the end, rounded up. */
    readonly minutes: number;
  };
}

type Listener = (one: Announcement) => void;

export class Announcements {
  readonly #listeners = new Set<Listener>();

  /** The answer ends it. */
  on(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** @param left Milliseconds. */
  leaseEnding({ id, source, member }: Lease, left: number): void {
    const data = { id, source: sourceText(source), member, minutes: Math.ceil(left / 60_000) };
    for (const listener of this.#listeners) listener({ event: 'lease-ending', data });
  }
}
