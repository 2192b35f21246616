// The rules of the whole configuration: random valid ones break none, and every rule can be broken alone.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rangeOf } from '../../src/model/address.ts';
import {
  assignable,
  blockLength,
  deviceRange,
  freeAddress,
  freeApplicationRange,
  freeLanAddress,
  hubAddress,
  identityRange,
  takenAddresses,
} from '../../src/model/addressing.ts';
import { type Config, initialConfig } from '../../src/model/config.ts';
import { Conflict } from '../../src/model/errors.ts';
import { problems, sourceProblem } from '../../src/model/rules.ts';
import {
  address,
  domainName,
  exampleConfig,
  label,
  mac,
  prefix,
  publicKey,
  withChanged,
  withLan,
} from '../support/builders.ts';
import { anyConfig } from '../support/random.ts';

const around = { hubPublicKey: publicKey(1000) };
const example = exampleConfig();
const broken = (config: Config) =>
  problems(config, around).map(({ noun, id, field, message }) => `${noun}/${id} ${field}: ${message}`);
const withNetwork = (changes: Partial<Config['network']>) =>
  exampleConfig({ network: { ...example.network, ...changes } });
const bare = (changes: Partial<Config['network']>): Config => ({
  ...initialConfig,
  network: { ...initialConfig.network, ...changes },
});
const bareLan = (changes: Partial<NonNullable<Config['lan']>>) =>
  withLan({ dhcp: null, ...changes }, exampleConfig({ lanDevices: [] }));

