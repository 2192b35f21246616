// What the control API is given: the store, the clock, and ways to wake and to look, but no driver.
import type { Hono } from 'hono';
import type { Binding } from '../../model/access.ts';
import type { Address, Prefix } from '../../model/address.ts';
import type { PrivateKey, PublicKey } from '../../model/key.ts';
import type { Knock } from '../../model/knock.ts';
import type { Clock } from '../../model/lease.ts';
import type { Principal } from '../../model/roles.ts';
import type { Conditions } from '../conditions.ts';
import type { Store } from '../store/store.ts';
import type { Announcements } from './announcements.ts';
import type { Attempts } from './attempts.ts';
import type { Passwords } from './passwords.ts';

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
  /** Peers of uplinks by their device. */
  readonly devices: ReadonlyMap<string, ReadonlyMap<PublicKey, LivePeer>>;
}

/** Leases concern the firewall alone, and are in a hurry. */
export type Saved = 'everything' | 'leases';

/** The refused list, see model/knock.ts. */
export interface Knocks {
  /** Known peers first, then unknown keys, then what cannot be read; the newest of each first. */
  readonly list: () => readonly Knock[];
  /** Writes down that this message was seen: before anything is done for its sender. @throws StoreUnavailable */
  readonly settle: (knock: Knock) => void;
  readonly dismiss: (id: string) => void;
  /** Takes a peer's next handshake, although it was seen with a later time. @throws StoreUnavailable */
  readonly forgetClock: (publicKey: PublicKey) => void;
}

export interface Services {
  readonly store: Store;
  readonly conditions: Conditions;
  readonly hubPublicKey: PublicKey;
  readonly clock: () => Clock;
  /** A new id: sorts by the time it was made. */
  readonly newId: () => string;
  readonly newPresharedKey: () => Uint8Array;
  readonly publicKeyOf: (key: PrivateKey) => PublicKey;
  /** What a network port has now, IPv6 too. */
  readonly portAddresses: (port: string) => readonly { readonly address: Address; readonly range: Prefix }[];
  /** Names of the network ports there are. */
  readonly ports: () => Promise<readonly string[]>;
  readonly passwords: Passwords;
  readonly attempts: Attempts;
  /** Why nobody may claim the router from the LAN; null: somebody may. */
  readonly setupProblem: () => string | null;
  /** Has everything that depends on what was saved look again. */
  readonly wake: (what: Saved) => void;
  readonly appliedRevision: () => number;
  /** Whether the machine agrees with the revision, as far as what was saved goes; waits so many milliseconds for it. */
  readonly applied: (revision: number, timeout: number, what: Saved) => Promise<boolean>;
  readonly tunnel: () => Promise<LiveTunnel>;
  readonly knocks: Knocks;
  /** Addresses DHCP has handed out. */
  readonly leased: () => readonly (Binding & { readonly hostName: string })[];
  /** Called with every change worth showing; the answer ends it. */
  readonly onChange: (listener: () => void) => () => void;
  readonly announcements: Announcements;
  /** Starts the router anew, once what is being answered is out. The data plane does not notice. */
  readonly restart: () => void;
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
