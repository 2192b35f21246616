// Creates a host: its network namespace, and a process that holds its private mounts and host name.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Host, HUB_APN, RESOLVER } from './hosts.ts';
import { hostFolder, LAB_FOLDER, logFile } from './place.ts';
import { namespaceOf } from './process.ts';
import { must } from './run.ts';

const HOLD = join(import.meta.dirname, 'host', 'hold.sh');

/** Directories of a host that exist only for it. */
const PRIVATE = ['run', 'wireguard', 'etc/unbound', 'var/lib/unbound', 'var/lib/misc'];

const RESOLV_CONF: Readonly<Record<Host['resolver'], string>> = {
  public: `nameserver ${RESOLVER}\n`,
  hub: `nameserver ${HUB_APN}\nsearch apn\n`,
  none: '',
};

/** What every process entered into a host is started with; `nsenter` executes, so the pid is the program's own. */
export function enter(holder: number, argv: readonly string[]): string[] {
  return ['nsenter', '-t', String(holder), '-n', '-m', '-u', '-r', '-w', '--', ...argv];
}

export function hostEnvironment(lab: string, host: string): Record<string, string> {
  const bin = join(LAB_FOLDER, lab, 'bin');
  return {
    PATH: `${bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: '/root',
    LC_ALL: 'C.UTF-8',
    ...(host === 'hub' ? { APN_SOCKET: '/run/apn/control.sock' } : {}),
  };
}

export function newBootId(lab: string): string {
  const id = randomUUID();
  // In place: the file is bind-mounted over the kernel's.
  writeFileSync(join(hostFolder(lab, 'hub'), 'boot_id'), `${id}\n`);
  return id;
}

async function hold(lab: string, host: Host): Promise<[string, number]> {
  const folder = hostFolder(lab, host.name);
  for (const path of PRIVATE)
    mkdirSync(join(folder, path), { recursive: true, mode: path === 'wireguard' ? 0o700 : 0o755 });
  writeFileSync(join(folder, 'resolv.conf'), RESOLV_CONF[host.resolver]);
  if (host.name === 'hub') newBootId(lab);
  const child = spawn(
    'nsenter',
    [
      `--net=/run/netns/${namespaceOf(lab, host.name)}`,
      ...['unshare', '--mount', '--uts', '--propagation', 'private', HOLD, host.name, folder],
    ],
    { detached: true, stdio: ['ignore', 'pipe', openSync(logFile(lab, host.name, 'hold'), 'a')] },
  );
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('error', reject);
    child.once('exit', () => {
      const log = readFileSync(logFile(lab, host.name, 'hold'), 'utf8').trim();
      reject(new Error(`host ${host.name} could not be made: ${log}`));
    });
  });
  child.removeAllListeners();
  child.stdout?.destroy();
  child.unref();
  const pid = child.pid ?? 0;
  writeFileSync(join(folder, 'holder'), `${pid}\n`);
  return [host.name, pid];
}

/** Makes the hosts; the pids of their holders. */
export async function makeHosts(lab: string, hosts: readonly Host[]): Promise<Map<string, number>> {
  const batch = hosts.map((host) => `netns add ${namespaceOf(lab, host.name)}\n`).join('');
  await must(['ip', '-batch', '-'], { input: batch });
  return new Map(await Promise.all(hosts.map((host) => hold(lab, host))));
}
