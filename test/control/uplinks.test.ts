// /uplinks: a file is imported, compared and taken anew, whole or not at all, and its keys are never told again.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { beforeEach, describe, expect, it } from 'vitest';
import { parseAddress, parsePrefix } from '../../src/model/address.ts';
import { encodeKey } from '../../src/model/key.ts';
import { longestFile } from '../../src/model/wireguard-file.ts';
import { type Control, makeControl } from '../support/control.ts';
import { makePrivateKey, publicKey, publicKeyOf } from '../support/saving.ts';
import { openStore, temporaryFolder } from '../support/store.ts';

const text = (key: { reveal(): Uint8Array }) => encodeKey(key.reveal());
const [own, crm, wiki] = [makePrivateKey(), publicKey(), publicKey()];
const psk = encodeKey(randomBytes(32));

interface Parts {
  readonly face?: readonly string[];
  readonly peers?: readonly (readonly string[])[];
}
const face = [`PrivateKey = ${text(own)}`, 'Address = 10.9.0.2/32', 'DNS = 10.9.0.53, corp.example.net'];
const crmPeer = [
  ...['# CRM', '[Peer]', `PublicKey = ${crm}`, `PresharedKey = ${psk}`, 'AllowedIPs = 10.9.0.10/32, 10.9.0.53/32'],
  ...['Endpoint = 203.0.113.80:51820', 'PersistentKeepalive = 25'],
];
const wikiPeer = ['[Peer]', `PublicKey = ${wiki}`, 'AllowedIPs = 10.9.0.11/32', 'Endpoint = vpn.example.net:51820'];
const fileOf = (parts: Parts = {}) =>
  ['[Interface]', ...(parts.face ?? face), ...(parts.peers ?? [crmPeer, wikiPeer]).flat(), ''].join('\n');
const changed = (from: string, to: string) => fileOf().replace(from, () => to);

let control: Control;
let folder = '';
const add = (more: object = {}) => control.call('POST', '/uplinks', { label: 'hosted', file: fileOf(), ...more });
const put = (file: string) => control.call('PUT', '/uplinks/hosted/file', { file });
const preview = (file: string, uplink?: string) => control.call('POST', '/uplinks/preview', { file, uplink });
const uplinks = () => control.store.snapshot.config.uplinks;

beforeEach(async () => {
  folder = temporaryFolder();
  control = makeControl(folder);
  await control.call('PATCH', '/lan', { wan: 'wan0', ports: ['lan0'], address: '192.168.66.1/24' });
  await control.call('POST', '/lan/devices', { label: 'tv', mac: '02:00:00:00:66:0a' });
  await control.call('POST', '/members', { name: 'Anna', role: 'owner' });
  await control.call('POST', '/applications', { label: 'shop' });
});

