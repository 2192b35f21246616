// DNS names in wire form as binary strings (one character per byte), so that a dot or NUL inside a label means nothing.
import type { Address } from '../model/address.ts';
import { toBytes } from '../model/address.ts';

/** Length byte and bytes of each label, then a zero byte (RFC 1035 §3.1), lower case. */
export type WireName = string;

/** `web.shop.apn` → `\x03web\x04shop\x03apn\x00`; the text must be checked already. */
export function wireName(text: string): WireName {
  let wire = '';
  for (const label of text.split('.')) wire += String.fromCharCode(label.length) + label;
  return `${wire}\0`;
}

/** The name without its first label; the root stays the root. */
export function parentName(name: WireName): WireName {
  return name.length <= 1 ? name : name.slice(1 + name.charCodeAt(0));
}

/** `172.16.10.10` → `10.10.16.172.in-addr.arpa`, IPv6 by nibbles (RFC 3596 §2.5). */
export function reverseName(address: Address): string {
  return reverseOf(toBytes(address), address.includes(':') ? 128 : 32);
}

/**
 * The reverse zones that together are exactly one prefix: a length between two label boundaries gives several
 * (`100.64.0.0/10` gives `64.100.in-addr.arpa` to `127.100.in-addr.arpa`).
 * @param bytes network address, 4 or 16 bytes; host bits zero
 */
export function reverseZones(bytes: Uint8Array, length: number): string[] {
  const step = bytes.length === 4 ? 8 : 4;
  const boundary = Math.max(step, Math.ceil(length / step) * step);
  const zones: string[] = [];
  const last = Math.floor((boundary - 1) / 8);
  const unit = step === 4 && boundary % 8 !== 0 ? 16 : 1;
  for (let i = 0; i < 1 << (boundary - length); i++) {
    const copy = Uint8Array.from(bytes);
    copy[last] = (copy[last] ?? 0) + i * unit;
    zones.push(reverseOf(copy, boundary));
  }
  return zones;
}

function reverseOf(bytes: Uint8Array, length: number): string {
  if (bytes.length === 4) return `${[...bytes.subarray(0, length / 8)].reverse().join('.')}.in-addr.arpa`;
  const nibbles = [...bytes].flatMap((byte) => [byte >> 4, byte & 15]).slice(0, length / 4);
  return `${nibbles
    .reverse()
    .map((nibble) => nibble.toString(16))
    .join('.')}.ip6.arpa`;
}

/** Prefixes whose reverse names mean nothing to the Internet: RFC 6303 §4, RFC 7793, and the other half of fc00::/7. */
export const privateReverse: readonly string[] = [
  ...['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'],
  ...['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24'],
  ...['255.255.255.255/32', '::/128', '::1/128', 'fc00::/7', 'fe80::/10', '2001:db8::/32'],
];
