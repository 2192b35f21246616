// Every route: what it answers when all is well, and the status, field and words when it is not.
import { describe, expect, it } from 'vitest';
import type { Address } from '../../src/model/address.ts';
import { type Control, makeControl } from '../support/control.ts';
import { publicKey } from '../support/saving.ts';

/** A network, two applications, a server, an owner and a developer with a device, and a LAN with a television. */
async function small(): Promise<Control> {
  const control = makeControl();
  const steps: readonly [string, string, unknown][] = [
    ['PATCH', '/network', { endpoint: { host: '203.0.113.1' } }],
    ['PATCH', '/lan', { wan: 'wan0', ports: ['lan0', 'lan1'], address: '192.168.66.1/24' }],
    ['POST', '/applications', { label: 'shop' }],
    ['POST', '/applications', { label: 'books' }],
    [
      'POST',
      '/servers',
      { application: 'shop', label: 'web', publicKey: publicKey(), source: '203.0.113.10/32', presharedKey: false },
    ],
    ['POST', '/members', { name: 'Olga', role: 'owner' }],
    ['POST', '/members', { name: 'Anna Lee', role: 'viewer', access: { shop: 'developer' } }],
    ['POST', '/devices', { member: 'Anna Lee', label: 'laptop', publicKey: publicKey(), presharedKey: false }],
    ['POST', '/lan/devices', { label: 'tv', mac: '02:00:00:00:00:01', access: ['shop'] }],
  ];
  for (const [method, path, body] of steps) {
    const { status, body: answer } = await control.call(method, path, body);
    expect([path, status, answer?.error]).toEqual([path, method === 'POST' ? 201 : 200, undefined]);
  }
  return control;
}

/** A refused request: nothing is saved, and the field is named. */
async function refused(control: Control, request: readonly [string, string, unknown?], status: number, path: string) {
  const [before, woken] = [control.store.snapshot, control.woken.length];
  const answer = await control.call(...request);
  expect([request[1], answer.status, answer.body.error?.path]).toEqual([request[1], status, path]);
  expect(answer.body.error.message).toMatch(/^\S.*\S$/);
  expect(control.store.snapshot).toBe(before);
  expect(control.woken).toHaveLength(woken);
  return answer.body.error.message as string;
}

describe('/network', () => {
  it('is shown and changed', async () => {
    const control = makeControl();
    expect((await control.call('GET', '/network')).body).toEqual({
      ...{ range: '172.16.0.0/16', domain: 'apn', endpoint: null, hubAddress: '172.16.0.1', listenPort: 51820 },
      hubPublicKey: control.services.hubPublicKey,
    });
    const { body } = await control.call('PATCH', '/network', {
      range: '10.7.0.0/16',
      endpoint: { host: 'hub.example.net' },
    });
    expect(body).toMatchObject({
      range: '10.7.0.0/16',
      hubAddress: '10.7.0.1',
      endpoint: { host: 'hub.example.net', port: 51820 },
    });
    expect((await control.call('PATCH', '/network', { endpoint: null })).body.endpoint).toBeNull();
  });

  it.each([
    [{ range: '10.0.0.0/33' }, 'range'],
    [{ range: '010.0.0.0/16' }, 'range'],
    [{ range: '8.0.0.0/16' }, 'range'],
    [{ range: 7 }, 'range'],
    [{ endpoint: { host: 'a b' } }, 'endpoint.host'],
    [{ endpoint: { host: 'hub.example.net', port: 0 } }, 'endpoint.port'],
    [{ endpoint: { host: '172.16.0.5' } }, 'endpoint.host'],
    [{ domain: 'lan' }, 'domain'],
  ])('refuses %j', async (body, path) => {
    await refused(makeControl(), ['PATCH', '/network', body], 400, path);
  });

  it('keeps its range while there are addresses in it', async () => {
    await refused(await small(), ['PATCH', '/network', { range: '10.7.0.0/16' }], 409, 'range');
  });
});

