// /audit: every change leaves who did it, the log is read by those who may, and all of it comes as JSON lines.
import { describe, expect, it } from 'vitest';
import type { Principal } from '../../src/model/roles.ts';
import { type Control, makeControl } from '../support/control.ts';
import { publicKey } from '../support/saving.ts';

interface Entry {
  readonly id: number;
  readonly at: string;
  readonly kind: string;
  readonly actor: string;
  readonly event: string;
  readonly details: Readonly<Record<string, unknown>>;
}

async function ready(): Promise<Control> {
  const control = makeControl();
  await control.call('PATCH', '/network', { endpoint: { host: '203.0.113.1' } });
  await control.call('PATCH', '/lan', { wan: 'wan0', ports: ['lan0'], address: '192.168.66.1/24' });
  await control.call('POST', '/members', { name: 'Olga', role: 'owner' });
  await control.call('POST', '/members', { name: 'Anna', role: 'developer' });
  return control;
}

const as = (control: Control, name: string): Principal => ({
  kind: 'member',
  id: control.store.snapshot.config.members.find((one) => one.name === name)?.id ?? '',
});

const entries = async (control: Control, query = ''): Promise<readonly Entry[]> =>
  (await control.call('GET', `/audit${query}`)).body;

async function lines(control: Control, query = ''): Promise<readonly Entry[]> {
  const response = await control.app().request(`/audit/export${query}`);
  expect(response.headers.get('content-type')).toBe('application/x-ndjson');
  const text = await response.text();
  return text === ''
    ? []
    : text
        .replace(/\n$/, '')
        .split('\n')
        .map((line) => JSON.parse(line));
}

