// The store: configuration, secrets and leases in one SQLite file; every save is one transaction.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import type { Config } from '../../model/config.ts';
import { Conflict, InvalidInput } from '../../model/errors.ts';
import type { PresharedKey, PrivateKey } from '../../model/key.ts';
import type { Lease } from '../../model/lease.ts';
import {
  type AuditEntry,
  type AuditKind,
  type AuditQuery,
  forget,
  forgetAudit,
  type Kept,
  kindOf,
  readAudit,
  writeAudit,
} from './audit.ts';
import { type Contents, checked, collect, copyAside, replaceAll } from './backup.ts';
import { differences } from './differences.ts';
import { StoreUnavailable } from './errors.ts';
import { History, type Kept as KeptValue, revive } from './history.ts';
import { readKnocks, writeKnocks } from './knocks.ts';
import { inWholeMilliseconds, readLeases, writeLease } from './leases.ts';
import { openDatabase, unreadable } from './migrate.ts';
import { type Vault, writeObject, writeSecret } from './objects.ts';
import { writePending } from './pending.ts';
import { copyDatabase, writeProblem } from './read-only.ts';
import { presharedPeers } from './sealed.ts';
import { createStoreKey, locked, readStoreKey, type StoreKey, unseal } from './secrets.ts';
import { readSnapshot } from './snapshot.ts';
import { type Ticket, Tickets } from './tickets.ts';
import type { Amendment, SaveOptions, Snapshot, StoreOptions, Transaction } from './transaction.ts';
import { undo } from './undo.ts';
import { validated } from './validated.ts';

export type { Amendment, SaveOptions, Snapshot, StoreOptions, Transaction } from './transaction.ts';

/** The audit log is cut back with every so many writes. */
const auditEvery = 100;

