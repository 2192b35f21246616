// A knock: a refused handshake that the hub could read, and what becomes of it. Pure; DESIGN §6.
import { type Address, contains, family, hostPrefix, type Prefix } from './address.ts';
import type { Config, Device, Member, Rule, Server } from './config.ts';
import type { PublicKey } from './key.ts';
import { type Clock, capProblem, defaultDuration, type Lease, parseLeaseSource, stateOf } from './lease.ts';
import { reaches } from './roles.ts';
import { sourceProblem } from './rules.ts';

/** Why a knock was refused, or what was done about it. */
export type Outcome =
  | 'ask'
  | 'granted'
  | 'moved'
  | 'never'
  | 'disabled'
  | 'powerless'
  | 'source'
  | 'caps'
  | 'clock'
  | 'stuck'
  | 'late'
  | 'unsaved'
  | 'unknown'
  | 'unreadable';

/** One row of the refused list: the newest knock of a key, or of an address that sends what cannot be read. */
export interface Knock {
  /** The fingerprint; of an address that cannot be read, its own digits. */
  readonly id: string;
  readonly kind: 'device' | 'server' | 'unknown' | 'unreadable';
  /** Id of the device or server. */
  readonly peer: string | null;
  readonly publicKey: PublicKey | null;
  readonly source: Address;
  readonly port: number;
  /** Wall clock, milliseconds. */
  readonly firstSeen: number;
  readonly lastSeen: number;
  readonly count: number;
  /** The peer's clock is ahead of the hub's, or was: nothing is done by itself until somebody says so. */
  readonly clockAhead: boolean;
  readonly outcome: Outcome;
}

/** What a person is told. */
export const outcomeText: Readonly<Record<Outcome, string>> = {
  ask: 'Waits for somebody to let it in.',
  granted: 'Was let in.',
  moved: 'Its rule was moved to this address.',
  never: 'The member is never let in by a knock.',
  disabled: 'The member is disabled.',
  powerless: 'The member may not use any application.',
  source: 'This address cannot be let in.',
  caps: 'There are too many live leases.',
  clock: 'Its clock is ahead of the hub’s.',
  stuck: 'Its clock was ahead before, so this may be an old message: forget its clock if it is right now.',
  late: 'Its clock is behind, or this is an old message.',
  unsaved: 'It could not be written down.',
  unknown: 'Nobody has this key yet.',
  unreadable: 'It does not know the hub’s key.',
};

/** A member's devices are let in by themselves: by policy, or while the member is on the road. */
export function isAutomatic(member: Member, wall: number): boolean {
  if (member.leasePolicy === 'never') return false;
  return member.leasePolicy === 'auto' || (member.travelUntil !== null && member.travelUntil > wall);
}

export type Decision =
  | { readonly act: 'nothing'; readonly outcome: Outcome }
  | { readonly act: 'lease'; readonly member: string; readonly source: Prefix; readonly duration: number }
  | { readonly act: 'rule'; readonly server: string; readonly source: Prefix };

export interface Knocker {
  readonly device: Device | null;
  readonly server: Server | null;
  readonly source: Address;
}

const nothing = (outcome: Outcome): Decision => ({ act: 'nothing', outcome });

/** What to do about a knock by a known key, whose message is new. */
export function decide(knocker: Knocker, config: Config, leases: readonly Lease[], clock: Clock): Decision {
  const { device, server, source } = knocker;
  const member = config.members.find(({ id }) => id === device?.member);
  if (member !== undefined) return decideDevice(member, parseLeaseSource(source), config, leases, clock);
  if (server === null) return nothing('unknown');
  if (sourceProblem(hostPrefix(source), config) !== null) return nothing('source');
  // The message was refused a moment before.
  if (config.rules.some((rule) => rule.server === server.id && contains(rule.source, source))) return nothing('moved');
  return server.follow ? { act: 'rule', server: server.id, source: hostPrefix(source) } : nothing('ask');
}

function decideDevice(
  member: Member,
  source: Prefix,
  config: Config,
  leases: readonly Lease[],
  clock: Clock,
): Decision {
  if (member.disabled) return nothing('disabled');
  if (isPowerless(member, config)) return nothing('powerless');
  if (member.leasePolicy === 'never') return nothing('never');
  if (sourceProblem(source, config) !== null) return nothing('source');
  const live = leases.filter((lease) => stateOf(lease, clock) === 'active');
  // Already on its way: the message was refused a moment before.
  if (live.some((lease) => lease.member === member.id && contains(lease.source, source))) return nothing('granted');
  if (!isAutomatic(member, clock.wall)) return nothing('ask');
  if (capProblem(leases, member.id, clock) !== null) return nothing('caps');
  const until = member.leasePolicy === 'auto' ? null : member.travelUntil;
  const duration = until === null ? defaultDuration : Math.min(defaultDuration, until - clock.wall);
  return { act: 'lease', member: member.id, source, duration };
}

/** Its devices reach nothing. Before there is an application, the role for everything says so. */
function isPowerless(member: Member, { applications }: Config): boolean {
  if (applications.length === 0) return member.role === 'viewer';
  return !applications.some(({ id }) => reaches(member, id));
}

/** The configuration with this server's rules for the source's family replaced by one for the source. */
export function withServerAt(config: Config, server: string, source: Prefix, ruleId: string): Config {
  const moves = (rule: Rule) => rule.server === server && family(rule.source) === family(source);
  const old = config.rules.find(moves);
  const rule = { id: old?.id ?? ruleId, source, note: old?.note ?? '', server };
  return { ...config, rules: [...config.rules.filter((one) => !moves(one)), rule] };
}
