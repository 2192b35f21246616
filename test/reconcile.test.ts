// The loop, on drivers in memory: one run at a time, nothing missed, failures that stay alone, and what `applied` promises.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { initialConfig } from '../src/model/config.ts';
import { Conditions } from '../src/router/conditions.ts';
import type { Drivers } from '../src/router/drivers/driver.ts';
import { createFakeDrivers, type FakeDrivers } from '../src/router/drivers/fake.ts';
import { type Intent, type PartName, partNames } from '../src/router/plan/plan.ts';
import { Reconciler } from '../src/router/reconcile.ts';
import { leaseAt, makePrivateKey, noon, withApplication, withMember, withServer } from './support/saving.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** The driver of a part with a gate in front of each verb, and a count. */
interface Gate {
  observed: number;
  applied: number;
  /** Awaited before the verb is done. */
  beforeObserve: () => Promise<void> | void;
  afterObserve: () => Promise<void> | void;
  beforeApply: () => Promise<void> | void;
}

class World {
  readonly fakes: FakeDrivers = createFakeDrivers(() => noon.boot);
  readonly log: string[] = [];
  readonly runs: (readonly PartName[])[] = [];
  readonly conditions = new Conditions(
    () => noon.wall,
    () => {},
  );
  readonly gates = Object.fromEntries(partNames.map((name) => [name, fresh()])) as Record<PartName, Gate>;
  intent: Intent & { readonly revision: number } = {
    ...{
      config: withMember(initialConfig, 'owner'),
      hubPrivateKey: makePrivateKey(),
      presharedKeys: new Map(),
      leases: [],
    },
    uplinkKeys: new Map(),
    revision: 1,
  };
  busy = 0;
  busiest = 0;
  closed = 0;
  readonly reconciler = new Reconciler({
    drivers: Object.fromEntries(partNames.map((name) => [name, this.#gated(name)])) as unknown as Drivers,
    conditions: this.conditions,
    intent: () => this.intent,
    facts: () => ({ clock: noon, leased: [], dhcp: { folder: '/run/apn/dhcp', leases: '/run/apn/dhcp' } }),
    log: (line) => this.log.push(line),
    onRun: (changed) => this.runs.push(changed),
  });

  #gated(name: PartName) {
    const driver = this.fakes[name] as unknown as {
      observe(): Promise<unknown>;
      apply(operation: unknown): Promise<void>;
    };
    const gate = () => this.gates[name];
    const alone = async <T>(work: () => Promise<T>): Promise<T> => {
      this.busiest = Math.max(this.busiest, ++this.busy);
      try {
        return await work();
      } finally {
        this.busy--;
      }
    };
    return {
      observe: () =>
        alone(async () => {
          gate().observed++;
          await gate().beforeObserve();
          const seen = await driver.observe();
          await gate().afterObserve();
          return seen;
        }),
      apply: (operation: unknown) =>
        alone(async () => {
          gate().applied++;
          await gate().beforeApply();
          await driver.apply(operation);
        }),
      close: () => {
        this.closed++;
      },
    };
  }

  /** A saved change: one more server. */
  save(parts?: readonly PartName[]): number {
    const { config, revision } = this.intent;
    const base = config.applications.length === 0 ? withApplication(config, 'shop', 10) : config;
    this.intent = {
      ...this.intent,
      config: withServer(base, `web${revision}`, 'shop', 10 + revision),
      revision: revision + 1,
    };
    this.reconciler.wake(parts);
    return this.intent.revision;
  }

  /** How many of the saved servers the tunnel has. */
  peers(): number {
    return this.fakes.wireguard.thing.observe()[0]?.peers.size ?? 0;
  }

  codes(): readonly string[] {
    return this.conditions.list().map(({ code }) => code);
  }
}

function fresh(): Gate {
  return { observed: 0, applied: 0, beforeObserve: () => {}, afterObserve: () => {}, beforeApply: () => {} };
}

function hold() {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { held: () => promise, release: resolve };
}

const settle = () => vi.advanceTimersByTimeAsync(0);

async function started(): Promise<World> {
  const world = new World();
  world.reconciler.wake();
  await settle();
  expect(world.reconciler.appliedRevision).toBe(1);
  for (const name of partNames) Object.assign(world.gates[name], { observed: 0, applied: 0 });
  world.runs.length = 0;
  return world;
}

const failing = () => {
  throw new Error('no');
};

describe('a run', () => {
  it('brings every part to what is asked for, and then rests', async () => {
    const world = new World();
    expect(world.reconciler.appliedRevision).toBeLessThan(1);
    const revision = world.save();
    const applied = world.reconciler.applied(revision, 1000);
    await settle();
    expect(await applied).toBe(true);
    expect(world.reconciler.appliedRevision).toBe(revision);
    expect(world.peers()).toBe(1);
    expect(world.codes()).toEqual([]);
    expect(new Set(world.runs.flat())).toEqual(new Set(['firewall', 'network', 'wireguard', 'zone']));
    const told = world.log.length;
    for (const name of partNames) Object.assign(world.gates[name], { observed: 0, applied: 0 });
    world.reconciler.wake();
    await settle();
    // Looks once at each part, and changes and says nothing.
    for (const name of partNames)
      expect([name, world.gates[name]]).toEqual([name, expect.objectContaining({ observed: 1, applied: 0 })]);
    expect(world.runs.at(-1)).toEqual([]);
    expect(world.log).toHaveLength(told);
  });

  it('is one at a time, and many wakes are one look', async () => {
    const world = await started();
    const { held, release } = hold();
    world.gates.firewall.beforeObserve = held;
    for (let i = 0; i < 20; i++) world.reconciler.wake();
    await settle();
    expect(world.gates.firewall.observed).toBe(1);
    for (let i = 0; i < 20; i++) world.reconciler.wake();
    await settle();
    release();
    await settle();
    expect(world.busiest).toBe(1);
    // Once for those before, once for those during.
    expect(world.gates.firewall.observed).toBe(2);
    expect(world.gates.zone.observed).toBeLessThanOrEqual(2);
  });

  it('starts the tunnel part after the network part has changed something', async () => {
    const world = await started();
    world.fakes.network.thing.apply({ kind: 'network.delete-link', name: 'apn0' });
    expect(world.peers()).toBe(0);
    world.save(['firewall']);
    world.reconciler.wake(['network']);
    await settle();
    expect(world.peers()).toBe(1);
  });

  it('repairs what somebody else has changed', async () => {
    const world = await started();
    world.save();
    await settle();
    const [device] = world.fakes.wireguard.thing.observe();
    const peers = [...(device?.peers.keys() ?? [])];
    world.fakes.wireguard.thing.apply({ kind: 'wireguard.remove-peers', device: 'apn0', peers });
    expect(world.peers()).toBe(0);
    world.reconciler.wake(['wireguard']);
    await settle();
    expect(world.peers()).toBe(1);
  });

  it('does firewall work that comes meanwhile before the parts that are left', async () => {
    const world = await started();
    const { held, release } = hold();
    const order: string[] = [];
    for (const name of partNames) world.gates[name].beforeObserve = () => void order.push(name);
    world.gates.network.beforeObserve = () => {
      order.push('network');
      return held();
    };
    world.reconciler.wake();
    await settle();
    world.reconciler.wake(['firewall']);
    release();
    await settle();
    expect(order).toEqual(['firewall', 'network', 'firewall', 'wireguard', 'dhcp', 'zone']);
  });
});

describe('a change during a run', () => {
  it.each(['beforeObserve', 'afterObserve'] as const)('is not missed by the part at work (%s)', async (moment) => {
    const world = await started();
    const { held, release } = hold();
    world.gates.wireguard[moment] = held;
    world.reconciler.wake(['wireguard']);
    await settle();
    const revision = world.save();
    const applied = world.reconciler.applied(revision, 60_000);
    let answer: boolean | null = null;
    void applied.then((value) => {
      answer = value;
    });
    await settle();
    expect(answer).toBeNull();
    expect(world.reconciler.appliedRevision).toBe(1);
    world.gates.wireguard[moment] = () => {};
    release();
    await settle();
    expect(answer).toBe(true);
    expect(world.peers()).toBe(1);
  });

  it('that came after a part was done is done in the same run', async () => {
    const world = await started();
    const { held, release } = hold();
    world.gates.zone.beforeObserve = held;
    world.reconciler.wake();
    await settle();
    for (let i = 0; i < 10; i++) world.save();
    world.gates.zone.beforeObserve = () => {};
    release();
    await settle();
    expect(world.peers()).toBe(10);
    expect(world.reconciler.appliedRevision).toBe(world.intent.revision);
    expect(world.runs).toHaveLength(1);
  });

  it('to the machine is seen too', async () => {
    const world = await started();
    world.save();
    await settle();
    const { held, release } = hold();
    world.gates.wireguard.afterObserve = held;
    world.reconciler.wake(['wireguard']);
    await settle();
    const [device] = world.fakes.wireguard.thing.observe();
    world.fakes.wireguard.thing.apply({
      kind: 'wireguard.remove-peers',
      device: 'apn0',
      peers: [...(device?.peers.keys() ?? [])],
    });
    world.reconciler.wake(['wireguard']);
    world.gates.wireguard.afterObserve = () => {};
    release();
    await settle();
    expect(world.peers()).toBe(1);
  });
});

describe('a failing part', () => {
  it('is tried once more before it is a condition; the others go on', async () => {
    const world = await started();
    world.gates.wireguard.beforeObserve = failing;
    const revision = world.save();
    await settle();
    expect(world.codes()).toEqual([]);
    expect(world.gates.zone.applied).toBe(1);
    expect(world.fakes.zone.thing.observe()?.hosts).toHaveLength(1);
    expect(world.reconciler.appliedRevision).toBe(revision - 1);
    await vi.advanceTimersByTimeAsync(500);
    expect(world.codes()).toEqual(['wireguard-failing']);
    expect(world.conditions.list()[0]).toMatchObject({ severity: 'error', title: expect.stringMatching(/tunnel/) });
    // Alone: nobody else is looked at again.
    expect(world.gates.firewall.observed).toBe(2);
    const zone = world.gates.zone.observed;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(world.gates.zone.observed).toBe(zone);
    expect(world.codes()).toEqual(['wireguard-failing']);
  });

  it('waits longer each time, at most a minute', async () => {
    const world = await started();
    const tries: number[] = [];
    world.gates.dhcp.beforeObserve = () => {
      tries.push(performance.now());
      throw new Error('no');
    };
    world.reconciler.wake(['dhcp']);
    await vi.advanceTimersByTimeAsync(300_000);
    const gaps = tries.slice(1).map((at, i) => Math.round((at - (tries[i] ?? 0)) / 100) / 10);
    expect(gaps).toEqual([0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
  });

  it('is tried at once when something is saved, and its condition goes when it works again', async () => {
    const world = await started();
    world.gates.wireguard.beforeObserve = failing;
    world.save();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(world.codes()).toEqual(['wireguard-failing']);
    world.gates.wireguard.beforeObserve = () => {};
    const revision = world.save();
    await settle();
    expect(world.codes()).toEqual([]);
    expect(world.peers()).toBe(2);
    expect(world.reconciler.appliedRevision).toBe(revision);
  });

  it('comes back by itself', async () => {
    const world = await started();
    world.gates.wireguard.beforeObserve = failing;
    world.save();
    await vi.advanceTimersByTimeAsync(3_000);
    world.gates.wireguard.beforeObserve = () => {};
    await vi.advanceTimersByTimeAsync(8_000);
    expect(world.codes()).toEqual([]);
    expect(world.peers()).toBe(1);
  });

  it('does the operations that work when one does not, except in the firewall', async () => {
    const world = new World();
    world.fakes.network.refuse = (operation) => operation.kind === 'network.set-parameter';
    world.fakes.firewall.refuse = (operation) => operation.kind === 'firewall.load';
    world.save();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(world.peers()).toBe(1);
    expect(world.fakes.firewall.thing.observe()).toBeNull();
    expect(world.codes()).toEqual(expect.arrayContaining(['firewall-failing', 'network-failing']));
    // What is left of the firewall's plan is not even tried after a step failed.
    expect(world.fakes.firewall.applied).toEqual([]);
  });

  it('gives up after five rounds when something keeps changing it back', async () => {
    const world = await started();
    world.save();
    await settle();
    const undo = () => {
      const [device] = world.fakes.wireguard.thing.observe();
      world.fakes.wireguard.thing.apply({
        kind: 'wireguard.remove-peers',
        device: 'apn0',
        peers: [...(device?.peers.keys() ?? [])],
      });
    };
    world.gates.wireguard.observed = 0;
    world.gates.wireguard.beforeObserve = undo;
    world.reconciler.wake(['wireguard']);
    await settle();
    expect(world.gates.wireguard.observed).toBe(5);
    await vi.advanceTimersByTimeAsync(500);
    expect(world.gates.wireguard.observed).toBe(10);
    expect(world.codes()).toEqual(['wireguard-failing']);
    // The same change again and again is one line in the log.
    expect(world.log.filter((line) => line.startsWith('set 1 peers')).length).toBeLessThan(4);
  });
});

describe('applied', () => {
  it('is true at once for what the machine has, and for parts that have nothing to do with it', async () => {
    const world = await started();
    expect(await world.reconciler.applied(1, 0)).toBe(true);
    world.gates.zone.beforeObserve = failing;
    world.intent = { ...world.intent, leases: [leaseAt(noon, 'one', 1000)], revision: 2 };
    world.reconciler.wake(['firewall']);
    const lease = world.reconciler.applied(2, 1000, ['firewall']);
    await settle();
    expect(await lease).toBe(true);
    expect(world.fakes.firewall.thing.observe()?.elements.get('lease4')?.size).toBe(1);
  });

  it('is false after its time, and then still comes true for the next who asks', async () => {
    const world = await started();
    const { held, release } = hold();
    world.gates.wireguard.beforeObserve = held;
    const revision = world.save();
    const answer = world.reconciler.applied(revision, 700);
    await vi.advanceTimersByTimeAsync(700);
    expect(await answer).toBe(false);
    release();
    await settle();
    expect(await world.reconciler.applied(revision, 0)).toBe(true);
  });

  it('is false when a part it waits for fails twice, without waiting for the whole time', async () => {
    const world = await started();
    world.gates.wireguard.beforeObserve = failing;
    const answer = world.reconciler.applied(world.save(), 3600_000);
    await vi.advanceTimersByTimeAsync(600);
    expect(await answer).toBe(false);
    const again = world.reconciler.applied(world.save(), 3600_000);
    await vi.advanceTimersByTimeAsync(2_100);
    expect(await again).toBe(false);
  });

  it('of an older revision is true although a newer one is under way', async () => {
    const world = await started();
    const { held, release } = hold();
    world.gates.wireguard.beforeObserve = held;
    world.save();
    await settle();
    expect(await world.reconciler.applied(1, 0)).toBe(true);
    expect(world.reconciler.appliedRevision).toBe(1);
    release();
    await settle();
  });

  it('does not go back when the parts only look again', async () => {
    const world = await started();
    const { held, release } = hold();
    world.gates.network.beforeObserve = held;
    world.reconciler.wake();
    await settle();
    expect(world.reconciler.appliedRevision).toBe(1);
    release();
    await settle();
  });

  it('goes back when the machine has stopped agreeing and cannot be mended', async () => {
    const world = await started();
    world.gates.wireguard.beforeObserve = failing;
    world.reconciler.wake();
    await settle();
    expect(world.reconciler.appliedRevision).toBe(0);
  });
});

describe('close', () => {
  it('waits for the run, answers those who wait, lets go of the drivers and does nothing afterwards', async () => {
    const world = await started();
    const { held, release } = hold();
    world.gates.firewall.beforeObserve = held;
    const revision = world.save();
    const answer = world.reconciler.applied(revision, 60_000);
    await settle();
    let over = false;
    const closing = world.reconciler.close().then(() => {
      over = true;
    });
    await settle();
    expect([over, world.closed]).toEqual([false, 0]);
    release();
    await closing;
    expect(world.closed).toBe(partNames.length);
    expect(await answer).toBe(false);
    const { observed } = world.gates.zone;
    world.reconciler.wake();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(world.gates.zone.observed).toBe(observed);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('ends the tries of a failing part', async () => {
    const world = await started();
    world.gates.dhcp.beforeObserve = failing;
    world.reconciler.wake();
    await vi.advanceTimersByTimeAsync(600);
    await world.reconciler.close();
    const { observed } = world.gates.dhcp;
    await vi.advanceTimersByTimeAsync(300_000);
    expect(world.gates.dhcp.observed).toBe(observed);
    expect(vi.getTimerCount()).toBe(0);
  });
});
