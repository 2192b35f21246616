// The store: configuration, secrets and leases in one SQLite file; every save is one transaction.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import {
  type Config,
  config as configSchema,
  initialConfig,
  type ListNoun,
  listNouns,
  parse,
} from '../../model/config.ts';
import { Conflict, InvalidInput } from '../../model/errors.ts';
import { decodeKey, encodeKey, type PresharedKey, type PrivateKey, Secret } from '../../model/key.ts';
import type { Lease } from '../../model/lease.ts';
import { type Problem, problems } from '../../model/rules.ts';
import { type Body, type Difference, differences } from './differences.ts';
import { StoreUnavailable } from './errors.ts';
import { inWholeMilliseconds, readLeases, writeLease } from './leases.ts';
import { openDatabase, unreadable } from './migrate.ts';
import { copyDatabase, writeProblem } from './read-only.ts';
import { createStoreKey, locked, readStoreKey, type StoreKey, seal, unseal } from './secrets.ts';

/** What the router knows at one revision. */
export interface Snapshot {
  readonly revision: number;
  readonly config: Config;
  /** Objects whose sealed values do not open: they are left out of `config`, and stay in the store as they are. */
  readonly damaged: readonly { readonly noun: ListNoun; readonly id: string; readonly label: string }[];
  readonly hubPrivateKey: PrivateKey;
  readonly presharedKeys: ReadonlyMap<string, PresharedKey>;
  readonly leases: readonly Lease[];
}

/** What a save may do. Everything or nothing is written. */
export interface Transaction {
  readonly config: Config;
  readonly leases: readonly Lease[];
  put(config: Config): void;
  putPresharedKey(id: string, key: PresharedKey): void;
  putLease(lease: Lease): void;
  /** Takes out a damaged object, which `config` does not hold. */
  dropDamaged(id: string): void;
  audit(event: string, body: Readonly<Record<string, unknown>>): void;
}

export interface SaveOptions {
  readonly actor: string;
  readonly summary: string;
  /** Refuse when the configuration has moved on from this revision. */
  readonly revision?: number;
  /** The noun and id the caller is editing: problems there are named by the bare field. */
  readonly editing?: { readonly noun: string; readonly id: string };
}

export interface StoreOptions {
  readonly folder: string;
  /** Wall clock, milliseconds. */
  readonly now: () => number;
  readonly makeHubKey: () => PrivateKey;
  readonly publicKeyOf: (key: PrivateKey) => string;
  /** A folder in memory: where a copy is opened when the disk cannot be written. */
  readonly scratch?: string;
}

const sealedNouns: readonly ListNoun[] = ['servers', 'devices'];
/** How much of the past is kept. */
const kept = { audit: 20_000, revisions: 5_000, endedLeases: 1_000 } as const;

export class Store {
  readonly #database: DatabaseSync;
  readonly #storeKey: StoreKey;
  readonly #options: StoreOptions;
  /** Why the disk cannot be written; null: it can, or could when the store was opened. */
  readonly readOnly: unknown;
  #snapshot: Snapshot;

