// Backup and restore through the control API: who may, what is refused whole, and the same hub on a blank router.
import { describe, expect, it } from 'vitest';
import { encodeKey } from '../../src/model/key.ts';
import { type People, password, signedIn, throughGateway, withPeople } from '../support/people.ts';
import { publicKey } from '../support/saving.ts';

const passphrase = 'a passphrase that is long';
type Asked = Omit<People, 'ids'>;

/** A hub with a LAN, a server with a preshared key, and people. */
async function hub(): Promise<People> {
  const control = await withPeople();
  for (const [method, path, body] of [
    ['PATCH', '/lan', { wan: 'wan0', ports: ['lan0'], address: '192.168.66.1/24' }],
    ['POST', '/servers', { application: 'shop', label: 'web', publicKey: publicKey(), presharedKey: true }],
  ] as const) {
    expect((await control.call(method, path, body)).status).toBeLessThan(300);
  }
  return control;
}

const blank = async (
  lan: object = { wan: 'wan0', ports: ['lan0', 'lan1'], address: '192.168.66.1/24' },
): Promise<Asked> => {
  const control = throughGateway();
  await control.call('PATCH', '/lan', lan);
  return control;
};

const backup = async (control: Asked): Promise<string> =>
  (await control.call('POST', '/backup', { passphrase })).body.file;
const byId = (a: { readonly id: string }, b: { readonly id: string }) => (a.id < b.id ? -1 : 1);
const membersOf = ({ store }: Asked) => store.snapshot.config.members.toSorted(byId);

describe('POST /backup', () => {
  it('is for owners who have just given their password', async () => {
    const control = await hub();
    const ben = await signedIn(control, 'ben');
    const { status, body } = await ben('POST', '/backup', { passphrase });
    expect([status, body.name, body.omitted]).toEqual([200, 'apn-router-2023-11-14.apnbackup', []]);
    expect(control.store.audit({ limit: 1 })[0]).toMatchObject({ actor: control.ids.ben, event: 'backup made' });
    control.clock.wall += 11 * 60_000;
    expect((await ben('POST', '/backup', { passphrase })).body.error).toMatchObject({ path: 'password' });
    expect((await (await signedIn(control, 'anna'))('POST', '/backup', { passphrase })).status).toBe(403);
    expect((await control.web('POST', '/backup', { passphrase })).status).toBe(401);
  });

  it('takes no short passphrase', async () => {
    const control = await hub();
    const { status, body } = await control.call('POST', '/backup', { passphrase: 'too short' });
    expect([status, body.error.path]).toEqual([400, 'passphrase']);
  });

  it('holds no known secret in plain', async () => {
    const control = await hub();
    const bytes = Buffer.from(await backup(control), 'base64');
    const hash = Buffer.from(control.store.secret(control.ids.ben, 'credentials') ?? []);
    const secrets = [control.store.snapshot.hubPrivateKey.reveal(), Buffer.alloc(32, 9), hash].map(Buffer.from);
    for (const one of secrets) {
      expect(one.length).toBeGreaterThan(31);
      for (const text of [one, one.toString('base64'), one.toString('base64url'), one.toString('hex')]) {
        expect(bytes.includes(text)).toBe(false);
      }
    }
    expect(control.log.join('\n')).not.toContain(passphrase);
  });
});

