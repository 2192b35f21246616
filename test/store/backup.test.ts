// Backups: the same hub out of the file, nothing of it readable without the passphrase, and no damaged or hostile file accepted.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Config, lan, parse } from '../../src/model/config.ts';
import { InvalidInput } from '../../src/model/errors.ts';
import { Secret } from '../../src/model/key.ts';
import { type Contents, decodeContents, encodeContents } from '../../src/router/store/backup.ts';
import { checkPassphrase, openFile, sealFile } from '../../src/router/store/backup-file.ts';
import type { Store } from '../../src/router/store/store.ts';
import { console_, leaseAt, noon, publicKeyOf, withApplication, withMember, withServer } from '../support/saving.ts';
import { openStore, temporaryFolder } from '../support/store.ts';

const passphrase = 'correct horse battery';
/** As cheap as a file may be. */
const cheap = { memory: 8 * 1024, passes: 1, lanes: 1 };
const canary = Buffer.from('canary of a password hash, 32 bytes.');
const presharedKey = Buffer.from('canary-preshared-key-of-32-bytes');
const lanOf = (address: string): unknown =>
  parse(lan, {
    ...{ topology: 'router', wan: 'wan0', ports: ['lan0'], address, dhcp: null, defaultAccess: 'nothing' },
    range: address.replace(/\d+$/, '0/24'),
  });

/** A hub with one of everything that has a secret. */
function hub(folder = temporaryFolder()): Store {
  const store = openStore(folder);
  store.save(console_, (transaction) => {
    const config = withMember(transaction.config, 'anna');
    transaction.put({
      ...withServer(withApplication(config, 'shop', 10), 'web1', 'shop', 10, 'psk1'),
      lan: lanOf('192.168.66.1'),
    } as Config);
    transaction.putPresharedKey('psk1', new Secret('preshared key', presharedKey));
    transaction.putSecret('anna', 'credentials', canary);
    transaction.putSecret('setup', 'first start', Buffer.from('of this box'));
  });
  store.putKnockTimestamps(new Map([['aa', Buffer.alloc(12, 1)]]));
  return store;
}

/** What makes it this hub. The order of lists is the store's own. */
const known = ({ snapshot }: Store) => ({
  config: Object.fromEntries(
    Object.entries(snapshot.config).map(([noun, value]) => [noun, Array.isArray(value) ? value.toSorted(byId) : value]),
  ),
  hubKey: publicKeyOf(snapshot.hubPrivateKey),
  keys: new Map([...snapshot.presharedKeys].map(([id, key]) => [id, Buffer.from(key.reveal()).toString('hex')])),
});
const byId = (a: { readonly id: string }, b: { readonly id: string }) => (a.id < b.id ? -1 : 1);

const file = async (store: Store) => Buffer.from(await sealFile(encodeContents(store.contents()), passphrase, cheap));
const contentsOf = async (bytes: Uint8Array, text = passphrase) => decodeContents(await openFile(bytes, text));
const refusal = (bytes: Uint8Array, text = passphrase) =>
  openFile(bytes, text).then(
    () => null,
    (error: unknown) => {
      expect(error).toBeInstanceOf(InvalidInput);
      return (error as InvalidInput).path;
    },
  );

