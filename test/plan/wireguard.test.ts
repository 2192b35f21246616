// WireGuard's planner: its laws over random devices, and what compiling leaves out.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Prefix } from '../../src/model/address.ts';
import { type PublicKey, Secret } from '../../src/model/key.ts';
import { FakeWireguard } from '../../src/router/drivers/fake.ts';
import {
  compileWireguard,
  type DesiredWireguard,
  type ObservedPeer,
  type ObservedWireguardDevice,
  type Peer,
  planWireguard,
  type WireguardOperation,
} from '../../src/router/plan/wireguard.ts';
import {
  address,
  exampleConfig,
  hubPrivateKey,
  prefix,
  presharedKey,
  presharedKeys,
  publicKey,
  uplink,
  uplinkKeys,
  withChanged,
  withUplink,
} from '../support/builders.ts';
import { anyConfig } from '../support/random.ts';

type Config = Parameters<typeof compileWireguard>[0]['config'];

const found = new Map([['vpn.example.net', address('198.51.100.80')]]);
const compile = (config: Config): DesiredWireguard =>
  compileWireguard({ config, hubPrivateKey, presharedKeys, uplinkKeys }, found);
const ours = ['apn0', 'apn1', 'apn2', 'apn3'];

const harms = [
  'remove',
  'strange',
  'no psk',
  'other psk',
  'steal',
  'more',
  'keepalive',
  'other key',
  'other port',
  'new device',
  'hub port',
  'told otherwise',
] as const;
type Harm = { readonly kind: (typeof harms)[number]; readonly n: number };
const anyHarm = fc.array(fc.record({ kind: fc.constantFrom(...harms), n: fc.nat(100) }), { maxLength: 4 });

const lively = {
  endpoint: { address: address('203.0.113.50'), port: 4000 },
  lastHandshake: 1000,
  rxBytes: 5,
  txBytes: 6,
};

function apply(wireguard: FakeWireguard, operations: readonly WireguardOperation[]): void {
  for (const operation of operations) wireguard.apply(operation);
}

function harm(wireguard: FakeWireguard, { kind, n }: Harm): void {
  const at = ours[n % ours.length] as string;
  const device = wireguard.observe().find(({ name }) => name === at);
  const peers = [...(device?.peers.values() ?? [])];
  const peer = peers[n % Math.max(1, peers.length)];
  const configure = (key: typeof hubPrivateKey, listenPort: number) =>
    wireguard.apply({ kind: 'wireguard.configure', device: at, privateKey: key, listenPort });
  const set = (changes: Partial<ObservedPeer>) => {
    if (peer !== undefined)
      apply(wireguard, [{ kind: 'wireguard.set-peers', device: at, peers: [{ ...peer, endpoint: null, ...changes }] }]);
  };
  switch (kind) {
    case 'remove':
      if (peer !== undefined) wireguard.apply({ kind: 'wireguard.remove-peers', device: at, peers: [peer.publicKey] });
      return;
    case 'strange':
      apply(wireguard, [
        {
          kind: 'wireguard.set-peers',
          device: at,
          peers: [
            {
              ...{ publicKey: publicKey(900 + n), presharedKey: null, endpoint: null },
              ...{ allowedIps: [prefix('172.16.10.1/32')], keepalive: 0 },
            },
          ],
        },
      ]);
      return;
    case 'no psk':
      set({ presharedKey: null });
      return;
    case 'other psk':
      set({ presharedKey: presharedKey(77) });
      return;
    case 'steal':
      set({ allowedIps: peers.flatMap(({ allowedIps }) => allowedIps).slice(0, 2) });
      return;
    case 'more':
      set({ allowedIps: [...(peer?.allowedIps ?? []), prefix(`10.1.${n}.0/24`)] });
      return;
    case 'keepalive':
      set({ keepalive: 25 });
      return;
    case 'other key':
      configure(new Secret('private key', new Uint8Array(32).fill(n)), 51820);
      return;
    case 'other port':
      configure(hubPrivateKey, 1000 + n);
      return;
    case 'hub port':
      configure(hubPrivateKey, 51820);
      return;
    case 'told otherwise':
      set({ endpoint: { address: address('192.0.2.1'), port: 1000 + n } });
      return;
    case 'new device':
      wireguard.create(at);
  }
}

