// Leases: openings against a model that asks for every address, and time against everything clocks can do.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { contains, fromNumber, isHost, prefixOf } from '../../src/model/address.ts';
import {
  type Clock,
  checkpoint,
  endsSoon,
  type Lease,
  longestDuration,
  openings,
  openingText,
  parseDuration,
  parseLeaseSource,
  remaining,
  renewed,
  restore,
  sourceText,
  stateOf,
  warnings,
} from '../../src/model/lease.ts';
import { address, clock, hour, lease, prefix } from '../support/builders.ts';
import { anyLeases } from '../support/random.ts';

const now = clock();

describe('openings', () => {
  it('open every address exactly as long as the longest lease that holds it', () => {
    fc.assert(
      fc.property(anyLeases(now), (leases) => {
        const { exact, blocks } = openings(leases, now);
        const live = leases.filter((one) => one.end === null && one.deadline > now.boot);
        // Every address near a border of any lease, and all of the IPv4 playground.
        const four = Array.from({ length: 80 }, (_, n) => fromNumber(4, 0xcb007100n - 8n + BigInt(n)));
        const six = Array.from({ length: 12 }, (_, n) =>
          [`2001:db8:0:${n}::`, `2001:db8:0:${n}::${n}`, `2001:db8:0:${n}:ffff::1`].map(address),
        ).flat();
        for (const one of [...four, ...six]) {
          const holding = (wide: boolean) =>
            Math.max(
              0,
              ...live
                .filter(({ source }) => contains(source, one) && isHost(source) !== wide)
                .map(({ deadline }) => deadline),
            );
          const open = (list: typeof exact) =>
            list
              .filter(({ family, first, last }) => contains(prefixOfRange(family, first, last, one), one))
              .map(({ deadline }) => deadline);
          expect(open(exact)).toEqual(holding(false) === 0 ? [] : [holding(false)]);
          expect(open(blocks)).toEqual(holding(true) === 0 ? [] : [holding(true)]);
        }
      }),
      { numRuns: 300 },
    );
  }, 60_000);

  it('are blocks that neither overlap nor could be joined', () => {
    fc.assert(
      fc.property(anyLeases(now), (leases) => {
        const { blocks } = openings(leases, now);
        for (const [i, one] of blocks.entries()) {
          const next = blocks[i + 1];
          expect(one.first <= one.last).toBe(true);
          if (next === undefined || next.family !== one.family) continue;
          expect(next.first > one.last).toBe(true);
          expect(next.first === one.last + 1n && next.deadline === one.deadline).toBe(false);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('leave out leases of another boot until they are restored', () => {
    const old = lease('198.51.100.7/32', { bootId: 'boot-0' });
    expect(openings([old], now)).toEqual({ exact: [], blocks: [] });
    expect(openings([restore(old, now)], now).exact).toHaveLength(1);
  });

  it('have a text', () => {
    const [block] = openings([lease('198.51.100.0/25')], now).blocks;
    const [one] = openings([lease('198.51.100.7/32')], now).exact;
    expect([block && openingText(block), one && openingText(one)]).toEqual([
      '198.51.100.0-198.51.100.127',
      '198.51.100.7',
    ]);
  });

  function prefixOfRange(family: 4 | 6, first: bigint, last: bigint, one: ReturnType<typeof address>) {
    const number = BigInt(
      `0x${
        Buffer.from(
          one.includes(':')
            ? ''
            : one
                .split('.')
                .map((byte) => Number(byte).toString(16).padStart(2, '0'))
                .join(''),
          'hex',
        ).toString('hex') || '0'
      }`,
    );
    const inside =
      family === 4
        ? !one.includes(':') && first <= number && number <= last
        : one.includes(':') && sixInside(first, last, one);
    return inside ? prefixOf(one, one.includes(':') ? 128 : 32) : prefix('192.0.2.1/32');
  }

  function sixInside(first: bigint, last: bigint, one: string): boolean {
    const [head = '', tail = ''] = one.split('::');
    const left = head.split(':').filter((part) => part !== '');
    const right = tail.split(':').filter((part) => part !== '');
    const groups = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
    const number = groups.reduce((sum, group) => sum * 65536n + BigInt(`0x${group}`), 0n);
    return first <= number && number <= last;
  }
});

/** What may happen to a running hub. Milliseconds. */
type Event =
  | { readonly kind: 'pass'; readonly time: number }
  | { readonly kind: 'jump'; readonly by: number }
  | { readonly kind: 'synchronised'; readonly to: boolean }
  | { readonly kind: 'checkpoint' }
  | { readonly kind: 'reboot'; readonly off: number; readonly clean: boolean };

const anyEvent: fc.Arbitrary<Event> = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 5 * hour }).map((time) => ({ kind: 'pass' as const, time })) },
  {
    weight: 2,
    arbitrary: fc.integer({ min: -50 * hour, max: 50 * hour }).map((by) => ({ kind: 'jump' as const, by })),
  },
  fc.boolean().map((to) => ({ kind: 'synchronised' as const, to })),
  fc.constant({ kind: 'checkpoint' as const }),
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('reboot' as const), off: fc.nat(10 * hour), clean: fc.boolean() }),
  },
);