describe('the whole configuration', () => {
  it('has no problem when it is the example, the first one, or a random valid one', () => {
    expect(broken(example)).toEqual([]);
    expect(broken(initialConfig)).toEqual([]);
    fc.assert(
      fc.property(anyConfig, (config) => {
        expect(broken(config)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it.each<[string, Config, RegExp]>([
    ['a network too wide', bare({ range: prefix('10.0.0.0/11') }), /^network\/ range: .*\/12 to \/22/],
    ['a network too narrow', bare({ range: prefix('10.0.0.0/23') }), /^network\/ range: .*\/12 to \/22/],
    ['a public network', bare({ range: prefix('8.8.0.0/16') }), /^network\/ range: .*private/],
    [
      'a network over the LAN',
      bareLan({ range: prefix('172.16.200.0/24'), address: address('172.16.200.1') }),
      /^network\/ range: .*overlaps the LAN/,
    ],
    [
      'an endpoint that is no machine',
      bare({ endpoint: { host: '127.0.0.1', port: 1 } }),
      /^network\/ endpoint\.host: .*loopback/,
    ],
    [
      'an IPv6 endpoint that is no machine',
      bare({ endpoint: { host: 'fe80::1', port: 1 } }),
      /^network\/ endpoint\.host: .*link-local/,
    ],
    ['an endpoint inside', bare({ endpoint: { host: '172.16.0.1', port: 1 } }), /^network\/ endpoint\.host: .*inside/],
    [
      'a LAN too wide',
      bareLan({ range: prefix('10.0.0.0/15'), address: address('10.0.0.1') }),
      /^lan\/ address: .*\/16 to \/29/,
    ],
    ['a LAN too narrow', bareLan({ range: prefix('192.168.66.0/30') }), /^lan\/ address: .*\/16 to \/29/],
    [
      'a public LAN',
      bareLan({ range: prefix('8.8.8.0/24'), address: address('8.8.8.1') }),
      /^lan\/ address: .*private/,
    ],
    [
      'a LAN address that is the network’s',
      bareLan({ address: address('192.168.66.0') }),
      /^lan\/ address: .*not an address/,
    ],
    ['a LAN port that is the WAN', withLan({ ports: ['lan0', 'wan0'] }), /^lan\/ ports: wan0 is the port/],
    ['a port twice', withLan({ ports: ['lan0', 'lan0'] }), /^lan\/ ports: .*twice/],
    ['a bridge as its own port', withLan({ ports: ['br-lan'] }), /^lan\/ ports: br-lan is not/],
    ['the tunnel as a port', withLan({ ports: ['apn0'] }), /^lan\/ ports: apn0 is not/],
    ['loopback as WAN', withLan({ wan: 'lo' }), /^lan\/ ports: lo is not/],
    [
      'DHCP from outside',
      withLan({ dhcp: { from: address('192.168.65.9'), to: address('192.168.66.99') } }),
      /^lan\/ dhcp\.from: .*not inside/,
    ],
    [
      'DHCP to outside',
      withLan({ dhcp: { from: address('192.168.66.90'), to: address('192.168.66.255') } }),
      /^lan\/ dhcp\.to: .*not inside/,
    ],
    [
      'DHCP backwards',
      withLan({ dhcp: { from: address('192.168.66.90'), to: address('192.168.66.80') } }),
      /^lan\/ dhcp\.to: .*before/,
    ],
    [
      'DHCP over the hub',
      withLan({ dhcp: { from: address('192.168.66.1'), to: address('192.168.66.9') } }),
      /^lan\/ dhcp\.from: .*own address/,
    ],
    ['an unknown application by default', withLan({ defaultAccess: ['gone'] }), /^lan\/ defaultAccess: /],
    [
      'two applications of one label',
      withChanged('applications', 1, { label: label('shop') }),
      /^applications\/books1 label: /,
    ],
    [
      'an application outside',
      withChanged('applications', 1, { range: prefix('10.0.0.0/24') }),
      /^applications\/books1 range: .*not inside/,
    ],
    [
      'an application without room',
      exampleConfig({
        servers: [],
        applications: [{ ...example.applications[0]!, range: prefix('172.16.10.0/31') }],
        lanDevices: [],
        members: [example.members[0]!],
        devices: [],
        rules: [],
      }),
      /^applications\/shop1 range: .*no room/,
    ],
    [
      'an application over the hub',
      withChanged('applications', 1, { range: prefix('172.16.0.0/28') }),
      /^applications\/books1 range: .*the hub/,
    ],
    [
      'an application over the devices',
      withChanged('applications', 1, { range: prefix('172.16.1.0/24') }),
      /^applications\/books1 range: .*the devices/,
    ],
    [
      'an application over the LAN devices',
      withChanged('applications', 1, { range: prefix('172.16.2.128/25') }),
      /^applications\/books1 range: .*LAN devices/,
    ],
    [
      'applications over each other',
      withChanged('applications', 1, { range: prefix('172.16.10.128/25') }),
      /^applications\/books1 range: .*172\.16\.10\.0\/24 of shop/,
    ],
    [
      'a link to nowhere',
      withChanged('applications', 0, { links: ['gone'] }),
      /^applications\/shop1 links: .*does not exist/,
    ],
    ['a link to itself', withChanged('applications', 0, { links: ['shop1'] }), /^applications\/shop1 links: .*itself/],
    [
      'a link twice',
      withChanged('applications', 0, { links: ['books1', 'books1'] }),
      /^applications\/shop1 links: .*twice/,
    ],
    ['a server of nothing', withChanged('servers', 1, { application: 'gone' }), /^servers\/db01 application: /],
    ['a device of nobody', withChanged('devices', 0, { member: 'gone' }), /^devices\/laptop1 member: /],
    [
      'a server outside its application',
      withChanged('servers', 1, { address: address('172.16.11.11') }),
      /^servers\/db01 address: .*inside 172\.16\.10\.0\/24/,
    ],
    [
      'a server on the broadcast address',
      withChanged('servers', 1, { address: address('172.16.10.255') }),
      /^servers\/db01 address: /,
    ],
    ['a device outside', withChanged('devices', 0, { address: address('172.16.3.1') }), /^devices\/laptop1 address: /],
    [
      'an address twice',
      withChanged('servers', 1, { address: address('172.16.10.10') }),
      /^servers\/db01 address: .*in use/,
    ],
    ['a label twice', withChanged('servers', 1, { label: label('web') }), /^servers\/db01 label: .*in use/],
    [
      'a key twice',
      withChanged('devices', 0, { publicKey: publicKey(1) }),
      /^devices\/laptop1 publicKey: .*another peer/,
    ],
    [
      'the hub’s own key',
      withChanged('servers', 1, { publicKey: publicKey(1000) }),
      /^servers\/db01 publicKey: .*hub's own/,
    ],
    [
      'a name that looks like another',
      withChanged('members', 1, { name: 'Оlga' }),
      /^members\/anna1 name: .*looks like/,
    ],
    ['a member’s label twice', withChanged('members', 1, { label: label('olga') }), /^members\/anna1 label: /],
    ['a role for nothing', withChanged('members', 1, { access: { gone: 'admin' } }), /^members\/anna1 access: /],
    ['no owner', withChanged('members', 0, { role: 'admin' }), /^members\/olga1 role: .*owner/],
    ['a disabled owner only', withChanged('members', 0, { disabled: true }), /^members\/olga1 role: .*owner/],
    [
      'a reserved LAN name',
      withChanged('lanDevices', 0, { label: label('wpad') }),
      /^lanDevices\/tv01 label: .*reserved/,
    ],
    ['a LAN name twice', withChanged('lanDevices', 1, { label: label('tv') }), /^lanDevices\/printer1 label: /],
    ['a MAC twice', withChanged('lanDevices', 1, { mac: mac('02:00:00:00:66:0a') }), /^lanDevices\/printer1 mac: /],
    [
      'a LAN address twice',
      withChanged('lanDevices', 1, { address: address('192.168.66.10') }),
      /^lanDevices\/printer1 address: /,
    ],
    [
      'an identity twice',
      withChanged('lanDevices', 1, { identity: address('172.16.2.10') }),
      /^lanDevices\/printer1 identity: /,
    ],
    [
      'a LAN device elsewhere',
      withChanged('lanDevices', 1, { address: address('192.168.67.11') }),
      /^lanDevices\/printer1 address: .*LAN/,
    ],
    [
      'a LAN device on the hub',
      withChanged('lanDevices', 1, { address: address('192.168.66.1') }),
      /^lanDevices\/printer1 address: .*own/,
    ],
    [
      'an identity elsewhere',
      withChanged('lanDevices', 1, { identity: address('172.16.3.11') }),
      /^lanDevices\/printer1 identity: /,
    ],
    [
      'a LAN device that may reach nothing that exists',
      withChanged('lanDevices', 1, { access: ['gone'] }),
      /^lanDevices\/printer1 access: /,
    ],
    [
      'a rule for everybody',
      withChanged('rules', 0, { source: prefix('0.0.0.0/0') }),
      /^rules\/rule1 source: .*too wide/,
    ],
    ['a rule for no server', withChanged('rules', 0, { server: 'gone' }), /^rules\/rule1 server: /],
    ['a name twice', withChanged('names', 1, { name: domainName('files.shop') }), /^names\/name2 name: .*in use/],
    [
      'a name of an application',
      withChanged('names', 1, { name: domainName('shop') }),
      /^names\/name2 name: .*application/,
    ],
    ['a name of a server', withChanged('names', 1, { name: domainName('web.shop') }), /^names\/name2 name: .*server/],
    [
      'a name that is itself',
      withChanged('names', 1, { name: domainName('web.docs'), target: domainName('web.docs') } as never),
      /^names\/name2 target: .*itself/,
    ],
  ])('%s is refused at its field', (_, config, expected) => {
    const found = broken(config);
    expect(found.filter((one) => expected.test(one))).not.toEqual([]);
  });

  it('a LAN device needs a LAN', () => {
    expect(broken({ ...example, lan: null })).toEqual(
      ['tv01', 'printer1'].map((id, i) => `lanDevices/${id} address: 192.168.66.1${i} is not inside the LAN.`),
    );
  });

  it('with no owner left, the first member is pointed at', () => {
    const members = example.members.map((one) => ({ ...one, role: 'viewer' as const }));
    expect(broken({ ...example, members })).toEqual(['members/olga1 role: There must be at least one owner.']);
  });

  it('beside another router the WAN port is a LAN port too', () => {
    expect(broken(withLan({ topology: 'beside', ports: ['wan0'] }))).toEqual([]);
  });
});

describe('a source of rules and leases', () => {
  it.each([
    ['0.0.0.0/0', /too wide/],
    ['10.0.0.0/7', /too wide/],
    ['2000::/15', /too wide/],
    ['224.0.0.1/32', /multicast/],
    ['ff02::1/128', /multicast/],
    ['172.16.10.10/32', /inside the network/],
    ['192.168.66.7/32', /on the LAN/],
    ['192.168.0.0/16', /on the LAN/],
    ['203.0.113.1/32', /hub's own/],
  ])('%s is refused', (text, expected) => {
    const source = prefix(text.replace('10.0.0.0/7', '10.0.0.0/7'));
    expect(sourceProblem(source, example)).toMatch(expected);
  });

  it.each(['203.0.113.7/32', '203.0.113.0/24', '2001:db8::/64', '100.64.0.2/32', '192.168.1.7/32'])(
    '%s is fine',
    (text) => {
      expect(sourceProblem(prefix(text), example)).toBe(null);
    },
  );

  it('a hub known by name or not at all has no address to compare', () => {
    const source = prefix('203.0.113.1/32');
    expect(sourceProblem(source, withNetwork({ endpoint: { host: 'hub.example.net', port: 1 } }))).toBe(null);
    expect(sourceProblem(source, { ...example, lan: null, network: { ...example.network, endpoint: null } })).toBe(
      null,
    );
  });
});

describe('addresses to hand out', () => {
  it('are the blocks of the design in the usual network', () => {
    const { network } = example;
    expect([hubAddress(network), deviceRange(network), identityRange(network)]).toEqual([
      '172.16.0.1',
      '172.16.1.0/24',
      '172.16.2.0/24',
    ]);
    expect(freeApplicationRange(example)).toBe('172.16.12.0/24');
  });

  it('are smaller blocks in a smaller network, which never overlap', () => {
    for (const [text, length] of [
      ['10.0.0.0/12', 24],
      ['10.0.0.0/20', 24],
      ['10.0.0.0/21', 25],
      ['10.0.0.0/22', 26],
    ] as const) {
      const config = bare({ range: prefix(text) });
      expect(blockLength(config.network)).toBe(length);
      let full: Config = config;
      expect(() => {
        for (let i = 0; i < 7; i++) {
          full = {
            ...full,
            applications: [
              ...full.applications,
              { id: `app${i}`, label: label(`a${i}`), range: freeApplicationRange(full), links: [] },
            ],
          };
          expect(broken(full)).toEqual([]);
        }
        if (text !== '10.0.0.0/12') return;
        throw new Conflict('range', 'enough');
      }).toThrow(Conflict);
    }
  });

  it('are free, the tenth first, and all are handed out before there is none', () => {
    const within = prefix('172.16.10.0/28');
    const given: string[] = [];
    let config: Config = exampleConfig({ servers: [], rules: [] });
    expect(() => {
      for (;;) {
        const next = freeAddress(config, within);
        expect(assignable(within, next)).toBe(true);
        given.push(next);
        config = { ...config, servers: [...config.servers, { ...example.servers[0]!, address: next }] };
      }
    }).toThrow(Conflict);
    expect([given.length, new Set(given).size, given[0]]).toEqual([14, 14, '172.16.10.10']);
    expect(takenAddresses(example).get(address('172.16.2.10'))).toBe('LAN device tv');
    expect(takenAddresses(example).get(address('172.16.1.10'))).toBe('device laptop');
  });

  it('on the LAN are outside the pool, then inside, then none', () => {
    let config = withLan(
      { range: prefix('192.168.66.0/29'), dhcp: { from: address('192.168.66.2'), to: address('192.168.66.4') } },
      exampleConfig({ lanDevices: [] }),
    );
    const given: string[] = [];
    expect(() => {
      for (;;) {
        const next = freeLanAddress(config);
        given.push(next);
        config = { ...config, lanDevices: [...config.lanDevices, { ...example.lanDevices[0]!, address: next }] };
      }
    }).toThrow(Conflict);
    expect(given.map((one) => Number(one.split('.')[3]))).toEqual([5, 6, 2, 3, 4]);
    expect(freeLanAddress(withLan({ dhcp: null }))).toBe('192.168.66.2');
    expect(() => freeLanAddress({ ...example, lan: null })).toThrow(/no LAN/);
  });

  it('are assignable in a block of two or one, whole', () => {
    expect(
      [prefix('10.0.0.0/31'), prefix('10.0.0.0/32'), prefix('10.0.0.0/30')].map((one) =>
        assignable(one, address('10.0.0.0')),
      ),
    ).toEqual([true, true, false]);
    expect(rangeOf(prefix('10.0.0.0/31')).last).toBe(0x0a000001n);
  });
});
