// The router at rest with 1,000 peers: CPU of one look at everything that finds nothing to change.

import { poll } from '../test/support/lab/lab.ts';
import { type Bench, cpuMilliseconds, quantile, runAlone, withHub } from './hub.ts';

const peers = 1000;
/** The router looks at everything every ten seconds. */
const looks = 3;
const slowTimer = 10_000;

export function run(): Promise<Bench> {
  return withHub('lcre', async (hub) => {
    const router = hub.router(
      process.env['CPU_PROFILE'] === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${process.env['CPU_PROFILE']}`],
    );
    await poll(() => hub.call('GET', '/summary'), { within: 20_000, what: 'the router' });
    const enrolling = performance.now();
    await hub.enrol(peers);
    const enrolled = performance.now() - enrolling;
    // Compilers warm up and garbage of the enrolment goes before it is measured.
    await rest(2 * slowTimer);
    const whole: number[] = [];
    for (let i = 0; i < looks; i++) {
      const before = cpuMilliseconds(router.pid);
      await rest(slowTimer);
      whole.push(cpuMilliseconds(router.pid) - before);
    }
    await router.stop();
    return {
      title: `no-change reconcile with ${peers} peers (wireguard-go in a namespace)`,
      rows: [
        { name: 'CPU of one look and its ten seconds', value: quantile(whole, 0.5), unit: 'ms', target: '≤ 100' },
        { name: 'the worst of them', value: Math.max(...whole), unit: 'ms' },
        { name: 'enrolling a server by the API, each', value: enrolled / peers, unit: 'ms' },
      ],
    };
  });
}

function rest(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

await runAlone(import.meta.filename, run);
