// The store: one transaction per save, revisions, damaged objects, bounded history, and snapshots that equal a fresh load.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Prefix } from '../../src/model/address.ts';
import type { Config } from '../../src/model/config.ts';
import { Conflict, InvalidInput } from '../../src/model/errors.ts';
import { Secret } from '../../src/model/key.ts';
import type { Snapshot, Store } from '../../src/router/store/store.ts';
import { console_, leaseAt, noon, publicKey, withApplication, withMember, withServer } from '../support/saving.ts';
import { openStore, temporaryFolder } from '../support/store.ts';

function put(store: Store, change: (config: Config) => Config): number {
  return store.save(console_, (transaction) => transaction.put(change(transaction.config))).revision;
}

/** A snapshot as plain values; lists by id, since a database has no order. */
function plain({ config, presharedKeys, leases, hubPrivateKey, ...rest }: Snapshot) {
  const byId = <T extends { readonly id: string }>(list: readonly T[]) =>
    list.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  return {
    ...rest,
    config: Object.fromEntries(
      Object.entries(config).map(([noun, value]) => [noun, Array.isArray(value) ? byId(value) : value]),
    ),
    presharedKeys: new Set([...presharedKeys].map(([id, key]) => `${id} ${key.reveal().toHex()}`)),
    hubPrivateKey: hubPrivateKey.reveal().toHex(),
    leases: byId(leases),
  };
}

function reopened(folder: string, store: Store): Store {
  store.close();
  return openStore(folder);
}

function counts(folder: string): Readonly<Record<string, number>> {
  const database = new DatabaseSync(join(folder, 'router.db'), { readOnly: true });
  const tables = ['object', 'revision', 'change', 'secret', 'lease', 'audit'];
  const all = tables.map((table) => [
    table,
    Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n']),
  ]);
  database.close();
  return Object.fromEntries(all);
}

/** Does something to the database behind the store's back. */
function tamper(folder: string, sql: string): void {
  const database = new DatabaseSync(join(folder, 'router.db'));
  database.exec(sql);
  database.close();
}

describe('save', () => {
  it('writes everything of a change under one revision', () => {
    const folder = temporaryFolder();
    const store = openStore(folder);
    const { result, revision } = store.save({ ...console_, actor: 'anna' }, (transaction) => {
      transaction.putPresharedKey('pskone', new Secret('preshared key', new Uint8Array(32).fill(7)));
      transaction.put(withServer(withApplication(transaction.config, 'shop', 10), 'webone', 'shop', 10, 'pskone'));
      transaction.putLease(leaseAt(noon, 'leaseone', 1000));
      transaction.audit('all at once', { n: 1 });
      return 'said';
    });
    expect({ result, revision }).toEqual({ result: 'said', revision: 1 });
    const fresh = reopened(folder, store).snapshot;
    expect(fresh.revision).toBe(1);
    expect(fresh.config.servers.map(({ id }) => id)).toEqual(['webone']);
    expect(fresh.presharedKeys.get('pskone')?.reveal()).toEqual(new Uint8Array(32).fill(7));
    expect(fresh.leases).toEqual([leaseAt(noon, 'leaseone', 1000)]);
    expect(counts(folder)).toMatchObject({ revision: 1, change: 2, audit: 1 });
  });

  it('writes nothing when the change throws', () => {
    const folder = temporaryFolder();
    const store = openStore(folder);
    put(store, (config) => withApplication(config, 'shop', 10));
    const [before, rows] = [store.snapshot, counts(folder)];
    const change = () =>
      store.save(console_, (transaction) => {
        transaction.put(withApplication(transaction.config, 'books', 11));
        transaction.putPresharedKey('pskone', new Secret('preshared key', new Uint8Array(32).fill(7)));
        transaction.putLease(leaseAt(noon, 'leaseone', 1000));
        transaction.audit('never', {});
        throw new Error('changed my mind');
      });
    expect(change).toThrow('changed my mind');
    expect(store.snapshot).toBe(before);
    expect(counts(folder)).toEqual(rows);
  });

  it('writes nothing when a rule of the model is broken, and names the field', () => {
    const folder = temporaryFolder();
    const store = openStore(folder);
    put(store, (config) => withApplication(config, 'shop', 10));
    const [before, rows] = [store.snapshot, counts(folder)];
    const twice = (config: Config) => withApplication(config, 'books', 10);
    expect(() => put(store, twice)).toThrow(expect.objectContaining({ path: 'applications.books.range' }));
    const editing = { noun: 'applications', id: 'books' };
    const own = () => store.save({ ...console_, editing }, (transaction) => transaction.put(twice(transaction.config)));
    expect(own).toThrow(InvalidInput);
    expect(own).toThrow(expect.objectContaining({ path: 'range' }));
    expect(store.snapshot).toBe(before);
    expect(counts(folder)).toEqual(rows);
  });

  it('writes nothing when the database refuses a part of it', () => {
    const folder = temporaryFolder();
    const store = openStore(folder);
    put(store, (config) => withApplication(config, 'shop', 10));
    tamper(folder, `CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'disk full'); END`);
    const [before, rows] = [store.snapshot, counts(folder)];
    const change = () =>
      store.save(console_, (transaction) => {
        transaction.put(withApplication(transaction.config, 'books', 11));
        transaction.audit('too much', {});
      });
    expect(change).toThrow(expect.objectContaining({ name: 'StoreUnavailable', code: 'store-write' }));
    expect(() => store.updateLeases([leaseAt(noon, 'leaseone', 1)], 'lease expired')).toThrow('nothing was changed');
    expect(store.snapshot).toBe(before);
    expect(counts(folder)).toEqual(rows);
    tamper(folder, 'DROP TRIGGER full');
    expect(put(store, (config) => withApplication(config, 'books', 11))).toBe(2);
  });

  it('refuses a stale revision and accepts the present one', () => {
    const store = openStore(temporaryFolder());
    put(store, (config) => withApplication(config, 'shop', 10));
    const at = (revision: number) => () =>
      store.save({ ...console_, revision }, (transaction) =>
        transaction.put(withApplication(transaction.config, 'books', 11)),
      );
    for (const stale of [0, 2, Number.NaN, -1]) expect(at(stale)).toThrow(Conflict);
    expect(store.snapshot.config.applications).toHaveLength(1);
    expect(at(1)().revision).toBe(2);
  });

  it('takes the secrets of a removed peer with it', () => {
    const folder = temporaryFolder();
    const store = openStore(folder);
    const before = counts(folder);
    put(store, (config) => withApplication(config, 'shop', 10));
    store.save(console_, (transaction) => {
      transaction.putPresharedKey('pskone', new Secret('preshared key', new Uint8Array(32).fill(7)));
      transaction.put(withServer(transaction.config, 'webone', 'shop', 10, 'pskone'));
    });
    expect(counts(folder)['secret']).toBe((before['secret'] ?? 0) + 2);
    put(store, (config) => ({ ...config, servers: [] }));
    expect(counts(folder)['secret']).toBe(before['secret']);
    expect(store.snapshot.presharedKeys.size).toBe(0);
  });
});

