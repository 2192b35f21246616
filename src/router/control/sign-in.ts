// Signing in: name, password and second factor against what is stored, with nothing told to those who guess.
import type { Context } from 'hono';
import type { Config, Member } from '../../model/config.ts';
import { TooMany, Unauthorized } from '../../model/errors.ts';
import { lookOf } from '../../model/name.ts';
import type { Amendment } from '../store/store.ts';
import { newText, type Ticket } from '../store/tickets.ts';
import { type Credentials, putCredentials, usableCredentials } from './credentials.ts';
import { clientAddress, configOf } from './http.ts';
import { sessionIdle, sessionLongest } from './principal.ts';
import type { Env, Services } from './services.ts';
import { totpStep, withoutRecoveryCode } from './totp.ts';

/** A member has so many sessions at most; the oldest ends. */
const mostSessions = 20;

const wrong = () => new Unauthorized('This name and this password do not belong together.');

/** By name as people see it, or by label. */
export function memberNamed({ members }: Config, name: string): Member | undefined {
  const look = lookOf(name.trim());
  return members.find((one) => lookOf(one.name) === look) ?? members.find(({ label }) => label === look);
}

export interface Wanted {
  /** Undefined: there is nobody with that name, which is not told. */
  readonly member: Member | undefined;
  /** Whose attempts are counted. */
  readonly account: string;
  /** `password`: a session has shown the second factor. */
  readonly factors?: 'password';
  readonly lasts?: 'lasting';
}

export interface Proof {
  readonly password: string;
  /** Of the authenticator app, or a recovery code. */
  readonly code?: string | undefined;
}

/**
 * Checks the proof, then has `then` write what follows from it, together with what the proof used up. Whoever is
 * unknown, disabled or without a password is told the same after the same work.
 * @throws Unauthorized, TooMany
 */
export async function prove<T>(
  c: Context<Env>,
  wanted: Wanted,
  { password, code }: Proof,
  then: (amendment: Amendment, member: Member, credentials: Credentials) => T,
): Promise<T> {
  const services = c.get('services');
  const { store, passwords } = services;
  const attempt = services.attempts.begin(wanted.account, clientAddress(c));
  const stored = storedPassword(services, wanted.member);
  let renewed: string | null = null;
  try {
    if (!(await passwords.verify(stored, password)) || stored === null) {
      refused(services, wanted.member, c);
      throw wrong();
    }
    if (passwords.isStale(stored)) renewed = await passwords.hash(password);
  } catch (error) {
    // There was no time to look at it.
    if (error instanceof TooMany) attempt.withdraw();
    throw error;
  }
  // From here on nothing is waited for: what is decided is what is written.
  const member = configOf(c).members.find(({ id }) => id === wanted.member?.id);
  if (member === undefined || storedPassword(services, member) !== stored) throw wrong();
  const { damaged: _, ...before } = usableCredentials(store, member.id);
  const after = wanted.factors === 'password' ? before : afterSecondFactor(before, code, services.clock().wall);
  if (after === null) {
    if (code === undefined) {
      attempt.withdraw();
      throw new Unauthorized('Give the code of your authenticator app, or a recovery code.', 'code');
    }
    refused(services, member, c);
    throw new Unauthorized('This code is wrong, or was used already.', 'code');
  }
  const credentials = { ...after, password: renewed ?? stored };
  const result = store.amend(
    member.id,
    (amendment) => {
      putCredentials(amendment, member.id, credentials);
      return then(amendment, member, credentials);
    },
    wanted.lasts ?? 'passing',
  );
  attempt.succeeded();
  return result;
}

function storedPassword({ store }: Services, member: Member | undefined): string | null {
  return member === undefined || member.disabled ? null : usableCredentials(store, member.id).password;
}

/** Null: a second factor is wanted, and this is none. */
function afterSecondFactor(before: Credentials, code: string | undefined, wall: number): Credentials | null {
  if (before.totp === null) return before;
  if (code === undefined) return null;
  const step = totpStep(before.totp, code, wall, before.lastTotpStep);
  if (step !== null) return { ...before, lastTotpStep: step };
  const recovery = withoutRecoveryCode(before.recovery, code);
  return recovery === null ? null : { ...before, recovery };
}

/** Names that nobody has are not written down: passwords get typed there. */
function refused({ store }: Services, member: Member | undefined, c: Context<Env>): void {
  const body = { member: member?.id ?? null, from: clientAddress(c) };
  store.record('act', [{ actor: 'anonymous', event: 'sign-in refused', body }]);
}

/** Begins a session within a write. The text goes into the header that the gateway makes a cookie of. */
export function beginSession(c: Context<Env>, amendment: Pick<Amendment, 'issue'>, member: string): void {
  const { clock, newId, store } = c.get('services');
  const now = clock().wall;
  const sessions = store.tickets.list('session', member);
  for (const { id } of sessions.slice(0, Math.max(0, sessions.length - mostSessions + 1))) {
    store.tickets.end('session', id);
  }
  const text = newText('session');
  const body = { authenticatedAt: now, from: clientAddress(c) };
  amendment.issue('session', { id: newId(), owner: member, body, expiresAt: now + sessionIdle, text });
  c.header('X-Apn-Session', `${text}; max-age=${sessionLongest / 1000}`);
}

/** Has the gateway forget the cookie. */
export function endCookie(c: Context<Env>): void {
  c.header('X-Apn-Session', '; max-age=0');
}

/** The session that the request came with; undefined for a token. */
export function presentSession(c: Context<Env>): Ticket | undefined {
  const principal = c.get('principal');
  if (principal.kind !== 'member' || principal.token !== undefined) return undefined;
  const { tickets } = c.get('services').store;
  return tickets.list('session', principal.id).find(({ id }) => id === principal.ticket);
}
