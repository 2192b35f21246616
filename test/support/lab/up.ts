// Brings a lab up: hosts, cables, servers, the hub's programs, enrolment; restarts one that already runs.
import { chmodSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build.ts';
import { clean } from './down.ts';
import { enrol, giveOwnerPassword } from './enrol.ts';
import { startHosted } from './hosted.ts';
import { ALL_HOSTS, CABLES, HOSTED, HOSTED_CABLES, HOSTS, SERVERS } from './hosts.ts';
import { startForwarder, startHub, uiPort } from './hub.ts';
import { Lab } from './lab.ts';
import { withLock } from './lock.ts';
import { makeHosts } from './namespace.ts';
import { layCables } from './network.ts';
import { checkLabName, DIST, hostFolder, labFolder, REPOSITORY } from './place.ts';
import { poll, run } from './run.ts';
import { DHCP_CLIENTS, SERVICES, type Service, writeServiceFiles } from './services.ts';
import { writeState } from './state.ts';

export interface UpOptions {
  readonly name: string;
  /** A router with nothing configured; the LAN hosts wait for its DHCP. */
  readonly empty?: boolean;
  /** With a hosted APN to import. */
  readonly uplink?: boolean;
  /** Told what was done after each step. */
  readonly log?: (line: string) => void;
}

const TOOLS = [
  'ip',
  'nft',
  'nsenter',
  'unshare',
  'flock',
  'wg',
  'wg-quick',
  'unbound',
  'dnsmasq',
  'socat',
  'udhcpc',
  'dig',
  'curl',
  'tcpdump',
  'conntrack',
];

async function checkMachine(): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('the lab makes network namespaces: run it as root');
  const found = await Promise.all(TOOLS.map(async (tool) => (await run(['which', tool])).status === 0));
  const missing = TOOLS.filter((_, index) => !found[index]);
  if (missing.length > 0) throw new Error(`not installed: ${missing.join(', ')}; run scripts/setup.sh`);
}

/** What every host has first on its PATH. */
function writeCommands(lab: string): void {
  const bin = join(labFolder(lab), 'bin');
  mkdirSync(bin, { recursive: true });
  const node = join(REPOSITORY, 'node_modules/.bin/node');
  symlinkSync(node, join(bin, 'node'));
  writeFileSync(join(bin, 'apn'), `#!/bin/sh\nexec '${node}' '${join(DIST, 'apn.js')}' "$@"\n`);
  chmodSync(join(bin, 'apn'), 0o755);
  const scripts = join(import.meta.dirname, 'host');
  for (const [name, file] of [
    ['resolvconf', 'resolvconf.sh'],
    ['lab-http', 'http.sh'],
    ['lab-ssh', 'ssh.sh'],
    ['lab-dhcp', 'dhcp.sh'],
  ] as const) {
    symlinkSync(join(scripts, file), join(bin, name));
  }
}

async function servicesReady(lab: Lab): Promise<void> {
  const answersHttp = async (host: string): Promise<boolean> => {
    const curl = ['curl', '-s', '--max-time', '2', 'http://127.0.0.1/address'];
    return (await lab.exec(host, curl)).stdout.trim() === '127.0.0.1';
  };
  const resolves = async (): Promise<boolean> => {
    const dig = await lab.exec('stranger', ['dig', '+short', '+time=1', '+tries=1', 'example.net']);
    return dig.stdout.trim() === '203.0.113.53';
  };
  await Promise.all([
    ...['web', 'ledger', 'resolver'].map((host) => poll(() => answersHttp(host), { what: `HTTP on ${host}` })),
    poll(resolves, { what: "the resolver's answer" }),
  ]);
}

function startServices(lab: Lab, services: readonly Service[]): void {
  for (const { host, name, argv } of services) lab.start(host, name, argv);
}

/** Hosts, cables and servers, without the hub's programs. */
export async function makeNetwork(name: string, uplink = false): Promise<Lab> {
  const hosts = uplink ? ALL_HOSTS : HOSTS;
  const folder = labFolder(name);
  mkdirSync(join(folder, 'log'), { recursive: true });
  for (const host of hosts) mkdirSync(hostFolder(name, host.name), { recursive: true });
  writeCommands(name);
  const port = await uiPort(name);
  const holders = Object.fromEntries(await makeHosts(name, hosts));
  await layCables(name, hosts, uplink ? [...CABLES, ...HOSTED_CABLES] : CABLES);
  const lab = new Lab({ name, port, holders });
  writeState({ name, port, empty: true, uplink, holders, ownerName: null, ownerPassword: null });
  writeServiceFiles(name);
  startServices(lab, SERVICES);
  await servicesReady(lab);
  return lab;
}

export async function bringUp(options: UpOptions): Promise<Lab> {
  const name = checkLabName(options.name);
  const folder = labFolder(name);
  const start = performance.now();
  const step = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    const result = await work();
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    options.log?.(`${seconds.padStart(6)} s  ${what}`);
    return result;
  };

  await checkMachine();
  return withLock(folder, async () => {
    await step('programs are built', build);
    await clean(name);
    // The folder itself stays: it is what we hold the lock on.
    for (const entry of readdirSync(folder)) rmSync(join(folder, entry), { recursive: true, force: true });
    const { uplink = false } = options;
    const hosts = uplink ? ALL_HOSTS : HOSTS;
    const machines = hosts.filter(({ cable }) => !cable).length;
    const lab = await step(`${machines} hosts, their cables and servers`, () => makeNetwork(name, uplink));
    if (uplink) await step('a hosted APN: hosted, hosted2', () => startHosted(lab, HOSTED));
    await step('router, dns, webui and unbound on hub', () => startHub(lab));
    await startForwarder(lab);
    if (!options.empty) await enrol(lab, step);
    // The LAN hosts are switched on last, so that approved ones get the address that belongs to them at once.
    startServices(lab, DHCP_CLIENTS);
    if (!options.empty) {
      const holders = Object.fromEntries(hosts.map((host) => [host.name, lab.holder(host.name)]));
      const owner = await giveOwnerPassword(lab);
      writeState({ name, port: lab.port, empty: false, uplink, holders, ...owner });
      await step(`${SERVERS.map(({ host }) => host).join(', ')} are connected`, () => serversConnected(lab));
    }
    return lab;
  });
}

async function serversConnected(lab: Lab): Promise<void> {
  const connected = async (host: string): Promise<boolean> => {
    const handshakes = await lab.output(host, ['wg', 'show', 'wg0', 'latest-handshakes']);
    return handshakes.split('\n').some((line) => Number(line.split('\t')[1]) > 0);
  };
  await Promise.all(
    SERVERS.map(({ host }) => poll(() => connected(host), { within: 20_000, what: `${host} to connect to the hub` })),
  );
}

export interface StartOptions extends UpOptions {
  /** Plays the demonstration at the end, as `lab.sh up` does. */
  readonly demonstration?: boolean;
}

/** What tests call: a clean lab of that name. */
export async function startLab(options: StartOptions): Promise<Lab> {
  const lab = await bringUp(options);
  if (options.demonstration) {
    const { demonstrate } = await import('./demonstration.ts');
    await demonstrate(lab, options.log ?? (() => {}));
  }
  return lab;
}
