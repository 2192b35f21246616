// Renewing a lease: a chosen one, and from inside the tunnel the one that the asking device came in by.
import { describe, expect, it } from 'vitest';
import type { Address } from '../../src/model/address.ts';
import type { PublicKey } from '../../src/model/key.ts';
import { type Control, makeControl } from '../support/control.ts';
import { publicKey } from '../support/saving.ts';

const [second, hour] = [1000, 3600_000];
const LAPTOP = '172.16.1.10';

interface Ready extends Control {
  readonly key: PublicKey;
}

/** Anna, developer, with a laptop that comes from 203.0.113.50. */
async function ready(): Promise<Ready> {
  const control = makeControl();
  const key = publicKey();
  await control.call('PATCH', '/network', { endpoint: { host: '203.0.113.1' } });
  await control.call('PATCH', '/lan', { wan: 'wan0', ports: ['lan0'], address: '192.168.66.1/24' });
  await control.call('POST', '/members', { name: 'Olga', role: 'owner' });
  await control.call('POST', '/members', { name: 'Anna', role: 'developer' });
  await control.call('POST', '/devices', { member: 'anna', label: 'laptop', publicKey: key, address: LAPTOP });
  comesFrom(control, key, '203.0.113.50');
  return { ...control, key };
}

function comesFrom({ peers, clock }: Control, key: PublicKey, at: string): void {
  const endpoint = { address: at as Address, port: 40_000 };
  peers.set(key, { endpoint, lastHandshake: clock.wall, rxBytes: 0, txBytes: 0 });
}

const grant = async (control: Control, source: string, more: object = {}): Promise<string> =>
  (await control.call('POST', '/leases', { source, for: '1h', ...more })).body.id;

/** As the gateway passes it on. */
async function inside(control: Control, from: string | null, body: object = {}) {
  const headers: Record<string, string> = from === null ? {} : { 'x-apn-client': from };
  const request = { method: 'POST', headers, body: JSON.stringify(body) };
  const response = await control.app({ kind: 'anonymous' }).request('/leases/renew', request);
  return { status: response.status, body: JSON.parse(await response.text()) };
}

const pass = ({ clock }: Control, milliseconds: number) => {
  clock.wall += milliseconds;
  clock.boot += milliseconds;
};

const audit = (control: Control) =>
  control.store.audit({ kind: 'lease', limit: 10 }).map(({ actor, event, body }) => [actor, event, body['id']]);

describe('a chosen lease', () => {
  it('goes on for a day from now, or as long as is asked, and never ends earlier than before', async () => {
    const control = await ready();
    const id = await grant(control, '203.0.113.50', { member: 'anna' });
    pass(control, 1800 * second);
    const { status, body } = await control.call('POST', `/leases/${id}/renew`, {});
    expect([status, body.renewed]).toEqual([
      200,
      [expect.objectContaining({ id, remainingSeconds: 86_400, grantedBy: 'console', endingSoon: false })],
    ]);
    const shorter = await control.call('POST', `/leases/${id}/renew`, { for: '10m' });
    expect(shorter.body.renewed[0].remainingSeconds).toBe(86_400);
    const longer = await control.call('POST', `/leases/${id}/renew`, { for: '2d' });
    expect(longer.body.renewed[0].remainingSeconds).toBe(2 * 86_400);
    expect(control.woken.at(-1)).toBe('leases');
    expect(audit(control)[0]).toEqual(['console', 'lease renewed', id]);
    expect(control.store.snapshot.leases).toHaveLength(1);
  });

  it('by source renews every one for it; a prefix is written with its length', async () => {
    const control = await ready();
    const ids = [await grant(control, '203.0.113.50'), await grant(control, '203.0.113.50')];
    await grant(control, '198.51.100.0/24');
    const { body } = await control.call('POST', '/leases/203.0.113.50/renew', {});
    expect(body.renewed.map(({ id }: { id: string }) => id)).toEqual(ids);
    expect((await control.call('POST', '/leases/198.51.100.0%2F24/renew', {})).status).toBe(200);
    expect((await control.call('POST', '/leases/198.51.100.0/24/renew', {})).status).toBe(200);
  });

  it('that is over or never was is none; a wrong duration is named', async () => {
    const control = await ready();
    const id = await grant(control, '203.0.113.50');
    for (const [body, path] of [
      [{ for: '0s' }, 'for'],
      [{ for: '31d' }, 'for'],
      [{ until: 'doomsday' }, 'until'],
    ] as const) {
      const answer = await control.call('POST', `/leases/${id}/renew`, body);
      expect([answer.status, answer.body.error.path]).toEqual([400, path]);
    }
    pass(control, hour);
    expect((await control.call('POST', `/leases/${id}/renew`, {})).status).toBe(404);
    expect((await control.call('POST', '/leases/nobody/renew', {})).status).toBe(404);
  });

  it("is a developer's own, or an admin's to renew", async () => {
    const control = await ready();
    await control.call('POST', '/members', { name: 'Ben', role: 'developer' });
    await control.call('POST', '/members', { name: 'Vera', role: 'viewer' });
    const { members } = control.store.snapshot.config;
    const as = (name: string, id: string) =>
      control.as(
        { kind: 'member', id: members.find((one) => one.name === name)?.id ?? '' },
        'POST',
        `/leases/${id}/renew`,
        {},
      );
    const annas = await grant(control, '203.0.113.50', { member: 'anna' });
    const nobodys = await grant(control, '203.0.113.51');
    for (const [name, id, status] of [
      ['Anna', annas, 200],
      ['Anna', nobodys, 403],
      ['Ben', annas, 403],
      ['Vera', annas, 403],
      ['Olga', nobodys, 200],
    ] as const) {
      expect([name, (await as(name, id)).status]).toEqual([name, status]);
    }
  });
});

