// The hub's programs under restart loops, as systemd runs them on the image, and the way to the UI from this machine.
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { HUB_APN, HUB_LAN, LAN_PORTS } from './hosts.ts';
import type { Lab } from './lab.ts';
import { newBootId } from './namespace.ts';
import { DIST, hostFolder } from './place.ts';
import { endAll, labProcesses } from './process.ts';
import { poll } from './run.ts';
import { HUB_UNBOUND } from './services.ts';

const SUPERVISE = join(import.meta.dirname, 'host', 'supervise.sh');
const RUN = '/run/apn';
export const CONTROL_SOCKET = `${RUN}/control.sock`;

/** The set-up file of the hub's card; there is none unless a test writes it. */
export const seedFile = (lab: string): string => join(hostFolder(lab, 'hub'), 'seed.json');
const stateFolder = (lab: string): string => join(hostFolder(lab, 'hub'), 'state');

/** Resolves to true when somebody accepts connections on a unix socket. */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (result: boolean) => () => {
      socket.destroy();
      resolve(result);
    };
    socket.once('connect', end(true));
    socket.once('error', end(false));
  });
}

/** See vitest.config.ts. */
const EMULATED = process.env['VM'] === '1' ? ['--single-threaded'] : [];

/**
 * A program that only passes bytes on needs little: a small young generation and one malloc arena keep what a flood
 * has used from staying in memory. The units of the image say the same.
 */
const SMALL = [
  ...['env', 'MALLOC_ARENA_MAX=1', 'MALLOC_TRIM_THRESHOLD_=131072'],
  ...['node', ...EMULATED, '--max-semi-space-size=1', '--max-old-space-size=32'],
];

/** Starts router, dns, webui and unbound; resolves when the control socket answers and all of them run. */
export async function startHub(lab: Lab, synchronized = true): Promise<void> {
  const state = stateFolder(lab.name);
  const webui = join(hostFolder(lab.name, 'hub'), 'webui');
  const run = join(hostFolder(lab.name, 'hub'), 'run');
  for (const folder of [state, webui]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  mkdirSync(join(run, 'systemd/timesync'), { recursive: true });
  if (synchronized) writeFileSync(join(run, 'systemd/timesync/synchronized'), '');

  const supervise = (name: string, argv: readonly string[]): void => lab.start('hub', name, [SUPERVISE, ...argv]);
  supervise('unbound', HUB_UNBOUND.argv);
  supervise('router', [
    'node',
    '--disable-warning=ExperimentalWarning',
    ...EMULATED,
    join(DIST, 'router.js'),
    '--state',
    state,
    '--run',
    RUN,
    '--seed',
    seedFile(lab.name),
  ]);
  await routerReady(lab);
  // The zone is the last thing the first run of its loop makes: from then on a change is applied at once.
  await poll(() => existsSync(lab.path('hub', `${RUN}/zone.json`)), { within: 20_000, every: 20, what: 'the zone' });
  supervise('dns', [...SMALL, join(DIST, 'dns.js'), '--zone', `${RUN}/zone.json`]);
  supervise('webui', [
    ...[...SMALL, join(DIST, 'webui.js'), '--state', webui, '--socket', `${RUN}/web.sock`],
    ...['--listen', `${HUB_LAN.split('/')[0]},${HUB_APN}`, '--host', `localhost:${lab.port}`],
  ]);
}

export async function routerReady(lab: Lab): Promise<void> {
  const socket = lab.path('hub', CONTROL_SOCKET);
  await poll(() => answers(socket), {
    within: 20_000,
    every: 20,
    what: `the router's control socket ${lab.logHint('hub', 'router')}`,
  });
}

/**
 * What a power cut leaves behind: nothing of the kernel's state, nothing in `/run`, the disk as it was.
 * The WAN address comes back at once, as networkd's work.
 * @param blank The card is a new one.
 */
export async function rebootHub(lab: Lab, synchronized: boolean, blank = false): Promise<void> {
  const holder = lab.holder('hub');
  await endAll(() => labProcesses(lab.name, ['hub']).filter(({ pid }) => pid !== holder));
  const devices = JSON.parse(await lab.output('hub', ['ip', '-j', 'link'])) as { ifname: string }[];
  const cabled = ['lo', 'wan0', ...LAN_PORTS];
  const batch = [
    ...devices.filter(({ ifname }) => !cabled.includes(ifname)).map(({ ifname }) => `link del dev ${ifname}`),
    ...LAN_PORTS.flatMap((port) => [
      `link set dev ${port} nomaster`,
      `addr flush dev ${port}`,
      `link set dev ${port} up`,
    ]),
  ];
  await lab.output('hub', ['ip', '-force', '-batch', '-'], { input: batch.join('\n') });
  // Routes without a device (unreachable ones) outlive every device.
  for (const family of ['-4', '-6']) await lab.exec('hub', ['ip', family, 'route', 'flush', 'type', 'unreachable']);
  await lab.output('hub', ['nft', 'flush', 'ruleset']);
  await lab.exec('hub', ['conntrack', '-F']);
  const run = join(hostFolder(lab.name, 'hub'), 'run');
  // The folder itself is mounted, and on some systems /etc/resolv.conf lies in /run/systemd/resolve.
  const volatile = readdirSync(run).filter((entry) => entry !== 'systemd');
  for (const entry of [...volatile, 'systemd/timesync']) rmSync(join(run, entry), { recursive: true, force: true });
  if (blank) rmSync(stateFolder(lab.name), { recursive: true, force: true });
  newBootId(lab.name);
  await startHub(lab, synchronized);
}

const listens = (port: number): Promise<number | null> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(port)));
  });

/** 8066 belongs to lab `apn`; every other lab takes the first free port after it. */
export async function uiPort(lab: string): Promise<number> {
  if (lab === 'apn') {
    if (await listens(8066)) return 8066;
    throw new Error('port 8066 on 127.0.0.1 is taken by another program; end it, or use another lab name');
  }
  for (let port = 8067; port < 8200; port += 1) if (await listens(port)) return port;
  throw new Error('no free port from 8067 to 8199 on 127.0.0.1');
}

export const forwarderMark = (lab: string): string => `lab-${lab}-ui`;

/** Carries this machine's `localhost:PORT` to the UI by way of `desk`, so that the hub sees a LAN client. */
export async function startForwarder(lab: Lab): Promise<void> {
  lab.start('desk', 'forwarder', [
    'socat',
    ...['UNIX-LISTEN:/run/ui.sock,fork', `TCP:${HUB_LAN.split('/')[0]}:443,connect-timeout=5`],
  ]);
  // Works in the socket's folder: the whole path may be longer than a socket's name can be.
  const folder = join(hostFolder(lab.name, 'desk'), 'run');
  lab.startHere('forwarder', folder, [
    ...['socat', '-lp', forwarderMark(lab.name)],
    ...[`TCP-LISTEN:${lab.port},bind=127.0.0.1,fork,reuseaddr`, 'UNIX-CONNECT:ui.sock'],
  ]);
  await poll(() => answers(lab.path('desk', '/run/ui.sock')), { what: 'the forwarder in desk' });
}