export class Store {
  readonly #database: DatabaseSync;
  readonly #storeKey: StoreKey;
  readonly #options: StoreOptions;
  /** Why the disk cannot be written; null: it can, or could when the store was opened. */
  readonly readOnly: unknown;
  readonly tickets: Tickets;
  readonly history: History;
  /** How often each thing has happened to leases since the store was opened: `lease granted`. */
  readonly leaseEvents = new Map<string, number>();
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
    this.history = new History(this.#vault);
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
      uplinkKeys: new Map<string, PrivateKey>(),
      leases: new Map<string, Lease>(),
      dropped: new Set<string>(),
      revived: [] as KeptValue[],
      pending: before.pending,
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
      putUplinkKey: (id, key) => draft.uplinkKeys.set(id, key),
      putLease: (lease) => draft.leases.set(lease.id, inWholeMilliseconds(lease)),
      ...this.#amendment(options.actor, draft.also, events),
      dropDamaged: (id) => draft.dropped.add(id),
      revive: (kept) => draft.revived.push(kept),
      pend: (pending) => {
        draft.pending = pending === null ? null : { ...pending, revision: before.revision + 1 };
      },
    });
    if (events.length === 0) events.push({ actor: options.actor, event: options.summary, body: {} });
    // A lease alone leaves the configuration as it is, and is in a hurry.
    const config = draft.config === before.config ? before.config : this.#validated(draft.config, options.editing);
    const waits = draft.pending === before.pending ? draft.pending : null;
    if (waits !== null && config !== before.config) this.#checkUndo(waits.revision, config);
    const revision = before.revision + 1;
    this.#write(() => {
      const at = this.#options.now();
      const changes = config === before.config ? [] : differences(before.config, config);
      this.#database
        .prepare('INSERT INTO revision (revision, at, actor, summary) VALUES (?, ?, ?, ?)')
        .run(revision, at, options.actor, options.summary);
      // First, because it keeps what was there before.
      for (const one of changes) writeObject(this.#vault, revision, one);
      for (const one of draft.revived) revive(this.#vault, one);
      for (const [id, key] of draft.keys) writeSecret(this.#vault, 'preshared key', id, key.reveal());
      for (const [id, key] of draft.uplinkKeys) writeSecret(this.#vault, 'private key', id, key.reveal());
      for (const write of draft.also) write();
      if (draft.pending !== before.pending) writePending(this.#database, draft.pending);
      for (const lease of draft.leases.values()) writeLease(this.#database, lease);
      for (const id of draft.dropped) {
        this.#database.prepare('DELETE FROM object WHERE id = ?').run(id);
        this.#database.prepare('DELETE FROM secret WHERE row = ?').run(id);
      }
      for (const event of events) this.#log(at, kindOf(event.event), [event]);
      this.#forget();
    });
    const used = new Set(presharedPeers(config).map(({ presharedKey }) => presharedKey));
    const uplinks = new Set(config.uplinks.map(({ id }) => id));
    this.#snapshot = {
      ...before,
      revision,
      config,
      pending: draft.pending,
      damaged: before.damaged.filter(({ id }) => !draft.dropped.has(id)),
      presharedKeys: new Map([...before.presharedKeys, ...draft.keys].filter(([id]) => used.has(id))),
      uplinkKeys: new Map([...before.uplinkKeys, ...draft.uplinkKeys].filter(([id]) => uplinks.has(id))),
      leases: [...before.leases.filter(({ id }) => !draft.leases.has(id)), ...draft.leases.values()].filter(
        ({ end }) => end === null,
      ),
    };
    if (draft.revived.length > 0) this.#snapshot = this.#load();
    return { result, revision };
  }

  /** What makes another box the same hub, see backup.ts. */
  contents(): Contents {
    return collect(this.#vault, this.#snapshot, this.#options.now());
  }

  /**
   * Replaces everything, in one transaction; what was there before stays beside it. Whoever holds the hub's key has to
   * start anew.
   * @throws InvalidInput when the contents break a rule of the model.
   */
  restore({ actor, summary }: SaveOptions, contents: Contents): void {
    if (this.readOnly !== null) throw unwritable(this.readOnly);
    const config = checked(contents, this.#options.publicKeyOf);
    const { revision, leases } = this.#snapshot;
    if (revision > 0) copyAside(this.#database, join(this.#options.folder, 'router.db.before-restore'));
    this.#write(() => {
      const at = this.#options.now();
      replaceAll(this.#vault, { revision: revision + 1, at, actor, summary }, { ...contents, config }, leases);
      writeAudit(this.#database, at, 'act', [{ actor, event: 'backup restored', body: { of: contents.createdAt } }]);
    });
    this.#snapshot = this.#load();
  }

  /**
   * Writes what is no part of the configuration: no new revision, so nobody's edit is in its way. A disk that can only
   * be read takes it in memory when it is `passing`: losing it with the next start does no harm.
   */
  amend<T>(actor: string, change: (amendment: Amendment) => T, lasts: 'lasting' | 'passing' = 'lasting'): T {
    if (this.readOnly !== null && lasts === 'lasting') throw unwritable(this.readOnly);
    const also: (() => void)[] = [];
    const events: AuditEntry[] = [];
    const result = change(this.#amendment(actor, also, events));
    this.#write(() => {
      for (const write of also) write();
      for (const event of events) this.#log(this.#options.now(), kindOf(event.event), [event]);
      forget(this.#database);
    });
    return result;
  }

  #amendment(actor: string, also: (() => void)[], events: AuditEntry[]): Amendment {
    return {
      putSecret: (row, column, value) => also.push(() => this.#putSecret(row, column, value)),
      spend: (ticket) => also.push(() => this.#spend(ticket)),
      issue: (kind, request) => also.push(() => this.tickets.issue(kind, request)),
      endTickets: (...which) => also.push(() => this.tickets.endAll(...which)),
      audit: (event, body) => events.push({ actor, event, body }),
    };
  }

  /** Writes leases without a new revision: checkpoints and ends that came by themselves. */
  updateLeases(changes: readonly Lease[], event?: string, more: AuditEntry['body'] = {}): void {
    const changed = changes.map(inWholeMilliseconds);
    this.#write(() => {
      for (const lease of changed) {
        writeLease(this.#database, lease);
        if (event === undefined) continue;
        const body = { id: lease.id, source: lease.source, member: lease.member, ...more };
        this.#log(this.#options.now(), kindOf(event), [{ actor: 'router', event, body }]);
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
      this.#log(this.#options.now(), kind, entries);
      this.#forget();
    });
  }

  #log(at: number, kind: AuditKind, entries: readonly AuditEntry[]): void {
    writeAudit(this.#database, at, kind, entries);
    for (const { event } of entries) {
      if (kind === 'lease') this.leaseEvents.set(event, (this.leaseEvents.get(event) ?? 0) + 1);
    }
  }

  /** Entries of the audit log, ended leases' and traffic's included. */
  audit(query: AuditQuery): readonly Kept[] {
    return readAudit(this.#database, query);
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

  /** By fingerprint of the key: the newest timestamps of handshakes, see knock/clocks.ts. */
  knockTimestamps(): ReadonlyMap<string, Uint8Array> {
    return readKnocks(this.#database);
  }

  putKnockTimestamps(entries: ReadonlyMap<string, Uint8Array>): void {
    this.#write(() => writeKnocks(this.#database, entries));
  }

  #validated(config: Config, editing?: SaveOptions['editing']): Config {
    const { hubPrivateKey, damaged } = this.#snapshot;
    const hubPublicKey = this.#options.publicKeyOf(hubPrivateKey);
    return validated(config, { hubPublicKey, damaged, ...(editing === undefined ? {} : { editing }) });
  }

  /** While a network edit waits to be confirmed nothing is saved that its undoing would not survive. */
  #checkUndo(revision: number, config: Config): void {
    const waiting = this.history.find(revision);
    if (waiting === null) return;
    const wait = `“${waiting.summary}” waits to be confirmed, and this would be in the way of undoing it`;
    try {
      this.#validated(undo(this.history, config, waiting).config);
    } catch (error) {
      if (error instanceof InvalidInput || error instanceof Conflict)
        throw new Conflict(error.path, `${wait}: ${error.message}`);
      throw error;
    }
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
    return readSnapshot(this.#vault, () => {
      const made = this.#options.makeHubKey();
      this.#write(() => writeSecret(this.#vault, 'private key', 'hub', made.reveal()));
      return made;
    });
  }
}

function unwritable(cause: unknown): StoreUnavailable {
  return new StoreUnavailable('store-write', 'The change could not be written; nothing was changed.', {
    remedy: 'Check that the storage is not full or failing.',
    cause,
  });
}
