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
  withChanged,
} from '../support/builders.ts';
import { anyConfig } from '../support/random.ts';

type Config = Parameters<typeof compileWireguard>[0]['config'];

const compile = (config: Config): DesiredWireguard => compileWireguard({ config, hubPrivateKey, presharedKeys });

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
  const device = wireguard.observe().find(({ name }) => name === 'apn0');
  const peers = [...(device?.peers.values() ?? [])];
  const peer = peers[n % Math.max(1, peers.length)];
  const configure = (key: typeof hubPrivateKey, listenPort: number) =>
    wireguard.apply({ kind: 'wireguard.configure', device: 'apn0', privateKey: key, listenPort });
  const set = (changes: Partial<ObservedPeer>) => {
    if (peer !== undefined)
      apply(wireguard, [{ kind: 'wireguard.set-peers', device: 'apn0', peers: [{ ...peer, ...changes }] }]);
  };
  switch (kind) {
    case 'remove':
      if (peer !== undefined)
        wireguard.apply({ kind: 'wireguard.remove-peers', device: 'apn0', peers: [peer.publicKey] });
      return;
    case 'strange':
      apply(wireguard, [
        {
          kind: 'wireguard.set-peers',
          device: 'apn0',
          peers: [
            { publicKey: publicKey(900 + n), presharedKey: null, allowedIps: [prefix('172.16.10.1/32')], keepalive: 0 },
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
    case 'new device':
      wireguard.create('apn0');
  }
}

/** Which key may use which address: what a device means. */
function owners(wireguard: FakeWireguard): ReadonlyMap<Prefix, PublicKey> {
  const [device] = wireguard.observe().filter(({ name }) => name === 'apn0');
  return new Map(
    [...(device?.peers.values() ?? [])].flatMap(({ publicKey: key, allowedIps }) =>
      allowedIps.map((one) => [one, key] as const),
    ),
  );
}

function rights(peers: Iterable<{ publicKey: PublicKey; allowedIps: readonly Prefix[] }>): Set<string> {
  return new Set([...peers].flatMap(({ publicKey: key, allowedIps }) => allowedIps.map((one) => `${one} ${key}`)));
}

const byText = (a: string, b: string) => (a < b ? -1 : 1);

const secretText = (key: { reveal(): Uint8Array } | null | undefined) => key?.reveal().toHex() ?? null;

function plainDevice(
  of:
    | {
        privateKey: { reveal(): Uint8Array } | null;
        listenPort: number;
        peers: ReadonlyMap<
          PublicKey,
          { presharedKey: { reveal(): Uint8Array } | null; allowedIps: readonly Prefix[]; keepalive: number }
        >;
      }
    | undefined,
) {
  return {
    key: secretText(of?.privateKey),
    port: of?.listenPort,
    peers: [...(of?.peers ?? [])]
      .map(([key, peer]) =>
        [key, secretText(peer.presharedKey), [...peer.allowedIps].sort(byText).join(), peer.keepalive].join(' '),
      )
      .sort(byText),
  };
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
    ...lively,
  });
  wireguard.create('apn0');
  if (parts.old !== null) {
    apply(wireguard, planWireguard(compile(parts.old), wireguard.observe()));
    apply(wireguard, planWireguard(compile(parts.half), wireguard.observe()).slice(0, parts.steps));
    for (const peer of wireguard.observe()[1]?.peers.values() ?? []) wireguard.set('apn0', { ...peer, ...lively });
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
        const [home, apn] = before;
        const operations = planWireguard(desired, before);
        // Revoke first; nothing in between that neither old nor new allows.
        const allowed = rights([...(apn?.peers.values() ?? []), ...(desired[0]?.peers.values() ?? [])]);
        const removal = operations.findIndex(({ kind }) => kind === 'wireguard.remove-peers');
        expect(removal).toBeLessThanOrEqual(0);
        for (const operation of operations) {
          wireguard.apply(operation);
          for (const [prefixOf, key] of owners(wireguard)) expect(allowed).toContain(`${prefixOf} ${key}`);
        }
        const [homeNow, apnNow] = wireguard.observe();
        expect(plainDevice(apnNow)).toEqual(plainDevice(desired[0]));
        expect(homeNow).toEqual(home);
        expect(planWireguard(desired, wireguard.observe())).toEqual([]);
        // A peer that stays keeps its session: it is changed, never removed.
        for (const [key, peer] of apn?.peers ?? []) {
          const now = apnNow?.peers.get(key);
          if (now !== undefined) expect([now.endpoint, now.rxBytes]).toEqual([peer.endpoint, peer.rxBytes]);
        }
        apply(interrupted, operations.slice(0, stop));
        apply(interrupted, planWireguard(desired, interrupted.observe()));
        expect(plainDevice(interrupted.observe()[1])).toEqual(plainDevice(desired[0]));
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
        peers: [{ publicKey: publicKey(2), presharedKey: null, allowedIps: ['172.16.10.11/32'], keepalive: 0 }],
      },
    ]);
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
