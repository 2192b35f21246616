// Timestamps of peers: none counts twice, a wrong clock is seen, and what is forgotten stays forgotten.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Budget } from '../../src/router/knock/budget.ts';
import { clockMargin, PeerClocks, type TimestampStore } from '../../src/router/knock/clocks.ts';
import { compareTimestamps, timestampToWall, wallToTimestamp } from '../../src/router/knock/timestamp.ts';
import { clock } from '../support/builders.ts';
import { tai } from './initiator.ts';

const now = clock();
const day = 24 * 3600_000;

function memory(): TimestampStore & { readonly rows: Map<string, Uint8Array>; broken: boolean } {
  const rows = new Map<string, Uint8Array>();
  const store = {
    rows,
    broken: false,
    knockTimestamps: () => rows,
    putKnockTimestamps: (entries: ReadonlyMap<string, Uint8Array>) => {
      if (store.broken) throw new Error('disk full');
      for (const [peer, bytes] of entries) rows.set(peer, bytes);
    },
  };
  return store;
}

describe('TAI64N', () => {
  it('is the wall clock with 2^62 + 10 s, and sorts like it', () => {
    expect(Buffer.from(wallToTimestamp(1_700_000_000_123)).toString('hex')).toBe('400000006553f10a0754d4c0');
    expect(wallToTimestamp(1_700_000_000_123)).toEqual(tai(1_700_000_000_123));
    fc.assert(
      fc.property(fc.integer({ min: -1e12, max: 4e12 }), fc.integer({ min: -1e12, max: 4e12 }), (one, other) => {
        expect(timestampToWall(wallToTimestamp(one))).toBe(one);
        expect(Math.sign(compareTimestamps(wallToTimestamp(one), wallToTimestamp(other)))).toBe(Math.sign(one - other));
      }),
    );
  });

  it('of any bytes is some time', () => {
    expect(timestampToWall(Buffer.alloc(12))).toBeLessThan(0);
    expect(timestampToWall(Buffer.alloc(12, 0xff))).toBeGreaterThan(now.wall);
  });
});

