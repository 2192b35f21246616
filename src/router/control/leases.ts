// /leases: temporary openings of UDP 51820.
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { contains, type Prefix } from '../../model/address.ts';
import { type Config, text } from '../../model/config.ts';
import { NotFound } from '../../model/errors.ts';
import {
  type Clock,
  defaultDuration,
  endsSoon,
  type Lease,
  parseDuration,
  parseLeaseSource,
  remaining,
  sourceText,
  stateOf,
} from '../../model/lease.ts';
import type { Scope } from '../../model/roles.ts';
import { grantLease } from '../store/grant.ts';
import { actor, body, configOf, needs, save } from './http.ts';
import { leaseFor } from './scope.ts';
import type { Env, Services } from './services.ts';

const addition = z.strictObject({
  source: text(parseLeaseSource),
  for: text(parseDuration).default(defaultDuration),
  member: z.string().nullable().default(null),
  reason: z.string().max(200).default(''),
});

/** A lease as it is shown. */
export const leaseAnswer = z.strictObject({
  id: z.string(),
  source: z.string(),
  member: z.string().nullable(),
  grantedBy: z.string(),
  reason: z.string(),
  grantedAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
  remainingSeconds: z.int(),
  /** It is time to renew it. */
  endingSoon: z.boolean(),
  state: z.enum(['active', 'waiting', 'expired', 'revoked']),
});

const listing = {
  title: 'The live leases.',
  query: { all: '`yes`: ended ones as well' },
  answer: z.array(leaseAnswer),
};

const revocation = {
  title: 'Revoke a lease, by id or source.',
  answer: z.strictObject({ revoked: z.array(z.string()) }),
};

export const leases = new Hono<Env>()
  .get('/', needs('see', listing), (c) => {
    const { store, clock } = c.get('services');
    const ended = c.req.query('all') === 'yes' ? store.endedLeases(200) : [];
    return c.json([...store.snapshot.leases, ...ended].map((lease) => leaseView(configOf(c), lease, clock())));
  })
  .post(
    '/',
    needs('lease', {
      ...{ title: 'Open UDP 51820 to a source for a time.', body: addition, answer: leaseAnswer },
      scope: forWhom,
    }),
    async (c) => {
      const asked = await body(c, addition);
      const member = await leaseFor(c, configOf(c));
      const { clock, newId, store } = c.get('services');
      const now = clock();
      const id = newId();
      const lease = await save(
        c,
        { noun: 'leases', id, summary: `lease for ${sourceText(asked.source)}` },
        (transaction) => {
          const { source, reason, for: duration } = asked;
          return grantLease(transaction, { id, source, member, grantedBy: actor(c), reason, duration }, now);
        },
        'leases',
      );
      return c.json(leaseView(store.snapshot.config, lease, clock()), 201);
    },
  )
  .delete('/:lease{.+}', needs('lease', { ...revocation, scope: whose }), async (c) => {
    const reference = c.req.param('lease');
    const now = c.get('services').clock();
    const revoked = findLeases(c.get('services'), reference);
    await save(
      c,
      { noun: 'leases', id: reference, summary: `lease for ${reference} revoked` },
      (transaction) => {
        for (const lease of revoked) {
          transaction.putLease({ ...lease, remaining: 0, end: { at: now.wall, how: 'revoked' } });
          transaction.audit('lease revoked', { id: lease.id, source: lease.source, member: lease.member });
        }
      },
      'leases',
    );
    return c.json({ revoked: revoked.map(({ id }) => id) });
  });

/** The one member whom these leases are for. */
export function whose(c: Context<Env>): Scope {
  const members = findLeases(c.get('services'), c.req.param('lease') ?? '').map(({ member }) => member);
  const [first] = members;
  return first != null && members.every((member) => member === first) ? { member: first } : {};
}

async function forWhom(c: Context<Env>, config: Config): Promise<Scope> {
  const member = await leaseFor(c, config);
  return member === null ? {} : { member };
}

/** By id, or every live lease for exactly this source. @throws NotFound */
export function findLeases({ clock, store }: Services, reference: string): readonly Lease[] {
  const now = clock();
  const live = store.snapshot.leases.filter((lease) => stateOf(lease, now) !== 'expired');
  const source = parsed(reference);
  const found = live.filter((lease) => lease.id === reference || lease.source === source);
  if (found.length === 0) throw new NotFound('', noLease(live, reference, source));
  return found;
}

function parsed(reference: string): Prefix | null {
  try {
    return parseLeaseSource(reference);
  } catch {
    return null;
  }
}

function noLease(live: readonly Lease[], reference: string, source: Prefix | null): string {
  const wider = source === null ? undefined : live.find((lease) => contains(lease.source, source));
  return wider === undefined
    ? `There is no live lease for ${reference}.`
    : `${reference} is open by the lease for ${wider.source}: revoke that.`;
}

export function leaseView(config: Config, lease: Lease, clock: Clock): z.infer<typeof leaseAnswer> {
  const left = remaining(lease, clock);
  return {
    id: lease.id,
    source: sourceText(lease.source),
    member: config.members.find(({ id }) => id === lease.member)?.name ?? null,
    grantedBy: config.members.find(({ id }) => id === lease.grantedBy)?.name ?? lease.grantedBy,
    reason: lease.reason,
    grantedAt: new Date(lease.grantedAt).toISOString(),
    expiresAt: new Date(lease.expiresAt).toISOString(),
    remainingSeconds: left === null ? Math.ceil(lease.remaining / 1000) : Math.ceil(left / 1000),
    endingSoon: endsSoon(lease, clock),
    state: stateOf(lease, clock),
  };
}
