// /knocks: what the refused list shows to whom, and what one click does.
import { describe, expect, it } from 'vitest';
import type { Principal } from '../../src/model/roles.ts';
import { makeKeyPair } from '../knock/initiator.ts';
import { hotel, type Knocking, makeKnocking } from '../knock/knocking.ts';

const member = (control: Knocking, label: string): Principal => ({
  kind: 'member',
  id: control.store.snapshot.config.members.find((one) => one.label === label)?.id ?? '',
  fresh: true,
});

/** The phone, the server and a key that nobody has. */
async function knocked() {
  const control = await makeKnocking();
  const pair = makeKeyPair();
  await control.refuse(control.packet(control.keys.phone));
  await control.refuse(control.packet(control.keys.web));
  await control.refuse(control.packet(pair));
  const publicKey = Buffer.from(pair.publicKey).toString('base64');
  const { body } = await control.call('GET', '/knocks');
  return { control, publicKey, id: body.find((one: { kind: string }) => one.kind === 'unknown').id as string };
}

describe('GET /knocks', () => {
  it('names known peers, the latest first, and gives fingerprints of the others', async () => {
    const { control, publicKey, id } = await knocked();
    const { body } = await control.call('GET', '/knocks');
    expect(body).toMatchObject([
      { kind: 'server', name: 'web.shop', member: null, outcome: 'ask', publicKey: null },
      { kind: 'device', name: 'phone.anna', member: 'Anna', source: hotel, port: 40_000, count: 1 },
      { kind: 'unknown', name: null, member: null, outcome: 'unknown', publicKey, fingerprint: id },
    ]);
    expect(body[1]).toMatchObject({ why: 'Waits for somebody to let it in.', lastSeen: '2023-11-14T22:13:20.000Z' });
    const digest = await crypto.subtle.digest('SHA-256', Buffer.from(publicKey, 'base64'));
    expect(id).toBe(Buffer.from(digest).toString('hex').slice(0, 16));
  });

  it('shows the key that nobody has to those who may enrol it', async () => {
    const { control, publicKey } = await knocked();
    const seen = async (label: string) => {
      const { body } = await control.as(member(control, label), 'GET', '/knocks');
      return body.at(-1).publicKey;
    };
    expect(await seen('olga')).toBe(publicKey);
    expect(await seen('anna')).toBe(publicKey);
    expect(await seen('ben')).toBeNull();
    expect((await control.as({ kind: 'anonymous' }, 'GET', '/knocks')).status).toBe(401);
  });

  it('forgets who is removed, and shows addresses that cannot be read without a fingerprint', async () => {
    const { control } = await knocked();
    await control.call('DELETE', '/devices/phone.anna');
    const junk = control.packet(control.keys.laptop);
    junk[60] = (junk[60] ?? 0) ^ 1;
    await control.refuse(junk);
    const { body } = await control.call('GET', '/knocks');
    expect(body.map(({ kind }: { kind: string }) => kind)).toEqual(['server', 'unknown', 'unreadable']);
    expect(body.at(-1)).toMatchObject({ kind: 'unreadable', fingerprint: null, source: hotel, publicKey: null });
  });
});

