// Uplinks: what a file makes of one, how two files differ, and what must hold between uplinks and everything else.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Address, overlapFinder, overlaps, type Prefix, prefixOf } from '../../src/model/address.ts';
import { freeAddress, freeApplicationRange, takenAddresses } from '../../src/model/addressing.ts';
import { type Config, parse, type Uplink, uplink as uplinkSchema } from '../../src/model/config.ts';
import { explain, findMachine } from '../../src/model/explain.ts';
import { parseSearchDomain } from '../../src/model/name.ts';
import { problems } from '../../src/model/rules.ts';
import {
  addressOf,
  aliases,
  difference,
  freeDevice,
  fromFile,
  notes,
  relayedDomains,
  withoutGuest,
} from '../../src/model/uplink.ts';
import { callProblem, wanProblems } from '../../src/model/uplink-rules.ts';
import { parseWireguardFile } from '../../src/model/wireguard-file.ts';
import { address, exampleConfig, label, prefix, publicKey, uplink, withLan, withUplink } from '../support/builders.ts';
import { anyConfig, anySource } from '../support/random.ts';

const [db, dns] = uplink().peers as [Uplink['peers'][number], Uplink['peers'][number]];
const { network } = exampleConfig();

/** What is wrong with the first uplink, or with all of them. */
function wrong(config: Config, hubPublicKey: string | null = null): readonly string[] {
  return problems(config, { hubPublicKey }).map(({ noun, id, field, message }) => `${noun} ${id} ${field}: ${message}`);
}

const withPeers = (...peers: readonly Uplink['peers'][number][]) =>
  withUplink({}, { peers, dns: { servers: [], domains: [] } });
const second = (changes: Partial<Uplink>) =>
  uplink({
    ...{ id: 'second1', label: label('second'), device: 2, publicKey: publicKey(50), address: address('10.8.0.2') },
    dns: { servers: [], domains: [] },
    peers: [{ ...db, publicKey: publicKey(51), allowedIps: [prefix('10.8.0.10/32')], alias: address('172.16.3.9') }],
    ...changes,
  });
const two = (changes: Partial<Uplink>) => ({ ...withUplink(), uplinks: [uplink(), second(changes)] });