/** Which key may use which address: what a device means. */
function owners(wireguard: FakeWireguard, device: string): ReadonlyMap<Prefix, PublicKey> {
  const peers =
    wireguard
      .observe()
      .find(({ name }) => name === device)
      ?.peers.values() ?? [];
  return new Map([...peers].flatMap(({ publicKey: key, allowedIps }) => allowedIps.map((one) => [one, key] as const)));
}

function rights(peers: Iterable<{ publicKey: PublicKey; allowedIps: readonly Prefix[] }>): Set<string> {
  return new Set([...peers].flatMap(({ publicKey: key, allowedIps }) => allowedIps.map((one) => `${one} ${key}`)));
}

const byText = (a: string, b: string) => (a < b ? -1 : 1);

const secretText = (key: { reveal(): Uint8Array } | null | undefined) => key?.reveal().toHex() ?? null;

const where = (endpoint: { readonly address: string; readonly port: number } | null) =>
  endpoint === null ? '' : `${endpoint.address} ${endpoint.port}`;

/** A device as it should be; where a peer has to be called counts as it was told last. */
function wanted({ privateKey, listenPort, peers }: DesiredWireguard[number], now: ObservedWireguardDevice | undefined) {
  return {
    key: secretText(privateKey),
    port: listenPort === 0 ? 'not the hub’s' : listenPort,
    peers: [...peers.values()]
      .map((peer) => {
        const told = peer.endpoint ?? now?.peers.get(peer.publicKey)?.configured ?? null;
        return plainPeer(peer, told);
      })
      .sort(byText),
  };
}

function actual(now: ObservedWireguardDevice | undefined, anyPort: boolean) {
  const port = now?.listenPort;
  return {
    key: secretText(now?.privateKey),
    port: anyPort && port !== 51820 ? 'not the hub’s' : port,
    peers: [...(now?.peers.values() ?? [])].map((peer) => plainPeer(peer, peer.configured)).sort(byText),
  };
}

function plainPeer(peer: Omit<Peer, 'endpoint'>, told: Peer['endpoint']): string {
  const { publicKey: key, presharedKey: psk, allowedIps, keepalive } = peer;
  return [key, secretText(psk), [...allowedIps].sort(byText).join(), keepalive, where(told)].join(' ');
}

/** Every device that is wanted is as it should be. */
function expectReached(desired: DesiredWireguard, wireguard: FakeWireguard): void {
  for (const device of desired) {
    const now = wireguard.observe().find(({ name }) => name === device.name);
    expect(actual(now, device.listenPort === 0)).toEqual(wanted(device, now));
  }
}

const anyMachine = fc.record({
  old: fc.option(anyConfig, { freq: 8 }),
  half: anyConfig,
  steps: fc.nat(3),
  harm: anyHarm,
});

function build(parts: { old: Config | null; half: Config; steps: number; harm: readonly Harm[] }): FakeWireguard {
  const wireguard = new FakeWireguard();
  wireguard.create('wg-home');
  wireguard.set('wg-home', {
    publicKey: publicKey(500),
    presharedKey: null,
    allowedIps: [prefix('10.0.0.0/8')],
    keepalive: 0,
    configured: null,
    ...lively,
  });
  for (const name of ours) wireguard.create(name);
  if (parts.old !== null) {
    apply(wireguard, planWireguard(compile(parts.old), wireguard.observe()));
    apply(wireguard, planWireguard(compile(parts.half), wireguard.observe()).slice(0, parts.steps));
    for (const { name, peers } of wireguard.observe()) {
      for (const peer of peers.values()) wireguard.set(name, { ...peer, ...lively });
    }
  }
  for (const one of parts.harm) harm(wireguard, one);
  return wireguard;
}