describe('letting in', () => {
  it('by a lease for the member whose device it is: by id, name or address', async () => {
    const { control } = await knocked();
    const { status, body } = await control.call('POST', '/knocks/anna%2Fphone/lease', { for: '1h' });
    expect(status).toBe(201);
    expect(body).toMatchObject({ source: hotel, member: 'Anna', grantedBy: 'console', remainingSeconds: 3600 });
    expect(control.knocks.list().map(({ kind }) => kind)).toEqual(['server', 'unknown']);
    expect((await control.call('POST', '/knocks/anna%2Fphone/lease', {})).status).toBe(404);
    // Two came from there: that is no name.
    expect((await control.call('POST', `/knocks/${hotel}/lease`, {})).status).toBe(404);
    expect((await control.call('DELETE', '/knocks/web.shop')).body.removed).toBe(true);
    expect((await control.call('POST', `/knocks/${hotel}/lease`, {})).body).toMatchObject({ member: null });
  });

  it('by those who may: a developer his own device, an admin of the application its server', async () => {
    const { control, id } = await knocked();
    const as = (label: string, path: string, body: unknown = {}) =>
      control.as(member(control, label), 'POST', `/knocks/${path}`, body);
    expect((await as('ben', 'phone.anna/lease')).status).toBe(403);
    expect((await as('anna', 'web.shop/lease')).status).toBe(403);
    expect((await as('anna', `${id}/lease`)).status).toBe(403);
    expect((await as('anna', 'web.shop/rule')).status).toBe(403);
    expect((await as('anna', 'phone.anna/lease')).status).toBe(201);
    await control.patch('/members/ben', { access: { shop: 'admin' } });
    expect((await as('ben', 'web.shop/rule')).status).toBe(201);
  });

  it('within the caps, and not twice', async () => {
    const { control } = await knocked();
    for (const n of [1, 2, 3]) await control.call('POST', '/leases', { source: `192.0.2.${n}`, member: 'Anna' });
    const { status, body } = await control.call('POST', '/knocks/phone.anna/lease', {});
    expect([status, body.error.path]).toEqual([409, 'member']);
    expect(control.knocks.list()).toHaveLength(3);
  });

  it('a server by a rule that takes the place of its old one', async () => {
    const { control } = await knocked();
    expect((await control.call('POST', '/knocks/phone.anna/rule')).status).toBe(409);
    const { status, body } = await control.call('POST', '/knocks/web.shop/rule');
    expect(status).toBe(201);
    expect(body).toMatchObject({ source: hotel, server: 'web.shop', note: 'web.shop' });
    expect((await control.call('GET', '/rules')).body).toHaveLength(1);
  });

  it('writes down first that the message was seen', async () => {
    const { control } = await knocked();
    expect(control.store.knockTimestamps().size).toBe(0);
    await control.call('POST', '/knocks/phone.anna/lease', {});
    expect(control.store.knockTimestamps().size).toBeGreaterThan(0);
  });
});

describe('enrolling a key that nobody has', () => {
  it('makes it a device, and lets its address in', async () => {
    const { control, publicKey, id } = await knocked();
    const asked = { as: 'device', member: 'ben', label: 'watch' };
    const { status, body } = await control.call('POST', `/knocks/${id}/enrol`, asked);
    expect(status).toBe(201);
    expect(body).toMatchObject({ name: 'watch.ben.team', publicKey, hasPresharedKey: false, presharedKey: null });
    expect(body.config).toContain('[Interface]');
    expect((await control.call('GET', '/leases')).body).toMatchObject([{ source: hotel, member: 'Ben' }]);
    expect(control.knocks.list().map(({ kind }) => kind)).toEqual(['server', 'device']);
    // Its knocks of before count as seen.
    expect(control.store.knockTimestamps().size).toBe(3);
  });

  it('makes it a server, and its address the rule; or neither is let in', async () => {
    const { control, id } = await knocked();
    const asked = { as: 'server', application: 'shop', label: 'queue', address: '172.16.10.7' };
    expect((await control.call('POST', `/knocks/${id}/enrol`, asked)).body).toMatchObject({
      ...{ name: 'queue.shop', address: '172.16.10.7', sources: ['198.51.100.7/32'] },
    });
    const pair = makeKeyPair();
    await control.refuse(control.packet(pair));
    const other = control.knocks.list().find(({ kind }) => kind === 'unknown')?.id;
    const quiet = { as: 'device', member: 'anna', label: 'watch', admit: false };
    expect((await control.call('POST', `/knocks/${other}/enrol`, quiet)).status).toBe(201);
    expect((await control.call('GET', '/leases')).body).toEqual([]);
  });

  it('is all or nothing, and refused for what is enrolled already', async () => {
    const { control, id } = await knocked();
    for (const n of [1, 2, 3]) await control.call('POST', '/leases', { source: `192.0.2.${n}`, member: 'Anna' });
    const asked = { as: 'device', member: 'anna', label: 'watch' };
    expect((await control.call('POST', `/knocks/${id}/enrol`, asked)).status).toBe(409);
    expect((await control.call('GET', '/devices')).body).toHaveLength(3);
    const known = await control.call('POST', '/knocks/phone.anna/enrol', asked);
    expect(known.status).toBe(409);
    for (const [wrong, path] of [
      [{ ...asked, label: 'phone', admit: false }, 'label'],
      [{ ...asked, as: 'person' }, 'as'],
      [{ ...asked, colour: 'red' }, 'colour'],
      [{ as: 'server', application: 'shop' }, 'label'],
    ] as const) {
      const { status, body } = await control.call('POST', `/knocks/${id}/enrol`, wrong);
      expect([status, body.error.path]).toEqual([400, path]);
    }
    expect((await control.call('POST', `/knocks/${id}/enrol`, { ...asked, member: 'zoe' })).status).toBe(404);
  });

  it('is for a developer a device of his own, for an admin of the application a server there', async () => {
    const { control, id } = await knocked();
    const as = (label: string, body: unknown) =>
      control.as(member(control, label), 'POST', `/knocks/${id}/enrol`, body);
    expect((await as('ben', { as: 'device', member: 'ben', label: 'watch' })).status).toBe(403);
    expect((await as('anna', { as: 'device', member: 'ben', label: 'watch' })).status).toBe(403);
    expect((await as('anna', { as: 'server', application: 'shop', label: 'queue' })).status).toBe(403);
    // The field of the other kind does not help.
    expect((await as('anna', { as: 'server', application: 'shop', label: 'queue', member: 'anna' })).status).toBe(403);
    expect((await as('anna', { as: 'device', member: 'anna', label: 'watch' })).status).toBe(201);
  });
});

