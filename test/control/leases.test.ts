// /leases: what may be opened, for how long, how many at once, and how it ends.
import { describe, expect, it } from 'vitest';
import { type Control, makeControl } from '../support/control.ts';

async function ready(): Promise<Control> {
  const control = makeControl();
  await control.call('PATCH', '/network', { endpoint: { host: '203.0.113.1' } });
  await control.call('PATCH', '/lan', { wan: 'wan0', ports: ['lan0'], address: '192.168.66.1/24' });
  await control.call('POST', '/members', { name: 'Olga', role: 'owner' });
  await control.call('POST', '/members', { name: 'Anna', role: 'developer' });
  return control;
}

const grant = (control: Control, source: string, more: object = {}) =>
  control.call('POST', '/leases', { source, ...more });

describe('granting', () => {
  it('answers with what was granted, 24 hours by default', async () => {
    const control = await ready();
    const { status, body } = await grant(control, '203.0.113.50', { member: 'anna', reason: 'hotel' });
    expect(status).toBe(201);
    expect(body).toEqual({
      ...{ id: expect.any(String), source: '203.0.113.50', member: 'Anna', grantedBy: 'console', reason: 'hotel' },
      ...{ grantedAt: '2023-11-14T22:13:20.000Z', expiresAt: '2023-11-15T22:13:20.000Z' },
      ...{ remainingSeconds: 86_400, endingSoon: false, state: 'active' },
    });
    expect((await control.call('GET', '/leases')).body).toEqual([body]);
  });

  it.each([
    ['203.0.113.0/24', '203.0.113.0/24'],
    ['2001:db8::5', '2001:db8::/64'],
    ['2001:db8::5/128', '2001:db8::5'],
    ['100.64.0.2', '100.64.0.2'],
    ['10.1.2.3', '10.1.2.3'],
  ])('%s opens %s', async (source, opened) => {
    expect((await grant(await ready(), source)).body.source).toBe(opened);
  });

  it.each([
    ...[
      '0.0.0.0',
      '0.0.0.0/0',
      '224.0.0.1',
      '255.255.255.255',
      '127.0.0.1',
      '169.254.1.1',
      '::1',
      'fe80::1',
      'ff02::1',
    ],
    ...[
      '192.168.66.5',
      '172.16.0.9',
      '203.0.113.1',
      '203.0.113.07',
      '203.0.113.7/24',
      '203.0.113.7/33',
      '::/0',
      '8.0.0.0/7',
    ],
    ...['', 'web', '203.0.113.7 ', '::ffff:203.0.113.7', '203.0.113.256', '2001:db8::5%eth0'],
  ])('refuses the source %j', async (source) => {
    const control = await ready();
    const revision = control.store.snapshot.revision;
    const { status, body } = await grant(control, source);
    expect([status, body.error.path]).toEqual([400, 'source']);
    expect(control.store.snapshot).toMatchObject({ revision, leases: [] });
  });

  it.each(['0s', '-1s', '-1', '0', '1', 'NaN', '', '1w', '31d', '1.5h', '1h30m', ' 1h', '99999999h', 'Infinity', 3600])(
    'refuses the duration %j',
    async (duration) => {
      const { status, body } = await grant(await ready(), '203.0.113.50', { for: duration });
      expect([status, body.error.path]).toEqual([400, 'for']);
    },
  );

  it('refuses what else is wrong with the field', async () => {
    const control = await ready();
    for (const [more, path, wanted] of [
      [{ member: 'nobody' }, 'member', 404],
      [{ member: 7 }, 'member', 400],
      [{ reason: 'x'.repeat(201) }, 'reason', 400],
      [{ expiresAt: 'never' }, 'expiresAt', 400],
    ] as const) {
      const { status, body } = await grant(control, '203.0.113.50', more);
      expect([status, body.error.path]).toEqual([wanted, path]);
    }
    expect(control.store.snapshot.leases).toEqual([]);
  });

  it('is written in the audit', async () => {
    const control = await ready();
    const { body } = await grant(control, '203.0.113.50', { for: '30s', member: 'Anna' });
    await control.call('DELETE', `/leases/${body.id}`);
    expect(control.store.endedLeases(5)).toEqual([
      expect.objectContaining({ id: body.id, end: { at: control.clock.wall, how: 'revoked' } }),
    ]);
  });
});