describe('/applications', () => {
  it('are added, listed, linked, unlinked and removed', async () => {
    const control = await small();
    const { body: all } = await control.call('GET', '/applications');
    expect(all).toEqual([
      { id: expect.any(String), label: 'shop', range: '172.16.10.0/24', links: [], servers: 1 },
      { id: expect.any(String), label: 'books', range: '172.16.11.0/24', links: [], servers: 0 },
    ]);
    expect((await control.call('POST', '/applications/shop/links', { to: 'books' })).body.links).toEqual(['books']);
    expect((await control.call('POST', '/applications/shop/links', { to: 'books' })).body.links).toEqual(['books']);
    expect((await control.call('DELETE', '/applications/shop/links/books')).body.links).toEqual([]);
    await control.call('POST', '/applications/shop/links', { to: 'books' });
    await control.call('PATCH', '/members/olga', { access: { books: 'viewer' } });
    await control.call('PATCH', '/lan', { defaultAccess: ['books'] });
    expect((await control.call('DELETE', '/applications/books')).body).toEqual({ id: all[1].id, removed: true });
    const { config } = control.store.snapshot;
    expect(JSON.stringify(config)).not.toContain(all[1].id);
  });

  it('are refused with the field', async () => {
    const control = await small();
    const add = (body: unknown) => ['POST', '/applications', body] as const;
    await refused(control, add({}), 400, 'label');
    for (const label of ['shop', 'hub', 'wpad', 'Shop', 'a.b', '', 'xn--shp-fka', '-a', 'a'.repeat(64)]) {
      await refused(control, add({ label }), 400, 'label');
    }
    for (const range of [
      '172.16.10.0/24',
      '172.16.10.128/25',
      '172.16.0.0/24',
      '10.0.0.0/24',
      '172.16.20.1/24',
      '172.16.20.0/31',
    ]) {
      await refused(control, add({ label: 'new', range }), 400, 'range');
    }
    await refused(control, add({ label: 'new', colour: 'red' }), 400, 'colour');
    await refused(control, ['POST', '/applications/shop/links', { to: 'nobody' }], 404, 'to');
    await refused(control, ['POST', '/applications/shop/links', { to: 'shop' }], 400, 'links');
    await refused(control, ['POST', '/applications/nobody/links', { to: 'shop' }], 404, '');
    expect(await refused(control, ['DELETE', '/applications/shop'], 409, '')).toContain('servers');
    await refused(control, ['DELETE', '/applications/nobody'], 404, '');
  });
});

