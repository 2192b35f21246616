// Grants, bindings and explanations against a slow definition that goes through every pair; and who may do what.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Binding, bindings, grants, type Reason } from '../../src/model/access.ts';
import { type Address, contains, networkAddress, nth } from '../../src/model/address.ts';
import type { Config, Uplink } from '../../src/model/config.ts';
import { explain, findMachine, type Machine, machines } from '../../src/model/explain.ts';
import { may, type Permission, type Principal, reaches, roleIn } from '../../src/model/roles.ts';
import { address, exampleConfig, prefix, withChanged, withLan } from '../support/builders.ts';
import { anyConfig, anyLeased } from '../support/random.ts';

/** DESIGN §4 and §5.5, read pair by pair: may a machine at `from` open connections to the server at `to`? */
function reachable(config: Config, leased: readonly Binding[], from: Address, to: Address): boolean {
  if (config.members.length === 0) return false;
  const uplink = config.uplinks.find(({ peers }) =>
    peers.some((one) => one.alias === to || one.allowedIps.some((ip) => contains(ip, to))),
  );
  if (uplink !== undefined) return mayUse(config, uplink, leased, from);
  const target = config.applications.find(({ range }) => contains(range, to));
  if (target === undefined) return false;
  const own = config.applications.find(({ range }) => contains(range, from));
  if (own !== undefined && (own.id === target.id || own.links.includes(target.id))) return true;
  const device = config.devices.find((one) => one.address === from);
  const member = config.members.find(({ id }) => id === device?.member);
  if (member !== undefined && !member.disabled) return (member.access[target.id] ?? member.role) !== 'viewer';
  const { lan } = config;
  if (lan === null || !contains(lan.range, from) || from === lan.address) return false;
  const fixed = config.lanDevices.find((one) => one.address === from);
  const given = leased.findLast((one) => one.address === from);
  if (fixed === undefined && given === undefined) return false;
  const known = fixed ?? config.lanDevices.find(({ mac }) => mac === given?.mac);
  const access = known === undefined || known.access === 'default' ? lan.defaultAccess : known.access;
  return access === 'everything' || (access !== 'nothing' && access.includes(target.id));
}

/** Who may use an uplink: the member's devices, the application's servers, the LAN or some of it. */
function mayUse(
  { applications, devices, lan, lanDevices, members }: Config,
  { access }: Uplink,
  leased: readonly Binding[],
  from: Address,
) {
  const application = applications.find(({ range }) => contains(range, from));
  if (application !== undefined) return access.applications.includes(application.id);
  const device = devices.find((one) => one.address === from);
  const member = members.find(({ id }) => id === device?.member);
  if (member !== undefined) return !member.disabled && access.members.includes(member.id);
  if (lan === null || !contains(lan.range, from)) return false;
  if (typeof access.lan === 'string') return access.lan === 'everyone';
  const fixed = lanDevices.find((one) => one.address === from);
  const given = from === lan.address ? undefined : leased.findLast((one) => one.address === from);
  const known = fixed ?? lanDevices.find(({ mac }) => mac === given?.mac);
  return known !== undefined && access.lan.includes(known.id);
}

function everyAddress(config: Config, leased: readonly Binding[]): readonly Address[] {
  return [
    ...[...config.servers, ...config.devices, ...config.lanDevices, ...leased].map((one) => one.address),
    ...(config.lan === null ? [] : [nth(config.lan.range, 60), config.lan.address]),
    ...config.lanDevices.map(({ identity }) => identity),
    ...config.uplinks.flatMap(({ peers }) => peers.flatMap(({ allowedIps }) => allowedIps.map(networkAddress))),
    ...config.uplinks.flatMap(({ peers }) => peers.flatMap(({ alias }) => alias ?? [])),
  ];
}

describe('grants', () => {
  it('allow what the design says, pair by pair, and explain says the same', () => {
    fc.assert(
      fc.property(anyConfig, anyLeased, (config, leased) => {
        const all = grants(config, leased);
        for (const from of everyAddress(config, leased)) {
          for (const to of everyAddress(config, leased)) {
            const wanted = reachable(config, leased, from, to);
            expect(all.some((one) => contains(one.from, from) && contains(one.to, to))).toBe(wanted);
            const machine = (at: Address): Machine =>
              machines(config).find((one) => one.address === at) ?? { kind: 'unknown', name: at, address: at };
            const explained = explain(config, leased, machine(from), machine(to), '');
            // What is switched on the LAN does not pass the hub.
            const onTheLan = (at: Address) => config.lan !== null && contains(config.lan.range, at);
            const switched = onTheLan(from) && onTheLan(to);
            if (machine(to).kind !== 'hub') expect(explained.allowed).toBe(wanted || switched);
            expect(explained.because.length > 0).toBe(wanted);
          }
        }
      }),
      { numRuns: 500 },
    );
  }, 60_000);

  it('name no application that does not exist', () => {
    expect(grants(withChanged('applications', 0, { links: ['gone'] }), [])).toEqual(grants(exampleConfig(), []));
    expect(grants(withChanged('devices', 0, { member: 'gone' }), []).some(({ reason }) => reason.kind === 'role')).toBe(
      false,
    );
  });
});

