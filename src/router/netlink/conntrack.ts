// Connection tracking over netlink (include/uapi/linux/netfilter/nfnetlink_conntrack.h): dumped entries, and the end of one.
import { addressLength, fromAddressFamily, type IpFamily, toAddressFamily } from './address.ts';
import {
  type AttributeTree,
  be16,
  be32,
  type Fields,
  indexAttributes,
  present,
  readBigEndian,
  readBytes,
  readNested,
  required,
  u8,
} from './attribute.ts';
import { messageFlag, type NetlinkMessage, type NetlinkRequest } from './message.ts';
import { nfFamily, nfHeaderLength, nfMessageType, nfRequest, subsystem } from './nfnetlink.ts';

/** One direction of a flow. Ports are of protocols that have them; the three ICMP fields are ICMP's and ICMPv6's. */
export type Tuple = {
  readonly family: IpFamily;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** IPPROTO_*: 6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6. */
  readonly protocol: number;
  readonly sourcePort?: number | undefined;
  readonly destinationPort?: number | undefined;
  readonly icmpId?: number | undefined;
  readonly icmpType?: number | undefined;
  readonly icmpCode?: number | undefined;
};

/** `id` tells an entry from a later one of the same flow; `timeout` is in seconds. */
export type ConntrackEntry = {
  readonly original: Tuple;
  readonly reply: Tuple;
  readonly id?: number;
  readonly mark?: number;
  readonly zone?: number;
  readonly status?: number;
  readonly timeout?: number;
};

const message = { new: 0, get: 1, delete: 2 } as const; // IPCTNL_MSG_CT_NEW, _GET, _DELETE

// CTA_*
const entryAttribute = { original: 1, reply: 2, status: 3, timeout: 7, mark: 8, id: 12, zone: 18 } as const;
const tupleAttribute = { ip: 1, protocol: 2 } as const; // CTA_TUPLE_IP, CTA_TUPLE_PROTO
const addressAttribute = {
  4: { source: 1, destination: 2 }, // CTA_IP_V4_SRC, CTA_IP_V4_DST
  6: { source: 3, destination: 4 }, // CTA_IP_V6_SRC, CTA_IP_V6_DST
} as const;
const protocolAttribute = { number: 1, sourcePort: 2, destinationPort: 3 } as const; // CTA_PROTO_NUM, _SRC_PORT, _DST_PORT
const icmpAttribute = {
  4: { id: 4, type: 5, code: 6 }, // CTA_PROTO_ICMP_*
  6: { id: 7, type: 8, code: 9 }, // CTA_PROTO_ICMPV6_*
} as const;

/** All entries, or those of one family. */
export function encodeDumpEntries(family?: IpFamily): NetlinkRequest {
  const flags = messageFlag.request | messageFlag.dump;
  const number = family === undefined ? 0 : toAddressFamily(family);
  return nfRequest({ subsystem: subsystem.conntrack, message: message.get }, flags, number, []);
}

/**
 * Ends one entry, found by its original tuple (and zone); ENOENT when there is none. With `id` a newer entry of the same flow is
 * left alone. There is always a tuple in it: a delete without one would end every entry.
 */
export function encodeDeleteEntry(entry: Pick<ConntrackEntry, 'original' | 'zone' | 'id'>): NetlinkRequest {
  const attributes: AttributeTree[] = [{ type: entryAttribute.original, value: tupleTree(entry.original) }];
  if (entry.zone !== undefined) attributes.push(be16(entryAttribute.zone, entry.zone));
  if (entry.id !== undefined) attributes.push(be32(entryAttribute.id, entry.id));
  return nfRequest(
    { subsystem: subsystem.conntrack, message: message.delete },
    messageFlag.request | messageFlag.ack,
    toAddressFamily(entry.original.family),
    attributes,
  );
}

function tupleTree(tuple: Tuple): AttributeTree[] {
  const address = addressAttribute[tuple.family];
  const icmp = icmpAttribute[tuple.family];
  const protocol = [u8(protocolAttribute.number, tuple.protocol)];
  if (tuple.sourcePort !== undefined) protocol.push(be16(protocolAttribute.sourcePort, tuple.sourcePort));
  if (tuple.destinationPort !== undefined)
    protocol.push(be16(protocolAttribute.destinationPort, tuple.destinationPort));
  if (tuple.icmpId !== undefined) protocol.push(be16(icmp.id, tuple.icmpId));
  if (tuple.icmpType !== undefined) protocol.push(u8(icmp.type, tuple.icmpType));
  if (tuple.icmpCode !== undefined) protocol.push(u8(icmp.code, tuple.icmpCode));
  return [
    {
      type: tupleAttribute.ip,
      value: [
        { type: address.source, value: tuple.source },
        { type: address.destination, value: tuple.destination },
      ],
    },
    { type: tupleAttribute.protocol, value: protocol },
  ];
}

/** The entries of a dump; those of families other than IP are left out. @throws MalformedNetlink */
export function decodeEntries(messages: readonly NetlinkMessage[]): ConntrackEntry[] {
  return messages
    .filter((one) => nfMessageType(one, subsystem.conntrack) === message.new)
    .flatMap((one) => {
      const family = fromAddressFamily(nfFamily(one));
      return family === undefined ? [] : [decodeEntry(family, indexAttributes(one.payload, nfHeaderLength))];
    });
}

function decodeEntry(family: IpFamily, fields: Fields): ConntrackEntry {
  return present({
    original: decodeTuple(family, fields, entryAttribute.original),
    reply: decodeTuple(family, fields, entryAttribute.reply),
    id: readBigEndian(fields, entryAttribute.id, 4),
    mark: readBigEndian(fields, entryAttribute.mark, 4),
    zone: readBigEndian(fields, entryAttribute.zone, 2),
    status: readBigEndian(fields, entryAttribute.status, 4),
    timeout: readBigEndian(fields, entryAttribute.timeout, 4),
  });
}

function decodeTuple(family: IpFamily, fields: Fields, type: number): Tuple {
  const parts = required(readNested(fields, type), 'conntrack tuple');
  const addresses = required(readNested(parts, tupleAttribute.ip), 'addresses of a conntrack tuple');
  const protocol = required(readNested(parts, tupleAttribute.protocol), 'protocol of a conntrack tuple');
  const { source, destination } = addressAttribute[family];
  const icmp = icmpAttribute[family];
  return present({
    family,
    source: required(readBytes(addresses, source, addressLength(family)), 'source address'),
    destination: required(readBytes(addresses, destination, addressLength(family)), 'destination address'),
    protocol: required(readBigEndian(protocol, protocolAttribute.number, 1), 'protocol number'),
    sourcePort: readBigEndian(protocol, protocolAttribute.sourcePort, 2),
    destinationPort: readBigEndian(protocol, protocolAttribute.destinationPort, 2),
    icmpId: readBigEndian(protocol, icmp.id, 2),
    icmpType: readBigEndian(protocol, icmp.type, 1),
    icmpCode: readBigEndian(protocol, icmp.code, 1),
  });
}
