// The zone file: which names and clients the DNS program knows.
import { type Binding, bindings, grants } from '../../model/access.ts';
import { type Address, hostPrefix, type Prefix } from '../../model/address.ts';
import { hubAddress } from '../../model/addressing.ts';
import type { Config } from '../../model/config.ts';
import { claimed } from '../../model/roles.ts';
import { addressOf, destinations, relayedDomains } from '../../model/uplink.ts';
import type { Zone, ZoneClient, ZoneHost } from '../../model/zone.ts';

/** Everything of the zone but the serial, which depends on the zone it replaces. */
export type DesiredZone = Omit<Zone, 'serial'>;
/** Null: there is no zone file, or it is broken. */
export type ObservedZone = Zone | null;
export type ZoneOperation = { readonly kind: 'zone.write'; readonly zone: Zone };

/** The local unbound, which runs beside the router. */
const relay = { address: '127.0.0.1', port: 5335 };

export function compileZone(config: Config, leased: readonly Binding[]): DesiredZone {
  const hub = hubAddress(config.network);
  const { lan } = config;
  return {
    version: 1,
    domain: config.network.domain,
    listen: lan === null ? [hub] : [lan.address, hub],
    relay: claimed(config) ? relay : null,
    reverse: [config.network.range, ...(lan === null ? [] : [lan.range]), ...config.uplinks.flatMap(destinations)],
    relays: config.uplinks.flatMap((one) =>
      relayedDomains(one, config.network).map((domain) => ({ domain, servers: one.dns.servers })),
    ),
    hosts: claimed(config) ? hosts(config, leased) : [],
    extra: config.names.map((one) =>
      one.type === 'A'
        ? { name: one.name, type: 'A', address: one.address }
        : { name: one.name, type: 'CNAME', target: one.target },
    ),
    clients: clients(config, leased, hub),
  };
}

function hosts(config: Config, leased: readonly Binding[]): readonly ZoneHost[] {
  const { applications, devices, lanDevices, members, servers, uplinks } = config;
  const labels = new Map(applications.map(({ id, label }) => [id, label]));
  const owners = new Map(members.map(({ id, label }) => [id, label]));
  // The last binding of a device is the address it has been given most recently.
  const present = new Map(bindings(config, leased).map(({ device, address }) => [device?.id, address]));
  return [
    ...servers.map(({ label, application, address }) => {
      const of = labels.get(application)!;
      return { name: `${label}.${of}`, address, application: of, lan: null };
    }),
    ...devices.map(({ label, member, address }) => ({
      name: `${label}.${owners.get(member)}.team`,
      address,
      application: null,
      lan: null,
    })),
    ...lanDevices.map(({ id, label, identity, address }) => ({
      name: `${label}.lan`,
      address: identity,
      application: null,
      lan: present.get(id) ?? address,
    })),
    ...uplinks.flatMap((uplink) =>
      uplink.peers.flatMap((peer): readonly ZoneHost[] => {
        const address = addressOf(peer);
        if (peer.label === null || address === null) return [];
        const name = `${peer.label}.${uplink.label}`;
        // Tunnel peers send to the hub only what is in the APN's range.
        if (peer.alias === null) return [{ name, address, application: null, lan: null }];
        return [{ name, address: peer.alias, application: null, lan: address }];
      }),
    ),
  ];
}

/** One client for each application's servers, each device, each LAN address that counts, and the rest of the LAN. */
function clients(config: Config, leased: readonly Binding[], hub: Address): readonly ZoneClient[] {
  const all = grants(config, leased);
  const bound = bindings(config, leased);
  const identities = new Map(
    bound.flatMap(({ address, device }) => (device === null ? [] : [[address, hostPrefix(device.identity)] as const])),
  );
  // Others see a LAN device under its identity, not under its LAN address.
  const seenAs = (from: Prefix) => identities.get(from.slice(0, from.indexOf('/')) as Address) ?? from;
  const { lan } = config;
  // Grants are made from and to exactly the prefixes that clients are listed under, and from the whole LAN.
  const reach = Map.groupBy(all, ({ from }) => from);
  const reachedBy = Map.groupBy(all, ({ to }) => to);
  const wholeLan = lan === null ? [] : (reach.get(lan.range) ?? []);
  const client = (
    source: Prefix,
    side: ZoneClient['side'],
    application: string | null,
    hubIs: Address,
  ): ZoneClient => ({
    source,
    side,
    application,
    hub: hubIs,
    reach: unique([...(reach.get(source) ?? []), ...(side === 'lan' ? wholeLan : [])].map(({ to }) => to)),
    reachedBy: unique([seenAs(source), ...(reachedBy.get(source) ?? []).map(({ from }) => seenAs(from))]),
  });
  return [
    ...config.applications.map(({ range, label }) => client(range, 'tunnel', label, hub)),
    ...config.devices.map(({ address }) => client(hostPrefix(address), 'tunnel', null, hub)),
    ...(lan === null
      ? []
      : [
          ...bound.map(({ address }) => client(hostPrefix(address), 'lan', null, lan.address)),
          client(lan.range, 'lan', null, lan.address),
        ]),
  ];
}

function unique(list: readonly Prefix[]): readonly Prefix[] {
  return [...new Set(list)];
}

export function planZone(desired: DesiredZone, observed: ObservedZone): readonly ZoneOperation[] {
  const serial = observed?.serial ?? 0;
  if (observed !== null && JSON.stringify({ ...desired, serial }) === JSON.stringify(ordered(observed, desired)))
    return [];
  // RFC 1982: the next serial, never zero.
  return [{ kind: 'zone.write', zone: { ...desired, serial: (serial % 0xffff_ffff) + 1 } }];
}

/** The observed zone with its fields in the order of ours, so that texts can be compared. */
function ordered(observed: Zone, desired: DesiredZone): Zone {
  const keys = Object.keys(desired) as (keyof DesiredZone)[];
  return {
    ...(Object.fromEntries(keys.map((key) => [key, observed[key]])) as unknown as DesiredZone),
    serial: observed.serial,
  };
}
