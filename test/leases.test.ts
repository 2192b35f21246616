// The keeper of lease records over clocks that are made up: ends, restarts, reboots, wrong clocks, checkpoints, a full disk.

import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Clock, type Lease, openings, stateOf } from '../src/model/lease.ts';
import { Conditions } from '../src/router/conditions.ts';
import { LeaseKeeper } from '../src/router/leases.ts';
import { console_, leaseAt, noon } from './support/saving.ts';
import { openStore, temporaryFolder } from './support/store.ts';

const [second, minute, hour] = [1000, 60_000, 3600_000];

/** A machine with a clock; `boot` starts it again, `restart` only the program. */
class Machine {
  readonly folder = temporaryFolder();
  readonly conditions = new Conditions(
    () => this.clock.wall,
    () => {},
  );
  store = openStore(this.folder, () => this.clock.wall);
  clock: Clock = noon;
  keeper = new LeaseKeeper(this.store, this.conditions, this.clock);

  pass(milliseconds: number): this {
    this.clock = { ...this.clock, wall: this.clock.wall + milliseconds, boot: this.clock.boot + milliseconds };
    return this;
  }

  restart(): this {
    this.store.close();
    this.store = openStore(this.folder, () => this.clock.wall);
    this.keeper = new LeaseKeeper(this.store, this.conditions, this.clock);
    return this;
  }

  /** @param off Milliseconds without power. @param wall What the clock says then, when it is not right. */
  boot(off: number, { synchronised = true, wall = this.clock.wall + off } = {}): this {
    this.clock = { wall, boot: 30 * second, bootId: `boot-${Number(this.clock.bootId.slice(5)) + 1}`, synchronised };
    return this.restart();
  }

  set(change: Partial<Clock>): this {
    this.clock = { ...this.clock, ...change };
    return this;
  }

  tick(): number {
    return this.keeper.tick(this.clock);
  }

  grant(id: string, milliseconds: number): void {
    this.store.save(console_, (transaction) => transaction.putLease(leaseAt(this.clock, id, milliseconds)));
  }

  lease(id: string): Lease | undefined {
    return [...this.store.snapshot.leases, ...this.store.endedLeases(100)].find((lease) => lease.id === id);
  }

  state(id: string): string {
    const lease = this.lease(id);
    return lease === undefined ? 'gone' : stateOf(lease, this.clock);
  }

  /** Milliseconds for which the kernel would be told to let this lease's address in. */
  open(): number {
    const [opening] = openings(this.store.snapshot.leases, this.clock).exact;
    return opening === undefined ? 0 : opening.deadline - this.clock.boot;
  }

  audit(): unknown[] {
    const database = new DatabaseSync(join(this.folder, 'router.db'), { readOnly: true });
    const rows = database.prepare("SELECT event, body FROM audit WHERE kind = 'lease' ORDER BY id").all();
    database.close();
    return rows.map((row) => `${row['event']} ${(JSON.parse(String(row['body'])) as { id: string }).id}`);
  }

  present(): readonly string[] {
    return this.conditions.list().map(({ code }) => code);
  }
}

