// Whose packet the firewall refused, and where it was going: read from the first bytes of its copy.
import { type Address, fromBytes } from '../../model/address.ts';

export interface Flow {
  readonly source: Address;
  readonly destination: Address;
  /** `443/tcp`; `icmp` and numbers of other protocols have no port. */
  readonly port: string;
}

/** Bytes of a packet that say all of it: the longest IPv4 header, and the two ports behind it. */
export const flowLength = 64;

// Numbers of the IANA registry "Assigned Internet Protocol Numbers".
const protocols: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp' };

/** Null for what is not IPv4 or is cut short (RFC 791; ports as in RFC 768 and RFC 9293). */
export function readFlow(packet: Uint8Array): Flow | null {
  const [first = 0] = packet;
  const header = (first & 15) * 4;
  if (first >> 4 !== 4 || header < 20 || packet.length < header) return null;
  const number = packet[9] ?? 0;
  const protocol = protocols[number] ?? String(number);
  // A later fragment has no ports.
  const fragment = (((packet[6] ?? 0) & 31) << 8) | (packet[7] ?? 0);
  const named = (number === 6 || number === 17) && fragment === 0 && packet.length >= header + 4;
  const port = ((packet[header + 2] ?? 0) << 8) | (packet[header + 3] ?? 0);
  return {
    source: fromBytes(packet.subarray(12, 16)),
    destination: fromBytes(packet.subarray(16, 20)),
    port: named ? `${port}/${protocol}` : protocol,
  };
}