interface Life {
  /** How long the port was open in all. */
  readonly open: number;
  /** Of that, what a power cut hid from the records. */
  readonly hidden: number;
  /** Whether it was open after its true end, that is, granted + 24 h of real time. */
  readonly late: boolean;
}

/** The keeper's part: restore often, checkpoint when told. `honest`: a synchronised clock shows the real time. */
function live(granted: number, events: readonly Event[], honest: boolean): Life {
  let real = 0;
  let state: Clock = clock({ wall: 1_000_000, boot: 1000, synchronised: true });
  let one: Lease = lease(
    '198.51.100.7/32',
    { expiresAt: state.wall + granted, deadline: state.boot + granted, remaining: granted },
    state,
  );
  const start = state.wall;
  let open = 0;
  let hidden = 0;
  let late = false;
  let unsaved = 0;
  const look = () => {
    if (honest && state.synchronised) state = { ...state, wall: start + real };
    one = restore(one, state);
  };
  for (const event of events) {
    look();
    switch (event.kind) {
      case 'pass': {
        const until = openings([one], state).exact[0]?.deadline ?? state.boot;
        const during = Math.min(event.time, until - state.boot);
        // The kernel closes it at the deadline it was given, even if nobody looks.
        open += during;
        unsaved += during;
        if (during > 0 && honest && state.synchronised && real + during > granted + 1) late = true;
        real += event.time;
        state = { ...state, wall: state.wall + event.time, boot: state.boot + event.time };
        break;
      }
      case 'jump':
        if (!(honest && state.synchronised)) state = { ...state, wall: state.wall + event.by };
        break;
      case 'synchronised':
        state = { ...state, synchronised: event.to };
        break;
      case 'checkpoint':
        one = checkpoint(one, state);
        unsaved = 0;
        break;
      case 'reboot':
        if (event.clean) one = checkpoint(one, state);
        else hidden += unsaved;
        unsaved = 0;
        real += event.off;
        state = { wall: state.wall + event.off, boot: 10, bootId: `${state.bootId}+`, synchronised: false };
    }
    const left = remaining(one, state);
    expect(left === null || (left >= 0 && left <= granted)).toBe(true);
  }
  return { open, hidden, late };
}

describe('time', () => {
  const granted = 24 * hour;
  const anyLife = fc.array(anyEvent, { maxLength: 40 });

  it('never keeps a lease open longer than granted, whatever the clock does', () => {
    fc.assert(
      fc.property(anyLife, (events) => {
        const { open, hidden } = live(granted, events, false);
        // What was not written down before the power went can count twice where the wall clock lies as well.
        expect(open).toBeLessThanOrEqual(granted + hidden);
      }),
      { numRuns: 3000 },
    );
  }, 60_000);

  it('never keeps it open after its end where a synchronised clock is right', () => {
    fc.assert(
      fc.property(anyLife, (events) => {
        expect(live(granted, events, true).late).toBe(false);
      }),
      { numRuns: 3000 },
    );
  }, 60_000);

  it('restoring twice is restoring once', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 30 * hour }),
        fc.integer({ min: -30 * hour, max: 30 * hour }),
        fc.boolean(),
        fc.boolean(),
        (passed, jump, synchronised, rebooted) => {
          const later = clock({
            wall: now.wall + passed + jump,
            boot: rebooted ? passed : now.boot + passed,
            bootId: rebooted ? 'boot-2' : 'boot-1',
            synchronised,
          });
          const once = restore(lease('198.51.100.7/32'), later);
          expect(restore(once, later)).toEqual(once);
        },
      ),
    );
  });

  it('a lease of an earlier boot waits until the time is known', () => {
    const waiting = clock({ bootId: 'boot-2', boot: 5000, synchronised: false });
    const one = lease('198.51.100.7/32');
    expect(stateOf(one, waiting)).toBe('waiting');
    expect(restore(one, waiting)).toBe(one);
    expect(checkpoint(one, waiting)).toBe(one);
    expect(restore(one, { ...waiting, synchronised: true })).toMatchObject({ bootId: 'boot-2', restored: true });
  });

  it('comes back with what was left, not with what was granted', () => {
    const written = checkpoint(lease('198.51.100.7/32'), { ...now, boot: now.boot + 20 * hour });
    const back = restore(written, clock({ bootId: 'boot-2', boot: 0, wall: now.wall + 20 * hour + 60_000 }));
    expect(back.deadline).toBe(4 * hour - 60_000);
    // The wall clock was wrong and is corrected forwards: shorter. Backwards: as it was.
    expect(restore(back, clock({ bootId: 'boot-2', boot: 0, wall: now.wall + 23 * hour })).deadline).toBe(hour);
    expect(restore(back, clock({ bootId: 'boot-2', boot: 0, wall: now.wall })).deadline).toBe(back.deadline);
  });

  it('ends', () => {
    const one = lease('198.51.100.7/32');
    const after = { ...now, boot: now.boot + 24 * hour };
    expect([stateOf(one, now), stateOf(one, after)]).toEqual(['active', 'expired']);
    const revoked = { ...one, end: { at: now.wall, how: 'revoked' as const } };
    expect([stateOf(revoked, now), remaining(revoked, now), restore(revoked, after)]).toEqual(['revoked', 0, revoked]);
  });

  it('a jump of the wall clock changes nothing while the hub runs', () => {
    const one = lease('198.51.100.7/32');
    for (const wall of [0, now.wall + 1000 * hour]) expect(remaining(one, { ...now, wall })).toBe(24 * hour);
  });
});