  /** @throws StoreUnavailable */
  constructor(options: StoreOptions) {
    this.#options = options;
    const keyFile = join(options.folder, 'store.key');
    const existing = readStoreKey(keyFile);
    // The key file comes first: a database whose key was never written cannot exist.
    this.#storeKey = existing ?? this.#firstKey(keyFile);
    ({ database: this.#database, readOnly: this.readOnly } = this.#open(join(options.folder, 'router.db')));
    try {
      this.#snapshot = this.#load();
    } catch (error) {
      this.#database.close();
      if (error instanceof StoreUnavailable) throw error;
      throw unreadable(error);
    }
  }

  /**
   * A disk that can only be read gives what is configured, and takes no change. SQLite would open it as well, but what
   * becomes of leases could not even be held.
   */
  #open(file: string): { readonly database: DatabaseSync; readonly readOnly: unknown } {
    const { folder, scratch } = this.#options;
    const readOnly = scratch === undefined || !existsSync(file) ? null : writeProblem(folder);
    const where = readOnly === null || scratch === undefined ? file : copyDatabase(file, scratch);
    return { database: openDatabase(where), readOnly };
  }

  #firstKey(keyFile: string): StoreKey {
    const database = openDatabase(join(this.#options.folder, 'router.db'));
    try {
      if (database.prepare('SELECT 1 FROM secret LIMIT 1').get() !== undefined) throw locked(null);
    } finally {
      database.close();
    }
    return createStoreKey(keyFile);
  }

  get snapshot(): Snapshot {
    return this.#snapshot;
  }

  close(): void {
    this.#database.close();
  }

  /**
   * Runs the change and writes all of what it did, or nothing.
   * @throws InvalidInput when the result breaks a rule of the model, Conflict for a stale revision, and what `change` throws.
   */
  save<T>(
    options: SaveOptions,
    change: (transaction: Transaction) => T,
  ): { readonly result: T; readonly revision: number } {
    if (this.readOnly !== null) throw unwritable(this.readOnly);
    const before = this.#snapshot;
    if (options.revision !== undefined && options.revision !== before.revision) {
      throw new Conflict('revision', `The configuration has changed: it is at revision ${before.revision} now.`);
    }
    const draft = {
      config: before.config,
      keys: new Map<string, PresharedKey>(),
      leases: new Map<string, Lease>(),
      dropped: new Set<string>(),
    };
    const events: { event: string; body: string }[] = [];
    const result = change({
      get config() {
        return draft.config;
      },
      get leases() {
        return before.leases;
      },
      put: (config) => {
        draft.config = config;
      },
      putPresharedKey: (id, key) => draft.keys.set(id, key),
      putLease: (lease) => draft.leases.set(lease.id, inWholeMilliseconds(lease)),
      dropDamaged: (id) => draft.dropped.add(id),
      audit: (event, body) => events.push({ event, body: JSON.stringify(body) }),
    });
    // A lease alone leaves the configuration as it is, and is in a hurry.
    const config = draft.config === before.config ? before.config : this.#validated(draft.config, options);
    const revision = before.revision + 1;
    this.#write(() => {
      const at = this.#options.now();
      const changes = config === before.config ? [] : differences(before.config, config);
      this.#database
        .prepare('INSERT INTO revision (revision, at, actor, summary) VALUES (?, ?, ?, ?)')
        .run(revision, at, options.actor, options.summary);
      for (const [id, key] of draft.keys) this.#seal('preshared key', id, key.reveal());
      for (const one of changes) this.#writeObject(revision, one);
      for (const lease of draft.leases.values()) writeLease(this.#database, lease);
      for (const id of draft.dropped) {
        this.#database.prepare('DELETE FROM object WHERE id = ?').run(id);
        this.#database.prepare('DELETE FROM secret WHERE row = ?').run(id);
      }
      const insert = this.#database.prepare('INSERT INTO audit (at, actor, event, body) VALUES (?, ?, ?, ?)');
      for (const { event, body } of events) insert.run(at, options.actor, event, body);
      this.#forget();
    });
    const used = new Set([...config.servers, ...config.devices].map(({ presharedKey }) => presharedKey));
    this.#snapshot = {
      ...before,
      revision,
      config,
      damaged: before.damaged.filter(({ id }) => !draft.dropped.has(id)),
      presharedKeys: new Map([...before.presharedKeys, ...draft.keys].filter(([id]) => used.has(id))),
      leases: [...before.leases.filter(({ id }) => !draft.leases.has(id)), ...draft.leases.values()].filter(
        ({ end }) => end === null,
      ),
    };
    return { result, revision };
  }

