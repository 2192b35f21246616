// Addresses, prefixes and MAC addresses: parsed once into canonical text, compared and counted as numbers.
import ipaddr from 'ipaddr.js';
import { InvalidInput } from './errors.ts';

declare const kind: unique symbol;

/** An IPv4 address as dotted quad or an IPv6 address as RFC 5952 text; the canonical form is the only form. */
export type Address = string & { readonly [kind]: 'Address' };
/** `address/length` in canonical form with all host bits zero. */
export type Prefix = string & { readonly [kind]: 'Prefix' };
/** A unicast MAC address, lower case, colons. */
export type Mac = string & { readonly [kind]: 'Mac' };

export type Family = 4 | 6;

/** First and last address of a block as numbers of its family. */
export interface Range {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
}

const dottedQuad = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;

/** @throws InvalidInput for anything but one address without zone, prefix or leading zeros. */
export function parseAddress(text: string): Address {
  if (isDottedQuad(text)) return text as Address;
  if (text.includes(':') && !text.includes('%') && text.length <= 45 && ipaddr.IPv6.isValid(text)) {
    // The package also reads 0x10.0.0.1 and 010.0.0.1 at the end (RFC 4291 §2.2 means decimal bytes).
    const tail = text.slice(text.lastIndexOf(':') + 1);
    if (tail.includes('.') && !isDottedQuad(tail))
      throw new InvalidInput('', `“${shorten(text)}” is not an IP address.`);
    const parsed = ipaddr.IPv6.parse(text);
    if (parsed.isIPv4MappedAddress())
      throw new InvalidInput('', `${text} is an IPv4-mapped address: write it as IPv4.`);
    return parsed.toRFC5952String() as Address;
  }
  throw new InvalidInput('', `“${shorten(text)}” is not an IP address.`);
}

function isDottedQuad(text: string): boolean {
  const quad = dottedQuad.exec(text);
  return quad?.slice(1).every((byte) => Number(byte) <= 255) === true;
}

/** @throws InvalidInput also when host bits are set: a typing mistake that would open more than meant. */
export function parsePrefix(text: string): Prefix {
  const slash = text.indexOf('/');
  if (slash < 0) throw new InvalidInput('', `“${shorten(text)}” is not a prefix: write address/length.`);
  const address = parseAddress(text.slice(0, slash));
  const length = parseLength(text.slice(slash + 1), family(address));
  const result = prefixOf(address, length);
  if (rangeOf(result).first !== toNumber(address)) {
    throw new InvalidInput('', `${text} has host bits set; the prefix is ${result}.`);
  }
  return result;
}

/** A prefix, or a bare address as the prefix of only itself. */
export function parseSource(text: string): Prefix {
  return text.includes('/') ? parsePrefix(text) : hostPrefix(parseAddress(text));
}

/** `192.168.66.1/24`: an interface's address with the length of its network. */
export function parseInterface(text: string): { readonly address: Address; readonly range: Prefix } {
  const slash = text.indexOf('/');
  if (slash < 0) throw new InvalidInput('', `“${shorten(text)}” needs the length of its network, such as /24.`);
  const address = parseAddress(text.slice(0, slash));
  return { address, range: prefixOf(address, parseLength(text.slice(slash + 1), family(address))) };
}

/** @throws InvalidInput for multicast, broadcast and all-zero addresses as well as for other text. */
export function parseMac(text: string): Mac {
  const lower = text.toLowerCase().replaceAll('-', ':');
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(lower)) {
    throw new InvalidInput('', `“${shorten(text)}” is not a MAC address.`);
  }
  if ((Number.parseInt(lower.slice(0, 2), 16) & 1) === 1 || lower === '00:00:00:00:00:00') {
    throw new InvalidInput('', `${lower} is not the address of one device.`);
  }
  return lower as Mac;
}

function parseLength(text: string, of: Family): number {
  const most = of === 4 ? 32 : 128;
  const length = /^(0|[1-9]\d{0,2})$/.test(text) ? Number(text) : Number.NaN;
  if (!(length <= most)) throw new InvalidInput('', `/${shorten(text)} is not a prefix length: 0 to ${most}.`);
  return length;
}

/** Whether an endpoint's host, parsed before, is an address and no name. */
export function isLiteral(host: string): host is Address {
  return /^[\d.]+$|:/.test(host);
}

export function family(value: Address | Prefix): Family {
  return value.includes(':') ? 6 : 4;
}

/** The address as an unsigned integer of 32 or 128 bits. */
export function toNumber(address: Address): bigint {
  let number = 0n;
  for (const byte of toBytes(address)) number = (number << 8n) | BigInt(byte);
  return number;
}

/** Network byte order, 4 or 16 bytes. */
export function toBytes(address: Address): Uint8Array {
  if (family(address) === 4) {
    const [a, b, c, d] = address.split('.');
    return Uint8Array.of(Number(a), Number(b), Number(c), Number(d));
  }
  return Uint8Array.from(ipaddr.IPv6.parse(address).toByteArray());
}

