// The answer to one packet: a pure function of the table, the sender's address and the bytes.
import { parentName, type WireName } from './names.ts';
import { parseQuery, type Query, typeIxfr } from './query.ts';
import { authoritative, encodeBody, type Prebuilt, pointer, rcode } from './records.ts';
import { resolve } from './resolve.ts';
import type { Foreign, Table } from './tree.ts';
import { holds, type View } from './view.ts';

/** Bytes to send back, or: ask the relay, or: say nothing. */
export type Answer = Buffer | 'relay' | 'drop';
export type Transport = 'udp' | 'tcp';

/** What we send and accept over UDP without fragments (DNS flag day 2020). */
export const ourPayload = 1232;
const truncated = 0x0200;
const badVersion = 16;
const typeAxfr = 252;
const optLength = 11;
const nothing = new Uint8Array(0);

/**
 * Answers kept over all views of one table. Beyond it all are forgotten: making one again costs microseconds, and
 * wildcards give any number of names.
 */
const mostKept = 8192;
const kept = new WeakMap<Table, number>();

export function answer(table: Table, source: string, packet: Buffer, transport: Transport): Answer {
  if (packet.length < 12 || ((packet[2] ?? 0) & 0x80) !== 0) return 'drop';
  if (((packet[2] ?? 0) & 0x78) !== 0) return headerOnly(packet, rcode.notImp);
  const query = parseQuery(packet);
  if (query === null) return headerOnly(packet, rcode.formErr);
  const view = table.sources === null ? null : table.sources.find(source);
  if (view === null && table.sources !== null) return plain(packet, query, rcode.refused, transport);
  if (query.edns !== null && query.edns.version > 0) return plain(packet, query, badVersion, transport);
  if (query.foreignClass) return plain(packet, query, rcode.refused, transport);
  const key = query.key + String.fromCharCode(query.type);
  const known = table.broken ? undefined : view?.answers.get(key);
  if (known !== undefined) return reply(packet, query, known, transport);
  if (query.type === typeAxfr || query.type === typeIxfr) return plain(packet, query, rcode.refused, transport);
  const zone = enclosing(table, query.key);
  if (zone === null) {
    const foreign = foreignFor(table, query.key);
    // Nobody else is asked for them: what a hosted network calls its machines is no business of the Internet.
    if (foreign !== null) return mayAsk(view, foreign) ? 'relay' : plain(packet, query, rcode.nxDomain, transport);
    return query.labels === 1 ? plain(packet, query, rcode.nxDomain, transport) : 'relay';
  }
  const kind = table.cuts.get(zone);
  if (kind === 'absent') return plain(packet, query, rcode.nxDomain, transport);
  if (kind === 'localhost') return reply(packet, query, localhost(table, query, zone), transport);
  if (table.broken || view === null) return plain(packet, query, rcode.servFail, transport);
  const made = resolve(table, view, query.key, zone, query.type);
  // Names that do not exist are without number; so are types, of which only these are asked for in earnest.
  if ((made.flags & 15) === rcode.noError && (made.answers > 0 || query.type === 28 || query.type === 65)) {
    keep(table, view.answers, key, made);
  }
  return reply(packet, query, made, transport);
}

/** When the relay cannot: SERVFAIL for a query that `answer` said to relay. */
export function failure(packet: Buffer, transport: Transport): Buffer {
  const query = parseQuery(packet);
  return query === null ? headerOnly(packet, rcode.servFail) : plain(packet, query, rcode.servFail, transport);
}

/** Our zone that holds the name; none lies in another. */
function enclosing(table: Table, name: WireName): WireName | null {
  for (let at = name; at.length > 1; at = parentName(at)) if (table.cuts.has(at)) return at;
  return null;
}

/** The longest foreign domain that holds the name. */
export function foreignFor(table: Table, name: WireName): Foreign | null {
  if (table.foreign.size === 0) return null;
  for (let at = name; at.length > 1; at = parentName(at)) {
    const found = table.foreign.get(at);
    if (found !== undefined) return found;
  }
  return null;
}

function mayAsk(view: View | null, { servers }: Foreign): boolean {
  return view !== null && servers.some(({ number }) => holds(view.reach, number));
}

/** RFC 6761 §6.3: the loopback addresses, for every name in it. */
function localhost(table: Table, query: Query, zone: WireName): Prebuilt {
  const data =
    query.type === 28 ? ({ type: 'AAAA', data: '::1' } as const) : ({ type: 'A', data: '127.0.0.1' } as const);
  if (query.type === 1 || query.type === 28 || query.type === 255) {
    const tail = Buffer.concat([pointer(0), encodeBody(data)]);
    return { flags: authoritative, answers: 1, authorities: 0, tail };
  }
  const tail = Buffer.concat([pointer(query.key.length - zone.length), table.soa]);
  const isApexSoa = query.type === 6 && query.key === zone;
  return { flags: authoritative, answers: isApexSoa ? 1 : 0, authorities: isApexSoa ? 0 : 1, tail };
}

function keep(table: Table, answers: Map<string, Prebuilt>, key: string, made: Prebuilt): void {
  const count = kept.get(table) ?? 0;
  if (count >= mostKept) {
    for (const view of table.sources?.views ?? []) view.answers.clear();
    kept.set(table, 0);
  } else {
    kept.set(table, count + 1);
  }
  answers.set(key, made);
}

/** No records; `code` may need the extension of EDNS (RFC 6891 §6.1.3). */
function plain(packet: Buffer, query: Query, code: number, transport: Transport): Buffer {
  return reply(packet, query, { flags: code, answers: 0, authorities: 0, tail: nothing }, transport);
}

function reply(packet: Buffer, query: Query, made: Prebuilt, transport: Transport): Buffer {
  const { end, edns } = query;
  const limit = transport === 'tcp' ? 65_535 : edns === null ? 512 : Math.min(edns.size, ourPayload);
  const opt = edns === null ? 0 : optLength;
  const fits = end + made.tail.length + opt <= limit;
  const length = end + opt + (fits ? made.tail.length : 0);
  const out = Buffer.allocUnsafe(length);
  // Id, then the question with the case it was asked in: some resolvers check it.
  packet.copy(out, 0, 0, end);
  const code = made.flags & 0x0fff & ~(authoritative | truncated);
  // QR, opcode 0, RD as asked; RA, CD as asked. Z and AD are never set.
  out[2] = 0x80 | ((packet[2] ?? 0) & 0x01) | ((made.flags & authoritative) >> 8) | (fits ? 0 : truncated >> 8);
  out[3] = 0x80 | ((packet[3] ?? 0) & 0x10) | (code & 0x0f);
  out[6] = 0;
  out[7] = fits ? made.answers : 0;
  out[8] = 0;
  out[9] = fits ? made.authorities : 0;
  out[10] = 0;
  out[11] = edns === null ? 0 : 1;
  if (fits) out.set(made.tail, end);
  if (edns !== null) {
    const at = length - optLength;
    out.fill(0, at);
    out[at + 2] = 41;
    out[at + 3] = ourPayload >> 8;
    out[at + 4] = ourPayload & 0xff;
    out[at + 5] = code >> 4;
    out[at + 7] = edns.dnssec ? 0x80 : 0;
  }
  return out;
}

/** For what could not be read: the id, the opcode and RD go back, nothing else. */
function headerOnly(packet: Buffer, code: number): Buffer {
  const out = Buffer.alloc(12);
  packet.copy(out, 0, 0, 2);
  out[2] = 0x80 | ((packet[2] ?? 0) & 0x79);
  out[3] = 0x80 | code;
  return out;
}