describe('bindings', () => {
  const seen = (config: Config, leased: readonly Binding[]) =>
    bindings(config, leased).map(({ mac, address: at, device }) => `${mac} ${at} ${device?.label ?? '?'}`);
  const fixed = ['02:00:00:00:66:0a 192.168.66.10 tv', '02:00:00:00:66:0b 192.168.66.11 printer'];
  const given = (mac: string, at: string): Binding => ({ mac, address: address(at) });

  it('are the fixed addresses, and what DHCP gave: to strangers, and to known devices before they were known', () => {
    const leased = [given('02:00:00:00:66:0a', '192.168.66.105'), given('02:00:00:00:66:99', '192.168.66.106')];
    expect(seen(exampleConfig(), leased)).toEqual([
      ...fixed,
      '02:00:00:00:66:0a 192.168.66.105 tv',
      '02:00:00:00:66:99 192.168.66.106 ?',
    ]);
  });

  it('do not count for an address that is the hub’s, fixed for another, or of another network', () => {
    const leased = ['192.168.66.1', '192.168.66.10', '172.16.10.10', '2001:db8::1'].map((at) =>
      given('02:00:00:00:66:99', at),
    );
    expect(seen(exampleConfig(), leased)).toEqual(fixed);
  });

  it('are one for each address: the newer counts', () => {
    const leased = [given('02:00:00:00:66:98', '192.168.66.105'), given('02:00:00:00:66:99', '192.168.66.105')];
    expect(seen(exampleConfig(), leased)).toEqual([...fixed, '02:00:00:00:66:99 192.168.66.105 ?']);
  });

  it('are none without a LAN', () => {
    expect(bindings({ ...exampleConfig(), lan: null }, [])).toEqual([]);
  });
});