describe('POST /restore', () => {
  it('makes a blank router the same hub, from the LAN, and starts it anew', async () => {
    const old = await hub();
    const file = await backup(old);
    const control = await blank();
    const { status, body } = await control.web('POST', '/restore', { passphrase, file });
    expect([status, body]).toEqual([200, { of: '2023-11-14T22:13:20.000Z', revision: 2, ownPorts: false }]);
    expect(control.restarts).toBe(1);
    expect(membersOf(control)).toEqual(membersOf(old));
    const [before, after] = [old.store.snapshot, control.store.snapshot];
    expect(after.config.servers).toEqual(before.config.servers);
    expect(after.config.lan).toEqual(before.config.lan);
    expect(after.hubPrivateKey.equals(before.hubPrivateKey)).toBe(true);
    expect([...after.presharedKeys].map(([id, key]) => [id, encodeKey(key.reveal())])).toEqual(
      [...before.presharedKeys].map(([id, key]) => [id, encodeKey(key.reveal())]),
    );
    // Passwords work, sessions of the other box do not.
    expect((await (await signedIn(control, 'ben'))('GET', '/session')).body.member.name).toBe('Ben');
    expect(control.log.join('\n')).not.toContain(passphrase);
  });

  it('is for the LAN and the console while nobody owns the router, with its claim code', async () => {
    const file = await backup(await hub());
    const control = await blank();
    const from = (address: string, more: object = {}) =>
      control.web('POST', '/restore', { passphrase, file, ...more }, { 'x-apn-client': address });
    expect((await from('203.0.113.66')).status).toBe(403);
    expect((await from('172.16.1.7')).status).toBe(403);
    const expiresAt = control.clock.wall + 1e9;
    control.store.tickets.issue('claim', { id: 'code', owner: '', body: {}, expiresAt, text: 'abcd1234' });
    expect((await from('192.168.66.20')).body.error.path).toBe('code');
    expect((await from('192.168.66.20', { code: 'wrong123' })).status).toBe(401);
    expect(control.store.snapshot.config.members).toEqual([]);
    expect((await from('192.168.66.20', { code: 'ABCD-1234' })).status).toBe(200);
    expect(control.store.tickets.list('claim')).toEqual([]);
  });

  it('is for owners who have just given their password once somebody owns it', async () => {
    const file = await backup(await hub());
    const control = await withPeople();
    await control.call('PATCH', '/lan', { wan: 'wan0', ports: ['lan0'], address: '192.168.66.1/24' });
    const before = control.store.snapshot;
    const asked = { passphrase, file };
    expect((await control.web('POST', '/restore', asked)).status).toBe(401);
    expect((await (await signedIn(control, 'anna'))('POST', '/restore', asked)).status).toBe(403);
    const ben = await signedIn(control, 'ben');
    control.clock.wall += 11 * 60_000;
    expect((await ben('POST', '/restore', asked)).body.error.path).toBe('password');
    expect(control.store.snapshot).toBe(before);
    const again = await signedIn(control, 'ben');
    expect((await again('POST', '/restore', asked)).status).toBe(200);
    expect((await again('GET', '/account')).status).toBe(401);
    expect(control.store.snapshot.config.servers).toMatchObject([{ label: 'web' }]);
  });

  it.each<[string, string, (file: string) => object]>([
    ['another passphrase', 'passphrase', () => ({ passphrase: 'not the passphrase' })],
    ['a changed byte', 'passphrase', (file) => ({ file: file.replace(/.{9}$/, 'AAAAAAAA=') })],
    ['something else', 'file', () => ({ file: Buffer.from('something else').toString('base64') })],
    ['no base64', 'file', () => ({ file: '%%%' })],
    ['nothing', 'file', () => ({ file: '' })],
    ['a field too many', 'more', () => ({ more: 1 })],
  ])('refuses %s and changes nothing', async (_, path, change) => {
    const file = await backup(await hub());
    const control = await blank();
    const before = control.store.snapshot;
    const { status, body } = await control.web('POST', '/restore', { passphrase, file, ...change(file) });
    expect([status, body.error.path]).toEqual([400, path]);
    expect([control.store.snapshot === before, control.restarts]).toEqual([true, 0]);
  });

  it('reads megabytes, and no more', async () => {
    const control = await blank();
    const sized = (length: number) => control.call('POST', '/restore', { passphrase, file: 'A'.repeat(length) });
    expect((await sized(5_000_000)).body.error).toMatchObject({ path: 'file' });
    expect((await sized(6_000_000)).body.error.message).toMatch(/too large/);
  });

  it('keeps the ports of a box that calls them otherwise, with the addresses of the backup', async () => {
    const file = await backup(await hub());
    const control = await blank({ wan: 'end0', ports: ['usb0'], address: '192.168.1.1/24' });
    control.services.ports = async () => ['end0', 'usb0'];
    const { body } = await control.call('POST', '/restore', { passphrase, file });
    expect(body.ownPorts).toBe(true);
    expect(control.store.snapshot.config.lan).toMatchObject({ wan: 'end0', ports: ['usb0'], address: '192.168.66.1' });
  });

  it('takes the backup’s ports where there is nothing to keep', async () => {
    const file = await backup(await hub());
    const control = throughGateway();
    control.services.ports = async () => [];
    const { body } = await control.call('POST', '/restore', { passphrase, file });
    expect([body.ownPorts, control.store.snapshot.config.lan?.wan]).toEqual([false, 'wan0']);
  });

  it('of many at one moment exactly one wins', async () => {
    const file = await backup(await hub());
    const control = await blank();
    const claim = control.web('POST', '/setup/claim', { name: 'Carla', password });
    const asked = Array.from({ length: 20 }, () => control.web('POST', '/restore', { passphrase, file }));
    const statuses = [await claim, ...(await Promise.all(asked))].map(({ status }) => status);
    expect(statuses.filter((status) => status < 300).length).toBe(1);
    expect(statuses.filter((status) => ![200, 201, 401, 409, 429].includes(status))).toEqual([]);
  });
});
