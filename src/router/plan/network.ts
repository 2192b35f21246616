// Links, addresses, routes, neighbours and kernel parameters of the hub's own devices.
import type { Address, Prefix } from '../../model/address.ts';
import { prefixLength } from '../../model/address.ts';
import { hubAddress } from '../../model/addressing.ts';
import { type Config, mostUplinks } from '../../model/config.ts';
import { destinations, uplinkDevice } from '../../model/uplink.ts';
import { hubDevice } from './wireguard.ts';

export const bridge = 'br-lan';

/** Marks our routes (rtm_protocol). Free in rt_protos(5) lists of today. */
export const routeProtocol = 97;

/** WireGuard's overhead over IPv6 is 80 bytes; 1420 fits a path of 1500 (wg-quick uses the same). */
export const tunnelMtu = 1420;

/** Higher than any route a person or daemon makes: counts only when the device's own route is gone. */
const lastResortMetric = 4_278_198_272;

export interface Link {
  readonly name: string;
  readonly kind: 'bridge' | 'wireguard';
  /** Null: the kernel's own choice. */
  readonly mtu: number | null;
}

export interface LinkAddress {
  readonly link: string;
  readonly address: Address;
  readonly length: number;
}

export interface Route {
  readonly destination: Prefix;
  readonly metric: number;
  /** Null: unreachable. */
  readonly link: string | null;
}

export interface Neighbour {
  readonly link: string;
  readonly address: Address;
  readonly mac: string;
}

export interface DesiredNetwork {
  readonly links: readonly Link[];
  /** Ports joined to the bridge. */
  readonly ports: readonly string[];
  readonly addresses: readonly LinkAddress[];
  readonly routes: readonly Route[];
  /** Permanent entries: nobody on the LAN can claim a known device's address by ARP. */
  readonly neighbours: readonly Neighbour[];
  /** Path below /proc/sys → value. */
  readonly parameters: ReadonlyMap<string, string>;
}

export interface ObservedLink {
  readonly name: string;
  /** `wireguard` also for a live userspace device. */
  readonly kind: string | null;
  readonly up: boolean;
  readonly mtu: number;
  readonly master: string | null;
}

export interface ObservedNetwork {
  /** Every link of the machine; foreign ones are looked at, never changed, except for the ports of the bridge. */
  readonly links: readonly ObservedLink[];
  /** On our own links only, link-local ones left out. */
  readonly addresses: readonly LinkAddress[];
  /** Of our protocol only. */
  readonly routes: readonly Route[];
  /** Permanent ones on the bridge. */
  readonly neighbours: readonly Neighbour[];
  /** The wished-for parameters as they are; missing ones are left out. */
  readonly parameters: ReadonlyMap<string, string>;
}

export type NetworkOperation =
  | { readonly kind: 'network.set-parameter'; readonly path: string; readonly value: string }
  | { readonly kind: 'network.delete-link'; readonly name: string }
  | { readonly kind: 'network.create-link'; readonly link: Link }
  | { readonly kind: 'network.set-link'; readonly name: string; readonly up?: true; readonly mtu?: number }
  | { readonly kind: 'network.set-master'; readonly name: string; readonly master: string | null }
  | { readonly kind: 'network.delete-address' | 'network.add-address'; readonly address: LinkAddress }
  | { readonly kind: 'network.delete-route' | 'network.add-route'; readonly route: Route }
  | { readonly kind: 'network.delete-neighbour' | 'network.set-neighbour'; readonly neighbour: Neighbour };

const basicParameters: readonly (readonly [path: string, value: string])[] = [
  ['net/ipv4/ip_forward', '1'],
  // Nothing inside has IPv6, so nothing is forwarded: it cannot go around the rules.
  ['net/ipv6/conf/all/forwarding', '0'],
  // The DNS program binds to addresses that come and go with their devices.
  ['net/ipv4/ip_nonlocal_bind', '1'],
  ['net/ipv6/ip_nonlocal_bind', '1'],
  // A redirect would tell a peer or device to go around the hub.
  ['net/ipv4/conf/all/send_redirects', '0'],
  ['net/ipv4/conf/default/send_redirects', '0'],
  ['net/ipv4/conf/all/accept_redirects', '0'],
  // The WAN learns nothing of the addresses inside by asking for them with ARP.
  ['net/ipv4/conf/all/arp_ignore', '1'],
  ['net/ipv4/conf/all/arp_announce', '2'],
  // Deleting the first address of a subnet must not take the others of it along.
  ['net/ipv4/conf/all/promote_secondaries', '1'],
];

