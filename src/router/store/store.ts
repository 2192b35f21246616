// The store: configuration, secrets and leases in one SQLite file; every save is one transaction.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { type Config, config as configSchema, parse } from '../../model/config.ts';
import { Conflict, InvalidInput } from '../../model/errors.ts';
import { type PresharedKey, type PrivateKey, Secret } from '../../model/key.ts';
import type { Lease } from '../../model/lease.ts';
import { type Problem, problems } from '../../model/rules.ts';
import { type AuditEntry, type AuditKind, forget, forgetAudit, kindOf, writeAudit } from './audit.ts';
import { differences } from './differences.ts';
import { StoreUnavailable } from './errors.ts';
import { inWholeMilliseconds, readLeases, writeLease } from './leases.ts';
import { openDatabase, unreadable } from './migrate.ts';
import { type Damaged, readObjects, readSecrets, type Vault, writeObject, writeSecret } from './objects.ts';
import { copyDatabase, writeProblem } from './read-only.ts';
import { createStoreKey, locked, readStoreKey, type StoreKey, unseal } from './secrets.ts';
import { type Ticket, type TicketKind, type TicketRequest, Tickets } from './tickets.ts';

/** What the router knows at one revision. */
export interface Snapshot {
  readonly revision: number;
  readonly config: Config;
  /** Objects whose sealed values do not open: they are left out of `config`, and stay in the store as they are. */
  readonly damaged: readonly Damaged[];
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
  /** A sealed value that belongs to the object with this id; null takes it away. */
  putSecret(row: string, column: string, value: Uint8Array | null): void;
  /** Uses up a ticket that works once, together with everything else that is saved. */
  spend(ticket: Ticket): void;
  /** Makes a ticket together with everything else that is saved. */
  issue(kind: TicketKind, request: TicketRequest & { readonly text: string }): void;
  /** Ends all tickets of an owner, of one kind or of every kind. */
  endTickets(owner: string, kind?: TicketKind, except?: string): void;
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

/** The audit log is cut back with every so many writes. */
const auditEvery = 100;

export class Store {
  readonly #database: DatabaseSync;
  readonly #storeKey: StoreKey;
  readonly #options: StoreOptions;
  /** Why the disk cannot be written; null: it can, or could when the store was opened. */
  readonly readOnly: unknown;
  readonly tickets: Tickets;
  readonly #vault: Vault;
  #writes = 0;
  #snapshot: Snapshot;

  /** @throws StoreUnavailable */
  constructor(options: StoreOptions) {
    this.#options = options;
    const keyFile = join(options.folder, 'store.key');
    const existing = readStoreKey(keyFile);
    // The key file comes first: a database whose key was never written cannot exist.
    this.#storeKey = existing ?? this.#firstKey(keyFile);
    ({ database: this.#database, readOnly: this.readOnly } = this.#open(join(options.folder, 'router.db')));
    this.#vault = { database: this.#database, storeKey: this.#storeKey };
    this.tickets = new Tickets(this.#database, this.#storeKey, options.now);
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
      /** Writes to be made beside the configuration, in order. */
      also: [] as (() => void)[],
    };
    const events: AuditEntry[] = [];
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
      putSecret: (row, column, value) => draft.also.push(() => this.#putSecret(row, column, value)),
      spend: (ticket) => draft.also.push(() => this.#spend(ticket)),
      issue: (kind, request) => draft.also.push(() => this.tickets.issue(kind, request)),
      endTickets: (...which) => draft.also.push(() => this.tickets.endAll(...which)),
      dropDamaged: (id) => draft.dropped.add(id),
      audit: (event, body) => events.push({ actor: options.actor, event, body }),
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
      for (const [id, key] of draft.keys) writeSecret(this.#vault, 'preshared key', id, key.reveal());
      for (const one of changes) writeObject(this.#vault, revision, one);
      for (const write of draft.also) write();
      for (const lease of draft.leases.values()) writeLease(this.#database, lease);
      for (const id of draft.dropped) {
        this.#database.prepare('DELETE FROM object WHERE id = ?').run(id);
        this.#database.prepare('DELETE FROM secret WHERE row = ?').run(id);
      }
      for (const event of events) writeAudit(this.#database, at, kindOf(event.event), [event]);
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
        const body = { id: lease.id, source: lease.source, member: lease.member };
        writeAudit(this.#database, this.#options.now(), kindOf(event), [{ actor: 'router', event, body }]);
      }
      this.#forget();
    });
    const ids = new Set(changed.map(({ id }) => id));
    const leases = [...this.#snapshot.leases.filter(({ id }) => !ids.has(id)), ...changed];
    this.#snapshot = { ...this.#snapshot, leases: leases.filter(({ end }) => end === null) };
  }

  /** Writes entries of the audit log that come with no change. */
  record(kind: AuditKind, entries: readonly AuditEntry[]): void {
    this.#write(() => {
      writeAudit(this.#database, this.#options.now(), kind, entries);
      this.#forget();
    });
  }

  /**
   * A sealed value; null where there is none.
   * @throws Conflict when it does not open: nothing is decided on what somebody changed.
   */
  secret(row: string, column: string): Uint8Array | null {
    const found = this.#database.prepare('SELECT sealed FROM secret WHERE row = ? AND column = ?').get(row, column);
    if (found === undefined) return null;
    const value = unseal(this.#storeKey, { column, row }, found['sealed'] as Uint8Array);
    if (value === null) throw new Conflict('', 'What is stored for this is damaged: it has to be set anew.');
    return value;
  }

  #putSecret(row: string, column: string, value: Uint8Array | null): void {
    if (value === null) this.#database.prepare('DELETE FROM secret WHERE row = ? AND column = ?').run(row, column);
    else writeSecret(this.#vault, column, row, value);
  }

  #spend({ id }: Ticket): void {
    const { changes } = this.#database
      .prepare('UPDATE ticket SET used_at = ? WHERE id = ? AND used_at IS NULL')
      .run(this.#options.now(), id);
    if (changes !== 1) throw new Conflict('', 'This was used already.');
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

  #forget(): void {
    forget(this.#database);
    if (this.#writes++ % auditEvery === 0) forgetAudit(this.#database);
  }

  #write(work: () => void): void {
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      work();
      this.#database.exec('COMMIT');
    } catch (cause) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw cause instanceof Conflict ? cause : unwritable(cause);
    }
  }

  #load(): Snapshot {
    const secrets = readSecrets(this.#vault);
    const { raw, damaged } = readObjects(this.#vault, secrets);
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

  #hubKey(secrets: ReadonlyMap<string, Uint8Array | null>, revision: number): PrivateKey {
    const stored = secrets.get('private key hub');
    if (stored === null) throw locked('the hub key does not open');
    if (stored !== undefined) return new Secret('private key', stored);
    // Peers know the hub by its key: one that is lost is told, not replaced.
    if (revision > 0) throw locked('the hub key is gone');
    const made = this.#options.makeHubKey();
    this.#write(() => writeSecret(this.#vault, 'private key', 'hub', made.reveal()));
    return made;
  }
}

function unwritable(cause: unknown): StoreUnavailable {
  return new StoreUnavailable('store-write', 'The change could not be written; nothing was changed.', {
    remedy: 'Check that the storage is not full or failing.',
    cause,
  });
}
