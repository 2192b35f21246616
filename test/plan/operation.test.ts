// Compiling and planning all parts at once, on a machine in memory; and the line about every operation.
import { describe, expect, it } from 'vitest';
import { createFakeDrivers, type FakeDrivers } from '../../src/router/drivers/fake.ts';
import { describe as line, type Operation } from '../../src/router/plan/operation.ts';
import { type Intent, type PartName, partNames, planners } from '../../src/router/plan/plan.ts';
import {
  clock,
  exampleConfig,
  hubPrivateKey,
  lease,
  presharedKey,
  presharedKeys,
  uplinkKeys,
  withChanged,
  withLan,
} from '../support/builders.ts';

const facts = { clock: clock(), leased: [], dhcp: { folder: '/run/apn/dhcp', leases: '/data/apn/dhcp' } };
const intent: Intent = {
  config: exampleConfig(),
  hubPrivateKey,
  presharedKeys,
  uplinkKeys,
  leases: [lease('198.51.100.7/32')],
};

/** One round of every part; the operations that were applied. */
async function settle(drivers: FakeDrivers, wanted: Intent): Promise<readonly Operation[]> {
  const done: Operation[] = [];
  const part = async <Name extends PartName>(name: Name) => {
    const driver = drivers[name] as FakeDrivers[PartName];
    const planner = planners[name] as (typeof planners)[PartName];
    const operations = (planner.plan as (d: unknown, o: unknown) => readonly Operation[])(
      planner.compile(wanted, facts),
      await driver.observe(),
    );
    for (const operation of operations) {
      await (driver.apply as (one: Operation) => Promise<void>)(operation);
      done.push(operation);
    }
  };
  for (const name of partNames) await part(name);
  return done;
}

const machine = () => createFakeDrivers(() => facts.clock.boot, ['lan0', 'lan1', 'wan0']);

describe('all parts together', () => {
  it('make a machine from nothing in one round, shut before anything is up, and then rest', async () => {
    const drivers = machine();
    const first = await settle(drivers, intent);
    expect(first[0]).toMatchObject({ kind: 'firewall.load', why: 'no table' });
    expect(await settle(drivers, intent)).toEqual([]);
    const [device] = await drivers.wireguard.observe();
    expect(device?.peers.size).toBe(4);
    for (const driver of Object.values(drivers)) driver.close();
  });

  it('go on where one operation was refused', async () => {
    const drivers = machine();
    drivers.firewall.refuse = ({ kind }) => kind === 'firewall.elements';
    await expect(settle(drivers, intent)).rejects.toThrow('told to refuse firewall.elements');
    expect(drivers.firewall.applied.map(({ kind }) => kind)).toEqual(['firewall.load']);
    drivers.firewall.refuse = () => false;
    expect((await settle(drivers, intent))[0]?.kind).toBe('firewall.elements');
    expect(await settle(drivers, intent)).toEqual([]);
  });

  it('make the tunnel again when its device was deleted', async () => {
    const drivers = machine();
    await settle(drivers, intent);
    await drivers.network.apply({ kind: 'network.delete-link', name: 'apn0' });
    const kinds = (await settle(drivers, intent)).map(({ kind }) => kind);
    expect(kinds).toContain('wireguard.set-peers');
    expect(await settle(drivers, intent)).toEqual([]);
  });
});

describe('the line about an operation', () => {
  it('says what is done, and no secret', async () => {
    const drivers = machine();
    const first = (await settle(drivers, intent)).map(line);
    expect(first).toContain('load the ruleset (no table)');
    expect(first).toContain('create wireguard apn0');
    expect(first).toContain('set link apn0 mtu 1420 up');
    expect(first).toContain('set link br-lan up');
    expect(first).toContain('join lan0 to br-lan');
    expect(first).toContain('add address 192.168.66.1/24 on br-lan');
    expect(first).toContain('add unreachable route 172.16.0.0/16');
    expect(first).toContain('pin neighbour 192.168.66.10');
    expect(first).toContain('set net/ipv4/ip_forward to 1');
    expect(first).toContain('configure apn0 on port 51820');
    expect(first).toContain('set 4 peers of apn0');
    expect(first).toContain('write the DHCP hosts');
    expect(first).toContain('write zone 1');
    expect(first.some((text) => /^start dnsmasq \([0-9a-f]{12}\)$/.test(text))).toBe(true);
    expect(first.join()).not.toContain(presharedKey(2).reveal().toBase64());
    const less = {
      ...intent,
      config: {
        ...withLan({ ports: ['lan0'], dhcp: null }, withChanged('lanDevices', 0, { access: 'nothing' })),
        servers: [],
      },
      leases: [],
    };
    const second = (await settle(drivers, less)).map(line);
    expect(second).toContain('take lan1 out');
    expect(second).toContain('remove 3 peers from apn0');
    expect(second).toContain('forget flows of 1 lost rights');
    expect(second).toContain('lease4 +0 -1, access +0 -1');
    expect(second).toContain('stop dnsmasq');
    const noLan = { ...intent, config: { ...exampleConfig(), lan: null, lanDevices: [] } };
    expect((await settle(drivers, noLan)).map(line)).toContain('delete link br-lan');
    await settle(drivers, intent);
    const moved = {
      ...intent,
      config: {
        ...exampleConfig({ lanDevices: [] }),
        network: { ...exampleConfig().network, range: '10.1.0.0/16' as never },
      },
    };
    const third = (await settle(drivers, moved)).map(line);
    expect(third).toContain('delete address 172.16.0.1/16 on apn0');
    expect(third).toContain('delete unreachable route 172.16.0.0/16');
    expect(third).toContain('release neighbour 192.168.66.10');
    expect(third).toContain('write the DHCP hosts and have them read');
  });
});
