// An IP packet that the firewall copied, down to its UDP payload.
import { type Address, fromBytes } from '../../model/address.ts';

export interface Datagram {
  readonly source: Address;
  readonly port: number;
  readonly payload: Uint8Array;
}

const udp = 17;
const udpHeader = 8;

/** Null for anything but a whole UDP datagram (RFC 791, RFC 8200 without extension headers, RFC 768). */
export function readDatagram(packet: Uint8Array): Datagram | null {
  const version = (packet[0] ?? 0) >> 4;
  if (version === 4) {
    const header = ((packet[0] ?? 0) & 15) * 4;
    // Neither a fragment nor the first of some.
    const fragment = (((packet[6] ?? 0) & 0x3f) << 8) | (packet[7] ?? 0);
    if (header < 20 || packet[9] !== udp || fragment !== 0) return null;
    return readUdp(packet.subarray(12, 16), packet.subarray(header));
  }
  if (version === 6 && packet[6] === udp) return readUdp(packet.subarray(8, 24), packet.subarray(40));
  return null;
}

function readUdp(source: Uint8Array, segment: Uint8Array): Datagram | null {
  const short = (at: number) => ((segment[at] ?? 0) << 8) | (segment[at + 1] ?? 0);
  const length = short(4);
  if (length < udpHeader || segment.length < length) return null;
  // A view of the copy would keep a whole datagram of the kernel's alive.
  return { source: fromBytes(source), port: short(0), payload: Uint8Array.from(segment.subarray(udpHeader, length)) };
}
