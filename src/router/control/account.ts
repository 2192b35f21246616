// /account: one's own password, second factor, sessions and API tokens.
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import type { Member } from '../../model/config.ts';
import { Conflict, InvalidInput, NotFound, Unauthorized } from '../../model/errors.ts';
import { type Credentials, putCredentials, readCredentials, withoutTotp } from './credentials.ts';
import { body, clientAddress, configOf, needs, removal } from './http.ts';
import { checkPassword } from './passwords.ts';
import type { Env } from './services.ts';
import { presentSession, prove } from './sign-in.ts';
import { endToken, findToken, issueToken, madeToken, ownToken, tokenAnswer, tokenView } from './tokens.ts';
import { newRecoveryCodes, newTotpSecret, totpStep, totpUri } from './totp.ts';

const change = z.strictObject({ old: z.string().max(1000), new: z.string().max(1000) });
const confirmation = z.strictObject({ code: z.string().max(100) });

const answers = {
  account: z.strictObject({
    ...{ id: z.string(), name: z.string(), passwordSet: z.boolean(), totp: z.boolean() },
    ...{ recoveryCodesLeft: z.int(), lastSignIn: z.string().nullable() },
  }),
  changed: z.strictObject({ changed: z.literal(true) }),
  made: z.strictObject({ secret: z.string(), uri: z.string() }),
  on: z.strictObject({ on: z.literal(true), recoveryCodes: z.array(z.string()) }),
  off: z.strictObject({ on: z.literal(false) }),
  sessions: z.array(
    z.strictObject({
      ...{ id: z.string(), from: z.string().nullable(), current: z.boolean() },
      ...{ createdAt: z.string(), expiresAt: z.string() },
    }),
  ),
};

export const account = new Hono<Env>()
  .get('/', needs('account', { title: 'How one signs in.', answer: answers.account }), (c) => {
    const { id, name } = self(c);
    const { password, totp, recovery, lastSignIn } = credentialsOf(c);
    return c.json({
      ...{ id, name, passwordSet: password !== null, totp: totp !== null, recoveryCodesLeft: recovery.length },
      lastSignIn: lastSignIn === null ? null : new Date(lastSignIn).toISOString(),
    });
  })
  .post(
    '/password',
    needs('account', { title: 'Change the password; other sessions end.', body: change, answer: answers.changed }),
    async (c) => {
      const asked = await body(c, change);
      const member = self(c);
      const { passwords } = c.get('services');
      checkPassword(asked.new, namesOf(c, member), 'new');
      const hashed = await passwords.hash(asked.new);
      // A session is somebody at the keyboard already: the second factor is not asked for again.
      await prove(
        c,
        { member, account: member.id, lasts: 'lasting', factors: 'password' },
        { password: asked.old },
        (amendment, { id }, credentials) => {
          putCredentials(amendment, id, { ...credentials, password: hashed });
          amendment.endTickets(id, 'session', presentSession(c)?.id);
          amendment.audit('password changed', {});
        },
      );
      return c.json({ changed: true });
    },
  )
  .post(
    '/totp',
    needs('account', { title: 'Make a second factor; it is off until confirmed.', answer: answers.made, fresh: true }),
    (c) => {
      const { id, name } = self(c);
      const credentials = credentialsOf(c);
      if (credentials.totp !== null) throw new Conflict('', 'There is a second factor already: take it away first.');
      const secret = newTotpSecret();
      c.get('services').store.amend(id, (amendment) => {
        putCredentials(amendment, id, { ...credentials, pendingTotp: secret });
        amendment.audit('second factor made', {});
      });
      return c.json({ secret, uri: totpUri(secret, name, configOf(c).system.hostName) }, 201);
    },
  )
  .post(
    '/totp/confirm',
    needs('account', {
      title: 'Turn it on; the recovery codes are shown once.',
      body: confirmation,
      answer: answers.on,
      fresh: true,
    }),
    async (c) => {
      const { code } = await body(c, confirmation);
      const { id } = self(c);
      const { attempts, clock, store } = c.get('services');
      const credentials = credentialsOf(c);
      if (credentials.pendingTotp === null) throw new Conflict('', 'There is no second factor to confirm: make one.');
      const attempt = attempts.begin(id, clientAddress(c));
      const step = totpStep(credentials.pendingTotp, code, clock().wall, credentials.lastTotpStep);
      if (step === null) throw new InvalidInput('code', 'This code is wrong: is the clock of the phone right?');
      attempt.succeeded();
      const { codes, hashes } = newRecoveryCodes();
      store.amend(id, (amendment) => {
        const on = { totp: credentials.pendingTotp, pendingTotp: null, lastTotpStep: step, recovery: hashes };
        putCredentials(amendment, id, { ...credentials, ...on });
        amendment.audit('second factor on', {});
      });
      return c.json({ on: true, recoveryCodes: codes });
    },
  )
  .delete(
    '/totp',
    needs('account', { title: 'Take the second factor away.', answer: answers.off, fresh: true }),
    (c) => {
      const { id } = self(c);
      const credentials = credentialsOf(c);
      c.get('services').store.amend(id, (amendment) => {
        putCredentials(amendment, id, withoutTotp(credentials));
        amendment.audit('second factor off', {});
      });
      return c.json({ on: false });
    },
  )
  .get('/sessions', needs('account', { title: "One's sessions.", answer: answers.sessions }), (c) => {
    const present = presentSession(c)?.id;
    return c.json(
      c
        .get('services')
        .store.tickets.list('session', self(c).id)
        .map(({ id, createdAt, expiresAt, body: { from } }) => ({
          ...{ id, from: from ?? null, current: id === present },
          createdAt: new Date(createdAt).toISOString(),
          expiresAt: new Date(expiresAt).toISOString(),
        })),
    );
  })
  .delete('/sessions/:id', needs('account', { title: "End one of one's sessions.", answer: removal }), (c) => {
    const { store } = c.get('services');
    const member = self(c).id;
    const one = store.tickets.list('session', member).find(({ id }) => id === c.req.param('id'));
    if (one === undefined) throw new NotFound('', 'There is no such session.');
    store.amend(member, (amendment) => {
      store.tickets.end('session', one.id);
      amendment.audit('session ended', { session: one.id });
    });
    return c.json({ id: one.id, removed: true as const });
  })
  .get('/tokens', needs('account', { title: "One's API tokens.", answer: z.array(tokenAnswer) }), (c) =>
    c.json(
      c
        .get('services')
        .store.tickets.list('token', self(c).id)
        .map((one) => tokenView(configOf(c), one)),
    ),
  )
  .post(
    '/tokens',
    needs('account', { title: 'Make an API token; it is shown once.', body: ownToken, answer: madeToken, fresh: true }),
    async (c) => c.json(issueToken(c, self(c), await body(c, ownToken)), 201),
  )
  .delete('/tokens/:id', needs('account', { title: "End one of one's API tokens.", answer: removal }), (c) =>
    c.json(endToken(c, findToken(c, c.req.param('id'), self(c).id))),
  );

/** What a member's password may not be. */
export function namesOf(c: Context<Env>, { name, label }: Pick<Member, 'name' | 'label'>): readonly string[] {
  return [name, label, configOf(c).system.hostName];
}

function self(c: Context<Env>): Member {
  const principal = c.get('principal');
  const found = configOf(c).members.find(({ id }) => principal.kind === 'member' && id === principal.id);
  if (found === undefined) throw new Unauthorized('Sign in first.');
  return found;
}

function credentialsOf(c: Context<Env>): Credentials {
  return readCredentials(c.get('services').store, self(c).id);
}