  /** Writes leases without a new revision: checkpoints and ends that came by themselves. */
  updateLeases(changes: readonly Lease[], event?: string): void {
    const changed = changes.map(inWholeMilliseconds);
    this.#write(() => {
      for (const lease of changed) {
        writeLease(this.#database, lease);
        if (event === undefined) continue;
        const body = JSON.stringify({ id: lease.id, source: lease.source, member: lease.member });
        this.#database
          .prepare('INSERT INTO audit (at, actor, event, body) VALUES (?, ?, ?, ?)')
          .run(this.#options.now(), 'router', event, body);
      }
      this.#forget();
    });
    const ids = new Set(changed.map(({ id }) => id));
    const leases = [...this.#snapshot.leases.filter(({ id }) => !ids.has(id)), ...changed];
    this.#snapshot = { ...this.#snapshot, leases: leases.filter(({ end }) => end === null) };
  }

  /** Ended leases, the newest first. */
  endedLeases(limit: number): readonly Lease[] {
    return readLeases(this.#database, 'WHERE ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT ?', limit);
  }

  #validated(config: Config, { editing }: SaveOptions): Config {
    // Parsing again is the proof that what is written can be read.
    const parsed = parse(configSchema, config) as Config;
    const hubPublicKey = this.#options.publicKeyOf(this.#snapshot.hubPrivateKey);
    const problem = problems(parsed, { hubPublicKey }).find((one) => !this.#excused(parsed, one));
    if (problem !== undefined) {
      const own = problem.noun === editing?.noun && problem.id === editing.id;
      const path = own
        ? problem.field
        : [problem.noun, problem.id, problem.field].filter((part) => part !== '').join('.');
      throw new InvalidInput(path, problem.message);
    }
    return parsed;
  }

  /** A rule of a server whose key is damaged keeps naming it: the server is still in the store. */
  #excused({ rules }: Config, { noun, id, field }: Problem): boolean {
    if (noun !== 'rules' || field !== 'server') return false;
    const server = rules.find((rule) => rule.id === id)?.server;
    return this.#snapshot.damaged.some((one) => one.noun === 'servers' && one.id === server);
  }

  /** Bounds the tables that grow with time. */
  #forget(): void {
    const run = (sql: string, limit: number) => this.#database.prepare(sql).run(limit);
    run('DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?', kept.audit);
    run('DELETE FROM change WHERE revision <= (SELECT max(revision) FROM revision) - ?', kept.revisions);
    run('DELETE FROM revision WHERE revision <= (SELECT max(revision) FROM revision) - ?', kept.revisions);
    run(
      'DELETE FROM lease WHERE ended_at IS NOT NULL AND id IN (SELECT id FROM lease WHERE ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT -1 OFFSET ?)',
      kept.endedLeases,
    );
  }

