// WireGuard over generic netlink (include/uapi/linux/wireguard.h): device and peer changes to requests, a dump back to one device.
import { addressLength, fromAddressFamily, type IpAddress, type IpPrefix, toAddressFamily } from './address.ts';
import {
  type AttributeTree,
  align,
  encodePayload,
  exactly,
  indexAttributes,
  MalformedNetlink,
  maxAttributeValue,
  nested,
  nestedBit,
  parseAttributes,
  present,
  readBytes,
  readNumber,
  readString,
  required,
  text,
  u16,
  u32,
} from './attribute.ts';
import { messageFlag, type NetlinkMessage, type NetlinkRequest } from './message.ts';

/** Where a peer's packets go: address and UDP port (struct sockaddr_in, sockaddr_in6). `scope` is sin6_scope_id. */
export type Endpoint = IpAddress & { readonly port: number; readonly scope?: number | undefined };

/** What to change on one peer; an absent field is left as it is. */
export type PeerChange = {
  readonly publicKey: Uint8Array;
  /** 32 zero bytes remove it. */
  readonly presharedKey?: Uint8Array | undefined;
  readonly endpoint?: Endpoint | undefined;
  /** Seconds; 0 turns it off. */
  readonly keepalive?: number | undefined;
  readonly allowedIps?: readonly IpPrefix[] | undefined;
  /** The allowed IPs above become all it has, rather than being added. */
  readonly replaceAllowedIps?: boolean | undefined;
  readonly remove?: boolean | undefined;
  /** Change it if it is there; never create it. */
  readonly updateOnly?: boolean | undefined;
};

/** What to change on one device, named or given by its interface index; an absent field is left as it is. */
export type DeviceChange = {
  readonly device: string | number;
  /** 32 zero bytes remove it. */
  readonly privateKey?: Uint8Array | undefined;
  readonly listenPort?: number | undefined;
  /** 0 turns it off. */
  readonly fwmark?: number | undefined;
  /** Drops every peer, and with them every session, before adding `peers`. */
  readonly replacePeers?: boolean | undefined;
  readonly peers?: readonly PeerChange[] | undefined;
};

/** `presharedKey`, `endpoint` and `lastHandshake` are absent when there is none. */
export type WireguardPeer = {
  readonly publicKey: Buffer;
  readonly presharedKey?: Buffer;
  readonly endpoint?: Endpoint;
  /** Seconds; 0 is off. */
  readonly keepalive: number;
  /** Since 1970. */
  readonly lastHandshake?: { readonly seconds: number; readonly nanoseconds: number };
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly allowedIps: readonly IpPrefix[];
};

/** The keys are absent while the device has none. */
export type WireguardDevice = {
  readonly index: number;
  readonly name: string;
  readonly privateKey?: Buffer;
  readonly publicKey?: Buffer;
  readonly listenPort: number;
  readonly fwmark: number;
  readonly peers: readonly WireguardPeer[];
};

const keyLength = 32; // WG_KEY_LEN
const command = { getDevice: 0, setDevice: 1 } as const; // WG_CMD_GET_DEVICE, WG_CMD_SET_DEVICE
const headerLength = 4; // struct genlmsghdr: cmd, version, two reserved
const version = 1; // WG_GENL_VERSION

// WGDEVICE_A_*
const deviceAttribute = {
  index: 1, // WGDEVICE_A_IFINDEX
  name: 2, // WGDEVICE_A_IFNAME
  privateKey: 3, // WGDEVICE_A_PRIVATE_KEY
  publicKey: 4, // WGDEVICE_A_PUBLIC_KEY
  flags: 5, // WGDEVICE_A_FLAGS
  listenPort: 6, // WGDEVICE_A_LISTEN_PORT
  fwmark: 7, // WGDEVICE_A_FWMARK
  peers: 8, // WGDEVICE_A_PEERS
} as const;
const replacePeersFlag = 1; // WGDEVICE_F_REPLACE_PEERS

// WGPEER_A_*
const peerAttribute = {
  publicKey: 1, // WGPEER_A_PUBLIC_KEY
  presharedKey: 2, // WGPEER_A_PRESHARED_KEY
  flags: 3, // WGPEER_A_FLAGS
  endpoint: 4, // WGPEER_A_ENDPOINT
  keepalive: 5, // WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL
  lastHandshake: 6, // WGPEER_A_LAST_HANDSHAKE_TIME
  rxBytes: 7, // WGPEER_A_RX_BYTES
  txBytes: 8, // WGPEER_A_TX_BYTES
  allowedIps: 9, // WGPEER_A_ALLOWEDIPS
} as const;
const peerFlag = {
  remove: 1, // WGPEER_F_REMOVE_ME
  replaceAllowedIps: 2, // WGPEER_F_REPLACE_ALLOWEDIPS
  updateOnly: 4, // WGPEER_F_UPDATE_ONLY
} as const;

