// The network's planner: its laws over random machines, foreign things included, and what single changes look like.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hostPrefix, nth, prefixOf } from '../../src/model/address.ts';
import { FakeNetwork } from '../../src/router/drivers/fake-network.ts';
import {
  bridge,
  compileNetwork,
  type DesiredNetwork,
  type LinkAddress,
  missingPorts,
  type NetworkOperation,
  type ObservedLink,
  planNetwork,
} from '../../src/router/plan/network.ts';
import { describe as describeOperation } from '../../src/router/plan/operation.ts';
import { planners } from '../../src/router/plan/plan.ts';
import { address, exampleConfig, prefix, uplink, withLan, withUplink } from '../support/builders.ts';
import { anyConfig } from '../support/random.ts';

const ports = ['lan0', 'lan1', 'lan2', 'wan0', 'wan1'];
const ownNames = [bridge, 'apn0', 'apn1', 'apn2', 'apn3', 'apn9'];

const foreignLink: ObservedLink = { name: 'docker0', kind: 'bridge', up: true, mtu: 1500, master: null };
const foreignAddress: LinkAddress = { link: 'docker0', address: address('172.17.0.1'), length: 16 };
const foreignNeighbour = { link: 'docker0', address: address('172.17.0.9'), mac: '02:00:00:00:99:01' };

type Harm = { readonly kind: (typeof harms)[number]; readonly n: number };
const harms = [
  'delete link',
  'wrong kind',
  'down',
  'mtu',
  'strange device',
  'strange port',
  'port away',
  'port to another bridge',
  'no port',
  'delete address',
  'other length',
  'secondary',
  'primary',
  'strange address',
  'delete route',
  'strange route',
  'other way',
  'other mac',
  'strange neighbour',
  'no neighbours',
  'parameter',
] as const;

const anyHarm = fc.array(fc.record({ kind: fc.constantFrom(...harms), n: fc.nat(100) }), { maxLength: 5 });

function apply(network: FakeNetwork, operations: readonly NetworkOperation[]): void {
  for (const operation of operations) network.apply(operation);
}

function harm(network: FakeNetwork, { kind, n }: Harm): void {
  const own = ownNames.filter((name) => network.links.has(name));
  const name = own[n % Math.max(1, own.length)];
  const link = name === undefined ? undefined : network.links.get(name);
  const port = ports[n % ports.length] as string;
  const portLink = network.links.get(port);
  const change = (of: ObservedLink | undefined, changes: Partial<ObservedLink>) => {
    if (of !== undefined) network.links.set(of.name, { ...of, ...changes });
  };
  const index = n % Math.max(1, network.addresses.length);
  const some = network.addresses[index];
  const put = (...more: readonly LinkAddress[]) => {
    network.addresses = [
      ...network.addresses,
      ...more.filter((one) => !network.addresses.some((each) => same(each, one))),
    ];
  };
  switch (kind) {
    case 'delete link':
      if (name !== undefined) network.apply({ kind: 'network.delete-link', name });
      return;
    case 'wrong kind':
      change(link, { kind: ['dummy', 'tun', 'bridge', null][n % 4] as string });
      return;
    case 'down':
      change(n % 2 === 0 ? link : portLink, { up: false });
      return;
    case 'mtu':
      change(link, { mtu: 1280 });
      return;
    case 'strange device':
      network.add({ name: 'apn9', kind: n % 2 === 0 ? 'wireguard' : 'dummy', up: true, mtu: 1500, master: null });
      return;
    case 'strange port':
      change(network.links.get('docker1') ?? { ...foreignLink, name: 'docker1' }, {
        master: network.links.has(bridge) ? bridge : null,
      });
      return;
    case 'port away':
      change(portLink, { master: null });
      return;
    case 'port to another bridge':
      change(portLink, { master: 'docker0' });
      return;
    case 'no port':
      network.links.delete(port);
      return;
    case 'delete address':
      if (some !== undefined && some.link !== 'docker0')
        network.addresses = network.addresses.filter((one) => one !== some);
      return;
    case 'other length':
      if (some !== undefined && some.link !== 'docker0')
        network.addresses = network.addresses.map((one) => (one === some ? { ...one, length: one.length + 1 } : one));
      return;
    case 'secondary':
    case 'primary': {
      if (some === undefined || some.link === 'docker0') return;
      const neighbour = { ...some, address: nth(prefixOf(some.address, some.length), 50 + (n % 5)) };
      if (kind === 'secondary') put(neighbour);
      else if (!network.addresses.some((one) => same(one, neighbour)))
        network.addresses = [neighbour, ...network.addresses];
      return;
    }
    case 'strange address':
      if (name !== undefined) put({ link: name, address: address(`10.9.${n % 3}.1`), length: 24 });
      return;
    case 'delete route':
      network.routes = network.routes.slice(1);
      return;
    case 'strange route':
      if (!network.routes.some(({ metric }) => metric === n))
        network.routes = [...network.routes, { destination: prefix('10.8.0.0/16'), metric: n, link: null }];
      return;
    case 'other way': {
      const [route] = network.routes.filter(({ link: by }) => by !== null);
      if (route !== undefined)
        network.routes = network.routes.map((one) => (one === route ? { ...one, link: 'docker0' } : one));
      return;
    }
    case 'other mac':
      network.neighbours = network.neighbours.map((one, i) =>
        i === n % 4 && one.link === bridge ? { ...one, mac: '02:00:00:00:00:ff' } : one,
      );
      return;
    case 'strange neighbour':
      if (network.links.get(bridge) !== undefined && !network.neighbours.some((one) => one.address === '192.168.66.77'))
        network.neighbours = [
          ...network.neighbours,
          { link: bridge, address: address('192.168.66.77'), mac: '02:00:00:00:00:fe' },
        ];
      return;
    case 'no neighbours':
      network.neighbours = network.neighbours.filter(({ link: on }) => on !== bridge);
      return;
    case 'parameter': {
      const path = [...network.parameters.keys()][n % network.parameters.size];
      if (path !== undefined) network.parameters.set(path, n % 2 === 0 ? '0' : '1');
    }
  }
}

