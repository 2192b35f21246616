// The zone compiled for look-up: all names of all clients in one tree; what a client sees of it is decided per view.
import {
  type Address,
  networkAddress,
  overlaps,
  parseAddress,
  parsePrefix,
  prefixLength,
  toBytes,
  toNumber,
} from '../model/address.ts';
import { reservedLabels } from '../model/name.ts';
import type { Zone, ZoneExtra, ZoneHost } from '../model/zone.ts';
import { parentName, privateReverse, reverseName, reverseZones, type WireName, wireName } from './names.ts';
import { type Data, encodeSoa } from './records.ts';
import { compileSources, type Sources } from './view.ts';

export interface Machine {
  /** With the domain, no final dot. */
  readonly name: string;
  readonly application: string | null;
  readonly address: Address;
  readonly number: number;
  readonly lan: { readonly address: Address; readonly number: number } | null;
}

/** Something that may be at a name, if the client may see it. */
export type Entry =
  | { readonly kind: 'host'; readonly machine: Machine }
  | { readonly kind: 'short'; readonly machine: Machine }
  | { readonly kind: 'address'; readonly address: Address; readonly number: number }
  | { readonly kind: 'alias'; readonly target: string; node: Node | null }
  | { readonly kind: 'pointer'; readonly machine: Machine; readonly lanOnly: boolean }
  | { readonly kind: 'hub' }
  | { readonly kind: 'fixed'; readonly data: Data };

export interface Node {
  readonly entries: Entry[];
  readonly children: Node[];
}

/** Where one of our zones begins. `absent` is a name we deny with everything below it. */
export type Cut = 'zone' | 'localhost' | 'absent';

/** Who is asked for names of a foreign domain; whoever reaches none of them sees none of its names. */
export interface Foreign {
  readonly servers: readonly { readonly address: Address; readonly number: number }[];
}

export interface Table {
  /** Names of the zone are SERVFAIL: the file is missing or broken. */
  readonly broken: boolean;
  readonly serial: number;
  readonly domain: string;
  readonly relay: Zone['relay'] | null;
  /** Foreign domains with servers of their own. */
  readonly foreign: ReadonlyMap<WireName, Foreign>;
  readonly listen: readonly string[];
  /** Null: nobody is known, nobody is refused. */
  readonly sources: Sources | null;
  readonly cuts: ReadonlyMap<WireName, Cut>;
  readonly nodes: ReadonlyMap<WireName, Node>;
  /** SOA without its owner. */
  readonly soa: Uint8Array;
}

export function compile(zone: Zone): Table {
  const cuts = zoneCuts(zone.domain, zone.reverse);
  const nodes = new Map<WireName, Node>();
  const put = (name: WireName): Node => {
    let node = nodes.get(name);
    if (node === undefined) {
      node = { entries: [], children: [] };
      nodes.set(name, node);
      if (!cuts.has(name)) put(parentName(name)).children.push(node);
    }
    return node;
  };
  const add = (name: string, entry: Entry) => put(wireName(name)).entries.push(entry);
  const addReverse = (address: Address, entry: Entry) => {
    const name = reverseName(address);
    if (inZone(cuts, wireName(name))) add(name, entry);
  };
  for (const [name, kind] of cuts) if (kind === 'zone') put(name);

  const full = (name: string) => `${name}.${zone.domain}`;
  for (const label of ['hub', 'ns']) add(full(label), { kind: 'hub' });
  for (const address of hubAddresses(zone)) {
    addReverse(address, { kind: 'fixed', data: { type: 'PTR', data: full('hub') } });
  }
  for (const address of ['127.0.0.1', '::1'] as const) {
    addReverse(parseAddress(address), { kind: 'fixed', data: { type: 'PTR', data: 'localhost' } });
  }
  for (const host of zone.hosts) {
    const machine = toMachine(host, zone.domain);
    add(machine.name, { kind: 'host', machine });
    addReverse(machine.address, { kind: 'pointer', machine, lanOnly: false });
    if (machine.lan !== null) addReverse(machine.lan.address, { kind: 'pointer', machine, lanOnly: true });
    const [first = ''] = host.name.split('.');
    if (host.application !== null && first !== host.name && !reservedLabels.includes(first)) {
      add(full(first), { kind: 'short', machine });
    }
  }
  const aliases: (Entry & { kind: 'alias' })[] = [];
  for (const extra of zone.extra) {
    const entry = toEntry(extra, full);
    if (entry.kind === 'alias') aliases.push(entry);
    add(full(extra.name), entry);
  }
  // Only when every name is known: a target may be a wildcard's.
  for (const alias of aliases) alias.node = find(nodes, wireName(alias.target));
  return {
    ...{ broken: false, serial: zone.serial, domain: zone.domain, relay: zone.relay, listen: zone.listen },
    foreign: foreignOf(zone),
    ...{ sources: compileSources(zone.clients), cuts, nodes, soa: encodeSoa(zone.domain, zone.serial) },
  };
}