describe('while the machine runs', () => {
  it('says when something ends, ends it then, and writes that down once', () => {
    const machine = new Machine();
    expect(machine.tick()).toBe(10 * minute);
    machine.grant('short', 30 * second);
    machine.grant('long', 2 * minute);
    expect(machine.tick()).toBe(30 * second);
    machine.pass(29_999).tick();
    expect(machine.state('short')).toBe('active');
    machine.pass(1);
    expect(machine.tick()).toBe(90 * second);
    expect(machine.lease('short')?.end).toEqual({ at: machine.clock.wall, how: 'expired' });
    machine.tick();
    machine.pass(90 * second).tick();
    expect(machine.audit()).toEqual(['lease expired short', 'lease expired long']);
    expect(machine.store.snapshot.leases).toEqual([]);
  });

  it.each([10 * 365 * 24 * hour, -40 * 365 * 24 * hour, 7 * second])(
    'a wall clock that jumps by %d ms changes nothing',
    (jump) => {
      const machine = new Machine();
      machine.grant('one', hour);
      machine.set({ wall: machine.clock.wall + jump }).tick();
      expect(machine.open()).toBe(hour);
      machine.pass(hour - 1).tick();
      expect(machine.open()).toBe(1);
      machine.pass(1).tick();
      expect(machine.state('one')).toBe('expired');
    },
  );

  it('writes down what is left every ten minutes, not before', () => {
    const machine = new Machine();
    machine.grant('one', hour);
    const left = () => {
      const database = new DatabaseSync(join(machine.folder, 'router.db'), { readOnly: true });
      const { remaining } = database.prepare('SELECT remaining FROM lease').get() as { remaining: number };
      database.close();
      return remaining;
    };
    machine.pass(10 * minute - 1).tick();
    expect(left()).toBe(hour);
    machine.pass(1).tick();
    expect(left()).toBe(50 * minute);
    machine.pass(9 * minute).tick();
    expect(left()).toBe(50 * minute);
    machine.keeper.checkpoint(machine.clock);
    expect(left()).toBe(41 * minute);
  });

  it('a restart of the program changes nothing', () => {
    const machine = new Machine();
    machine.grant('one', hour);
    const before = machine.lease('one');
    machine
      .pass(20 * minute)
      .restart()
      .tick();
    expect(machine.lease('one')).toMatchObject({ ...before, remaining: expect.any(Number) });
    expect(machine.open()).toBe(40 * minute);
    machine
      .pass(40 * minute)
      .restart()
      .tick();
    expect(machine.state('one')).toBe('expired');
  });
});

describe('after a boot', () => {
  it('opens for what was left at the last checkpoint, or until the end on the wall, whichever is less', () => {
    const machine = new Machine();
    machine.grant('one', hour);
    machine.pass(25 * minute).tick();
    // Written down: 35 minutes. Off for 5: half an hour is left on the wall.
    machine.boot(5 * minute).tick();
    expect(machine.open()).toBe(30 * minute);
    machine.pass(30 * minute).tick();
    expect(machine.state('one')).toBe('expired');
    expect(machine.audit()).toEqual(['lease expired one']);
  });

  it('ends what ran out without power', () => {
    const machine = new Machine();
    machine.grant('one', hour);
    machine.boot(2 * hour);
    expect(machine.open()).toBe(0);
    machine.tick();
    expect(machine.state('one')).toBe('expired');
  });

  it('opens nothing until the clock is right, says so after 90 seconds, and then opens what is left', () => {
    const machine = new Machine();
    machine.grant('old', hour);
    // A clock without a battery: 1970.
    machine.boot(10 * minute, { synchronised: false, wall: 40 * second });
    expect(machine.tick()).toBe(second);
    expect([machine.state('old'), machine.open(), machine.present()]).toEqual(['waiting', 0, []]);
    machine.pass(89 * second).tick();
    expect(machine.present()).toEqual([]);
    machine.pass(second).tick();
    expect([machine.state('old'), machine.present()]).toEqual(['waiting', ['clock-unknown']]);
    // New ones work meanwhile.
    machine.grant('new', 5 * minute);
    machine.tick();
    expect(machine.state('new')).toBe('active');
    machine.set({ synchronised: true, wall: noon.wall + 15 * minute });
    machine.tick();
    expect([machine.state('old'), machine.present()]).toEqual(['active', []]);
    expect(Math.round((machine.lease('old')?.deadline ?? 0) - machine.clock.boot)).toBe(45 * minute);
  });

  it('a clock ten years ahead ends them, and correcting it does not bring them back', () => {
    const machine = new Machine();
    machine.grant('one', hour);
    machine.boot(0, { wall: noon.wall + 10 * 365 * 24 * hour }).tick();
    expect(machine.state('one')).toBe('expired');
    machine.set({ wall: noon.wall + minute }).tick();
    expect(machine.open()).toBe(0);
  });

  it('a clock behind opens for no longer than was left, and a correction shortens it', () => {
    const machine = new Machine();
    machine.grant('one', hour);
    machine.pass(20 * minute).tick();
    machine.boot(10 * minute, { wall: noon.wall - 24 * hour }).tick();
    expect(machine.open()).toBe(40 * minute);
    machine.set({ wall: noon.wall + 30 * minute }).tick();
    expect(machine.open()).toBe(30 * minute);
    // Back again: never longer.
    machine.set({ wall: noon.wall - hour }).tick();
    expect(machine.open()).toBe(30 * minute);
  });

  it('several boots never add time', () => {
    const machine = new Machine();
    machine.grant('one', hour);
    for (let i = 0; i < 10; i++)
      machine
        .pass(5 * minute)
        .boot(10 * second, { wall: noon.wall })
        .tick();
    expect(machine.open()).toBeLessThanOrEqual(hour);
    const opened = machine.open();
    machine.keeper.checkpoint(machine.pass(15 * minute).clock);
    machine.boot(0, { wall: noon.wall }).tick();
    expect(machine.open()).toBe(opened - 15 * minute);
  });
});