function clone(wireguard: FakeWireguard): FakeWireguard {
  const other = new FakeWireguard();
  for (const { name, privateKey, listenPort, peers } of wireguard.observe()) {
    other.create(name);
    if (privateKey !== null) other.apply({ kind: 'wireguard.configure', device: name, privateKey, listenPort });
    for (const peer of peers.values()) other.set(name, peer);
  }
  return other;
}

describe('planning WireGuard', () => {
  it('reaches, rests, keeps to itself, keeps order and survives interruption', () => {
    fc.assert(
      fc.property(anyMachine, anyConfig, fc.nat(3), (machine, config, stop) => {
        const desired = compile(config);
        const wireguard = build(machine);
        const interrupted = clone(wireguard);
        const before = wireguard.observe();
        const operations = planWireguard(desired, before);
        // Revoke first; nothing in between that neither old nor new allows.
        const allowed = new Map(
          before.map(({ name, peers }) => {
            const next = desired.find((one) => one.name === name)?.peers.values() ?? [];
            return [name, rights([...peers.values(), ...next])];
          }),
        );
        for (const { name } of desired) {
          const own = operations.filter(({ device }) => device === name);
          expect(own.findIndex(({ kind }) => kind === 'wireguard.remove-peers')).toBeLessThanOrEqual(0);
        }
        for (const operation of operations) {
          wireguard.apply(operation);
          for (const [prefixOf, key] of owners(wireguard, operation.device)) {
            expect(allowed.get(operation.device)).toContain(`${prefixOf} ${key}`);
          }
        }
        expectReached(desired, wireguard);
        expect(wireguard.observe()[0]).toEqual(before[0]);
        expect(planWireguard(desired, wireguard.observe())).toEqual([]);
        // A peer that stays keeps its session: it is changed, never removed, and called elsewhere only when told so anew.
        for (const { name, peers } of wireguard.observe()) {
          const old = before.find((one) => one.name === name)?.peers;
          const next = desired.find((one) => one.name === name)?.peers;
          for (const [key, peer] of peers) {
            const was = old?.get(key);
            if (was === undefined) continue;
            const told = next?.get(key)?.endpoint ?? null;
            const moves = told !== null && where(told) !== where(was.configured);
            expect([where(peer.endpoint), peer.rxBytes]).toEqual([where(moves ? told : was.endpoint), was.rxBytes]);
          }
        }
        apply(interrupted, operations.slice(0, stop));
        apply(interrupted, planWireguard(desired, interrupted.observe()));
        expectReached(desired, interrupted);
      }),
      { numRuns: 5000 },
    );
  }, 60_000);

  it('makes a device from nothing', () => {
    const operations = planWireguard(compile(exampleConfig()), []);
    expect(operations.map(({ kind }) => kind)).toEqual(['wireguard.configure', 'wireguard.set-peers']);
  });

  it('changes a peer that lost its preshared key, and only that', () => {
    const wireguard = build({ old: exampleConfig(), half: exampleConfig(), steps: 0, harm: [] });
    const operations = planWireguard(compile(withChanged('servers', 1, { presharedKey: null })), wireguard.observe());
    expect(operations).toEqual([
      {
        kind: 'wireguard.set-peers',
        device: 'apn0',
        peers: [
          {
            ...{ publicKey: publicKey(2), presharedKey: null, allowedIps: ['172.16.10.11/32'], keepalive: 0 },
            endpoint: null,
          },
        ],
      },
    ]);
  });
});

