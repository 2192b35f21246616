// Opens sockets of the `netlink` package and sets what it cannot set: found by their port in /proc, set by the C library.

import type { DynamicLibraryResult } from 'node:ffi';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { endianness } from 'node:os';
import { RawNetlinkSocket } from 'netlink';

/** NETLINK_* */
const protocolNumber = { route: 0, netfilter: 12, generic: 16 } as const;
export type Protocol = keyof typeof protocolNumber;

const bufferSize = 4 * 1024 * 1024; // bytes; the kernel doubles it for its own bookkeeping
const solSocket = 1; // SOL_SOCKET
const solNetlink = 270; // SOL_NETLINK
const option = {
  sendBufferForce: 32, // SO_SNDBUFFORCE: beyond net.core.wmem_max
  receiveBufferForce: 33, // SO_RCVBUFFORCE: beyond net.core.rmem_max
  noBufferError: 5, // NETLINK_NO_ENOBUFS
  cappedAcknowledgement: 10, // NETLINK_CAP_ACK: errors without a copy of the message
  extendedAcknowledgement: 11, // NETLINK_EXT_ACK: errors with a text and the place
} as const;

const signature = {
  setsockopt: { arguments: ['i32', 'i32', 'i32', 'pointer', 'u32'], return: 'i32' },
} as const;
let library: DynamicLibraryResult<typeof signature> | undefined;

/** A bound socket, ready for use. */
export function openRaw(protocol: Protocol): RawNetlinkSocket {
  if (endianness() !== 'LE') throw new Error('netlink is only written for little-endian machines');
  const raw = new RawNetlinkSocket(protocolNumber[protocol]);
  try {
    prepareSocket(raw, protocol);
    return raw;
  } catch (error) {
    raw.close();
    throw error;
  }
}

/**
 * Makes an open socket safe to use. Without NETLINK_NO_ENOBUFS a full receive buffer puts an error on the socket, and the
 * package's native part ends the whole process when it sees one; with it, the kernel only counts what it drops (`countDrops`).
 */
function prepareSocket(socket: RawNetlinkSocket, protocol: Protocol): void {
  const inode = findRow(protocol, socket.address().port)?.inode;
  const descriptor = readdirSync('/proc/self/fd').find((fd) => linkOf(fd) === `socket:[${inode}]`);
  if (descriptor === undefined) throw new Error('the netlink socket is not in /proc/self/fd');
  const set = (level: number, name: number, value: number): boolean =>
    setOption(Number(descriptor), level, name, value);
  if (!set(solNetlink, option.noBufferError, 1)) throw new Error('NETLINK_NO_ENOBUFS cannot be set');
  set(solNetlink, option.cappedAcknowledgement, 1);
  set(solNetlink, option.extendedAcknowledgement, 1);
  // Without CAP_NET_ADMIN the system's limit holds.
  if (!set(solSocket, option.receiveBufferForce, bufferSize)) socket.setRecvBufferSize(bufferSize);
  if (!set(solSocket, option.sendBufferForce, bufferSize)) socket.setSendBufferSize(bufferSize);
}

/** Messages the kernel has dropped on this socket since it was opened, because its receive buffer was full. */
export function countDrops(socket: RawNetlinkSocket, protocol: Protocol): number {
  return findRow(protocol, socket.address().port)?.drops ?? 0;
}

function findRow(protocol: Protocol, port: number): { readonly drops: number; readonly inode: string } | undefined {
  for (const line of readFileSync('/proc/self/net/netlink', 'latin1').split('\n')) {
    // sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode: "Eth" is the protocol, "Pid" the port.
    const columns = line.trim().split(/\s+/);
    if (columns[1] !== String(protocolNumber[protocol]) || columns[2] !== String(port)) continue;
    const [drops, inode] = [columns[8], columns[9]];
    if (drops !== undefined && inode !== undefined) return { drops: Number(drops), inode };
  }
  return undefined;
}

function linkOf(descriptor: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return undefined; // the descriptor readdir itself used is gone by now
  }
}

function setOption(descriptor: number, level: number, name: number, value: number): boolean {
  // Loaded on first use: programs that only use the codecs never touch it.
  library ??= process.getBuiltinModule('node:ffi').dlopen(null, signature);
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return library.functions.setsockopt(descriptor, level, name, bytes, bytes.length) === 0;
}
