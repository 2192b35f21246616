// Memory of the three programs with 20 peers: the sum of their proportional set sizes, after use and a while of rest.
import { readFileSync } from 'node:fs';
import { poll } from '../test/support/lab/lab.ts';
import { type Bench, runAlone, withHub } from './hub.ts';

const peers = 20;
/** Milliseconds of rest before looking: start-up garbage is collected by then, as far as it ever is. */
const rest = 15_000;

export function run(): Promise<Bench> {
  return withHub('lcme', async (hub) => {
    hub.prepare(peers);
    const router = hub.router();
    await poll(() => hub.call('GET', '/summary'), { within: 20_000, what: 'the router' });
    await hub.applied();
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
    const names = ['router', 'dns', 'webui'];
    const sizes = [router, ...others].map(({ pid }) => memory(pid));
    const tunnel = hub.lab.pid('wireguard-go');
    const sum = (of: (size: Memory) => number) => sizes.reduce((total, size) => total + of(size), 0);
    // Other Node programs on this machine take a share of the pages that ours have in common: here they take none.
    const alone = sum((size) => size.own) + Math.max(...sizes.map(({ shared }) => shared));
    return {
      title: `memory with ${peers} peers`,
      rows: [
        ...sizes.map((size, i) => ({ name: `${names[i]}, private`, value: size.own, unit: 'MB' })),
        { name: 'the three, PSS (less when other Node programs run here)', value: sum(({ pss }) => pss), unit: 'MB' },
        { name: 'the three, what they share counted once', value: alone, unit: 'MB', target: '≤ 180' },
        ...(tunnel === undefined
          ? []
          : [{ name: 'beside them: wireguard-go, not on the Pi, PSS', value: memory(tunnel).pss, unit: 'MB' }]),
      ],
    };
  });
}

interface Memory {
  readonly own: number;
  readonly shared: number;
  readonly pss: number;
}

/** Megabytes. */
function memory(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const of = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]) / 1024;
  const own = of('Private_Clean') + of('Private_Dirty');
  return { own, shared: of('Rss') - own, pss: of('Pss') };
}

await runAlone(import.meta.filename, run);
