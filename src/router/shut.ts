// The last resort: with nothing known, everything is dropped. A table that is there already is left alone.
import { initialConfig } from '../model/config.ts';
import { monotonic } from './clock.ts';
import { causeText } from './conditions.ts';
import { createFirewallDriver } from './drivers/firewall.ts';
import { compileChains, declarations, refill } from './plan/ruleset.ts';

export async function shutEverything(log: (line: string) => void): Promise<void> {
  const firewall = createFirewallDriver({ now: monotonic });
  try {
    if ((await firewall.observe()) !== null) return;
    const chains = compileChains(initialConfig);
    const script = [...declarations(chains), ...refill(chains), ''].join('\n');
    await firewall.apply({ kind: 'firewall.load', script, why: 'the store cannot be opened' });
  } catch (error) {
    log(`firewall-failing: ${causeText(error)}`);
  } finally {
    firewall.close();
  }
}
