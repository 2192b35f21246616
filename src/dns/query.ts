// A query's header, question and EDNS record, walked by hand: no library sees bytes from the network first.

export interface Query {
  /** First byte after the question. */
  readonly end: number;
  readonly type: number;
  /** Name in lower case, as wire bytes in a binary string. */
  readonly key: string;
  readonly labels: number;
  /** Class is not IN (1). */
  readonly foreignClass: boolean;
  readonly edns: Edns | null;
}

export interface Edns {
  /** What the sender can take in one datagram, at least 512. */
  readonly size: number;
  readonly version: number;
  /** The DO bit (RFC 3225). */
  readonly dnssec: boolean;
}

export const typeIxfr = 251;
const typeOpt = 41;
const classIn = 1;
/** OPT, TSIG or SIG(0) and a spare; each costs a walk over a name. */
const mostAdditional = 4;
const scratch = Buffer.allocUnsafe(258);

/**
 * Null for anything malformed (FORMERR): not exactly one question, a compressed or overlong name in it, records a query
 * does not have, two OPT records, bytes left over. RFC 1035 §4.1, RFC 6891 §6.1.
 * @param packet at least 12 bytes
 */
export function parseQuery(packet: Buffer): Query | null {
  // QDCOUNT 1, ANCOUNT 0; NSCOUNT 0 or an IXFR's SOA, which is checked below.
  if (packet[4] !== 0 || packet[5] !== 1 || packet[6] !== 0 || packet[7] !== 0) return null;
  const length = packet.length;
  let offset = 12;
  let labels = 0;
  for (;;) {
    const size = packet[offset];
    if (size === undefined || size > 63) return null;
    if (size === 0) break;
    labels++;
    offset += size + 1;
    if (offset > 12 + 254 || offset >= length) return null;
  }
  const nameEnd = offset + 1;
  const end = nameEnd + 4;
  if (end > length) return null;
  // Length bytes are below 64, so folding `A`–`Z` (65–90) over all bytes leaves them alone.
  for (let from = 12, to = 0; from < nameEnd; from++, to++) {
    const byte = packet[from] ?? 0;
    scratch[to] = byte >= 65 && byte <= 90 ? byte | 0x20 : byte;
  }
  const type = ((packet[nameEnd] ?? 0) << 8) | (packet[nameEnd + 1] ?? 0);
  const authorities = ((packet[8] ?? 0) << 8) | (packet[9] ?? 0);
  const additionals = ((packet[10] ?? 0) << 8) | (packet[11] ?? 0);
  if (type === typeOpt || (authorities > 0 && (type !== typeIxfr || authorities > 1))) return null;
  let edns: Edns | null = null;
  if (authorities + additionals > 0 || end !== length) {
    const found = parseRecords(packet, end, authorities, additionals);
    if (found === 'malformed') return null;
    edns = found;
  }
  return {
    ...{ end, type, labels, edns },
    key: scratch.toString('latin1', 0, nameEnd - 12),
    foreignClass: packet[nameEnd + 2] !== 0 || packet[nameEnd + 3] !== classIn,
  };
}

/** Records after the question up to the very end of the packet. */
function parseRecords(
  packet: Buffer,
  start: number,
  authorities: number,
  additionals: number,
): Edns | null | 'malformed' {
  if (additionals > mostAdditional) return 'malformed';
  let edns: Edns | null = null;
  let offset = start;
  for (let i = 0; i < authorities + additionals; i++) {
    const owner = offset;
    for (let size = packet[offset] ?? 64; size !== 0; size = packet[offset] ?? 64) {
      // A pointer ends the name; where it leads is of no interest.
      if (size >= 0xc0) {
        offset++;
        break;
      }
      if (size > 63 || offset - owner > 254) return 'malformed';
      offset += size + 1;
    }
    offset++;
    if (offset + 10 > packet.length) return 'malformed';
    const data = offset + 10;
    const next = data + packet.readUInt16BE(offset + 8);
    if (next > packet.length) return 'malformed';
    if (packet.readUInt16BE(offset) === typeOpt) {
      if (edns !== null || i < authorities || packet[owner] !== 0) return 'malformed';
      if (!validOptions(packet, data, next)) return 'malformed';
      edns = {
        size: Math.max(512, packet.readUInt16BE(offset + 2)),
        version: packet[offset + 5] ?? 0,
        dnssec: ((packet[offset + 6] ?? 0) & 0x80) !== 0,
      };
    }
    offset = next;
  }
  return offset === packet.length ? edns : 'malformed';
}

/** Each option is code, length, data; unknown codes are ignored (RFC 6891 §6.1.2). */
function validOptions(packet: Buffer, start: number, end: number): boolean {
  let offset = start;
  while (offset + 4 <= end) offset += 4 + packet.readUInt16BE(offset + 2);
  return offset === end;
}
