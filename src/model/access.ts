// Who may open connections to whom: compiled from roles, links and the LAN's policy. The firewall, the zone and `explain` all use it.
import { type Address, contains, hostPrefix, type Prefix } from './address.ts';
import type { Access, Application, Config, LanDevice, Uplink } from './config.ts';
import { claimed, reaches } from './roles.ts';
import { targets } from './uplink.ts';

/** Why a grant exists, for `explain`. */
export type Reason =
  | { readonly kind: 'same application'; readonly application: string }
  | { readonly kind: 'link'; readonly from: string; readonly to: string }
  | { readonly kind: 'role'; readonly member: string; readonly device: string; readonly application: string }
  | { readonly kind: 'LAN device'; readonly device: string; readonly application: string }
  | { readonly kind: 'LAN default'; readonly application: string }
  /** `who`: a member, a LAN device, an application's servers, or the whole LAN. */
  | { readonly kind: 'uplink'; readonly who: string; readonly uplink: string };

/** The source may open connections to every port of the destination; replies follow from it, nothing else does. */
export interface Grant {
  readonly from: Prefix;
  readonly to: Prefix;
  readonly reason: Reason;
}

/** A LAN address in use right now, and by whom (by DHCP or because it is fixed). */
export interface Binding {
  readonly mac: string;
  readonly address: Address;
}

/**
 * Every grant there is. Sources are what the hub sees first: a tunnel peer's APN address, a LAN device's LAN address.
 * A whole application range may stand for its servers, because a peer can send only from its own address.
 */
export function grants(config: Config, leased: readonly Binding[]): readonly Grant[] {
  if (!claimed(config)) return [];
  return [
    ...applicationGrants(config),
    ...deviceGrants(config),
    ...lanGrants(config, leased),
    ...uplinkGrants(config, leased),
  ];
}

function* applicationGrants({ applications }: Config): Generator<Grant> {
  const byId = new Map(applications.map((one) => [one.id, one]));
  for (const one of applications) {
    yield { from: one.range, to: one.range, reason: { kind: 'same application', application: one.label } };
    for (const link of one.links) {
      const other = byId.get(link);
      if (other === undefined) continue;
      yield { from: one.range, to: other.range, reason: { kind: 'link', from: one.label, to: other.label } };
    }
  }
}

function* deviceGrants({ applications, devices, members }: Config): Generator<Grant> {
  const byId = new Map(members.map((one) => [one.id, one]));
  for (const device of devices) {
    const member = byId.get(device.member);
    if (member === undefined) continue;
    for (const application of applications) {
      if (!reaches(member, application.id)) continue;
      yield {
        from: hostPrefix(device.address),
        to: application.range,
        reason: { kind: 'role', member: member.name, device: device.label, application: application.label },
      };
    }
  }
}

function* lanGrants(config: Config, leased: readonly Binding[]): Generator<Grant> {
  const { applications, lan } = config;
  if (lan === null) return;
  for (const { address, device } of bindings(config, leased)) {
    const own = device === null || device.access === 'default' ? null : device;
    for (const { label, range } of granted(own === null ? lan.defaultAccess : (own.access as Access), applications)) {
      const reason: Reason =
        own === null
          ? { kind: 'LAN default', application: label }
          : { kind: 'LAN device', device: own.label, application: label };
      yield { from: hostPrefix(address), to: range, reason };
    }
  }
}

function* uplinkGrants(config: Config, leased: readonly Binding[]): Generator<Grant> {
  for (const uplink of config.uplinks) {
    for (const { from, who } of guests(config, uplink, leased)) {
      for (const to of targets(uplink)) yield { from, to, reason: { kind: 'uplink', who, uplink: uplink.label } };
    }
  }
}

/** Who may use an uplink. */
function* guests(
  config: Config,
  { access }: Uplink,
  leased: readonly Binding[],
): Generator<{ readonly from: Prefix; readonly who: string }> {
  const { applications, devices, lan, members } = config;
  for (const { id, range, label } of applications) {
    if (access.applications.includes(id)) yield { from: range, who: label };
  }
  for (const { id, name, disabled } of members) {
    if (disabled || !access.members.includes(id)) continue;
    for (const { member, address } of devices) if (member === id) yield { from: hostPrefix(address), who: name };
  }
  if (lan === null || access.lan === 'nothing') return;
  // One grant for all: only addresses that are bound get as far as the grants.
  if (access.lan === 'everyone') yield { from: lan.range, who: 'every device on the LAN' };
  else {
    for (const { address, device } of bindings(config, leased)) {
      if (device !== null && access.lan.includes(device.id)) yield { from: hostPrefix(address), who: device.label };
    }
  }
}

function granted(access: Access, applications: readonly Application[]): readonly Application[] {
  if (access === 'nothing') return [];
  if (access === 'everything') return applications;
  return applications.filter(({ id }) => access.includes(id));
}

/** A binding with the known device it belongs to; null: nobody has decided about this device. */
export interface Bound extends Binding {
  readonly device: LanDevice | null;
}

/**
 * The addresses on the LAN that count: every known device's fixed one, and what DHCP has handed out. A device that was
 * there before it was known keeps its first address until it asks again, so it counts with both. An address that is
 * fixed for one device counts for no other.
 */
export function bindings({ lan, lanDevices }: Config, leased: readonly Binding[]): readonly Bound[] {
  if (lan === null) return [];
  const byMac = new Map<string, LanDevice>(lanDevices.map((device) => [device.mac, device]));
  const taken = new Set<Address>([lan.address, ...lanDevices.map(({ address }) => address)]);
  const fixed = lanDevices.map((device) => ({ mac: device.mac, address: device.address, device }));
  const given = new Map<Address, Bound>();
  for (const { mac, address } of leased) {
    if (taken.has(address) || !contains(lan.range, address)) continue;
    // The later line of the lease file is the newer one.
    given.set(address, { mac, address, device: byMac.get(mac) ?? null });
  }
  return [...fixed, ...given.values()];
}
