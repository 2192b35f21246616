// Compile and plan for the whole router: a part for each driver, in the order in which they act.
import type { Binding } from '../../model/access.ts';
import type { Address } from '../../model/address.ts';
import type { Config } from '../../model/config.ts';
import type { PresharedKey, PrivateKey, PublicKey } from '../../model/key.ts';
import type { Clock, Lease } from '../../model/lease.ts';
import {
  compileDhcp,
  type DesiredDhcp,
  type DhcpOperation,
  type DhcpPaths,
  type ObservedDhcp,
  planDhcp,
} from './dhcp.ts';
import {
  compileFirewall,
  type DesiredFirewall,
  type FirewallOperation,
  type ObservedFirewall,
  planFirewall,
} from './firewall.ts';
import {
  compileNetwork,
  type DesiredNetwork,
  missingPorts,
  type NetworkOperation,
  type ObservedNetwork,
  planNetwork,
} from './network.ts';
import {
  compileWireguard,
  type DesiredWireguard,
  type Endpoint,
  type ObservedWireguard,
  planWireguard,
  type WireguardOperation,
} from './wireguard.ts';
import { compileZone, type DesiredZone, type ObservedZone, planZone, type ZoneOperation } from './zone.ts';

/** What people asked for, with the secrets it names. */
export interface Intent {
  readonly config: Config;
  readonly hubPrivateKey: PrivateKey;
  readonly presharedKeys: ReadonlyMap<string, PresharedKey>;
  /** Private keys of uplinks by the uplink's id. */
  readonly uplinkKeys: ReadonlyMap<string, PrivateKey>;
  readonly leases: readonly Lease[];
}

/** What the machine says that compiling depends on. */
export interface Facts {
  readonly clock: Clock;
  /** What DHCP has handed out. */
  readonly leased: readonly Binding[];
  readonly dhcp: DhcpPaths;
  /** Addresses of the host names of uplinks' endpoints, as far as they are known. */
  readonly found?: ReadonlyMap<string, Address>;
  /** Where servers called from before the hub was started anew. */
  readonly last?: ReadonlyMap<PublicKey, Endpoint>;
}

/** Desired, observed and operation of each part. */
export interface Parts {
  readonly firewall: { desired: DesiredFirewall; observed: ObservedFirewall; operation: FirewallOperation };
  readonly network: { desired: DesiredNetwork; observed: ObservedNetwork; operation: NetworkOperation };
  readonly wireguard: { desired: DesiredWireguard; observed: ObservedWireguard; operation: WireguardOperation };
  readonly dhcp: { desired: DesiredDhcp | null; observed: ObservedDhcp; operation: DhcpOperation };
  readonly zone: { desired: DesiredZone; observed: ObservedZone; operation: ZoneOperation };
}

export type PartName = keyof Parts;

/** The firewall first: what is not allowed is shut before anything new is up. */
export const partNames: readonly PartName[] = ['firewall', 'network', 'wireguard', 'dhcp', 'zone'];

/** Something that no operation can mend, so that a person has to. */
export interface Notice {
  readonly code: string;
  readonly severity: 'info' | 'warning' | 'error';
  readonly title: string;
  readonly remedy: string;
}

export interface Planner<Name extends PartName> {
  compile(intent: Intent, facts: Facts): Parts[Name]['desired'];
  plan(desired: Parts[Name]['desired'], observed: Parts[Name]['observed']): readonly Parts[Name]['operation'][];
  notices?(desired: Parts[Name]['desired'], observed: Parts[Name]['observed']): readonly Notice[];
}

export const planners: { readonly [Name in PartName]: Planner<Name> } = {
  firewall: { compile: (intent, { leased, clock }) => compileFirewall(intent, leased, clock), plan: planFirewall },
  network: { compile: ({ config }) => compileNetwork(config), plan: planNetwork, notices: networkNotices },
  wireguard: { compile: (intent, { found, last }) => compileWireguard(intent, found, last), plan: planWireguard },
  dhcp: { compile: ({ config }, { dhcp }) => compileDhcp(config, dhcp), plan: planDhcp },
  zone: { compile: ({ config }, { leased }) => compileZone(config, leased), plan: planZone },
};

function networkNotices(desired: DesiredNetwork, observed: ObservedNetwork): readonly Notice[] {
  const missing = missingPorts(desired, observed);
  if (missing.length === 0) return [];
  const [title, remedy] = [`There is no network port ${missing.join(', ')}.`, 'Plug it in, or take it out of the LAN.'];
  return [{ code: 'port-missing', severity: 'warning', title, remedy }];
}
