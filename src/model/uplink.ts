// An uplink: what it takes from a file, how two files differ, and what belongs to it.
import {
  type Address,
  contains,
  hostPrefix,
  isHost,
  networkAddress,
  nth,
  overlapFinder,
  type Prefix,
  rangeOf,
} from './address.ts';
import { aliasRanges, takenAddresses } from './addressing.ts';
import { type Config, mostUplinks, type Uplink } from './config.ts';
import { Conflict } from './errors.ts';
import type { FilePeer, WireguardFile } from './wireguard-file.ts';

/** WireGuard over IPv6 costs 80 bytes: 1420 fits a path of 1500, and is what wg-quick takes on it. */
const usualMtu = 1420;

export type UplinkPeer = Uplink['peers'][number];

/** `apn1`. */
export function uplinkDevice({ device }: Pick<Uplink, 'device'>): string {
  return `apn${device}`;
}

/** Everything that is reached through it. */
export function destinations({ peers }: Pick<Uplink, 'peers'>): readonly Prefix[] {
  return peers.flatMap(({ allowedIps }) => allowedIps);
}

/** The same as it is asked for: what tunnel peers cannot ask for has an alias. */
export function targets({ peers }: Pick<Uplink, 'peers'>): readonly Prefix[] {
  return [...destinations({ peers }), ...aliases({ peers }).map(({ alias }) => hostPrefix(alias))];
}

/** Which alias stands for which address. */
export function aliases({
  peers,
}: Pick<Uplink, 'peers'>): readonly { readonly alias: Address; readonly address: Address }[] {
  return peers.flatMap((peer) => {
    const address = addressOf(peer);
    return peer.alias === null || address === null ? [] : [{ alias: peer.alias, address }];
  });
}

/** What a peer's name stands for: its first single address. */
export function addressOf({ allowedIps }: Pick<UplinkPeer, 'allowedIps'>): Address | null {
  const host = allowedIps.find(isHost);
  return host === undefined ? null : networkAddress(host);
}

/** Below our own domain our names are the only ones. */
function isOurs(name: string, { domain }: Config['network']): boolean {
  return name === domain || name.endsWith(`.${domain}`);
}

/** Its domains that are asked of its servers. */
export function relayedDomains({ dns }: Pick<Uplink, 'dns'>, network: Config['network']): readonly string[] {
  return dns.servers.length === 0 ? [] : dns.domains.filter((one) => !isOurs(one, network));
}

/** The lowest device number that no uplink has. @throws Conflict when every one is taken. */
export function freeDevice({ uplinks }: Pick<Config, 'uplinks'>): number {
  for (let n = 1; n <= mostUplinks; n++) if (!uplinks.some(({ device }) => device === n)) return n;
  throw new Conflict('', `There are ${mostUplinks} uplinks already: remove one first.`);
}

/** What a file says of an uplink; where the keys are kept is the caller's to say. */
export function fromFile(
  file: WireguardFile,
  presharedKeyOf: (peer: FilePeer) => string | null,
  before: Uplink | null,
  config: Config,
) {
  const aliasOf = aliasFinder(
    config,
    before,
    file.peers.flatMap(({ allowedIps }) => allowedIps),
  );
  const labels = new Map(before?.peers.map(({ publicKey, label }) => [publicKey, label]));
  const kept = new Set(file.peers.map(({ publicKey }) => labels.get(publicKey)).filter((label) => label != null));
  return {
    address: file.address,
    mtu: file.mtu ?? usualMtu,
    dns: file.dns,
    peers: file.peers.map((peer) => ({
      publicKey: peer.publicKey,
      presharedKey: presharedKeyOf(peer),
      endpoint: peer.endpoint,
      allowedIps: peer.allowedIps,
      keepalive: peer.keepalive,
      // A name that people use stays; a new one does not take it away.
      label: labels.get(peer.publicKey) ?? (peer.label !== null && kept.has(peer.label) ? null : peer.label),
      alias: aliasOf(peer),
    })),
  };
}

