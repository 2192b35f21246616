// The history: what each revision changed, taking one back, going back to one, and the keys that come along or stay dead.
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { type Config, parse, rule } from '../../src/model/config.ts';
import { Conflict } from '../../src/model/errors.ts';
import { Secret } from '../../src/model/key.ts';
import { Store } from '../../src/router/store/store.ts';
import { goBack, type Undone, undo, undoPending } from '../../src/router/store/undo.ts';
import {
  console_,
  makePrivateKey,
  publicKey,
  publicKeyOf,
  withApplication,
  withMember,
  withServer,
} from '../support/saving.ts';
import { openStore, temporaryFolder } from '../support/store.ts';

/** The store parses what comes out. */
type Change = (config: Config) => unknown;

function save(store: Store, change: Change, more?: Parameters<Store['save']>[1]): number {
  return store.save(console_, (transaction) => {
    transaction.put(change(transaction.config) as Config);
    more?.(transaction);
  }).revision;
}

function take(store: Store, compute: (config: Config) => Undone): number {
  return store.save(console_, (transaction) => {
    const { config, revive } = compute(transaction.config);
    transaction.put(config);
    for (const one of revive) transaction.revive(one);
  }).revision;
}

const revert = (store: Store, revision: number) =>
  take(store, (config) => {
    const found = store.history.find(revision);
    if (found === null) throw new Error(`no revision ${revision}`);
    return undo(store.history, config, found);
  });
const back = (store: Store, revision: number) => take(store, (config) => goBack(store.history, config, revision));

/** shop with a server that has a preshared key; the revisions that made them. */
function shop(store: Store) {
  const application = save(store, (config) => withApplication(config, 'shop', 10));
  const server = save(
    store,
    (config) => withServer(config, 'web1', 'shop', 10, 'psk1'),
    (transaction) => transaction.putPresharedKey('psk1', new Secret('preshared key', new Uint8Array(32).fill(5))),
  );
  return { application, server };
}

const without = (config: Config, id: string): Config => ({
  ...config,
  servers: config.servers.filter((one) => one.id !== id),
});
const relabelled = (config: Config, label: string): unknown => ({
  ...config,
  servers: config.servers.map((one) => ({ ...one, label })),
});

/** What another start would read. */
function reopened(folder: string) {
  const store = openStore(folder);
  const { config, presharedKeys, revision, pending } = store.snapshot;
  const keys = [...presharedKeys].map(([id, key]) => [id, key.reveal()[0]]);
  store.close();
  return { config, keys, revision, pending };
}

describe('the history', () => {
  it('says what each revision changed, public keys included, secrets not', () => {
    const store = openStore(temporaryFolder());
    const { server } = shop(store);
    const key = store.snapshot.config.servers[0]?.publicKey;
    save(store, (config) => relabelled(config, 'www'));
    store.updateLeases([]);
    const [second, first, ...more] = store.history.list({ before: 9, limit: 2 });
    expect(more).toEqual([]);
    expect(first).toMatchObject({ revision: server, actor: 'console', changes: [{ noun: 'servers', before: null }] });
    expect(first?.changes[0]?.after).toMatchObject({ label: 'web1', publicKey: key, presharedKey: 'psk1' });
    expect(second?.changes).toMatchObject([
      {
        noun: 'servers',
        id: 'web1',
        before: { label: 'web1', publicKey: key },
        after: { label: 'www', publicKey: key },
      },
    ]);
    expect(store.history.find(99)).toBeNull();
    expect(store.history.list({ before: server, limit: 9 }).map(({ revision }) => revision)).toEqual([server - 1]);
  });

  it('leaves out revisions that changed no configuration', () => {
    const store = openStore(temporaryFolder());
    save(store, (config) => withApplication(config, 'shop', 10));
    store.save(console_, (transaction) => transaction.audit('nothing', {}));
    expect(store.history.list({ before: 9, limit: 9 }).map(({ revision }) => revision)).toEqual([1]);
    expect(store.history.find(2)?.changes).toEqual([]);
    expect(() => revert(store, 2)).toThrow(Conflict);
  });

  it('shows the old and the new key of a rotation', () => {
    const store = openStore(temporaryFolder());
    shop(store);
    const old = store.snapshot.config.servers[0]?.publicKey;
    const [first, second] = [publicKey(), publicKey()];
    const rotate =
      (key: string): Change =>
      (config) => ({ ...config, servers: config.servers.map((one) => ({ ...one, publicKey: key })) });
    const one = save(store, rotate(first));
    const two = save(store, rotate(second));
    expect(store.history.find(one)?.changes).toMatchObject([
      { before: { publicKey: old }, after: { publicKey: first } },
    ]);
    expect(store.history.find(two)?.changes).toMatchObject([
      { before: { publicKey: first }, after: { publicKey: second } },
    ]);
    save(store, (config) => without(config, 'web1'));
    expect(store.history.find(two)?.changes).toMatchObject([{ after: { publicKey: second } }]);
  });
});

