// Starts the watch over tunnel and leases, and listens to what the firewall refuses inside.
import type { Conditions } from '../conditions.ts';
import { readLog } from '../netlink/subscription.ts';
import { logGroup } from '../plan/knock.ts';
import { flowLength } from './flow.ts';
import { Watch, type WatchOptions } from './watch.ts';

export interface Activity {
  /** Leases have changed. */
  wake(): void;
  close(): void;
}

export function startActivity(options: WatchOptions & { readonly conditions: Conditions }): Activity {
  const watch = new Watch(options);
  const listener = readLog(
    [logGroup.denied],
    flowLength,
    ({ payload }) => watch.denied(payload),
    (problem) => {
      const code = 'refusals-unheard';
      if (problem === null) {
        options.conditions.clear(code);
        return;
      }
      const title = 'What is refused inside cannot be written down.';
      const remedy = 'It is tried again every second. The firewall itself is not concerned.';
      options.conditions.raise({ code, severity: 'info', title, remedy }, problem);
    },
  );
  watch.wake();
  return {
    wake: () => watch.wake(),
    close: () => {
      listener.close();
      watch.close();
    },
  };
}