describe('restoring a backup', () => {
  it('makes a blank router the same hub, after another start as well', async () => {
    const old = hub();
    const folder = temporaryFolder();
    const blank = openStore(folder);
    expect(known(blank)).not.toEqual(known(old));
    blank.restore(console_, await contentsOf(await file(old)));
    expect(known(blank)).toEqual(known(old));
    expect(blank.secret('anna', 'credentials')).toEqual(canary);
    expect(blank.secret('setup', 'first start')).toBeNull();
    expect([...blank.knockTimestamps()]).toEqual([['aa', Uint8Array.from(Buffer.alloc(12, 1))]]);
    expect(existsSync(join(folder, 'router.db.before-restore'))).toBe(false);
    blank.close();
    const again = openStore(folder);
    expect(known(again)).toEqual(known(old));
    expect(again.snapshot.revision).toBe(1);
    expect(again.history.list({ before: 9, limit: 9 })).toEqual([]);
    expect(again.audit({ limit: 1 })[0]?.event).toBe('backup restored');
  });

  it('replaces everything of a router that was something else, which stays beside it', async () => {
    const old = hub();
    const folder = temporaryFolder();
    const other = openStore(folder);
    other.save(console_, (transaction) => {
      transaction.put(withMember(withMember(withApplication(transaction.config, 'books', 12), 'ben1'), 'anna'));
      transaction.putSecret('ben1', 'credentials', canary);
      transaction.putLease(leaseAt(noon, 'lease-ben', 1000, { member: 'ben1' }));
      transaction.putLease(leaseAt(noon, 'lease-anna', 1000, { member: 'anna' }));
    });
    other.putKnockTimestamps(new Map([['aa', Buffer.alloc(12, 9)]]));
    const session = other.tickets.issue('session', { id: 's1', owner: 'anna', body: {}, expiresAt: 2e12 });
    const { revision } = other.snapshot;
    other.restore(console_, await contentsOf(await file(old)));
    expect(known(other)).toEqual(known(old));
    expect(other.snapshot.revision).toBe(revision + 1);
    expect(other.secret('ben1', 'credentials')).toBeNull();
    expect(other.tickets.find('session', session)).toBeNull();
    expect(other.snapshot.leases.map(({ id }) => id)).toEqual(['lease-anna']);
    expect(other.history.find(revision)).toBeNull();
    // What it heard itself is newer.
    expect(other.knockTimestamps().get('aa')?.[0]).toBe(9);
    const copy = new DatabaseSync(join(folder, 'router.db.before-restore'), { readOnly: true });
    onTestFinished(() => copy.close());
    expect(copy.prepare("SELECT id FROM object WHERE noun = 'applications'").all()).toEqual([{ id: 'books' }]);
  });

  it.each<[string, string, (contents: Contents) => unknown]>([
    ['no key of the hub', 'hub', ({ secrets }) => ({ secrets: secrets.filter(({ row }) => row !== 'hub') })],
    [
      'a preshared key less',
      'servers.web1.presharedKey',
      ({ secrets }) => ({ secrets: secrets.filter(({ row }) => row !== 'psk1') }),
    ],
    [
      'two machines with one address',
      'network.range',
      ({ config }) => ({ config: { ...config, network: { ...config.network, range: '192.168.0.0/16' } } }),
    ],
  ])('is refused whole with %s', async (_, path, change) => {
    const contents = hub().contents();
    const blank = openStore(temporaryFolder());
    const before = blank.snapshot;
    const wrong = { ...contents, ...(change(contents) as Partial<Contents>) };
    expect(() => blank.restore(console_, wrong)).toThrow(expect.objectContaining({ name: 'InvalidInput', path }));
    expect(blank.snapshot).toBe(before);
  });

  it('is refused with a field that there is not, and one of a newer release is told apart', () => {
    const raw = JSON.parse(Buffer.from(encodeContents(hub().contents())).toString());
    const decoded = (more: object) => () => decodeContents(Buffer.from(JSON.stringify({ ...raw, ...more })));
    expect(decoded({})().config.members[0]?.name).toBe('anna');
    expect(decoded({ more: 1 })).toThrow(expect.objectContaining({ name: 'InvalidInput', path: 'more' }));
    expect(decoded({ config: { ...raw.config, members: [{ ...raw.config.members[0], role: 'king' }] } })).toThrow(
      expect.objectContaining({ path: 'config.members.0.role' }),
    );
    expect(decoded({ version: 2 })).toThrow(/newer release/);
    for (const version of [0, -1, 1.5, 'x', null]) expect(decoded({ version })).toThrow(InvalidInput);
    expect(() => decodeContents(Buffer.from('{'))).toThrow(InvalidInput);
  });

  it('leaves out a peer whose keys are damaged, and says so', async () => {
    const folder = temporaryFolder();
    hub(folder).close();
    const database = new DatabaseSync(join(folder, 'router.db'));
    database.exec("UPDATE secret SET sealed = x'00' WHERE row = 'psk1'");
    database.close();
    const damaged = openStore(folder);
    const contents = damaged.contents();
    expect(contents).toMatchObject({ omitted: ['web1'], config: { servers: [] } });
    const blank = openStore(temporaryFolder());
    blank.restore(console_, await contentsOf(await file(damaged)));
    expect(blank.snapshot.config.servers).toEqual([]);
  });
});

