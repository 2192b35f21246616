// /confirm: network edits are undone unless whoever made them still reaches the router and says so.
import { isDeepStrictEqual } from 'node:util';
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import type { Config } from '../../model/config.ts';
import { Conflict, Forbidden, NotFound } from '../../model/errors.ts';
import type { Clock } from '../../model/lease.ts';
import type { Pending } from '../store/pending.ts';
import type { Transaction } from '../store/store.ts';
import { undoPending } from '../store/undo.ts';
import { actor, body, configOf, needs, save } from './http.ts';
import type { Env, Services } from './services.ts';

/** Seconds. */
const usual = 90;
const longest = 3600;

/** Fields that can cut people off from the router. */
const risky = {
  lan: ['topology', 'wan', 'ports', 'address', 'range'],
  network: ['range'],
} as const;

/** Seconds to confirm it in; 0: it stays at once. Left out: 90 through the gateway, 0 on the console. */
export const confirmField = z.int().min(0).max(longest).optional();

/** What an edit answers that may have to be confirmed. */
export const waiting = z.strictObject({ id: z.string(), secondsLeft: z.int() }).nullable();

const answer = z
  .strictObject({
    ...{ id: z.string(), revision: z.int(), summary: z.string(), secondsLeft: z.int() },
    /** Who made it. */
    by: z.string(),
    /** Whether this request could confirm it. */
    yours: z.boolean(),
  })
  .nullable();

/** Without an id: whatever waits. */
const confirmation = z.strictObject({ id: z.string().optional() });

export const confirm = new Hono<Env>()
  .get('/', needs('see', { title: 'The network edit that waits to be confirmed.', answer }), (c) => {
    const { pending } = c.get('services').store.snapshot;
    return c.json(pending === null ? null : view(c, pending));
  })
  .post(
    '/',
    needs('configure', { title: 'Confirm it: it stays.', body: confirmation, answer: z.null() }),
    async (c) => {
      const { id } = await body(c, confirmation);
      const pending = present(c);
      if (id !== undefined && pending.id !== id)
        throw new Conflict('id', 'Another change waits to be confirmed by now.');
      if (!mayConfirm(c, pending)) {
        throw new Forbidden(
          'Whoever made the change confirms it, in the same session: that proves the router can be reached.',
        );
      }
      await save(c, { noun: '', id: '', summary: `confirmed: ${pending.summary}` }, (transaction) => {
        transaction.pend(null);
        transaction.audit('network change confirmed', { revision: pending.revision });
      });
      return c.json(null);
    },
  )
  .delete('/', needs('configure', { title: 'Undo it now.', answer: z.null() }), async (c) => {
    const undo = undoPending(c.get('services').store);
    if (undo === null) throw nothing();
    await save(c, { noun: '', id: '', summary: undo.summary }, undo.change);
    return c.json(null);
  });

/** A change that waits to be confirmed where it could cut people off. @throws Conflict while another one waits. */
export function confirmed<T>(
  c: Context<Env>,
  seconds: number | undefined,
  summary: string,
  change: (transaction: Transaction) => T,
): (transaction: Transaction) => T {
  const principal = c.get('principal');
  const { store, clock, newId } = c.get('services');
  return (transaction) => {
    const before = transaction.config;
    const result = change(transaction);
    if (!cutsOff(before, transaction.config)) return result;
    const { pending } = store.snapshot;
    if (pending !== null) {
      throw new Conflict('', `“${pending.summary}” waits to be confirmed: confirm it first, or undo it.`);
    }
    const lasts = seconds ?? (principal.kind === 'member' ? usual : 0);
    if (lasts === 0) return result;
    const { boot, bootId } = clock();
    transaction.pend({
      ...{ id: newId(), summary, actor: actor(c), ticket: ticketOf(c) },
      ...{ bootId, deadline: boot + lasts * 1000 },
    });
    return result;
  };
}

/** A router without a LAN cannot be reached but by its console. */
function cutsOff(before: Config, after: Config): boolean {
  const { lan, network } = risky;
  return (
    network.some((field) => before.network[field] !== after.network[field]) ||
    (before.lan !== null && lan.some((field) => !isDeepStrictEqual(before.lan?.[field], after.lan?.[field])))
  );
}

/** Seconds left of what waits; null: nothing does. */
export function waitingFor({ store, clock }: Services): z.infer<typeof waiting> {
  const { pending } = store.snapshot;
  return pending === null ? null : { id: pending.id, secondsLeft: secondsLeft(pending, clock()) };
}

function secondsLeft({ bootId, deadline }: Pending, clock: Clock): number {
  return bootId === clock.bootId ? Math.max(0, Math.ceil((deadline - clock.boot) / 1000)) : 0;
}

function present(c: Context<Env>): Pending {
  const { pending } = c.get('services').store.snapshot;
  if (pending === null) throw nothing();
  return pending;
}

function nothing(): NotFound {
  return new NotFound('', 'Nothing waits to be confirmed.');
}

/** One that should have been undone and could not may be kept by anybody who could have made it. */
function mayConfirm(c: Context<Env>, pending: Pending): boolean {
  return pending.ticket === ticketOf(c) || secondsLeft(pending, c.get('services').clock()) === 0;
}

/** Empty: the console. */
function ticketOf(c: Context<Env>): string {
  const principal = c.get('principal');
  return principal.kind === 'member' ? (principal.ticket ?? principal.id) : '';
}

function view(c: Context<Env>, pending: Pending) {
  const { id, revision, summary } = pending;
  const by = configOf(c).members.find((one) => one.id === pending.actor)?.name ?? pending.actor;
  const left = secondsLeft(pending, c.get('services').clock());
  return { id, revision, summary, secondsLeft: left, by, yours: mayConfirm(c, pending) };
}