// WGALLOWEDIP_A_*
const allowedIpAttribute = {
  family: 1, // WGALLOWEDIP_A_FAMILY
  address: 2, // WGALLOWEDIP_A_IPADDR
  cidr: 3, // WGALLOWEDIP_A_CIDR_MASK
} as const;

/** Asks for everything about one device (WG_CMD_GET_DEVICE, a dump). `family` is the generic netlink id of "wireguard". */
export function encodeGetDevice(family: number, device: string | number): NetlinkRequest {
  return {
    type: family,
    flags: messageFlag.request | messageFlag.dump,
    payload: encodePayload(Uint8Array.of(command.getDevice, version), [deviceName(device)]),
  };
}

/**
 * The requests that make `change` (WG_CMD_SET_DEVICE), to be sent in order. The peers of each take at most `limit` bytes; a
 * peer whose allowed IPs do not fit goes on in the next request. The device's own fields are in the first.
 * @throws RangeError when a key or an address has the wrong length
 */
export function encodeSetDevice(family: number, change: DeviceChange, limit = 32_768): NetlinkRequest[] {
  const room = Math.min(limit, maxAttributeValue);
  const groups = groupPeers(change.peers ?? [], room);
  return (groups.length === 0 ? [Buffer.alloc(0)] : groups).map((peers, index) => {
    const attributes = [deviceName(change.device), ...(index === 0 ? deviceFields(change) : [])];
    if (peers.length > 0) attributes.push(nested(deviceAttribute.peers, peers));
    return {
      type: family,
      flags: messageFlag.request | messageFlag.ack,
      payload: encodePayload(Uint8Array.of(command.setDevice, version), attributes),
    };
  });
}

function deviceName(device: string | number): AttributeTree {
  return typeof device === 'number' ? u32(deviceAttribute.index, device) : text(deviceAttribute.name, device);
}

function deviceFields(change: DeviceChange): AttributeTree[] {
  const fields: AttributeTree[] = [];
  if (change.replacePeers === true) fields.push(u32(deviceAttribute.flags, replacePeersFlag));
  if (change.privateKey !== undefined) fields.push(key(deviceAttribute.privateKey, change.privateKey));
  if (change.listenPort !== undefined) fields.push(u16(deviceAttribute.listenPort, change.listenPort));
  if (change.fwmark !== undefined) fields.push(u32(deviceAttribute.fwmark, change.fwmark));
  return fields;
}

// The peers of each request, encoded. A tree of attributes for each of thousands of peers costs more than the kernel's own
// work with them, so these are written straight to their place.
function groupPeers(peers: readonly PeerChange[], room: number): Buffer[] {
  const groups: Buffer[] = [];
  let group = Buffer.alloc(room);
  let used = 0;
  for (const fragment of peers.flatMap((peer) => splitPeer(peer, room))) {
    const length = peerLength(fragment);
    if (used + length > room) {
      groups.push(group.subarray(0, used));
      group = Buffer.alloc(Math.max(room, length));
      used = 0;
    }
    used = writePeer(group, used, fragment);
  }
  return used === 0 ? groups : [...groups, group.subarray(0, used)];
}

// One peer, in as many fragments as it takes for each to fit in `room` bytes.
function splitPeer(peer: PeerChange, room: number): PeerChange[] {
  if (peerLength(peer) <= room) return [peer];
  // Without UPDATE_ONLY a continuation would bring back a peer that was removed meanwhile, or was never to be created.
  const continued = { publicKey: peer.publicKey, updateOnly: true };
  const space = room - peerLength({ ...peer, allowedIps: [] }) - header;
  const count = Math.max(1, Math.floor(space / longestAllowedIp));
  return chunks(peer.allowedIps ?? [], count).map((allowedIps, index) => ({
    ...(index === 0 ? peer : continued),
    allowedIps,
  }));
}

function peerFlags(peer: PeerChange): number {
  return (
    (peer.remove === true ? peerFlag.remove : 0) |
    (peer.replaceAllowedIps === true ? peerFlag.replaceAllowedIps : 0) |
    (peer.updateOnly === true ? peerFlag.updateOnly : 0)
  );
}

const header = 4; // NLA_HDRLEN
const longestAllowedIp = allowedIpLength(6);

