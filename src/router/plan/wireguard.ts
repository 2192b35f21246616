// WireGuard: the devices the hub needs, and the changes that make the kernel's devices equal to them.
import { type Address, hostPrefix, isLiteral, type Prefix } from '../../model/address.ts';
import { type Config, listenPort } from '../../model/config.ts';
import type { PresharedKey, PrivateKey, PublicKey } from '../../model/key.ts';
import { claimed } from '../../model/roles.ts';
import { type UplinkPeer, uplinkDevice } from '../../model/uplink.ts';

/** The hub's device. Uplinks are apn1 and up. */
export const hubDevice = 'apn0';

export interface Endpoint {
  readonly address: Address;
  readonly port: number;
}

export interface Peer {
  readonly publicKey: PublicKey;
  readonly presharedKey: PresharedKey | null;
  /** What it may send from, and what is sent to it. */
  readonly allowedIps: readonly Prefix[];
  /** Seconds; 0: off. */
  readonly keepalive: number;
  /** Where to call it; null: it calls, or where it is stays as it is. */
  readonly endpoint: Endpoint | null;
}

export interface WireguardDevice {
  readonly name: string;
  readonly privateKey: PrivateKey;
  /** 0: any. */
  readonly listenPort: number;
  readonly peers: ReadonlyMap<PublicKey, Peer>;
  /** Where peers last called from: told to those that nobody has called from anywhere since the device was made. */
  readonly last?: ReadonlyMap<PublicKey, Endpoint>;
}

export interface ObservedPeer extends Peer {
  /** Where it was last told to be called; it may have moved since. Null: nobody said. */
  readonly configured: Endpoint | null;
  /** Wall clock, milliseconds; null: never. */
  readonly lastHandshake: number | null;
  readonly rxBytes: number;
  readonly txBytes: number;
}

export interface ObservedWireguardDevice {
  readonly name: string;
  readonly privateKey: PrivateKey | null;
  readonly listenPort: number;
  readonly peers: ReadonlyMap<PublicKey, ObservedPeer>;
}

export type DesiredWireguard = readonly WireguardDevice[];
export type ObservedWireguard = readonly ObservedWireguardDevice[];

export type WireguardOperation =
  | { readonly kind: 'wireguard.remove-peers'; readonly device: string; readonly peers: readonly PublicKey[] }
  | {
      readonly kind: 'wireguard.configure';
      readonly device: string;
      readonly privateKey: PrivateKey;
      readonly listenPort: number;
    }
  /**
   * Adds peers, or replaces what is said of them; session and counters of a known peer stay, and so does its endpoint
   * where none is given.
   */
  | { readonly kind: 'wireguard.set-peers'; readonly device: string; readonly peers: readonly Peer[] };

export interface WireguardInput {
  readonly config: Config;
  readonly hubPrivateKey: PrivateKey;
  readonly presharedKeys: ReadonlyMap<string, PresharedKey>;
  /** By the uplink's id. */
  readonly uplinkKeys: ReadonlyMap<string, PrivateKey>;
}

/**
 * @param found Addresses of the host names among the endpoints.
 * @param last Where servers called from before the hub was started anew.
 */
export function compileWireguard(
  { config, hubPrivateKey, presharedKeys, uplinkKeys }: WireguardInput,
  found: ReadonlyMap<string, Address> = new Map(),
  last: ReadonlyMap<PublicKey, Endpoint> = new Map(),
): DesiredWireguard {
  const disabled = new Set(config.members.filter((one) => one.disabled).map(({ id }) => id));
  const devices = config.devices.filter(({ member }) => !disabled.has(member));
  const known = claimed(config) ? [...config.servers, ...devices] : [];
  const peers = known.map((one) => ({
    ...{ publicKey: one.publicKey, presharedKey: one.presharedKey },
    ...{ allowedIps: [hostPrefix(one.address)], keepalive: 0, endpoint: null },
  }));
  return [
    { name: hubDevice, privateKey: hubPrivateKey, listenPort, peers: keyed(peers, presharedKeys), last },
    ...(claimed(config) ? config.uplinks : []).flatMap((one) => {
      const privateKey = uplinkKeys.get(one.id);
      if (privateKey === undefined) return [];
      const called = one.peers.map((peer) => ({ ...peer, endpoint: endpointOf(peer.endpoint, found) }));
      return [{ name: uplinkDevice(one), privateKey, listenPort: 0, peers: keyed(called, presharedKeys) }];
    }),
  ];
}

