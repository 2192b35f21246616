// Lease rows: to and from the database.
import type { DatabaseSync } from 'node:sqlite';
import type { Prefix } from '../../model/address.ts';
import type { Lease } from '../../model/lease.ts';

interface Row {
  readonly id: string;
  readonly source: string;
  readonly member: string | null;
  readonly granted_by: string;
  readonly reason: string;
  readonly granted_at: number;
  readonly expires_at: number;
  readonly boot_id: string;
  readonly deadline: number;
  readonly remaining: number;
  readonly restored: number;
  readonly ended_at: number | null;
  readonly ended_how: 'expired' | 'revoked' | null;
}

export function readLeases(database: DatabaseSync, where: string, ...values: number[]): Lease[] {
  const rows = database.prepare(`SELECT * FROM lease ${where}`).all(...values) as unknown as Row[];
  return rows.map((row) => ({
    id: row.id,
    source: row.source as Prefix,
    member: row.member,
    grantedBy: row.granted_by,
    reason: row.reason,
    grantedAt: row.granted_at,
    expiresAt: row.expires_at,
    bootId: row.boot_id,
    deadline: row.deadline,
    remaining: row.remaining,
    restored: row.restored === 1,
    end: row.ended_at === null || row.ended_how === null ? null : { at: row.ended_at, how: row.ended_how },
  }));
}

/** Times as they are stored. The monotonic clock has fractions, and what is held must equal what is read back. */
export function inWholeMilliseconds(lease: Lease): Lease {
  return {
    ...lease,
    grantedAt: Math.round(lease.grantedAt),
    expiresAt: Math.round(lease.expiresAt),
    deadline: Math.round(lease.deadline),
    remaining: Math.round(lease.remaining),
    end: lease.end === null ? null : { ...lease.end, at: Math.round(lease.end.at) },
  };
}

export function writeLease(database: DatabaseSync, lease: Lease): void {
  database
    .prepare('INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
    .run(
      lease.id,
      lease.source,
      lease.member,
      lease.grantedBy,
      lease.reason,
      lease.grantedAt,
      lease.expiresAt,
      lease.bootId,
      lease.deadline,
      lease.remaining,
      lease.restored ? 1 : 0,
      lease.end?.at ?? null,
      lease.end?.how ?? null,
    );
}
