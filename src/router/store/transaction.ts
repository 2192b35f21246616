// What the store tells and takes: a snapshot, and the changes of one save.
import type { Config } from '../../model/config.ts';
import type { PresharedKey, PrivateKey } from '../../model/key.ts';
import type { Lease } from '../../model/lease.ts';
import type { Kept } from './history.ts';
import type { Damaged } from './objects.ts';
import type { Pending } from './pending.ts';
import type { Ticket, TicketKind, TicketRequest } from './tickets.ts';

/** What the router knows at one revision. */
export interface Snapshot {
  readonly revision: number;
  readonly config: Config;
  /** Objects whose sealed values do not open: they are left out of `config`, and stay in the store as they are. */
  readonly damaged: readonly Damaged[];
  readonly hubPrivateKey: PrivateKey;
  readonly presharedKeys: ReadonlyMap<string, PresharedKey>;
  /** Private keys of uplinks by the uplink's id. */
  readonly uplinkKeys: ReadonlyMap<string, PrivateKey>;
  readonly leases: readonly Lease[];
  /** The network edit that waits to be confirmed. */
  readonly pending: Pending | null;
}

/** What may be written beside the configuration. */
export interface Amendment {
  /** A sealed value that belongs to the object with this id; null takes it away. */
  putSecret(row: string, column: string, value: Uint8Array | null): void;
  /** Uses up a ticket that works once, together with everything else that is saved. */
  spend(ticket: Ticket): void;
  /** Makes a ticket together with everything else that is saved. */
  issue(kind: TicketKind, request: TicketRequest & { readonly text: string }): void;
  /** Ends all tickets of an owner, of one kind or of every kind. */
  endTickets(owner: string, kind?: TicketKind, except?: string): void;
  /** Who did what; a save that says nothing is written down by its summary. */
  audit(event: string, body: Readonly<Record<string, unknown>>): void;
}

/** What a save may do. Everything or nothing is written. */
export interface Transaction extends Amendment {
  readonly config: Config;
  readonly leases: readonly Lease[];
  put(config: Config): void;
  putPresharedKey(id: string, key: PresharedKey): void;
  putUplinkKey(id: string, key: PrivateKey): void;
  putLease(lease: Lease): void;
  /** Takes out a damaged object, which `config` does not hold. */
  dropDamaged(id: string): void;
  /** Puts back what the history keeps for an object that returns. */
  revive(kept: Kept): void;
  /** From now on this save waits to be confirmed; null: nothing waits any more. */
  pend(pending: Omit<Pending, 'revision'> | null): void;
}

export interface SaveOptions {
  readonly actor: string;
  readonly summary: string;
  /** Refuse when the configuration has moved on from this revision. */
  readonly revision?: number;
  /** The noun and id the caller is editing: problems there are named by the bare field. */
  readonly editing?: { readonly noun: string; readonly id: string };
}

export interface StoreOptions {
  readonly folder: string;
  /** Wall clock, milliseconds. */
  readonly now: () => number;
  readonly makeHubKey: () => PrivateKey;
  readonly publicKeyOf: (key: PrivateKey) => string;
  /** A folder in memory: where a copy is opened when the disk cannot be written. */
  readonly scratch?: string;
}
