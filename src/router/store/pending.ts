// The network edit that waits to be confirmed: to and from the database.
import type { DatabaseSync } from 'node:sqlite';

/** A saved edit that is undone at its deadline, or when the machine starts again, unless it is confirmed before. */
export interface Pending {
  readonly id: string;
  /** What it changed is in the history under this number. */
  readonly revision: number;
  readonly summary: string;
  readonly actor: string;
  /** The session or token that may confirm it; empty: the console. */
  readonly ticket: string;
  readonly bootId: string;
  /** Milliseconds on the monotonic clock of that boot. */
  readonly deadline: number;
}

export function readPending(database: DatabaseSync): Pending | null {
  const row = database.prepare('SELECT * FROM pending').get();
  if (row === undefined) return null;
  const { id, revision, summary, actor, ticket, boot_id, deadline } = row as unknown as Pending & { boot_id: string };
  return { id, revision, summary, actor, ticket, bootId: boot_id, deadline };
}

export function writePending(database: DatabaseSync, pending: Pending | null): void {
  database.exec('DELETE FROM pending');
  if (pending === null) return;
  const { id, revision, summary, actor, ticket, bootId, deadline } = pending;
  database
    .prepare('INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?, ?)')
    .run(id, revision, summary, actor, ticket, bootId, Math.round(deadline));
}
