// A router with people who can sign in, asked the way the gateway asks: by tickets and from addresses.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createApp } from '../../src/router/control/app.ts';
import { aboutOf } from '../../src/router/control/http.ts';
import { type Answer, answerOf, type Control, makeControl } from './control.ts';
import { temporaryFolder } from './store.ts';

/** Everybody's. */
export const password = 'correct horse battery';

export interface People extends Control {
  readonly ids: { readonly ben: string; readonly anna: string };
  /** A request through the gateway's socket, from 192.168.66.20 unless told. */
  web(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Everything the store has on disk. */
  databaseBytes(): Buffer;
  /** Flips a bit of a sealed value. */
  damage(column: string, row: string): void;
}

export type Ask = (method: string, path: string, body?: unknown) => Promise<Answer>;

/** A new router, asked the ways of the gateway. */
export function throughGateway(folder: string = temporaryFolder()): Omit<People, 'ids'> {
  const control = makeControl(folder);
  return Object.assign(control, {
    web: async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
      const app = createApp(control.services, 'web', (line) => control.log.push(line));
      const init = { method, headers: { 'x-apn-client': '192.168.66.20', ...headers } };
      const request = new Request(`http://localhost${path}`, {
        ...init,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const answer = await answerOf(await app.fetch(request));
      const problem = answer.status < 300 ? aboutOf(request)?.answer?.safeParse(answer.body).error : undefined;
      if (problem !== undefined) throw new Error(`${method} ${path} does not answer as described: ${problem.message}`);
      return answer;
    },
    databaseBytes: () => Buffer.concat(readdirSync(folder).map((file) => readFileSync(join(folder, file)))),
    damage: (column: string, row: string) => {
      const database = new DatabaseSync(join(folder, 'router.db'));
      const found = database.prepare('SELECT sealed FROM secret WHERE row = ? AND column = ?').get(row, column);
      const sealed = Buffer.from(found?.['sealed'] as Uint8Array);
      sealed.writeUInt8(sealed.readUInt8(sealed.length - 1) ^ 1, sealed.length - 1);
      database.prepare('UPDATE secret SET sealed = ? WHERE row = ? AND column = ?').run(sealed, row, column);
      database.close();
    },
  });
}

/** Ben, an owner, and Anna, a developer of shop. */
export async function withPeople(): Promise<People> {
  const control = throughGateway();
  for (const [path, body] of [
    ['/applications', { label: 'shop' }],
    ['/members', { name: 'Ben', role: 'owner' }],
    ['/members', { name: 'Anna', access: { shop: 'developer' } }],
    ['/members/ben/password-reset', { password }],
    ['/members/anna/password-reset', { password }],
  ] as const) {
    const { status, body: answer } = await control.call('POST', path, body);
    if (status >= 400) throw new Error(`${path}: ${JSON.stringify(answer)}`);
  }
  const [ben, anna] = control.store.snapshot.config.members;
  return Object.assign(control, { ids: { ben: ben?.id ?? '', anna: anna?.id ?? '' } });
}

/** Signs in, and asks as that session from then on. */
export async function signedIn(control: Omit<People, 'ids'>, name: string, given = password): Promise<Ask> {
  const { status, headers, body: answer } = await control.web('POST', '/session', { name, password: given });
  if (status !== 201) throw new Error(`${name} is not signed in: ${JSON.stringify(answer)}`);
  return bearer(control, (headers.get('x-apn-session') ?? '').split(';')[0] ?? '');
}

/** Asks with a session or a token. */
export function bearer(control: Omit<People, 'ids'>, text: string): Ask {
  return (method, path, body) => control.web(method, path, body, { authorization: `Bearer ${text}` });
}
