// rtnetlink's codec against what `ip` sent and was answered, and against notifications that are easy to misread.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AttributeTree, encodePayload, MalformedNetlink, text, u32 } from '../../src/router/netlink/attribute.ts';
import type { NetlinkMessage, NetlinkRequest } from '../../src/router/netlink/message.ts';
import {
  encodeAddAddress,
  encodeAddRoute,
  encodeChangeLink,
  encodeCreateLink,
  encodeDeleteAddress,
  encodeDeleteLink,
  encodeDeleteNeighbour,
  encodeDeleteRoute,
  encodeDumpAddresses,
  encodeDumpLinks,
  encodeDumpNeighbours,
  encodeDumpRoutes,
  encodeReplaceNeighbour,
  encodeReplaceRoute,
  type RouteChange,
} from '../../src/router/netlink/route.ts';
import {
  decodeAddresses,
  decodeLinks,
  decodeNeighbours,
  decodeRouteMessage,
  decodeRoutes,
} from '../../src/router/netlink/route-read.ts';
import { hex, ipv4, readRecording, tree } from './recorded.ts';

const recorded = readRecording('route');
const mac = (last: string): Buffer => hex(`0200000000${last}`);
const six = (start: string, end = ''): Buffer => hex(start.padEnd(32 - end.length, '0') + end);

// What `ip` sent last is the change; before that it asks about names.
function sentBy(name: string): NetlinkMessage {
  return recorded(name).sent.at(-1)!.at(-1)!;
}

function shown(message: NetlinkRequest, headerLength: number): unknown {
  const { type, flags, payload } = message;
  const header = Buffer.from(payload).toString('hex', 0, headerLength);
  return { type, flags, header, attributes: tree(payload, headerLength, ['18']) };
}

// The indexes the recording's namespace gave out.
const indexes = new Map(decodeLinks(recorded('dumpLinks').received).map(({ name, index }) => [name, index]));
const bridge = indexes.get('br-lan')!;
const lan = indexes.get('lan0')!;

describe('links', () => {
  it('are created, changed and deleted with the messages of ip', () => {
    expect(shown(encodeCreateLink('br-lan', 'bridge'), 16)).toEqual(shown(sentBy('createBridge'), 16));
    expect(shown(encodeChangeLink(bridge, { up: true }), 16)).toEqual(shown(sentBy('up'), 16));
    expect(shown(encodeChangeLink(lan, { up: false }), 16)).toEqual(shown(sentBy('down'), 16));
    expect(shown(encodeChangeLink(lan, { mtu: 1420 }), 16)).toEqual(shown(sentBy('mtu'), 16));
    expect(shown(encodeChangeLink(lan, { address: mac('99') }), 16)).toEqual(shown(sentBy('address'), 16));
    expect(shown(encodeChangeLink(lan, { master: bridge }), 16)).toEqual(shown(sentBy('master'), 16));
    expect(shown(encodeChangeLink(lan, { master: 0 }), 16)).toEqual(shown(sentBy('noMaster'), 16));
    expect(shown(encodeDeleteLink(indexes.get('v0')!), 16)).toEqual(shown(sentBy('deleteLink'), 16));
  });

  it('may be created with everything set at once', () => {
    const request = encodeCreateLink('apn0', 'wireguard', { up: true, mtu: 1420 });
    expect(tree(request.payload, 16, ['18'])).toEqual([
      [3, '61706e3000'],
      [18, [[1, '776972656775617264']]],
      [4, '8c050000'],
    ]);
    expect(Buffer.from(request.payload).toString('hex', 0, 16)).toBe('00000000000000000100000001000000');
  });

  it('are read from a dump', () => {
    const links = decodeLinks(recorded('dumpLinks').received);
    expect(links.map(({ name }) => name).toSorted((one, other) => one.localeCompare(other))).toEqual([
      'br-lan',
      'lan0',
      'lan9',
      'lo',
      'v0',
      'v1',
    ]);
    const find = (name: string) => links.find((link) => link.name === name);
    expect(find('lo')).toEqual({
      index: 1,
      name: 'lo',
      up: true,
      carrier: true,
      type: 772,
      mtu: 65_536,
      address: Buffer.alloc(6),
    });
    expect(find('br-lan')).toMatchObject({ kind: 'bridge', up: true, type: 1, mtu: 1500 });
    expect(find('lan0')).toMatchObject({ kind: 'veth', up: true, carrier: false, mtu: 1420, address: mac('99') });
    expect(find('lan0')).not.toHaveProperty('master');
  });

  it('that joined a bridge name their master', () => {
    const [link] = decodeLinks(recorded('noMaster').received);
    expect(link).toMatchObject({ name: 'lan0', master: bridge });
  });
});