/** @param bytes 4 or 16 bytes in network byte order. */
export function fromBytes(bytes: Uint8Array): Address {
  if (bytes.length === 4) return bytes.join('.') as Address;
  return new ipaddr.IPv6([...bytes]).toRFC5952String() as Address;
}

export function fromNumber(of: Family, number: bigint): Address {
  const bytes = new Uint8Array(of === 4 ? 4 : 16);
  let rest = number;
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 255n);
    rest >>= 8n;
  }
  return fromBytes(bytes);
}

/** The block of the given length that holds the address. */
export function prefixOf(address: Address, length: number): Prefix {
  const of = family(address);
  const hostBits = BigInt((of === 4 ? 32 : 128) - length);
  return `${fromNumber(of, (toNumber(address) >> hostBits) << hostBits)}/${length}` as Prefix;
}

export function hostPrefix(address: Address): Prefix {
  return `${address}/${family(address) === 4 ? 32 : 128}` as Prefix;
}

export function prefixLength(prefix: Prefix): number {
  return Number(prefix.slice(prefix.indexOf('/') + 1));
}

export function networkAddress(prefix: Prefix): Address {
  return prefix.slice(0, prefix.indexOf('/')) as Address;
}

/** Whether the prefix is one single address. */
export function isHost(prefix: Prefix): boolean {
  return prefixLength(prefix) === (family(prefix) === 4 ? 32 : 128);
}

export function rangeOf(value: Address | Prefix): Range {
  const of = family(value);
  if (!value.includes('/')) {
    const number = toNumber(value as Address);
    return { family: of, first: number, last: number };
  }
  const hostBits = BigInt((of === 4 ? 32 : 128) - prefixLength(value as Prefix));
  const first = toNumber(networkAddress(value as Prefix));
  return { family: of, first, last: first | ((1n << hostBits) - 1n) };
}

export function overlaps(a: Address | Prefix, b: Address | Prefix): boolean {
  const one = rangeOf(a);
  const two = rangeOf(b);
  return one.family === two.family && one.first <= two.last && two.first <= one.last;
}

export function contains(outer: Address | Prefix, inner: Address | Prefix): boolean {
  const one = rangeOf(outer);
  const two = rangeOf(inner);
  return one.family === two.family && one.first <= two.first && two.last <= one.last;
}

/** Whether a value has an address in common with any of the list: for lists that are asked often. */
export function overlapFinder(list: readonly (Address | Prefix)[]): (value: Address | Prefix) => boolean {
  const merged: { family: Family; first: bigint; last: bigint }[] = [];
  const byStart = (a: Range, b: Range) => a.family - b.family || (a.first < b.first ? -1 : 1);
  for (const range of list.map(rangeOf).sort(byStart)) {
    const end = merged.at(-1);
    if (end === undefined || end.family !== range.family || range.first > end.last) merged.push({ ...range });
    else if (range.last > end.last) end.last = range.last;
  }
  return (value) => {
    const { family: of, first, last } = rangeOf(value);
    let [low, high] = [0, merged.length];
    // The first block that does not end before the value.
    while (low < high) {
      const middle = (low + high) >> 1;
      const block = merged[middle]!;
      if (block.family < of || (block.family === of && block.last < first)) low = middle + 1;
      else high = middle;
    }
    const found = merged[low];
    return found !== undefined && found.family === of && found.first <= last;
  };
}

/** The n-th address of the block, the network address being number 0. */
export function nth(prefix: Prefix, n: number): Address {
  return fromNumber(family(prefix), rangeOf(prefix).first + BigInt(n));
}

/** Why no machine can be at this address, or null. Private ranges are fine: behind a second NAT they are the truth. */
export function unusable(value: Address | Prefix): string | null {
  const found = neverASource.find(([prefix]) => overlaps(prefix, value));
  return found === undefined ? null : found[1];
}

const neverASource: readonly (readonly [Prefix, string])[] = (
  [
    ['0.0.0.0/8', 'not a usable source address'],
    ['127.0.0.0/8', 'a loopback address'],
    ['169.254.0.0/16', 'a link-local address'],
    ['224.0.0.0/4', 'a multicast address'],
    ['240.0.0.0/4', 'a reserved address'],
    ['::/127', 'not a usable source address'],
    ['fe80::/10', 'a link-local address'],
    ['ff00::/8', 'a multicast address'],
  ] as const
).map(([prefix, why]) => [parsePrefix(prefix), why] as const);

/** Keeps hostile text out of messages and logs. */
export function shorten(text: string): string {
  const plain = text.replace(/[^\x20-\x7e]/g, '?');
  return plain.length > 60 ? `${plain.slice(0, 57)}...` : plain;
}