describe('explaining', () => {
  const config = withChanged('applications', 0, { links: ['books1'] }, withLan({ defaultAccess: ['books1'] }));
  const at = (text: string): Machine =>
    findMachine(config, text) ?? { kind: 'unknown', name: text, address: address(text) };
  const message = (from: string, to: string, port = '') => explain(config, [], at(from), at(to), port).message;

  it('takes the APN address of a LAN device for its LAN address as a source, and for itself as a destination', () => {
    const [device] = config.lanDevices;
    const [identity, lan] = [device?.identity ?? '', device?.address];
    expect(findMachine(config, identity)?.address).toBe(lan);
    expect(findMachine(config, identity, 'destination')).toMatchObject({ kind: 'LAN device', address: identity });
  });

  it.each([
    [
      'web.shop.apn',
      'db',
      '5432',
      'web.shop (172.16.10.10) may reach db.shop (172.16.10.11) port 5432: both are part of shop.',
    ],
    ['web', 'ledger', '', 'web.shop (172.16.10.10) may reach ledger.books (172.16.11.20): shop is linked to books.'],
    [
      'ledger',
      'web',
      '',
      'ledger.books (172.16.11.20) may not reach web.shop (172.16.10.10): books is not linked to shop.',
    ],
    ['laptop', 'web', '', 'laptop.anna.team (172.16.1.10) may reach web.shop (172.16.10.10): Anna has a role in shop.'],
    [
      'laptop',
      'ledger',
      '',
      'laptop.anna.team (172.16.1.10) may not reach ledger.books (172.16.11.20): its member has no role in books that reaches servers.',
    ],
    ['tv', 'web', '', 'tv.lan (192.168.66.10) may reach web.shop (172.16.10.10): tv has been given access to shop.'],
    [
      'tv.lan',
      'ledger',
      '',
      'tv.lan (192.168.66.10) may not reach ledger.books (172.16.11.20): it has not been given access to books.',
    ],
    [
      'printer',
      'ledger',
      '',
      'printer.lan (192.168.66.11) may reach ledger.books (172.16.11.20): devices on the LAN may reach books.',
    ],
    [
      'web',
      'tv',
      '',
      'web.shop (172.16.10.10) may not reach tv.lan (192.168.66.10): nobody opens connections to devices.',
    ],
    ['tv', 'printer', '9100', 'Both are on the LAN, and the hub is not between them.'],
    [
      'web',
      'laptop',
      '',
      'web.shop (172.16.10.10) may not reach laptop.anna.team (172.16.1.10): nobody opens connections to devices.',
    ],
    ['web', '8.8.8.8', '', 'web.shop (172.16.10.10) may not reach 8.8.8.8: no application has this address.'],
    [
      '8.8.8.8',
      'web',
      '',
      '8.8.8.8 may not reach web.shop (172.16.10.10): this address belongs to nobody the hub knows.',
    ],
    ['8.8.8.8', 'hub', '', '8.8.8.8 is nobody inside: it may not reach hub (172.16.0.1).'],
    ['web', 'hub', '53', "web.shop (172.16.10.10) may use the hub's DNS and ping."],
    ['web', 'hub', '443', "web.shop (172.16.10.10) may use the hub's DNS and ping, not its port 443."],
    ['laptop', 'hub', '443/tcp', "laptop.anna.team (172.16.1.10) may use the hub's DNS, ping and the web pages."],
    ['tv', 'hub', '51820/udp', "tv.lan (192.168.66.10) may use the hub's DNS, ping and the web pages."],
    ['tv', 'hub', '22', "tv.lan (192.168.66.10) may use the hub's DNS, ping and the web pages, not its port 22."],
  ])('%s → %s %s', (from, to, port, text) => {
    expect(message(from, to, port)).toBe(text);
  });

  it('a disabled member’s device has no web pages', () => {
    const disabled = withChanged('members', 1, { disabled: true });
    const machine = findMachine(disabled, 'laptop') as Machine;
    expect(explain(disabled, [], machine, findMachine(disabled, 'hub') as Machine, '443').allowed).toBe(false);
  });

  it('finds machines by address, identity, full and short name, and none by a name of two', () => {
    const names = ['172.16.10.10', 'WEB.shop.apn.', 'web.shop', 'web', '172.16.2.10', 'tv.lan'].map(
      (text) => findMachine(config, text)?.name,
    );
    expect(names).toEqual(['web.shop', 'web.shop', 'web.shop', 'web.shop', 'tv.lan', 'tv.lan']);
    const two = withChanged('servers', 2, { label: config.servers[0]!.label });
    expect([findMachine(two, 'web'), findMachine(two, 'nobody')]).toEqual([null, null]);
  });

  it('has words for every reason', () => {
    const kinds: readonly Reason['kind'][] = ['same application', 'link', 'role', 'LAN device', 'LAN default'];
    expect(new Set(grants(config, []).map(({ reason }) => reason.kind))).toEqual(new Set(kinds));
    expect(prefix('172.16.10.0/24')).toBe(config.applications[0]?.range);
  });
});

describe('roles', () => {
  const config = exampleConfig();
  const [owner, anna] = config.members as [Config['members'][number], Config['members'][number]];

  it('for one application override the role for everything', () => {
    expect([roleIn(anna, 'shop1'), roleIn(anna, 'books1'), roleIn({ ...anna, disabled: true }, 'shop1')]).toEqual([
      'developer',
      'viewer',
      null,
    ]);
    expect([reaches(anna, 'shop1'), reaches(anna, 'books1'), reaches({ ...anna, disabled: true }, 'shop1')]).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('an application named like something every object has is no exception', () => {
    expect(roleIn(anna, 'constructor')).toBe('viewer');
  });

  it('decide who may do what, by the configuration as it is now', () => {
    const principals: readonly (readonly [Principal, string])[] = [
      [{ kind: 'console' }, 'summary see server configure'],
      [{ kind: 'anonymous' }, 'summary'],
      [{ kind: 'member', id: owner.id }, 'summary see server configure'],
      [{ kind: 'member', id: anna.id }, 'summary see'],
      [{ kind: 'member', id: 'nobody' }, 'summary'],
    ];
    const permissions: readonly Permission[] = ['summary', 'see', 'server', 'configure'];
    for (const [principal, allowed] of principals) {
      expect(permissions.filter((one) => may(principal, one, {}, config)).join(' ')).toBe(allowed);
    }
    const disabled = withChanged('members', 0, { disabled: true });
    expect(
      permissions.some((one) => one !== 'summary' && may({ kind: 'member', id: owner.id }, one, {}, disabled)),
    ).toBe(false);
  });
});