describe('damaged values', () => {
  function shop(folder: string): Store {
    const store = openStore(folder);
    put(store, (config) => withApplication(config, 'shop', 10));
    store.save(console_, (transaction) => {
      transaction.putPresharedKey('pskone', new Secret('preshared key', new Uint8Array(32).fill(7)));
      const { config } = transaction;
      transaction.put(
        withServer(
          withServer(withServer(config, 'webone', 'shop', 10, 'pskone'), 'webtwo', 'shop', 11),
          'webthree',
          'shop',
          12,
        ),
      );
    });
    put(store, (config) => ({
      ...config,
      rules: [{ id: 'ruleone', source: '203.0.113.10/32' as Prefix, note: '', server: 'webone' }],
    }));
    return store;
  }

  const flip = (where: string) =>
    `UPDATE secret SET sealed = CAST(substr(sealed, 1, 20) || x'00' || substr(sealed, 22) AS BLOB) WHERE ${where}`;
  const cases: readonly [string, string, readonly string[]][] = [
    ['a flipped byte of a public key', flip(`row = 'webone'`), ['webone']],
    ['a flipped byte of a preshared key', flip(`row = 'pskone'`), ['webone']],
    ['a preshared key that is gone', `DELETE FROM secret WHERE row = 'pskone'`, ['webone']],
    ['a public key that is gone', `DELETE FROM secret WHERE row = 'webone'`, ['webone']],
    [
      'two public keys that changed places',
      `UPDATE secret SET row = 'other' WHERE row = 'webone'; UPDATE secret SET row = 'webone' WHERE row = 'webtwo';
       UPDATE secret SET row = 'webtwo' WHERE row = 'other'`,
      ['webone', 'webtwo'],
    ],
    [
      'one key copied over another',
      `UPDATE secret SET sealed = (SELECT sealed FROM secret WHERE row = 'webtwo') WHERE row = 'webone'`,
      ['webone'],
    ],
  ];

  it.each(cases)('%s: left out and listed, not deleted by later saves; the others go on', (_, sql, lost) => {
    const folder = temporaryFolder();
    shop(folder).close();
    const rowsOf = (table: string) => {
      const database = new DatabaseSync(join(folder, 'router.db'), { readOnly: true });
      const rows = database.prepare(`SELECT * FROM ${table} ORDER BY 1, 2`).all();
      database.close();
      return rows;
    };
    tamper(folder, sql);
    const [objects, secrets] = [rowsOf('object'), rowsOf('secret')];
    const store = openStore(folder);
    const all = ['webone', 'webtwo', 'webthree'];
    const ids = () => new Set(store.snapshot.config.servers.map(({ id }) => id));
    expect(new Set(store.snapshot.damaged.map(({ id }) => id))).toEqual(new Set(lost));
    expect(store.snapshot.damaged[0]).toMatchObject({ noun: 'servers', label: lost[0] });
    expect(ids()).toEqual(new Set(all.filter((id) => !lost.includes(id))));
    // Saving goes on, with a rule that names the lost server, too.
    put(store, (config) => withServer(config, 'webfour', 'shop', 13));
    put(store, (config) => ({ ...config, system: { hostName: 'other' } }) as Config);
    expect(ids()).toContain('webfour');
    store.close();
    expect(rowsOf('object')).toEqual(expect.arrayContaining(objects.filter((row) => row['noun'] !== 'system')));
    expect(rowsOf('secret')).toEqual(expect.arrayContaining(secrets));
    expect(openStore(folder).snapshot.damaged).toHaveLength(lost.length);
  });

  it('a rule for a server that never was is refused all the same', () => {
    const store = shop(temporaryFolder());
    const rule = { id: 'ruletwo', source: '203.0.113.11/32' as Prefix, note: '', server: 'nobody' };
    expect(() => put(store, (config) => ({ ...config, rules: [...config.rules, rule] }))).toThrow(
      expect.objectContaining({ path: 'rules.ruletwo.server' }),
    );
  });

  it.each([
    ['an object that is not JSON', `UPDATE object SET body = '{' WHERE id = 'shop'`],
    ['an object without its fields', `UPDATE object SET body = '{"id":"shop"}' WHERE id = 'shop'`],
    ['a noun nobody knows', `INSERT INTO object VALUES ('wishes', 'wish', '{}')`],
    ['a table that is gone', 'DROP TABLE lease'],
  ])('%s: the store is unreadable, and stays as it is', (_, sql) => {
    const folder = temporaryFolder();
    shop(folder).close();
    tamper(folder, sql);
    const before = readFileSync(join(folder, 'router.db'));
    expect(() => openStore(folder)).toThrow(
      expect.objectContaining({ name: 'StoreUnavailable', code: 'store-unreadable' }),
    );
    expect(readFileSync(join(folder, 'router.db'))).toEqual(before);
  });
});

