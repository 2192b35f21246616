// What peers were told about endpoints outlives the router, and host names of endpoints are looked up again and again.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Address } from '../../src/model/address.ts';
import { EndpointHosts } from '../../src/router/drivers/endpoint-hosts.ts';
import { EndpointMemory } from '../../src/router/drivers/endpoints.ts';
import { lookUp } from '../../src/router/drivers/lookup.ts';
import type { ObservedPeer, ObservedWireguardDevice, Peer } from '../../src/router/plan/wireguard.ts';
import { address, publicKey } from '../support/builders.ts';
import { temporaryFolder } from '../support/store.ts';

const [one, two] = [publicKey(1), publicKey(2)];
const endpoint = { address: address('2001:db8::1'), port: 51820 };

describe('the memory of endpoints', () => {
  const peer = (key: typeof one, where: Peer['endpoint']): Peer => ({
    ...{ publicKey: key, presharedKey: null, allowedIps: [], keepalive: 0, endpoint: where },
  });
  const device: ObservedWireguardDevice = {
    ...{ name: 'apn1', privateKey: null, listenPort: 40_000 },
    peers: new Map(
      [one, two].map((key) => [
        key,
        { ...peer(key, null), configured: null, lastHandshake: null, rxBytes: 0, txBytes: 0 } satisfies ObservedPeer,
      ]),
    ),
  };
  const told = (memory: EndpointMemory, name = 'apn1') =>
    memory
      .completed([{ ...device, name }])
      .flatMap(({ peers }) => [...peers.values()].map(({ configured }) => configured));
  let file = '';
  beforeEach(() => {
    file = join(temporaryFolder(), 'endpoints.json');
  });

  it('keeps what was told last, by device and peer, over a restart', () => {
    const memory = new EndpointMemory(file);
    expect(told(memory)).toEqual([null, null]);
    memory.remember({ kind: 'wireguard.set-peers', device: 'apn1', peers: [peer(one, endpoint), peer(two, null)] });
    for (const each of [memory, new EndpointMemory(file)]) expect(told(each)).toEqual([endpoint, null]);
    memory.remember({ kind: 'wireguard.set-peers', device: 'apn1', peers: [peer(one, null)] });
    expect(told(new EndpointMemory(file))).toEqual([endpoint, null]);
  });

  it.each([
    ['its device', []],
    ['itself', [{ ...device, peers: new Map() }]],
  ])('forgets a peer that was gone, with %s, and is new when it comes back', (_, devices) => {
    const memory = new EndpointMemory(file);
    memory.remember({ kind: 'wireguard.set-peers', device: 'apn1', peers: [peer(one, endpoint)] });
    expect(memory.completed(devices).length).toBe(devices.length);
    for (const each of [memory, new EndpointMemory(file)]) expect(told(each)).toEqual([null, null]);
  });

  it('tells the peers of one device from those of another', () => {
    const memory = new EndpointMemory(file);
    memory.remember({ kind: 'wireguard.set-peers', device: 'apn1', peers: [peer(one, endpoint)] });
    const both = memory.completed([device, { ...device, name: 'apn2' }]);
    expect(both.map(({ peers }) => peers.get(one)?.configured)).toEqual([endpoint, null]);
  });

  it('writes nothing where nothing was told', () => {
    const memory = new EndpointMemory(file);
    memory.remember({ kind: 'wireguard.remove-peers', device: 'apn1', peers: [one] });
    memory.remember({ kind: 'wireguard.set-peers', device: 'apn1', peers: [peer(one, null)] });
    expect(() => readFileSync(file)).toThrow(/ENOENT/);
  });

  it.each(['', '{', '[]', 'null', `{"apn1 ${one}":"nowhere 7"}`])('of a broken file is empty: %s', (content) => {
    writeFileSync(file, content);
    expect(told(new EndpointMemory(file))).toEqual([null, null]);
  });
});

describe('host names of endpoints', () => {
  const answers = new Map<string, readonly string[] | Error>();
  const asked: string[] = [];
  const changed = vi.fn<() => void>();
  const missing = vi.fn<(names: readonly string[]) => void>();
  let hosts: EndpointHosts;
  const minutes = (n: number) => vi.advanceTimersByTimeAsync(n * 60_000);
  const found = () => Object.fromEntries(hosts.found(['vpn.example.net']));

  beforeEach(() => {
    vi.useFakeTimers();
    answers.clear();
    asked.length = 0;
    changed.mockClear();
    missing.mockClear();
    hosts = new EndpointHosts({
      lookUp: async (name) => {
        asked.push(name);
        const answer = answers.get(name) ?? [];
        if (answer instanceof Error) throw answer;
        return answer as readonly Address[];
      },
      isAllowed: (one_) => one_ !== '127.0.0.1',
      ...{ changed, missing },
    });
  });
  afterEach(() => {
    hosts.close();
    vi.useRealTimers();
  });

  it('are looked up at once, and told when they are known', async () => {
    answers.set('vpn.example.net', ['127.0.0.1', '203.0.113.80', '203.0.113.81']);
    expect(found()).toEqual({});
    await minutes(0);
    expect(found()).toEqual({ 'vpn.example.net': '203.0.113.80' });
    expect([changed.mock.calls.length, missing.mock.lastCall, asked.length]).toEqual([1, [[]], 1]);
  });

  it('keep their address while it is one of theirs, or while nobody answers', async () => {
    answers.set('vpn.example.net', ['203.0.113.80']);
    found();
    await minutes(0);
    answers.set('vpn.example.net', ['203.0.113.79', '203.0.113.80']);
    await minutes(6);
    answers.set('vpn.example.net', new Error('nobody answers'));
    await minutes(6);
    expect([found(), changed.mock.calls.length]).toEqual([{ 'vpn.example.net': '203.0.113.80' }, 1]);
    answers.set('vpn.example.net', ['203.0.113.79']);
    await minutes(6);
    expect([found(), changed.mock.calls.length]).toEqual([{ 'vpn.example.net': '203.0.113.79' }, 2]);
  });

  it('without an address are told, and tried again less and less often', async () => {
    found();
    await minutes(0);
    expect(missing).toHaveBeenLastCalledWith(['vpn.example.net']);
    await minutes(60);
    expect(asked.length).toBeGreaterThan(10);
    expect(asked.length).toBeLessThan(25);
    answers.set('vpn.example.net', ['203.0.113.80']);
    await minutes(6);
    expect(found()).toEqual({ 'vpn.example.net': '203.0.113.80' });
    expect(missing).toHaveBeenLastCalledWith([]);
  });

  it('that nobody wants any more are forgotten, an answer under way too', async () => {
    answers.set('vpn.example.net', ['203.0.113.80']);
    found();
    expect(hosts.found([]).size).toBe(0);
    await minutes(60);
    expect([asked.length, changed.mock.calls.length]).toEqual([1, 0]);
  });
});

it('a look-up that nobody answers is empty, in the time it has', async () => {
  // Nothing listens at the port of the local cache here; in the lab it does.
  expect(await lookUp('vpn.example.net')).toEqual([]);
}, 20_000);
