// The header netfilter's netlink messages share (include/uapi/linux/netfilter/nfnetlink.h).
import { type AttributeTree, encodePayload, MalformedNetlink } from './attribute.ts';
import type { NetlinkMessage, NetlinkRequest } from './message.ts';

/** NFNL_SUBSYS_* */
export const subsystem = {
  conntrack: 1, // NFNL_SUBSYS_CTNETLINK
  log: 4, // NFNL_SUBSYS_ULOG
  nftables: 10, // NFNL_SUBSYS_NFTABLES
} as const;

/** NFPROTO_*: the family of a table. */
export const netfilterFamily = { any: 0, inet: 1, ipv4: 2, arp: 3, netdev: 5, bridge: 7, ipv6: 10 } as const;

export const nfHeaderLength = 4; // struct nfgenmsg: family, version, resource id (big-endian)

export function nfRequest(
  type: { readonly subsystem: number; readonly message: number },
  flags: number,
  family: number,
  attributes: readonly AttributeTree[],
): NetlinkRequest {
  return {
    type: (type.subsystem << 8) | type.message,
    flags,
    payload: encodePayload(Uint8Array.of(family, 0, 0, 0), attributes),
  };
}

/** The message's number within its subsystem; undefined when it is another subsystem's. */
export function nfMessageType(message: NetlinkMessage, of: number): number | undefined {
  return message.type >> 8 === of ? message.type & 0xff : undefined;
}

/** The family in the header. @throws MalformedNetlink */
export function nfFamily(message: NetlinkMessage): number {
  if (message.payload.length < nfHeaderLength) throw new MalformedNetlink('netfilter message without a header');
  return message.payload.readUInt8(0);
}
