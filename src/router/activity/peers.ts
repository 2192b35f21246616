// What changed between two looks at the tunnel: who came, who moved, who went, and which leases a move leaves behind.
import { type Address, contains } from '../../model/address.ts';
import type { Config, Device } from '../../model/config.ts';
import type { PublicKey } from '../../model/key.ts';
import { type Clock, type Lease, stateOf } from '../../model/lease.ts';

export interface Peer {
  /** WireGuard takes it from authenticated packets alone. */
  readonly endpoint: { readonly address: Address } | null;
  /** Wall clock, milliseconds; null: never. */
  readonly lastHandshake: number | null;
}

/** What is remembered of a peer from one look to the next. */
export interface Seen {
  /** The last endpoint it had; null: none yet. */
  readonly address: Address | null;
  readonly connected: boolean;
  /** Wall clock of the last look that found it connected there; null: none has. */
  readonly last: number | null;
  readonly lastHandshake: number | null;
}

export type Sightings = ReadonlyMap<PublicKey, Seen>;

export type PeerEvent =
  /** `silent`: milliseconds since the handshake before; null: it is the first. */
  | { readonly kind: 'connected'; readonly key: PublicKey; readonly at: Address | null; readonly silent: number | null }
  | {
      readonly kind: 'moved';
      readonly key: PublicKey;
      readonly from: Address;
      readonly last: number | null;
      readonly to: Address;
    }
  | { readonly kind: 'disconnected'; readonly key: PublicKey; readonly at: Address | null };

/** A session is made anew every two minutes while it is used; older than three means gone (WireGuard §6.1). */
const sessionLifetime = 180_000;

const unseen: Seen = { address: null, connected: false, last: null, lastHandshake: null };

/** @param before Null: this is the first look, which says how things are and tells nothing. */
export function compare(
  before: Sightings | null,
  peers: ReadonlyMap<PublicKey, Peer>,
  wall: number,
): { readonly seen: Sightings; readonly events: readonly PeerEvent[] } {
  const seen = new Map<PublicKey, Seen>();
  const events: PeerEvent[] = [];
  for (const [key, { endpoint, lastHandshake }] of peers) {
    const old = before?.get(key) ?? unseen;
    const connected = lastHandshake !== null && wall - lastHandshake < sessionLifetime;
    // A device that was made again has forgotten where its peers were.
    const address = endpoint?.address ?? old.address;
    const last = connected ? wall : address === old.address ? old.last : null;
    seen.set(key, { address, connected, last, lastHandshake: lastHandshake ?? old.lastHandshake });
    if (before === null) continue;
    if (connected && !old.connected) {
      const silent = old.lastHandshake === null ? null : lastHandshake - old.lastHandshake;
      events.push({ kind: 'connected', key, at: address, silent });
    }
    if (old.address !== null && address !== null && address !== old.address) {
      events.push({ kind: 'moved', key, from: old.address, last: old.last, to: address });
    }
    if (!connected && old.connected) events.push({ kind: 'disconnected', key, at: address });
  }
  return { seen, events };
}

export interface Move {
  readonly device: Device;
  readonly from: Address;
  /** When it was connected there last, wall clock; null: nobody saw it. */
  readonly last: number | null;
  readonly to: Address;
}

/**
 * The leases that end because their member's device comes from somewhere else now: his own ones for the old address that
 * it has used, unless another of his devices still comes from there. One that was granted since then is for what comes.
 */
export function leftBehind(
  { device, from, last, to }: Move,
  { devices }: Config,
  leases: readonly Lease[],
  seen: Sightings,
  clock: Clock,
): readonly Lease[] {
  const others = devices.filter(({ id, member }) => member === device.member && id !== device.id);
  const stays = others.flatMap(({ publicKey }) => {
    const other = seen.get(publicKey);
    return other?.connected === true && other.address !== null ? [other.address] : [];
  });
  return leases.filter(
    (lease) =>
      lease.member === device.member &&
      stateOf(lease, clock) === 'active' &&
      last !== null &&
      lease.grantedAt <= last &&
      contains(lease.source, from) &&
      !contains(lease.source, to) &&
      !stays.some((address) => contains(lease.source, address)),
  );
}
