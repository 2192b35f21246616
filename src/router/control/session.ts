// /session: signing in, signing out, giving the password again, and who one is.
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { type Member, role } from '../../model/config.ts';
import { Unauthorized } from '../../model/errors.ts';
import { mayAnywhere, type Permission, permissions, tokenScopes } from '../../model/roles.ts';
import { putCredentials } from './credentials.ts';
import { body, configOf, needs } from './http.ts';
import { sessionLongest } from './principal.ts';
import type { Env } from './services.ts';
import { beginSession, endCookie, memberNamed, presentSession, prove } from './sign-in.ts';

const proof = {
  password: z.string().max(1000),
  /** Of the authenticator app, or a recovery code; where the account has a second factor. */
  code: z.string().max(100).optional(),
};
const signIn = z.strictObject({ name: z.string().min(1).max(200), ...proof });
const confirmation = z.strictObject(proof);

const oneself = z.strictObject({
  ...{ id: z.string(), name: z.string(), label: z.string(), role },
  /** Application id → role there. */
  access: z.record(z.string(), role),
});
const asking = z.strictObject({
  kind: z.enum(['console', 'member', 'anonymous']),
  member: oneself.nullable(),
  token: z.enum(tokenScopes).nullable(),
  /** The password was given a moment ago. */
  fresh: z.boolean(),
  /** Permissions that hold for something at least. */
  may: z.array(z.enum(permissions as readonly [Permission, ...Permission[]])),
});
/** The session itself is a cookie. */
const signedIn = z.strictObject({ member: oneself.nullable(), expiresAt: z.string() });

export const session = new Hono<Env>()
  .get('/', needs('open', { title: 'Who asks, and what may be done.', answer: asking }), (c) => c.json(who(c)))
  .post('/', needs('open', { title: 'Sign in.', body: signIn, answer: signedIn }), async (c) => {
    const { name, ...given } = await body(c, signIn);
    const { clock } = c.get('services');
    const member = memberNamed(configOf(c), name);
    const account = member?.id ?? `unknown ${name.toLowerCase()}`;
    const { id } = await prove(c, { member, account }, given, (amendment, one, credentials) => {
      putCredentials(amendment, one.id, { ...credentials, lastSignIn: clock().wall });
      amendment.audit('signed in', {});
      beginSession(c, amendment, one.id);
      return one;
    });
    const one = configOf(c).members.find((each) => each.id === id);
    const expiresAt = new Date(clock().wall + sessionLongest).toISOString();
    return c.json({ member: one === undefined ? null : memberView(one), expiresAt }, 201);
  })
  .delete('/', needs('open', { title: 'Sign out.', answer: z.strictObject({ ended: z.boolean() }) }), (c) => {
    const present = presentSession(c);
    if (present !== undefined) {
      c.get('services').store.amend(
        present.owner,
        (amendment) => {
          c.get('services').store.tickets.end('session', present.id);
          amendment.audit('signed out', {});
        },
        'passing',
      );
    }
    endCookie(c);
    return c.json({ ended: present !== undefined });
  })
  .post(
    '/confirm',
    needs('account', { title: 'Give the password again.', body: confirmation, answer: asking }),
    async (c) => {
      const given = await body(c, confirmation);
      const present = presentSession(c);
      if (present === undefined) throw new Unauthorized('Sign in first.');
      const { store, clock } = c.get('services');
      const member = configOf(c).members.find(({ id }) => id === present.owner);
      await prove(c, { member, account: present.owner }, given, () => {
        store.tickets.change(present, { ...present.body, authenticatedAt: clock().wall }, present.expiresAt);
      });
      return c.json(who(c, true));
    },
  );

function who(c: Context<Env>, fresh?: true) {
  const principal = c.get('principal');
  const config = configOf(c);
  const own = principal.kind === 'member' ? config.members.find(({ id }) => id === principal.id) : undefined;
  const member = own === undefined || own.disabled ? null : own;
  return {
    kind: principal.kind === 'member' && member === null ? ('anonymous' as const) : principal.kind,
    member: member === null ? null : memberView(member),
    token: principal.kind === 'member' && member !== null ? (principal.token ?? null) : null,
    fresh: principal.kind === 'member' && member !== null && (fresh ?? principal.fresh === true),
    may: permissions.filter((one) => mayAnywhere(principal, one, config)),
  };
}

function memberView({ id, name, label, role, access }: Member) {
  return { id, name, label, role, access };
}
