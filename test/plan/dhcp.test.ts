// DHCP: the planner's laws, and the text of dnsmasq's configuration.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeDhcp } from '../../src/router/drivers/fake.ts';
import { compileDhcp, type DesiredDhcp, type DhcpOperation, planDhcp } from '../../src/router/plan/dhcp.ts';
import { exampleConfig, prefix, withLan } from '../support/builders.ts';
import { anyConfig } from '../support/random.ts';

const paths = { folder: '/run/apn/dhcp', leases: '/data/apn/dhcp' };
type Config = Parameters<typeof compileDhcp>[0];

function apply(dhcp: FakeDhcp, operations: readonly DhcpOperation[]): void {
  for (const operation of operations) dhcp.apply(operation);
}

/** What clients get: the configuration and hosts that the running dnsmasq has read. */
function served(desired: DesiredDhcp | null): FakeDhcp['running'] {
  return desired === null ? null : { configuration: desired.configuration, hosts: desired.hosts };
}

describe('planning DHCP', () => {
  it('reaches, rests, keeps order and survives interruption', () => {
    const state = fc.record({
      old: fc.option(anyConfig),
      strange: fc.option(fc.constantFrom('port=53\n', 'interface=eth0\n')),
      hosts: fc.option(fc.constantFrom('', 'garbage\n')),
    });
    fc.assert(
      fc.property(state, anyConfig, fc.nat(3), ({ old, strange, hosts }, config, stop) => {
        const make = () => {
          const dhcp = new FakeDhcp();
          if (old !== null) apply(dhcp, planDhcp(compileDhcp(old, paths), dhcp.observe()));
          if (strange !== null) dhcp.running = { configuration: strange, hosts: null };
          if (hosts !== null) apply(dhcp, [{ kind: 'dhcp.write-hosts', hosts, reload: true }]);
          return dhcp;
        };
        const desired = compileDhcp(config, paths);
        const dhcp = make();
        const operations = planDhcp(desired, dhcp.observe());
        apply(dhcp, operations);
        expect(dhcp.running).toEqual(served(desired));
        expect(planDhcp(desired, dhcp.observe())).toEqual([]);
        const kinds = operations.map(({ kind }) => kind);
        expect(kinds).toEqual(kinds.toSorted((a, b) => order.indexOf(a) - order.indexOf(b)));
        const interrupted = make();
        apply(interrupted, operations.slice(0, stop));
        apply(interrupted, planDhcp(desired, interrupted.observe()));
        expect(interrupted.running).toEqual(served(desired));
      }),
      { numRuns: 5000 },
    );
  }, 60_000);

  const order: readonly DhcpOperation['kind'][] = ['dhcp.stop', 'dhcp.write-hosts', 'dhcp.start'];

  it('a new fixed address is read again without a restart', () => {
    const dhcp = new FakeDhcp();
    apply(dhcp, planDhcp(compileDhcp(exampleConfig({ lanDevices: [] }), paths), dhcp.observe()));
    expect(planDhcp(compileDhcp(exampleConfig(), paths), dhcp.observe())).toMatchObject([
      { kind: 'dhcp.write-hosts', reload: true },
    ]);
  });
});

describe('compiling DHCP', () => {
  const lines = (config: Config) => compileDhcp(config, paths)?.configuration.split('\n') ?? [];

  it('serves nothing without a LAN or a range to hand out', () => {
    expect(compileDhcp({ ...exampleConfig(), lan: null }, paths)).toBe(null);
    expect(compileDhcp(withLan({ dhcp: null }), paths)).toBe(null);
  });

  it('gives address, router, names and search domain as a router', () => {
    const all = lines(exampleConfig());
    expect(all).toContain('dhcp-range=192.168.66.100,192.168.66.199,255.255.255.0,43200');
    expect(all).toContain('dhcp-option=option:router,192.168.66.1');
    expect(all).toContain('dhcp-option=option:dns-server,192.168.66.1');
    expect(all).toContain('dhcp-option=option:domain-search,apn');
    expect(all).toContain('dhcp-authoritative');
    expect(all.join('\n')).not.toMatch(/option=(121|249)/);
  });

  it('beside another router it sends classless routes, the default route among them (RFC 3442)', () => {
    const all = lines(withLan({ topology: 'beside' }));
    for (const option of [121, 249]) {
      expect(all).toContain(
        `dhcp-option=${option},0.0.0.0/0,192.168.66.1,172.16.0.0/16,192.168.66.1,172.16.0.1/32,192.168.66.1`,
      );
    }
    expect(all).not.toContain('dhcp-authoritative');
  });

  it.each([
    ['192.168.0.0/16', '255.255.0.0'],
    ['192.168.66.0/25', '255.255.255.128'],
    ['192.168.66.0/29', '255.255.255.248'],
  ])('%s has the mask %s', (range, mask) => {
    expect(lines(withLan({ range: prefix(range) })).join()).toContain(`,${mask},`);
  });

  it('fixes the address of every known device', () => {
    expect(compileDhcp(exampleConfig(), paths)?.hosts).toBe(
      '02:00:00:00:66:0a,192.168.66.10,tv\n02:00:00:00:66:0b,192.168.66.11,printer\n',
    );
  });

  it('has another fingerprint for every other text', () => {
    const prints = new Set(
      [
        exampleConfig(),
        withLan({ topology: 'beside' }),
        withLan({ dhcp: { from: exampleConfig().lan!.dhcp!.from, to: exampleConfig().lan!.dhcp!.from } }),
      ].map((one) => compileDhcp(one, paths)?.fingerprint),
    );
    expect(prints.size).toBe(3);
  });
});
