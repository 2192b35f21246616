// The audit log and what else grows with time: entries in and read again, and the oldest out.
import type { DatabaseSync } from 'node:sqlite';

/** What an entry is about; each kind has a bound of its own, so that traffic does not push out who did what. */
export const auditKinds = ['act', 'lease', 'handshake', 'denied'] as const;
export type AuditKind = (typeof auditKinds)[number];

export interface AuditEntry {
  readonly actor: string;
  /** `lease granted`, `member added`. */
  readonly event: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** How much of the past is kept. */
const kept = {
  audit: { act: 20_000, lease: 10_000, handshake: 10_000, denied: 10_000 },
  revisions: 5_000,
  endedLeases: 1_000,
} as const;

/** @param at Milliseconds since 1970. */
export function writeAudit(database: DatabaseSync, at: number, kind: AuditKind, entries: readonly AuditEntry[]): void {
  const insert = database.prepare('INSERT INTO audit (at, actor, event, body, kind) VALUES (?, ?, ?, ?, ?)');
  for (const { actor, event, body } of entries) insert.run(at, actor, event, JSON.stringify(body), kind);
}

/** An entry as it was kept. */
export interface Kept extends AuditEntry {
  /** Grows with time. */
  readonly id: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly kind: AuditKind;
}

export interface AuditQuery {
  readonly kind?: AuditKind;
  /** What this member did, and what is about him. */
  readonly member?: string;
  /** Ids: only entries older, or only newer, than that one. */
  readonly before?: number;
  readonly after?: number;
  readonly limit: number;
}

/** The newest first; with `after` the oldest first. */
export function readAudit(database: DatabaseSync, query: AuditQuery): readonly Kept[] {
  const { kind, member, before, after, limit } = query;
  const conditions: string[] = [];
  const values: (string | number)[] = [];
  const where = (condition: string, ...more: (string | number)[]) => {
    conditions.push(condition);
    values.push(...more);
  };
  if (kind !== undefined) where('kind = ?', kind);
  if (member !== undefined) where("(actor = ? OR json_extract(body, '$.member') = ?)", member, member);
  if (before !== undefined) where('id < ?', before);
  if (after !== undefined) where('id > ?', after);
  const filter = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
  const order = after === undefined ? 'DESC' : 'ASC';
  const rows = database.prepare(`SELECT * FROM audit ${filter} ORDER BY id ${order} LIMIT ?`).all(...values, limit);
  return (rows as unknown as (Omit<Kept, 'body'> & { body: string })[]).map(
    ({ id, at, kind: of, actor, event, body }) => ({
      ...{ id, at, kind: of, actor, event },
      body: JSON.parse(body) as Kept['body'],
    }),
  );
}

/** Entries made by a change of the configuration or of leases. */
export function kindOf(event: string): AuditKind {
  return event.startsWith('lease ') ? 'lease' : 'act';
}

/** Bounds the audit log. To find the end of a kind takes a millisecond or two, so it is not done with every entry. */
export function forgetAudit(database: DatabaseSync): void {
  const oldest = database.prepare('SELECT id FROM audit WHERE kind = ? ORDER BY id DESC LIMIT 1 OFFSET ?');
  for (const [kind, limit] of Object.entries(kept.audit)) {
    const id = oldest.get(kind, limit)?.['id'];
    if (id !== undefined) database.prepare('DELETE FROM audit WHERE kind = ? AND id <= ?').run(kind, id);
  }
}

/** Bounds the other tables that grow with time. */
export function forget(database: DatabaseSync): void {
  const run = (sql: string, limit: number) => database.prepare(sql).run(limit);
  run('DELETE FROM change WHERE revision <= (SELECT max(revision) FROM revision) - ?', kept.revisions);
  run('DELETE FROM kept WHERE revision <= (SELECT max(revision) FROM revision) - ?', kept.revisions);
  run('DELETE FROM revision WHERE revision <= (SELECT max(revision) FROM revision) - ?', kept.revisions);
  run(
    'DELETE FROM lease WHERE ended_at IS NOT NULL AND id IN (SELECT id FROM lease WHERE ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT -1 OFFSET ?)',
    kept.endedLeases,
  );
}