describe('addresses', () => {
  const lanAddress = { index: bridge, family: 4, bytes: ipv4('192.168.66.1'), cidr: 24 } as const;
  const plain = { index: indexes.get('v0')!, family: 4, bytes: ipv4('172.16.0.1'), cidr: 32 } as const;

  it('are added and deleted with the messages of ip', () => {
    expect(shown(encodeAddAddress(lanAddress), 8)).toEqual(shown(sentBy('addAddress4'), 8));
    expect(shown(encodeAddAddress({ ...plain, noPrefixRoute: true }), 8)).toEqual(shown(sentBy('addAddressPlain'), 8));
    expect(shown(encodeDeleteAddress(plain), 8)).toEqual(shown(sentBy('deleteAddress4'), 8));
  });

  it('of IPv6 may skip duplicate detection: ip says so in the header, we in the attribute that holds all flags', () => {
    const bytes = six('fd000066', '01');
    const ours = encodeAddAddress({ index: bridge, family: 6, bytes, cidr: 64, noDuplicateDetection: true });
    const theirs = tree(sentBy('addAddress6').payload, 8, []);
    expect(tree(ours.payload, 8, [])).toEqual([theirs[0], [8, '02000000'], theirs[1]]);
  });

  it('are read from a dump', () => {
    const addresses = decodeAddresses(recorded('dumpAddresses').received);
    expect(addresses).toContainEqual({ ...lanAddress, scope: 0, flags: 0x80 });
    expect(addresses).toContainEqual({
      index: bridge,
      family: 6,
      bytes: six('fd000066', '01'),
      cidr: 64,
      scope: 0,
      flags: 0x82,
    });
    expect(addresses).toContainEqual({
      index: 1,
      family: 4,
      bytes: ipv4('127.0.0.1'),
      cidr: 8,
      scope: 254,
      flags: 0x80,
    });
  });

  it('of a point-to-point link are our own end, with the flags of the header when there are no others', () => {
    const message = routeMessage(20, '02207f0007000000', [
      { type: 1, value: ipv4('10.0.0.2') },
      { type: 2, value: ipv4('10.0.0.1') },
    ]);
    expect(decodeAddresses([message])).toEqual([
      { family: 4, bytes: ipv4('10.0.0.1'), cidr: 32, index: 7, scope: 0, flags: 0x7f },
    ]);
    expect(() => decodeAddresses([routeMessage(20, '0220000007000000', [])])).toThrow(MalformedNetlink);
  });
});

