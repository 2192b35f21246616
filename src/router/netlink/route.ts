// Links, addresses, routes and neighbours over rtnetlink (include/uapi/linux/rtnetlink.h): what they are, and requests.
import { type IpAddress, type IpPrefix, toAddressFamily } from './address.ts';
import { type AttributeTree, encodePayload, text, u32 } from './attribute.ts';
import { messageFlag, type NetlinkRequest } from './message.ts';

/** A network interface. `carrier`: a cable, or whatever stands for it, is connected. `address`: the MAC, when it has one. */
export type Link = {
  readonly index: number;
  readonly name: string;
  /** What was made: `bridge`, `wireguard`, `veth`; absent on hardware. */
  readonly kind?: string;
  readonly up: boolean;
  readonly carrier: boolean;
  /** ARPHRD_*: 1 Ethernet, 772 loopback, 65534 none. */
  readonly type: number;
  readonly mtu: number;
  /** Index of the bridge it is a port of. */
  readonly master?: number;
  readonly address?: Buffer;
};

/** What to change on a link; an absent field is left as it is. `master` 0 takes it out of its bridge. */
export type LinkChange = {
  readonly up?: boolean | undefined;
  readonly master?: number | undefined;
  readonly mtu?: number | undefined;
  readonly address?: Uint8Array | undefined;
};

/** An address of interface `index`. `scope`: 0 global, 253 link, 254 host. */
export type InterfaceAddress = IpPrefix & {
  readonly index: number;
  readonly scope: number;
  /** IFA_F_* */
  readonly flags: number;
};

export type AddressChange = IpPrefix & {
  readonly index: number;
  /** Adds no route to the address's own prefix. */
  readonly noPrefixRoute?: boolean | undefined;
  /** IPv6: usable at once, without asking whether somebody else has it. */
  readonly noDuplicateDetection?: boolean | undefined;
};

export type RouteType = keyof typeof routeTypes;

export type NextHop = { readonly oif: number; readonly gateway?: IpAddress };

/** A route. `protocol` says who made it, `metric` is 0 where none is set, `oif` the interface's index. */
export type Route = {
  readonly destination: IpPrefix;
  readonly type: RouteType | 'other';
  readonly table: number;
  readonly protocol: number;
  readonly scope: number;
  readonly metric: number;
  readonly oif?: number;
  readonly gateway?: IpAddress;
  readonly source?: IpAddress;
  /** Of a route with several ways. */
  readonly nextHops?: readonly NextHop[];
};

/** `type` is unicast and `table` the main one (254) when not given. */
export type RouteChange = {
  readonly destination: IpPrefix;
  readonly protocol: number;
  readonly type?: RouteType | undefined;
  readonly table?: number | undefined;
  readonly metric?: number | undefined;
  readonly oif?: number | undefined;
  readonly gateway?: IpAddress | undefined;
  readonly source?: IpAddress | undefined;
};

/** Who has an address on interface `index`. `state` is NUD_*, `address` the MAC when known. */
export type Neighbour = IpAddress & {
  readonly index: number;
  readonly state: number;
  readonly permanent: boolean;
  readonly address?: Buffer;
};

export type NeighbourRef = IpAddress & { readonly index: number };

/** One thing of a dump or a notification. */
export type RouteEvent =
  | { readonly kind: 'link'; readonly gone: boolean; readonly link: Link }
  | { readonly kind: 'address'; readonly gone: boolean; readonly address: InterfaceAddress }
  | { readonly kind: 'route'; readonly gone: boolean; readonly route: Route }
  | { readonly kind: 'neighbour'; readonly gone: boolean; readonly neighbour: Neighbour };

// RTM_NEW*; DEL is one more, GET two more.
export const routeMessage = { link: 16, address: 20, route: 24, neighbour: 28 } as const;
const [added, deleted, asked] = [0, 1, 2];

// IFLA_*, IFLA_INFO_*, IFA_*, RTA_*, NDA_*
export const linkAttribute = { address: 1, name: 3, mtu: 4, master: 10, info: 18 } as const;
export const linkInfoKind = 1; // IFLA_INFO_KIND
export const ipAttribute = { address: 1, local: 2, flags: 8 } as const;
export const viaAttribute = {
  destination: 1,
  oif: 4,
  gateway: 5,
  metric: 6,
  source: 7,
  multipath: 9,
  table: 15,
  via: 18,
} as const;
export const neighbourAttribute = { destination: 1, address: 2 } as const; // NDA_DST, NDA_LLADDR

