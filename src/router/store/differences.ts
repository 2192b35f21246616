// What a save changes: the objects in which two configurations differ.
import { type Config, type ListNoun, listNouns, singleNouns } from '../../model/config.ts';

/** An object as it is written: JSON with its sealed fields still in it. */
export type Body = Readonly<Record<string, unknown>>;
export type Noun = ListNoun | (typeof singleNouns)[number];
/** One object that a save adds, changes or removes; null where it is not. */
export interface Difference {
  readonly noun: Noun;
  readonly id: string;
  readonly before: Body | null;
  readonly after: Body | null;
}

/** The objects that differ between two configurations. */
export function differences(before: Config, after: Config): readonly Difference[] {
  const single = singleNouns
    .filter((noun) => JSON.stringify(before[noun]) !== JSON.stringify(after[noun]))
    .map((noun): Difference => ({ noun, id: '', before: before[noun], after: after[noun] }));
  return [...single, ...listNouns.flatMap((noun) => listDifferences(noun, before[noun], after[noun]))];
}

function listDifferences(
  noun: ListNoun,
  before: readonly { id: string }[],
  after: readonly { id: string }[],
): Difference[] {
  const old = new Map(before.map((one) => [one.id, one as Body]));
  const now = new Map(after.map((one) => [one.id, one as Body]));
  const gone = before
    .filter(({ id }) => !now.has(id))
    .map(({ id }) => ({ noun, id, before: old.get(id) ?? null, after: null }));
  const changed = after
    .filter((one) => old.get(one.id) !== one && JSON.stringify(old.get(one.id)) !== JSON.stringify(one))
    .map((one) => ({ noun, id: one.id, before: old.get(one.id) ?? null, after: one as Body }));
  return [...gone, ...changed];
}