/** WireGuard has no neighbours to find, and IPv6 inside is not offered. */
const tunnelParameters = (device: string): readonly (readonly [path: string, value: string])[] => [
  [`net/ipv6/conf/${device}/disable_ipv6`, '1'],
];
const tunnelDevices = [hubDevice, ...Array.from({ length: mostUplinks }, (_, i) => uplinkDevice({ device: i + 1 }))];

const bridgeParameters: readonly (readonly [path: string, value: string])[] = [
  [`net/ipv4/conf/${bridge}/send_redirects`, '0'],
  [`net/ipv6/conf/${bridge}/accept_ra`, '0'],
];

/** Every parameter that is ever set, below /proc/sys. */
export const parameterPaths: readonly string[] = [
  ...basicParameters,
  ...bridgeParameters,
  ...tunnelDevices.flatMap(tunnelParameters),
].map(([path]) => path);

export function compileNetwork({ lan, lanDevices, network, uplinks }: Config): DesiredNetwork {
  const hub: LinkAddress = { link: hubDevice, address: hubAddress(network), length: prefixLength(network.range) };
  const tunnels: readonly Link[] = [
    { name: hubDevice, kind: 'wireguard', mtu: tunnelMtu },
    ...uplinks.map((one) => ({ name: uplinkDevice(one), kind: 'wireguard' as const, mtu: one.mtu })),
  ];
  const own = [hub, ...uplinks.map((one) => ({ link: uplinkDevice(one), address: one.address, length: 32 }))];
  const parameters = new Map([...basicParameters, ...tunnels.flatMap(({ name }) => tunnelParameters(name))]);
  const routes = [
    unreachable(network.range),
    ...uplinks.flatMap((one) =>
      destinations(one).flatMap((destination) => [
        { destination, metric: 0, link: uplinkDevice(one) },
        unreachable(destination),
      ]),
    ),
  ];
  if (lan === null) return { links: tunnels, ports: [], addresses: own, routes, neighbours: [], parameters };
  for (const [path, value] of bridgeParameters) parameters.set(path, value);
  return {
    links: [{ name: bridge, kind: 'bridge', mtu: null }, ...tunnels],
    ports: lan.ports,
    addresses: [{ link: bridge, address: lan.address, length: prefixLength(lan.range) }, ...own],
    routes,
    neighbours: lanDevices.map(({ address, mac }) => ({ link: bridge, address, mac })),
    parameters,
  };
}

/** What is left when a tunnel is down: better an error than a way out on the WAN. */
function unreachable(destination: Prefix): Route {
  return { destination, metric: lastResortMetric, link: null };
}

/** Device names that are ours to delete when nobody wants them. */
function own(name: string): boolean {
  return name === bridge || /^apn\d+$/.test(name);
}