// family (2, padded to 4), address, cidr (1, padded to 4), each behind its header, in a nest of their own.
function allowedIpLength(family: IpPrefix['family']): number {
  return header + (header + 4) + (header + addressLength(family)) + (header + 4);
}

function peerLength(peer: PeerChange): number {
  let length = header + header + keyLength;
  if (peerFlags(peer) !== 0) length += header + 4;
  if (peer.presharedKey !== undefined) length += header + keyLength;
  if (peer.endpoint !== undefined) length += header + (peer.endpoint.family === 4 ? 16 : 28);
  if (peer.keepalive !== undefined) length += header + 4;
  const allowedIps = peer.allowedIps ?? [];
  if (allowedIps.length > 0) length += header;
  for (const { family } of allowedIps) length += allowedIpLength(family);
  return length;
}

/** Where the next one goes. `bytes` holds zeros from `start` on: padding is not written. */
function writePeer(bytes: Buffer, start: number, peer: PeerChange): number {
  let at = writeLeaf(bytes, start + header, peerAttribute.publicKey, sized(peer.publicKey, keyLength, 'key'));
  const flags = peerFlags(peer);
  if (flags !== 0) at = writeNumber(bytes, at, peerAttribute.flags, 4, flags);
  if (peer.presharedKey !== undefined) {
    at = writeLeaf(bytes, at, peerAttribute.presharedKey, sized(peer.presharedKey, keyLength, 'key'));
  }
  if (peer.endpoint !== undefined) at = writeLeaf(bytes, at, peerAttribute.endpoint, encodeEndpoint(peer.endpoint));
  if (peer.keepalive !== undefined) at = writeNumber(bytes, at, peerAttribute.keepalive, 2, peer.keepalive);
  const allowedIps = peer.allowedIps ?? [];
  if (allowedIps.length > 0) {
    const nest = at;
    at += header;
    for (const prefix of allowedIps) at = writeAllowedIp(bytes, at, prefix);
    writeHeader(bytes, nest, peerAttribute.allowedIps | nestedBit, at - nest);
  }
  writeHeader(bytes, start, nestedBit, at - start);
  return at;
}

function writeAllowedIp(bytes: Buffer, start: number, { family, bytes: address, cidr }: IpPrefix): number {
  let at = writeNumber(bytes, start + header, allowedIpAttribute.family, 2, toAddressFamily(family));
  at = writeLeaf(bytes, at, allowedIpAttribute.address, sized(address, addressLength(family), 'allowed IP'));
  at = writeNumber(bytes, at, allowedIpAttribute.cidr, 1, cidr);
  writeHeader(bytes, start, nestedBit, at - start);
  return at;
}

function writeHeader(bytes: Buffer, at: number, type: number, length: number): void {
  bytes[at] = length;
  bytes[at + 1] = length >> 8;
  bytes[at + 2] = type;
  bytes[at + 3] = type >> 8;
}

function writeLeaf(bytes: Buffer, at: number, type: number, value: Uint8Array): number {
  writeHeader(bytes, at, type, header + value.length);
  bytes.set(value, at + header);
  return at + header + align(value.length);
}

/** A little-endian number of `size` bytes. */
function writeNumber(bytes: Buffer, at: number, type: number, size: 1 | 2 | 4, value: number): number {
  writeHeader(bytes, at, type, header + size);
  for (let i = 0; i < size; i++) bytes[at + header + i] = value >> (8 * i);
  return at + header + 4;
}

function chunks<T>(list: readonly T[], size: number): (readonly T[])[] {
  const parts: (readonly T[])[] = [list.slice(0, size)];
  for (let start = size; start < list.length; start += size) parts.push(list.slice(start, start + size));
  return parts;
}

function key(type: number, value: Uint8Array): AttributeTree {
  return { type, value: sized(value, keyLength, 'key') };
}

function sized(value: Uint8Array, length: number, what: string): Uint8Array {
  if (value.length !== length) throw new RangeError(`${what} of ${value.length} bytes, not ${length}`);
  return value;
}

// struct sockaddr_in: family, port (big-endian), address, 8 unused. struct sockaddr_in6: family, port, flow info, address, scope.
function encodeEndpoint(endpoint: Endpoint): Buffer {
  const bytes = Buffer.alloc(endpoint.family === 4 ? 16 : 28);
  bytes.writeUInt16LE(toAddressFamily(endpoint.family), 0);
  bytes.writeUInt16BE(endpoint.port, 2);
  bytes.set(sized(endpoint.bytes, addressLength(endpoint.family), 'endpoint address'), endpoint.family === 4 ? 4 : 8);
  if (endpoint.family === 6) bytes.writeUInt32LE(endpoint.scope ?? 0, 24);
  return bytes;
}