/** A host name without an address yet is called nowhere. */
function endpointOf({ host, port }: UplinkPeer['endpoint'], found: ReadonlyMap<string, Address>): Endpoint | null {
  const address = isLiteral(host) ? host : found.get(host);
  return address === undefined ? null : { address, port };
}

/** A peer whose preshared key cannot be read stays out rather than going without. */
function keyed(
  peers: readonly (Omit<Peer, 'presharedKey'> & { readonly presharedKey: string | null })[],
  presharedKeys: ReadonlyMap<string, PresharedKey>,
): ReadonlyMap<PublicKey, Peer> {
  const known = new Map<PublicKey, Peer>();
  for (const { publicKey, presharedKey, allowedIps, keepalive, endpoint } of peers) {
    const key = presharedKey === null ? null : presharedKeys.get(presharedKey);
    if (key === undefined) continue;
    known.set(publicKey, { publicKey, presharedKey: key, allowedIps, keepalive, endpoint });
  }
  return known;
}

/** Removals come first: a right taken away is gone before anything is given. */
export function planWireguard(desired: DesiredWireguard, observed: ObservedWireguard): readonly WireguardOperation[] {
  return desired.flatMap((device) =>
    planDevice(
      device,
      observed.find(({ name }) => name === device.name),
    ),
  );
}

function planDevice(device: WireguardDevice, now: ObservedWireguardDevice | undefined): readonly WireguardOperation[] {
  const operations: WireguardOperation[] = [];
  const gone = [...(now?.peers.keys() ?? [])].filter((key) => !device.peers.has(key));
  if (gone.length > 0) operations.push({ kind: 'wireguard.remove-peers', device: device.name, peers: gone });
  const sameKey = now?.privateKey?.equals(device.privateKey) === true;
  if (!sameKey || !samePort(device, now.listenPort)) {
    const { name, privateKey, listenPort: port } = device;
    operations.push({ kind: 'wireguard.configure', device: name, privateKey, listenPort: port });
  }
  const changed = [...device.peers.values()].flatMap((peer) => {
    const there = now?.peers.get(peer.publicKey);
    const endpoint = isCalled(peer, there) ? peer.endpoint : lastOf(device, peer, there);
    if (endpoint === null && samePeer(peer, there)) return [];
    return [{ ...peer, endpoint }];
  });
  if (changed.length > 0) operations.push({ kind: 'wireguard.set-peers', device: device.name, peers: changed });
  return operations;
}

/** Any port will do where none is asked for, but the hub's. */
function samePort(device: WireguardDevice, now: number): boolean {
  return device.listenPort === 0 ? now !== listenPort : now === device.listenPort;
}

/** Whether it has to be told where to call: not when it has only moved since it was told. */
function isCalled({ endpoint }: Peer, now: ObservedPeer | undefined): boolean {
  if (endpoint === null) return false;
  const told = now?.configured;
  return told == null || told.address !== endpoint.address || told.port !== endpoint.port;
}

/** Null: it is somewhere already, or nobody knows. */
function lastOf({ last }: WireguardDevice, { publicKey }: Peer, now: ObservedPeer | undefined): Endpoint | null {
  return now?.endpoint == null ? (last?.get(publicKey) ?? null) : null;
}

function samePeer(desired: Peer, now: Peer | undefined): boolean {
  if (now === undefined || now.keepalive !== desired.keepalive) return false;
  if (desired.presharedKey === null || now.presharedKey === null) {
    if (desired.presharedKey !== now.presharedKey) return false;
  } else if (!desired.presharedKey.equals(now.presharedKey)) return false;
  return sameMembers(desired.allowedIps, now.allowedIps);
}

function sameMembers(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  const set = new Set(a);
  return b.every((one) => set.has(one));
}
