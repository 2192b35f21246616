// Who asks through the gateway: a session or an API token, or nobody.
import type { Context } from 'hono';
import { type Principal, type TokenScope, tokenScopes } from '../../model/roles.ts';
import type { Ticket } from '../store/tickets.ts';
import type { Env, Services } from './services.ts';

/** Milliseconds. A session ends when it is not used for so long, and when it is so old. */
export const sessionIdle = 7 * 24 * 3600_000;
export const sessionLongest = 30 * 24 * 3600_000;
/** So long after the password was given nobody asks for it again. */
const freshFor = 10 * 60_000;
/** How often it is written down that a ticket was used. */
const usedEvery = 10 * 60_000;

const nobody: Principal = { kind: 'anonymous' };

/** What came in `Authorization: Bearer` (RFC 6750); a ticket that is over counts as none. */
export function principalOf(c: Context<Env>, { store, clock }: Services): Principal {
  const text = /^Bearer ([\w-]{1,200})$/.exec(c.req.header('authorization') ?? '')?.[1];
  if (text === undefined) return nobody;
  const now = clock().wall;
  const session = store.tickets.find('session', text);
  if (session !== null) {
    const usedUntil = Math.min(now + sessionIdle, session.createdAt + sessionLongest);
    if (usedUntil - session.expiresAt > usedEvery) note(() => store.tickets.change(session, session.body, usedUntil));
    const fresh = now - Number(session.body['authenticatedAt']) < freshFor;
    return { kind: 'member', id: session.owner, ticket: session.id, fresh };
  }
  const token = store.tickets.find('token', text);
  const scope = scopeOf(token);
  if (token === null || scope === undefined) return nobody;
  if (!(now - Number(token.body['usedAt'] ?? 0) < usedEvery)) {
    note(() => store.tickets.change(token, { ...token.body, usedAt: now }, token.expiresAt));
  }
  return { kind: 'member', id: token.owner, ticket: token.id, token: scope };
}

function scopeOf(token: Ticket | null): TokenScope | undefined {
  return tokenScopes.find((one) => one === token?.body['scope']);
}

/** A disk that cannot be written is told elsewhere, and shuts nobody out. */
function note(write: () => void): void {
  try {
    write();
  } catch {
    // The next request tries again.
  }
}