describe('importing', () => {
  it('answers with what it made, and with none of its secrets', async () => {
    const { status, body } = await add({ access: { lan: ['tv'], members: ['Anna'], applications: ['shop'] } });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      ...{ label: 'hosted', device: 'apn1', publicKey: publicKeyOf(own), address: '10.9.0.2', mtu: 1420, notes: [] },
      dns: { servers: ['10.9.0.53'], domains: ['corp.example.net'], relayed: ['corp.example.net'] },
      access: { lan: ['tv'], members: ['anna'], applications: ['shop'] },
      connected: 0,
      peers: [
        {
          ...{ publicKey: crm, label: 'crm', fqdn: 'crm.hosted.apn', address: '10.9.0.10', alias: '172.16.3.1' },
          ...{ endpoint: '203.0.113.80:51820', keepalive: 25, hasPresharedKey: true, connected: false },
        },
        { publicKey: wiki, label: null, fqdn: null, alias: '172.16.3.2', endpoint: 'vpn.example.net:51820' },
      ],
    });
    for (const path of ['/uplinks', '/uplinks/hosted', '/status', '/openapi.json']) {
      const answer = JSON.stringify((await control.call('GET', path)).body);
      expect([answer.includes(text(own)), answer.includes(psk)]).toEqual([false, false]);
    }
    expect(JSON.stringify(body)).not.toContain(psk);
    expect(control.log.join()).not.toContain(text(own));
  });

  it('shows the sessions of its own device', async () => {
    await add();
    const endpoint = { address: parseAddress('203.0.113.80'), port: 51820 };
    control.peers.set(crm, { endpoint, lastHandshake: control.clock.wall - 1000, rxBytes: 3, txBytes: 4 });
    expect((await control.call('GET', '/uplinks')).body[0]).toMatchObject({
      ...{
        connected: 1,
        peers: [{ connected: true, calledAt: '203.0.113.80:51820', rxBytes: 3 }, { connected: false }],
      },
    });
  });

  it('lets nobody use it unless somebody is named', async () => {
    expect((await add()).body.access).toEqual({ lan: 'nothing', members: [], applications: [] });
  });

  it('keeps its keys sealed, over a restart too', async () => {
    await add();
    const store = openStore(folder);
    const [one] = store.snapshot.config.uplinks;
    expect(one).toEqual(uplinks()[0]);
    expect(store.snapshot.uplinkKeys.get(one?.id ?? '')?.reveal()).toEqual(own.reveal());
    expect(
      encodeKey(store.snapshot.presharedKeys.get(one?.peers[0]?.presharedKey ?? '')?.reveal() ?? new Uint8Array()),
    ).toBe(psk);
    const plain = Buffer.concat(['router.db', 'router.db-wal'].map((name) => readFileSync(`${folder}/${name}`)));
    for (const key of [text(own), psk, crm, wiki]) {
      expect(plain.includes(key) || plain.includes(Buffer.from(key, 'base64'))).toBe(false);
    }
  });

  it.each([
    ['PostUp', changed('DNS = 10.9.0.53, corp.example.net', 'PostUp = reboot'), 'file:4 PostUp'],
    ['nothing', '', 'file'],
    ['the key of the hub', null, 'file:2 PrivateKey'],
    ['an address on the LAN', changed('10.9.0.2/32', '192.168.66.7/32'), 'file:3 Address'],
    ['a server in an application', changed('10.9.0.11/32', '172.16.10.7/32'), 'file:14 AllowedIPs'],
    ['DNS that is not reached', changed('DNS = 10.9.0.53', 'DNS = 10.9.0.99'), 'file:4 DNS'],
    ['the hub to be called', changed('203.0.113.80:51820', '172.16.0.1:51820'), 'file:10 Endpoint'],
    ['its own public key', changed(wiki, publicKeyOf(own)), 'file:13 PublicKey'],
    ['the network of the WAN', changed('10.9.0.11/32', '198.51.100.0/24'), 'file:14 AllowedIPs'],
    ['the hub on the WAN', changed('203.0.113.80:51820', '198.51.100.7:51820'), 'file:10 Endpoint'],
  ])('refuses %s whole, with its line', async (_, file, path) => {
    control.wan.push({ address: parseAddress('198.51.100.7'), range: parsePrefix('198.51.100.0/24') });
    const asked = file ?? changed(text(own), text(control.store.snapshot.hubPrivateKey));
    for (const answer of [await add({ file: asked }), await preview(asked)]) {
      expect([answer.status, answer.body.error.path]).toEqual([400, path]);
    }
    expect(uplinks()).toEqual([]);
  });

  it.each([
    ['a reserved label', { label: 'hub' }, 400, 'label'],
    ['an application’s label', { label: 'shop' }, 400, 'label'],
    ['a device that is not there', { access: { lan: ['gone'] } }, 404, 'access.lan'],
    ['a member who is not there', { access: { members: ['Ben'] } }, 404, 'access.members'],
    ['an application that is not there', { access: { applications: ['books'] } }, 404, 'access.applications'],
    ['a field that is none', { privateKey: 'x' }, 400, 'privateKey'],
  ])('refuses %s', async (_, more, status, path) => {
    const answer = await add(more);
    expect([answer.status, answer.body.error.path]).toEqual([status, path]);
    expect(uplinks()).toEqual([]);
  });

  it('refuses a second one of the same network, and more than sixteen', async () => {
    await add();
    expect((await add({ label: 'again' })).body.error).toMatchObject({ path: 'file:2 PrivateKey' });
    for (let n = 2; n <= 16; n++) {
      const file = fileOf({
        face: [`PrivateKey = ${text(makePrivateKey())}`, `Address = 10.${n + 10}.0.2`],
        peers: [['[Peer]', `PublicKey = ${publicKey()}`, `AllowedIPs = 10.${n + 10}.0.3`, 'Endpoint = 192.0.2.1:1']],
      });
      expect((await add({ label: `net${n}`, file })).body.device).toBe(`apn${n}`);
    }
    const face17 = [`PrivateKey = ${text(makePrivateKey())}`, 'Address = 10.99.0.2'];
    expect((await add({ label: 'net17', file: fileOf({ face: face17 }) })).status).toBe(409);
  });

  it('refuses what is too large before it is read', async () => {
    const answer = await add({ file: `${fileOf()}${'#'.repeat(longestFile)}` });
    expect([answer.status, answer.body.error.path]).toEqual([400, 'file']);
    const huge = await control.call('POST', '/uplinks', 'x'.repeat(4 << 20));
    expect([huge.status, huge.body.error.message]).toEqual([400, 'The request is too large.']);
    // Nothing else takes so much.
    expect((await control.call('POST', '/names', 'x'.repeat(300 * 1024))).body.error.message).toMatch(/too large/);
  });
});

