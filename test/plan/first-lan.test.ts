// The first LAN: which port is the way out, and a range that nothing else uses.
import { describe, expect, it } from 'vitest';
import { initialConfig } from '../../src/model/config.ts';
import { problems } from '../../src/model/rules.ts';
import { firstLan, type MainRoute, parseMainRoutes, portsOf } from '../../src/router/plan/first-lan.ts';
import { prefix } from '../support/builders.ts';

const { network } = initialConfig;
const route = (device: string, destination: string, metric = 0): MainRoute => ({
  ...{ device, destination: prefix(destination), metric },
});

describe('the kernel’s table', () => {
  it('is read as it is written', () => {
    const text = [
      'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT',
      'wan0\t00000000\tFE7100CB\t0003\t0\t0\t100\t00000000\t0\t0\t0',
      'wan0\t007100CB\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0',
      'br-lan\t0042A8C0\t00000000\t0001\t0\t0\t0\t80FFFFFF\t0\t0\t0',
      '',
    ].join('\n');
    expect(parseMainRoutes(text)).toEqual([
      route('wan0', '0.0.0.0/0', 100),
      route('wan0', '203.0.113.0/24'),
      route('br-lan', '192.168.66.0/25'),
    ]);
    expect(parseMainRoutes('')).toEqual([]);
  });
});

describe('ports', () => {
  it('are what a cable goes into, in the order of their names', () => {
    const links = [
      ...['lo', 'eth10', 'eth2', 'wlan0'].map((name) => ({ name, kind: null })),
      ...[
        { name: 'lan0', kind: 'veth' },
        ...['bridge', 'wireguard', 'tun'].map((kind) => ({ name: `x${kind}`, kind })),
      ],
    ].map((one) => ({ ...one, up: true, mtu: 1500, master: null }));
    expect(portsOf(links, (name) => name.startsWith('wl'))).toEqual(['eth2', 'eth10', 'lan0']);
  });
});

describe('the first LAN', () => {
  it('is on every port but the way out: the best default route, else wan0, else the first', () => {
    const ports = ['eth0', 'eth1', 'wan0'];
    const wan = (...routes: readonly MainRoute[]) => firstLan(ports, routes, network)?.wan;
    expect(wan(route('eth1', '0.0.0.0/0', 200), route('eth0', '0.0.0.0/0', 100))).toBe('eth0');
    expect(wan(route('eth1', '0.0.0.0/0'), route('eth0', '10.0.0.0/8'))).toBe('eth1');
    expect(wan(route('wlan0', '0.0.0.0/0'))).toBe('wan0');
    expect(firstLan(['eth0', 'eth1'], [], network)).toMatchObject({ wan: 'eth0', ports: ['eth1'] });
  });

  it('is none with one port or no port', () => {
    expect(firstLan(['eth0'], [], network)).toBeNull();
    expect(firstLan([], [], network)).toBeNull();
  });

  it('is not where somebody else is', () => {
    const range = (...destinations: readonly string[]) =>
      firstLan(
        ['eth0', 'eth1'],
        destinations.map((one) => route('eth0', one)),
        network,
      )?.range;
    expect(range('0.0.0.0/0')).toBe('192.168.66.0/24');
    expect(range('192.168.66.128/25', '192.168.67.1/32')).toBe('192.168.68.0/24');
    expect(range('192.168.0.0/16')).toBe('10.66.66.0/24');
    expect(range('192.168.0.0/16', '10.0.0.0/8')).toBeUndefined();
    expect(firstLan(['eth0', 'eth1'], [], { range: prefix('192.168.64.0/20') })?.range).toBe('192.168.80.0/24');
  });

  it('keeps every rule', () => {
    const lan = firstLan(['eth0', 'eth1', 'eth2'], [], network);
    expect(lan?.address).toBe('192.168.66.1');
    expect(problems({ ...initialConfig, lan }, { hubPublicKey: null })).toEqual([]);
  });
});