function same(one: LinkAddress, other: LinkAddress): boolean {
  return one.link === other.link && one.address === other.address && one.length === other.length;
}

const anyMachine = fc.record({
  old: fc.option(anyConfig, { freq: 8 }),
  half: anyConfig,
  steps: fc.nat(12),
  harm: anyHarm,
});

function build(parts: {
  old: Parameters<typeof compileNetwork>[0] | null;
  half: Parameters<typeof compileNetwork>[0];
  steps: number;
  harm: readonly Harm[];
}): FakeNetwork {
  const network = new FakeNetwork(ports);
  network.add(foreignLink);
  network.addresses = [foreignAddress];
  network.neighbours = [foreignNeighbour];
  if (parts.old !== null) {
    apply(network, planNetwork(compileNetwork(parts.old), network.observe()));
    apply(network, planNetwork(compileNetwork(parts.half), network.observe()).slice(0, parts.steps));
  }
  for (const one of parts.harm) harm(network, one);
  return network;
}

function clone(network: FakeNetwork): FakeNetwork {
  const other = new FakeNetwork();
  for (const [name, link] of network.links) other.links.set(name, link);
  other.parameters.clear();
  for (const [path, value] of network.parameters) other.parameters.set(path, value);
  other.addresses = network.addresses;
  other.routes = network.routes;
  other.neighbours = network.neighbours;
  return other;
}

const sorted = (list: readonly unknown[]) => list.map((one) => JSON.stringify(one)).sort();

/** What the machine must look like, as plain lists. */
function expected(desired: DesiredNetwork, { links }: FakeNetwork) {
  return {
    own: sorted(desired.links.map(({ name, kind }) => [name, kind, true])),
    mtu: desired.links.every(({ name, mtu }) => mtu === null || links.get(name)?.mtu === mtu),
    ports: sorted(desired.ports.filter((name) => links.has(name)).map((name) => [name, true])),
    addresses: sorted(desired.addresses.map((one) => [one.link, one.address, one.length])),
    routes: sorted(desired.routes.map((one) => [one.destination, one.metric, one.link])),
    neighbours: sorted(desired.neighbours.map((one) => [one.address, one.mac])),
    parameters: sorted([...desired.parameters]),
  };
}

function actual(desired: DesiredNetwork, network: FakeNetwork): ReturnType<typeof expected> {
  const links = [...network.links.values()];
  return {
    own: sorted(links.filter(({ name }) => ownNames.includes(name)).map(({ name, kind, up }) => [name, kind, up])),
    mtu: true,
    ports: sorted(links.filter(({ master }) => master === bridge).map(({ name, up }) => [name, up])),
    addresses: sorted(
      network.addresses.filter(({ link }) => ownNames.includes(link)).map((one) => [one.link, one.address, one.length]),
    ),
    routes: sorted(network.routes.map((one) => [one.destination, one.metric, one.link])),
    neighbours: sorted(network.neighbours.filter(({ link }) => link === bridge).map((one) => [one.address, one.mac])),
    parameters: sorted([...network.parameters].filter(([path]) => desired.parameters.has(path))),
  };
}

