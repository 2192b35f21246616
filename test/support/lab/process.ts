// Finds and ends the processes of a lab by what the kernel says about them: the namespace they live in.
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { ALL_HOSTS } from './hosts.ts';
import { poll } from './run.ts';

export interface LabProcess {
  readonly host: string;
  readonly pid: number;
  readonly parent: number;
  readonly argv: readonly string[];
  /** What people call it; null for the lab's own machinery (holders, restart loops). */
  readonly name: string | null;
}

export const namespaceOf = (lab: string, host: string): string => `${lab}-${host}`;

/** Inode of the network namespace behind a name, or null when the name is free. */
export function namespaceInode(namespace: string): number | null {
  return statSync(`/run/netns/${namespace}`, { throwIfNoEntry: false })?.ino ?? null;
}

const SOCAT_NAMES: Readonly<Record<string, string>> = {
  'TCP-LISTEN:80': 'http',
  'TCP6-LISTEN:80': 'http6',
  'TCP-LISTEN:22': 'ssh',
  'TCP-LISTEN:5432': 'echo',
  'UDP-LISTEN:7': 'udp-echo',
};

function programName(argv: readonly string[]): string | null {
  const words = argv.map((word) => word.slice(word.lastIndexOf('/') + 1));
  const first = words[0] ?? '';
  if (first === 'node') {
    const script = words.find((word, index) => index > 0 && /\.(js|ts)$/.test(word));
    return script ? script.replace(/\.(js|ts)$/, '') : 'node';
  }
  if (first === 'socat') {
    const listen = argv.map((word) => SOCAT_NAMES[word.split(',')[0] ?? '']).find((name) => name !== undefined);
    return listen ?? 'forwarder';
  }
  if (first === 'sleep' || first === 'nsenter' || words.some((word) => word === 'supervise.sh' || word === 'hold.sh')) {
    return null;
  }
  return first;
}

function describe(pid: number, host: string): LabProcess | null {
  try {
    const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
    // Field 4, counted after the command in parentheses, which may hold spaces.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    if (fields[0] === 'Z') return null;
    return { host, pid, parent: Number(fields[1]), argv, name: programName(argv) };
  } catch {
    return null;
  }
}

const pids = (): number[] =>
  readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0);

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

/** Every process in the lab's network namespaces, by looking at all processes of the machine. */
export function labProcesses(lab: string, hosts: readonly string[] = ALL_HOSTS.map((host) => host.name)): LabProcess[] {
  const byNamespace = new Map<string, string>();
  for (const host of hosts) {
    const inode = namespaceInode(namespaceOf(lab, host));
    if (inode !== null) byNamespace.set(`net:[${inode}]`, host);
  }
  const found: LabProcess[] = [];
  for (const pid of byNamespace.size > 0 ? pids() : []) {
    const host = byNamespace.get(link(`/proc/${pid}/ns/net`));
    const process = host === undefined ? null : describe(pid, host);
    if (process) found.push(process);
  }
  return found;
}

/** Named processes, without those that a process of the same name started (one per connection). */
export function programs(lab: string, hosts?: readonly string[]): (LabProcess & { name: string })[] {
  const all = labProcesses(lab, hosts);
  const byPid = new Map(all.map((process) => [process.pid, process]));
  return all.filter((process): process is LabProcess & { name: string } => {
    return process.name !== null && byPid.get(process.parent)?.name !== process.name;
  });
}

/** The forwarders in the root namespace: they work in the lab's folder and carry its mark. */
export function forwarders(folder: string, mark: string): number[] {
  return pids().filter((pid) => {
    const cwd = link(`/proc/${pid}/cwd`).replace(/ \(deleted\)$/, '');
    return (cwd === folder || cwd.startsWith(`${folder}/`)) && (describe(pid, 'root')?.argv.includes(mark) ?? false);
  });
}

export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch {
    return false;
  }
}

/** Ends processes for good, those that appear meanwhile too; restart loops go before what they would restart. */
export async function endAll(find: () => readonly { pid: number; name?: string | null }[]): Promise<void> {
  const ended = new Set<number>();
  // A program that keeps starting itself anew can be missed by one look, not by many.
  let quiet = 0;
  await poll(
    () => {
      const alive = find().filter(({ pid }) => pid !== process.pid);
      quiet = alive.length === 0 ? quiet + 1 : 0;
      const machineryFirst = [...alive].sort((a, b) => Number(a.name !== null) - Number(b.name !== null));
      for (const { pid } of machineryFirst) if (signal(pid, 'SIGKILL')) ended.add(pid);
      return quiet === 5;
    },
    { within: 10_000, every: 2, what: "the lab's processes to end" },
  );
  // Until their parent has asked for their status the numbers stay visible; a slow parent is no error.
  const gone = (): boolean => [...ended].every((pid) => !existsSync(`/proc/${pid}`));
  await poll(gone, { within: 500, every: 10, what: 'ended processes to be reaped' }).catch(() => {});
}