export const linkFlag = { up: 0x1, lowerUp: 0x10000 } as const; // IFF_UP, IFF_LOWER_UP
const addressFlag = { noDuplicateDetection: 0x2, noPrefixRoute: 0x200 } as const; // IFA_F_NODAD, IFA_F_NOPREFIXROUTE
const mainTable = 254; // RT_TABLE_MAIN
const scope = { global: 0, link: 253, host: 254, nowhere: 255 } as const; // RT_SCOPE_*
export const permanentState = 0x80; // NUD_PERMANENT

export const routeTypes = {
  unicast: 1, // RTN_UNICAST
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
} as const;

const change = messageFlag.request | messageFlag.ack;
const createNew = change | messageFlag.create | messageFlag.exclusive;
const createOrReplace = change | messageFlag.create | messageFlag.replace;

// struct ifinfomsg (16 bytes), ifaddrmsg (8), rtmsg (12), ndmsg (12)
export const headerLength = { link: 16, address: 8, route: 12, neighbour: 12 } as const;

export function encodeDumpLinks(): NetlinkRequest {
  return dump('link');
}

/** A new link of a kind that needs no further data: `bridge`, `wireguard`. EEXIST when the name is taken. */
export function encodeCreateLink(name: string, kind: string, more: LinkChange = {}): NetlinkRequest {
  const info = { type: linkAttribute.info, value: [{ type: linkInfoKind, value: Buffer.from(kind) }] };
  return linkRequest(routeMessage.link + added, createNew, 0, more, [text(linkAttribute.name, name), info]);
}

export function encodeChangeLink(index: number, what: LinkChange): NetlinkRequest {
  return linkRequest(routeMessage.link + added, change, index, what, []);
}

export function encodeDeleteLink(index: number): NetlinkRequest {
  return linkRequest(routeMessage.link + deleted, change, index, {}, []);
}

function linkRequest(
  type: number,
  flags: number,
  index: number,
  what: LinkChange,
  more: readonly AttributeTree[],
): NetlinkRequest {
  const header = Buffer.alloc(headerLength.link);
  header.writeInt32LE(index, 4); // ifi_index
  header.writeUInt32LE(what.up === true ? linkFlag.up : 0, 8); // ifi_flags
  header.writeUInt32LE(what.up === undefined ? 0 : linkFlag.up, 12); // ifi_change: which of the flags count
  const attributes = [...more];
  if (what.mtu !== undefined) attributes.push(u32(linkAttribute.mtu, what.mtu));
  if (what.address !== undefined) attributes.push({ type: linkAttribute.address, value: what.address });
  if (what.master !== undefined) attributes.push(u32(linkAttribute.master, what.master));
  return { type, flags, payload: encodePayload(header, attributes) };
}

export function encodeDumpAddresses(): NetlinkRequest {
  return dump('address');
}

/** EEXIST when the interface has the address already. */
export function encodeAddAddress(address: AddressChange): NetlinkRequest {
  return addressRequest(routeMessage.address + added, createNew, address);
}

export function encodeDeleteAddress(address: AddressChange): NetlinkRequest {
  return addressRequest(routeMessage.address + deleted, change, address);
}

function addressRequest(type: number, flags: number, address: AddressChange): NetlinkRequest {
  const header = Buffer.alloc(headerLength.address);
  header.writeUInt8(toAddressFamily(address.family), 0); // ifa_family
  header.writeUInt8(address.cidr, 1); // ifa_prefixlen
  header.writeUInt32LE(address.index, 4); // ifa_index
  const wanted =
    (address.noPrefixRoute === true ? addressFlag.noPrefixRoute : 0) |
    (address.noDuplicateDetection === true ? addressFlag.noDuplicateDetection : 0);
  const attributes: AttributeTree[] = [{ type: ipAttribute.local, value: address.bytes }];
  if (wanted !== 0) attributes.push(u32(ipAttribute.flags, wanted));
  attributes.push({ type: ipAttribute.address, value: address.bytes });
  return { type, flags, payload: encodePayload(header, attributes) };
}

export function encodeDumpRoutes(): NetlinkRequest {
  return dump('route');
}