describe('whatever the clock does', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('pass' as const), by: fc.nat(30 * minute) }),
    fc.record({ kind: fc.constant('restart' as const), by: fc.constant(0) }),
    fc.record({ kind: fc.constant('boot' as const), by: fc.nat(30 * minute) }),
    fc.record({ kind: fc.constant('jump' as const), by: fc.integer({ min: -48 * hour, max: 48 * hour }) }),
    fc.record({ kind: fc.constant('sync' as const), by: fc.nat(1) }),
  );

  it('the end on the kernel clock never moves out within a boot, and no boot gives more than was granted', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), fc.integer({ min: second, max: 24 * hour }), (steps, granted) => {
        const machine = new Machine();
        machine.grant('one', granted);
        let latest = machine.clock.boot + granted;
        for (const { kind, by } of steps) {
          if (kind === 'pass') machine.pass(by);
          else if (kind === 'restart') machine.restart();
          else if (kind === 'jump') machine.set({ wall: machine.clock.wall + by });
          else if (kind === 'sync') machine.set({ synchronised: by === 1 });
          else {
            machine.boot(by, { synchronised: machine.clock.synchronised });
            // It may wait for the time to be known; what counts is how long it is open from then on.
            latest = Number.POSITIVE_INFINITY;
          }
          machine.tick();
          const left = machine.open();
          expect(left).toBeLessThanOrEqual(granted);
          if (left > 0) {
            expect(machine.clock.boot + left).toBeLessThanOrEqual(latest);
            latest = machine.clock.boot + left;
          }
        }
        machine.store.close();
      }),
      { numRuns: 60 },
    );
  });
});

describe('a disk that takes nothing', () => {
  it('does not end the router: leases end, a condition says so, and it is made up for later', () => {
    const machine = new Machine();
    machine.grant('one', minute);
    const trigger = (sql: string) => {
      const database = new DatabaseSync(join(machine.folder, 'router.db'));
      database.exec(sql);
      database.close();
    };
    trigger(`CREATE TRIGGER full BEFORE INSERT ON lease BEGIN SELECT RAISE(FAIL, 'disk full'); END`);
    machine.pass(minute);
    expect(() => machine.tick()).not.toThrow();
    expect(() => machine.keeper.checkpoint(machine.clock)).not.toThrow();
    expect([machine.open(), machine.present()]).toEqual([0, ['store-failing']]);
    expect(machine.lease('one')?.end).toBeNull();
    trigger('DROP TRIGGER full');
    machine.pass(second).tick();
    expect([machine.lease('one')?.end?.how, machine.present()]).toEqual(['expired', []]);
    expect(machine.audit()).toEqual(['lease expired one']);
  });

  it('lets a lease go on that should end before its time, and says that it could not', () => {
    const machine = new Machine();
    machine.grant('one', minute);
    const trigger = (sql: string) => {
      const database = new DatabaseSync(join(machine.folder, 'router.db'));
      database.exec(sql);
      database.close();
    };
    const end = () =>
      machine.keeper.end(machine.store.snapshot.leases, machine.clock, 'lease ended by roaming', { to: 'elsewhere' });
    trigger(`CREATE TRIGGER full BEFORE INSERT ON lease BEGIN SELECT RAISE(FAIL, 'disk full'); END`);
    expect([end(), machine.state('one'), machine.present()]).toEqual([false, 'active', ['store-failing']]);
    trigger('DROP TRIGGER full');
    expect([end(), machine.state('one'), machine.present()]).toEqual([true, 'revoked', []]);
    expect([machine.open(), machine.audit()]).toEqual([0, ['lease ended by roaming one']]);
    expect(machine.store.audit({ kind: 'lease', limit: 1 })[0]?.body).toMatchObject({ to: 'elsewhere' });
  });
});
