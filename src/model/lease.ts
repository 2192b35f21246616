// Leases: temporary openings of UDP 51820. Pure arithmetic over time that is passed in; see DESIGN "Time".
import { fromNumber, isHost, type Prefix, parseAddress, parsePrefix, prefixOf, rangeOf } from './address.ts';
import { Conflict, InvalidInput } from './errors.ts';

/** What the machine's clocks say at one moment. Milliseconds. */
export interface Clock {
  /** Wall clock, since 1970. May jump. */
  readonly wall: number;
  /** Monotonic, since the machine started; the same for every process of one boot. */
  readonly boot: number;
  readonly bootId: string;
  /** Whether the wall clock is known to be right. */
  readonly synchronised: boolean;
}

/** One grant as it is stored. Times in milliseconds. */
export interface Lease {
  readonly id: string;
  readonly source: Prefix;
  /** Whom it is for; null: nobody in particular. */
  readonly member: string | null;
  /** Who granted it or renewed it last, and when. */
  readonly grantedBy: string;
  readonly reason: string;
  readonly grantedAt: number;
  readonly expiresAt: number;
  /** The boot that `deadline` belongs to; in any other boot `remaining` counts. */
  readonly bootId: string;
  /** End on the monotonic clock of that boot. */
  readonly deadline: number;
  /** What was left at the last checkpoint. */
  readonly remaining: number;
  /** Restored after a boot: from then on a corrected wall clock may shorten it. */
  readonly restored: boolean;
  readonly end: { readonly at: number; readonly how: 'expired' | 'revoked' } | null;
}

/** At most this many live leases for one member, and in all. */
export const leasesPerMember = 3;
export const leasesInAll = 256;
export const defaultDuration = 24 * 3600_000;
export const longestDuration = 30 * 24 * 3600_000;

/** What is asked for: by a person, or by a knock. */
export interface LeaseWish {
  readonly id: string;
  readonly source: Prefix;
  readonly member: string | null;
  readonly grantedBy: string;
  readonly reason: string;
  /** Milliseconds. */
  readonly duration: number;
}

/** @param live Leases that have not ended. @throws Conflict when there are too many already. */
export function makeLease({ duration, ...wish }: LeaseWish, live: readonly Lease[], clock: Clock): Lease {
  const full = capProblem(live, wish.member, clock);
  if (full !== null) throw new Conflict(full.path, full.message);
  return {
    ...wish,
    grantedAt: clock.wall,
    expiresAt: clock.wall + duration,
    bootId: clock.bootId,
    deadline: clock.boot + duration,
    remaining: duration,
    restored: false,
    end: null,
  };
}

/** Why there cannot be one more, or null. */
export function capProblem(
  live: readonly Lease[],
  member: string | null,
  clock: Clock,
): { readonly path: '' | 'member'; readonly message: string } | null {
  const active = live.filter((lease) => stateOf(lease, clock) !== 'expired');
  if (active.length >= leasesInAll) {
    return { path: '', message: `There are ${leasesInAll} live leases already: revoke some.` };
  }
  if (member !== null && active.filter((lease) => lease.member === member).length >= leasesPerMember) {
    return { path: 'member', message: `This member has ${leasesPerMember} live leases already: revoke one.` };
  }
  return null;
}

export type LeaseState = 'active' | 'waiting' | 'expired' | 'revoked';

/** `waiting`: of an earlier boot, and the clock is not synchronised yet, so nobody knows what is left of it. */
export function stateOf(lease: Lease, clock: Clock): LeaseState {
  if (lease.end !== null) return lease.end.how;
  const left = remaining(lease, clock);
  if (left === null) return 'waiting';
  return left > 0 ? 'active' : 'expired';
}

/** Milliseconds left, 0 when over, null while that cannot be known. Never more than was granted. */
export function remaining(lease: Lease, clock: Clock): number | null {
  if (lease.end !== null) return 0;
  const onTheWall = lease.expiresAt - clock.wall;
  if (lease.bootId === clock.bootId) {
    const left = lease.deadline - clock.boot;
    return Math.max(0, lease.restored && clock.synchronised ? Math.min(left, onTheWall) : left);
  }
  if (!clock.synchronised) return null;
  return Math.max(0, Math.min(lease.remaining, onTheWall));
}

/** The same lease as a record of this boot. Shortens it where the wall clock says so; a waiting one stays as it is. */
export function restore(lease: Lease, clock: Clock): Lease {
  const left = remaining(lease, clock);
  if (lease.end !== null || left === null) return lease;
  const sameBoot = lease.bootId === clock.bootId;
  const deadline = clock.boot + left;
  if (sameBoot && deadline >= lease.deadline) return lease;
  return { ...lease, bootId: clock.bootId, deadline, remaining: left, restored: lease.restored || !sameBoot };
}

/** The same lease with what is left written down, for the next boot. */
export function checkpoint(lease: Lease, clock: Clock): Lease {
  const left = remaining(lease, clock);
  return left === null || lease.bootId !== clock.bootId ? lease : { ...lease, remaining: left };
}

