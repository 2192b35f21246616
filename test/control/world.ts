// A configuration in which everybody has something of his own and something of another's, and a ticket for each who asks.
import type { Config } from '../../src/model/config.ts';
import { type Control, makeControl } from '../support/control.ts';
import { publicKey } from '../support/saving.ts';

/** Who asks. `shopadmin` is an admin of the application shop alone; `stale` an owner whose password was given long ago. */
export const people = ['viewer', 'developer', 'shopadmin', 'admin', 'owner', 'stale'] as const;
export const tokens = ['owner-read', 'owner-lease', 'owner-manage', 'owner-metrics', 'developer-manage'] as const;
export const askers = ['nobody', 'disabled', ...people, ...tokens] as const;
export type Asker = (typeof askers)[number];

export interface World {
  readonly control: Control;
  /** What goes into the Authorization header; null: nothing. */
  readonly bearer: ReadonlyMap<Asker, string | null>;
  /** Ids by the words that rows of the table use: `own server`, `other lease`. */
  readonly ids: ReadonlyMap<string, string>;
}

const day = 24 * 3600_000;

export async function makeWorld(): Promise<World> {
  const control = makeControl();
  const ids = new Map<string, string>();
  const made = async (word: string, path: string, body: unknown): Promise<void> => {
    const answer = await control.call('POST', path, body);
    if (answer.status !== 201) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
    ids.set(word, answer.body.id ?? answer.body.device?.id ?? '');
  };
  await control.call('PATCH', '/network', { endpoint: { host: '203.0.113.1' } });
  await control.call('PATCH', '/lan', { wan: 'wan0', ports: ['lan0'], address: '192.168.66.1/24' });
  for (const [word, label] of [
    ['own application', 'shop'],
    ['other application', 'books'],
  ] as const) {
    await made(word, '/applications', { label });
  }
  for (const [word, application] of [
    ['own server', 'shop'],
    ['other server', 'books'],
  ] as const) {
    await made(word, '/servers', { application, label: 'web', publicKey: publicKey() });
  }
  for (const [name, role, access] of [
    ['owner', 'owner', {}],
    ['stale', 'owner', {}],
    ['disabled', 'owner', {}],
    ['admin', 'admin', {}],
    ['shopadmin', 'viewer', { shop: 'admin' }],
    ['developer', 'viewer', { shop: 'developer' }],
    ['colleague', 'viewer', { shop: 'developer' }],
    ['viewer', 'viewer', {}],
  ] as const) {
    await made(name, '/members', { name, role, access });
  }
  await control.call('PATCH', '/members/disabled', { disabled: true });
  ids.set('own member', ids.get('developer') ?? '').set('other member', ids.get('colleague') ?? '');
  for (const [word, member, source] of [
    ['own', 'developer', '203.0.113.7'],
    ['other', 'colleague', '203.0.113.8'],
  ] as const) {
    await made(`${word} device`, '/devices', { member, label: 'laptop', publicKey: publicKey() });
    await made(`${word} lease`, '/leases', { member, source });
  }
  await made('own rule', '/rules', { source: '203.0.113.10', server: 'shop/web' });
  await made('other rule', '/rules', { source: '203.0.113.20', server: 'books/web' });
  await made('own LAN device', '/lan/devices', { label: 'tv', mac: '02:00:00:00:00:01' });
  await made('own name', '/names', { name: 'files.shop', type: 'A', address: '172.16.10.10' });
  return { control, ids, bearer: tickets(control, ids) };
}

function tickets({ store, clock }: Control, ids: ReadonlyMap<string, string>): ReadonlyMap<Asker, string | null> {
  const expiresAt = clock.wall + day;
  const bearer = new Map<Asker, string | null>([['nobody', null]]);
  for (const name of ['disabled', ...people] as const) {
    const authenticatedAt = name === 'stale' ? clock.wall - day : clock.wall;
    const owner = ids.get(name) ?? '';
    bearer.set(name, store.tickets.issue('session', { id: `s${name}`, owner, body: { authenticatedAt }, expiresAt }));
  }
  for (const name of tokens) {
    const [who = '', scope] = name.split('-');
    const body = { name, scope };
    const owner = ids.get(who) ?? '';
    bearer.set(name, store.tickets.issue('token', { id: `t${name}`, owner, body, expiresAt }));
  }
  return bearer;
}

export function configOf({ control }: World): Config {
  return control.store.snapshot.config;
}
