// Keys of devices and servers: made elsewhere, changed at once, and a file that never grows.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { x25519 } from '@noble/curves/ed25519.js';
import { Hono } from 'hono';
import { encodeQR } from 'qr';
import { describe, expect, it } from 'vitest';
import { clientConfig } from '../../src/model/client.ts';
import type { Principal } from '../../src/model/roles.ts';
import { parseArguments } from '../../src/router/cli/arguments.ts';
import { call } from '../../src/router/cli/client.ts';
import { commands } from '../../src/router/cli/commands.ts';
import { keyed } from '../../src/router/cli/keys.ts';
import { listen } from '../../src/router/control/listen.ts';
import { type Control, makeControl } from '../support/control.ts';
import { publicKey } from '../support/saving.ts';
import { temporaryFolder } from '../support/store.ts';

async function small(folder: string = temporaryFolder()): Promise<Control> {
  const control = makeControl(folder);
  const steps: readonly [string, string, unknown][] = [
    ['PATCH', '/network', { endpoint: { host: '203.0.113.1' } }],
    ['POST', '/applications', { label: 'shop' }],
    ['POST', '/members', { name: 'Ben', role: 'owner' }],
    ['POST', '/members', { name: 'Anna', role: 'viewer', access: { shop: 'developer' } }],
  ];
  for (const [method, path, body] of steps) expect((await control.call(method, path, body)).status).toBeLessThan(300);
  return control;
}

/** What the hub's preshared keys are in tests. */
const shown = Buffer.alloc(32, 9).toString('base64');
const device = (more: object = {}) => ({ member: 'anna', label: 'laptop', publicKey: publicKey(), ...more });
const server = (more: object = {}) => ({ application: 'shop', label: 'web', publicKey: publicKey(), ...more });

describe('a preshared key', () => {
  it('is made unless nobody wants one, and shown once', async () => {
    const control = await small();
    for (const [path, body] of [['/devices', device()] as const, ['/servers', server()] as const]) {
      const added = await control.call('POST', path, body);
      expect(added.body).toMatchObject({ presharedKey: shown, hasPresharedKey: true, facts: { presharedKey: shown } });
      const { name } = added.body;
      for (const again of [path, `/config/${name}`]) {
        expect(JSON.stringify((await control.call('GET', again)).body)).not.toContain(shown);
      }
      expect((await control.call('GET', `/config/${name}`)).body.facts.presharedKey).toBe('shown once');
    }
    const without = await control.call('POST', '/devices', device({ label: 'phone', presharedKey: false }));
    expect(without.body).toMatchObject({ presharedKey: null, hasPresharedKey: false, facts: { presharedKey: null } });
  });
});