/**
 * The same lease from this moment on, for at least `duration` milliseconds; never shorter than what is left of it.
 * @param by Who renews it: from then on it is his grant.
 */
export function renewed(lease: Lease, duration: number, by: string, clock: Clock): Lease {
  const left = Math.max(duration, remaining(lease, clock) ?? 0);
  return {
    ...lease,
    grantedBy: by,
    grantedAt: clock.wall,
    expiresAt: clock.wall + left,
    bootId: clock.bootId,
    deadline: clock.boot + left,
    remaining: left,
    restored: false,
  };
}

const minute = 60_000;

/** What is left, in milliseconds, when people are warned of the end: early enough, and not just after the grant. */
export function warnings({ expiresAt, grantedAt }: Lease): readonly number[] {
  const whole = expiresAt - grantedAt;
  const usual = [60 * minute, 10 * minute].filter((mark) => mark <= whole / 2);
  return usual.length === 0 ? [whole / 10] : usual;
}

/** Whether the last stretch has begun: it is time to renew. */
export function endsSoon(lease: Lease, clock: Clock): boolean {
  const left = remaining(lease, clock);
  return left !== null && left > 0 && left <= Math.max(...warnings(lease));
}

/** What the kernel has to hold: a block of addresses and the end on the monotonic clock. */
export interface Opening {
  /** First and last address as numbers of the family. */
  readonly family: 4 | 6;
  readonly first: bigint;
  readonly last: bigint;
  readonly deadline: number;
}

/**
 * Live leases as the kernel's elements: exact addresses one each, prefixes cut into blocks that do not overlap, because
 * an interval set refuses overlapping elements. Every address is open until the latest end of the leases that hold it.
 */
export function openings(
  leases: readonly Lease[],
  clock: Clock,
): { exact: readonly Opening[]; blocks: readonly Opening[] } {
  const live = leases
    .filter((lease) => stateOf(lease, clock) === 'active' && lease.bootId === clock.bootId)
    .map((lease) => ({ host: isHost(lease.source), ...rangeOf(lease.source), deadline: lease.deadline }));
  const exact = new Map<string, Opening>();
  for (const { host, family, first, last, deadline } of live) {
    const key = `${family} ${first}`;
    if (host && deadline > (exact.get(key)?.deadline ?? 0)) exact.set(key, { family, first, last, deadline });
  }
  const wide = live.filter(({ host }) => !host);
  return {
    exact: [...exact.values()],
    blocks: [...cut(wide.filter((one) => one.family === 4)), ...cut(wide.filter((one) => one.family === 6))],
  };
}

/** Cuts at every border and joins neighbours with the same end. */
function cut(wide: readonly Opening[]): Opening[] {
  const borders = [...new Set(wide.flatMap(({ first, last }) => [first, last + 1n]))].sort((a, b) => (a < b ? -1 : 1));
  const blocks: Opening[] = [];
  for (const [i, first] of borders.entries()) {
    const next = borders[i + 1];
    if (next === undefined) break;
    const over = wide.filter((one) => one.first <= first && first <= one.last);
    const [one] = over;
    if (one === undefined) continue;
    const deadline = Math.max(...over.map((each) => each.deadline));
    const previous = blocks.at(-1);
    if (previous !== undefined && previous.last + 1n === first && previous.deadline === deadline) {
      blocks[blocks.length - 1] = { ...previous, last: next - 1n };
    } else {
      blocks.push({ family: one.family, first, last: next - 1n, deadline });
    }
  }
  return blocks;
}

/**
 * The source a lease is for: a bare IPv4 address is exact, a bare IPv6 address is its /64 (machines change the lower
 * half by themselves, RFC 8981), a prefix is what it says.
 */
export function parseLeaseSource(text: string): Prefix {
  if (text.includes('/')) return parsePrefix(text);
  const address = parseAddress(text);
  return address.includes(':') ? prefixOf(address, 64) : parsePrefix(`${address}/32`);
}

const units: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3600_000, d: 24 * 3600_000 };

/** `30s`, `10m`, `24h`, `7d` as milliseconds. @throws InvalidInput for anything else, zero, and more than 30 days. */
export function parseDuration(text: string): number {
  const match = /^([1-9]\d{0,6})([smhd])$/.exec(text);
  const duration = Number(match?.[1]) * (units[match?.[2] ?? ''] ?? Number.NaN);
  if (!(duration > 0)) throw new InvalidInput('', 'A duration is a number with s, m, h or d, such as 24h.');
  if (duration > longestDuration) throw new InvalidInput('', 'A lease lasts at most 30 days; make a rule for longer.');
  return duration;
}

/** A source as people write it: a bare address when it is exactly one. */
export function sourceText(source: Prefix): string {
  return isHost(source) ? source.slice(0, source.indexOf('/')) : source;
}

/** `198.51.100.0-198.51.100.127`, or one address. */
export function openingText({ family, first, last }: Opening): string {
  const from = fromNumber(family, first);
  return first === last ? from : `${from}-${fromNumber(family, last)}`;
}
