// From the start of the processes to ready: router and dns together with 20 peers, after a boot and after a restart.
import { createSocket } from 'node:dgram';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { encode } from 'dns-packet';
import { type Bench, type Hub, quantile, runAlone, withHub } from './hub.ts';

const peers = 20;
const rounds = 7;

interface Start {
  /** The control API answers. */
  readonly router: number;
  /** Everything configured is in the kernel. */
  readonly applied: number;
  /** The first answer for a name of ours. */
  readonly dns: number;
}

export function run(): Promise<Bench> {
  return withHub('lcst', async (hub) => {
    hub.prepare(peers);
    await start(hub);
    const boots: Start[] = [];
    const restarts: Start[] = [];
    for (let round = 0; round < rounds; round++) {
      await forget(hub);
      boots.push(await start(hub));
      restarts.push(await start(hub));
    }
    const rows = (name: string, starts: readonly Start[]) => [
      {
        name: `${name}: control API answers`,
        value: quantile(
          starts.map(({ router }) => router),
          0.5,
        ),
        unit: 'ms',
      },
      {
        name: `${name}: everything in the kernel`,
        value: quantile(
          starts.map(({ applied }) => applied),
          0.5,
        ),
        unit: 'ms',
      },
      {
        name: `${name}: first .apn answer`,
        value: quantile(
          starts.map(({ dns }) => dns),
          0.5,
        ),
        unit: 'ms',
      },
      {
        ...{ name: `${name}: ready (all of these)`, unit: 'ms', target: '≤ 1500' },
        value: quantile(
          starts.map((one) => Math.max(one.router, one.applied, one.dns)),
          0.5,
        ),
      },
    ];
    return {
      title: `start to ready, router and dns at once, ${peers} peers, median of ${rounds}`,
      rows: [...rows('boot', boots), ...rows('restart', restarts)],
    };
  });
}

/** What a boot leaves: no devices, no table, an empty run folder. */
async function forget({ lab }: Hub): Promise<void> {
  await lab.end('dnsmasq', 'hub');
  await lab.end('wireguard-go', 'hub');
  await lab.exec('hub', ['ip', 'link', 'del', 'br-lan']);
  await lab.exec('hub', ['ip', 'route', 'flush', 'type', 'unreachable']);
  await lab.output('hub', ['nft', 'flush', 'ruleset']);
  // The folder itself is there before any unit starts.
  const folder = lab.path('hub', '/run/apn');
  for (const entry of readdirSync(folder)) rmSync(join(folder, entry), { recursive: true });
}

async function start(hub: Hub): Promise<Start> {
  rmSync(hub.controlSocket, { force: true });
  rmSync(hub.lab.path('hub', '/run/apn/zone.json'), { force: true });
  const begin = performance.now();
  const [router, dns] = [hub.router(), hub.dns()];
  const since = async (ready: Promise<unknown>) => {
    await ready;
    return performance.now() - begin;
  };
  const applied = async () => {
    const { revision, appliedRevision } = await hub.call('GET', '/summary');
    if (appliedRevision !== revision) throw new Error('not yet');
  };
  try {
    const [routerReady, appliedAt, dnsReady] = await Promise.all([
      since(eventually(() => hub.call('GET', '/summary'))),
      since(eventually(applied)),
      since(answered(hub)),
    ]);
    return { router: routerReady, applied: appliedAt, dns: dnsReady };
  } finally {
    await Promise.all([router.stop(), dns.stop()]);
  }
}

async function eventually(attempt: () => Promise<unknown>): Promise<void> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

/** Asks from inside the hub's namespace, by this same file run there, until there is an answer. */
async function answered({ lab }: Hub): Promise<void> {
  const asked = await lab.exec('hub', [process.execPath, import.meta.filename, 'ask']);
  if (asked.status !== 0) throw new Error(asked.stderr);
}

function ask(): void {
  const query = encode({ id: 7, questions: [{ type: 'A', name: 'hub.apn' }] });
  const socket = createSocket('udp4');
  const timer = setInterval(() => socket.send(query, 53, '172.16.0.1'), 2);
  socket.on('error', () => {});
  socket.once('message', () => {
    clearInterval(timer);
    socket.close();
  });
}

if (process.argv[2] === 'ask') ask();
else await runAlone(import.meta.filename, run);
