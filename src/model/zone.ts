// The zone: everything the DNS program knows, written whole by the router and read whole by `src/dns`.

/**
 * JSON file, replaced atomically (write, fsync, rename). Addresses and prefixes are canonical text
 * (`172.16.10.10`, `172.16.10.0/24`), names are lower-case LDH labels joined by dots, relative to `domain`
 * (`web.shop` means `web.shop.apn.`).
 */
export interface Zone {
  readonly version: 1;
  /** SOA serial, RFC 1982 arithmetic; grows with every change of the content. */
  readonly serial: number;
  /** The one top-level domain that is ours, without dots: `apn`. */
  readonly domain: string;
  /** Addresses to answer on, UDP and TCP port 53, IPv4 and IPv6. Some may not exist on the machine yet. */
  readonly listen: readonly string[];
  /** Where every foreign name goes: the local unbound. Null: nowhere, while the router has no owner. */
  readonly relay: { readonly address: string; readonly port: number } | null;
  /** Prefixes whose reverse names are ours (the APN range, the LAN, what is behind uplinks): never relayed, unknown ones are NXDOMAIN. */
  readonly reverse: readonly string[];
  /** Foreign domains that are asked of servers of their own, and of nobody else; a longer domain counts first. Absent: none. */
  readonly relays?: readonly ZoneRelay[];
  readonly hosts: readonly ZoneHost[];
  readonly extra: readonly ZoneExtra[];
  readonly clients: readonly ZoneClient[];
}

/** Only clients that reach one of its servers see names of the domain. */
export interface ZoneRelay {
  /** Lower case, without a final dot: `corp.example.net`. */
  readonly domain: string;
  /** IPv4, port 53, in the order in which they are asked. */
  readonly servers: readonly string[];
}

/** A machine with an address: a server, a member's device, a LAN identity, or a server behind an uplink. */
export interface ZoneHost {
  /** `web.shop`, `laptop.anna.team`, `tv.lan`. The PTR of `address` is this name. */
  readonly name: string;
  readonly address: string;
  /** Label of its application when it is a server: then `<first label>.apn` is its short name. */
  readonly application: string | null;
  /** Its address on the LAN when it is a LAN device: what LAN clients are told instead of `address`, PTR included. */
  readonly lan: string | null;
}

/** An extra record a person added. A name starting with `*.` is a wildcard (RFC 4592). */
export type ZoneExtra =
  | { readonly name: string; readonly type: 'A'; readonly address: string }
  | { readonly name: string; readonly type: 'CNAME'; readonly target: string };

/**
 * What clients of one source prefix may see. The most specific prefix holding the source address counts; a source in
 * none is REFUSED.
 */
export interface ZoneClient {
  readonly source: string;
  /** `lan`: a device on the LAN; `tunnel`: a WireGuard peer. */
  readonly side: 'lan' | 'tunnel';
  /** A server's own application: its short names win over those of other applications. */
  readonly application: string | null;
  /** What `hub.<domain>` and `ns.<domain>` are for this client. */
  readonly hub: string;
  /** Destinations it may open connections to: names with these addresses exist for it. */
  readonly reach: readonly string[];
  /** Sources that may open connections to it: PTRs of these are answered too. */
  readonly reachedBy: readonly string[];
}
