// Undoing: the configuration with one revision taken back, or as it was at an earlier one.
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../../model/config.ts';
import { Conflict } from '../../model/errors.ts';
import type { Body, Noun } from './differences.ts';
import type { Change, History, Kept, Revision } from './history.ts';
import { presharedKeyIds } from './sealed.ts';
import type { Store } from './store.ts';
import type { Transaction } from './transaction.ts';

export interface Undone {
  readonly config: Config;
  /** Sealed values that have to come back with it. */
  readonly revive: readonly Kept[];
}

/** A replaced key stays dead: whoever had it got rid of it, or lost it. */
const ownKeys = ['publicKey', 'presharedKey'] as const;
const isPeer = (noun: Noun) => noun === 'servers' || noun === 'devices';

/**
 * Takes one revision back on top of the present.
 * @throws Conflict naming what was changed again since, or cannot come back.
 */
export function undo(history: History, config: Config, { revision, changes }: Revision): Undone {
  if (changes.length === 0) throw new Conflict('', `Revision ${revision} changed nothing that could be undone.`);
  let undone: Undone = { config, revive: [] };
  for (const change of changes) {
    const { noun, id, before, after } = change;
    const present = bodyOf(config, noun, id);
    if (after === null) {
      if (present !== null) throw conflict(change, '', 'is there again');
      undone = put(undone, noun, id, before === null ? null : broughtBack(history, change, before, revision - 1));
      continue;
    }
    if (present === null) throw conflict(change, '', 'is gone by now');
    const fields = changedFields(before ?? {}, after);
    const later = fields.find((field) => !isDeepStrictEqual(present[field], after[field]));
    if (later !== undefined) throw conflict(change, later, 'was changed again later');
    if (before === null) {
      undone = put(undone, noun, id, null);
      continue;
    }
    const key = isPeer(noun) ? fields.find((field) => (ownKeys as readonly string[]).includes(field)) : undefined;
    if (key !== undefined)
      throw conflict(change, key, 'was replaced, and a replaced key stays dead: give it a new one');
    const body = { ...present, ...Object.fromEntries(fields.map((field) => [field, before[field]])) };
    undone = put(undone, noun, id, { body, revive: missing(history, id, present, body, revision - 1) });
  }
  return undone;
}

/** What takes the network edit back that waits to be confirmed; null: nothing does. */
export function undoPending({ history, snapshot: { pending } }: Pick<Store, 'history' | 'snapshot'>): {
  readonly summary: string;
  readonly change: (transaction: Transaction) => void;
} | null {
  const waiting = pending === null ? null : history.find(pending.revision);
  if (pending === null || waiting === null) return null;
  const change = (transaction: Transaction) => {
    const undone = undo(history, transaction.config, waiting);
    transaction.put(undone.config);
    for (const kept of undone.revive) transaction.revive(kept);
    transaction.pend(null);
    transaction.audit('network change undone', { revision: pending.revision });
  };
  return { summary: `undone: ${pending.summary}`, change };
}

/**
 * The configuration as it was at this revision, but for keys: a peer keeps the one it has, or had last.
 * @throws Conflict when something cannot come back.
 */
export function goBack(history: History, config: Config, revision: number): Undone {
  const seen = new Set<string>();
  let undone: Undone = { config, revive: [] };
  for (const change of history.since(revision)) {
    const { noun, id, before } = change;
    if (seen.has(`${noun} ${id}`)) continue;
    seen.add(`${noun} ${id}`);
    const present = bodyOf(config, noun, id);
    if (before === null) undone = put(undone, noun, id, null);
    else if (present === null) undone = put(undone, noun, id, broughtBack(history, change, before, revision));
    else {
      const keys = isPeer(noun) ? Object.fromEntries(ownKeys.map((key) => [key, present[key]])) : {};
      const body = { ...before, ...keys };
      undone = put(undone, noun, id, { body, revive: missing(history, id, present, body, revision) });
    }
  }
  return undone;
}

interface Returning {
  readonly body: Body;
  readonly revive: readonly Kept[];
}

/** A removed object with its secrets: an uplink's as they were then, everybody else's as they were last. */
function broughtBack(history: History, change: Change, before: Body, since: number): Returning {
  const { noun, id } = change;
  if (noun === 'uplinks') return { body: before, revive: missing(history, id, {}, before, since) };
  const last = history.lastOf(noun, id);
  if (last?.before == null) return { body: before, revive: [] };
  const keys = isPeer(noun) ? Object.fromEntries(ownKeys.map((key) => [key, last.before?.[key]])) : {};
  if (isPeer(noun) && keys['publicKey'] === undefined)
    throw conflict(change, '', 'cannot come back: its key is not known any more');
  const rows = [id, ...presharedKeyIds(last.before)];
  return { body: { ...before, ...keys }, revive: rows.map((row) => ({ revision: last.revision, row })) };
}

/** The values that an object needs again and the present one does not have. */
function missing(history: History, id: string, present: Body, body: Body, since: number): readonly Kept[] {
  const has = new Set(presharedKeyIds(present));
  const rows = presharedKeyIds(body).filter((row) => !has.has(row));
  if (present['publicKey'] !== body['publicKey']) rows.push(id);
  return rows.flatMap((row) => history.keptAfter(since, row) ?? []);
}

function changedFields(before: Body, after: Body): readonly string[] {
  return Object.keys({ ...before, ...after }).filter((field) => !isDeepStrictEqual(before[field], after[field]));
}

export function bodyOf(config: Config, noun: Noun, id: string): Body | null {
  const held: Body | readonly { readonly id: string }[] | null = config[noun];
  if (!Array.isArray(held)) return held as Body | null;
  return (held as readonly { readonly id: string }[]).find((one) => one.id === id) ?? null;
}

function put({ config, revive }: Undone, noun: Noun, id: string, returning: Returning | null): Undone {
  const held = config[noun];
  const body = returning?.body ?? null;
  const others = Array.isArray(held)
    ? (held as readonly { readonly id: string }[]).filter((one) => one.id !== id)
    : null;
  const next = others === null ? body : body === null ? others : [...others, body];
  return { config: { ...config, [noun]: next } as Config, revive: [...revive, ...(returning?.revive ?? [])] };
}

function conflict({ noun, id, before, after }: Change, field: string, what: string): Conflict {
  const path = [noun, id, field].filter((part) => part !== '').join('.');
  const label = nameIn(after ?? before);
  return new Conflict(path, `${[noun, label, field, what].filter((part) => part !== '').join(' ')}.`);
}

/** What people call an object, from its body alone. */
export function nameIn(body: Body | null): string {
  const name = body?.['name'] ?? body?.['label'] ?? body?.['source'];
  return typeof name === 'string' ? name : '';
}
