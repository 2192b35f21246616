// What a member signs in with: sealed as one value, and nobody but its bearer ever sees a part of it.
import { z } from 'zod';
import { parse } from '../../model/config.ts';
import { Conflict } from '../../model/errors.ts';
import type { Amendment, Store } from '../store/store.ts';

const schema = z.strictObject({
  /** argon2id in PHC form; null: cannot sign in. */
  password: z.string().nullable(),
  /** Base32; null: there is no second factor. */
  totp: z.string().nullable(),
  /** Made, but no code of it was given yet. */
  pendingTotp: z.string().nullable(),
  /** The last half minute whose code was used. */
  lastTotpStep: z.int(),
  /** Hashes of the codes that are left. */
  recovery: z.array(z.string()).readonly(),
  /** Milliseconds since 1970; null: never. */
  lastSignIn: z.number().nullable(),
});

export type Credentials = Readonly<z.infer<typeof schema>>;

export const noCredentials: Credentials = {
  ...{ password: null, totp: null, pendingTotp: null, lastTotpStep: 0, recovery: [], lastSignIn: null },
};

const column = 'credentials';

/** Of somebody who has just chosen his first password. @param now Milliseconds since 1970. */
export function newCredentials(password: string, now: number): Credentials {
  return { ...noCredentials, password, lastSignIn: now };
}

/** @throws Conflict when they were changed by somebody else: they count for nothing then. */
export function readCredentials(store: Store, member: string): Credentials {
  const bytes = store.secret(member, column);
  return bytes === null ? noCredentials : parse(schema, JSON.parse(Buffer.from(bytes).toString()));
}

/** The same; damaged ones are as none. */
export function usableCredentials(store: Store, member: string): Credentials & { readonly damaged: boolean } {
  try {
    return { ...readCredentials(store, member), damaged: false };
  } catch (error) {
    if (!(error instanceof Conflict)) throw error;
    return { ...noCredentials, damaged: true };
  }
}

export function putCredentials(to: Pick<Amendment, 'putSecret'>, member: string, credentials: Credentials): void {
  to.putSecret(member, column, Buffer.from(JSON.stringify(parse(schema, credentials))));
}

/** Without a second factor. */
export function withoutTotp(credentials: Credentials): Credentials {
  return { ...credentials, totp: null, pendingTotp: null, lastTotpStep: 0, recovery: [] };
}