describe('/servers', () => {
  it('are added with a file, listed with what the tunnel says, changed and removed with their rule', async () => {
    const control = await small();
    const key = publicKey();
    const added = await control.call('POST', '/servers', {
      ...{ application: 'shop', label: 'db', publicKey: key, address: '172.16.10.11', presharedKey: true },
    });
    const shown = Buffer.alloc(32, 9).toString('base64');
    expect(added.status).toBe(201);
    expect(added.body).toMatchObject({
      ...{ name: 'db.shop', fqdn: 'db.shop.apn', application: 'shop', label: 'db', address: '172.16.10.11' },
      ...{
        publicKey: key,
        presharedKey: shown,
        hasPresharedKey: true,
        sources: [],
        connected: false,
        lastHandshake: null,
      },
    });
    expect(added.body.config).toContain(`PresharedKey = ${shown}\n`);
    expect(added.body.config).toContain('Endpoint = 203.0.113.1:51820');
    expect(control.store.snapshot.presharedKeys.size).toBe(1);
    // Shown once.
    expect(JSON.stringify((await control.call('GET', '/servers')).body)).not.toContain(shown);
    expect((await control.call('GET', '/config/db')).body.config).not.toContain(shown);

    const lastHandshake = control.clock.wall - 60_000;
    const endpoint = { address: '2001:db8::7' as Address, port: 4500 };
    control.peers.set(key, { endpoint, lastHandshake, rxBytes: 7, txBytes: 9 });
    const live = {
      connected: true,
      endpoint: '[2001:db8::7]:4500',
      lastHandshake: new Date(lastHandshake).toISOString(),
    };
    expect((await control.call('GET', '/servers')).body[1]).toMatchObject({ ...live, rxBytes: 7, txBytes: 9 });
    control.clock.wall += 200_000;
    expect((await control.call('GET', '/servers')).body[1].connected).toBe(false);

    const moved = await control.call('PATCH', '/servers/db.shop.apn', { label: 'data', address: '172.16.10.12' });
    expect(moved.body).toMatchObject({ id: added.body.id, name: 'data.shop', address: '172.16.10.12', publicKey: key });
    expect((await control.call('DELETE', `/servers/${encodeURIComponent('shop/data')}`)).body.removed).toBe(true);
    expect(control.store.snapshot.presharedKeys.size).toBe(0);
    await control.call('DELETE', '/servers/web');
    expect(control.store.snapshot.config).toMatchObject({ servers: [], rules: [] });
  });

  it('are refused with the field', async () => {
    const control = await small();
    const [web] = control.store.snapshot.config.servers;
    const good = { application: 'shop', label: 'new', publicKey: publicKey() };
    const add = (body: object) => ['POST', '/servers', { ...good, ...body }] as const;
    await refused(control, add({ application: 'nobody' }), 404, 'application');
    for (const label of ['web', 'New', 'a b', '']) await refused(control, add({ label }), 400, 'label');
    const keys = [
      ...['', 'A'.repeat(43), `${good.publicKey}=`, good.publicKey.slice(1), `${'A'.repeat(43)}=`],
      ...[
        `${'A'.repeat(42)}B=`,
        'AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=',
        control.services.hubPublicKey,
        web?.publicKey,
      ],
    ];
    for (const key of keys) await refused(control, add({ publicKey: key }), 400, 'publicKey');
    for (const address of [
      '172.16.10.10',
      '172.16.10.0',
      '172.16.10.255',
      '172.16.11.9',
      '172.16.0.1',
      '1.2.3',
      'fd00::1',
      '172.016.10.9',
    ]) {
      await refused(control, add({ address }), 400, 'address');
    }
    await refused(control, add({ source: '10.0.0.1/33' }), 400, 'source');
    await refused(control, add({ presharedKey: 'yes' }), 400, 'presharedKey');
    await refused(control, ['PATCH', '/servers/web', { presharedKey: true }], 400, 'presharedKey');
    await refused(control, ['PATCH', '/servers/web', { label: '' }], 400, 'label');
    for (const method of ['PATCH', 'DELETE']) await refused(control, [method, '/servers/nobody', {}], 404, '');
  });

  it('names a source that no rule can have by its field', async () => {
    const control = await small();
    const body = { application: 'shop', label: 'new', publicKey: publicKey(), source: '192.168.66.0/24' };
    const answer = await control.call('POST', '/servers', body);
    expect(answer.status).toBe(400);
    expect(answer.body.error.path).toMatch(/source$/);
  });

  it('a short name that two applications share finds neither', async () => {
    const control = await small();
    await control.call('POST', '/servers', { application: 'books', label: 'web', publicKey: publicKey() });
    await refused(control, ['DELETE', '/servers/web'], 404, '');
    expect((await control.call('DELETE', '/servers/web.books')).status).toBe(200);
  });

  it('run out of addresses with a conflict', async () => {
    const control = makeControl();
    await control.call('POST', '/applications', { label: 'tiny', range: '172.16.20.0/30' });
    for (const label of ['one', 'two']) {
      expect(
        (await control.call('POST', '/servers', { application: 'tiny', label, publicKey: publicKey() })).status,
      ).toBe(201);
    }
    await refused(
      control,
      ['POST', '/servers', { application: 'tiny', label: 'three', publicKey: publicKey() }],
      409,
      'address',
    );
  });
});