describe('the clocks of peers', () => {
  it('take each timestamp once, and only newer ones after it', () => {
    const clocks = new PeerClocks(memory());
    expect(clocks.judge('phone', tai(now.wall), now)).toBe('new');
    clocks.hold('phone', tai(now.wall));
    expect(clocks.judge('phone', tai(now.wall), now)).toBe('replay');
    expect(clocks.judge('phone', tai(now.wall - 1), now)).toBe('replay');
    expect(clocks.judge('phone', tai(now.wall + 1), now)).toBe('new');
    expect(clocks.judge('laptop', tai(now.wall - day), now)).toBe('new');
  });

  it('are the same after a restart, as far as they were written', () => {
    const store = memory();
    const clocks = new PeerClocks(store);
    clocks.hold('phone', tai(now.wall));
    expect(new PeerClocks(store).judge('phone', tai(now.wall), now)).toBe('new');
    clocks.flush();
    expect(new PeerClocks(store).judge('phone', tai(now.wall), now)).toBe('replay');
    expect(store.rows.get('phone')).toHaveLength(12);
  });

  it('are written again when they could not be', () => {
    const store = memory();
    const clocks = new PeerClocks(store);
    clocks.hold('phone', tai(now.wall));
    store.broken = true;
    expect(() => clocks.flush()).toThrow('disk full');
    store.broken = false;
    clocks.flush();
    expect(store.rows.size).toBe(1);
    store.broken = true;
    clocks.flush(); // nothing to write
  });

  it('that are ahead are told from copies, and stick until somebody forgets them', () => {
    const store = memory();
    const clocks = new PeerClocks(store);
    const wrong = tai(now.wall + 30 * day);
    expect(clocks.judge('phone', tai(now.wall + clockMargin), now)).toBe('new');
    expect(clocks.judge('phone', wrong, now)).toBe('ahead');
    clocks.hold('phone', wrong);
    expect(clocks.judge('phone', wrong, now)).toBe('stuck');
    expect(clocks.judge('phone', tai(now.wall), now)).toBe('stuck');
    expect(clocks.judge('phone', tai(now.wall + 31 * day), now)).toBe('ahead');

    clocks.forget('phone', now.wall);
    for (const again of [clocks, new PeerClocks(store)]) {
      // From now on, and nothing of before: neither what was recorded with the right time nor with the wrong one.
      expect(again.judge('phone', tai(now.wall + 1000), now)).toBe('new');
      expect(again.judge('phone', tai(now.wall - 1000), now)).toBe('replay');
      expect(again.judge('phone', wrong, now)).toBe('replay');
      expect(again.judge('phone', tai(now.wall + 20 * day), now)).toBe('replay');
      expect(again.judge('phone', tai(now.wall + 40 * day), now)).toBe('ahead');
      // As long as the hub does not know the time, neither is told from the other.
      const unsure = { ...now, synchronised: false };
      expect(again.judge('phone', tai(now.wall + 20 * day), unsure)).toBe('replay');
      expect(again.judge('phone', tai(now.wall + 40 * day), unsure)).toBe('new');
    }
    // It goes on as ever, and a second wrong clock is forgotten with the first.
    clocks.hold('phone', tai(now.wall + 5000));
    expect(clocks.judge('phone', tai(now.wall + 5000), now)).toBe('replay');
    clocks.forget('phone', now.wall + 9000);
    expect(clocks.judge('phone', tai(now.wall + 20 * day), now)).toBe('replay');
    clocks.forget('nobody', now.wall);
  });

  it('say nothing of the future while the hub does not know the time', () => {
    const clocks = new PeerClocks(memory());
    const lost = { ...now, wall: 0, synchronised: false };
    expect(clocks.judge('phone', tai(now.wall), lost)).toBe('new');
    clocks.hold('phone', tai(now.wall));
    expect(clocks.judge('phone', tai(now.wall), lost)).toBe('replay');
  });

  it('pass over rows that are no timestamps', () => {
    const store = memory();
    store.rows.set('phone', new Uint8Array(5));
    expect(new PeerClocks(store).judge('phone', tai(now.wall), now)).toBe('new');
  });

  it('never take a timestamp twice, whatever comes in which order', () => {
    const moves = fc.array(
      fc.oneof(
        fc.record({ at: fc.integer({ min: -5, max: 60 }) }),
        fc.constant('forget' as const),
        fc.constant('restart' as const),
      ),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(moves, (all) => {
        const store = memory();
        let clocks = new PeerClocks(store);
        const taken = new Set<number>();
        let moment = now;
        for (const move of all) {
          moment = { ...moment, wall: moment.wall + 1000 };
          if (move === 'forget') clocks.forget('phone', moment.wall);
          else if (move === 'restart') {
            clocks.flush();
            clocks = new PeerClocks(store);
          } else {
            const timestamp = tai(now.wall + move.at * 60_000);
            const judgement = clocks.judge('phone', timestamp, moment);
            if (judgement !== 'new' && judgement !== 'ahead') continue;
            expect(taken.has(move.at)).toBe(false);
            taken.add(move.at);
            clocks.hold('phone', timestamp);
          }
        }
      }),
    );
  });
});

describe('a budget', () => {
  it('gives a burst, and then so many a second', () => {
    const budget = new Budget(10, 20, 0);
    const taken = (at: number) => Array.from({ length: 100 }, () => budget.take(at)).filter(Boolean).length;
    expect(taken(0)).toBe(20);
    expect(taken(100)).toBe(1);
    expect(taken(1100)).toBe(10);
    expect(taken(100_000)).toBe(20);
    // A clock that stands still or goes back gives nothing.
    expect(taken(99_000)).toBe(0);
  });
});
