// Links, addresses, routes and neighbours as the kernel dumps and announces them (include/uapi/linux/rtnetlink.h).
import { addressLength, fromAddressFamily, type IpAddress, type IpFamily } from './address.ts';
import {
  align,
  type Fields,
  indexAttributes,
  MalformedNetlink,
  present,
  readBytes,
  readNested,
  readNumber,
  readString,
  required,
} from './attribute.ts';
import type { NetlinkMessage } from './message.ts';
import {
  headerLength,
  type InterfaceAddress,
  ipAttribute,
  type Link,
  linkAttribute,
  linkFlag,
  linkInfoKind,
  type Neighbour,
  type NextHop,
  neighbourAttribute,
  permanentState,
  type Route,
  type RouteEvent,
  type RouteType,
  routeMessage,
  routeTypes,
  viaAttribute,
} from './route.ts';

const typeNames: ReadonlyMap<number, string> = new Map(
  Object.entries(routeTypes).map(([name, number]) => [number, name]),
);
const clonedFlag = 0x200; // RTM_F_CLONED: a cached copy, no route of its own

/**
 * One link, address, route or neighbour, there or gone; undefined for anything else. A bridge tells of its ports and of the MACs
 * behind them under the same types: "gone" there does not mean that a link went, so these are left out.
 * @throws MalformedNetlink
 */
export function decodeRouteMessage(message: NetlinkMessage): RouteEvent | undefined {
  const kind = kinds.get(message.type & ~1);
  if (kind === undefined) return undefined;
  const header = message.payload;
  if (header.length < headerLength[kind]) throw new MalformedNetlink(`${kind} message of ${header.length} bytes`);
  const fields = indexAttributes(header, headerLength[kind]);
  const gone = message.type % 2 === 1;
  if (kind === 'link') return header[0] === 0 ? { kind, gone, link: decodeLink(header, fields) } : undefined;
  const family = fromAddressFamily(header.readUInt8(0));
  if (family === undefined) return undefined;
  if (kind === 'address') return { kind, gone, address: decodeAddress(family, header, fields) };
  if (kind === 'neighbour') return decodeNeighbour(gone, family, header, fields);
  const isCopy = (header.readUInt32LE(8) & clonedFlag) !== 0;
  return isCopy ? undefined : { kind, gone, route: decodeRoute(family, header, fields) };
}

const kinds: ReadonlyMap<number, keyof typeof routeMessage> = new Map([
  [routeMessage.link, 'link'],
  [routeMessage.address, 'address'],
  [routeMessage.route, 'route'],
  [routeMessage.neighbour, 'neighbour'],
]);

/** @throws MalformedNetlink */
export function decodeLinks(messages: readonly NetlinkMessage[]): Link[] {
  return events(messages).flatMap((event) => (event.kind === 'link' ? [event.link] : []));
}

/** @throws MalformedNetlink */
export function decodeAddresses(messages: readonly NetlinkMessage[]): InterfaceAddress[] {
  return events(messages).flatMap((event) => (event.kind === 'address' ? [event.address] : []));
}

/** @throws MalformedNetlink */
export function decodeRoutes(messages: readonly NetlinkMessage[]): Route[] {
  return events(messages).flatMap((event) => (event.kind === 'route' ? [event.route] : []));
}

/** @throws MalformedNetlink */
export function decodeNeighbours(messages: readonly NetlinkMessage[]): Neighbour[] {
  return events(messages).flatMap((event) => (event.kind === 'neighbour' ? [event.neighbour] : []));
}

function events(messages: readonly NetlinkMessage[]): RouteEvent[] {
  return messages.map(decodeRouteMessage).filter((event) => event !== undefined);
}

function decodeLink(header: Buffer, fields: Fields): Link {
  const flags = header.readUInt32LE(8); // ifi_flags
  const address = fields.get(linkAttribute.address);
  const info = readNested(fields, linkAttribute.info);
  return present({
    index: header.readInt32LE(4), // ifi_index
    name: required(readString(fields, linkAttribute.name), 'name of a link'),
    kind: info === undefined ? undefined : readString(info, linkInfoKind),
    up: (flags & linkFlag.up) !== 0,
    carrier: (flags & linkFlag.lowerUp) !== 0,
    type: header.readUInt16LE(2), // ifi_type
    mtu: readNumber(fields, linkAttribute.mtu, 4) ?? 0,
    master: readNumber(fields, linkAttribute.master, 4),
    address: address?.length === 0 ? undefined : address,
  });
}