describe('the file of a peer', () => {
  it('is built from the facts by whoever has the private key', async () => {
    const control = await small();
    const { body } = await control.call('POST', '/devices', device());
    expect(clientConfig(body.facts, 'PRIVATE-KEY-OF-laptop.anna.team')).toBe(body.config);
    expect(clientConfig(body.facts, publicKey())).toMatch(/^PrivateKey = [A-Za-z0-9+/]{43}=$/m);
    const silent = (await control.call('GET', '/config/laptop?dns=no')).body;
    expect(silent.config).not.toContain('DNS');
    expect(silent.facts.dns).toBeNull();
  });

  it('says a sign of life every 25 s, another number, or none and a port that stays', async () => {
    const control = await small();
    const file = async (path: string) => (await control.call('GET', `/config/${path}`)).body.config as string;
    await control.call('POST', '/servers', server({ keepalive: null }));
    expect(await file('web')).toContain('ListenPort = 51820\n');
    expect(await file('web')).not.toContain('PersistentKeepalive');
    await control.call('POST', '/devices', device({ keepalive: null }));
    expect(await file('laptop')).not.toMatch(/ListenPort|PersistentKeepalive/);
    expect((await control.call('PATCH', '/servers/web', { keepalive: 60 })).body.keepalive).toBe(60);
    expect(await file('web')).toContain('PersistentKeepalive = 60\n');
    await control.call('POST', '/devices', device({ label: 'phone' }));
    expect(await file('phone')).toContain('PersistentKeepalive = 25\n');
    for (const bad of [0, 65536, 1.5, '25']) {
      const { status, body } = await control.call('PATCH', '/servers/web', { keepalive: bad });
      expect([bad, status, body.error?.path]).toEqual([bad, 400, 'keepalive']);
    }
  });

  it('does not change with 1,000 servers, and fits a QR code', async () => {
    const control = await small();
    const { body } = await control.call('POST', '/devices', device());
    const { store } = control;
    for (let n = 0; n < 10; n++) await control.call('POST', '/applications', { label: `a${n}` });
    store.save({ actor: 'console', summary: 'many' }, (transaction) => {
      const { applications } = transaction.config;
      const base = { publicKey: '', presharedKey: null, keepalive: 25, follow: false };
      const servers = applications.slice(1).flatMap(({ id, range }, block) =>
        Array.from({ length: 100 }, (_, n) => ({
          ...{ ...base, id: `${id}n${n}`, application: id, label: `s${n}`, publicKey: publicKey() },
          address: range.replace(/\.0\/24$/, `.${n + 1}`),
          block,
        })),
      );
      const clean = servers.map(({ block: _, ...one }) => one);
      transaction.put({ ...transaction.config, servers: clean as unknown as typeof transaction.config.servers });
    });
    expect(store.snapshot.config.servers).toHaveLength(1000);
    const after = await control.call('GET', '/config/laptop');
    expect(clientConfig({ ...after.body.facts, presharedKey: shown }, publicKey())).toHaveLength(
      clientConfig(body.facts, publicKey()).length,
    );
    expect({ ...after.body.facts, presharedKey: shown }).toEqual(body.facts);
    const side = encodeQR(clientConfig(body.facts, publicKey()), 'raw', { ecc: 'medium', border: 1 }).length - 2;
    expect((side - 17) / 4).toBeLessThanOrEqual(15);
  });

  it('is for its owner and for who manages it, not for another member', async () => {
    const control = await small();
    await control.call('POST', '/members', { name: 'Carl', role: 'developer' });
    await control.call('POST', '/devices', device());
    const idOf = (name: string) => control.store.snapshot.config.members.find((one) => one.name === name)?.id ?? '';
    const get = async (principal: Principal) => (await control.as(principal, 'GET', '/config/laptop')).status;
    const member = (name: string): Principal => ({ kind: 'member', id: idOf(name) });
    expect(await Promise.all([member('Anna'), member('Ben'), member('Carl')].map(get))).toEqual([200, 200, 403]);
  });
});

describe.each([
  ['devices', device, 'laptop', 'anna/laptop'],
  ['servers', server, 'web', 'shop/web'],
] as const)('rotation in %s', (noun, addition, label, reference) => {
  const rotate = (control: Control, body: unknown, name: string = reference) =>
    control.call('POST', `/${noun}/${encodeURIComponent(name)}/rotate`, body);
  const one = (control: Control) => control.store.snapshot.config[noun][0];

  it('replaces the key and the preshared key, and keeps everything else', async () => {
    const control = await small();
    await control.call('POST', `/${noun}`, addition());
    const before = one(control);
    const key = publicKey();
    const answer = await rotate(control, { publicKey: key });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      id: before?.id,
      publicKey: key,
      presharedKey: shown,
      address: before?.address,
    });
    expect(answer.body.config).toContain(`PresharedKey = ${shown}`);
    const after = one(control);
    expect(after).toEqual({ ...before, publicKey: key, presharedKey: after?.presharedKey });
    expect(after?.presharedKey).not.toBe(before?.presharedKey);
    expect([...control.store.snapshot.presharedKeys.keys()]).toEqual([after?.presharedKey]);
    expect(control.woken.at(-1)).toBe('everything');
  });

  it('goes without a preshared key when that is wanted', async () => {
    const control = await small();
    await control.call('POST', `/${noun}`, addition());
    const { body } = await rotate(control, { publicKey: publicKey(), presharedKey: false });
    expect(body).toMatchObject({ presharedKey: null, hasPresharedKey: false });
    expect(control.store.snapshot.presharedKeys.size).toBe(0);
  });

  it('is refused whole with the field', async () => {
    const control = await small();
    await control.call('POST', `/${noun}`, addition());
    await control.call('POST', '/devices', device({ label: 'other' }));
    const other = control.store.snapshot.config.devices.find((each) => each.label === 'other')?.publicKey;
    const { snapshot } = control.store;
    const bad = [one(control)?.publicKey, other, control.services.hubPublicKey, 'A'.repeat(43), `${'A'.repeat(43)}=`];
    for (const key of bad) {
      const { status, body } = await rotate(control, { publicKey: key });
      expect([key, status, body.error?.path]).toEqual([key, 400, 'publicKey']);
    }
    expect((await rotate(control, {})).body.error.path).toBe('publicKey');
    expect((await rotate(control, { publicKey: publicKey() }, 'nobody')).status).toBe(404);
    expect(control.store.snapshot).toBe(snapshot);
  });

  it(`is no one's but the owner's, an admin's and the ${label}'s own`, async () => {
    const control = await small();
    await control.call('POST', `/${noun}`, addition());
    const anna = control.store.snapshot.config.members.find(({ name }) => name === 'Anna')?.id ?? '';
    const path = `/${noun}/${encodeURIComponent(reference)}/rotate`;
    const asAnna = await control.as({ kind: 'member', id: anna }, 'POST', path, { publicKey: publicKey() });
    expect(asAnna.status).toBe(noun === 'devices' ? 200 : 403);
    const nobody = await control.as({ kind: 'anonymous' }, 'POST', path, { publicKey: publicKey() });
    expect(nobody.status).toBe(401);
  });
});