const grown = () =>
  fileOf({
    face: [...face, 'MTU = 1400'],
    peers: [
      [
        '# Archive',
        '[Peer]',
        `PublicKey = ${publicKey()}`,
        'AllowedIPs = 10.9.0.12/32',
        'Endpoint = 203.0.113.82:51820',
      ],
      crmPeer.with(5, 'Endpoint = 203.0.113.99:51820'),
    ],
  });

describe('a newer file', () => {
  it('is previewed and taken: what is the same stays as it is, keys and names too', async () => {
    await add();
    await control.call('PATCH', '/uplinks/hosted', { names: [{ peer: crm, label: 'sales' }] });
    const [before] = uplinks();
    const file = grown();
    const looked = await preview(file, 'hosted');
    expect(uplinks()).toEqual([before]);
    expect(looked.body.difference).toMatchObject({
      fields: ['mtu'],
      added: [{ label: 'archive' }],
      removed: [{ publicKey: wiki }],
      changed: [{ peer: { label: 'sales', endpoint: '203.0.113.99:51820' }, fields: ['endpoint'] }],
      unchanged: 0,
    });
    const taken = await put(file);
    expect([taken.status, taken.body.difference]).toEqual([200, looked.body.difference]);
    const [after] = uplinks();
    const sales = after?.peers.find(({ publicKey: key }) => key === crm);
    expect(sales).toEqual({ ...before?.peers[0], endpoint: { host: '203.0.113.99', port: 51820 } });
    expect(control.store.snapshot.presharedKeys.size).toBe(1);
    expect([after?.id, after?.device, after?.access]).toEqual([before?.id, before?.device, before?.access]);
  });

  it('that is the same changes nothing', async () => {
    await add();
    expect((await put(fileOf())).body.difference).toEqual({
      ...{ fields: [], added: [], removed: [], changed: [] },
      unchanged: 2,
    });
    expect((await preview(fileOf())).body.error.path).toBe('file:2 PrivateKey');
  });

  it('with other keys has them in the old ones’ place', async () => {
    await add();
    const other = makePrivateKey();
    const otherPsk = encodeKey(randomBytes(32));
    const { body } = await put(changed(text(own), text(other)).replace(psk, () => otherPsk));
    expect(body.difference).toMatchObject({
      fields: ['privateKey'],
      changed: [{ fields: ['presharedKey'] }],
      unchanged: 1,
    });
    const { uplinkKeys, presharedKeys } = control.store.snapshot;
    expect([...uplinkKeys.values()].map(text)).toEqual([text(other)]);
    expect([...presharedKeys.values()].map(text)).toEqual([otherPsk]);
    const reopened = openStore(folder).snapshot;
    expect([...reopened.presharedKeys.values()].map(text)).toEqual([otherPsk]);
  });

  it('that is wrong leaves everything as it was', async () => {
    await add();
    const before = control.store.snapshot;
    const answer = await put(grown().replace('10.9.0.12/32', '0.0.0.0/0'));
    expect([answer.status, answer.body.error.path]).toEqual([400, 'file:9 AllowedIPs']);
    expect(control.store.snapshot).toBe(before);
    expect((await control.call('PUT', '/uplinks/gone/file', { file: fileOf() })).status).toBe(404);
    expect((await preview(fileOf(), 'gone')).body.error.path).toBe('uplink');
  });

  it('of nothing yet is shown with what would surprise', async () => {
    const { body } = await preview(changed('corp.example.net', 'apn'));
    expect(body).toMatchObject({ difference: null, address: '10.9.0.2', dns: { domains: ['apn'], relayed: [] } });
    expect(body.notes).toEqual([expect.stringContaining('“apn”')]);
  });
});

