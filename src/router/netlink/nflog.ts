// Packets the firewall copies to user space (include/uapi/linux/netfilter/nfnetlink_log.h): asking for groups, reading copies.
import {
  be32,
  exactly,
  indexAttributes,
  MalformedNetlink,
  present,
  readBigEndian,
  readString,
  required,
  u8,
} from './attribute.ts';
import { messageFlag, type NetlinkMessage, type NetlinkRequest } from './message.ts';
import { nfHeaderLength, nfMessageType, nfRequest, subsystem } from './nfnetlink.ts';

const message = { packet: 0, config: 1 } as const; // NFULNL_MSG_PACKET, NFULNL_MSG_CONFIG
// NFULA_CFG_*
const configAttribute = { command: 1, mode: 2, bufferSize: 3, timeout: 4, threshold: 5 } as const;
const bind = 1; // NFULNL_CFG_CMD_BIND
const copyPacket = 2; // NFULNL_COPY_PACKET
// NFULA_*
const packetAttribute = { header: 1, mark: 2, incoming: 4, outgoing: 5, payload: 9, prefix: 10 } as const;

/** Bytes of the buffer the kernel gathers copies in. */
const bufferSize = 16_384;

/** One copy. `incoming` and `outgoing` are interface indexes; `payload` starts with the IP header and may be cut short. */
export type LogPacket = {
  readonly group: number;
  /** ETH_P_*: 0x0800 or 0x86dd. */
  readonly protocol: number;
  /** NF_INET_*. */
  readonly hook: number;
  readonly prefix: string;
  readonly mark?: number;
  readonly incoming?: number;
  readonly outgoing?: number;
  readonly payload: Buffer;
};

/** Becomes the one reader of a group; EPERM when it has one already. */
export function encodeBind(group: number): NetlinkRequest {
  return configure(group, [u8(configAttribute.command, bind)]);
}

/**
 * Copies at most `length` bytes of each packet, and hands each over at once: by default the kernel gathers them for a
 * second (the timeout is in hundredths of one).
 */
export function encodeCopyMode(group: number, length: number): NetlinkRequest {
  const mode = Buffer.alloc(6); // struct nfulnl_msg_config_mode: copy_range (be32), copy_mode, padding
  mode.writeUInt32BE(length, 0);
  mode.writeUInt8(copyPacket, 4);
  return configure(group, [
    { type: configAttribute.mode, value: mode },
    be32(configAttribute.bufferSize, bufferSize),
    be32(configAttribute.timeout, 1),
    be32(configAttribute.threshold, 1),
  ]);
}

function configure(group: number, attributes: Parameters<typeof nfRequest>[3]): NetlinkRequest {
  const type = { subsystem: subsystem.log, message: message.config };
  const request = nfRequest(type, messageFlag.request | messageFlag.ack, 0, attributes);
  // The group is the resource id of struct nfgenmsg, big-endian.
  request.payload.set([group >> 8, group & 0xff], 2);
  return request;
}

/** The copy in a message; null when it is about something else. @throws MalformedNetlink */
export function decodeLogPacket(one: NetlinkMessage): LogPacket | null {
  if (nfMessageType(one, subsystem.log) !== message.packet) return null;
  if (one.payload.length < nfHeaderLength) throw new MalformedNetlink('log message without a header');
  const fields = indexAttributes(one.payload, nfHeaderLength);
  // struct nfulnl_msg_packet_hdr: hw_protocol (be16), hook, padding
  const header = exactly(required(fields.get(packetAttribute.header), 'packet header'), 4, 'packet header');
  return {
    group: one.payload.readUInt16BE(2),
    protocol: header.readUInt16BE(0),
    hook: header.readUInt8(2),
    prefix: readString(fields, packetAttribute.prefix) ?? '',
    ...present({
      mark: readBigEndian(fields, packetAttribute.mark, 4),
      incoming: readBigEndian(fields, packetAttribute.incoming, 4),
      outgoing: readBigEndian(fields, packetAttribute.outgoing, 4),
    }),
    payload: fields.get(packetAttribute.payload) ?? Buffer.alloc(0),
  };
}