describe('private keys', () => {
  it('of peers never reach the hub: no request, no answer, no file has one', async () => {
    const folder = temporaryFolder();
    const control = await small(folder);
    const seen: string[] = [];
    const app = control.app();
    const spied = new Hono();
    spied.all('*', async (c) => {
      const body = await c.req.text();
      const init = { method: c.req.method, headers: c.req.raw.headers, ...(body === '' ? {} : { body }) };
      const answer = await app.request(new URL(c.req.url).pathname, init);
      const text = await answer.text();
      seen.push(body, text);
      return new Response(text, { status: answer.status, headers: answer.headers });
    });
    const socket = join(folder, 'control.sock');
    const listening = await listen(spied as never, socket, 0o600);
    try {
      const run = async (name: string, ...line: string[]) => {
        const found = commands.find((each) => each.name === name);
        const request = found?.request(parseArguments(line));
        const { status, body } = await call(socket, request?.method ?? '', request?.path ?? '', request?.body);
        expect([line, status < 300, body]).toEqual([line, true, expect.anything()]);
        return (request?.finish?.(body as never) ?? body) as { config: string; path: string };
      };
      const link = await run('handover add', 'anna/tablet');
      const files = [
        await run('devices add', 'anna/laptop', '--make-key', '--qr'),
        await run('devices rotate', 'anna/laptop', '--make-key'),
        await run('servers add', 'shop/web', '--make-key'),
        await run('handover take', link.path, '--make-key'),
      ];
      const privateKeys = files.map(({ config }) => /^PrivateKey = (\S{44})$/m.exec(config)?.[1] ?? '');
      expect(new Set(privateKeys).size).toBe(files.length);
      const stored = readdirSync(folder).filter((name) => /router\.db/.test(name));
      const everything = [...seen, ...control.log, ...stored.map((name) => readFileSync(join(folder, name), 'latin1'))];
      for (const key of privateKeys) {
        expect(key).toHaveLength(44);
        const raw = Buffer.from(key, 'base64').toString('latin1');
        expect(everything.filter((text) => text.includes(key) || text.includes(raw))).toEqual([]);
      }
      // What would be seen if it were there.
      const publicKeys = control.store.snapshot.config.devices.map((each) => each.publicKey as string);
      for (const key of publicKeys) expect(seen.some((text) => text.includes(key))).toBe(true);
    } finally {
      listening.close().closeAllConnections();
    }
  });

  it('that the command makes belong to the public keys it sends', async () => {
    const control = await small();
    const { publicKey: sent, finish } = keyed(parseArguments(['--make-key', '--no-dns']));
    const { body } = await control.call('POST', '/devices', device({ publicKey: sent }));
    const { config } = (finish?.(body as never) ?? body) as { config: string };
    const key = Buffer.from(/^PrivateKey = (.*)$/m.exec(config)?.[1] ?? '', 'base64');
    expect(config).not.toContain('DNS');
    expect(Buffer.from(x25519.getPublicKey(key)).toString('base64')).toBe(sent);
  });
});