function decodeAddress(family: IpFamily, header: Buffer, fields: Fields): InterfaceAddress {
  const length = addressLength(family);
  // IFA_ADDRESS is the other end's on a point-to-point link; IFA_LOCAL, where there is one, is always our own.
  const own = readBytes(fields, ipAttribute.local, length) ?? readBytes(fields, ipAttribute.address, length);
  return {
    family,
    bytes: required(own, 'interface address'),
    cidr: header.readUInt8(1), // ifa_prefixlen
    index: header.readUInt32LE(4), // ifa_index
    scope: header.readUInt8(3), // ifa_scope
    flags: readNumber(fields, ipAttribute.flags, 4) ?? header.readUInt8(2), // ifa_flags has 8 of the 32 bits
  };
}

function decodeRoute(family: IpFamily, header: Buffer, fields: Fields): Route {
  const length = addressLength(family);
  const source = readBytes(fields, viaAttribute.source, length);
  const multipath = fields.get(viaAttribute.multipath);
  return present({
    destination: {
      family,
      bytes: readBytes(fields, viaAttribute.destination, length) ?? Buffer.alloc(length),
      cidr: header.readUInt8(1), // rtm_dst_len
    },
    type: (typeNames.get(header.readUInt8(7)) ?? 'other') as RouteType | 'other', // rtm_type
    table: readNumber(fields, viaAttribute.table, 4) ?? header.readUInt8(4), // rtm_table
    protocol: header.readUInt8(5), // rtm_protocol
    scope: header.readUInt8(6), // rtm_scope
    metric: readNumber(fields, viaAttribute.metric, 4) ?? 0,
    oif: readNumber(fields, viaAttribute.oif, 4),
    gateway: decodeGateway(family, fields),
    source: source === undefined ? undefined : { family, bytes: source },
    nextHops: multipath === undefined ? undefined : decodeNextHops(family, multipath),
  });
}

function decodeGateway(family: IpFamily, fields: Fields): IpAddress | undefined {
  const bytes = readBytes(fields, viaAttribute.gateway, addressLength(family));
  if (bytes !== undefined) return { family, bytes };
  // struct rtvia: family (16 bits), address.
  const via = fields.get(viaAttribute.via);
  if (via === undefined) return undefined;
  const viaFamily = via.length < 2 ? undefined : fromAddressFamily(via.readUInt16LE(0));
  if (viaFamily === undefined || via.length !== 2 + addressLength(viaFamily))
    throw new MalformedNetlink('gateway of no IP family');
  return { family: viaFamily, bytes: via.subarray(2) };
}

// struct rtnexthop: length (16 bits), flags, weight, interface index (32 bits); then attributes.
function decodeNextHops(family: IpFamily, bytes: Buffer): NextHop[] {
  const hops: NextHop[] = [];
  let at = 0;
  while (at < bytes.length) {
    const length = bytes.length - at < 8 ? 0 : bytes.readUInt16LE(at);
    if (length < 8 || length > bytes.length - at) throw new MalformedNetlink(`next hop cut off at ${at}`);
    const hop = bytes.subarray(at, at + length);
    hops.push(present({ oif: hop.readInt32LE(4), gateway: decodeGateway(family, indexAttributes(hop, 8)) }));
    at += align(length);
  }
  return hops;
}

// An entry without an address is a proxy's default; nothing can be said about it here.
function decodeNeighbour(gone: boolean, family: IpFamily, header: Buffer, fields: Fields): RouteEvent | undefined {
  const bytes = readBytes(fields, neighbourAttribute.destination, addressLength(family));
  if (bytes === undefined) return undefined;
  const state = header.readUInt16LE(8); // ndm_state
  const address = fields.get(neighbourAttribute.address);
  const neighbour = present({
    family,
    bytes,
    index: header.readInt32LE(4), // ndm_ifindex
    state,
    permanent: (state & permanentState) !== 0,
    address: address?.length === 0 ? undefined : address,
  });
  return { kind: 'neighbour', gone, neighbour };
}