describe('from inside the tunnel', () => {
  it("the device's own lease goes on, with no sign-in, and its member is written down", async () => {
    const control = await ready();
    const id = await grant(control, '203.0.113.50', { member: 'anna' });
    const { status, body } = await inside(control, LAPTOP);
    expect([status, body.renewed]).toEqual([
      200,
      [expect.objectContaining({ id, member: 'Anna', grantedBy: 'Anna', remainingSeconds: 86_400 })],
    ]);
    const anna = control.store.snapshot.config.members.find(({ name }) => name === 'Anna')?.id;
    expect(audit(control)[0]).toEqual([anna, 'lease renewed', id]);
  });

  it('again at once writes nothing', async () => {
    const control = await ready();
    await grant(control, '203.0.113.50', { member: 'anna' });
    await inside(control, LAPTOP);
    const { revision } = control.store.snapshot;
    pass(control, 59 * second);
    expect((await inside(control, LAPTOP)).body.renewed[0].remainingSeconds).toBe(86_400 - 59);
    expect(control.store.snapshot.revision).toBe(revision);
    pass(control, 2 * second);
    expect((await inside(control, LAPTOP)).body.renewed[0].remainingSeconds).toBe(86_400);
  });

  it('is only for a device in the tunnel whose member could lease for himself', async () => {
    const control = await ready();
    await grant(control, '203.0.113.50', { member: 'anna' });
    const refused = async (from: string | null) => {
      const { status, body } = await inside(control, from);
      expect([from, status, body.error.message]).toEqual([from, 403, expect.stringContaining('inside the tunnel')]);
    };
    for (const from of [null, '192.168.66.20', '172.16.1.11', '203.0.113.50', '172.16.0.1', '172.16.10.10']) {
      await refused(from);
    }
    await control.call('PATCH', '/members/anna', { role: 'viewer' });
    await refused(LAPTOP);
    await control.call('PATCH', '/members/anna', { role: 'developer', disabled: true });
    await refused(LAPTOP);
    await control.call('PATCH', '/members/anna', { disabled: false });
    expect((await inside(control, LAPTOP)).status).toBe(200);
  });

  it.each([
    ['a lease of somebody else', { member: 'olga' }, '203.0.113.50', 'not yours'],
    ['a prefix for nobody in particular', {}, '203.0.113.0/24', 'not yours'],
  ])('%s is not renewed', async (_, more, source, words) => {
    const control = await ready();
    await grant(control, source, more);
    const { status, body } = await inside(control, LAPTOP);
    expect([status, body.error.message]).toEqual([409, expect.stringContaining(words)]);
  });

  it('says so when it comes in by a rule, at home, or nobody knows from where', async () => {
    const control = await ready();
    const said = async () => (await inside(control, LAPTOP)).body.error.message;
    await control.call('POST', '/rules', { source: '198.51.100.0/24' });
    comesFrom(control, control.key, '198.51.100.7');
    expect(await said()).toContain('rule');
    comesFrom(control, control.key, '192.168.66.30');
    expect(await said()).toContain('at home');
    control.peers.clear();
    expect(await said()).toContain('does not say');
  });

  it('of several the narrowest of its own goes on, else the exact one for nobody in particular', async () => {
    const control = await ready();
    const id = async () => (await inside(control, LAPTOP)).body.renewed[0].id;
    const exact = await grant(control, '203.0.113.50');
    expect(await id()).toBe(exact);
    await grant(control, '203.0.113.0/24', { member: 'anna' });
    const own = await grant(control, '203.0.113.50', { member: 'anna', for: '25h' });
    expect(await id()).toBe(own);
    const wide = await grant(control, '2001:db8:7::5');
    comesFrom(control, control.key, '2001:db8:7::77');
    expect(await id()).toBe(wide);
  });

  it('a wrong duration is refused', async () => {
    const control = await ready();
    await grant(control, '203.0.113.50', { member: 'anna' });
    const { status, body } = await inside(control, LAPTOP, { for: 'ever' });
    expect([status, body.error.path]).toEqual([400, 'for']);
  });
});