describe('the log', () => {
  it('has one entry at least for every change, with who did it', async () => {
    const control = await ready();
    const olga = as(control, 'Olga');
    const key = publicKey();
    const changes: readonly (readonly [string, string, object?])[] = [
      ['PATCH', '/network', { endpoint: { host: '203.0.113.2' } }],
      ['PATCH', '/lan', { defaultAccess: 'everything' }],
      ['POST', '/applications', { label: 'shop' }],
      ['POST', '/applications', { label: 'books' }],
      ['POST', '/applications/shop/links', { to: 'books' }],
      ['DELETE', '/applications/shop/links/books'],
      ['POST', '/servers', { application: 'shop', label: 'web', publicKey: key }],
      ['PATCH', '/servers/web', { label: 'www' }],
      ['PATCH', '/members/anna', { role: 'viewer' }],
      ['POST', '/devices', { member: 'anna', label: 'laptop', publicKey: publicKey() }],
      ['PATCH', '/devices/laptop', { label: 'phone' }],
      ['POST', '/lan/devices', { label: 'tv', mac: '02:00:00:00:66:0a' }],
      ['PATCH', '/lan/devices/tv', { label: 'telly' }],
      ['DELETE', '/lan/devices/telly'],
      ['POST', '/leases', { source: '203.0.113.50' }],
      ['POST', '/leases/203.0.113.50/renew', {}],
      ['DELETE', '/leases/203.0.113.50'],
      ['POST', '/rules', { source: '203.0.113.51' }],
      ['DELETE', '/rules/203.0.113.51'],
      ['POST', '/names', { name: 'docs', type: 'A', address: '172.16.10.10' }],
      ['DELETE', '/names/docs'],
      ['DELETE', '/devices/phone'],
      ['DELETE', '/servers/www'],
      ['DELETE', '/members/anna'],
      ['DELETE', '/applications/books'],
    ];
    for (const [method, path, body] of changes) {
      const before = (await entries(control))[0]?.id ?? 0;
      const { status, body: answer } = await control.as(olga, method, path, body);
      expect([method, path, status, status < 300 ? '' : answer]).toEqual([method, path, expect.any(Number), '']);
      const fresh = (await entries(control)).filter(({ id }) => id > before);
      expect(fresh.map(({ actor }) => `${method} ${path} ${actor}`)).toContain(`${method} ${path} Olga`);
    }
  });

  it('has a change that says nothing by its summary', async () => {
    const control = await ready();
    control.store.save({ actor: 'console', summary: 'something changed' }, () => {});
    expect((await entries(control))[0]).toMatchObject({ actor: 'console', event: 'something changed', kind: 'act' });
  });

  it('has names for ids, as long as they are known', async () => {
    const control = await ready();
    await control.as(as(control, 'Olga'), 'POST', '/devices', {
      member: 'anna',
      label: 'laptop',
      publicKey: publicKey(),
    });
    const [entry] = await entries(control);
    expect(entry).toMatchObject({ actor: 'Olga', event: 'device added', details: { member: 'Anna', label: 'laptop' } });
    expect(entry?.at).toBe('2023-11-14T22:13:20.000Z');
    const anna = as(control, 'Anna');
    await control.call('DELETE', '/devices/laptop');
    await control.call('DELETE', '/members/anna');
    expect((await entries(control, '?limit=3')).at(-1)?.details).toMatchObject({
      member: anna.kind === 'member' ? anna.id : '',
    });
  });

  it('is read in pages, by kind and by member', async () => {
    const control = await ready();
    for (let i = 1; i <= 3; i++) await control.call('POST', '/leases', { source: `198.51.100.${i}`, member: 'anna' });
    await control.call('POST', '/leases', { source: '198.51.100.9' });
    const all = await entries(control);
    expect(all.map(({ id }) => id)).toEqual(all.map(({ id }) => id).toSorted((a, b) => b - a));
    const first = await entries(control, '?limit=3');
    const second = await entries(control, `?limit=3&before=${first.at(-1)?.id}`);
    expect([...first, ...second]).toEqual(all.slice(0, 6));
    expect(await entries(control, '?kind=lease')).toEqual(all.filter(({ kind }) => kind === 'lease'));
    expect((await entries(control, '?kind=lease&member=Anna')).map(({ details }) => details['source'])).toEqual([
      '198.51.100.3/32',
      '198.51.100.2/32',
      '198.51.100.1/32',
    ]);
    expect(await entries(control, '?kind=denied')).toEqual([]);
  });

  it.each([
    ['?kind=gossip', 400, 'kind'],
    ['?limit=0', 400, 'limit'],
    ['?limit=1001', 400, 'limit'],
    ['?limit=ten', 400, 'limit'],
    ['?before=-1', 400, 'before'],
    ['?member=nobody', 404, 'member'],
  ])('%s is refused', async (query, wanted, path) => {
    const { status, body } = await (await ready()).call('GET', `/audit${query}`);
    expect([status, body.error.path]).toEqual([wanted, path]);
  });

  it('is for admins of everything and for owners', async () => {
    const control = await ready();
    await control.call('POST', '/applications', { label: 'shop' });
    await control.call('POST', '/members', { name: 'Ben', role: 'admin' });
    await control.call('POST', '/members', { name: 'Vera', role: 'viewer', access: { shop: 'admin' } });
    for (const [name, status] of [
      ['Olga', 200],
      ['Ben', 200],
      ['Vera', 403],
      ['Anna', 403],
    ] as const) {
      expect([name, (await control.as(as(control, name), 'GET', '/audit')).status]).toEqual([name, status]);
      const answer = await control.app(as(control, name)).request('/audit/export');
      expect([name, answer.status]).toEqual([name, status]);
      await answer.body?.cancel();
    }
    expect((await control.as({ kind: 'anonymous' }, 'GET', '/audit')).status).toBe(401);
  });
});

describe('the export', () => {
  it('is all of it, the oldest first, however much there is', async () => {
    const control = await ready();
    const many = Array.from({ length: 1234 }, (_, n) => ({ actor: 'router', event: 'denied', body: { n } }));
    control.store.record('denied', many);
    const all = await lines(control);
    expect(all.filter(({ kind }) => kind === 'denied').map(({ details }) => details['n'])).toEqual(
      many.map(({ body }) => body.n),
    );
    expect(all.toReversed().slice(0, 100)).toEqual(await entries(control));
    expect(await lines(control, '?kind=lease')).toEqual([]);
    expect((await lines(control, '?kind=denied')).length).toBe(1234);
  });

  it('ends, although more is written while it is read', async () => {
    const control = await ready();
    const response = await control.app().request('/audit/export');
    const before = (await entries(control)).length;
    control.store.record('denied', [{ actor: 'router', event: 'denied', body: {} }]);
    const text = await response.text();
    expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(before + 1);
  });
});
