// The router at rest with 1,000 peers: CPU of one look at everything that finds nothing to change.
import { poll } from '../test/support/lab/lab.ts';
import { type Bench, cpu, runAlone, withHub } from './hub.ts';

const peers = 1000;
/** Milliseconds between two looks of a router that nobody wakes. */
const slowTimer = 10_000;
const looks = 4;

export function run(): Promise<Bench> {
  return withHub('lcre', async (hub) => {
    hub.prepare(peers);
    const router = hub.router();
    await poll(() => hub.call('GET', '/summary'), { within: 20_000, what: 'the router' });
    await hub.applied();
    const there = (await hub.lab.output('hub', ['wg', 'show', 'apn0', 'peers'])).split('\n').length;
    if (there !== peers) throw new Error(`the tunnel has ${there} peers`);
    // Compilers warm up meanwhile.
    await rest(3 * slowTimer);
    const user: number[] = [];
    const system: number[] = [];
    for (let i = 0; i < looks; i++) {
      const before = cpu(router.pid);
      await rest(slowTimer);
      const after = cpu(router.pid);
      user.push(after.user - before.user);
      system.push(after.system - before.system);
    }
    await router.stop();
    const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const both = user.map((milliseconds, i) => milliseconds + (system[i] ?? 0));
    return {
      title: `no-change reconcile with ${peers} peers (wireguard-go), everything the router does in its 10 s`,
      rows: [
        { name: `CPU, mean of ${looks}`, value: mean(both), unit: 'ms', target: '≤ 100' },
        { name: 'of it in the kernel', value: mean(system), unit: 'ms' },
        { name: 'the worst of them', value: Math.max(...both), unit: 'ms' },
      ],
    };
  });
}

function rest(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

await runAlone(import.meta.filename, run);