describe('what people write', () => {
  it.each([
    ['30s', 30_000],
    ['10m', 600_000],
    ['24h', 24 * hour],
    ['7d', 7 * 24 * hour],
    ['30d', longestDuration],
  ])('%s', (text, duration) => {
    expect(parseDuration(text)).toBe(duration);
  });

  it.each([
    '',
    '0',
    '0s',
    '-1s',
    '-1',
    'NaN',
    'NaNs',
    '1',
    '1.5h',
    '1e3s',
    '1w',
    ' 1h',
    '1h ',
    '01h',
    '31d',
    '99999999s',
    'Infinity',
    '1H',
  ])('%j is refused as a duration', (text) => {
    expect(() => parseDuration(text)).toThrow();
  });

  it('an IPv4 source is exact, an IPv6 one its /64, a prefix what it says', () => {
    expect(['203.0.113.7', '2001:db8::7', '203.0.113.0/24', '2001:db8::7/128'].map(parseLeaseSource)).toEqual([
      '203.0.113.7/32',
      '2001:db8::/64',
      '203.0.113.0/24',
      '2001:db8::7/128',
    ]);
    expect(['203.0.113.7/32', '203.0.113.0/24'].map((one) => sourceText(prefix(one)))).toEqual([
      '203.0.113.7',
      '203.0.113.0/24',
    ]);
  });
});

describe('a renewal', () => {
  const one = lease('203.0.113.7/32');

  it('lasts its duration from now on, and is whose it is by', () => {
    const later = { ...now, wall: now.wall + 23 * hour, boot: now.boot + 23 * hour };
    const again = renewed(one, 24 * hour, 'anna1', later);
    expect(again).toMatchObject({ id: one.id, grantedBy: 'anna1', grantedAt: later.wall, restored: false });
    expect([remaining(again, later), again.expiresAt - later.wall, again.remaining]).toEqual([
      24 * hour,
      24 * hour,
      24 * hour,
    ]);
  });

  it('never shortens', () => {
    expect(remaining(renewed(one, hour, 'anna1', now), now)).toBe(24 * hour);
  });

  it('of one that waits for the time gives it a new end in this boot', () => {
    const unknown = { ...now, bootId: 'boot-2', boot: 5000, synchronised: false };
    expect(stateOf(one, unknown)).toBe('waiting');
    expect(remaining(renewed(one, hour, 'console', unknown), unknown)).toBe(hour);
  });
});

describe('the warning before the end', () => {
  const lasting = (milliseconds: number) =>
    lease('203.0.113.7/32', { expiresAt: now.wall + milliseconds, deadline: now.boot + milliseconds });

  it('comes an hour and ten minutes before; with the last tenth where it is short', () => {
    expect(warnings(lasting(24 * hour))).toEqual([hour, hour / 6]);
    expect(warnings(lasting(hour))).toEqual([hour / 6]);
    expect(warnings(lasting(hour / 6))).toEqual([hour / 60]);
    expect(warnings(lasting(30_000))).toEqual([3000]);
  });

  it('is there from the first of them until the end', () => {
    const one = lasting(24 * hour);
    const at = (left: number) => ({ ...now, boot: one.deadline - left });
    expect([at(hour + 1), at(hour), at(1), at(0)].map((then) => endsSoon(one, then))).toEqual([
      false,
      true,
      true,
      false,
    ]);
    expect(endsSoon({ ...one, end: { at: now.wall, how: 'revoked' } }, at(1))).toBe(false);
  });

  it('is not there while nobody knows what is left', () => {
    expect(endsSoon(lasting(60_000), { ...now, bootId: 'boot-2', synchronised: false })).toBe(false);
  });
});