describe('a hub that was started anew', () => {
  const last = new Map([[publicKey(1), { address: address('203.0.113.10'), port: 4000 }]]);
  const desired = compileWireguard({ config: exampleConfig(), hubPrivateKey, presharedKeys, uplinkKeys }, found, last);
  const told = (operations: readonly WireguardOperation[]) =>
    operations.flatMap((one) =>
      one.kind === 'wireguard.set-peers' ? one.peers.map((peer) => [peer.publicKey, where(peer.endpoint)]) : [],
    );

  it('calls the servers where they last called from, and rests', () => {
    const operations = planWireguard(desired, []);
    expect(told(operations)).toEqual([1, 2, 3, 4].map((n) => [publicKey(n), n === 1 ? '203.0.113.10 4000' : '']));
    const wireguard = build({ old: exampleConfig(), half: exampleConfig(), steps: 0, harm: [] });
    apply(wireguard, planWireguard(desired, wireguard.observe()));
    expect(planWireguard(desired, wireguard.observe())).toEqual([]);
  });

  it('leaves a server alone that is somewhere else meanwhile', () => {
    const now = desired.map((device) => ({
      ...device,
      peers: new Map(
        [...device.peers].map(([key, peer]) => {
          const moved = { address: address('198.51.100.9'), port: 5000 };
          return [key, { ...peer, endpoint: moved, configured: null, lastHandshake: null, rxBytes: 0, txBytes: 0 }];
        }),
      ),
    }));
    expect(planWireguard(desired, now)).toEqual([]);
  });
});

describe('compiling WireGuard', () => {
  const keys = (config: Config) => [...(compile(config)[0]?.peers.keys() ?? [])];

  it('has a peer for each server and device, with exactly its own address', () => {
    expect(keys(exampleConfig())).toEqual([1, 2, 3, 4].map(publicKey));
    for (const { allowedIps, publicKey: key } of compile(exampleConfig())[0]?.peers.values() ?? []) {
      const { servers, devices } = exampleConfig();
      const owner = [...servers, ...devices].find((one) => one.publicKey === key);
      expect(allowedIps).toEqual([`${owner?.address}/32`]);
    }
  });

  it('leaves out the devices of a disabled member', () => {
    expect(keys(withChanged('members', 1, { disabled: true }))).not.toContain(publicKey(4));
  });

  it('leaves out a peer whose preshared key cannot be read, rather than going without', () => {
    expect(keys(withChanged('servers', 1, { presharedKey: 'lost' }))).not.toContain(publicKey(2));
  });
});

describe('an uplink', () => {
  const device = (config: Config) => compile(config).find(({ name }) => name === 'apn1');

  it('is a device with the key of its file, on any port', () => {
    expect(device(withUplink())).toMatchObject({ listenPort: 0, privateKey: uplinkKeys.get('hosted1') });
    expect([...(device(withUplink())?.peers.values() ?? [])].map(({ endpoint }) => where(endpoint))).toEqual([
      '203.0.113.80 51820',
      '198.51.100.80 51820',
    ]);
  });

  it('without its key is not there', () => {
    expect(compile({ ...withUplink(), uplinks: [uplink({ id: 'other' })] }).map(({ name }) => name)).toEqual(['apn0']);
  });

  it('calls a host name nowhere while its address is not known', () => {
    const desired = compileWireguard({ config: withUplink(), hubPrivateKey, presharedKeys, uplinkKeys });
    expect(desired[1]?.peers.get(publicKey(42))?.endpoint).toBe(null);
  });

  it('of a newer file changes what differs, and leaves alone where the others have gone', () => {
    const wireguard = build({ old: withUplink(), half: withUplink(), steps: 0, harm: [] });
    const [first, second] = uplink().peers;
    const moved = { ...first!, endpoint: { host: '203.0.113.81', port: 51820 } };
    const operations = planWireguard(compile(withUplink({}, { peers: [moved, second!] })), wireguard.observe());
    expect(operations).toMatchObject([
      { kind: 'wireguard.set-peers', device: 'apn1', peers: [{ endpoint: { address: '203.0.113.81' } }] },
    ]);
    const kept = { ...first!, keepalive: 10 };
    expect(planWireguard(compile(withUplink({}, { peers: [kept, second!] })), wireguard.observe())).toMatchObject([
      { kind: 'wireguard.set-peers', device: 'apn1', peers: [{ keepalive: 10, endpoint: null }] },
    ]);
  });

  it('nobody is let in before the router has an owner', () => {
    const config = { ...withUplink(), members: [], devices: [] };
    expect(compile(config).map(({ name, peers }) => [name, peers.size])).toEqual([['apn0', 0]]);
  });
});
