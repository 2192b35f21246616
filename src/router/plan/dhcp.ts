// DHCP on the LAN by dnsmasq: its configuration as text, and when it must be started or told to read again.
import { type Address, fromNumber, type Prefix, rangeOf } from '../../model/address.ts';
import { hubAddress } from '../../model/addressing.ts';
import type { Config } from '../../model/config.ts';
import { fingerprint } from './fingerprint.ts';
import { bridge } from './network.ts';

/** Where dnsmasq's files are. */
export interface DhcpPaths {
  /** What the router writes for it. */
  readonly folder: string;
  /** Folder of its leases, which outlive a reboot: a device asks again only after half its time, and is cut off till then. */
  readonly leases: string;
}

export interface DesiredDhcp {
  /** dnsmasq.conf; a change means a restart. */
  readonly configuration: string;
  /** Names the configuration; the running process is known by it. */
  readonly fingerprint: string;
  /** dhcp-hostsfile: read again on SIGHUP. */
  readonly hosts: string;
}

export interface ObservedDhcp {
  /** Fingerprint of the configuration the running dnsmasq was started with; null: it does not run. */
  readonly running: string | null;
  /** What the hosts file holds; null: there is none. */
  readonly hosts: string | null;
}

export type DhcpOperation =
  | { readonly kind: 'dhcp.stop' }
  | { readonly kind: 'dhcp.write-hosts'; readonly hosts: string; readonly reload: boolean }
  | { readonly kind: 'dhcp.start'; readonly configuration: string; readonly fingerprint: string };

const leaseSeconds = 12 * 3600;

/** Null when there is nothing to serve. */
export function compileDhcp(config: Config, { folder, leases }: DhcpPaths): DesiredDhcp | null {
  const { lan, lanDevices, network } = config;
  if (lan === null || lan.dhcp === null) return null;
  const lines = [
    'port=0',
    `interface=${bridge}`,
    'except-interface=lo',
    'bind-dynamic',
    'no-resolv',
    'no-hosts',
    'no-ping',
    ...(lan.topology === 'router' ? ['dhcp-authoritative'] : []),
    `dhcp-leasefile=${leases}/dnsmasq.leases`,
    `dhcp-hostsfile=${folder}/dnsmasq.hosts`,
    `dhcp-range=${lan.dhcp.from},${lan.dhcp.to},${netmask(lan.range)},${leaseSeconds}`,
    `dhcp-option=option:router,${lan.address}`,
    `dhcp-option=option:dns-server,${lan.address}`,
    `domain=${network.domain}`,
    `dhcp-option=option:domain-name,${network.domain}`,
    `dhcp-option=option:domain-search,${network.domain}`,
    ...(lan.topology === 'beside' ? classlessRoutes(config, lan.address) : []),
  ];
  const configuration = `${lines.join('\n')}\n`;
  const hosts = lanDevices.map(({ mac, address, label }) => `${mac},${address},${label}\n`).join('');
  return { configuration, fingerprint: fingerprint(configuration), hosts };
}

/**
 * Options 121 (RFC 3442) and 249 (the same by Microsoft). A client that gets 121 ignores option 3, so the default route
 * is in it too.
 */
function classlessRoutes({ network }: Config, gateway: Address): readonly string[] {
  const routes = `0.0.0.0/0,${gateway},${network.range},${gateway},${hubAddress(network)}/32,${gateway}`;
  return [`dhcp-option=121,${routes}`, `dhcp-option=249,${routes}`];
}

function netmask(prefix: Prefix): string {
  const { first, last } = rangeOf(prefix);
  return fromNumber(4, 0xffff_ffffn ^ (last - first));
}

export function planDhcp(desired: DesiredDhcp | null, observed: ObservedDhcp): readonly DhcpOperation[] {
  if (desired === null) return observed.running === null ? [] : [{ kind: 'dhcp.stop' }];
  const runs = observed.running === desired.fingerprint;
  const operations: DhcpOperation[] = [];
  if (observed.running !== null && !runs) operations.push({ kind: 'dhcp.stop' });
  if (observed.hosts !== desired.hosts)
    operations.push({ kind: 'dhcp.write-hosts', hosts: desired.hosts, reload: runs });
  if (!runs) {
    operations.push({ kind: 'dhcp.start', configuration: desired.configuration, fingerprint: desired.fingerprint });
  }
  return operations;
}
