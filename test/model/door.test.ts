// Whether UDP 51820 is open to an address: compared with the elements that the firewall is given.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { door } from '../../src/model/door.ts';
import { compileFirewall } from '../../src/router/plan/firewall.ts';
import { address, clock, exampleConfig, hour, lease } from '../support/builders.ts';

const config = exampleConfig();
const now = clock();

describe('the door', () => {
  it('is open by a rule, a lease or at home, and says which', () => {
    const leases = [lease('203.0.113.50/32'), lease('198.51.100.0/24'), lease('2001:db8:7::/64')];
    const at = (text: string) => door(config, leases, now, address(text));
    expect(at('203.0.113.10')).toEqual({ address: '203.0.113.10', open: true, by: 'rule', left: null });
    expect(at('203.0.113.50')).toEqual({ address: '203.0.113.50', open: true, by: 'lease', left: 24 * hour });
    expect(at('198.51.100.9')).toMatchObject({ open: true, by: 'lease' });
    expect(at('2001:db8:7::9')).toMatchObject({ open: true, by: 'lease' });
    expect(at('192.168.66.20')).toMatchObject({ open: true, by: 'LAN', left: null });
    expect(at('203.0.113.51')).toEqual({ address: '203.0.113.51', open: false, by: null, left: null });
    expect(at('2001:db8:8::9')).toMatchObject({ open: false });
  });

  it('is shut by the end of a lease, and stays open until the last of several', () => {
    const short = lease('203.0.113.50/32', { id: 'short', deadline: now.boot + hour, expiresAt: now.wall + hour });
    const end = { at: now.wall, how: 'revoked' } as const;
    expect(door(config, [short, lease('203.0.113.0/24')], now, address('203.0.113.50')).left).toBe(24 * hour);
    const later = { ...now, wall: now.wall + hour, boot: now.boot + hour };
    expect(door(config, [short], later, address('203.0.113.50')).open).toBe(false);
    expect(door(config, [{ ...short, end }], now, address('203.0.113.50')).open).toBe(false);
  });

  it('without a LAN nothing says which port is the WAN: it is shut', () => {
    const bare = exampleConfig({ lan: null, lanDevices: [] });
    expect(door(bare, [lease('203.0.113.50/32')], now, address('203.0.113.50')).open).toBe(false);
  });

  it('is open to exactly the addresses that are elements of the sets', () => {
    const octet = fc.integer({ min: 0, max: 15 });
    const source = fc.tuple(octet, fc.integer({ min: 28, max: 32 })).map(([n, length]) => {
      const block = (n >> (32 - length)) << (32 - length);
      return `203.0.113.${block}/${length}`;
    });
    const left = fc.integer({ min: -2, max: 3 }).map((hours) => hours * hour);
    fc.assert(
      fc.property(fc.array(fc.tuple(source, left), { maxLength: 6 }), (asked) => {
        const leases = asked.map(([text, milliseconds], i) =>
          lease(text, { id: `l${i}`, deadline: now.boot + milliseconds, expiresAt: now.wall + milliseconds }),
        );
        const { elements } = compileFirewall({ config, leases }, [], now);
        for (let n = 0; n < 20; n++) {
          const key = `cb0071${n.toString(16).padStart(2, '0')}`;
          const inside = ['rule4', 'lease4', 'lease4_net'].some((set) =>
            [...(elements.get(set)?.values() ?? [])].some((one) => one.key <= key && key <= (one.last ?? one.key)),
          );
          expect(door(config, leases, now, address(`203.0.113.${n}`)).open).toBe(inside);
        }
      }),
      { numRuns: 100 },
    );
  });
});
