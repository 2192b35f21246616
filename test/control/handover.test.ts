// Links for somebody else: each works once, for whom it was made, as long as its maker may; and joining servers.
import { describe, expect, it } from 'vitest';
import type { Principal } from '../../src/model/roles.ts';
import { type Control, makeControl } from '../support/control.ts';
import { publicKey } from '../support/saving.ts';

async function small(): Promise<Control> {
  const control = makeControl();
  const steps: readonly [string, string, unknown][] = [
    ['PATCH', '/network', { endpoint: { host: '203.0.113.1' } }],
    ['POST', '/applications', { label: 'shop' }],
    ['POST', '/applications', { label: 'books' }],
    ['POST', '/members', { name: 'Ben', role: 'owner' }],
    ['POST', '/members', { name: 'Anna', role: 'viewer', access: { shop: 'developer' } }],
    ['POST', '/members', { name: 'Carl', role: 'viewer', access: { shop: 'admin' } }],
  ];
  for (const [method, path, body] of steps) expect((await control.call(method, path, body)).status).toBeLessThan(300);
  return control;
}

const shown = Buffer.alloc(32, 9).toString('base64');
const anonymous: Principal = { kind: 'anonymous' };
const hour = 3600_000;
const secretOf = ({ body }: { body: { path: string } }) => body.path.split('#')[1] ?? '';
const add = (control: Control, body: object) => control.call('POST', '/handovers', body);
/** As whoever has opened the link: nobody the hub knows. */
const take = (control: Control, secret: string, key: string = publicKey()) =>
  control.as(anonymous, 'POST', '/handovers/take', { secret, publicKey: key });
const member = (control: Control, name: string): Principal => ({
  kind: 'member',
  id: control.store.snapshot.config.members.find((one) => one.name === name)?.id ?? '',
});

