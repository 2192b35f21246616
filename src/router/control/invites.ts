// Links by which somebody chooses a password: for newcomers, and for those who have lost theirs. Nobody else ever knows it.
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { type Member, text } from '../../model/config.ts';
import { Conflict, Forbidden, NotFound } from '../../model/errors.ts';
import { parseDuration } from '../../model/lease.ts';
import { inviteProblem } from '../../model/roles.ts';
import type { Amendment } from '../store/store.ts';
import { newText, type Ticket } from '../store/tickets.ts';
import { namesOf } from './account.ts';
import { putCredentials, usableCredentials, withoutTotp } from './credentials.ts';
import { findMember } from './find.ts';
import { actor, body, configOf, needs } from './http.ts';
import { checkPassword } from './passwords.ts';
import { anywhere } from './scope.ts';
import type { Env, Services } from './services.ts';
import { beginSession } from './sign-in.ts';

const hour = 3600_000;

const invitation = z.strictObject({ for: text(parseDuration).default(72 * hour) });
const reset = z.strictObject({
  /** Set at once; left out: a link is made. */
  password: z.string().max(1000).optional(),
  /** Takes the second factor away as well. */
  totpOff: z.boolean().default(false),
});
const looking = z.strictObject({ secret: z.string().max(200) });
const taking = z.strictObject({ secret: z.string().max(200), password: z.string().max(1000) });

const link = z.strictObject({
  ...{ id: z.string(), name: z.string(), secret: z.string(), path: z.string(), expiresAt: z.string() },
});
const answers = {
  link,
  reset: link.partial({ secret: true, path: true, expiresAt: true }).extend({ totp: z.boolean() }),
  look: z.strictObject({ name: z.string(), hostName: z.string(), expiresAt: z.string() }),
  take: z.strictObject({ name: z.string(), signedIn: z.boolean() }),
};

/** What admins see of how a member signs in, and everybody of himself. */
export const signInAnswer = z.strictObject({
  signIn: z.enum(['password', 'none', 'damaged']),
  /** There is a link to a password. */
  invited: z.boolean(),
  totp: z.boolean(),
  lastSignIn: z.string().nullable(),
});

/** Routes below /members. */
export const memberInvites = new Hono<Env>()
  .post(
    '/:member/invite',
    needs('member', {
      title: 'Make a link by which a member chooses a password.',
      ...{ body: invitation, answer: answers.link, scope: anywhere, fresh: true },
    }),
    async (c) => {
      const asked = await body(c, invitation);
      const config = configOf(c);
      const member = findMember(config, c.req.param('member'));
      const { store } = c.get('services');
      const isNew = usableCredentials(store, member.id).password === null;
      const problem = inviteProblem(c.get('principal'), member, isNew, config);
      if (problem !== null) throw new Forbidden(problem);
      if (member.disabled) throw new Conflict('', `${member.name} is disabled.`);
      const answer = store.amend(actor(c), (amendment) => {
        amendment.audit('member invited', { member: member.id });
        return makeLink(c, amendment, member, asked.for);
      });
      return c.json(answer, 201);
    },
  )
  .post(
    '/:member/password-reset',
    needs('console', {
      title: 'Set a password anew, or make a link for that; all sessions end.',
      body: reset,
      answer: answers.reset,
    }),
    async (c) => {
      const asked = await body(c, reset);
      const services = c.get('services');
      const member = findMember(configOf(c), c.req.param('member'));
      if (asked.password !== undefined) checkPassword(asked.password, namesOf(c, member), 'password');
      const password = asked.password === undefined ? null : await services.passwords.hash(asked.password);
      // It may have gone meanwhile.
      findMember(configOf(c), member.id);
      const { damaged: _, ...known } = usableCredentials(services.store, member.id);
      const link = services.store.amend(actor(c), (amendment) => {
        putCredentials(amendment, member.id, { ...(asked.totpOff ? withoutTotp(known) : known), password });
        amendment.endTickets(member.id, 'session');
        amendment.endTickets(member.id, 'invite');
        amendment.audit('password reset', { member: member.id, totpOff: asked.totpOff });
        return password === null ? makeLink(c, amendment, member, hour) : null;
      });
      return c.json({ id: member.id, name: member.name, totp: !asked.totpOff && known.totp !== null, ...link });
    },
  );

/** Routes at /invitations, for whoever holds a link. */
export const invites = new Hono<Env>()
  .post(
    '/look',
    needs('open', { title: 'Whom a link is for; it stays good.', body: looking, answer: answers.look }),
    async (c) => {
      const { secret } = await body(c, looking);
      const { member, ticket } = holder(c, secret);
      const expiresAt = new Date(ticket.expiresAt).toISOString();
      return c.json({ name: member.name, hostName: configOf(c).system.hostName, expiresAt });
    },
  )
  .post(
    '/take',
    needs('open', { title: 'Choose a password by a link, once.', body: taking, answer: answers.take }),
    async (c) => {
      const { secret, password } = await body(c, taking);
      const { store, passwords } = c.get('services');
      checkPassword(password, namesOf(c, holder(c, secret).member), 'password');
      const hashed = await passwords.hash(password);
      const { member, ticket } = holder(c, secret);
      const { damaged: _, ...before } = usableCredentials(store, member.id);
      store.amend(member.id, (amendment) => {
        amendment.spend(ticket);
        putCredentials(amendment, member.id, { ...before, password: hashed });
        amendment.endTickets(member.id, 'session');
        amendment.audit('password chosen', {});
        // With a second factor there is more to show.
        if (before.totp === null) beginSession(c, amendment, member.id);
      });
      return c.json({ name: member.name, signedIn: before.totp === null }, 201);
    },
  );

/** @throws NotFound, the same for whatever is wrong with it. */
function holder(c: Context<Env>, secret: string): { readonly member: Member; readonly ticket: Ticket } {
  const ticket = c.get('services').store.tickets.find('invite', secret);
  const member = configOf(c).members.find(({ id, disabled }) => id === ticket?.owner && !disabled);
  if (ticket === null || member === undefined) {
    throw new NotFound('secret', 'This link is not valid, or not any more: ask for a new one.');
  }
  return { member, ticket };
}

/** An earlier link of the member works no more. */
function makeLink(c: Context<Env>, amendment: Amendment, { id, name }: Member, lasts: number) {
  const { clock, newId } = c.get('services');
  const secret = newText('invite');
  const expiresAt = clock().wall + lasts;
  amendment.endTickets(id, 'invite');
  amendment.issue('invite', { id: newId(), owner: id, body: {}, expiresAt, text: secret });
  // Behind the hash: it is in no log.
  return { id, name, secret, path: `/welcome#${secret}`, expiresAt: new Date(expiresAt).toISOString() };
}

export function signInView({ store, clock }: Services, { id }: Member): z.infer<typeof signInAnswer> {
  const { password, totp, lastSignIn, damaged } = usableCredentials(store, id);
  const invited = store.tickets.list('invite', id).some(({ expiresAt }) => expiresAt > clock().wall);
  return {
    signIn: damaged ? 'damaged' : password !== null ? 'password' : 'none',
    invited,
    totp: totp !== null,
    lastSignIn: lastSignIn === null ? null : new Date(lastSignIn).toISOString(),
  };
}