describe('/members and /devices', () => {
  it('are added, listed, changed and removed', async () => {
    const control = await small();
    const { body: members } = await control.call('GET', '/members');
    expect(members[1]).toEqual({
      ...{ id: expect.any(String), name: 'Anna Lee', label: 'anna-lee', role: 'viewer', access: { shop: 'developer' } },
      ...{ leasePolicy: 'ask', travelUntil: null, disabled: false, devices: ['laptop'] },
      ...{ signIn: 'none', invited: false, totp: false, lastSignIn: null },
    });
    const { body: devices } = await control.call('GET', '/devices');
    expect(devices[0]).toMatchObject({
      name: 'laptop.anna-lee.team',
      fqdn: 'laptop.anna-lee.team.apn',
      member: 'Anna Lee',
      address: '172.16.1.10',
    });
    const changed = await control.call('PATCH', '/members/anna%20lee', {
      access: { shop: null, books: 'viewer' },
      disabled: true,
    });
    expect(changed.body).toMatchObject({ access: { books: 'viewer' }, disabled: true, role: 'viewer' });
    const device = await control.call('PATCH', '/devices/laptop', { label: 'desk', address: '172.16.1.99' });
    expect(device.body).toMatchObject({ id: devices[0].id, name: 'desk.anna-lee.team', address: '172.16.1.99' });
    expect((await control.call('DELETE', '/devices/anna-lee%2Fdesk')).body).toEqual({
      id: devices[0].id,
      removed: true,
    });
    expect((await control.call('DELETE', `/members/${members[1].id}`)).body).toEqual({
      id: members[1].id,
      removed: true,
    });
  });

  it('are refused with the field', async () => {
    const control = await small();
    const member = (body: object) => ['POST', '/members', { name: 'New', ...body }] as const;
    for (const name of ['', ' New', 'N  ew', 'Olga', 'OLGA', 'Ölga\u200b', 'a'.repeat(61), 7]) {
      await refused(control, member({ name }), 400, 'name');
    }
    await refused(control, member({ name: '東京' }), 400, 'label');
    await refused(control, member({ role: 'king' }), 400, 'role');
    await refused(control, member({ access: { nobody: 'viewer' } }), 404, 'access.nobody');
    await refused(control, member({ access: { shop: 'king' } }), 400, 'access.shop');
    await refused(control, member({ leasePolicy: 'always' }), 400, 'leasePolicy');
    await refused(control, ['PATCH', '/members/olga', { label: 'x' }], 400, 'label');
    expect(await refused(control, ['PATCH', '/members/olga', { role: 'admin' }], 400, 'role')).toContain('owner');
    await refused(control, ['PATCH', '/members/olga', { disabled: true }], 400, 'role');
    const last = await control.call('DELETE', '/members/olga');
    expect([last.status, last.body.error.message]).toEqual([400, 'There must be at least one owner.']);
    expect(await refused(control, ['DELETE', '/members/anna-lee'], 409, '')).toContain('devices');
    for (const method of ['PATCH', 'DELETE']) await refused(control, [method, '/members/nobody', {}], 404, '');
    const device = (body: object) =>
      ['POST', '/devices', { member: 'olga', label: 'phone', publicKey: publicKey(), ...body }] as const;
    await refused(control, device({ member: 'nobody' }), 404, 'member');
    await refused(control, device({ address: '172.16.10.99' }), 400, 'address');
    await refused(
      control,
      device({ publicKey: control.store.snapshot.config.servers[0]?.publicKey }),
      400,
      'publicKey',
    );
    for (const method of ['PATCH', 'DELETE']) await refused(control, [method, '/devices/nobody', {}], 404, '');
  });
});

