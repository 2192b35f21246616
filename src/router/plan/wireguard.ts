// WireGuard: the devices the hub needs, and the changes that make the kernel's devices equal to them.
import { type Address, hostPrefix, type Prefix } from '../../model/address.ts';
import { type Config, listenPort } from '../../model/config.ts';
import type { PresharedKey, PrivateKey, PublicKey } from '../../model/key.ts';

/** The hub's device. Uplinks are apn1 and up. */
export const hubDevice = 'apn0';

export interface Peer {
  readonly publicKey: PublicKey;
  readonly presharedKey: PresharedKey | null;
  /** What it may send from, and what is sent to it. */
  readonly allowedIps: readonly Prefix[];
  /** Seconds; 0: off. */
  readonly keepalive: number;
}

export interface WireguardDevice {
  readonly name: string;
  readonly privateKey: PrivateKey;
  readonly listenPort: number;
  readonly peers: ReadonlyMap<PublicKey, Peer>;
}

export interface ObservedPeer extends Peer {
  readonly endpoint: { readonly address: Address; readonly port: number } | null;
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
  /** Adds peers, or replaces what is said of them; endpoint, session and counters of a known peer stay. */
  | { readonly kind: 'wireguard.set-peers'; readonly device: string; readonly peers: readonly Peer[] };

export interface WireguardInput {
  readonly config: Config;
  readonly hubPrivateKey: PrivateKey;
  readonly presharedKeys: ReadonlyMap<string, PresharedKey>;
}

export function compileWireguard({ config, hubPrivateKey, presharedKeys }: WireguardInput): DesiredWireguard {
  const disabled = new Set(config.members.filter((one) => one.disabled).map(({ id }) => id));
  const devices = config.devices.filter(({ member }) => !disabled.has(member));
  const peers = new Map<PublicKey, Peer>();
  for (const { publicKey, address, presharedKey } of [...config.servers, ...devices]) {
    const key = presharedKey === null ? null : presharedKeys.get(presharedKey);
    // A peer whose preshared key cannot be read stays out rather than going without.
    if (key === undefined) continue;
    peers.set(publicKey, { publicKey, presharedKey: key, allowedIps: [hostPrefix(address)], keepalive: 0 });
  }
  return [{ name: hubDevice, privateKey: hubPrivateKey, listenPort, peers }];
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
  if (!sameKey || now?.listenPort !== device.listenPort) {
    const { name, privateKey, listenPort: port } = device;
    operations.push({ kind: 'wireguard.configure', device: name, privateKey, listenPort: port });
  }
  const changed = [...device.peers.values()].filter((peer) => !samePeer(peer, now?.peers.get(peer.publicKey)));
  if (changed.length > 0) operations.push({ kind: 'wireguard.set-peers', device: device.name, peers: changed });
  return operations;
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