/** Gives every peer the alias that it had, else a free one where it needs one. */
function aliasFinder(
  config: Config,
  before: Uplink | null,
  own: readonly Prefix[],
): (peer: FilePeer) => Address | null {
  const known = new Map(before?.peers.map(({ publicKey, alias }) => [publicKey, alias]));
  const free = freeAliases(config, own);
  return (peer) => {
    const address = addressOf(peer);
    if (address === null || contains(config.network.range, address)) return null;
    return known.get(peer.publicKey) ?? free.next().value ?? null;
  };
}

function* freeAliases(config: Config, own: readonly Prefix[]): Generator<Address, undefined> {
  const taken = takenAddresses(config);
  const isUsed = overlapFinder([...own, ...config.applications.map(({ range }) => range)]);
  for (const range of aliasRanges(config.network)) {
    const size = Number(rangeOf(range).last - rangeOf(range).first);
    for (let n = 1; n < size; n++) {
      const alias = nth(range, n);
      if (!taken.has(alias) && !isUsed(alias)) yield alias;
    }
  }
}

/** What a newer file changes. Peers are told apart by their keys. */
export interface UplinkDifference {
  /** Fields of the uplink itself. */
  readonly fields: readonly ('address' | 'mtu' | 'dns' | 'privateKey')[];
  readonly added: readonly UplinkPeer[];
  readonly removed: readonly UplinkPeer[];
  readonly changed: readonly { readonly peer: UplinkPeer; readonly fields: readonly string[] }[];
  readonly unchanged: number;
}

const peerFields = ['presharedKey', 'endpoint', 'allowedIps', 'keepalive', 'label'] as const;

export function difference(before: Uplink, after: Uplink): UplinkDifference {
  const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
  const old = new Map(before.peers.map((peer) => [peer.publicKey, peer]));
  const now = new Set(after.peers.map(({ publicKey }) => publicKey));
  const both = after.peers.flatMap((peer) => {
    const was = old.get(peer.publicKey);
    return was === undefined ? [] : [{ peer, fields: peerFields.filter((field) => !same(was[field], peer[field])) }];
  });
  const changed = both.filter(({ fields }) => fields.length > 0);
  return {
    fields: [
      ...(['address', 'mtu', 'dns'] as const).filter((field) => !same(before[field], after[field])),
      ...(before.publicKey === after.publicKey ? [] : (['privateKey'] as const)),
    ],
    added: after.peers.filter(({ publicKey }) => !old.has(publicKey)),
    removed: before.peers.filter(({ publicKey }) => !now.has(publicKey)),
    changed,
    unchanged: both.length - changed.length,
  };
}

/** What is true of an uplink and may surprise: things of its file that are not used. */
export function notes(
  { dns: { servers, domains } }: Pick<Uplink, 'dns'>,
  network: Config['network'],
): readonly string[] {
  return [
    ...(servers.length > 0 && domains.length === 0
      ? ['Its DNS line has no search domain, so none of its DNS servers is asked.']
      : []),
    ...(servers.length === 0 && domains.length > 0
      ? ['Its DNS line has no server, so names of its search domains are not asked of it.']
      : []),
    ...domains
      .filter((one) => isOurs(one, network))
      .map((one) => `“${one}” is this hub's own domain: names below it are this hub's alone.`),
  ];
}

/** Every address that belongs to it. */
export function reserved(uplink: Pick<Uplink, 'address' | 'peers'>): readonly Prefix[] {
  return [hostPrefix(uplink.address), ...targets(uplink)];
}

/** Uplinks that no longer let in somebody who is removed. */
export function withoutGuest(uplinks: readonly Uplink[], gone: string): readonly Uplink[] {
  const left = (ids: readonly string[]) => ids.filter((id) => id !== gone);
  return uplinks.map((one) => {
    const { lan, members, applications } = one.access;
    if (![...members, ...applications, ...lan].includes(gone)) return one;
    const access = {
      lan: typeof lan === 'string' ? lan : left(lan),
      members: left(members),
      applications: left(applications),
    };
    return { ...one, access };
  });
}
