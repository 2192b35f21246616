// The configuration's objects and their sealed values: to and from the database.
import type { DatabaseSync } from 'node:sqlite';
import { initialConfig, type ListNoun, listNouns } from '../../model/config.ts';
import type { Body, Difference } from './differences.ts';
import { keep } from './history.ts';
import { isSealed, presharedKeyIds, publicKeys, withKeys, withoutKeys } from './sealed.ts';
import { type StoreKey, seal, unseal } from './secrets.ts';

export interface Vault {
  readonly database: DatabaseSync;
  readonly storeKey: StoreKey;
}

/** An object whose sealed values do not open. */
export interface Damaged {
  readonly noun: ListNoun;
  readonly id: string;
  readonly label: string;
}

export function writeSecret({ database, storeKey }: Vault, column: string, row: string, value: Uint8Array): void {
  database
    .prepare('INSERT OR REPLACE INTO secret (row, column, sealed) VALUES (?, ?, ?)')
    .run(row, column, seal(storeKey, { column, row }, value));
}

/** Writes one changed object with what it replaced; what belongs to an object that goes, goes with it. */
export function writeObject(vault: Vault, revision: number, difference: Difference): void {
  const { database } = vault;
  const { noun, id, before, after } = difference;
  keep(vault, revision, difference);
  const sealed = isSealed(noun);
  const bodyBefore = before === null ? null : JSON.stringify(sealed ? withoutKeys(before) : before);
  const bodyAfter = after === null ? null : JSON.stringify(sealed ? withoutKeys(after) : after);
  database
    .prepare('INSERT INTO change (revision, noun, id, before, after) VALUES (?, ?, ?, ?, ?)')
    .run(revision, noun, id, bodyBefore, bodyAfter);
  if (bodyAfter === null) {
    database.prepare('DELETE FROM object WHERE noun = ? AND id = ?').run(noun, id);
    if (id === '') return;
    database.prepare('DELETE FROM secret WHERE row = ?').run(id);
    database.prepare('DELETE FROM ticket WHERE owner = ?').run(id);
    database.prepare('DELETE FROM knock WHERE peer = ?').run(id);
    for (const key of presharedKeyIds(before)) database.prepare('DELETE FROM secret WHERE row = ?').run(key);
    return;
  }
  database.prepare('INSERT OR REPLACE INTO object (noun, id, body) VALUES (?, ?, ?)').run(noun, id, bodyAfter);
  if (noun === 'members' && before !== null && rightsOf(before) !== rightsOf(after))
    database.prepare("DELETE FROM ticket WHERE owner = ? AND kind IN ('session', 'invite')").run(id);
  if (!sealed || after === null) return;
  writeSecret(vault, 'public key', id, publicKeys(after));
  const now = new Set(presharedKeyIds(after));
  for (const old of presharedKeyIds(before)) {
    if (!now.has(old)) database.prepare('DELETE FROM secret WHERE row = ?').run(old);
  }
}

/** `column row` → bytes, null where it does not open. */
export function readSecrets({ database, storeKey }: Vault): ReadonlyMap<string, Uint8Array | null> {
  const rows = database.prepare('SELECT row, column, sealed FROM secret').all();
  return new Map(
    rows.map((each) => {
      const { row, column, sealed } = each as { row: string; column: string; sealed: Uint8Array };
      return [`${column} ${row}`, unseal(storeKey, { column, row }, sealed)];
    }),
  );
}

/** The configuration as stored, not parsed yet, and the objects that have to be left out. */
export function readObjects(
  { database }: Vault,
  secrets: ReadonlyMap<string, Uint8Array | null>,
): {
  raw: Record<string, unknown>;
  damaged: readonly Damaged[];
} {
  const raw: Record<string, unknown> = { ...initialConfig };
  const lists = Object.fromEntries(listNouns.map((noun): [ListNoun, unknown[]] => [noun, []])) as Record<
    ListNoun,
    unknown[]
  >;
  const damaged: Damaged[] = [];
  for (const row of database.prepare('SELECT noun, id, body FROM object').all()) {
    const { noun, id, body } = row as { noun: string; id: string; body: string };
    const object = JSON.parse(body) as Record<string, unknown>;
    if (id === '') raw[noun] = object;
    else {
      const whole = isSealed(noun) ? withKeys(noun, id, object, secrets) : object;
      if (whole !== null) lists[noun as ListNoun].push(whole);
      else damaged.push({ noun: noun as ListNoun, id, label: String(object['label']) });
    }
  }
  return { raw: { ...raw, ...lists }, damaged };
}

/** Whoever's rights change signs in again; a link to a new password was made for the old rights. */
function rightsOf(member: Body | null): string {
  return JSON.stringify([member?.['role'], member?.['access'], member?.['disabled']]);
}