describe('a link', () => {
  it('is made for a device, keeps its address, and gives the configuration to the first who opens it', async () => {
    const control = await small();
    const made = await add(control, { device: 'anna/phone' });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ kind: 'device', name: 'phone.anna.team', address: '172.16.1.10', by: 'console' });
    expect(made.body.path).toMatch(new RegExp(`^/get/${made.body.id}#apn_handover_[\\w-]{43}$`));
    expect(Date.parse(made.body.expiresAt) - control.clock.wall).toBe(hour);
    expect(control.store.snapshot.config.devices).toEqual([]);
    // Somebody else does not get the address meanwhile.
    const other = await control.call('POST', '/devices', { member: 'ben', label: 'laptop', publicKey: publicKey() });
    expect(other.body.address).toBe('172.16.1.11');

    const key = publicKey();
    const taken = await take(control, secretOf(made), key);
    expect(taken.status).toBe(201);
    expect(taken.body).toMatchObject({
      ...{ name: 'phone.anna.team', member: 'Anna', address: '172.16.1.10', publicKey: key, presharedKey: shown },
      facts: { presharedKey: shown, address: '172.16.1.10', name: 'phone.anna.team.apn' },
    });
    expect(taken.body.config).toContain(`PresharedKey = ${shown}\n`);
    expect(control.store.snapshot.config.devices.find(({ label }) => label === 'phone')?.publicKey).toBe(key);
    expect((await control.call('GET', '/handovers')).body).toEqual([]);
    const again = await take(control, secretOf(made));
    expect([again.status, again.body.error.path]).toEqual([404, 'secret']);
  });

  it('is made for a server, with the rule for where it comes from', async () => {
    const control = await small();
    const made = await add(control, { server: 'shop/web', source: '203.0.113.66', keepalive: null, for: '2d' });
    expect(made.body).toMatchObject({ kind: 'server', name: 'web.shop', address: '172.16.10.10' });
    const taken = await take(control, secretOf(made));
    expect(taken.body).toMatchObject({ name: 'web.shop', sources: ['203.0.113.66/32'], keepalive: null });
    expect(taken.body.answer).toBe(`172.16.10.10 ${shown}`);
    expect(control.store.snapshot.config.rules).toMatchObject([{ source: '203.0.113.66/32', note: 'web.shop' }]);
  });

  it('finds by one name what is meant, and says so where two are', async () => {
    const control = await small();
    expect((await add(control, { name: 'shop/web' })).body.kind).toBe('server');
    expect((await add(control, { name: 'anna/phone' })).body.kind).toBe('device');
    await control.call('POST', '/members', { name: 'Shop' });
    expect((await add(control, { name: 'shop/web' })).status).toBe(409);
    expect((await add(control, { device: 'shop/web' })).body.kind).toBe('device');
  });

  it('is not used up by looking at it, and tells a looker nothing', async () => {
    const control = await small();
    const made = await add(control, { device: 'anna/phone' });
    const path = `/handovers/${made.body.id}`;
    for (const method of ['GET', 'HEAD']) {
      const answer = await control.app(anonymous).request(path, { method });
      expect(answer.status).toBe(200);
      expect(await answer.text()).toBe(method === 'GET' ? '{"open":true}' : '');
      expect(await (await control.app(anonymous).request('/handovers/take', { method })).text()).not.toContain('true');
    }
    expect((await control.as(anonymous, 'GET', '/handovers/nobody')).body).toEqual({ open: false });
    expect((await take(control, secretOf(made))).status).toBe(201);
    expect((await control.as(anonymous, 'GET', path)).body).toEqual({ open: false });
  });

  it('used by fifty at once works for exactly one', async () => {
    const control = await small();
    const secret = secretOf(await add(control, { device: 'anna/phone' }));
    const answers = await Promise.all(Array.from({ length: 50 }, () => take(control, secret)));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 404)).toHaveLength(49);
    expect(control.store.snapshot.config.devices).toHaveLength(1);
    const [one] = answers.filter(({ status }) => status === 201);
    expect(control.store.snapshot.config.devices[0]?.publicKey).toBe(one?.body.publicKey);
  });

  it('stays when the key is none, and says so at its field', async () => {
    const control = await small();
    const secret = secretOf(await add(control, { device: 'anna/phone' }));
    for (const key of ['', 'A'.repeat(43), `${'A'.repeat(43)}=`, control.services.hubPublicKey]) {
      const { status, body } = await take(control, secret, key);
      expect([key, status, body.error.path]).toEqual([key, 400, 'publicKey']);
    }
    expect((await take(control, secret)).status).toBe(201);
  });

  it('ends by time, by a newer one, by being ended, and by being needed no more', async () => {
    const control = await small();
    const late = secretOf(await add(control, { device: 'anna/phone', for: '10m' }));
    const older = secretOf(await add(control, { device: 'anna/tablet' }));
    const newer = await add(control, { device: 'anna/tablet' });
    expect((await take(control, older)).status).toBe(404);
    expect(newer.body.address).toBe('172.16.1.11');
    const ended = await add(control, { device: 'anna/watch' });
    expect((await control.call('DELETE', `/handovers/${ended.body.id}`)).body.removed).toBe(true);
    expect((await control.call('DELETE', `/handovers/${ended.body.id}`)).status).toBe(404);
    expect((await take(control, secretOf(ended))).status).toBe(404);
    const added = await add(control, { server: 'shop/web' });
    const web = await control.call('POST', '/servers', { application: 'shop', label: 'web', publicKey: publicKey() });
    expect(web.body.address).toBe(added.body.address);
    expect((await take(control, secretOf(added))).status).toBe(404);
    control.clock.wall += 11 * 60_000;
    expect((await take(control, late)).status).toBe(404);
    expect((await take(control, secretOf(newer))).status).toBe(201);
  });

  it('for a device that is there gives it a new key', async () => {
    const control = await small();
    const laptop = { member: 'anna', label: 'laptop', publicKey: publicKey(), keepalive: null };
    const before = (await control.call('POST', '/devices', laptop)).body;
    const made = await add(control, { device: 'anna/laptop', presharedKey: false });
    expect(made.body.address).toBe(before.address);
    expect(control.store.snapshot.config.devices[0]?.publicKey).toBe(laptop.publicKey);
    const { body } = await take(control, secretOf(made));
    expect(body).toMatchObject({ id: before.id, address: before.address, presharedKey: null, keepalive: null });
    expect(control.store.snapshot.config.devices).toMatchObject([{ id: before.id, publicKey: body.publicKey }]);
  });

  it('is worth what its maker may at that moment', async () => {
    const control = await small();
    const anna = member(control, 'Anna');
    const make = (principal: Principal, body: object) => control.as(principal, 'POST', '/handovers', body);
    expect((await make(anna, { device: 'ben/phone' })).status).toBe(403);
    expect((await make(anna, { server: 'shop/web' })).status).toBe(403);
    expect((await make(anonymous, { device: 'anna/phone' })).status).toBe(401);
    const own = await make(anna, { device: 'anna/phone' });
    expect([own.status, own.body.by]).toEqual([201, 'Anna']);
    const carl = member(control, 'Carl');
    expect((await make(carl, { server: 'books/web' })).status).toBe(403);
    const web = await make(carl, { server: 'shop/web' });
    expect(web.status).toBe(201);
    expect((await control.as(anna, 'DELETE', `/handovers/${web.body.id}`)).status).toBe(403);

    await control.call('PATCH', '/members/carl', { access: { shop: 'viewer' } });
    expect((await take(control, secretOf(web))).status).toBe(404);
    await control.call('PATCH', '/members/carl', { access: { shop: 'admin' } });
    // A change of rights may end what was made before; what was not ended works again.
    await control.call('PATCH', '/members/anna', { disabled: true });
    expect((await take(control, secretOf(own))).status).toBe(404);
    expect(control.store.snapshot.config).toMatchObject({ servers: [], devices: [] });
  });

  it('for a member who is gone is for nobody', async () => {
    const control = await small();
    const made = await add(control, { device: 'anna/phone' });
    await control.call('DELETE', '/members/anna');
    expect((await take(control, secretOf(made))).status).toBe(404);
    expect((await control.call('GET', '/handovers')).status).toBe(200);
  });

  it('is refused whole with the field', async () => {
    const control = await small();
    await control.call('POST', '/devices', { member: 'anna', label: 'laptop', publicKey: publicKey() });
    const bad: readonly [object, number, string][] = [
      [{}, 400, 'name'],
      [{ device: 'anna/phone', server: 'shop/web' }, 400, 'server'],
      [{ device: 'phone' }, 400, 'device'],
      [{ server: 'shop/web/x' }, 400, 'server'],
      [{ device: 'nobody/phone' }, 404, 'device'],
      [{ name: 'nobody/phone' }, 404, 'name'],
      [{ device: 'anna/Phone' }, 400, 'label'],
      [{ device: 'anna/phone', for: '0' }, 400, 'for'],
      [{ device: 'anna/phone', for: '31d' }, 400, 'for'],
      [{ device: 'anna/phone', source: '203.0.113.7' }, 400, 'source'],
      [{ device: 'anna/phone', address: '172.16.1.10' }, 409, 'address'],
      [{ device: 'anna/phone', address: '172.16.10.9' }, 400, 'address'],
      [{ device: 'anna/phone', address: 'here' }, 400, 'address'],
      [{ device: 'anna/phone', keepalive: 0 }, 400, 'keepalive'],
      [{ server: 'shop/web', source: '192.168.66.7/33' }, 400, 'source'],
      [{ server: 'shop/web', source: '127.0.0.1' }, 400, 'source'],
      [{ server: 'shop/web', colour: 'red' }, 400, 'colour'],
    ];
    for (const [body, status, path] of bad) {
      const answer = await add(control, body);
      expect([body, answer.status, answer.body.error?.path]).toEqual([body, status, path]);
    }
    expect((await control.call('GET', '/handovers')).body).toEqual([]);
    for (const body of [{}, { secret: 'x' }, { secret: 'x'.repeat(201), publicKey: publicKey() }]) {
      expect((await control.call('POST', '/handovers/take', body)).status).toBe(400);
    }
    await add(control, { device: 'anna/phone', address: '172.16.1.77' });
    const clash = await add(control, { device: 'anna/tablet', address: '172.16.1.77' });
    expect([clash.status, clash.body.error.path]).toEqual([400, 'address']);
  });

  it('leaves its secret nowhere but in the one answer', async () => {
    const control = await small();
    const made = await add(control, { device: 'anna/phone' });
    const secret = secretOf(made);
    const later = await Promise.all(
      ['/handovers', `/handovers/${made.body.id}`].map((path) => control.call('GET', path)),
    );
    expect(JSON.stringify(later.map(({ body }) => body))).not.toContain(secret);
    expect(JSON.stringify([control.store.audit({ limit: 1000 }), control.log])).not.toContain(secret);
    await take(control, secret);
    const events = control.store.audit({ limit: 1000 }).map(({ event }) => event);
    expect(events).toEqual(expect.arrayContaining(['handover made', 'handover taken', 'device added']));
  });
});