describe('changing', () => {
  const change = (body: object) => control.call('PATCH', '/uplinks/hosted', body);
  it('label, access and names, each by itself', async () => {
    await add({ access: { lan: ['tv'] } });
    expect((await change({ access: { members: ['Anna', 'anna'] } })).body.access).toEqual({
      ...{ lan: ['tv'], members: ['anna'], applications: [] },
    });
    expect((await change({ access: { lan: 'everyone', applications: ['shop'] } })).body.access).toEqual({
      ...{ lan: 'everyone', members: ['anna'], applications: ['shop'] },
    });
    const named = [
      { peer: '10.9.0.11', label: 'wiki' },
      { peer: 'crm', label: null },
    ];
    expect((await change({ names: named })).body.peers.map(({ label }: { label: string }) => label)).toEqual([
      null,
      'wiki',
    ]);
    expect((await change({ label: 'partner' })).body.peers[1].fqdn).toBe('wiki.partner.apn');
  });

  it('refuses names that are none, taken, or of nobody', async () => {
    await add();
    const path = async (label: string, peer = wiki as string) =>
      (await change({ names: [{ peer, label }] })).body.error.path;
    expect(await path('Wiki')).toBe('peers.1.label');
    expect(await path('crm')).toBe('peers.1.label');
    expect(await path('wiki', '10.9.0.99')).toBe('names.0.peer');
  });

  it('who is removed is nobody’s guest any more', async () => {
    await add({ access: { lan: ['tv'], members: ['Anna'], applications: ['shop'] } });
    await control.call('POST', '/members', { name: 'Ben', role: 'owner' });
    for (const path of ['/lan/devices/tv', '/members/anna', '/applications/shop']) {
      expect((await control.call('DELETE', path)).status).toBe(200);
    }
    expect(uplinks()[0]?.access).toEqual({ lan: [], members: [], applications: [] });
  });

  it('an address that an uplink has is given to nobody else', async () => {
    expect((await add({ file: changed('10.9.0.11/32', '172.16.2.11/32') })).status).toBe(201);
    const { body } = await control.call('POST', '/lan/devices', { label: 'radio', mac: '02:00:00:00:66:0b' });
    expect(body.identity).toBe('172.16.2.12');
    const asked = await control.call('PATCH', '/lan/devices/radio', { identity: '172.16.2.11' });
    expect(asked.body.error).toEqual({ path: 'identity', message: '172.16.2.11 is reserved by an uplink.' });
  });
});

describe('removing', () => {
  it('forgets its keys', async () => {
    await add();
    expect((await control.call('DELETE', '/uplinks/hosted')).body.removed).toBe(true);
    const { uplinkKeys, presharedKeys } = openStore(folder).snapshot;
    expect([uplinkKeys.size, presharedKeys.size, uplinks().length]).toEqual([0, 0, 0]);
    expect((await control.call('DELETE', '/uplinks/hosted')).status).toBe(404);
    expect((await add()).status).toBe(201);
  });
  it('is the way out when a sealed key does not open: the others stay, and its place is free again', async () => {
    await add();
    const other = fileOf({
      face: [`PrivateKey = ${text(makePrivateKey())}`, 'Address = 10.8.0.2'],
      peers: [['[Peer]', `PublicKey = ${publicKey()}`, 'AllowedIPs = 10.8.0.3', 'Endpoint = 192.0.2.1:1']],
    });
    expect((await add({ label: 'other', file: other })).status).toBe(201);
    const [{ id } = { id: '' }] = uplinks();
    for (const [column, change] of [
      ['private key', (sealed: Uint8Array) => sealed.with(30, (sealed[30] ?? 0) ^ 1)],
      ['public key', (sealed: Uint8Array) => sealed.with(40, (sealed[40] ?? 0) ^ 1)],
    ] as const) {
      const database = new DatabaseSync(join(folder, 'router.db'));
      const where = 'WHERE row = ? AND column = ?';
      const before = database.prepare(`SELECT sealed FROM secret ${where}`).get(id, column)?.['sealed'] as Uint8Array;
      const write = database.prepare(`UPDATE secret SET sealed = ? ${where}`);
      write.run(change(Uint8Array.from(before)), id, column);
      const opened = openStore(folder).snapshot;
      expect(opened.config.uplinks.map(({ label }) => label)).toEqual(['other']);
      expect(opened.damaged).toEqual([{ noun: 'uplinks', id, label: 'hosted' }]);
      write.run(before, id, column);
      database.close();
    }
    const database = new DatabaseSync(join(folder, 'router.db'));
    database.exec("DELETE FROM secret WHERE column = 'private key' AND row <> 'hub'");
    database.close();
    const reopened = makeControl(folder);
    expect((await reopened.call('DELETE', '/uplinks/hosted')).status).toBe(200);
    expect(reopened.store.snapshot.damaged.map(({ label }) => label)).toEqual(['other']);
    expect((await reopened.call('POST', '/uplinks', { label: 'hosted', file: fileOf() })).body.device).toBe('apn1');
  });
});
