// What a backup holds: everything that makes another box the same hub; collected, checked, and put in place of what is there.
import { rmSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { z } from 'zod';
import { type Config, config as configSchema, listNouns, parse, singleNouns } from '../../model/config.ts';
import { InvalidInput } from '../../model/errors.ts';
import { type PrivateKey, Secret } from '../../model/key.ts';
import type { Lease } from '../../model/lease.ts';
import { sourceProblem } from '../../model/rules.ts';
import type { Body } from './differences.ts';
import type { Revision } from './history.ts';
import { readKnocks, writeKnocks } from './knocks.ts';
import { writeLease } from './leases.ts';
import { readSecrets, type Vault, writeObject, writeSecret } from './objects.ts';
import { presharedKeyIds } from './sealed.ts';
import type { Snapshot } from './transaction.ts';
import { validated } from './validated.ts';

const bytes = z.base64().transform((text): Uint8Array => Uint8Array.fromBase64(text));
const keyLength = 32;

/** Newest form of the contents; the file around them has a version of its own. */
export const contentsVersion = 1;

/**
 * Not in it: leases, sessions, API tokens and links, whose hashes are this box's own; the history and the audit log,
 * which are about this box.
 */
export const contentsSchema = z.strictObject({
  version: z.literal(contentsVersion),
  /** Milliseconds since 1970. */
  createdAt: z.int().min(0),
  config: configSchema,
  /** By the column and row of the store; the public keys are in the configuration. */
  secrets: z.array(z.strictObject({ row: z.string().max(200), column: z.string().max(200), value: bytes })),
  /** The newest handshake of each key: an older one stays a replay. */
  knocks: z.array(z.strictObject({ peer: z.string().max(200), timestamp: bytes })),
});

export type Contents = Readonly<Omit<z.infer<typeof contentsSchema>, 'config'>> & {
  readonly config: Config;
  /** Names of what is left out, because its keys are damaged. */
  readonly omitted: readonly string[];
};

const publicKeyColumn = 'public key';
/** What is about this box alone. */
const ownRow = 'setup';

export function collect(vault: Vault, { config, damaged }: Snapshot, now: number): Contents {
  const lost = new Set(damaged.map(({ id }) => id));
  const secrets = [...readSecrets(vault)].flatMap(([name, value]) => {
    const row = name.slice(name.lastIndexOf(' ') + 1);
    const column = name.slice(0, name.lastIndexOf(' '));
    const left = column === publicKeyColumn || row === ownRow || lost.has(row);
    return value === null || left ? [] : [{ row, column, value }];
  });
  const knocks = [...readKnocks(vault.database)].map(([peer, timestamp]) => ({ peer, timestamp }));
  const omitted = damaged.map(({ label }) => label);
  return { version: contentsVersion, createdAt: now, config, secrets, knocks, omitted };
}

/**
 * The configuration of a backup, if this box can run on it.
 * @throws InvalidInput naming the field.
 */
export function checked({ config, secrets }: Contents, publicKeyOf: (key: PrivateKey) => string): Config {
  const held = new Map(secrets.map(({ row, column, value }) => [`${column} ${row}`, value]));
  const key = (name: string, path: string): Uint8Array => {
    const value = held.get(name);
    if (value?.length !== keyLength) throw new InvalidInput(path, 'The key that belongs to this is not in the backup.');
    return value;
  };
  const hubKey = new Secret('private key', key('private key hub', 'hub'));
  for (const noun of ['servers', 'devices', 'uplinks'] as const) {
    for (const one of config[noun]) {
      const path = `${noun}.${one.id}`;
      for (const id of presharedKeyIds(one)) key(`preshared key ${id}`, `${path}.presharedKey`);
      if (noun === 'uplinks') key(`private key ${one.id}`, `${path}.privateKey`);
    }
  }
  return validated(config, { hubPublicKey: publicKeyOf(hubKey), damaged: [] });
}

/** A copy of the database as it is now; an earlier one is replaced. */
export function copyAside(database: DatabaseSync, file: string): void {
  rmSync(file, { force: true });
  database.prepare('VACUUM INTO ?').run(file);
}

/**
 * Writes the contents in place of everything, within a transaction. Sessions, tokens and links end. Leases stay open as
 * far as their members are still there: whoever restores from afar is not shut out by it.
 */
export function replaceAll(
  vault: Vault,
  head: Omit<Revision, 'changes'>,
  { config, secrets, knocks }: Contents,
  leases: readonly Lease[],
): void {
  const { database } = vault;
  database.prepare('DELETE FROM secret WHERE row <> ?').run(ownRow);
  for (const table of ['object', 'ticket', 'change', 'kept', 'pending', 'revision']) {
    database.exec(`DELETE FROM ${table}`);
  }
  const { revision, at, actor, summary } = head;
  database.prepare('INSERT INTO revision VALUES (?, ?, ?, ?)').run(revision, at, actor, summary);
  const add = (noun: (typeof listNouns | typeof singleNouns)[number], id: string, after: Body) =>
    writeObject(vault, revision, { noun, id, before: null, after });
  for (const noun of singleNouns) if (config[noun] !== null) add(noun, '', config[noun]);
  for (const noun of listNouns) for (const one of config[noun]) add(noun, one.id, one);
  // It is no change that could be undone: the history begins with it.
  database.exec('DELETE FROM change');
  for (const { row, column, value } of secrets) if (row !== ownRow) writeSecret(vault, column, row, value);
  const known = readKnocks(database);
  // What this box has heard itself is newer.
  writeKnocks(database, new Map(knocks.flatMap(({ peer, timestamp }) => (known.has(peer) ? [] : [[peer, timestamp]]))));
  const members = new Set<string | null>([null, ...config.members.map(({ id }) => id)]);
  for (const lease of leases) {
    if (members.has(lease.member) && sourceProblem(lease.source, config) === null) continue;
    writeLease(database, { ...lease, remaining: 0, end: { at, how: 'revoked' } });
  }
}

/** Contents as text, for sealing. */
export function encodeContents({ omitted: _, ...contents }: Contents): Uint8Array {
  return Buffer.from(
    JSON.stringify({
      ...contents,
      secrets: contents.secrets.map(({ value, ...where }) => ({ ...where, value: base64(value) })),
      knocks: contents.knocks.map(({ peer, timestamp }) => ({ peer, timestamp: base64(timestamp) })),
    }),
  );
}

/** Steps from version n to n + 1 of the contents: append only. */
const upgrades: readonly ((old: Record<string, unknown>) => Record<string, unknown>)[] = [];

/** @throws InvalidInput naming the field, or for contents of a newer release. */
export function decodeContents(text: Uint8Array): Contents {
  const raw = objectIn(text);
  const version = Number(raw['version']);
  if (version > contentsVersion) {
    throw new InvalidInput('file', 'This backup was made by a newer release: install that one first.');
  }
  const newest = upgrades.slice(version - 1).reduce((old, step) => step(old), raw);
  return { ...(parse(contentsSchema, newest) as Omit<Contents, 'omitted'>), omitted: [] };
}

function objectIn(text: Uint8Array): Record<string, unknown> {
  try {
    return JSON.parse(Buffer.from(text).toString()) as Record<string, unknown>;
  } catch {
    throw new InvalidInput('file', 'This backup does not hold what a backup holds.');
  }
}

function base64(value: Uint8Array): string {
  return Buffer.from(value).toString('base64');
}