describe('taking one revision back', () => {
  it('removes what was added, and the other way round with keys, secrets and all', () => {
    const folder = temporaryFolder();
    const store = openStore(folder);
    const { server } = shop(store);
    const before = store.snapshot.config;
    const added = revert(store, server);
    expect(store.snapshot.config.servers).toEqual([]);
    expect(store.snapshot.presharedKeys.size).toBe(0);
    revert(store, added);
    expect(store.snapshot.config).toEqual(before);
    expect(store.snapshot.presharedKeys.get('psk1')?.reveal()[0]).toBe(5);
    store.close();
    expect(reopened(folder)).toMatchObject({ config: before, keys: [['psk1', 5]] });
  });

  it('brings a member back with what he signs in with, but no session', () => {
    const store = openStore(temporaryFolder());
    save(
      store,
      (config) => withMember(withMember(config, 'anna'), 'ben1', 'developer'),
      (transaction) => transaction.putSecret('ben1', 'credentials', Buffer.from('hash')),
    );
    const text = store.tickets.issue('session', { id: 's1', owner: 'ben1', body: {}, expiresAt: 2e12 });
    const gone = save(store, (config) => ({ ...config, members: config.members.filter(({ id }) => id !== 'ben1') }));
    expect(store.secret('ben1', 'credentials')).toBeNull();
    revert(store, gone);
    expect(store.secret('ben1', 'credentials')).toEqual(Buffer.from('hash'));
    expect(store.tickets.find('session', text)).toBeNull();
  });

  it('leaves other fields of the same object as they are by now', () => {
    const store = openStore(temporaryFolder());
    shop(store);
    const labelled = save(store, (config) => relabelled(config, 'www'));
    save(store, (config) => ({ ...config, servers: config.servers.map((one) => ({ ...one, keepalive: null })) }));
    revert(store, labelled);
    expect(store.snapshot.config.servers).toMatchObject([{ label: 'web1', keepalive: null }]);
  });

  it('refuses what was changed again, naming it', () => {
    const store = openStore(temporaryFolder());
    const { server } = shop(store);
    const labelled = save(store, (config) => relabelled(config, 'www'));
    save(store, (config) => relabelled(config, 'again'));
    expect(() => revert(store, labelled)).toThrow(expect.objectContaining({ path: 'servers.web1.label' }));
    expect(() => revert(store, server)).toThrow(/changed again later/);
    const gone = save(store, (config) => without(config, 'web1'));
    expect(() => revert(store, labelled)).toThrow(/is gone by now/);
    revert(store, gone);
    expect(() => revert(store, gone)).toThrow(/is there again/);
    expect(store.snapshot.config.servers[0]?.label).toBe('again');
  });

  it('refuses what another object needs by now, and changes nothing', () => {
    const store = openStore(temporaryFolder());
    const { application } = shop(store);
    const before = store.snapshot;
    expect(() => revert(store, application)).toThrow(/no such application/);
    expect(store.snapshot).toBe(before);
  });

  it('never revives a key that was replaced', () => {
    const store = openStore(temporaryFolder());
    shop(store);
    const old = store.snapshot.config.servers[0]?.publicKey;
    const rotated = save(
      store,
      (config) => ({
        ...config,
        servers: config.servers.map((one) => ({ ...one, publicKey: publicKey(), presharedKey: 'psk2' })),
      }),
      (transaction) => transaction.putPresharedKey('psk2', new Secret('preshared key', new Uint8Array(32).fill(6))),
    );
    const now = store.snapshot.config.servers[0]?.publicKey;
    expect(() => revert(store, rotated)).toThrow(/replaced key stays dead/);
    const gone = save(store, (config) => without(config, 'web1'));
    back(store, 2);
    expect(store.snapshot.config.servers).toMatchObject([{ publicKey: now, presharedKey: 'psk2' }]);
    expect(store.snapshot.presharedKeys.get('psk2')?.reveal()[0]).toBe(6);
    expect(() => revert(store, gone)).toThrow(/is there again/);
    save(store, (config) => without(config, 'web1'));
    revert(store, gone);
    expect(store.snapshot.config.servers).toMatchObject([{ publicKey: now }]);
    expect(now).not.toBe(old);
  });
});