describe('/lan', () => {
  it('is set up with what most people choose, shown and changed', async () => {
    const control = makeControl();
    expect((await control.call('GET', '/lan')).body).toBeNull();
    const { body } = await control.call('PATCH', '/lan', { wan: 'wan0', ports: ['lan0'], address: '192.168.66.1/24' });
    expect(body).toEqual({
      ...{ topology: 'router', wan: 'wan0', ports: ['lan0'], address: '192.168.66.1', range: '192.168.66.0/24' },
      confirm: null,
      ...{ dhcp: { from: '192.168.66.102', to: '192.168.66.199' }, defaultAccess: 'nothing' },
    });
    expect((await control.call('PATCH', '/lan', { dhcp: null })).body.dhcp).toBeNull();
    expect((await control.call('GET', '/lan')).body).toMatchObject({ dhcp: null, ports: ['lan0'] });
  });

  it.each([
    [{ ports: ['lan0'], address: '192.168.66.1/24' }, 'wan'],
    [{ wan: 'wan0', ports: ['lan0'], address: '192.168.66.1' }, 'address'],
    [{ wan: 'wan0', ports: ['lan0'], address: '192.168.66.0/24' }, 'address'],
    [{ wan: 'wan0', ports: ['lan0'], address: '172.16.66.1/24' }, 'network.range'],
    [{ wan: 'wan0', ports: ['lan0; reboot'], address: '192.168.66.1/24' }, 'ports.0'],
    [{ wan: 'wan0', ports: ['wan0'], address: '192.168.66.1/24' }, 'ports'],
    [{ wan: 'wan0', ports: ['br-lan'], address: '192.168.66.1/24' }, 'ports'],
    [{ topology: 'beside', wan: 'wan0', ports: [], address: '192.168.66.1/24' }, 'topology'],
    [
      { wan: 'wan0', ports: ['lan0'], address: '192.168.66.1/24', dhcp: { from: '192.168.66.9', to: '192.168.66.2' } },
      'dhcp.to',
    ],
    [{ wan: 'wan0', ports: ['lan0'], address: '192.168.66.1/24', dhcp: { from: '192.168.66.9' } }, 'dhcp.to'],
    [
      { wan: 'wan0', ports: ['lan0'], address: '192.168.66.1/24', dhcp: { from: '192.168.67.9', to: '192.168.67.10' } },
      'dhcp.from',
    ],
  ])('refuses %j', async (body, path) => {
    await refused(makeControl(), ['PATCH', '/lan', body], 400, path);
  });

  it('lists its devices and the strangers on it; takes them in with the address they have', async () => {
    const control = await small();
    control.leased.push(
      { mac: '02:00:00:00:00:01', address: '192.168.66.140' as Address, hostName: 'television' },
      { mac: '02:00:00:00:00:09', address: '192.168.66.141' as Address, hostName: 'guest' },
    );
    const { body } = await control.call('GET', '/lan/devices');
    expect(body).toEqual([
      {
        ...{
          id: expect.any(String),
          label: 'tv',
          fqdn: 'tv.lan.apn',
          mac: '02:00:00:00:00:01',
          address: '192.168.66.2',
        },
        ...{ identity: '172.16.2.10', access: ['shop'], hostName: 'television' },
      },
      {
        ...{ id: null, label: null, mac: '02:00:00:00:00:09', address: '192.168.66.141', identity: null },
        ...{ access: 'default', hostName: 'guest' },
      },
    ]);
    const guest = await control.call('POST', '/lan/devices', { label: 'guest', mac: '02-00-00-00-00-09' });
    expect(guest.body).toMatchObject({
      address: '192.168.66.141',
      identity: '172.16.2.11',
      access: 'default',
      mac: '02:00:00:00:00:09',
    });
    const edited = await control.call('PATCH', '/lan/devices/guest', { access: 'everything', label: 'visitor' });
    expect(edited.body).toMatchObject({ label: 'visitor', access: 'everything', address: '192.168.66.141' });
    expect((await control.call('DELETE', '/lan/devices/02:00:00:00:00:09')).body.removed).toBe(true);
    expect(control.store.snapshot.config.lanDevices).toHaveLength(1);
  });

  it('refuses devices with the field', async () => {
    const control = await small();
    const add = (body: object) =>
      ['POST', '/lan/devices', { label: 'new', mac: '02:00:00:00:00:02', ...body }] as const;
    for (const label of ['tv', 'hub', 'wpad', 'localhost', 'A', ''])
      await refused(control, add({ label }), 400, 'label');
    for (const mac of ['02:00:00:00:00:01', 'ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:01', '00:00:00:00:00:00', 'x', '']) {
      await refused(control, add({ mac }), 400, 'mac');
    }
    for (const address of ['192.168.66.1', '192.168.66.2', '192.168.67.9', '192.168.66.255']) {
      await refused(control, add({ address }), 400, 'address');
    }
    for (const identity of ['172.16.2.10', '172.16.1.9', '172.16.10.10']) {
      await refused(control, add({ identity }), 400, 'identity');
    }
    await refused(control, add({ access: ['nobody'] }), 404, 'access');
    for (const method of ['PATCH', 'DELETE']) await refused(control, [method, '/lan/devices/nobody', {}], 404, '');
  });
});