describe('the past', () => {
  it('is bounded: audit, revisions and ended leases', () => {
    const folder = temporaryFolder();
    const store = openStore(folder);
    put(store, (config) => withApplication(config, 'shop', 10));
    store.close();
    // The past of years, written at once.
    tamper(
      folder,
      `BEGIN;
       WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 25000)
         INSERT INTO audit (at, actor, event, body) SELECT i, 'a', 'e', '{}' FROM n;
       WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)
         INSERT INTO revision SELECT i, i, 'a', 's' FROM n;
       INSERT INTO change SELECT revision, 'system', '', '{}', '{}' FROM revision;
       WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
         INSERT INTO lease SELECT 'old' || i, '203.0.113.7/32', NULL, 'a', '', i, i, 'b', i, 0, 0, i, 'expired' FROM n;
       COMMIT`,
    );
    const again = openStore(folder);
    again.save(console_, (transaction) => {
      transaction.audit('newest', {});
      transaction.putLease(leaseAt(noon, 'live', 1000));
    });
    expect(counts(folder)).toMatchObject({ object: 1, audit: 20_000, revision: 5_000, change: 4_999, lease: 1_001 });
    expect(again.endedLeases(1)[0]?.id).toBe('old3000');
    again.updateLeases([{ ...leaseAt(noon, 'live', 0), end: { at: noon.wall, how: 'expired' } }], 'lease expired');
    // Leases have a bound of their own in the audit log.
    expect(counts(folder)).toMatchObject({ audit: 20_001, lease: 1_000 });
    expect(again.snapshot.revision).toBe(9_001);
    expect(reopened(folder, again).snapshot).toMatchObject({ revision: 9_001, leases: [] });
  });

  it('tells who changed what', () => {
    const folder = temporaryFolder();
    const store = openStore(folder, () => 42);
    put(store, (config) => withApplication(config, 'shop', 10));
    store.save({ actor: 'anna', summary: 'named' }, (transaction) =>
      transaction.put({ ...transaction.config, system: { hostName: 'box' } } as Config),
    );
    store.close();
    const database = new DatabaseSync(join(folder, 'router.db'), { readOnly: true });
    expect(database.prepare('SELECT * FROM revision').all()).toEqual([
      { revision: 1, at: 42, actor: 'console', summary: 'test' },
      { revision: 2, at: 42, actor: 'anna', summary: 'named' },
    ]);
    const last = database.prepare('SELECT * FROM change WHERE revision = 2').all();
    expect(last).toEqual([
      { revision: 2, noun: 'system', id: '', before: '{"hostName":"apn-router"}', after: '{"hostName":"box"}' },
    ]);
    database.close();
  });
});

