// The history through the control API: what is told, taking back, conflicts by name, and no secret in any answer.

import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { encodeKey } from '../../src/model/key.ts';
import { type Control, makeControl } from '../support/control.ts';
import { type People, signedIn, withPeople } from '../support/people.ts';
import { makePrivateKey, publicKey } from '../support/saving.ts';
import { openStore, temporaryFolder } from '../support/store.ts';

async function withServer(): Promise<People & { readonly key: string }> {
  const control = await withPeople();
  const key = publicKey();
  const { status } = await control.call('POST', '/servers', {
    application: 'shop',
    label: 'web',
    publicKey: key,
    presharedKey: true,
  });
  expect(status).toBe(201);
  return Object.assign(control, { key });
}

const newest = async (control: People) => (await control.call('GET', '/history?limit=1')).body[0];
const revert = (control: People, revision: number) => control.call('POST', `/history/${revision}/revert`, {});

describe('GET /history', () => {
  it('tells who changed which field from what to what', async () => {
    const control = await withServer();
    const ben = await signedIn(control, 'ben');
    await ben('PATCH', '/servers/web.shop', { label: 'www', keepalive: null });
    expect(await newest(control)).toEqual({
      ...{
        revision: control.store.snapshot.revision,
        at: '2023-11-14T22:13:20.000Z',
        actor: 'Ben',
        summary: 'server web changed',
      },
      changes: [
        {
          ...{ noun: 'servers', id: expect.any(String), name: 'www.shop', kind: 'changed' },
          fields: [
            { path: 'label', before: 'web', after: 'www' },
            { path: 'keepalive', before: 25, after: null },
          ],
        },
      ],
    });
    await ben('PATCH', '/members/anna', { access: { shop: 'admin' } });
    expect((await newest(control)).changes[0]).toMatchObject({
      name: 'Anna',
      fields: [{ before: 'developer', after: 'admin' }],
    });
    expect((await newest(control)).changes[0].fields[0].path).toBe('access.shop');
    await control.call('POST', '/applications', { label: 'books' });
    await control.call('POST', '/applications/shop/links', { to: 'books' });
    expect((await newest(control)).changes[0].fields).toEqual([{ path: 'links', before: [], after: ['books'] }]);
    await control.call('DELETE', '/servers/www.shop');
    const removed = (await newest(control)).changes.find(({ noun }: { noun: string }) => noun === 'servers');
    expect(removed).toMatchObject({ kind: 'removed', name: 'www.shop' });
    expect(removed.fields).toContainEqual({ path: 'publicKey', before: control.key, after: null });
  });

  it('names members that are gone as they were called', async () => {
    const control = await withPeople();
    await control.call('POST', '/members', { name: 'Anna B', role: 'owner' });
    await control.call('POST', '/members/anna-b/password-reset', { password: 'correct horse battery' });
    const other = await signedIn(control, 'Anna B');
    await other('POST', '/applications', { label: 'books' });
    await control.call('DELETE', '/members/anna-b');
    const { body } = await control.call('GET', '/history');
    expect(body[1]).toMatchObject({ actor: 'Anna B', summary: 'application books added' });
  });

  it('gives pages, and one by its number', async () => {
    const control = await withServer();
    const all = (await control.call('GET', '/history')).body.map(({ revision }: { revision: number }) => revision);
    expect(all.length).toBeGreaterThan(3);
    const page = await control.call('GET', `/history?before=${all[1]}&limit=2`);
    expect(page.body.map(({ revision }: { revision: number }) => revision)).toEqual(all.slice(2, 4));
    expect((await control.call('GET', `/history/${all[1]}`)).body.revision).toBe(all[1]);
    for (const query of ['limit=0', 'limit=501', 'limit=x', 'before=-1', 'before=1e3']) {
      expect((await control.call('GET', `/history?${query}`)).status).toBe(400);
    }
    expect((await control.call('GET', '/history/999')).status).toBe(404);
    expect((await control.call('GET', '/history/0x1')).status).toBe(400);
    expect((await revert(control, 999)).status).toBe(404);
  });

  it('holds no secret, and is for owners', async () => {
    const control = await withServer();
    await control.call('DELETE', '/servers/web.shop');
    await control.call('DELETE', '/members/anna');
    const text = JSON.stringify((await control.call('GET', '/history')).body);
    expect(text).toContain(control.key);
    expect(text).not.toContain(encodeKey(new Uint8Array(32).fill(9)));
    expect(text).not.toContain('argon2');
    expect(control.databaseBytes().includes('argon2')).toBe(false);
    expect(control.databaseBytes().includes(Buffer.alloc(32, 9))).toBe(false);
    const other = await withPeople();
    const anna = await signedIn(other, 'anna');
    expect((await anna('GET', '/history')).status).toBe(403);
    expect((await anna('POST', '/history/1/revert', {})).status).toBe(403);
  });
});

