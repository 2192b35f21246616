// Tickets: secrets that whoever shows them may use, once or until they end. Only a keyed hash of each is kept.
import { createHmac, randomBytes } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { type StoreKey, seal, unseal } from './secrets.ts';

export type TicketKind = 'session' | 'token' | 'handover' | 'claim' | 'invite';

/** Milliseconds since 1970. */
export interface Ticket {
  /** Names it for people and in lists; of no use to a thief. */
  readonly id: string;
  readonly kind: TicketKind;
  readonly owner: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly createdAt: number;
  readonly expiresAt: number;
}

interface Row {
  readonly id: string;
  readonly kind: TicketKind;
  readonly owner: string;
  readonly sealed: Uint8Array;
  readonly created_at: number;
  readonly expires_at: number;
}

export interface TicketRequest {
  readonly id: string;
  readonly owner: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly expiresAt: number;
  /** What the bearer will show; left out: 256 random bits. */
  readonly text?: string;
}

/** Tells people, and programs that look for leaked secrets, what they have in front of them. */
const prefixes: Readonly<Record<TicketKind, string>> = {
  session: 'apn_session_',
  token: 'apn_token_',
  handover: 'apn_handover_',
  claim: 'apn_claim_',
  invite: 'apn_invite_',
};

/** A new secret: 256 random bits. */
export function newText(kind: TicketKind): string {
  return prefixes[kind] + randomBytes(32).toString('base64url');
}

/** Every call is one statement, so of many uses at one moment exactly one succeeds. */
export class Tickets {
  readonly #database: DatabaseSync;
  readonly #storeKey: StoreKey;
  readonly #hashKey: Buffer;
  readonly #now: () => number;

  constructor(database: DatabaseSync, storeKey: StoreKey, now: () => number) {
    this.#database = database;
    this.#storeKey = storeKey;
    this.#now = now;
    this.#hashKey = createHmac('sha256', storeKey.key.reveal()).update('ticket lookup').digest();
  }

  /** Makes one; the text is for its bearer alone and cannot be read again. */
  issue(kind: TicketKind, { id, owner, body, expiresAt, text: chosen }: TicketRequest): string {
    const text = chosen ?? newText(kind);
    const now = this.#now();
    this.#database.prepare('DELETE FROM ticket WHERE expires_at <= ?').run(now);
    this.#database
      .prepare(
        'INSERT INTO ticket (id, kind, owner, lookup, sealed, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)',
      )
      .run(id, kind, owner, this.#lookup(kind, text), this.#seal(kind, owner, id, body), now, expiresAt);
    return text;
  }

  /** The live ticket with this text; one whose row was changed or moved counts as none. */
  find(kind: TicketKind, text: string): Ticket | null {
    const row = this.#database
      .prepare('SELECT * FROM ticket WHERE lookup = ? AND kind = ? AND used_at IS NULL AND expires_at > ?')
      .get(this.#lookup(kind, text), kind, this.#now());
    return row === undefined ? null : this.#open(row as unknown as Row);
  }

  /** Uses up a ticket that works once. Null: there is none, or somebody was faster. */
  consume(kind: TicketKind, text: string): Ticket | null {
    const row = this.#database
      .prepare(
        'UPDATE ticket SET used_at = ? WHERE lookup = ? AND kind = ? AND used_at IS NULL AND expires_at > ? RETURNING *',
      )
      .get(this.#now(), this.#lookup(kind, text), kind, this.#now());
    return row === undefined ? null : this.#open(row as unknown as Row);
  }

  /** Live ones, the oldest first. */
  list(kind: TicketKind, owner?: string): readonly Ticket[] {
    const rows = this.#database
      .prepare('SELECT * FROM ticket WHERE kind = ? AND used_at IS NULL AND expires_at > ? ORDER BY created_at, id')
      .all(kind, this.#now()) as unknown as Row[];
    return rows.filter((row) => owner === undefined || row.owner === owner).flatMap((row) => this.#open(row) ?? []);
  }

  /** Lives longer, or says something else from now on. */
  change({ id, kind, owner }: Ticket, body: Ticket['body'], expiresAt: number): void {
    this.#database
      .prepare('UPDATE ticket SET sealed = ?, expires_at = ? WHERE id = ?')
      .run(this.#seal(kind, owner, id, body), expiresAt, id);
  }

  end(kind: TicketKind, id: string): boolean {
    return this.#database.prepare('DELETE FROM ticket WHERE id = ? AND kind = ?').run(id, kind).changes > 0;
  }

  /** Ends all of an owner's, of one kind or of every kind. */
  endAll(owner: string, kind?: TicketKind, except?: string): void {
    this.#database
      .prepare('DELETE FROM ticket WHERE owner = ? AND kind = coalesce(?, kind) AND id <> ?')
      .run(owner, kind ?? null, except ?? '');
  }

  #lookup(kind: TicketKind, text: string): Buffer {
    return createHmac('sha256', this.#hashKey).update(`${kind}|${text}`).digest();
  }

  #seal(kind: TicketKind, owner: string, id: string, body: Ticket['body']): Uint8Array {
    return seal(this.#storeKey, place(kind, owner, id), Buffer.from(JSON.stringify(body)));
  }

  #open({ id, kind, owner, sealed, created_at, expires_at }: Row): Ticket | null {
    const bytes = unseal(this.#storeKey, place(kind, owner, id), sealed);
    if (bytes === null) return null;
    const body = JSON.parse(Buffer.from(bytes).toString()) as Ticket['body'];
    return { id, kind, owner, body, createdAt: created_at, expiresAt: expires_at };
  }
}

/** A row given to another owner, or another use, does not open. */
function place(kind: TicketKind, owner: string, id: string) {
  return { column: `ticket ${kind} ${owner}`, row: id };
}