/**
 * The table for a missing or broken file. Names and rights of the zone before are forgotten; what it said about the
 * box stays (where to listen, where to relay, which names are never relayed, who is a client at all).
 */
export function degrade(last: Table | null): Table {
  const domain = last?.domain ?? 'apn';
  return {
    ...{ broken: true, serial: 0, domain, relay: last?.relay ?? null, listen: last?.listen ?? [] },
    foreign: last?.foreign ?? new Map(),
    ...{ sources: last?.sources ?? null, cuts: last?.cuts ?? zoneCuts(domain, []) },
    ...{ nodes: new Map(), soa: encodeSoa(domain, 0) },
  };
}

function foreignOf({ relays = [] }: Zone): ReadonlyMap<WireName, Foreign> {
  return new Map(relays.map(({ domain, servers }) => [wireName(domain), { servers: servers.map(toPlace) }]));
}

/** Our zones; where one lies in another, only the outer one counts, so that every name has one zone. */
function zoneCuts(domain: string, reverse: readonly string[]): Map<WireName, Cut> {
  const cuts = new Map<WireName, Cut>([
    [wireName('localhost'), 'localhost'],
    // Browsers ask for it before they use DNS over HTTPS of their own, which would go round us.
    [wireName('use-application-dns.net'), 'absent'],
    [wireName(domain), 'zone'],
  ]);
  for (const text of [...reverse, ...privateReverse].sort((a, b) => length(a) - length(b))) {
    const prefix = parsePrefix(text);
    for (const name of reverseZones(toBytes(networkAddress(prefix)), prefixLength(prefix))) {
      if (!inZone(cuts, wireName(name))) cuts.set(wireName(name), 'zone');
    }
  }
  return cuts;
}

function length(prefix: string): number {
  return prefixLength(parsePrefix(prefix));
}

function inZone(cuts: ReadonlyMap<WireName, Cut>, name: WireName): boolean {
  for (let at = name; at.length > 1; at = parentName(at)) if (cuts.get(at) === 'zone') return true;
  return false;
}

/** The node, else the wildcard that covers the name (RFC 4592 §3.3.1), seen over all clients. */
function find(nodes: ReadonlyMap<WireName, Node>, name: WireName): Node | null {
  const exact = nodes.get(name);
  if (exact !== undefined) return exact;
  let encloser = parentName(name);
  while (!nodes.has(encloser) && encloser.length > 1) encloser = parentName(encloser);
  return nodes.get(`\x01*${encloser}`) ?? null;
}

function hubAddresses(zone: Zone): Set<Address> {
  const all = [...zone.listen, ...zone.clients.map(({ hub }) => hub)].map(parseAddress);
  const loopback = [parsePrefix('127.0.0.0/8'), parsePrefix('::1/128')];
  return new Set(all.filter((address) => !loopback.some((prefix) => overlaps(prefix, address))));
}

function toMachine(host: ZoneHost, domain: string): Machine {
  return {
    name: `${host.name}.${domain}`,
    application: host.application,
    ...toPlace(host.address),
    lan: host.lan === null ? null : toPlace(host.lan),
  };
}

function toPlace(text: string): { readonly address: Address; readonly number: number } {
  const address = parseAddress(text);
  return { address, number: Number(toNumber(address)) };
}

function toEntry(extra: ZoneExtra, full: (name: string) => string): Entry {
  return extra.type === 'A'
    ? { kind: 'address', ...toPlace(extra.address) }
    : { kind: 'alias', target: full(extra.target), node: null };
}
