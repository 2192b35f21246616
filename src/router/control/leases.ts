// /leases: temporary openings of UDP 51820.
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { contains, type Prefix } from '../../model/address.ts';
import { type Config, text } from '../../model/config.ts';
import { InvalidInput, NotFound } from '../../model/errors.ts';
import {
  type Clock,
  defaultDuration,
  type Lease,
  makeLease,
  parseDuration,
  parseLeaseSource,
  remaining,
  sourceText,
  stateOf,
} from '../../model/lease.ts';
import type { Scope } from '../../model/roles.ts';
import { sourceProblem } from '../../model/rules.ts';
import { actor, body, configOf, needs, save } from './http.ts';
import { leaseFor } from './scope.ts';
import type { Env, Services } from './services.ts';

const addition = z.strictObject({
  source: text(parseLeaseSource),
  for: text(parseDuration).default(defaultDuration),
  member: z.string().nullable().default(null),
  reason: z.string().max(200).default(''),
});

export const leases = new Hono<Env>()
  .get('/', needs('see', { title: 'The live leases.', query: { all: '`yes`: ended ones as well' } }), (c) => {
    const { store, clock } = c.get('services');
    const ended = c.req.query('all') === 'yes' ? store.endedLeases(200) : [];
    return c.json([...store.snapshot.leases, ...ended].map((lease) => view(configOf(c), lease, clock())));
  })
  .post(
    '/',
    needs('lease', { title: 'Open UDP 51820 to a source for a time.', body: addition, scope: forWhom }),
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
          const { config } = transaction;
          const why = sourceProblem(asked.source, config);
          if (why !== null) throw new InvalidInput('source', why);
          const grantedBy = actor(c);
          const made = makeLease(
            { id, source: asked.source, member, grantedBy, reason: asked.reason, duration: asked.for },
            transaction.leases,
            now,
          );
          transaction.putLease(made);
          transaction.audit('lease granted', {
            id,
            source: made.source,
            member,
            milliseconds: asked.for,
            reason: asked.reason,
          });
          return made;
        },
        'leases',
      );
      return c.json(view(store.snapshot.config, lease, clock()), 201);
    },
  )
  .delete('/:lease{.+}', needs('lease', { title: 'Revoke a lease, by id or source.', scope: whose }), async (c) => {
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
function whose(c: Context<Env>): Scope {
  const members = findLeases(c.get('services'), c.req.param('lease') ?? '').map(({ member }) => member);
  const [first] = members;
  return first != null && members.every((member) => member === first) ? { member: first } : {};
}

async function forWhom(c: Context<Env>, config: Config): Promise<Scope> {
  const member = await leaseFor(c, config);
  return member === null ? {} : { member };
}

/** By id, or every live lease for exactly this source. @throws NotFound */
function findLeases({ clock, store }: Services, reference: string): readonly Lease[] {
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

function view(config: Config, lease: Lease, clock: Clock) {
  const left = remaining(lease, clock);
  return {
    id: lease.id,
    source: sourceText(lease.source),
    member: config.members.find(({ id }) => id === lease.member)?.name ?? null,
    grantedBy: lease.grantedBy,
    reason: lease.reason,
    grantedAt: new Date(lease.grantedAt).toISOString(),
    expiresAt: new Date(lease.expiresAt).toISOString(),
    remainingSeconds: left === null ? Math.ceil(lease.remaining / 1000) : Math.ceil(left / 1000),
    state: stateOf(lease, clock),
  };
}