/** Everything that is not ours: other links (their master only counts where it is not our bridge), what is on them. */
function foreign({ links, addresses, neighbours }: FakeNetwork, desired: DesiredNetwork): unknown {
  const touched = (name: string) => ownNames.includes(name) || desired.ports.includes(name);
  return {
    links: sorted(
      [...links.values()]
        .filter(({ name }) => !touched(name))
        .map(({ name, kind, up, mtu, master }) => [name, kind, up, mtu, master === bridge ? null : master]),
    ),
    addresses: sorted(addresses.filter(({ link }) => !ownNames.includes(link))),
    neighbours: sorted(neighbours.filter(({ link }) => link !== bridge)),
  };
}

describe('planning the network', () => {
  it('reaches, rests, keeps to itself, keeps order and survives interruption', () => {
    fc.assert(
      fc.property(anyMachine, anyConfig, fc.nat(20), (machine, config, stop) => {
        const desired = compileNetwork(config);
        const network = build(machine);
        const interrupted = clone(network);
        const around = foreign(network, desired);
        const before = network.observe();
        const operations = planNetwork(desired, before);
        const deleted = new Set(operations.flatMap((one) => (one.kind === 'network.delete-link' ? [one.name] : [])));
        // A link that keeps having addresses has one at every moment, and a covering route is there before the old one goes.
        const never = desired.links.filter(
          ({ name }) => !deleted.has(name) && before.addresses.some(({ link }) => link === name),
        );
        for (const operation of operations) {
          network.apply(operation);
          for (const { name } of never) expect(network.addresses.some(({ link }) => link === name)).toBe(true);
          if (before.routes.length > 0) expect(network.routes.length).toBeGreaterThan(0);
        }
        // What goes for good goes before anything comes: links, and then ports of the bridge.
        const places = (kind: NetworkOperation['kind']) =>
          operations.flatMap((one, i) => (one.kind === kind ? [i] : []));
        expect(Math.max(-1, ...places('network.delete-link'))).toBeLessThan(
          Math.min(Number.POSITIVE_INFINITY, ...places('network.create-link')),
        );
        const leaves = operations.flatMap((one, i) =>
          one.kind === 'network.set-master' && one.master === null ? [i] : [],
        );
        const joins = operations.flatMap((one, i) =>
          one.kind === 'network.set-master' && one.master !== null ? [i] : [],
        );
        expect(Math.max(-1, ...leaves)).toBeLessThan(Math.min(Number.POSITIVE_INFINITY, ...joins));
        expect(foreign(network, desired)).toEqual(around);
        expect(actual(desired, network)).toEqual(expected(desired, network));
        expect(planNetwork(desired, network.observe())).toEqual([]);
        apply(interrupted, operations.slice(0, stop));
        apply(interrupted, planNetwork(desired, interrupted.observe()));
        expect(actual(desired, interrupted)).toEqual(expected(desired, interrupted));
      }),
      { numRuns: 5000 },
    );
  }, 60_000);

  it('without a LAN there is no bridge, and its ports are let go', () => {
    const network = build({ old: exampleConfig(), half: exampleConfig(), steps: 0, harm: [] });
    expect(network.links.get('lan0')?.master).toBe(bridge);
    apply(network, planNetwork(compileNetwork({ ...exampleConfig(), lan: null, lanDevices: [] }), network.observe()));
    expect(network.links.has(bridge)).toBe(false);
    expect(network.links.get('lan0')?.master).toBe(null);
  });

  it('the last address of a subnet does not leave with the first', () => {
    const network = build({ old: exampleConfig(), half: exampleConfig(), steps: 0, harm: [] });
    const moved = withLan({ address: address('192.168.66.2') });
    const operations = planNetwork(compileNetwork(moved), network.observe());
    expect(operations.map(({ kind }) => kind)).toEqual(['network.add-address', 'network.delete-address']);
    apply(network, operations);
    expect(network.addresses.filter(({ link }) => link === bridge)).toEqual([
      { link: bridge, address: '192.168.66.2', length: 24 },
    ]);
  });

  it('a range that moves has its unreachable route before the old one goes', () => {
    const config = { ...exampleConfig(), applications: [], servers: [], lanDevices: [], devices: [] };
    const network = build({ old: config, half: config, steps: 0, harm: [] });
    const moved = { ...config, network: { ...config.network, range: prefix('10.20.0.0/16') } };
    const kinds = planNetwork(compileNetwork(moved), network.observe()).map(({ kind }) => kind);
    expect(kinds).toEqual([
      'network.add-address',
      'network.delete-address',
      'network.add-route',
      'network.delete-route',
    ]);
  });

  it('a device whose address gets another MAC is pinned anew, not released first', () => {
    const network = build({
      old: exampleConfig(),
      half: exampleConfig(),
      steps: 0,
      harm: [{ kind: 'other mac', n: 1 }],
    });
    const kinds = planNetwork(compileNetwork(exampleConfig()), network.observe()).map(({ kind }) => kind);
    expect(kinds).toEqual(['network.set-neighbour']);
  });

  it('a link that is up and has the wrong MTU is only given its own', () => {
    const network = build({ old: exampleConfig(), half: exampleConfig(), steps: 0, harm: [{ kind: 'mtu', n: 1 }] });
    const operations = planNetwork(compileNetwork(exampleConfig()), network.observe());
    expect(operations.map(describeOperation)).toEqual(['set link apn0 mtu 1420']);
  });

  it('ports that are not there are named, and hold nothing else up', () => {
    const network = build({ old: null, half: exampleConfig(), steps: 0, harm: [{ kind: 'no port', n: 1 }] });
    const desired = compileNetwork(exampleConfig());
    expect(missingPorts(desired, network.observe())).toEqual(['lan1']);
    expect(planners.network.notices?.(desired, network.observe())).not.toEqual([]);
    network.add({ name: 'lan1', kind: null, up: false, mtu: 1500, master: null });
    expect(planners.network.notices?.(desired, network.observe())).toEqual([]);
    apply(network, planNetwork(desired, network.observe()));
    expect(actual(desired, network)).toEqual(expected(desired, network));
  });

  it('addresses are host addresses of the hub inside the whole range', () => {
    const { addresses, routes } = compileNetwork(exampleConfig());
    expect(addresses).toEqual([
      { link: bridge, address: '192.168.66.1', length: 24 },
      { link: 'apn0', address: '172.16.0.1', length: 16 },
    ]);
    expect(routes.map(({ destination }) => destination)).toEqual(['172.16.0.0/16']);
    expect(hostPrefix(address('172.16.0.1'))).toBe('172.16.0.1/32');
  });

  it('what is behind an uplink has a way there, and none anywhere else when that is gone', () => {
    const { links, addresses, routes, parameters } = compileNetwork(withUplink());
    expect(links.at(-1)).toEqual({ name: 'apn1', kind: 'wireguard', mtu: 1420 });
    expect(addresses.at(-1)).toEqual({ link: 'apn1', address: '10.9.0.2', length: 32 });
    expect(parameters.get('net/ipv6/conf/apn1/disable_ipv6')).toBe('1');
    for (const destination of ['10.9.0.10/32', '10.9.0.53/32', '10.9.1.0/24']) {
      expect(routes.filter((one) => one.destination === destination).map(({ link }) => link)).toEqual(['apn1', null]);
    }
  });

  it('an uplink that goes leaves its destinations unreachable until the link is gone', () => {
    const network = build({ old: withUplink(), half: withUplink(), steps: 0, harm: [] });
    const kinds = planNetwork(compileNetwork(exampleConfig()), network.observe()).map(describeOperation);
    expect(kinds).toEqual([
      'delete link apn1',
      ...['10.9.0.10/32', '10.9.0.53/32', '10.9.1.0/24'].map((one) => `delete unreachable route ${one}`),
    ]);
  });

  it('a destination that changes its uplink is unreachable in between', () => {
    const network = build({ old: withUplink(), half: withUplink(), steps: 0, harm: [] });
    const [first, second] = uplink().peers;
    const moved = {
      ...withUplink(),
      uplinks: [
        uplink({ peers: [second!] }),
        uplink({ id: 'other1', device: 2, address: address('10.9.0.3'), peers: [first!] }),
      ],
    };
    const operations = planNetwork(compileNetwork(moved), network.observe()).map(describeOperation);
    expect(operations.slice(-2)).toEqual(['delete route 10.9.0.10/32 by apn1', 'add route 10.9.0.10/32 by apn2']);
  });
});
