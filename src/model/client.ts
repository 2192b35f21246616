// The configuration file of a WireGuard client, built from public facts; the private key is filled in where it was made.
import type { Address, Prefix } from './address.ts';
import type { PublicKey } from './key.ts';

/** Everything but the private key. Plain JSON: the hub sends it, and whoever made the key builds the file of it. */
export interface ClientFacts {
  /** `web.shop.apn`: a comment on top, so that people find the file again. */
  readonly name: string;
  readonly address: Address;
  /** Null: the file has no DNS line. */
  readonly dns: { readonly server: Address; readonly search: string } | null;
  readonly hubPublicKey: PublicKey;
  /** `[2001:db8::1]:51820` or `hub.example.net:51820`; null while nobody has said it: a comment stands in for it. */
  readonly endpoint: string | null;
  /** The whole APN: one range, so that a new server never needs a new file. */
  readonly range: Prefix;
  /** `shown once`: the peer has one that can not be read again. `to come`: it is made when the hub learns the key. */
  readonly presharedKey: string | 'shown once' | 'to come' | null;
  /** Seconds; 25 keeps a NAT's mapping open. Null: none. */
  readonly keepalive: number | null;
  /** The port that a peer without signs of life keeps over a restart, or the hub could not call it. Null: any. */
  readonly listenPort: number | null;
}

/** What stands for the private key until the machine that holds it fills it in. */
export function privateKeyPlaceholder(name: string): string {
  return `PRIVATE-KEY-OF-${name}`;
}

const presharedComments: ReadonlyMap<string | null, string> = new Map([
  ['shown once', '# PresharedKey = it was shown once, when this peer was added'],
  ['to come', "# PresharedKey = in the hub's answer"],
]);

/** The text of a wg-quick(8) file. */
export function clientConfig(facts: ClientFacts, privateKey: string): string {
  const lines = [`# ${facts.name}`, '[Interface]', `PrivateKey = ${privateKey}`, `Address = ${facts.address}/32`];
  if (facts.listenPort !== null) lines.push(`ListenPort = ${facts.listenPort}`);
  if (facts.dns !== null) lines.push(`DNS = ${facts.dns.server}, ${facts.dns.search}`);
  lines.push('', '[Peer]', `PublicKey = ${facts.hubPublicKey}`);
  const comment = presharedComments.get(facts.presharedKey);
  if (comment !== undefined) lines.push(comment);
  else if (facts.presharedKey !== null) lines.push(`PresharedKey = ${facts.presharedKey}`);
  lines.push(`AllowedIPs = ${facts.range}`);
  lines.push(
    facts.endpoint === null ? '# Endpoint = not known yet: apn network set --endpoint' : `Endpoint = ${facts.endpoint}`,
  );
  if (facts.keepalive !== null) lines.push(`PersistentKeepalive = ${facts.keepalive}`);
  return `${lines.join('\n')}\n`;
}

/** `host:port`, with brackets around an IPv6 address. */
export function endpointText(endpoint: { readonly host: string; readonly port: number }): string {
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
  return `${host}:${endpoint.port}`;
}

/**
 * The hub's answer to a new public key in one line, for pasting where the key was made: the address, and the preshared
 * key where there is one.
 */
export function answerLine(address: Address, presharedKey: string | null): string {
  return presharedKey === null ? address : `${address} ${presharedKey}`;
}