describe('joining', () => {
  const join = (control: Control, body: object = {}) =>
    control.call('POST', '/join', { application: 'shop', label: 'web', ...body });

  it('keeps the address, which the server gets whoever brings its key', async () => {
    const control = await small();
    const first = await join(control);
    expect(first.status).toBe(201);
    expect(first.body).toMatchObject({ name: 'web.shop', fqdn: 'web.shop.apn', address: '172.16.10.10', as: 'script' });
    expect(first.body.text).toContain("address='172.16.10.10'");
    expect(Date.parse(first.body.expiresAt) - control.clock.wall).toBe(7 * 24 * hour);
    // Asked again it says the same, and it takes nobody else's place.
    expect((await join(control, { as: 'file' })).body.address).toBe('172.16.10.10');
    expect((await join(control, { label: 'db' })).body.address).toBe('172.16.10.11');
    const cache = { application: 'shop', label: 'cache', publicKey: publicKey() };
    expect((await control.call('POST', '/servers', cache)).body.address).toBe('172.16.10.12');
    const clash = await control.call('POST', '/servers', { ...cache, label: 'x', address: '172.16.10.10' });
    expect([clash.status, clash.body.error.path]).toEqual([400, 'address']);
    const web = await control.call('POST', '/servers', { application: 'shop', label: 'web', publicKey: publicKey() });
    expect(web.body).toMatchObject({ address: '172.16.10.10', answer: `172.16.10.10 ${shown}` });
  });

  it('with nobody to ask has no preshared key, unless one is wanted', async () => {
    const control = await small();
    const { body } = await join(control, { as: 'cloud-init', source: '203.0.113.66' });
    expect(body.text).toMatch(/^#cloud-config\n/);
    const web = await control.call('POST', '/servers', { application: 'shop', label: 'web', publicKey: publicKey() });
    expect(web.body).toMatchObject({ presharedKey: null, answer: '172.16.10.10', sources: ['203.0.113.66/32'] });
    expect((await join(control, { label: 'db' })).body.facts.client.presharedKey).toBe('to come');
  });

  it('of a server that is there is about its new key', async () => {
    const control = await small();
    await control.call('POST', '/servers', {
      application: 'shop',
      label: 'web',
      publicKey: publicKey(),
      keepalive: 60,
    });
    const { body } = await join(control, { as: 'file', dns: false });
    expect(body.text).toContain('apn servers rotate shop/web');
    expect(body.text).toContain('PersistentKeepalive = 60');
    expect(body.text).not.toContain('DNS');
    const link = await take(control, secretOf({ body }));
    expect(link.body).toMatchObject({ name: 'web.shop', keepalive: 60 });
    expect(control.store.snapshot.config.servers).toHaveLength(1);
  });

  it('brings the firewall when asked', async () => {
    const control = await small();
    expect((await join(control, { firewall: true })).body.text).toContain('apn-firewall confirm');
    expect((await join(control)).body.text).not.toContain('apn-firewall');
  });

  it('is refused with the field', async () => {
    const control = await small();
    const bad: readonly [object, number, string][] = [
      [{ application: 'nobody' }, 404, 'application'],
      [{ label: 'Web' }, 400, 'label'],
      [{ as: 'tar' }, 400, 'as'],
      [{ source: '127.0.0.1' }, 400, 'source'],
      [{ address: '172.16.11.9' }, 400, 'address'],
      [{ for: '0s' }, 400, 'for'],
    ];
    for (const [body, status, path] of bad) {
      const answer = await join(control, body);
      expect([body, answer.status, answer.body.error?.path]).toEqual([body, status, path]);
    }
    await control.call('PATCH', '/network', { endpoint: null });
    const homeless = await join(control);
    expect([homeless.status, homeless.body.error.path]).toEqual([409, 'network.endpoint']);
  });
});