describe('/rules, /names and /config', () => {
  it('rules are added, listed and removed by id or source, with a slash or encoded', async () => {
    const control = await small();
    const added = await control.call('POST', '/rules', { source: '198.51.100.0/24', note: 'office' });
    expect(added.body).toEqual({ id: expect.any(String), source: '198.51.100.0/24', note: 'office', server: null });
    expect((await control.call('GET', '/rules')).body).toEqual([
      { id: expect.any(String), source: '203.0.113.10', note: 'web.shop', server: 'web.shop' },
      added.body,
    ]);
    expect((await control.call('DELETE', '/rules/198.51.100.0%2F24')).body).toEqual({ removed: [added.body.id] });
    await control.call('POST', '/rules', { source: '198.51.100.0/24' });
    expect((await control.call('DELETE', '/rules/198.51.100.0/24')).status).toBe(200);
    expect((await control.call('DELETE', '/rules/203.0.113.10')).status).toBe(200);
    expect(control.store.snapshot.config.rules).toEqual([]);
  });

  it('rules are refused with the field', async () => {
    const control = await small();
    const sources = [
      '0.0.0.0/0',
      '224.0.0.1/32',
      '127.0.0.1/32',
      '192.168.66.0/24',
      '172.16.0.0/16',
      '203.0.113.7/24',
      'x',
      '::/0',
    ];
    for (const source of sources) await refused(control, ['POST', '/rules', { source }], 400, 'source');
    const body = { source: '198.51.100.7/32' };
    await refused(control, ['POST', '/rules', { ...body, note: 'x'.repeat(201) }], 400, 'note');
    await refused(control, ['POST', '/rules', { ...body, server: 'nobody' }], 404, 'server');
    await control.call('POST', '/rules', body);
    await refused(control, ['POST', '/rules', body], 409, 'source');
    for (const name of ['198.51.100.8', '%25', '%', '%E0%A4%A', 'a%2Fb', '..'])
      await refused(control, ['DELETE', `/rules/${name}`], 404, '');
  });

  it('names are added relative to the domain, listed and removed', async () => {
    const control = await small();
    const a = await control.call('POST', '/names', { name: 'files.apn', type: 'A', address: '172.16.10.10' });
    expect(a.body).toEqual({ id: expect.any(String), name: 'files', type: 'A', address: '172.16.10.10' });
    const c = await control.call('POST', '/names', { name: '*.docs', type: 'CNAME', target: 'web.shop.apn' });
    expect(c.body).toMatchObject({ name: '*.docs', target: 'web.shop' });
    expect((await control.call('GET', '/names')).body).toEqual([a.body, c.body]);
    expect((await control.call('DELETE', '/names/files.apn')).body).toEqual({ id: a.body.id, removed: true });
    expect((await control.call('DELETE', '/names/*.docs')).status).toBe(200);
    await refused(control, ['DELETE', '/names/files'], 404, '');
  });

  it('names are refused with the field', async () => {
    const control = await small();
    for (const name of ['hub', 'wpad', 'x.lan', 'shop', 'web.shop', 'A', 'a..b', '', '*']) {
      await refused(control, ['POST', '/names', { name, type: 'A', address: '172.16.10.10' }], 400, 'name');
    }
    await refused(control, ['POST', '/names', { name: 'x', type: 'CNAME', target: 'x' }], 400, 'target');
    await refused(control, ['POST', '/names', { name: 'x', type: 'MX', target: 'y' }], 400, 'type');
    await refused(control, ['POST', '/names', { name: 'x', type: 'A', address: 'x' }], 400, 'address');
    await refused(control, ['POST', '/names', { name: 'x', type: 'A', target: 'y' }], 400, 'address');
    await refused(control, ['POST', '/names', {}], 400, 'type');
  });

  it('a WireGuard file is found by any name of the peer', async () => {
    const control = await small();
    const { body } = await control.call('GET', '/config/web.shop.apn');
    expect(body).toMatchObject({
      name: 'web.shop',
      config: expect.stringContaining('PrivateKey = PRIVATE-KEY-OF-web.shop\n'),
    });
    expect(body.config).toContain('DNS = 172.16.0.1, apn');
    expect((await control.call('GET', '/config/shop%2Fweb?dns=no')).body.config).not.toContain('DNS');
    expect((await control.call('GET', '/config/laptop')).body.name).toBe('laptop.anna-lee.team');
    await refused(control, ['GET', '/config/nobody'], 404, '');
  });
});

describe('/explain', () => {
  const ask = (control: Control, source: string, destination: string, port = '') =>
    control.call('GET', `/explain?${new URLSearchParams({ source, destination, port })}`);

  it('says what is allowed and why', async () => {
    const control = await small();
    expect((await ask(control, 'tv', 'web.shop', '80')).body).toMatchObject({
      allowed: true,
      because: [expect.anything()],
    });
    expect((await ask(control, 'laptop', '172.16.10.10')).body.allowed).toBe(true);
    expect((await ask(control, 'web', 'tv')).body).toMatchObject({ allowed: false, because: [] });
    expect((await ask(control, '8.8.8.8', 'web')).body.allowed).toBe(false);
  });

  it('names what it does not understand', async () => {
    const control = await small();
    await refused(control, ['GET', '/explain?source=nobody&destination=web'], 400, 'source');
    await refused(control, ['GET', '/explain?source=tv'], 400, 'destination');
    for (const port of ['0', '65536', 'http', '80/sctp', '-1', '1e3']) {
      await refused(
        control,
        ['GET', `/explain?source=tv&destination=web&port=${encodeURIComponent(port)}`],
        400,
        'port',
      );
    }
  });
});
