// Sealed values and the key file: what opens, what does not, and that no secret is ever written in plain.
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeKey, Secret } from '../../src/model/key.ts';
import { StoreUnavailable } from '../../src/router/store/errors.ts';
import { openDatabase } from '../../src/router/store/migrate.ts';
import { createStoreKey, readStoreKey, seal, unseal } from '../../src/router/store/secrets.ts';
import { console_, withApplication, withServer } from '../support/saving.ts';
import { openStore, temporaryFolder } from '../support/store.ts';

const place = { column: 'preshared key', row: 'abcd' };

describe('seal', () => {
  it('opens only as it was sealed: same key, same place, every bit', () => {
    const key = createStoreKey(join(temporaryFolder(), 'store.key'));
    const other = createStoreKey(join(temporaryFolder(), 'store.key'));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(), fc.nat(7), (value, at, bit) => {
        const sealed = seal(key, place, value);
        expect(unseal(key, place, sealed)).toEqual(Buffer.from(value));
        expect(unseal(other, place, sealed)).toBeNull();
        expect(unseal(key, { ...place, row: 'abce' }, sealed)).toBeNull();
        expect(unseal(key, { ...place, column: 'public key' }, sealed)).toBeNull();
        const flipped = Uint8Array.from(sealed);
        flipped[at % flipped.length] = (flipped[at % flipped.length] ?? 0) ^ (1 << bit);
        expect(unseal(key, place, flipped)).toBeNull();
        expect(unseal(key, place, sealed.subarray(0, at % sealed.length))).toBeNull();
      }),
    );
  });

  it('never seals two equal values to equal bytes', () => {
    const key = createStoreKey(join(temporaryFolder(), 'store.key'));
    const sealed = Array.from({ length: 50 }, () => Buffer.from(seal(key, place, new Uint8Array(32))).toString('hex'));
    expect(new Set(sealed).size).toBe(50);
  });
});

describe('the key file', () => {
  it('can be read by nobody but root, and reads back', () => {
    const file = join(temporaryFolder(), 'store.key');
    const made = createStoreKey(file);
    expect(statSync(file).mode & 0o777).toBe(0o400);
    const read = readStoreKey(file);
    expect(read?.id).toBe(made.id);
    expect(read?.key.equals(made.key)).toBe(true);
  });

  it('prints as [secret]', () => {
    const made = createStoreKey(join(temporaryFolder(), 'store.key'));
    const hex = Buffer.from(made.key.reveal()).toString('hex');
    for (const text of [JSON.stringify(made), inspect(made), String(made.key)]) {
      expect(text).toContain('[secret]');
      expect(text).not.toContain(hex);
    }
  });

  const damages: readonly [string, (text: string) => string][] = [
    ['empty', () => ''],
    ['cut short', (text) => text.slice(0, -2)],
    ['with a byte too many', (text) => `${text}\n`],
    ['in upper case', (text) => text.toUpperCase().replace(/^\d{8}/, 'ABCDEF00')],
    ['binary', () => '\0'.repeat(74)],
    ['another key', () => `${randomBytes(4).toString('hex')} ${randomBytes(32).toString('hex')}\n`],
    ['another key under the same id', (text) => `${text.slice(0, 8)} ${randomBytes(32).toString('hex')}\n`],
  ];

  it.each(damages)('%s: the store is locked, and stays as it is', (_, damage) => {
    const folder = temporaryFolder();
    openStore(folder).close();
    const file = join(folder, 'store.key');
    const good = readFileSync(file, 'utf8');
    const bad = damage(good);
    chmodSync(file, 0o600);
    writeFileSync(file, bad);
    const before = readFileSync(join(folder, 'router.db'));
    expect(() => openStore(folder)).toThrow(expect.objectContaining({ code: 'store-locked' }));
    expect(readFileSync(file, 'utf8')).toBe(bad);
    expect(readFileSync(join(folder, 'router.db'))).toEqual(before);
    writeFileSync(file, good);
    expect(openStore(folder).snapshot.revision).toBe(0);
  });

  it('missing: the store is locked and no new key is made; put back, everything opens again', () => {
    const folder = temporaryFolder();
    const store = openStore(folder);
    const hubKey = store.snapshot.hubPrivateKey;
    store.close();
    const file = join(folder, 'store.key');
    const key = readFileSync(file);
    rmSync(file);
    for (let i = 0; i < 3; i++) expect(() => openStore(folder)).toThrow(StoreUnavailable);
    expect(existsSync(file)).toBe(false);
    writeFileSync(file, key);
    expect(openStore(folder).snapshot.hubPrivateKey.equals(hubKey)).toBe(true);
  });

  it('is made after a power cut that left an empty database, or a key and no database', () => {
    const [first, second] = [temporaryFolder(), temporaryFolder()];
    openDatabase(join(first, 'router.db')).close();
    expect(openStore(first).snapshot.revision).toBe(0);
    const key = createStoreKey(join(second, 'store.key'));
    expect(openStore(second).snapshot.revision).toBe(0);
    expect(readStoreKey(join(second, 'store.key'))?.id).toBe(key.id);
  });

  it('opens the hub key no more when its row is lost: the hub does not get a new one', () => {
    const folder = temporaryFolder();
    const store = openStore(folder);
    store.save(console_, (transaction) => transaction.put(withApplication(transaction.config, 'shop', 10)));
    store.close();
    const database = new DatabaseSync(join(folder, 'router.db'));
    database.exec(`DELETE FROM secret WHERE row = 'hub'`);
    database.close();
    expect(() => openStore(folder)).toThrow(expect.objectContaining({ code: 'store-locked' }));
  });
});

describe('the files of the store', () => {
  it('hold no secret and no public key in plain, in any spelling', () => {
    const folder = temporaryFolder();
    const store = openStore(folder);
    const preshared = randomBytes(32);
    store.save(console_, (transaction) => {
      transaction.putPresharedKey('pskone', new Secret('preshared key', preshared));
      const config = withApplication(transaction.config, 'shop', 10);
      transaction.put(withServer(config, 'webone', 'shop', 10, 'pskone'));
    });
    store.save(console_, (transaction) => {
      transaction.put({ ...transaction.config, servers: [] });
      transaction.audit('removed', { label: 'canary-in-plain' });
    });
    const again = store.save(console_, (transaction) => {
      transaction.putPresharedKey('psktwo', new Secret('preshared key', preshared));
      transaction.put(withServer(transaction.config, 'webtwo', 'shop', 10, 'psktwo'));
      return transaction.config.servers[0]?.publicKey ?? '';
    });
    const canaries = [preshared, store.snapshot.hubPrivateKey.reveal(), Buffer.from(again.result, 'base64')];
    const files = readdirSync(folder).filter((name) => name !== 'store.key');
    // The write-ahead log is there while the store is open: this looks at it too.
    expect(files).toContain('router.db-wal');
    const everything = Buffer.concat(files.map((name) => readFileSync(join(folder, name))));
    expect(everything.includes('canary-in-plain')).toBe(true);
    for (const canary of canaries) {
      const bytes = Buffer.from(canary);
      expect(bytes).toHaveLength(32);
      for (const spelling of [bytes, encodeKey(bytes), bytes.toString('hex'), bytes.toString('base64url')]) {
        expect(everything.includes(spelling)).toBe(false);
      }
    }
  });
});
