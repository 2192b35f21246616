// /tokens: everybody's API tokens, and what making, showing and ending one is.
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { type Config, type Member, text } from '../../model/config.ts';
import { Conflict, NotFound } from '../../model/errors.ts';
import { parseDisplayName } from '../../model/name.ts';
import { tokenScopes } from '../../model/roles.ts';

import { newText, type Ticket } from '../store/tickets.ts';
import { findMember } from './find.ts';
import { actor, body, configOf, needs, removal } from './http.ts';
import type { Env } from './services.ts';

const day = 24 * 3600_000;
const mostTokens = 20;

export const ownToken = z.strictObject({
  name: text(parseDisplayName),
  scope: z.enum(tokenScopes),
  /** A year at most. */
  days: z.int().min(1).max(366).default(90),
});
const anyToken = ownToken.extend({ member: z.string() });

export const tokenAnswer = z.strictObject({
  ...{ id: z.string(), name: z.string(), scope: z.enum(tokenScopes), member: z.string() },
  ...{ createdAt: z.string(), expiresAt: z.string(), lastUsed: z.string().nullable() },
});
export const madeToken = tokenAnswer.extend({ token: z.string() });

export const tokens = new Hono<Env>()
  .get('/', needs('own', { title: "Everybody's API tokens.", answer: z.array(tokenAnswer) }), (c) =>
    c.json(
      c
        .get('services')
        .store.tickets.list('token')
        .map((one) => tokenView(configOf(c), one)),
    ),
  )
  .post(
    '/',
    needs('console', { title: 'Make an API token for a member; it is shown once.', body: anyToken, answer: madeToken }),
    async (c) => {
      const { member, ...asked } = await body(c, anyToken);
      return c.json(issueToken(c, findMember(configOf(c), member, 'member'), asked), 201);
    },
  )
  .delete('/:token', needs('own', { title: 'End an API token.', answer: removal }), (c) =>
    c.json(endToken(c, findToken(c, c.req.param('token')))),
  );

/** The one answer that holds the token itself. */
export function issueToken(c: Context<Env>, { id: owner }: Member, { name, scope, days }: z.infer<typeof ownToken>) {
  const { clock, newId, store } = c.get('services');
  const present = store.tickets.list('token', owner);
  if (present.length >= mostTokens) throw new Conflict('', `There are ${mostTokens} tokens already: end some.`);
  if (present.some(({ body: { name: used } }) => used === name)) {
    throw new Conflict('name', `There is a token “${name}” already.`);
  }
  const now = clock().wall;
  const secret = newText('token');
  const id = newId();
  const request = { id, owner, body: { name, scope, usedAt: null }, expiresAt: now + days * day };
  store.amend(actor(c), (amendment) => {
    amendment.issue('token', { ...request, text: secret });
    amendment.audit('token made', { id, member: owner, name, scope });
  });
  return { ...tokenView(configOf(c), { ...request, kind: 'token', createdAt: now }), token: secret };
}

export function endToken(c: Context<Env>, { id, owner, body: { name } }: Ticket) {
  const { store } = c.get('services');
  store.amend(actor(c), (amendment) => {
    store.tickets.end('token', id);
    amendment.audit('token ended', { id, member: owner, name });
  });
  return { id, removed: true as const };
}

/** By id, or by a name that only one has. @throws NotFound */
export function findToken(c: Context<Env>, reference: string, owner?: string): Ticket {
  const all = c.get('services').store.tickets.list('token', owner);
  const named = all.filter(({ body: { name } }) => name === reference);
  const found = all.find(({ id }) => id === reference) ?? (named.length === 1 ? named[0] : undefined);
  if (found === undefined) throw new NotFound('', 'There is no such token, or more than one.');
  return found;
}

export function tokenView(
  { members }: Config,
  { id, owner, body: { name, scope, usedAt }, createdAt, expiresAt }: Ticket,
) {
  return {
    ...{ id, name, scope, member: members.find((one) => one.id === owner)?.name ?? '' },
    createdAt: new Date(createdAt).toISOString(),
    expiresAt: new Date(expiresAt).toISOString(),
    lastUsed: typeof usedAt === 'number' ? new Date(usedAt).toISOString() : null,
  };
}