  #write(work: () => void): void {
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      work();
      this.#database.exec('COMMIT');
    } catch (cause) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw unwritable(cause);
    }
  }

  #writeObject(revision: number, { noun, id, before, after }: Difference): void {
    const sealed = (sealedNouns as readonly string[]).includes(noun);
    const bodyBefore = before === null ? null : JSON.stringify(sealed ? withoutKey(before) : before);
    const bodyAfter = after === null ? null : JSON.stringify(sealed ? withoutKey(after) : after);
    this.#database
      .prepare('INSERT INTO change (revision, noun, id, before, after) VALUES (?, ?, ?, ?, ?)')
      .run(revision, noun, id, bodyBefore, bodyAfter);
    if (bodyAfter === null) {
      this.#database.prepare('DELETE FROM object WHERE noun = ? AND id = ?').run(noun, id);
      this.#database.prepare('DELETE FROM secret WHERE row = ?').run(id);
      const presharedKey = before?.['presharedKey'];
      if (typeof presharedKey === 'string')
        this.#database.prepare('DELETE FROM secret WHERE row = ?').run(presharedKey);
      return;
    }
    this.#database.prepare('INSERT OR REPLACE INTO object (noun, id, body) VALUES (?, ?, ?)').run(noun, id, bodyAfter);
    const key = after?.['publicKey'];
    if (sealed && typeof key === 'string') this.#seal('public key', id, decodeKey(key, 'public key'));
    const [old, now] = [before?.['presharedKey'], after?.['presharedKey']];
    if (typeof old === 'string' && old !== now) this.#database.prepare('DELETE FROM secret WHERE row = ?').run(old);
  }

  #seal(column: string, row: string, value: Uint8Array): void {
    this.#database
      .prepare('INSERT OR REPLACE INTO secret (row, column, sealed) VALUES (?, ?, ?)')
      .run(row, column, seal(this.#storeKey, { column, row }, value));
  }

  #load(): Snapshot {
    const secrets = this.#secrets();
    const { raw, damaged } = this.#objects(secrets);
    const config = parse(configSchema, raw) as Config;
    const revision = Number(
      this.#database.prepare('SELECT max(revision) AS revision FROM revision').get()?.['revision'] ?? 0,
    );
    const presharedKeys = new Map<string, PresharedKey>();
    for (const { presharedKey } of [...config.servers, ...config.devices]) {
      const bytes = presharedKey === null ? null : secrets.get(`preshared key ${presharedKey}`);
      if (presharedKey !== null && bytes != null) presharedKeys.set(presharedKey, new Secret('preshared key', bytes));
    }
    return {
      revision,
      config,
      damaged,
      hubPrivateKey: this.#hubKey(secrets, revision),
      presharedKeys,
      leases: readLeases(this.#database, 'WHERE ended_at IS NULL'),
    };
  }

  /** `column row` → bytes, null where it does not open. */
  #secrets(): ReadonlyMap<string, Uint8Array | null> {
    const rows = this.#database.prepare('SELECT row, column, sealed FROM secret').all();
    return new Map(
      rows.map((each) => {
        const { row, column, sealed } = each as { row: string; column: string; sealed: Uint8Array };
        return [`${column} ${row}`, unseal(this.#storeKey, { column, row }, sealed)];
      }),
    );
  }

  #hubKey(secrets: ReadonlyMap<string, Uint8Array | null>, revision: number): PrivateKey {
    const stored = secrets.get('private key hub');
    if (stored === null) throw locked('the hub key does not open');
    if (stored !== undefined) return new Secret('private key', stored);
    // Peers know the hub by its key: one that is lost is told, not replaced.
    if (revision > 0) throw locked('the hub key is gone');
    const made = this.#options.makeHubKey();
    this.#write(() => this.#seal('private key', 'hub', made.reveal()));
    return made;
  }

  #objects(secrets: ReadonlyMap<string, Uint8Array | null>): {
    raw: Record<string, unknown>;
    damaged: Snapshot['damaged'];
  } {
    const raw: Record<string, unknown> = { ...initialConfig };
    const lists = Object.fromEntries(listNouns.map((noun): [ListNoun, unknown[]] => [noun, []])) as Record<
      ListNoun,
      unknown[]
    >;
    const damaged: { noun: ListNoun; id: string; label: string }[] = [];
    for (const row of this.#database.prepare('SELECT noun, id, body FROM object').all()) {
      const { noun, id, body } = row as { noun: string; id: string; body: string };
      const object = JSON.parse(body) as Record<string, unknown>;
      if (id === '') raw[noun] = object;
      else if (!sealedNouns.includes(noun as ListNoun)) lists[noun as ListNoun].push(object);
      else {
        const key = secrets.get(`public key ${id}`);
        const presharedKey = object['presharedKey'];
        const opened = presharedKey === null || secrets.get(`preshared key ${String(presharedKey)}`) != null;
        if (key != null && opened) lists[noun as ListNoun].push({ ...object, publicKey: encodeKey(key) });
        else damaged.push({ noun: noun as ListNoun, id, label: String(object['label']) });
      }
    }
    return { raw: { ...raw, ...lists }, damaged };
  }
}

function unwritable(cause: unknown): StoreUnavailable {
  return new StoreUnavailable('store-write', 'The change could not be written; nothing was changed.', {
    remedy: 'Check that the storage is not full or failing.',
    cause,
  });
}

function withoutKey({ publicKey: _, ...rest }: Body): Body {
  return rest;
}
