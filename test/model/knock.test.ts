// What becomes of a knock: by policy, rights, caps and where it came from.
import { describe, expect, it } from 'vitest';
import type { Address } from '../../src/model/address.ts';
import type { Config, Member } from '../../src/model/config.ts';
import { type Decision, decide, isAutomatic, type outcomeText, withServerAt } from '../../src/model/knock.ts';
import { defaultDuration, type Lease, leasesInAll } from '../../src/model/lease.ts';
import { clock, exampleConfig, lease, prefix } from '../support/builders.ts';

const now = clock();
const hotel = '198.51.100.7' as Address;
const base = exampleConfig();
const [device] = base.devices;
const [server] = base.servers;
if (device === undefined || server === undefined) throw new Error('the example has both');
const owner = base.members.find(({ id }) => id === device.member);

function member(changes: Partial<Member>, config: Config = base): Config {
  const members = config.members.map((one) => (one.id === device?.member ? { ...one, ...changes } : one));
  return { ...config, members };
}

const knock = (config: Config, source = hotel, leases: readonly Lease[] = []): Decision =>
  decide({ device, server: null, source }, config, leases, now);
const nothing = (outcome: keyof typeof outcomeText): Decision => ({ act: 'nothing', outcome });

describe('a device that knocks', () => {
  const auto = member({ leasePolicy: 'auto', role: 'developer', access: {} });

  it('waits for somebody, is let in, or never is, as the policy says', () => {
    expect(knock(member({ leasePolicy: 'ask', role: 'developer' }))).toEqual(nothing('ask'));
    expect(knock(member({ leasePolicy: 'never', role: 'developer' }))).toEqual(nothing('never'));
    const source = prefix('198.51.100.7/32');
    expect(knock(auto)).toEqual({ act: 'lease', member: device.member, source, duration: defaultDuration });
  });

  it('from IPv6 is let in by its /64', () => {
    expect(knock(auto, '2001:db8:7::9' as Address)).toMatchObject({ source: '2001:db8:7::/64' });
  });

  it('on the road is let in until then, and never for longer', () => {
    const travel = (travelUntil: number) =>
      knock(member({ leasePolicy: 'ask', role: 'developer', travelUntil: now.wall + travelUntil }));
    expect(travel(7 * 24 * 3600_000)).toMatchObject({ act: 'lease', duration: defaultDuration });
    expect(travel(60_000)).toMatchObject({ act: 'lease', duration: 60_000 });
    expect(travel(0)).toEqual(nothing('ask'));
    const never = member({ leasePolicy: 'never', role: 'developer', travelUntil: now.wall + 60_000 });
    expect(knock(never)).toEqual(nothing('never'));
    expect(isAutomatic({ ...(owner as Member), leasePolicy: 'ask', travelUntil: null }, now.wall)).toBe(false);
    expect(isAutomatic({ ...(owner as Member), leasePolicy: 'never', travelUntil: now.wall + 1 }, now.wall)).toBe(
      false,
    );
  });

  it('of a disabled member, or of one who reaches nothing, stays outside', () => {
    expect(knock(member({ leasePolicy: 'auto', role: 'developer', disabled: true }))).toEqual(nothing('disabled'));
    expect(knock(member({ leasePolicy: 'auto', role: 'viewer', access: {} }))).toEqual(nothing('powerless'));
    const [application] = base.applications;
    const access = { [application?.id ?? '']: 'developer' } as const;
    expect(knock(member({ leasePolicy: 'auto', role: 'viewer', access }))).toMatchObject({ act: 'lease' });
    const bare = { ...auto, applications: [], servers: [], rules: [] };
    expect(knock(bare)).toMatchObject({ act: 'lease' });
    expect(knock(member({ role: 'viewer', access: {} }, bare))).toEqual(nothing('powerless'));
  });

  it('is not let in from addresses that are no source', () => {
    for (const source of ['127.0.0.1', '224.0.0.1', '0.0.0.0', '172.16.1.9', '192.168.66.7', 'fe80::1']) {
      expect(knock(auto, source as Address), source).toEqual(nothing('source'));
    }
    // Behind a second NAT a private address is the truth.
    expect(knock(auto, '10.9.8.7' as Address)).toMatchObject({ act: 'lease' });
  });

  it('is let in once, and within the caps', () => {
    const live = (id: string, source: string, whose: string | null = device.member): Lease =>
      lease(source, { id, member: whose });
    expect(knock(auto, hotel, [live('a', '198.51.100.0/24')])).toEqual(nothing('granted'));
    expect(knock(auto, hotel, [live('a', '198.51.100.7/32', null)])).toMatchObject({ act: 'lease' });
    const three = ['203.0.113.7/32', '203.0.113.8/32', '203.0.113.9/32'].map((source, i) => live(`l${i}`, source));
    expect(knock(auto, hotel, three)).toEqual(nothing('caps'));
    expect(knock(auto, hotel, three.slice(1))).toMatchObject({ act: 'lease' });
    const many = Array.from({ length: leasesInAll }, (_, i) => live(`m${i}`, '203.0.113.7/32', null));
    expect(knock(auto, hotel, many)).toEqual(nothing('caps'));
    const over = three.map((one) => ({ ...one, deadline: now.boot }));
    expect(knock(auto, hotel, over)).toMatchObject({ act: 'lease' });
  });
});

describe('a server that knocks', () => {
  const source = prefix('198.51.100.7/32');
  const with_ = (follow: boolean, rules: Config['rules'] = []): Decision => {
    const servers = base.servers.map((one) => (one.id === server.id ? { ...one, follow } : one));
    return decide({ device: null, server: { ...server, follow }, source: hotel }, { ...base, servers, rules }, [], now);
  };

  it('waits, or is followed', () => {
    expect(with_(false)).toEqual(nothing('ask'));
    expect(with_(true)).toEqual({ act: 'rule', server: server.id, source });
    const rule = { id: 'rule1', source: prefix('198.51.100.0/24'), note: '', server: server.id };
    expect(with_(true, [rule])).toEqual(nothing('moved'));
    expect(with_(true, [{ ...rule, server: null }])).toMatchObject({ act: 'rule' });
    expect(with_(true, [{ ...rule, source: prefix('203.0.113.0/24') }])).toMatchObject({ act: 'rule' });
  });

  it('does not move to an address that is no source, and nobody else is a server', () => {
    const moved = decide({ device: null, server, source: '127.0.0.1' as Address }, base, [], now);
    expect(moved).toEqual(nothing('source'));
    expect(decide({ device: null, server: null, source: hotel }, base, [], now)).toEqual(nothing('unknown'));
  });

  it('has one rule of the family afterwards, with the note of the old one; others stay', () => {
    const rule = (id: string, text: string, of: string | null, note = '') => ({
      id,
      source: prefix(text),
      note,
      server: of,
    });
    const rules = [
      rule('r1', '203.0.113.7/32', server.id, 'rented'),
      rule('r2', '203.0.113.8/32', server.id),
      rule('r3', '2001:db8::1/128', server.id),
      rule('r4', '203.0.113.9/32', null, 'office'),
    ];
    const [, , six, office] = rules;
    expect(withServerAt({ ...base, rules }, server.id, source, 'new1').rules).toEqual([
      six,
      office,
      { id: 'r1', source, note: 'rented', server: server.id },
    ]);
    expect(withServerAt({ ...base, rules: [] }, server.id, source, 'new1').rules).toEqual([
      { id: 'new1', source, note: '', server: server.id },
    ]);
  });
});