describe('a backup file', () => {
  it('holds no secret in plain, and neither does a disk', async () => {
    const folder = temporaryFolder();
    const store = hub(folder);
    const bytes = await file(store);
    const blank = temporaryFolder();
    openStore(blank).restore(console_, await contentsOf(bytes));
    const secrets = [canary, presharedKey, Buffer.from(store.snapshot.hubPrivateKey.reveal()), Buffer.from(passphrase)];
    const { readFileSync } = await import('node:fs');
    const disks = [folder, blank].flatMap((one) => readdirSync(one).map((name) => readFileSync(join(one, name))));
    const texts = (value: Buffer) => [
      value,
      ...(['base64', 'base64url', 'hex'] as const).map((how) => Buffer.from(value.toString(how))),
    ];
    expect(disks.some((one) => one.includes('anna'))).toBe(true);
    for (const place of [bytes, ...disks]) {
      for (const text of secrets.flatMap(texts)) expect(place.includes(text)).toBe(false);
    }
    expect(bytes.includes('anna')).toBe(false);
  });

  it('opens with its passphrase alone, however the letters were typed', async () => {
    const contents = Buffer.from('contents');
    const bytes = await sealFile(contents, 'f\u00fcr alle F\u00e4lle', cheap);
    expect(await openFile(bytes, 'fu\u0308r alle Fa\u0308lle')).toEqual(contents);
    expect(await refusal(bytes, 'fur alle Falle')).toBe('passphrase');
    expect(await refusal(bytes, '')).toBe('passphrase');
  });

  it('is never the same twice', async () => {
    const [one, other] = [await sealFile(canary, passphrase, cheap), await sealFile(canary, passphrase, cheap)];
    expect(Buffer.from(one).equals(other)).toBe(false);
  });

  it('is refused with any byte of it changed, or cut off', async () => {
    const bytes = await file(hub());
    expect(await refusal(bytes)).toBeNull();
    const offsets = [...Array.from({ length: 66 }, (_, i) => i), ...Array.from({ length: bytes.length }, (_, i) => i)]
      .filter((offset, i) => i < 66 || offset % 64 === 0)
      .concat(bytes.length - 1);
    for (const offset of new Set(offsets)) {
      const wrong = Buffer.from(bytes);
      wrong[offset] = (wrong[offset] ?? 0) ^ 0x01;
      expect(await refusal(wrong), `byte ${offset}`).not.toBeNull();
    }
    for (const length of [0, 1, 8, 49, 50, 65, 66, bytes.length - 1]) {
      expect(await refusal(bytes.subarray(0, length)), `${length} bytes`).not.toBeNull();
    }
    expect(await refusal(Buffer.concat([bytes, Buffer.alloc(1)]))).toBe('passphrase');
  });

  it.each([
    ['100 GB of memory', 10, 100 * 1024 * 1024],
    ['a whole smallest box', 10, 512 * 1024],
    ['no memory', 10, 0],
    ['4 billion passes', 14, 0xffffffff],
    ['no pass', 14, 0],
    ['4 billion lanes', 18, 0xffffffff],
  ])('that asks for %s is refused before it gets it', async (_, at, value) => {
    const bytes = Buffer.from(await sealFile(canary, passphrase, cheap));
    bytes.writeUInt32BE(value, at);
    const start = performance.now();
    await expect(openFile(bytes, passphrase)).rejects.toThrow(/more work/);
    expect(performance.now() - start).toBeLessThan(100);
  });

  it('of a newer release, of something else, and one that is too large say what they are', async () => {
    const bytes = Buffer.from(await sealFile(canary, passphrase, cheap));
    const newer = Buffer.from(bytes);
    newer.writeUInt16BE(2, 8);
    await expect(openFile(newer, passphrase)).rejects.toThrow(/newer release/);
    await expect(openFile(Buffer.from('PK\u0003\u0004 something else'), passphrase)).rejects.toThrow(/not a backup/);
    await expect(openFile(Buffer.concat([bytes, Buffer.alloc(5 * 1024 * 1024)]), passphrase)).rejects.toThrow(/larger/);
    // It opens, and would be too much.
    const bomb = await sealFile(Buffer.alloc(40 * 1024 * 1024), passphrase, cheap);
    await expect(openFile(bomb, passphrase)).rejects.toThrow(InvalidInput);
  });

  it('of a thousand peers is far from the limit', async () => {
    const store = openStore(temporaryFolder());
    store.save(console_, (transaction) => {
      let { config } = transaction;
      for (let n = 0; n < 5; n++) {
        config = withApplication(config, `app${n}`, 10 + n);
        for (let i = 0; i < 200; i++) {
          config = withServer(config, `s${n}x${i}y`, `app${n}`, 10 + i, `psk${n}x${i}`);
          transaction.putPresharedKey(
            `psk${n}x${i}`,
            new Secret('preshared key', crypto.getRandomValues(new Uint8Array(32))),
          );
        }
      }
      transaction.put(config);
    });
    const bytes = await file(store);
    expect(bytes.length).toBeLessThan(400_000);
    const blank = openStore(temporaryFolder());
    blank.restore(console_, await contentsOf(bytes));
    expect(known(blank)).toEqual(known(store));
  });
});

it('a passphrase has ten characters at least', () => {
  expect(() => checkPassphrase('123456789')).toThrow(expect.objectContaining({ path: 'passphrase' }));
  expect(() => checkPassphrase('\u{1F600}'.repeat(9))).toThrow(InvalidInput);
  expect(() => checkPassphrase('x'.repeat(1001))).toThrow(InvalidInput);
  checkPassphrase('1234567890');
});
