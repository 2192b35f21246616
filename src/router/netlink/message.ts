// Netlink message headers (include/uapi/linux/netlink.h): bytes <-> messages, and the kernel's answers as errors.
import { getSystemErrorMap } from 'node:util';
import { align, asBuffer, indexAttributes, MalformedNetlink, present, readNumber, readString } from './attribute.ts';

/** NLM_F_*. The bits from 0x100 on mean different things on a get, a new and an acknowledgement. */
export const messageFlag = {
  request: 0x1, // NLM_F_REQUEST
  multi: 0x2, // NLM_F_MULTI
  ack: 0x4, // NLM_F_ACK
  echo: 0x8, // NLM_F_ECHO
  dumpInterrupted: 0x10, // NLM_F_DUMP_INTR
  dump: 0x300, // NLM_F_DUMP = NLM_F_ROOT | NLM_F_MATCH
  replace: 0x100, // NLM_F_REPLACE
  exclusive: 0x200, // NLM_F_EXCL
  create: 0x400, // NLM_F_CREATE
  append: 0x800, // NLM_F_APPEND
} as const;

/** NLMSG_*: control messages; a protocol's own types start at 0x10. */
export const messageType = {
  noop: 1, // NLMSG_NOOP
  error: 2, // NLMSG_ERROR
  done: 3, // NLMSG_DONE
  overrun: 4, // NLMSG_OVERRUN
} as const;

export const headerLength = 16; // NLMSG_HDRLEN

/** What a codec encodes: the socket adds the sequence number and the port. */
export type NetlinkRequest = { readonly type: number; readonly flags: number; readonly payload: Uint8Array };

export type NetlinkMessage = {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly port: number;
  readonly payload: Buffer;
};

/**
 * The kernel, or the socket, said no. `errno` is positive, `code` its name (`EPERM`). `offset` is where in the request, counted
 * from its header, the attribute is that the kernel took offence at, when it said so.
 */
export class NetlinkError extends Error {
  override readonly name = 'NetlinkError';
  readonly errno: number;
  readonly code: string;
  readonly offset: number | undefined;

  constructor(errno: number, doing: string, detail: { readonly reason?: string; readonly offset?: number } = {}) {
    const [code, text] = getSystemErrorMap().get(-errno) ?? kernelOnly.get(errno) ?? [`E${errno}`, 'unknown error'];
    super(`${doing}: ${detail.reason ?? text} (${code})`);
    this.errno = errno;
    this.code = code;
    this.offset = detail.offset;
  }
}

// Errors the C library has and the runtime's table lacks.
const kernelOnly: ReadonlyMap<number, readonly [string, string]> = new Map([
  [85, ['ERESTART', 'interrupted system call should be restarted'] as const],
  [126, ['ENOKEY', 'required key not available'] as const],
]);

/** One whole message, padded to 4 bytes. All integers are the host's, which is little-endian on every machine we run on. */
export function encodeMessage(message: NetlinkRequest & { readonly sequence: number; readonly port: number }): Buffer {
  const length = headerLength + message.payload.length;
  const bytes = Buffer.alloc(align(length));
  bytes.writeUInt32LE(length, 0); // nlmsg_len, without the padding
  bytes.writeUInt16LE(message.type, 4); // nlmsg_type
  bytes.writeUInt16LE(message.flags, 6); // nlmsg_flags
  bytes.writeUInt32LE(message.sequence, 8); // nlmsg_seq
  bytes.writeUInt32LE(message.port, 12); // nlmsg_pid
  bytes.set(message.payload, headerLength);
  return bytes;
}

/** The messages of one datagram, in order. Payloads are views of `bytes`. @throws MalformedNetlink */
export function parseMessages(bytes: Uint8Array): NetlinkMessage[] {
  const buffer = asBuffer(bytes);
  const messages: NetlinkMessage[] = [];
  let at = 0;
  while (at < buffer.length) {
    if (buffer.length - at < headerLength) throw new MalformedNetlink(`message header cut off at ${at}`);
    const length = buffer.readUInt32LE(at);
    if (length < headerLength || length > buffer.length - at)
      throw new MalformedNetlink(`message length ${length} at ${at}`);
    messages.push({
      type: buffer.readUInt16LE(at + 4),
      flags: buffer.readUInt16LE(at + 6),
      sequence: buffer.readUInt32LE(at + 8),
      port: buffer.readUInt32LE(at + 12),
      payload: buffer.subarray(at + headerLength, at + length),
    });
    at += align(length);
  }
  return messages;
}

/**
 * The errno of an NLMSG_ERROR (0 is an acknowledgement) or of an NLMSG_DONE (a dump that failed), positive.
 * An NLMSG_DONE without a number is a success. @throws MalformedNetlink
 */
export function parseErrno(message: NetlinkMessage): number {
  if (message.type === messageType.done && message.payload.length < 4) return 0;
  if (message.payload.length < 4) throw new MalformedNetlink('error message without a number');
  const errno = message.payload.readInt32LE(0);
  // Dumps end with their return value, which may be positive and then is no error.
  return errno < 0 ? -errno : 0;
}

/** NLM_F_CAPPED, NLM_F_ACK_TLVS: what follows the number and the header of the request in an NLMSG_ERROR. */
const errorFlag = { capped: 0x100, attributes: 0x200 } as const;
const reasonAttribute = 1; // NLMSGERR_ATTR_MSG
const offsetAttribute = 2; // NLMSGERR_ATTR_OFFS

/** An NLMSG_ERROR or a failed NLMSG_DONE as an error, in the kernel's own words where it has some. @throws MalformedNetlink */
export function parseError(message: NetlinkMessage, doing: string): NetlinkError {
  const errno = parseErrno(message);
  if ((message.flags & errorFlag.attributes) === 0) return new NetlinkError(errno, doing);
  const fields = indexAttributes(message.payload, detailStart(message));
  return new NetlinkError(
    errno,
    doing,
    present({ reason: readString(fields, reasonAttribute), offset: readNumber(fields, offsetAttribute, 4) }),
  );
}

// struct nlmsgerr: number, header of the request, and unless capped the rest of the request.
function detailStart(message: NetlinkMessage): number {
  if (message.type === messageType.done) return 4;
  const bare = 4 + headerLength;
  if ((message.flags & errorFlag.capped) !== 0) return bare;
  if (message.payload.length < bare) throw new MalformedNetlink('error message without the header it answers');
  return 4 + align(message.payload.readUInt32LE(4));
}