/** Takes away, then adds; a new address is there before an old one goes, so that a renumbered link is never bare. */
export function planNetwork(desired: DesiredNetwork, observed: ObservedNetwork): readonly NetworkOperation[] {
  const links = new Map(observed.links.map((link) => [link.name, link]));
  const surplus = observed.links.filter(
    ({ name, kind }) => own(name) && !desired.links.some((link) => link.name === name && link.kind === kind),
  );
  const missing = desired.links.filter(({ name, kind }) => links.get(name)?.kind !== kind);
  const created = new Set(missing.map(({ name }) => name));
  const remain = <T extends { readonly link: string }>(list: readonly T[]) =>
    list.filter(({ link }) => !surplus.some(({ name }) => name === link));
  // A device that is made again starts with the kernel's own values.
  const isOfNew = (path: string) => path.split('/').some((part) => created.has(part));
  const addresses = difference(desired.addresses, remain(observed.addresses), addressKey);
  // The kernel deletes the routes of a link with it.
  const left = observed.routes.filter(({ link }) => !surplus.some(({ name }) => name === link));
  const routes = difference(
    desired.routes,
    left,
    ({ destination, metric, link }) => `${destination} ${metric} ${link}`,
  );
  const asLast = (list: readonly Route[]) => list.filter(({ link }) => link === null);
  const asTunnel = (list: readonly Route[]) => list.filter(({ link }) => link !== null);
  const neighbours = difference(desired.neighbours, remain(observed.neighbours), neighbourKey);
  const kept = new Set(desired.neighbours.map((one) => `${one.link} ${one.address}`));
  return [
    ...surplus.map(({ name }) => ({ kind: 'network.delete-link' as const, name })),
    ...missing.map((link) => ({ kind: 'network.create-link' as const, link })),
    ...[...desired.parameters]
      .filter(([path, value]) => observed.parameters.get(path) !== value || isOfNew(path))
      .map(([path, value]) => ({ kind: 'network.set-parameter' as const, path, value })),
    ...planPorts(desired, observed, surplus),
    ...desired.links.flatMap((link) => planLink(link, created.has(link.name) ? undefined : links.get(link.name))),
    ...desired.ports.flatMap((port) => planPortUp(links.get(port))),
    ...addresses.missing.map((address) => ({ kind: 'network.add-address' as const, address })),
    ...addresses.surplus.map((address) => ({ kind: 'network.delete-address' as const, address })),
    // A destination that changes its tunnel is unreachable in between: two routes to it cannot be there at once.
    ...asLast(routes.missing).map((route) => ({ kind: 'network.add-route' as const, route })),
    ...asTunnel(routes.surplus).map((route) => ({ kind: 'network.delete-route' as const, route })),
    ...asTunnel(routes.missing).map((route) => ({ kind: 'network.add-route' as const, route })),
    ...asLast(routes.surplus).map((route) => ({ kind: 'network.delete-route' as const, route })),
    ...neighbours.surplus
      .filter((one) => !kept.has(`${one.link} ${one.address}`))
      .map((neighbour) => ({ kind: 'network.delete-neighbour' as const, neighbour })),
    ...neighbours.missing.map((neighbour) => ({ kind: 'network.set-neighbour' as const, neighbour })),
  ];
}

function addressKey({ link, address, length }: LinkAddress): string {
  return `${link} ${address}/${length}`;
}

function neighbourKey({ link, address, mac }: Neighbour): string {
  return `${link} ${address} ${mac}`;
}

function planPorts(
  desired: DesiredNetwork,
  { links }: ObservedNetwork,
  deleted: readonly ObservedLink[],
): NetworkOperation[] {
  const bridgeGoes = deleted.some(({ name }) => name === bridge);
  const leave = links.filter(({ name, master }) => master === bridge && !bridgeGoes && !desired.ports.includes(name));
  const join = links.filter(({ name, master }) => desired.ports.includes(name) && (master !== bridge || bridgeGoes));
  return [
    ...leave.map(({ name }) => ({ kind: 'network.set-master' as const, name, master: null })),
    ...join.map(({ name }) => ({ kind: 'network.set-master' as const, name, master: bridge })),
  ];
}

function planLink(link: Link, now: ObservedLink | undefined): NetworkOperation[] {
  const mtu = link.mtu !== null && now?.mtu !== link.mtu ? { mtu: link.mtu } : {};
  const up = now?.up === true ? {} : { up: true as const };
  const change = { ...mtu, ...up };
  return Object.keys(change).length === 0 ? [] : [{ kind: 'network.set-link', name: link.name, ...change }];
}

function planPortUp(port: ObservedLink | undefined): NetworkOperation[] {
  return port === undefined || port.up ? [] : [{ kind: 'network.set-link', name: port.name, up: true }];
}

function difference<T>(desired: readonly T[], observed: readonly T[], key: (one: T) => string) {
  const wanted = new Set(desired.map(key));
  const there = new Set(observed.map(key));
  return {
    missing: desired.filter((one) => !there.has(key(one))),
    surplus: observed.filter((one) => !wanted.has(key(one))),
  };
}

/** Ports of the LAN that are not there: a cable adapter unplugged, or a name typed wrong. Nothing can be done about them here. */
export function missingPorts(desired: DesiredNetwork, observed: ObservedNetwork): readonly string[] {
  const there = new Set(observed.links.map(({ name }) => name));
  return desired.ports.filter((port) => !there.has(port));
}
