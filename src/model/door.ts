// Whether the hub's UDP port is open to an address, and by what: by the same openings that the firewall is given.
import { type Address, contains, rangeOf } from './address.ts';
import type { Config } from './config.ts';
import { type Clock, type Lease, openings } from './lease.ts';

export interface Door {
  readonly address: Address;
  readonly open: boolean;
  /** In the order in which the firewall asks. */
  readonly by: 'LAN' | 'rule' | 'lease' | null;
  /** Milliseconds until a lease shuts it; null: it is shut, or nothing ends. */
  readonly left: number | null;
}

/** Whether packets from this address get to WireGuard. A member at home needs no lease. */
export function door({ lan, rules }: Config, leases: readonly Lease[], clock: Clock, address: Address): Door {
  const shut: Door = { address, open: false, by: null, left: null };
  // Nobody has named the WAN yet, so nothing is let in from it.
  if (lan === null) return shut;
  if (contains(lan.range, address)) return { ...shut, open: true, by: 'LAN' };
  if (rules.some(({ source }) => contains(source, address))) return { ...shut, open: true, by: 'rule' };
  const { family, first } = rangeOf(address);
  const { exact, blocks } = openings(leases, clock);
  const ends = [...exact, ...blocks]
    .filter((one) => one.family === family && one.first <= first && first <= one.last)
    .map(({ deadline }) => deadline - clock.boot);
  return ends.length === 0 ? shut : { ...shut, open: true, by: 'lease', left: Math.max(...ends) };
}
