// Who may open connections to whom: compiled from roles, links and the LAN's policy. The firewall, the zone and `explain` all use it.
import { type Address, hostPrefix, type Prefix } from './address.ts';
import type { Access, Application, Config } from './config.ts';
import { reaches } from './roles.ts';

/** Why a grant exists, for `explain`. */
export type Reason =
  | { readonly kind: 'same application'; readonly application: string }
  | { readonly kind: 'link'; readonly from: string; readonly to: string }
  | { readonly kind: 'role'; readonly member: string; readonly device: string; readonly application: string }
  | { readonly kind: 'LAN device'; readonly device: string; readonly application: string }
  | { readonly kind: 'LAN default'; readonly application: string };

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
export function grants(config: Config): readonly Grant[] {
  return [...applicationGrants(config), ...deviceGrants(config), ...lanGrants(config)];
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

function* lanGrants({ applications, lan, lanDevices }: Config): Generator<Grant> {
  if (lan === null) return;
  for (const device of lanDevices) {
    for (const { label, range } of granted(device.access === 'default' ? lan.defaultAccess : device.access, applications)) {
      const kind = device.access === 'default' ? 'LAN default' : 'LAN device';
      const reason = kind === 'LAN device' ? { kind, device: device.label, application: label } : { kind, application: label };
      yield { from: hostPrefix(device.address), to: range, reason: reason as Reason };
    }
  }
}

/** What LAN addresses that belong to no known device may reach. */
export function unknownDeviceGrants({ applications, lan, lanDevices }: Config, bindings: readonly Binding[]): readonly Grant[] {
  if (lan === null) return [];
  const known = new Set(lanDevices.map(({ address }) => address));
  const allowed = granted(lan.defaultAccess, applications);
  return bindings
    .filter(({ address }) => !known.has(address))
    .flatMap(({ address }) =>
      allowed.map(({ label, range }) => ({
        from: hostPrefix(address),
        to: range,
        reason: { kind: 'LAN default' as const, application: label },
      })),
    );
}

function granted(access: Access, applications: readonly Application[]): readonly Application[] {
  if (access === 'nothing') return [];
  if (access === 'everything') return applications;
  return applications.filter(({ id }) => access.includes(id));
}

/**
 * The addresses on the LAN that count: every device's fixed one, and what DHCP has handed out to others. A device that
 * is known counts only with its fixed address, so a lease from before it was known gives it nothing.
 */
export function bindings({ lan, lanDevices }: Config, leased: readonly Binding[]): readonly Binding[] {
  if (lan === null) return [];
  const fixed = lanDevices.map(({ mac, address }) => ({ mac, address }));
  const macs = new Set<string>(fixed.map(({ mac }) => mac));
  const addresses = new Set<Address>([lan.address, ...fixed.map(({ address }) => address)]);
  return [...fixed, ...leased.filter(({ mac, address }) => !macs.has(mac) && !addresses.has(address))];
}