/** EEXIST when there is a route with this destination, table and metric. */
export function encodeAddRoute(route: RouteChange): NetlinkRequest {
  return routeRequest(routeMessage.route + added, createNew, route);
}

/** Takes the place of the route with this destination, table and metric, whoever made it. */
export function encodeReplaceRoute(route: RouteChange): NetlinkRequest {
  return routeRequest(routeMessage.route + added, createOrReplace, route);
}

/** ESRCH when no route has all that is given here. */
export function encodeDeleteRoute(route: RouteChange): NetlinkRequest {
  return routeRequest(routeMessage.route + deleted, change, route);
}

function routeRequest(type: number, flags: number, route: RouteChange): NetlinkRequest {
  const { destination, gateway, source } = route;
  const table = route.table ?? mainTable;
  const header = Buffer.alloc(headerLength.route);
  header.writeUInt8(toAddressFamily(destination.family), 0); // rtm_family
  header.writeUInt8(destination.cidr, 1); // rtm_dst_len
  header.writeUInt8(table > 255 ? 0 : table, 4); // rtm_table
  header.writeUInt8(route.protocol, 5); // rtm_protocol
  header.writeUInt8(type === routeMessage.route + deleted ? scope.nowhere : routeScope(route), 6); // rtm_scope
  header.writeUInt8(routeTypes[route.type ?? 'unicast'], 7); // rtm_type
  const attributes: AttributeTree[] = [];
  if (destination.cidr > 0) attributes.push({ type: viaAttribute.destination, value: destination.bytes });
  if (gateway?.family === destination.family) attributes.push({ type: viaAttribute.gateway, value: gateway.bytes });
  else if (gateway !== undefined) attributes.push({ type: viaAttribute.via, value: encodeVia(gateway) });
  if (route.metric !== undefined) attributes.push(u32(viaAttribute.metric, route.metric));
  if (source !== undefined) attributes.push({ type: viaAttribute.source, value: source.bytes });
  if (table > 255) attributes.push(u32(viaAttribute.table, table));
  if (route.oif !== undefined) attributes.push(u32(viaAttribute.oif, route.oif));
  return { type, flags, payload: encodePayload(header, attributes) };
}

// IPv4 only: the kernel refuses a direct route of global scope. IPv6 has no scopes.
function routeScope({ destination, gateway, type = 'unicast' }: RouteChange): number {
  if (destination.family === 6 || gateway !== undefined) return scope.global;
  if (type === 'local') return scope.host;
  return type === 'unicast' || type === 'broadcast' || type === 'multicast' || type === 'anycast'
    ? scope.link
    : scope.global;
}

// struct rtvia: a gateway of another family than the route's.
function encodeVia(gateway: IpAddress): Buffer {
  return Buffer.concat([Uint8Array.of(toAddressFamily(gateway.family), 0), gateway.bytes]);
}

export function encodeDumpNeighbours(): NetlinkRequest {
  return dump('neighbour');
}

/** A permanent entry: this MAC has this address, whatever the network says. */
export function encodeReplaceNeighbour(neighbour: NeighbourRef & { readonly address: Uint8Array }): NetlinkRequest {
  const address = { type: neighbourAttribute.address, value: neighbour.address };
  return neighbourRequest(routeMessage.neighbour + added, createOrReplace, neighbour, [address]);
}

export function encodeDeleteNeighbour(neighbour: NeighbourRef): NetlinkRequest {
  return neighbourRequest(routeMessage.neighbour + deleted, change, neighbour, []);
}

function neighbourRequest(
  type: number,
  flags: number,
  neighbour: NeighbourRef,
  more: readonly AttributeTree[],
): NetlinkRequest {
  const header = Buffer.alloc(headerLength.neighbour);
  header.writeUInt8(toAddressFamily(neighbour.family), 0); // ndm_family
  header.writeInt32LE(neighbour.index, 4); // ndm_ifindex
  header.writeUInt16LE(permanentState, 8); // ndm_state
  const destination = { type: neighbourAttribute.destination, value: neighbour.bytes };
  return { type, flags, payload: encodePayload(header, [destination, ...more]) };
}

function dump(kind: keyof typeof routeMessage): NetlinkRequest {
  return {
    type: routeMessage[kind] + asked,
    flags: messageFlag.request | messageFlag.dump,
    payload: Buffer.alloc(headerLength[kind]),
  };
}
