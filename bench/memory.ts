// Memory of the three programs with 20 peers: the sum of their proportional set sizes, after use and a while of rest.
import { readFileSync } from 'node:fs';
import { poll } from '../test/support/lab/lab.ts';
import { type Bench, runAlone, withHub } from './hub.ts';

const peers = 20;
/** Milliseconds of rest before looking: start-up garbage is collected by then, as far as it ever is. */
const rest = 15_000;

export function run(): Promise<Bench> {
  return withHub('lcme', async (hub) => {
    const router = hub.router();
    await poll(() => hub.call('GET', '/summary'), { within: 20_000, what: 'the router' });
    await hub.enrol(peers);
    const others = [hub.dns(), hub.webui()];
    await poll(
      async () =>
        (await hub.lab.exec('hub', ['dig', '+short', '+time=1', '+tries=1', '@172.16.0.1', 'hub.apn'])).stdout !== '',
      {
        what: 'dns',
      },
    );
    const page = ['curl', '-sk', '--max-time', '2', '-o', '/dev/null', '-w', '%{http_code}', 'https://192.168.66.1/'];
    await poll(async () => (await hub.lab.exec('hub', page)).stdout !== '000', { what: 'the web page' });
    // Some use: names, pages and requests.
    for (let i = 0; i < 50; i++) {
      await hub.lab.exec('hub', page);
      await hub.call('GET', '/servers');
    }
    await new Promise((resolve) => setTimeout(resolve, rest));
    const [routerSize = 0, dns = 0, webui = 0] = [router, ...others].map(({ pid }) => pss(pid));
    const tunnel = hub.lab.pid('wireguard-go');
    return {
      title: `memory with ${peers} peers (PSS)`,
      rows: [
        { name: 'router', value: routerSize, unit: 'MB' },
        { name: 'dns', value: dns, unit: 'MB' },
        { name: 'webui', value: webui, unit: 'MB' },
        { name: 'the three programs', value: routerSize + dns + webui, unit: 'MB', target: '≤ 180' },
        ...(tunnel === undefined
          ? []
          : [{ name: 'beside them: wireguard-go (not on the Pi)', value: pss(tunnel), unit: 'MB' }]),
      ],
    };
  });
}

/** Proportional set size: shared pages count by their share, so that sums are true. */
function pss(pid: number): number {
  const kilobytes = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1];
  return Number(kilobytes) / 1024;
}

await runAlone(import.meta.filename, run);
