// The newest timestamp seen of each peer: to and from the database. What the bytes mean is knock/clocks.ts's.
import { createHash } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { keyBytes, type PublicKey } from '../../model/key.ts';

/** Keys that are gone stay, so that nothing recorded of them counts if they come back; up to this many. */
const kept = 10_000;

/**
 * SHA-256 of the key's 32 bytes, hex. People compare its first 16 digits: `base64 -d public.key | sha256sum`. Stored in
 * place of the key, which is sealed.
 */
export function fingerprintOf(publicKey: PublicKey): string {
  return createHash('sha256').update(keyBytes(publicKey)).digest('hex');
}

/** How people and the refused list name a key. */
export function shortFingerprint(fingerprint: string): string {
  return fingerprint.slice(0, 16);
}

export function readKnocks(database: DatabaseSync): ReadonlyMap<string, Uint8Array> {
  const rows = database.prepare('SELECT peer, timestamp FROM knock').all();
  return new Map(rows.map((row) => [row['peer'] as string, row['timestamp'] as Uint8Array]));
}

export function writeKnocks(database: DatabaseSync, entries: ReadonlyMap<string, Uint8Array>): void {
  const insert = database.prepare('INSERT OR REPLACE INTO knock (peer, timestamp) VALUES (?, ?)');
  for (const [peer, timestamp] of entries) insert.run(peer, timestamp);
  // The oldest timestamps: what has not been heard of for longest.
  database
    .prepare('DELETE FROM knock WHERE peer IN (SELECT peer FROM knock ORDER BY timestamp DESC LIMIT -1 OFFSET ?)')
    .run(kept);
}
