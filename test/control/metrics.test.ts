// /metrics: what Prometheus reads, parsed as it would parse it.
import { describe, expect, it } from 'vitest';
import { parseAddress } from '../../src/model/address.ts';
import { type Control, makeControl } from '../support/control.ts';
import { publicKey } from '../support/saving.ts';

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The text format 0.0.4: comments with help and type before the samples of each name, then `name{label="value"} number`. */
function parseMetrics(text: string): readonly Sample[] {
  const types = new Map<string, string>();
  const samples: Sample[] = [];
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const comment = /^# (HELP|TYPE) ([a-z_]+) (.+)$/.exec(line);
    if (comment !== null) {
      if (comment[1] === 'TYPE') types.set(comment[2] ?? '', comment[3] ?? '');
      continue;
    }
    const sample = /^([a-z_]+)(?:\{((?:[a-z_]+="[^"\\\n]*",?)*)\})? (-?[0-9.e+]+)$/.exec(line);
    if (sample === null) throw new Error(`not a sample: ${line}`);
    const [, name = '', labels = '', value] = sample;
    if (!['gauge', 'counter'].includes(types.get(name) ?? '')) throw new Error(`${name} has no type`);
    if (name.endsWith('_total') !== (types.get(name) === 'counter'))
      throw new Error(`${name} is no ${types.get(name)}`);
    const pairs = [...labels.matchAll(/([a-z_]+)="([^"]*)"/g)].map(([, label = '', text = '']) => [label, text]);
    samples.push({ name, labels: Object.fromEntries(pairs), value: Number(value) });
  }
  return samples;
}

async function scrape(control: Control) {
  const response = await control.app().request('/metrics');
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  const samples = parseMetrics(await response.text());
  const value = (name: string, labels: Sample['labels'] = {}) =>
    samples.find((one) => one.name === name && JSON.stringify(one.labels) === JSON.stringify(labels))?.value;
  return { samples, value };
}

async function ready() {
  const control = makeControl();
  const [web, laptop] = [publicKey(), publicKey()];
  await control.call('PATCH', '/network', { endpoint: { host: '203.0.113.1' } });
  await control.call('PATCH', '/lan', { wan: 'wan0', ports: ['lan0'], address: '192.168.66.1/24' });
  await control.call('POST', '/members', { name: 'Olga', role: 'owner' });
  await control.call('POST', '/members', { name: 'Anna', role: 'viewer' });
  await control.call('POST', '/applications', { label: 'shop' });
  await control.call('POST', '/servers', { application: 'shop', label: 'web', publicKey: web, source: '203.0.113.10' });
  await control.call('POST', '/devices', { member: 'anna', label: 'laptop', publicKey: laptop });
  return { control, web, laptop };
}

describe('the figures', () => {
  it('of peers have their names, and only what is known', async () => {
    const { control, web, laptop } = await ready();
    const endpoint = { address: parseAddress('203.0.113.10'), port: 51820 };
    control.peers.set(web, { endpoint, lastHandshake: control.clock.wall - 30_000, rxBytes: 1000, txBytes: 2 ** 40 });
    control.peers.set(laptop, { endpoint: null, lastHandshake: null, rxBytes: 0, txBytes: 0 });
    const { value } = await scrape(control);
    const server = { kind: 'server', peer: 'web.shop' };
    const device = { kind: 'device', peer: 'laptop.anna.team' };
    expect([value('apn_peer_connected', server), value('apn_peer_connected', device)]).toEqual([1, 0]);
    expect(value('apn_peer_handshake_age_seconds', server)).toBe(30);
    expect(value('apn_peer_handshake_age_seconds', device)).toBeUndefined();
    expect(value('apn_peer_received_bytes_total', server)).toBe(1000);
    expect(value('apn_peer_sent_bytes_total', server)).toBe(2 ** 40);
  });

  it('of the hub count leases, rules, conditions and what happened', async () => {
    const { control } = await ready();
    await control.call('POST', '/leases', { source: '203.0.113.50' });
    await control.call('POST', '/leases/203.0.113.50/renew', { for: '2d' });
    await control.call('POST', '/leases', { source: '203.0.113.51' });
    await control.call('DELETE', '/leases/203.0.113.51');
    control.store.record('lease', [{ actor: 'router', event: 'lease refused', body: {} }]);
    control.conditions.raise({ code: 'one', severity: 'warning', title: '', remedy: '' });
    const { value } = await scrape(control);
    expect([value('apn_leases'), value('apn_rules'), value('apn_tunnel_up')]).toEqual([1, 1, 1]);
    const events = ['granted', 'renewed', 'expired', 'revoked', 'ended by roaming', 'refused'];
    expect(events.map((event) => value('apn_lease_events_total', { event }))).toEqual([2, 1, 0, 1, 0, 1]);
    expect(['error', 'warning', 'info'].map((severity) => value('apn_conditions', { severity }))).toEqual([0, 1, 0]);
    expect(value('apn_revision')).toBe(control.store.snapshot.revision);
    expect(value('apn_revision_applied')).toBe(control.store.snapshot.revision);
    expect(value('process_resident_memory_bytes')).toBeGreaterThan(1e6);
    expect(value('process_cpu_seconds_total')).toBeGreaterThan(0);
    expect(value('process_start_time_seconds')).toBe(1_700_000_000);
    expect(value('apn_build_info', { version: '0.1.0' })).toBe(1);
  });

  it('can be asked for again and again: nothing is counted twice', async () => {
    const { control, web } = await ready();
    control.peers.set(web, { endpoint: null, lastHandshake: null, rxBytes: 5, txBytes: 5 });
    const first = await scrape(control);
    const second = await scrape(control);
    const lasting = ({ name }: Sample) => name.startsWith('apn_');
    expect(second.samples.filter(lasting)).toEqual(first.samples.filter(lasting));
  });

  it('have no addresses, and no more lines than there are peers, whoever knocks', async () => {
    const { control } = await ready();
    const before = (await scrape(control)).samples.length;
    for (let i = 1; i <= 50; i++) await control.call('POST', '/leases', { source: `198.51.100.${i}` });
    const body = { source: '192.0.2.1', fingerprint: 'x' };
    control.store.record(
      'lease',
      Array.from({ length: 50 }, () => ({ actor: 'router', event: 'lease refused', body })),
    );
    const { samples } = await scrape(control);
    expect(samples).toHaveLength(before);
    expect(JSON.stringify(samples)).not.toMatch(/\d+\.\d+\.\d+\.\d+/);
  });
});

describe('who may read them', () => {
  it('members, and tokens for metrics or everything; nobody else', async () => {
    const { control } = await ready();
    const id = control.store.snapshot.config.members.find(({ name }) => name === 'Anna')?.id ?? '';
    const status = async (principal: Parameters<Control['app']>[0]) =>
      (await control.app(principal).request('/metrics')).status;
    expect(await status({ kind: 'member', id })).toBe(200);
    for (const [token, wanted] of [
      ['metrics', 200],
      ['manage', 200],
      ['read', 403],
      ['lease', 403],
    ] as const) {
      expect([token, await status({ kind: 'member', id, token })]).toEqual([token, wanted]);
    }
    expect(await status({ kind: 'anonymous' })).toBe(401);
    expect((await control.as({ kind: 'member', id, token: 'metrics' }, 'GET', '/status')).status).toBe(403);
  });
});