describe('routes', () => {
  const direct: RouteChange = {
    destination: { family: 4, bytes: ipv4('172.16.10.0'), cidr: 24 },
    oif: bridge,
    protocol: 66,
    metric: 50,
  };
  const unreachable: RouteChange = {
    destination: { family: 4, bytes: ipv4('172.16.0.0'), cidr: 16 },
    type: 'unreachable',
    protocol: 66,
    metric: 9000,
  };
  const gateway = { family: 4, bytes: ipv4('192.168.66.9') } as const;
  const direct6: RouteChange = {
    destination: { family: 6, bytes: six('fd000017'), cidr: 48 },
    oif: bridge,
    protocol: 66,
    metric: 50,
  };

  it('are added, replaced and deleted with the messages of ip', () => {
    const compare = (ours: NetlinkRequest, name: string) => expect(shown(ours, 12)).toEqual(shown(sentBy(name), 12));
    compare(encodeAddRoute(direct), 'addRoute');
    compare(
      encodeAddRoute({
        destination: { family: 4, bytes: ipv4('172.16.11.0'), cidr: 24 },
        gateway,
        oif: bridge,
        protocol: 66,
      }),
      'addGateway',
    );
    compare(encodeReplaceRoute({ ...direct, source: { family: 4, bytes: ipv4('192.168.66.1') } }), 'replaceRoute');
    compare(encodeAddRoute(unreachable), 'addUnreachable');
    compare(encodeAddRoute(direct6), 'addRoute6');
    compare(
      encodeAddRoute({ ...unreachable, destination: { family: 6, bytes: six('fd000016'), cidr: 48 } }),
      'addUnreachable6',
    );
  });

  it('are deleted as ip does, but by their type too', () => {
    const ours = Buffer.from(encodeDeleteRoute(direct).payload);
    const theirs = Buffer.from(sentBy('deleteRoute').payload);
    theirs.writeUInt8(1, 7);
    expect(ours).toEqual(theirs);
    expect([encodeDeleteRoute(direct).type, encodeDeleteRoute(direct).flags]).toEqual([25, 5]);
  });

  it('have the scope their kind wants', () => {
    const scopeOf = (change: Partial<RouteChange>) => encodeAddRoute({ ...direct, ...change }).payload[6];
    expect(scopeOf({})).toBe(253);
    expect(scopeOf({ gateway })).toBe(0);
    expect(scopeOf({ type: 'local' })).toBe(254);
    expect(scopeOf({ type: 'broadcast' })).toBe(253);
    expect(scopeOf({ type: 'anycast' })).toBe(253);
    expect(scopeOf({ type: 'multicast' })).toBe(253);
    expect(scopeOf({ type: 'blackhole' })).toBe(0);
    expect(scopeOf({ destination: direct6.destination })).toBe(0);
  });

  it('may lead everywhere, stand in a large table, and go through a gateway of the other family', () => {
    const request = encodeAddRoute({
      destination: { family: 4, bytes: Buffer.alloc(4), cidr: 0 },
      gateway: { family: 6, bytes: six('fe80', '01') },
      table: 1000,
      protocol: 66,
    });
    expect(tree(request.payload, 12, [])).toEqual([
      [18, `0a00${six('fe80', '01').toString('hex')}`],
      [15, 'e8030000'],
    ]);
    expect(decodeRoutes([{ ...request, sequence: 1, port: 0, payload: Buffer.from(request.payload) }])).toEqual([
      {
        destination: { family: 4, bytes: Buffer.alloc(4), cidr: 0 },
        type: 'unicast',
        table: 1000,
        protocol: 66,
        scope: 0,
        metric: 0,
        gateway: { family: 6, bytes: six('fe80', '01') },
      },
    ]);
  });

  it('are read from a dump', () => {
    const routes = decodeRoutes(recorded('dumpRoutes').received);
    const common = { table: 254, protocol: 66, scope: 0 };
    expect(routes).toContainEqual({
      ...common,
      destination: unreachable.destination,
      type: 'unreachable',
      metric: 9000,
    });
    expect(routes).toContainEqual({
      ...common,
      destination: { family: 4, bytes: ipv4('172.16.11.0'), cidr: 24 },
      type: 'unicast',
      metric: 0,
      oif: bridge,
      gateway,
    });
    expect(routes).toContainEqual({
      destination: { family: 4, bytes: ipv4('192.168.66.1'), cidr: 32 },
      type: 'local',
      table: 255,
      protocol: 2,
      scope: 254,
      metric: 0,
      oif: bridge,
      source: { family: 4, bytes: ipv4('192.168.66.1') },
    });
    expect(decodeRoutes(recorded('dumpRoutes6').received)).toContainEqual({
      ...common,
      destination: direct6.destination,
      type: 'unicast',
      metric: 50,
      oif: bridge,
    });
  });

  it('with several ways list them', () => {
    const hops = [
      hex('1000000002000000 08000500c0a84209'),
      hex('0800000003000000'), // directly out of interface 3
    ];
    const message = routeMessage(24, '02000000fe03000100000000', [{ type: 9, value: Buffer.concat(hops) }]);
    expect(decodeRoutes([message])).toMatchObject([{ nextHops: [{ oif: 2, gateway }, { oif: 3 }] }]);
    for (const bad of ['10000000', '0700000002000000', '1000000002000000']) {
      const broken = routeMessage(24, '02000000fe03000100000000', [{ type: 9, value: hex(bad) }]);
      expect(() => decodeRoutes([broken])).toThrow(/next hop/);
    }
  });

  it('of unknown types are "other"; a gateway of no IP family is refused', () => {
    expect(decodeRoutes([routeMessage(24, '02000000fe03000b00000000', [])])).toMatchObject([{ type: 'other' }]);
    for (const via of ['0a', '0b00fe80', '0a00fe80']) {
      const message = routeMessage(24, '02000000fe03000100000000', [{ type: 18, value: hex(via) }]);
      expect(() => decodeRoutes([message])).toThrow(MalformedNetlink);
    }
  });
});

describe('neighbours', () => {
  const neighbour = { index: bridge, family: 4, bytes: ipv4('192.168.66.20') } as const;
  const neighbour6 = { index: bridge, family: 6, bytes: six('fd000066', '20') } as const;

  it('are made permanent and deleted with the messages of ip', () => {
    const ours = [neighbour, neighbour6].map((one) => encodeReplaceNeighbour({ ...one, address: mac('20') }));
    expect(ours.map((one) => shown(one, 12))).toEqual(
      ['replaceNeighbour', 'replaceNeighbour6'].map((name) => shown(sentBy(name), 12)),
    );
    expect(shown(encodeDeleteNeighbour(neighbour), 12)).toEqual(shown(sentBy('deleteNeighbour'), 12));
  });

  it('are read from a dump', () => {
    const neighbours = decodeNeighbours(recorded('dumpNeighbours').received);
    const known = { state: 0x80, permanent: true, address: mac('20') };
    expect(neighbours).toContainEqual({ ...neighbour, ...known });
    expect(neighbours).toContainEqual({ ...neighbour6, ...known });
  });

  it('may have no MAC; those without an address are left out', () => {
    const destination = { type: 1, value: ipv4('10.0.0.1') };
    const header = '020000000700000020000000';
    const failed = { family: 4, bytes: ipv4('10.0.0.1'), index: 7, state: 0x20, permanent: false };
    expect(decodeNeighbours([routeMessage(28, header, [destination])])).toEqual([failed]);
    const empty = { type: 2, value: Buffer.alloc(0) };
    expect(decodeNeighbours([routeMessage(28, header, [destination, empty])])).toEqual([failed]);
    expect(decodeNeighbours([routeMessage(28, header, [])])).toEqual([]);
  });
});