describe('a wrong clock', () => {
  const month = 30 * 24 * 3600_000;

  it('is forgotten by name or from the list, and until then nothing is let in', async () => {
    const { control } = await knocked();
    const wall = control.clock.wall + month;
    await control.refuse(control.packet(control.keys.laptop, { wall }));
    await control.refuse(control.packet(control.keys.laptop, { wall: control.clock.wall + 1000 }));
    const [listed] = (await control.call('GET', '/knocks')).body;
    expect(listed).toMatchObject({ name: 'laptop.anna', clockAhead: true, outcome: 'stuck' });
    expect((await control.call('POST', '/knocks/laptop.anna/lease', {})).status).toBe(409);
    control.clock.synchronised = false;
    expect((await control.call('POST', '/knocks/laptop.anna/forget-clock')).status).toBe(409);
    control.clock.synchronised = true;
    const { body } = await control.call('POST', `/knocks/${listed.id}/forget-clock`);
    expect(body).toEqual({ id: listed.id, forgotten: true });
    expect((await control.call('POST', '/knocks/laptop.anna/forget-clock')).status).toBe(200);
    control.clock.wall += 2000;
    await control.refuse(control.packet(control.keys.laptop));
    expect((await control.call('GET', '/knocks')).body[0]).toMatchObject({ name: 'laptop.anna', outcome: 'ask' });
  });

  it('is forgotten by those who may change the device, and is a peer’s', async () => {
    const { control, id } = await knocked();
    const as = (label: string, of: string) => control.as(member(control, label), 'POST', `/knocks/${of}/forget-clock`);
    expect((await as('ben', 'phone.anna')).status).toBe(403);
    expect((await as('anna', 'web.shop')).status).toBe(403);
    expect((await as('anna', 'phone.anna')).status).toBe(200);
    expect((await control.call('POST', `/knocks/${id}/forget-clock`)).status).toBe(404);
    expect((await control.call('POST', '/knocks/nobody/forget-clock')).status).toBe(404);
  });
});

describe('travel mode', () => {
  it('begins now, and ends when it is taken back', async () => {
    const { control } = await knocked();
    const { body } = await control.call('PATCH', '/members/anna', { travel: '7d' });
    expect(body.travelUntil).toBe(new Date(control.clock.wall + 7 * 24 * 3600_000).toISOString());
    const { body: home } = await control.call('PATCH', '/members/anna', { travel: null });
    expect(home.travelUntil).toBeNull();
    expect((await control.call('PATCH', '/members/anna', { travel: 'for long' })).status).toBe(400);
  });
});
