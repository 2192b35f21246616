// What runs where, read live from the kernel; the shape of `lab.sh status --json`.
import { uplinkFiles } from './hosted.ts';
import { ALL_HOSTS, enrolment } from './hosts.ts';
import { namespaceInode, namespaceOf, programs } from './process.ts';
import { run } from './run.ts';
import type { LabState } from './state.ts';

export interface HostStatus {
  readonly name: string;
  readonly namespace: string;
  /** Address on the WAN side, behind the carrier for its subscribers. */
  readonly wan: string | null;
  /** Address the hub's DHCP gave; the hub's own for the hub. */
  readonly lan: string | null;
  readonly apn: string | null;
  readonly fqdn: string | null;
  readonly mac: string | null;
}

export interface Status {
  readonly name: string;
  readonly ui: { readonly url: string; readonly ownerName: string | null; readonly ownerPassword: string | null };
  /** After `up --uplink`: WireGuard files of the hosted APN to import, as it is and as it will have grown. */
  readonly uplink: { readonly file: string; readonly newer: string } | null;
  readonly hosts: readonly HostStatus[];
  readonly processes: readonly { readonly host: string; readonly name: string; readonly pid: number }[];
}

async function addressOn(namespace: string, device: string): Promise<string | null> {
  const answer = await run(['ip', '-n', namespace, '-4', '-j', 'addr', 'show', 'dev', device]);
  if (answer.status !== 0) return null;
  const [shown] = JSON.parse(answer.stdout) as { addr_info?: { local: string }[] }[];
  return shown?.addr_info?.[0]?.local ?? null;
}

export async function readStatus(state: LabState): Promise<Status> {
  const hosts = ALL_HOSTS.filter(({ name, cable }) => !cable && namespaceInode(namespaceOf(state.name, name)) !== null);
  const onLan = (name: string): string | null => {
    if (name === 'hub') return 'br-lan';
    return ALL_HOSTS.find((host) => host.name === name)?.dhcp ? 'eth0' : null;
  };
  return {
    name: state.name,
    ui: { url: `https://localhost:${state.port}`, ownerName: state.ownerName, ownerPassword: state.ownerPassword },
    uplink: state.uplink === true ? uplinkFiles(state.name) : null,
    hosts: await Promise.all(
      hosts.map(async ({ name, wan, mac }) => {
        const namespace = namespaceOf(state.name, name);
        const device = onLan(name);
        const enrolled = state.empty ? null : enrolment(name);
        return {
          name,
          namespace,
          wan: wan?.address.split('/')[0] ?? null,
          lan: device ? await addressOn(namespace, device) : null,
          apn: enrolled?.apn ?? null,
          fqdn: enrolled?.fqdn ?? null,
          mac,
        };
      }),
    ),
    processes: programs(state.name).map(({ host, name, pid }) => ({ host, name, pid })),
  };
}

/** The same for people. */
export function statusText(status: Status): string {
  const row = (cells: readonly (string | null)[]): string =>
    [10, 14, 16, 15, 24].map((width, index) => (cells[index] ?? '-').padEnd(width)).join('') + (cells[5] ?? '');
  const running = (host: string): string =>
    status.processes
      .filter((process) => process.host === host)
      .map(({ name, pid }) => `${name}(${pid})`)
      .join(' ');
  return [
    `lab ${status.name}   UI ${status.ui.url}${status.ui.ownerName === null ? '' : `   ${status.ui.ownerName}: ${status.ui.ownerPassword}`}`,
    ...(status.uplink === null ? [] : [`hosted APN to import: ${status.uplink.file}, later ${status.uplink.newer}`]),
    row(['host', 'wan', 'lan', 'apn', 'name', 'runs']),
    ...status.hosts.map((host) => row([host.name, host.wan, host.lan, host.apn, host.fqdn, running(host.name)])),
  ].join('\n');
}