describe('a snapshot', () => {
  type Step =
    | { readonly do: 'application' | 'server' | 'member'; readonly n: number; readonly shared: boolean }
    | { readonly do: 'remove' | 'key' | 'rule' | 'link' | 'lease' | 'end' | 'fail' | 'reopen'; readonly n: number };
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({
      do: fc.constantFrom('application', 'server', 'server', 'member'),
      n: fc.nat(30),
      shared: fc.boolean(),
    }),
    fc.record({
      do: fc.constantFrom('remove', 'key', 'rule', 'link', 'lease', 'end', 'fail', 'reopen'),
      n: fc.nat(30),
    }),
  );

  function take(store: Store, one: Step, unique: string): void {
    store.save(console_, (transaction) => {
      const { config, leases } = transaction;
      const of = config.applications[one.n % Math.max(1, config.applications.length)];
      const server = config.servers[one.n % Math.max(1, config.servers.length)];
      switch (one.do) {
        case 'application':
          return transaction.put(withApplication(config, `app${unique}`, 10 + one.n));
        case 'member':
          return transaction.put(withMember(config, `member${unique}`));
        case 'server': {
          if (of === undefined) return;
          const psk = one.shared ? `psk${unique}` : null;
          if (psk !== null)
            transaction.putPresharedKey(psk, new Secret('preshared key', new Uint8Array(32).fill(one.n + 1)));
          return transaction.put(withServer(config, `server${unique}`, of.id, 10 + one.n, psk));
        }
        case 'key':
          if (server === undefined) return;
          return transaction.put({
            ...config,
            servers: config.servers.map((each) =>
              each === server ? { ...each, publicKey: publicKey(), presharedKey: null } : each,
            ),
          });
        case 'rule': {
          const rule = {
            id: `rule${unique}`,
            source: `203.0.113.${one.n}/32` as Prefix,
            note: '',
            server: server?.id ?? null,
          };
          return transaction.put({ ...config, rules: [...config.rules, rule] });
        }
        case 'link': {
          const to = config.applications.filter(({ id }) => id !== of?.id).map(({ id }) => id);
          const applications = config.applications.map((each) => (each === of ? { ...each, links: to } : each));
          return transaction.put({ ...config, applications });
        }
        case 'remove':
          if (server === undefined) return;
          return transaction.put({
            ...config,
            servers: config.servers.filter((each) => each !== server),
            rules: config.rules.filter((rule) => rule.server !== server.id),
          });
        case 'lease':
          return transaction.putLease(leaseAt({ ...noon, boot: 10.25 + one.n / 7 }, `lease${unique}`, 1000));
        case 'end': {
          const lease = leases[one.n % Math.max(1, leases.length)];
          if (lease !== undefined) transaction.putLease({ ...lease, end: { at: noon.wall + 0.5, how: 'revoked' } });
          return;
        }
        case 'fail':
          transaction.put(withApplication(config, `app${unique}`, 10));
          throw new InvalidInput('', 'no');
      }
    });
  }

  it('equals a fresh load after any sequence of edits, refused ones among them', () => {
    let saved = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 25 }), (steps) => {
        const folder = temporaryFolder();
        let store = openStore(folder);
        for (const [index, one] of steps.entries()) {
          if (one.do === 'reopen') {
            const before = plain(store.snapshot);
            store = reopened(folder, store);
            expect(plain(store.snapshot)).toEqual(before);
            continue;
          }
          try {
            take(store, one, String(index).padStart(3, '0'));
            saved++;
          } catch (error) {
            if (!(error instanceof InvalidInput)) throw error;
          }
        }
        const last = plain(store.snapshot);
        store = reopened(folder, store);
        expect(plain(store.snapshot)).toEqual(last);
        store.close();
      }),
      { numRuns: 60 },
    );
    expect(saved).toBeGreaterThan(200);
  });

  it('does not change under a reader who holds it', () => {
    const store = openStore(temporaryFolder());
    put(store, (config) => withApplication(config, 'shop', 10));
    const held = store.snapshot;
    const before = JSON.stringify(held.config);
    put(store, (config) => withServer(config, 'webone', 'shop', 10));
    store.updateLeases([leaseAt(noon, 'leaseone', 1000)]);
    expect(JSON.stringify(held.config)).toBe(before);
    expect(held.leases).toEqual([]);
    expect(store.snapshot.leases).toHaveLength(1);
  });

  it('of a store whose folder is not writable is an error with words, not a crash', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'file'), '');
    expect(() => openStore(join(folder, 'file'))).toThrow(expect.objectContaining({ name: 'StoreUnavailable' }));
  });
});