describe('an uplink', () => {
  it('is fine beside the example, and beside another', () => {
    expect(wrong(withUplink({ lan: 'everyone', members: ['anna1'], applications: ['shop1'] }))).toEqual([]);
    expect(wrong(withUplink({ lan: ['tv01'] }))).toEqual([]);
    expect(wrong(two({}))).toEqual([]);
    expect(wrong({ ...withUplink(), lan: null, lanDevices: [] })).toEqual([]);
  });

  it('of any random configuration is a valid one', () => {
    fc.assert(
      fc.property(anyConfig, (config) => {
        for (const one of config.uplinks) expect(parse(uplinkSchema, one)).toEqual(one);
        expect(problems(config, { hubPublicKey: null }).filter(({ noun }) => noun === 'uplinks')).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it.each<[string, Config, string]>([
    ['a label twice', two({ label: label('hosted') }), 'second1 label'],
    ['an application’s label', withUplink({}, { label: label('shop') }), 'hosted1 label'],
    ['an extra name', withUplink({}, { label: label('docs') }), 'hosted1 label'],
    ['a device twice', two({ device: 1 }), 'second1 device'],
    ['a private key twice', two({ publicKey: publicKey(40) }), 'second1 publicKey'],
    ['a peer twice', withPeers(db, { ...dns, publicKey: publicKey(41) }), 'hosted1 peers.1.publicKey'],
    ['its own key among the peers', withPeers({ ...db, publicKey: publicKey(40) }), 'hosted1 peers.0.publicKey'],
    ['a name twice', withPeers(db, { ...dns, label: label('db') }), 'hosted1 peers.1.label'],
    [
      'an address twice',
      withPeers(db, { ...dns, allowedIps: [prefix('10.9.0.10/32')] }),
      'hosted1 peers.1.allowedIps.0',
    ],
    ['an alias twice', withPeers(db, { ...dns, alias: address('172.16.3.1') }), 'hosted1 peers.1.alias'],
    ['an alias outside', withPeers({ ...db, alias: address('10.10.0.1') }), 'hosted1 peers.0.alias'],
    ['an alias of somebody', withPeers({ ...db, alias: address('172.16.1.10') }), 'hosted1 peers.0.alias'],
    ['its own address', withPeers({ ...db, allowedIps: [prefix('10.9.0.2/32')] }), 'hosted1 peers.0.allowedIps.0'],
    ['the LAN', withPeers({ ...db, allowedIps: [prefix('192.168.0.0/16')] }), 'hosted1 peers.0.allowedIps.0'],
    ['an address on the LAN', withUplink({}, { address: address('192.168.66.99') }), 'hosted1 address'],
    ['an application', withPeers({ ...db, allowedIps: [prefix('172.16.10.99/32')] }), 'hosted1 peers.0.allowedIps.0'],
    ['the network', withPeers({ ...db, allowedIps: [prefix('172.16.200.0/24')] }), 'hosted1 peers.0.allowedIps.0'],
    ['the hub', withPeers({ ...db, allowedIps: [prefix('172.16.0.1/32')] }), 'hosted1 peers.0.allowedIps.0'],
    ['a device', withPeers({ ...db, allowedIps: [prefix('172.16.1.10/32')] }), 'hosted1 peers.0.allowedIps.0'],
    [
      'the source of a rule',
      withPeers({ ...db, allowedIps: [prefix('203.0.113.0/24')] }),
      'hosted1 peers.0.allowedIps.0',
    ],
    [
      'the hub from outside',
      withPeers({ ...db, allowedIps: [prefix('203.0.113.1/32')] }),
      'hosted1 peers.0.allowedIps.0',
    ],
    ['multicast', withPeers({ ...db, allowedIps: [prefix('224.0.0.0/8')] }), 'hosted1 peers.0.allowedIps.0'],
    ['another uplink’s', two({ address: address('10.9.1.7') }), 'second1 address'],
    [
      'the hub to be called',
      withPeers({ ...db, endpoint: { host: '203.0.113.1', port: 51820 } }),
      'hosted1 peers.0.endpoint',
    ],
    [
      ...([
        'the hub’s LAN address to be called',
        withPeers({ ...db, endpoint: { host: '192.168.66.1', port: 1 } }),
      ] as const),
      'hosted1 peers.0.endpoint',
    ],
    [
      'the inside to be called',
      withPeers({ ...db, endpoint: { host: '172.16.9.9', port: 1 } }),
      'hosted1 peers.0.endpoint',
    ],
    [
      'loopback to be called',
      withPeers({ ...db, endpoint: { host: '127.0.0.1', port: 1 } }),
      'hosted1 peers.0.endpoint',
    ],
    [
      'itself to be called through',
      withPeers({ ...db, endpoint: { host: '10.9.0.10', port: 1 } }),
      'hosted1 peers.0.endpoint',
    ],
    [
      'DNS outside',
      withUplink({}, { dns: { servers: [address('10.1.1.1')], domains: ['a.test'] } }),
      'hosted1 dns.servers.0',
    ],
    [
      ...(['a domain twice', withUplink({}, { dns: { servers: [], domains: ['a.test', 'a.test'] } })] as const),
      'hosted1 dns.domains.1',
    ],
    ['a domain of another', two({ dns: { servers: [], domains: ['corp.example.net'] } }), 'second1 dns.domains.0'],
    ['a LAN device that is gone', withUplink({ lan: ['gone1'] }), 'hosted1 access.lan'],
    ['a member who is gone', withUplink({ members: ['gone1'] }), 'hosted1 access.members'],
    ['an application that is gone', withUplink({ applications: ['gone1'] }), 'hosted1 access.applications'],
  ])('may not have %s', (_, config, place) => {
    expect(wrong(config).some((text) => text.startsWith(`uplinks ${place}: `))).toBe(true);
  });

  it('may not have the key of the hub, as its own or as a peer’s, nor call the hub by its name', () => {
    expect(wrong(withUplink(), publicKey(40))[0]).toMatch(
      /^uplinks hosted1 publicKey: This is the hub's own private key/,
    );
    expect(wrong(withUplink(), publicKey(41))[0]).toMatch(/^uplinks hosted1 peers\.0\.publicKey: /);
    const named = { ...withUplink(), network: { ...network, endpoint: { host: 'vpn.example.net', port: 51820 } } };
    expect(wrong(named)[0]).toMatch(/^uplinks hosted1 peers\.1\.endpoint: This is the hub itself/);
    expect(wrong({ ...withUplink(), network: { ...network, endpoint: null } })).toEqual([]);
  });

  it('has single free addresses of the network, which then are nobody else’s', () => {
    const inside = withPeers({ ...db, allowedIps: [prefix('172.16.1.11/32')], alias: null });
    expect(wrong(inside)).toEqual([]);
    expect(takenAddresses(inside).get(address('172.16.1.11'))).toBe('uplink hosted');
    expect(freeAddress(inside, prefix('172.16.1.0/24'))).toBe('172.16.1.12');
    const [laptop] = inside.devices;
    expect(wrong({ ...inside, devices: [{ ...laptop!, address: address('172.16.1.11') }] })).toContain(
      'devices laptop1 address: 172.16.1.11 is reserved by an uplink.',
    );
    const block = withPeers({ ...db, allowedIps: [prefix('172.16.12.1/32')], alias: null });
    expect(freeApplicationRange(block)).toBe('172.16.13.0/24');
    expect(
      wrong({ ...block, applications: [{ ...block.applications[0]!, range: prefix('172.16.12.0/24') }] }),
    ).toContain('applications shop1 range: 172.16.12.0/24 is reserved by an uplink.');
  });

  it('gives its names to nothing else', () => {
    const [name] = exampleConfig().names;
    expect(wrong({ ...withUplink(), names: [{ ...name!, name: 'db.hosted' as never }] })).toEqual([
      'names name1 name: “db.hosted” is the name of a server.',
    ]);
  });
});

describe('a host that is found by its name', () => {
  const isBehind = overlapFinder([prefix('10.9.0.0/24')]);
  it.each([
    ['203.0.113.1', 'This is the hub itself.'],
    ['172.16.0.1', 'This is the hub itself.'],
    ['10.9.0.7', '10.9.0.7 is itself reached through an uplink.'],
    ['203.0.113.9', null],
    ['2001:db8::9', null],
  ])('%s', (host, why) => {
    expect(callProblem(exampleConfig(), host as Address, isBehind)).toBe(why);
  });
});

describe('on this machine', () => {
  const wan = [
    { address: address('203.0.113.80'), range: prefix('203.0.113.0/24') },
    { address: address('2001:db8::1'), range: prefix('2001:db8::/64') },
  ];
  it('an uplink cannot have the network towards the Internet, nor call the hub there', () => {
    expect(wanProblems(uplink(), [])).toEqual([]);
    expect(wanProblems(uplink(), wan).map(({ field }) => field)).toEqual(['peers.0.endpoint']);
    const near = uplink({
      address: address('203.0.113.5'),
      peers: [{ ...db, allowedIps: [prefix('203.0.113.7/32')] }],
    });
    expect(wanProblems(near, wan).map(({ field }) => field)).toEqual([
      ...['address', 'peers.0.allowedIps.0', 'peers.0.endpoint'],
    ]);
  });
});

const face = `[Interface]\nPrivateKey = yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\nAddress = 10.9.0.2\n`;
const peerText = (n: number, ip: string, name = '') =>
  `${name === '' ? '' : `# ${name}\n`}[Peer]\nPublicKey = ${publicKey(n)}\nAllowedIPs = ${ip}\nEndpoint = 192.0.2.1:51820\n`;

describe('a file', () => {
  const read = (text: string, before: Uplink | null = null, config = exampleConfig()) =>
    fromFile(parseWireguardFile(face + text), () => null, before, config);

  it('makes an uplink with names of its comments, and aliases for what is outside of the network', () => {
    const made = read(peerText(41, '10.9.0.10', 'DB') + peerText(42, '172.16.200.1') + peerText(43, '10.9.4.0/24'));
    expect(made).toMatchObject({ mtu: 1420, address: '10.9.0.2' });
    expect(made.peers.map(({ label: name, alias }) => [name, alias])).toEqual([
      ...[
        ['db', '172.16.3.1'],
        [null, null],
        [null, null],
      ],
    ]);
    expect(aliases(uplink())).toEqual([{ alias: '172.16.3.1', address: '10.9.0.10' }]);
    expect(aliases({ peers: [{ ...dns, allowedIps: [prefix('10.9.4.0/24')], alias: address('172.16.3.1') }] })).toEqual(
      [],
    );
    expect(addressOf(dns)).toBe('10.9.0.53');
  });

  it('that is newer leaves names and aliases as they were, and gives nobody the name of another', () => {
    const named = uplink({ peers: [{ ...db, label: label('store'), alias: address('172.16.3.77') }, dns] });
    const newer =
      peerText(43, '10.9.0.43', 'Store') + peerText(42, '10.9.0.53', 'Names') + peerText(41, '10.9.0.10', 'DB');
    expect(
      read(newer, named, { ...exampleConfig(), uplinks: [named] }).peers.map((one) => [one.label, one.alias]),
    ).toEqual([
      ...[
        [null, '172.16.3.1'],
        ['names', '172.16.3.2'],
        ['store', '172.16.3.77'],
      ],
    ]);
  });

  it('has aliases that are free: not of an application, of an uplink, or of its own addresses', () => {
    const [shop] = exampleConfig().applications;
    const config = { ...withUplink(), applications: [{ ...shop!, range: prefix('172.16.3.0/29') }] };
    const made = read(peerText(43, '10.9.0.43') + peerText(44, '172.16.3.8'), null, config);
    expect(made.peers.map(({ alias }) => alias)).toEqual(['172.16.3.9', null]);
    const small = { ...config, network: { ...network, range: prefix('172.16.0.0/22') } };
    expect(read(peerText(43, '10.9.0.43'), null, small).peers[0]?.alias).toBe('172.16.0.193');
  });

  it('goes without an alias when there is none left', () => {
    const full = {
      ...exampleConfig(),
      applications: [{ ...exampleConfig().applications[0]!, range: prefix('172.16.0.0/16') }],
    };
    expect(read(peerText(43, '10.9.0.43'), null, full).peers[0]?.alias).toBe(null);
  });
});

describe('the difference', () => {
  const before = uplink();
  it('of the same is nothing', () => {
    expect(difference(before, uplink())).toEqual({ fields: [], added: [], removed: [], changed: [], unchanged: 2 });
  });

  it('names what is new, gone and changed', () => {
    const after = uplink({
      ...{ address: address('10.9.0.3'), mtu: 1400, publicKey: publicKey(60), dns: { servers: [], domains: [] } },
      peers: [
        { ...db, keepalive: 5, presharedKey: null },
        { ...dns, publicKey: publicKey(61) },
      ],
    });
    const found = difference(before, after);
    expect(found.fields).toEqual(['address', 'mtu', 'dns', 'privateKey']);
    expect([found.added, found.removed].map((list) => list.map((one) => one.publicKey))).toEqual([
      ...[[publicKey(61)], [publicKey(42)]],
    ]);
    expect(found.changed.map(({ fields }) => fields)).toEqual([['presharedKey', 'keepalive']]);
    expect(found.unchanged).toBe(0);
  });
});

describe('names', () => {
  it('below its domains are asked of it, but not below ours', () => {
    const of = (domains: readonly string[], servers = [address('10.9.0.53')]) => ({ dns: { servers, domains } });
    expect(relayedDomains(of(['apn', 'db.apn', 'corp.test']), network)).toEqual(['corp.test']);
    expect(relayedDomains(of(['corp.test'], []), network)).toEqual([]);
    expect(notes(of(['apn', 'corp.test']), network)).toEqual([expect.stringContaining('“apn”')]);
    expect(notes(of([]), network)).toEqual([expect.stringContaining('no search domain')]);
    expect(notes(of(['corp.test'], []), network)).toEqual([expect.stringContaining('no server')]);
    expect(notes(of([], []), network)).toEqual([]);
  });

  it('are domains that are nobody’s on the Internet, or two labels long', () => {
    for (const text of ['corp', 'internal', 'apn', 'example.net', 'a.b.example.net'])
      expect(parseSearchDomain(text)).toBe(text);
    for (const text of [
      'net',
      'arpa',
      'x.arpa',
      'localhost',
      'a.localhost',
      '',
      'a..b',
      'Corp.test',
      'x_y.test',
      'a.'.repeat(100).concat('test'),
    ])
      expect(() => parseSearchDomain(text)).toThrow();
  });
});

describe('explain', () => {
  const say = (config: Config, from: string, to: string) =>
    explain(config, [], findMachine(config, from)!, findMachine(config, to, 'destination')!, '').message;
  it('says who may use it, and what is missing', () => {
    const config = withUplink({ lan: ['tv01'], members: ['anna1'], applications: ['books1'] });
    expect(say(config, 'tv', 'db.hosted')).toContain('tv may use the uplink hosted');
    expect(say(config, 'laptop.anna.team', 'db.hosted')).toContain('Anna may use the uplink hosted');
    expect(say(config, 'ledger', 'db.hosted')).toContain('books may use the uplink hosted');
    expect(say(withUplink({ lan: 'everyone' }), 'tv', 'db.hosted')).toContain('every device on the LAN may use');
    expect(say(config, 'printer', 'db.hosted')).toContain('not been given access to the uplink hosted');
    expect(say(config, 'db.hosted', 'tv')).toContain('nobody behind an uplink');
  });
});

describe('devices and guests', () => {
  it('the lowest free device is taken, up to sixteen', () => {
    expect(freeDevice({ uplinks: [uplink(), uplink({ device: 3 })] })).toBe(2);
    const all = Array.from({ length: 16 }, (_, i) => uplink({ device: i + 1 }));
    expect(() => freeDevice({ uplinks: all })).toThrow(/16 uplinks/);
  });

  it('somebody who is removed is no guest any more', () => {
    const one = uplink({ access: { lan: ['tv01'], members: ['anna1'], applications: ['shop1'] } });
    expect(withoutGuest([one], 'tv01')[0]?.access).toEqual({ lan: [], members: ['anna1'], applications: ['shop1'] });
    expect(withoutGuest([uplink({ access: { ...one.access, lan: 'everyone' } })], 'anna1')[0]?.access).toEqual({
      ...{ lan: 'everyone', members: [], applications: ['shop1'] },
    });
    expect(withoutGuest([one], 'other')[0]).toBe(one);
  });
});

describe('overlapFinder', () => {
  it('finds what a search through the list finds', () => {
    fc.assert(
      fc.property(fc.array(anySource, { maxLength: 8 }), fc.array(anySource, { maxLength: 8 }), (list, values) => {
        const find = overlapFinder(list);
        for (const value of values) expect(find(value)).toBe(list.some((one) => overlaps(one, value)));
        expect(find(prefixOf(address('198.51.100.1'), 24) as Prefix)).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });
});

it('the LAN’s own range cannot move onto an uplink', () => {
  const moved = withLan({ address: address('10.9.0.1'), range: prefix('10.9.0.0/24'), dhcp: null }, withUplink());
  expect(wrong(moved).some((text) => text.startsWith('uplinks hosted1 address: 10.9.0.2/32 overlaps the LAN'))).toBe(
    true,
  );
});
