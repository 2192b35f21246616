// /leases: temporary openings of UDP 51820.
import { Hono } from 'hono';
import { z } from 'zod';
import { contains, type Prefix } from '../../model/address.ts';
import { type Config, text } from '../../model/config.ts';
import { Conflict, InvalidInput, NotFound } from '../../model/errors.ts';
import {
  type Clock,
  defaultDuration,
  type Lease,
  leasesInAll,
  leasesPerMember,
  parseDuration,
  parseLeaseSource,
  remaining,
  sourceText,
  stateOf,
} from '../../model/lease.ts';
import { sourceProblem } from '../../model/rules.ts';
import { findMember } from './find.ts';
import { actor, body, configOf, needs, save } from './http.ts';
import type { Env } from './services.ts';

const addition = z.strictObject({
  source: text(parseLeaseSource),
  for: text(parseDuration).default(defaultDuration),
  member: z.string().nullable().default(null),
  reason: z.string().max(200).default(''),
});

export const leases = new Hono<Env>()
  .get('/', needs('see'), (c) => {
    const { store, clock } = c.get('services');
    const ended = c.req.query('all') === 'yes' ? store.endedLeases(200) : [];
    return c.json([...store.snapshot.leases, ...ended].map((lease) => view(configOf(c), lease, clock())));
  })
  .post('/', needs('manage'), async (c) => {
    const asked = await body(c, addition);
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
        const member = asked.member === null ? null : findMember(config, asked.member, 'member').id;
        checkCaps(transaction.leases, member, now);
        const made: Lease = {
          id,
          source: asked.source,
          member,
          grantedBy: actor(c),
          reason: asked.reason,
          grantedAt: now.wall,
          expiresAt: now.wall + asked.for,
          bootId: now.bootId,
          deadline: now.boot + asked.for,
          remaining: asked.for,
          restored: false,
          end: null,
        };
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
  })
  /** By id, or every live lease for exactly this source. */
  .delete('/:lease{.+}', needs('manage'), async (c) => {
    const reference = c.req.param('lease');
    const { clock, store } = c.get('services');
    const now = clock();
    const live = store.snapshot.leases.filter((lease) => stateOf(lease, now) !== 'expired');
    const source = parsed(reference);
    const revoked = live.filter((lease) => lease.id === reference || lease.source === source);
    if (revoked.length === 0) throw new NotFound('', noLease(live, reference, source));
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

function checkCaps(live: readonly Lease[], member: string | null, now: Clock): void {
  const active = live.filter((lease) => stateOf(lease, now) !== 'expired');
  if (active.length >= leasesInAll)
    throw new Conflict('', `There are ${leasesInAll} live leases already: revoke some.`);
  if (member !== null && active.filter((lease) => lease.member === member).length >= leasesPerMember) {
    throw new Conflict('member', `This member has ${leasesPerMember} live leases already: revoke one.`);
  }
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
