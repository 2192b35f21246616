// Hears the handshakes that the firewall copies, and says when it cannot.
import type { Conditions } from '../conditions.ts';
import { readLog } from '../netlink/subscription.ts';
import { logGroup, logLength } from '../plan/knock.ts';
import type { KnockKeeper } from './keeper.ts';

export function listenToKnocks(knocks: KnockKeeper, conditions: Conditions): { close(): void } {
  const { refused, accepted } = logGroup;
  return readLog(
    [refused, accepted],
    logLength,
    ({ group, payload }) => (group === refused ? knocks.refused(payload) : knocks.accepted(payload)),
    (problem) => {
      const code = 'knocks-unheard';
      if (problem === null) {
        conditions.clear(code);
        return;
      }
      const title = 'Knocks are not heard, so nobody is let in by one.';
      const remedy = 'It is tried again every second. Leases given by hand work.';
      conditions.raise({ code, severity: 'warning', title, remedy }, problem);
    },
  );
}
