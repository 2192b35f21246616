// The fakes refuse what the kernel refuses: else the planner's laws would prove nothing.
import { describe, expect, it } from 'vitest';
import { createFakeDrivers } from '../../src/router/drivers/fake.ts';
import { FakeFirewall } from '../../src/router/drivers/fake-firewall.ts';
import { FakeNetwork } from '../../src/router/drivers/fake-network.ts';
import type { Element } from '../../src/router/plan/firewall.ts';
import type { NetworkOperation } from '../../src/router/plan/network.ts';
import { address, prefix, publicKey } from '../support/builders.ts';

const element = (key: string, changes: Partial<Element> = {}): Element => ({
  key,
  last: null,
  data: null,
  deadline: null,
  ...changes,
});

describe('the firewall in memory', () => {
  const make = (...lines: readonly string[]) => {
    const firewall = new FakeFirewall(() => 1000);
    const load = (...more: readonly string[]) =>
      firewall.apply({ kind: 'firewall.load', script: more.join('\n'), why: '' });
    load('add table inet apn', ...lines);
    const change = (set: string, add: readonly Element[], remove: readonly Element[] = []) =>
      firewall.apply({ kind: 'firewall.elements', changes: [{ set, add, remove }] });
    return { firewall, load, change };
  };
  const set = 'add set inet apn one { type ipv4_addr; flags interval,timeout; }';

  it.each([
    ['delete table inet foreign'],
    ['flush ruleset'],
    ['add rule inet apn a accept'],
    ['add rule inet apn gone accept comment "x"'],
    ['add rule inet apn a jump gone comment "x"'],
    ['add rule inet apn a ip saddr @gone accept comment "x"'],
    ['flush chain inet apn gone'],
    ['delete chain inet apn gone'],
    ['delete chain inet apn b'],
    ['delete set inet apn one'],
    ['flush set inet apn one'],
    ['add chain inet apn a { type filter hook input priority 0; policy drop; }'],
    ['add chain inet apn c { hook input }'],
    ['add set inet apn one { type ipv4_addr; }'],
    ['add set inet apn two { nonsense }'],
  ])('refuses %s, and leaves everything as it was', (line) => {
    const { firewall, load } = make(
      'add chain inet apn a',
      'add chain inet apn b',
      set,
      'add rule inet apn a ip saddr @one goto b comment "r"',
    );
    const before = JSON.stringify([...(firewall.table?.chains ?? [])]);
    expect(() => load('flush chain inet apn b', line)).toThrow();
    expect(JSON.stringify([...(firewall.table?.chains ?? [])])).toBe(before);
  });

  it('has nothing to change or delete without a table', () => {
    const firewall = new FakeFirewall(() => 0);
    for (const script of ['delete table inet apn', 'add chain inet apn a']) {
      expect(() => firewall.apply({ kind: 'firewall.load', script, why: '' })).toThrow('ENOENT');
    }
    expect(() => firewall.apply({ kind: 'firewall.elements', changes: [{ set: 'one', add: [], remove: [] }] })).toThrow(
      'ENOENT',
    );
  });

  it('keeps elements as the kernel does', () => {
    const { firewall, change } = make(set);
    const block = (first: string, last: string, deadline: number | null = null) => element(first, { last, deadline });
    change('one', [block('0a000000', '0a0000ff', 5000)]);
    expect(() => change('one', [block('0a000080', '0a0001ff')])).toThrow('EEXIST');
    expect(() => change('one', [], [block('0b000000', '0b0000ff')])).toThrow('ENOENT');
    expect(() => change('one', [element('0a000000')])).toThrow('EINVAL');
    expect(() => change('one', [block('0a', '0b')])).toThrow('EINVAL');
    // An old kernel leaves the timeout of what is there; what is over is not there.
    change('one', [block('0a000000', '0a0000ff', 9000), block('0c000000', '0c0000ff', 500)]);
    expect([...(firewall.observe()?.elements.get('one')?.values() ?? [])]).toEqual([
      block('0a000000', '0a0000ff', 5000),
    ]);
  });
});

describe('the network in memory', () => {
  const link = { link: 'br-lan', address: address('192.168.66.1'), length: 24 };
  const route = { destination: prefix('172.16.0.0/16'), metric: 1, link: null };
  const neighbour = { link: 'br-lan', address: address('192.168.66.9'), mac: '02:00:00:00:00:01' };

  it.each<NetworkOperation>([
    { kind: 'network.create-link', link: { name: 'br-lan', kind: 'bridge', mtu: null } },
    { kind: 'network.delete-link', name: 'gone' },
    { kind: 'network.set-master', name: 'br-lan', master: 'gone' },
    { kind: 'network.set-parameter', path: 'net/ipv6/conf/apn0/disable_ipv6', value: '1' },
    { kind: 'network.add-address', address: link },
    { kind: 'network.delete-address', address: { ...link, length: 16 } },
    { kind: 'network.add-route', route },
    { kind: 'network.add-route', route: { ...route, metric: 2, link: 'br-lan' } },
    { kind: 'network.delete-route', route: { ...route, metric: 2 } },
    { kind: 'network.set-neighbour', neighbour },
    { kind: 'network.delete-neighbour', neighbour },
  ])('refuses $kind where the kernel does', (operation) => {
    const network = new FakeNetwork();
    network.apply({ kind: 'network.create-link', link: { name: 'br-lan', kind: 'bridge', mtu: null } });
    network.apply({ kind: 'network.add-address', address: link });
    network.apply({ kind: 'network.add-route', route });
    expect(() => network.apply(operation)).toThrow(/^E[A-Z]+:/);
  });

  it('takes later addresses of a subnet along with the first, unless they are promoted', () => {
    const network = new FakeNetwork();
    network.apply({ kind: 'network.create-link', link: { name: 'br-lan', kind: 'bridge', mtu: null } });
    network.addresses = [link, { ...link, address: address('192.168.66.2') }];
    network.apply({ kind: 'network.delete-address', address: link });
    expect(network.addresses).toEqual([]);
  });
});

describe('the others in memory', () => {
  it('need a device, a free port, and do what they are told to refuse', async () => {
    const { wireguard, dhcp, zone } = createFakeDrivers();
    await expect(
      wireguard.apply({ kind: 'wireguard.remove-peers', device: 'apn0', peers: [publicKey(1)] }),
    ).rejects.toThrow('ENODEV');
    const start = { kind: 'dhcp.start', configuration: 'port=0\n', fingerprint: '' } as const;
    await dhcp.apply(start);
    await expect(dhcp.apply(start)).rejects.toThrow('EADDRINUSE');
    dhcp.refuse = (_, index) => index === 3;
    await dhcp.apply({ kind: 'dhcp.stop' });
    await expect(dhcp.apply(start)).rejects.toThrow('told to refuse dhcp.start');
    expect(dhcp.applied.map(({ kind }) => kind)).toEqual(['dhcp.start', 'dhcp.stop']);
    expect(await zone.observe()).toBe(null);
  });
});