/**
 * One device from the parts of its dump. A peer whose allowed IPs run over a part's end comes again in the next; those are one
 * peer here. @throws MalformedNetlink
 */
export function decodeDevice(messages: readonly NetlinkMessage[]): WireguardDevice {
  const fields = new Map<number, Buffer>();
  const peers: WireguardPeer[] = [];
  for (const message of messages) {
    for (const { type, value } of parseAttributes(message.payload, headerLength)) {
      if (type === deviceAttribute.peers) for (const peer of parseAttributes(value)) addPeer(peers, peer.value);
      else fields.set(type, value);
    }
  }
  return present({
    index: required(readNumber(fields, deviceAttribute.index, 4), 'index of a WireGuard device'),
    name: required(readString(fields, deviceAttribute.name), 'name of a WireGuard device'),
    privateKey: readBytes(fields, deviceAttribute.privateKey, keyLength),
    publicKey: readBytes(fields, deviceAttribute.publicKey, keyLength),
    listenPort: readNumber(fields, deviceAttribute.listenPort, 2) ?? 0,
    fwmark: readNumber(fields, deviceAttribute.fwmark, 4) ?? 0,
    peers,
  });
}

function addPeer(peers: WireguardPeer[], bytes: Buffer): void {
  const peer = decodePeer(bytes);
  const last = peers.at(-1);
  if (last === undefined || !last.publicKey.equals(peer.publicKey)) peers.push(peer);
  else peers[peers.length - 1] = { ...last, allowedIps: [...last.allowedIps, ...peer.allowedIps] };
}

function decodePeer(bytes: Buffer): WireguardPeer {
  const fields = indexAttributes(bytes);
  const presharedKey = readBytes(fields, peerAttribute.presharedKey, keyLength);
  const allowedIps = fields.get(peerAttribute.allowedIps);
  return present({
    publicKey: required(readBytes(fields, peerAttribute.publicKey, keyLength), 'public key of a peer'),
    // The kernel writes "none" as zeros.
    presharedKey: presharedKey?.some((byte) => byte !== 0) === true ? presharedKey : undefined,
    endpoint: decodeEndpoint(fields.get(peerAttribute.endpoint)),
    keepalive: readNumber(fields, peerAttribute.keepalive, 2) ?? 0,
    lastHandshake: decodeTime(readBytes(fields, peerAttribute.lastHandshake, 16)),
    rxBytes: readNumber(fields, peerAttribute.rxBytes, 8) ?? 0,
    txBytes: readNumber(fields, peerAttribute.txBytes, 8) ?? 0,
    allowedIps: allowedIps === undefined ? [] : parseAttributes(allowedIps).map(({ value }) => decodeAllowedIp(value)),
  });
}

// struct __kernel_timespec: two signed 64-bit numbers; zero is "never".
function decodeTime(bytes: Buffer | undefined): WireguardPeer['lastHandshake'] {
  if (bytes?.some((byte) => byte !== 0) !== true) return undefined;
  return { seconds: Number(bytes.readBigInt64LE(0)), nanoseconds: Number(bytes.readBigInt64LE(8)) };
}

function decodeEndpoint(bytes: Buffer | undefined): Endpoint | undefined {
  if (bytes === undefined) return undefined;
  const family = bytes.length < 2 ? undefined : fromAddressFamily(bytes.readUInt16LE(0));
  if (family === undefined) throw new MalformedNetlink('endpoint of no IP family');
  exactly(bytes, family === 4 ? 16 : 28, 'endpoint');
  const port = bytes.readUInt16BE(2);
  if (family === 4) return { family, bytes: bytes.subarray(4, 8), port };
  const scope = bytes.readUInt32LE(24);
  return present({ family, bytes: bytes.subarray(8, 24), port, scope: scope === 0 ? undefined : scope });
}

function decodeAllowedIp(bytes: Buffer): IpPrefix {
  const fields = indexAttributes(bytes);
  const family = required(
    fromAddressFamily(required(readNumber(fields, allowedIpAttribute.family, 2), 'family of an allowed IP')),
    'IP family of an allowed IP',
  );
  return {
    family,
    bytes: required(readBytes(fields, allowedIpAttribute.address, addressLength(family)), 'address of an allowed IP'),
    cidr: required(readNumber(fields, allowedIpAttribute.cidr, 1), 'mask of an allowed IP'),
  };
}
