// The zone: its views against a brute-force reading of the grants, and when it is written.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Binding, bindings, grants } from '../../src/model/access.ts';
import { type Address, contains, isHost, networkAddress, type Prefix } from '../../src/model/address.ts';
import type { Config } from '../../src/model/config.ts';
import { destinations } from '../../src/model/uplink.ts';
import type { Zone, ZoneClient } from '../../src/model/zone.ts';
import { FakeZone } from '../../src/router/drivers/fake.ts';
import { compileZone, type ObservedZone, planZone } from '../../src/router/plan/zone.ts';
import { address, exampleConfig } from '../support/builders.ts';
import { anyConfig, anyLeased } from '../support/random.ts';

/** The client an address belongs to: the longest prefix that holds it. */
function clientOf(clients: readonly ZoneClient[], source: Address): ZoneClient | undefined {
  const holding = clients.filter((one) => contains(one.source as Prefix, source));
  return holding.toSorted((a, b) => Number(b.source.split('/')[1]) - Number(a.source.split('/')[1]))[0];
}

/** Everybody with an address: as the hub sees them first, and as others see them. */
function everybody(
  config: Config,
  leased: readonly Binding[],
): readonly { readonly own: Address; readonly seen: Address }[] {
  return [
    ...[...config.servers, ...config.devices].map((one) => ({ own: one.address, seen: one.address })),
    ...bindings(config, leased).map((one) => ({ own: one.address, seen: one.device?.identity ?? one.address })),
    ...config.uplinks.flatMap(destinations).map((one) => ({ own: networkAddress(one), seen: networkAddress(one) })),
  ];
}

function isBehind({ uplinks }: Config, at: Address): boolean {
  return uplinks.flatMap(destinations).some((one) => contains(one, at));
}

describe('compiling the zone', () => {
  it('shows a client exactly what it may reach, and the PTRs of those who may reach it', () => {
    fc.assert(
      fc.property(anyConfig, anyLeased, (config, leased) => {
        const zone = compileZone(config, leased);
        const all = grants(config, leased);
        const may = (from: Address, to: Address) => all.some((one) => contains(one.from, from) && contains(one.to, to));
        const people = everybody(config, leased);
        for (const one of people) {
          if (isBehind(config, one.own)) continue;
          const client = clientOf(zone.clients, one.own);
          for (const other of people) {
            const within = (list: readonly string[] | undefined) =>
              list?.some((each) => contains(each as Prefix, other.seen)) ?? false;
            // Servers have the only addresses that are reached, and those behind uplinks.
            if (config.servers.some((server) => server.address === other.own) || isBehind(config, other.own))
              expect(within(client?.reach)).toBe(may(one.own, other.own));
            if (isBehind(config, other.own)) continue;
            if (other.own !== one.own && !sameApplication(config, one.own, other.own))
              expect(within(client?.reachedBy)).toBe(may(other.own, one.own) || other.seen === one.seen);
          }
        }
      }),
      { numRuns: 1500 },
    );
  }, 60_000);

  it('names every server, device and LAN device once, and lists no client twice', () => {
    fc.assert(
      fc.property(anyConfig, anyLeased, (config, leased) => {
        const zone = compileZone(config, leased);
        const named = config.uplinks.flatMap(({ peers }) =>
          peers.filter(({ label, allowedIps }) => label !== null && allowedIps.some(isHost)),
        );
        const { servers, devices, lanDevices } = config;
        const all = servers.length + devices.length + lanDevices.length + named.length;
        // Before somebody owns it there is the hub alone, and nothing else is asked anywhere.
        expect(zone.hosts.length).toBe(config.members.length === 0 ? 0 : all);
        expect(zone.relay === null).toBe(config.members.length === 0);
        expect(new Set(zone.hosts.map(({ name }) => name)).size).toBe(zone.hosts.length);
        expect(new Set(zone.clients.map(({ source }) => source)).size).toBe(zone.clients.length);
      }),
      { numRuns: 500 },
    );
  }, 60_000);

  it('is the example of the design', () => {
    const zone = compileZone(exampleConfig(), [{ mac: '02:00:00:00:66:0a', address: address('192.168.66.105') }]);
    expect(zone.hosts.map(({ name, address: at, lan }) => [name, at, lan])).toEqual([
      ['web.shop', '172.16.10.10', null],
      ['db.shop', '172.16.10.11', null],
      ['ledger.books', '172.16.11.20', null],
      ['laptop.anna.team', '172.16.1.10', null],
      ['tv.lan', '172.16.2.10', '192.168.66.105'],
      ['printer.lan', '172.16.2.11', '192.168.66.11'],
    ]);
    expect(zone.listen).toEqual(['192.168.66.1', '172.16.0.1']);
    expect(zone.reverse).toEqual(['172.16.0.0/16', '192.168.66.0/24']);
    expect(zone.extra).toEqual([
      { name: 'files.shop', type: 'A', address: '172.16.10.10' },
      { name: 'docs', type: 'CNAME', target: 'web.shop' },
    ]);
  });

  it('without a LAN it listens in the tunnel alone', () => {
    const zone = compileZone({ ...exampleConfig(), lan: null, lanDevices: [] }, []);
    expect([zone.listen, zone.reverse]).toEqual([['172.16.0.1'], ['172.16.0.0/16']]);
    expect(zone.clients.every(({ side }) => side === 'tunnel')).toBe(true);
    expect(compileZone({ ...exampleConfig(), lan: null }, []).hosts.at(-1)?.lan).toBe('192.168.66.11');
  });
});

describe('planning the zone', () => {
  const apply = (zone: FakeZone, operations: ReturnType<typeof planZone>) => {
    for (const operation of operations) zone.apply(operation);
  };

  it('reaches and rests, and the serial grows with every change of the content alone', () => {
    const anyOld: fc.Arbitrary<ObservedZone> = fc
      .option(
        fc.record({
          config: anyConfig,
          leased: anyLeased,
          serial: fc.oneof(fc.integer({ min: 1, max: 0xffff_ffff }), fc.constant(0xffff_ffff)),
          extraField: fc.boolean(),
        }),
      )
      .map(
        (one) =>
          one &&
          ({
            ...(one.extraField ? { strange: 1 } : {}),
            serial: one.serial,
            ...compileZone(one.config, one.leased),
          } as Zone),
      );
    fc.assert(
      fc.property(anyOld, anyConfig, anyLeased, (old, config, leased) => {
        const driver = new FakeZone();
        driver.zone = old;
        const desired = compileZone(config, leased);
        const operations = planZone(desired, driver.observe());
        apply(driver, operations);
        const { serial, ...content } = driver.zone as Zone;
        if (operations.length > 0) expect(content).toEqual(desired);
        else expect(old).toMatchObject(desired);
        const before = old?.serial ?? 0;
        const step = operations.length === 0 ? 0 : before === 0xffff_ffff ? 2 : 1;
        // RFC 1982: 0 is left out.
        expect(serial).toBe(Number(BigInt.asUintN(32, BigInt(before) + BigInt(step))));
        expect(planZone(desired, JSON.parse(JSON.stringify(driver.zone)))).toEqual([]);
      }),
      { numRuns: 3000 },
    );
  }, 60_000);
});

function sameApplication({ applications }: Config, one: Address, other: Address): boolean {
  return applications.some(({ range }) => contains(range, one) && contains(range, other));
}
