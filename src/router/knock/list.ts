// The refused list: bounded, known peers on top; what cannot be read never pushes out what could be.
import type { Address } from '../../model/address.ts';
import type { Knock, Outcome } from '../../model/knock.ts';

/** At most this many of each kind; of a kind that is full the one not heard of for longest goes. */
export const largest = { known: 1024, unknown: 64, unreadable: 32 } as const;
/** Unknown keys from one address: making keys costs nothing. */
export const unknownPerSource = 4;

type Group = keyof typeof largest;

/** What is new about it; the list keeps first sight and count. */
export type Sight = Omit<Knock, 'firstSeen' | 'lastSeen' | 'count'>;

/** An entry with what only the keeper needs. */
export interface Listed extends Knock {
  /** TAI64N of the newest message. */
  readonly timestamp: Uint8Array | null;
}

export class RefusedList {
  /** In the order they were last heard of. */
  readonly #groups: Readonly<Record<Group, Map<string, Listed>>> = {
    known: new Map(),
    unknown: new Map(),
    unreadable: new Map(),
  };

  /** Known peers, then unknown keys, then the rest; the newest of each first. */
  all(): readonly Listed[] {
    const { known, unknown, unreadable } = this.#groups;
    return [known, unknown, unreadable].flatMap((group) => [...group.values()].reverse());
  }

  find(id: string): Listed | undefined {
    return this.#groups.known.get(id) ?? this.#groups.unknown.get(id) ?? this.#groups.unreadable.get(id);
  }

  /** @param wall Milliseconds. */
  add(sight: Sight, timestamp: Uint8Array | null, wall: number): Listed {
    const group = groupOf(sight);
    const before = this.find(sight.id);
    this.remove(sight.id);
    const entry = {
      ...sight,
      timestamp,
      firstSeen: before?.firstSeen ?? wall,
      lastSeen: wall,
      count: (before?.count ?? 0) + 1,
    };
    const entries = this.#groups[group];
    if (group === 'unknown') this.#makeRoomFrom(sight.source);
    if (entries.size >= largest[group]) removeOldest(entries.keys(), entries);
    entries.set(sight.id, entry);
    return entry;
  }

  /** Changes an entry where it stands. Whether it is there. */
  change(id: string, changes: { readonly outcome: Outcome; readonly clockAhead: boolean }): boolean {
    const entry = this.find(id);
    if (entry !== undefined) this.#groups[groupOf(entry)].set(id, { ...entry, ...changes });
    return entry !== undefined;
  }

  remove(id: string): boolean {
    return Object.values(this.#groups).some((entries) => entries.delete(id));
  }

  #makeRoomFrom(source: Address): void {
    const { unknown } = this.#groups;
    const same = [...unknown.values()].filter((one) => one.source === source);
    if (same.length >= unknownPerSource) removeOldest(same.map(({ id }) => id).values(), unknown);
  }
}

function groupOf({ kind }: Pick<Knock, 'kind'>): Group {
  return kind === 'device' || kind === 'server' ? 'known' : kind;
}

function removeOldest(ids: Iterator<string>, entries: Map<string, Listed>): void {
  const first = ids.next();
  if (first.done !== true) entries.delete(first.value);
}