describe('what the history does not hold', () => {
  /** The history as somebody else left it. */
  function changedBy(sql: string): Store {
    const folder = temporaryFolder();
    const store = openStore(folder);
    shop(store);
    save(store, (config) => without(config, 'web1'));
    store.close();
    const database = new DatabaseSync(join(folder, 'router.db'));
    database.exec(sql);
    database.close();
    return openStore(folder);
  }

  it('does not come back without its key: rows of an older release have none', () => {
    const store = changedBy('DELETE FROM kept');
    expect(store.history.find(3)?.changes[0]?.before).toMatchObject({ label: 'web1' });
    expect(() => revert(store, 3)).toThrow(/its key is not known any more/);
    expect(() => back(store, 2)).toThrow(Conflict);
  });

  it('does not come back with a key that somebody changed', () => {
    const store = changedBy("UPDATE kept SET sealed = x'00' WHERE column = 'public key'");
    expect(() => revert(store, 3)).toThrow(/its key is not known any more/);
    const other = changedBy("UPDATE kept SET sealed = x'00' WHERE column = 'preshared key'");
    revert(other, 3);
    expect(other.snapshot).toMatchObject({ config: { servers: [] }, damaged: [{ id: 'web1', label: 'web1' }] });
  });
});

describe('going back', () => {
  it('makes everything as it was at that revision', () => {
    const folder = temporaryFolder();
    const store = openStore(folder);
    const { server } = shop(store);
    const { config: then } = store.snapshot;
    save(store, (config) => relabelled(config, 'www'));
    save(store, (config) => withServer(withApplication(config, 'books', 11), 'ledger', 'books', 20));
    save(store, (config) => ({
      ...without(config, 'web1'),
      rules: [parse(rule, { id: 'rule1', source: '198.51.100.0/24', note: '', server: null })],
    }));
    save(store, (config) => ({
      ...config,
      network: { ...config.network, endpoint: { host: 'hub.example.net', port: 51820 } },
    }));
    back(store, server);
    expect(store.snapshot.config).toEqual(then);
    store.close();
    expect(reopened(folder)).toMatchObject({ config: then, keys: [['psk1', 5]] });
  });
});

function takeBackPending(store: Store): void {
  const found = undoPending(store);
  if (found !== null) store.save({ actor: 'router', summary: found.summary }, found.change);
}

describe('a network edit that waits to be confirmed', () => {
  const pending = { id: 'p1', summary: 'network changed', actor: 'anna', ticket: 's1', bootId: 'boot-1', deadline: 9 };
  const endpoint =
    (host: string | null): Change =>
    (config) => ({ ...config, network: { ...config.network, endpoint: host === null ? null : { host, port: 51820 } } });

  it('is found again after a restart, and undone with everything else kept', () => {
    const folder = temporaryFolder();
    const store = openStore(folder);
    const revision = save(store, endpoint('a.example.net'), (transaction) => transaction.pend(pending));
    save(store, (config) => withApplication(config, 'shop', 10));
    store.close();
    expect(reopened(folder).pending).toEqual({ ...pending, revision });
    const again = openStore(folder);
    takeBackPending(again);
    expect(again.snapshot).toMatchObject({
      pending: null,
      config: { network: { endpoint: null }, applications: [{ id: 'shop' }] },
    });
    again.close();
    expect(reopened(folder)).toMatchObject({ pending: null, config: { network: { endpoint: null } } });
  });

  it('stays when it is settled', () => {
    const store = openStore(temporaryFolder());
    save(store, endpoint('a.example.net'), (transaction) => transaction.pend(pending));
    store.save(console_, (transaction) => transaction.pend(null));
    takeBackPending(store);
    expect(store.snapshot).toMatchObject({
      pending: null,
      config: { network: { endpoint: { host: 'a.example.net' } } },
    });
  });

  it('takes no edit meanwhile that its undoing would not survive', () => {
    const store = openStore(temporaryFolder());
    const range =
      (text: string): Change =>
      (config) => ({ ...config, network: { ...config.network, range: text } });
    save(store, range('172.20.0.0/16'), (transaction) => transaction.pend(pending));
    const before = store.snapshot;
    const inNew = (config: Config) => withApplication({ ...config, network: { ...config.network } }, 'shop', 10);
    expect(() =>
      save(store, (config) => {
        const moved = inNew(config);
        return {
          ...moved,
          applications: moved.applications.map((one) => ({ ...one, range: '172.20.10.0/24' })),
        };
      }),
    ).toThrow(/waits to be confirmed.*172\.20\.10\.0\/24 is not inside/s);
    expect(() => save(store, range('172.21.0.0/16'))).toThrow(Conflict);
    expect(store.snapshot).toBe(before);
    takeBackPending(store);
    expect(store.snapshot.config.network.range).toBe('172.16.0.0/16');
  });
});

it('what a revision kept is forgotten with it', () => {
  const folder = temporaryFolder();
  const store = new Store({ folder, now: () => 1, makeHubKey: makePrivateKey, publicKeyOf });
  const { server } = shop(store);
  const gone = save(store, (config) => without(config, 'web1'));
  for (let n = 0; n < 5010; n++) store.save(console_, (transaction) => transaction.audit('nothing', {}));
  expect(store.history.find(server)).toBeNull();
  expect(store.history.keptAfter(0, 'psk1')).toBeNull();
  expect(store.history.lastOf('servers', 'web1')).toBeNull();
  expect(store.history.find(gone)).toBeNull();
  store.close();
});
