// The DHCP driver: starts, reloads and stops dnsmasq, which runs on its own and outlives the router.
import { mkdirSync, readdirSync, readFileSync, readlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Binding } from '../../model/access.ts';
import { type Address, parseAddress, parseMac } from '../../model/address.ts';
import { writeFileAtomic } from '../files.ts';
import type { DhcpPaths, ObservedDhcp } from '../plan/dhcp.ts';
import type { Driver } from './driver.ts';
import { run } from './run.ts';

export function createDhcpDriver({ folder, leases }: DhcpPaths): Driver<'dhcp'> {
  for (const path of [folder, leases]) mkdirSync(path, { recursive: true, mode: 0o755 });
  const hostsFile = join(folder, 'dnsmasq.hosts');
  const pidFile = join(folder, 'dnsmasq.pid');
  const running = () => runningDnsmasq(folder);
  return {
    async observe(): Promise<ObservedDhcp> {
      return { running: running()?.fingerprint ?? null, hosts: readText(hostsFile) };
    },
    async apply(operation) {
      switch (operation.kind) {
        case 'dhcp.write-hosts': {
          writeFileAtomic(hostsFile, operation.hosts);
          const process_ = operation.reload ? running() : null;
          if (process_ !== null) process.kill(process_.pid, 'SIGHUP');
          return;
        }
        case 'dhcp.start': {
          const file = join(folder, `dnsmasq-${operation.fingerprint}.conf`);
          writeFileAtomic(file, operation.configuration);
          await run('dnsmasq', [`--conf-file=${file}`, `--pid-file=${pidFile}`]);
          for (const old of readdirSync(folder)) {
            if (/^dnsmasq-.*\.conf$/.test(old) && join(folder, old) !== file) unlinkSync(join(folder, old));
          }
          return;
        }
        case 'dhcp.stop': {
          const process_ = running();
          if (process_ !== null) await end(process_.pid);
        }
      }
    },
    close() {},
  };
}

function readText(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

/** The process is recognised by its command line, so that neither a stale nor a missing pid file misleads. */
function runningDnsmasq(folder: string): { readonly pid: number; readonly fingerprint: string } | null {
  const noted = Number(readText(join(folder, 'dnsmasq.pid')) ?? '');
  const candidates = [
    ...(noted > 0 ? [noted] : []),
    ...readdirSync('/proc')
      .map(Number)
      .filter((pid) => pid > 0),
  ];
  for (const pid of candidates) {
    const command = readText(`/proc/${pid}/cmdline`)?.split('\0') ?? [];
    if (!command[0]?.endsWith('dnsmasq')) continue;
    const file = command.find((argument) => argument.startsWith(`--conf-file=${folder}/dnsmasq-`));
    const fingerprint = file === undefined ? undefined : /dnsmasq-(.*)\.conf$/.exec(file)?.[1];
    if (fingerprint !== undefined && sameNetwork(pid)) return { pid, fingerprint };
  }
  return null;
}

/** Whether the process is in our network namespace: two labs on one machine may use the same paths in theirs. */
function sameNetwork(pid: number): boolean {
  const one = readLink(`/proc/${pid}/ns/net`);
  return one !== null && one === readLink('/proc/self/ns/net');
}

function readLink(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

async function end(pid: number): Promise<void> {
  process.kill(pid, 'SIGTERM');
  const deadline = performance.now() + 3000;
  while (alive(pid)) {
    if (performance.now() > deadline) process.kill(pid, 'SIGKILL');
    await setTimeout(10);
  }
}

function alive(pid: number): boolean {
  const state = /^State:\s+(\S)/m.exec(readText(`/proc/${pid}/status`) ?? '')?.[1];
  return state !== undefined && state !== 'Z';
}

/** A name that a stranger chose: kept when it is one label of a host name, else `*` as for none. */
function hostNameOf(text: string): string {
  return /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(text) ? text : '*';
}

/** What dnsmasq has handed out: lines of `expiry MAC address name client-id`. Lines of other kinds are passed over. */
export function readDhcpLeases({ leases }: DhcpPaths): readonly (Binding & { readonly hostName: string })[] {
  const lines = readText(join(leases, 'dnsmasq.leases'))?.split('\n') ?? [];
  return lines.flatMap((line) => {
    const [, mac, address, hostName = '*'] = line.split(' ');
    if (mac === undefined || address === undefined) return [];
    try {
      return [{ mac: parseMac(mac), address: parseAddress(address) as Address, hostName: hostNameOf(hostName) }];
    } catch {
      return [];
    }
  });
}