describe('taking back', () => {
  it('a removal brings a server back whose file works unchanged', async () => {
    const control = await withServer();
    const before = control.store.snapshot;
    await control.call('DELETE', '/servers/web.shop');
    expect(control.store.snapshot.presharedKeys.size).toBe(0);
    const { status, body } = await revert(control, control.store.snapshot.revision);
    expect([status, body]).toEqual([200, { revision: control.store.snapshot.revision, confirm: null }]);
    expect(control.store.snapshot.config).toEqual(before.config);
    expect([...control.store.snapshot.presharedKeys.keys()]).toEqual([...before.presharedKeys.keys()]);
    expect(await newest(control)).toMatchObject({ actor: 'console', summary: 'undone: server web removed' });
    expect(control.woken.at(-1)).toBe('everything');
    // And that is a revision of its own.
    expect((await revert(control, control.store.snapshot.revision)).status).toBe(200);
    expect(control.store.snapshot.config.servers).toEqual([]);
  });

  it('a removal of a member brings him back with his password', async () => {
    const control = await withPeople();
    await control.call('DELETE', '/members/anna');
    await revert(control, control.store.snapshot.revision);
    const anna = await signedIn(control, 'anna');
    expect((await anna('GET', '/session')).body.member.name).toBe('Anna');
  });

  it.each<[string, (control: People) => Promise<unknown>, string]>([
    [
      'a field that was changed again',
      (c) => c.call('PATCH', '/servers/www.shop', { label: 'third' }),
      'servers.*.label',
    ],
    ['an object that is gone', (c) => c.call('DELETE', '/servers/www.shop'), 'servers.*'],
    [
      'a name somebody else has by now',
      (c) => c.call('POST', '/servers', { application: 'shop', label: 'web', publicKey: publicKey() }),
      'servers.*.label',
    ],
  ])('refuses %s', async (_, meanwhile, path) => {
    const control = await withServer();
    await control.call('PATCH', '/servers/web.shop', { label: 'www' });
    const { revision } = control.store.snapshot;
    await meanwhile(control);
    const before = control.store.snapshot;
    const { status, body } = await revert(control, revision);
    expect([status, body.error.path.replace(/\.[a-z0-9]{4,}/, '.*')]).toEqual([409, path]);
    expect(control.store.snapshot).toBe(before);
  });

  it('refuses a replaced key, which stays dead', async () => {
    const control = await withServer();
    const second = publicKey();
    await control.call('POST', '/servers/web.shop/rotate', { publicKey: second });
    const { revision } = control.store.snapshot;
    const { status, body } = await revert(control, revision);
    expect([status, body.error.message]).toEqual([409, expect.stringContaining('stays dead')]);
    const start = await control.call('POST', `/history/${revision - 1}/restore`, {});
    expect(start.status).toBe(200);
    expect(control.store.snapshot.config.servers[0]?.publicKey).toBe(second);
  });

  it('a newer file of an uplink, or its removal, brings back its own keys', async () => {
    const folder = temporaryFolder();
    const control = makeControl(folder);
    const [hosted, second] = [publicKey(), publicKey()];
    const file = (address: string) => {
      const [own, shared] = [makePrivateKey().reveal(), randomBytes(32)].map(encodeKey);
      const peer = (key: string, n: number) => [
        '[Peer]',
        `PublicKey = ${key}`,
        `PresharedKey = ${shared}`,
        `AllowedIPs = 10.9.0.${n}/32`,
      ];
      const endpoint = 'Endpoint = 203.0.113.80:51820';
      return [
        ...['[Interface]', `PrivateKey = ${own}`, `Address = ${address}`],
        ...[...peer(hosted, 10), endpoint, ...peer(second, 11), endpoint, ''],
      ].join('\n');
    };
    const known = ({ config, presharedKeys, uplinkKeys, damaged }: Control['store']['snapshot']) => ({
      ...{ config, damaged },
      keys: new Map([...presharedKeys, ...uplinkKeys].map(([id, key]) => [id, encodeKey(key.reveal())])),
    });
    expect((await control.call('POST', '/uplinks', { label: 'hosted', file: file('10.9.0.2/32') })).status).toBe(201);
    const first = known(control.store.snapshot);
    expect(first.keys.size).toBe(3);
    expect((await control.call('PUT', '/uplinks/hosted/file', { file: file('10.9.0.3/32') })).status).toBe(200);
    const newer = known(control.store.snapshot);
    const { revision } = control.store.snapshot;
    expect((await control.call('PATCH', '/uplinks/hosted', { label: 'other' })).status).toBe(200);
    expect((await control.call('DELETE', '/uplinks/other')).status).toBe(200);
    expect(control.store.snapshot.uplinkKeys.size).toBe(0);
    expect((await control.call('POST', `/history/${revision + 2}/revert`, {})).status).toBe(200);
    expect((await control.call('POST', `/history/${revision + 1}/revert`, {})).status).toBe(200);
    expect(known(control.store.snapshot)).toEqual(newer);
    expect((await control.call('POST', `/history/${revision}/revert`, {})).status).toBe(200);
    expect(known(control.store.snapshot)).toEqual(first);
    await control.call('DELETE', '/uplinks/hosted');
    expect((await control.call('POST', `/history/${revision - 1}/restore`, {})).status).toBe(200);
    expect(known(control.store.snapshot)).toEqual(first);
    expect((await control.call('POST', `/history/${revision}/restore`, {})).status).toBe(200);
    expect(known(control.store.snapshot)).toEqual(newer);
    control.store.close();
    expect(known(openStore(folder).snapshot)).toEqual(newer);
  });

  it('never leaves a router without an owner', async () => {
    const control = await withPeople();
    await control.call('POST', '/members', { name: 'Carla', role: 'owner' });
    const { revision } = control.store.snapshot;
    await control.call('DELETE', '/members/ben');
    const { status, body } = await revert(control, revision);
    expect([status, body.error.message]).toEqual([409, 'There must be at least one owner.']);
  });

  it('goes back over everything that came since, once', async () => {
    const control = await withServer();
    const { config, revision } = control.store.snapshot;
    await control.call('POST', '/applications', { label: 'books' });
    await control.call('PATCH', '/servers/web.shop', { label: 'www' });
    await control.call('DELETE', '/members/anna');
    await control.call('PATCH', '/network', { endpoint: { host: 'hub.example.net' } });
    expect((await control.call('POST', `/history/${revision}/restore`, {})).status).toBe(200);
    const sorted = (one: typeof config) => ({
      ...one,
      members: one.members.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    });
    expect(sorted(control.store.snapshot.config)).toEqual(sorted(config));
    const again = await control.call('POST', `/history/${control.store.snapshot.revision}/restore`, {});
    expect(again.status).toBe(409);
  });

  it('of a network edit waits to be confirmed like the edit itself', async () => {
    const control = await withPeople();
    await control.call('PATCH', '/lan', { wan: 'wan0', ports: ['lan0'], address: '192.168.66.1/24', dhcp: null });
    await control.call('PATCH', '/lan', { address: '192.168.77.1/24' });
    const ben = await signedIn(control, 'ben');
    const { revision } = control.store.snapshot;
    const { body } = await ben('POST', `/history/${revision}/revert`, {});
    expect(body.confirm).toMatchObject({ secondsLeft: 90 });
    expect(control.store.snapshot.config.lan?.address).toBe('192.168.66.1');
    await ben('DELETE', '/confirm');
    expect(control.store.snapshot.config.lan?.address).toBe('192.168.77.1');
  });
});
