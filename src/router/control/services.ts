// What the control API is given: the store, the clock, and ways to wake and to look, but no driver.
import type { Hono } from 'hono';
import type { Binding } from '../../model/access.ts';
import type { Address } from '../../model/address.ts';
import type { PublicKey } from '../../model/key.ts';
import type { Clock } from '../../model/lease.ts';
import type { Principal } from '../../model/roles.ts';
import type { Conditions } from '../conditions.ts';
import type { Store } from '../store/store.ts';

/** What the tunnel says of a peer right now. */
export interface LivePeer {
  readonly endpoint: { readonly address: Address; readonly port: number } | null;
  /** Wall clock, milliseconds; null: never. */
  readonly lastHandshake: number | null;
  readonly rxBytes: number;
  readonly txBytes: number;
}

export interface LiveTunnel {
  readonly up: boolean;
  readonly peers: ReadonlyMap<PublicKey, LivePeer>;
}

/** Leases concern the firewall alone, and are in a hurry. */
export type Saved = 'everything' | 'leases';

export interface Services {
  readonly store: Store;
  readonly conditions: Conditions;
  readonly hubPublicKey: PublicKey;
  readonly clock: () => Clock;
  /** A new id: sorts by the time it was made. */
  readonly newId: () => string;
  readonly newPresharedKey: () => Uint8Array;
  /** Has everything that depends on what was saved look again. */
  readonly wake: (what: Saved) => void;
  readonly appliedRevision: () => number;
  /** Whether the machine agrees with the revision, as far as what was saved goes; waits so many milliseconds for it. */
  readonly applied: (revision: number, timeout: number, what: Saved) => Promise<boolean>;
  readonly tunnel: () => Promise<LiveTunnel>;
  /** Addresses DHCP has handed out. */
  readonly leased: () => readonly (Binding & { readonly hostName: string })[];
  /** Called with every change worth showing; the answer ends it. */
  readonly onChange: (listener: () => void) => () => void;
  /** Wall clock, milliseconds. */
  readonly startedAt: number;
}

export interface Env {
  Variables: { services: Services; principal: Principal };
}

export type Routes = Hono<Env>;

/** A handshake is repeated every two minutes while there is traffic; older than three means gone (WireGuard §6.1). */
const sessionLifetime = 180_000;

export function isConnected(peer: LivePeer | undefined, wall: number): boolean {
  return peer?.lastHandshake != null && wall - peer.lastHandshake < sessionLifetime;
}