describe('caps', () => {
  it('three live ones for a member; one that ended makes room', async () => {
    const control = await ready();
    for (let i = 1; i <= 3; i++)
      expect((await grant(control, `198.51.100.${i}`, { member: 'anna', for: '1h' })).status).toBe(201);
    const fourth = () => grant(control, '198.51.100.4', { member: 'anna' });
    const { status, body } = await fourth();
    expect([status, body.error.path]).toEqual([409, 'member']);
    expect((await grant(control, '198.51.100.4', { member: 'olga' })).status).toBe(201);
    await control.call('DELETE', '/leases/198.51.100.2');
    expect((await fourth()).status).toBe(201);
    expect((await fourth()).status).toBe(409);
    control.clock.boot += 3600_000;
    control.clock.wall += 3600_000;
    expect((await fourth()).status).toBe(201);
  });

  it('256 in all, also when they are asked for at once', async () => {
    const control = await ready();
    const answers = await Promise.all(
      Array.from({ length: 260 }, (_, i) => grant(control, `198.51.${100 + (i >> 8)}.${i & 255}`)),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(256);
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(4);
    expect(control.store.snapshot.leases).toHaveLength(256);
    const { body } = await grant(control, '203.0.113.50');
    expect(body.error.message).toContain('256');
  });
});

describe('ending', () => {
  it('by id ends that one, by source every one for exactly that source', async () => {
    const control = await ready();
    const first = (await grant(control, '203.0.113.50')).body.id;
    const second = (await grant(control, '203.0.113.50')).body.id;
    const third = (await grant(control, '203.0.113.50')).body.id;
    await grant(control, '203.0.113.0/24');
    expect((await control.call('DELETE', `/leases/${second}`)).body).toEqual({ revoked: [second] });
    expect((await control.call('DELETE', '/leases/203.0.113.50')).body).toEqual({ revoked: [first, third] });
    expect((await control.call('DELETE', '/leases/203.0.113.0%2F24')).status).toBe(200);
    expect(control.store.snapshot.leases).toEqual([]);
    const { body } = await control.call('GET', '/leases?all=yes');
    expect(body).toHaveLength(4);
    expect(body[0]).toMatchObject({ state: 'revoked', remainingSeconds: 0 });
  });

  it('what is not there is a 404 that names the wider lease', async () => {
    const control = await ready();
    await grant(control, '203.0.113.0/24');
    const answer = await control.call('DELETE', '/leases/203.0.113.50');
    expect([answer.status, answer.body.error.message]).toEqual([404, expect.stringContaining('203.0.113.0/24')]);
    for (const name of ['nobody', '203.0.113.51', '%25', '%', '%2e%2e', 'a%2Fb%2Fc', '2001:db8::1']) {
      const { status, body } = await control.call('DELETE', `/leases/${name}`);
      expect([name, status, body.error.path]).toEqual([name, 404, '']);
    }
    expect(control.store.snapshot.leases).toHaveLength(1);
  });

  it('an IPv6 address finds its /64', async () => {
    const control = await ready();
    await grant(control, '2001:db8::5');
    expect((await control.call('DELETE', '/leases/2001:db8::99')).status).toBe(200);
  });

  it('one that has run out is neither live nor revocable', async () => {
    const control = await ready();
    await grant(control, '203.0.113.50', { for: '30s' });
    control.clock.boot += 30_000;
    control.clock.wall += 30_000;
    expect((await control.call('GET', '/leases')).body[0]).toMatchObject({ state: 'expired', remainingSeconds: 0 });
    expect((await control.call('DELETE', '/leases/203.0.113.50')).status).toBe(404);
  });
});
