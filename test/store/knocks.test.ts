// Timestamps of knocks in the database: kept over a restart, by fingerprint, and not without end.
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { wallToTimestamp } from '../../src/router/knock/timestamp.ts';
import { fingerprintOf, shortFingerprint } from '../../src/router/store/knocks.ts';
import { publicKey } from '../support/saving.ts';
import { openStore, temporaryFolder } from '../support/store.ts';

describe('timestamps of knocks', () => {
  it('are there after a restart, the newest of each', () => {
    const folder = temporaryFolder();
    const store = openStore(folder);
    store.putKnockTimestamps(new Map([['a', wallToTimestamp(1)]]));
    store.putKnockTimestamps(
      new Map([
        ['a', wallToTimestamp(3)],
        ['b', wallToTimestamp(2)],
      ]),
    );
    store.close();
    const read = openStore(folder).knockTimestamps();
    expect([...read].map(([peer, bytes]) => [peer, Buffer.from(bytes)])).toEqual([
      ['a', Buffer.from(wallToTimestamp(3))],
      ['b', Buffer.from(wallToTimestamp(2))],
    ]);
  });

  it('are 10,000 at most; the oldest go', () => {
    const store = openStore(temporaryFolder());
    const rows = Array.from({ length: 10_050 }, (_, n) => [`peer${n}`, wallToTimestamp(n)] as const);
    store.putKnockTimestamps(new Map(rows));
    const read = store.knockTimestamps();
    expect(read.size).toBe(10_000);
    expect(read.has('peer49')).toBe(false);
    expect(read.has('peer50')).toBe(true);
  });
});

it('a key is known by the SHA-256 of its bytes, and to people by the first 16 digits', () => {
  const key = publicKey();
  const digest = createHash('sha256').update(Buffer.from(key, 'base64')).digest('hex');
  expect(fingerprintOf(key)).toBe(digest);
  expect(shortFingerprint(digest)).toBe(digest.slice(0, 16));
});