describe('requests for dumps', () => {
  it('are the ones every kernel answers: an empty header', () => {
    const dumps = [encodeDumpLinks(), encodeDumpAddresses(), encodeDumpRoutes(), encodeDumpNeighbours()];
    expect(dumps.map(({ type, flags }) => [type, flags])).toEqual([18, 22, 26, 30].map((type) => [type, 0x301]));
    expect(dumps.map(({ payload }) => payload.length)).toEqual([16, 8, 12, 12]);
  });
});

describe('notifications', () => {
  const name = text(3, 'lan0');
  const linkHeader = (family: string) => `${family}000100020000000210000000000000`;

  it('say whether the thing is there or gone', () => {
    expect(decodeRouteMessage(routeMessage(16, linkHeader('00'), [name, u32(10, 3)]))).toMatchObject({
      kind: 'link',
      gone: false,
      link: { index: 2, name: 'lan0', master: 3, mtu: 0 },
    });
    expect(decodeRouteMessage(routeMessage(17, linkHeader('00'), [name]))).toMatchObject({ kind: 'link', gone: true });
    const gone = routeMessage(21, '0220000007000000', [{ type: 2, value: ipv4('10.0.0.1') }]);
    expect(decodeRouteMessage(gone)).toMatchObject({ kind: 'address', gone: true });
    const route = routeMessage(25, '02000000fe03000100000000', []);
    expect(decodeRouteMessage(route)).toMatchObject({ kind: 'route', gone: true });
    const neighbour = routeMessage(29, '020000000700000020000000', [{ type: 1, value: ipv4('10.0.0.1') }]);
    expect(decodeRouteMessage(neighbour)).toMatchObject({ kind: 'neighbour', gone: true });
  });

  it('of a bridge about its ports and MACs, of other families, and cached routes are left out', () => {
    expect(decodeRouteMessage(routeMessage(17, linkHeader('07'), [name]))).toBeUndefined();
    expect(decodeRouteMessage(routeMessage(28, '070000000700000020000000', []))).toBeUndefined();
    expect(decodeRouteMessage(routeMessage(24, '0a000000fe03000100020000', []))).toBeUndefined();
    expect(decodeRouteMessage(routeMessage(64, '', []))).toBeUndefined();
  });

  it('with an empty MAC have none', () => {
    const message = routeMessage(16, linkHeader('00'), [name, { type: 1, value: Buffer.alloc(0) }]);
    expect(decodeLinks([message])[0]).not.toHaveProperty('address');
    expect(decodeAddresses([message])).toEqual([]);
    expect(decodeRoutes([message])).toEqual([]);
    expect(decodeNeighbours([message])).toEqual([]);
    expect(decodeLinks([routeMessage(25, '02000000fe03000100000000', [])])).toEqual([]);
  });

  it('that are cut off or flipped anywhere are an event, nothing, or MalformedNetlink', () => {
    const samples = ['dumpLinks', 'dumpAddresses', 'dumpRoutes', 'dumpNeighbours'].map(
      (one) => recorded(one).received[0]!,
    );
    const attempt = (message: NetlinkMessage): void => {
      try {
        decodeRouteMessage(message);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedNetlink);
      }
    };
    for (const message of samples) {
      for (let length = 0; length < message.payload.length; length++) {
        attempt({ ...message, payload: message.payload.subarray(0, length) });
      }
      const flips = fc.array(fc.tuple(fc.nat(message.payload.length - 1), fc.nat(255)), { maxLength: 6 });
      fc.assert(
        fc.property(flips, (list) => {
          const payload = Buffer.from(message.payload);
          for (const [at, value] of list) payload[at] = value;
          attempt({ ...message, payload });
        }),
        { numRuns: 500 },
      );
    }
  });
});

function routeMessage(type: number, header: string, attributes: readonly AttributeTree[]): NetlinkMessage {
  return { type, flags: 0, sequence: 0, port: 0, payload: encodePayload(hex(header), attributes) };
}
