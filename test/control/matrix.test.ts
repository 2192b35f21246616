// Every route for everybody who could ask, about what is one's own, another's and gone: allowed exactly where the table says.
import { beforeEach, describe, expect, it } from 'vitest';
import { publicKey } from '../support/saving.ts';
import { type Asker, askers, makeWorld, people, type World } from './world.ts';

/** Whose the object is: for members' things the developer's, for applications' things shop's. */
type Whose = 'own' | 'other' | 'gone';

interface Row {
  /** Where it is asked, with `:` parts filled; `id` is the object's. */
  readonly at?: (id: string) => string;
  readonly body?: (id: string) => unknown;
  /** The word for the object in the world; without one the route is about no object. */
  readonly object?: string;
  /** For each owner of the object who may; without an object `own` counts. */
  readonly own: readonly Asker[];
  readonly other?: readonly Asker[];
  /** There is none in this world: whoever may learns that. */
  readonly absent?: true;
  /** Asks for a secret of its own: with nothing in it everybody is turned away, and nothing changes. */
  readonly secret?: true;
  /** Who may do it to something of his own that is not in this world, and so learns that this is gone. */
  readonly elsewhere?: readonly Asker[];
}

const everybody: readonly Asker[] = askers;
const members: readonly Asker[] = askers.filter((one) => !['nobody', 'disabled', 'owner-metrics'].includes(one));
const sessions: readonly Asker[] = people;
const freshSessions: readonly Asker[] = people.filter((one) => one !== 'stale');
const owners: readonly Asker[] = ['owner', 'stale', 'owner-manage'];
const admins: readonly Asker[] = ['admin', ...owners];
const shopAdmins: readonly Asker[] = ['shopadmin', ...admins];
/** The developer and whoever may do it for everybody. */
const himself: readonly Asker[] = ['developer', 'developer-manage', ...admins];
/** Has no device, but may. */
const elsewhere: readonly Asker[] = ['shopadmin'];
const leaseGivers: readonly Asker[] = [...admins, 'owner-lease'];

/** Nothing in this table is taken from the routes' own declarations. */
const table: Readonly<Record<string, Row>> = {
  'GET /summary': { own: everybody },
  'GET /events': { own: everybody },
  'GET /openapi.json': { own: everybody },
  'GET /status': { own: members },
  'GET /explain': { at: () => '/explain?source=web.shop&destination=web.books', own: members },
  'GET /network': { own: members },
  'PATCH /network': { own: owners },
  'GET /applications': { own: members },
  'POST /applications': { own: owners },
  'DELETE /applications/:application': { object: 'application', own: owners, other: owners },
  'POST /applications/:application/links': {
    ...{ object: 'application', at: (id) => `/applications/${id}/links`, body: () => ({ to: 'books' }) },
    ...{ own: owners, other: owners },
  },
  'DELETE /applications/:application/links/:to': {
    ...{ object: 'application', at: (id) => `/applications/${id}/links/books`, own: owners, other: owners },
  },
  'GET /servers': { own: members },
  'POST /servers': {
    ...{ object: 'application', body: (application) => ({ application, label: 'new', publicKey: publicKey() }) },
    ...{ at: () => '/servers', own: shopAdmins, other: admins },
  },
  'PATCH /servers/:server': { object: 'server', own: shopAdmins, other: admins },
  'DELETE /servers/:server': { object: 'server', own: shopAdmins, other: admins },
  'GET /members': { own: members },
  'POST /members': { at: () => '/members', body: () => ({ name: 'new', role: 'developer' }), own: admins },
  'PATCH /members/:member': {
    object: 'member',
    body: () => ({ role: 'developer' }),
    own: admins,
    other: admins,
    elsewhere,
  },
  'DELETE /members/:member': { object: 'member', own: admins, other: admins, elsewhere },
  'GET /devices': { own: members },
  'POST /devices': {
    ...{ object: 'member', body: (member) => ({ member, label: 'new', publicKey: publicKey() }) },
    ...{ at: () => '/devices', own: himself, other: admins, elsewhere },
  },
  'PATCH /devices/:device': { object: 'device', own: himself, other: admins, elsewhere },
  'DELETE /devices/:device': { object: 'device', own: himself, other: admins, elsewhere },
  'GET /lan': { own: members },
  'PATCH /lan': { own: owners },
  'GET /lan/devices': { own: members },
  'POST /lan/devices': { own: admins },
  'PATCH /lan/devices/:device': { object: 'LAN device', at: (id) => `/lan/devices/${id}`, own: admins },
  'DELETE /lan/devices/:device': { object: 'LAN device', at: (id) => `/lan/devices/${id}`, own: admins },
  'GET /leases': { own: members },
  'POST /leases': {
    ...{ object: 'member', body: (member) => ({ member, source: '203.0.113.9' }), at: () => '/leases' },
    ...{ own: [...himself, 'owner-lease'], other: leaseGivers, elsewhere },
  },
  'DELETE /leases/:lease{.+}': {
    ...{
      object: 'lease',
      at: (id) => `/leases/${id}`,
      own: [...himself, 'owner-lease'],
      other: leaseGivers,
      elsewhere,
    },
  },
  'GET /rules': { own: members },
  'POST /rules': {
    ...{ object: 'server', body: (server) => ({ server, source: '203.0.113.30' }), at: () => '/rules' },
    ...{ own: shopAdmins, other: admins },
  },
  'DELETE /rules/:rule{.+}': { object: 'rule', at: (id) => `/rules/${id}`, own: shopAdmins, other: admins },
  'GET /names': { own: members },
  'POST /names': { own: admins },
  'DELETE /names/:name': { object: 'name', own: admins },
  'POST /servers/:server/rotate': {
    ...{ object: 'server', at: (id) => `/servers/${id}/rotate`, body: () => ({ publicKey: publicKey() }) },
    ...{ own: shopAdmins, other: admins },
  },
  'POST /devices/:device/rotate': {
    ...{ object: 'device', at: (id) => `/devices/${id}/rotate`, body: () => ({ publicKey: publicKey() }) },
    ...{ own: himself, other: admins, elsewhere },
  },
  'POST /join': {
    ...{ object: 'application', body: (application) => ({ application, label: 'new' }), at: () => '/join' },
    ...{ own: shopAdmins, other: admins },
  },
  'GET /handovers': { own: members },
  'POST /handovers': {
    ...{ object: 'member', body: (member) => ({ device: `${member}/new` }), at: () => '/handovers' },
    ...{ own: himself, other: admins, elsewhere },
  },
  'GET /handovers/:handover': { own: everybody },
  'DELETE /handovers/:handover': { absent: true, own: [...himself, ...elsewhere] },
  'POST /handovers/take': { secret: true, own: everybody },
  'GET /knocks': { own: members },
  'POST /knocks/:knock/lease': { absent: true, own: [...himself, 'owner-lease', ...elsewhere] },
  'POST /knocks/:knock/rule': { absent: true, own: shopAdmins },
  'POST /knocks/:knock/enrol': {
    ...{ absent: true, body: () => ({ as: 'device', member: 'developer', label: 'new' }), own: himself },
  },
  'POST /knocks/:knock/forget-clock': { absent: true, own: [...himself, ...elsewhere] },
  'DELETE /knocks/:knock': { absent: true, own: [...himself, 'owner-lease', ...elsewhere] },
  'POST /leases/renew': { secret: true, own: everybody },
  'POST /leases/:lease{.+}/renew': {
    ...{ object: 'lease', at: (id) => `/leases/${id}/renew` },
    ...{ own: [...himself, 'owner-lease'], other: leaseGivers, elsewhere },
  },
  'GET /uplinks': { own: members },
  'GET /uplinks/:uplink': { absent: true, own: members },
  'POST /uplinks': { own: owners },
  'POST /uplinks/preview': { own: owners },
  'PUT /uplinks/:uplink/file': { own: owners },
  'PATCH /uplinks/:uplink': { absent: true, own: owners },
  'DELETE /uplinks/:uplink': { absent: true, own: owners },
  'GET /audit': { own: admins },
  'GET /audit/export': { own: admins },
  'GET /metrics': { own: [...sessions, 'owner-manage', 'developer-manage', 'owner-metrics'] },
  'GET /history': { own: owners },
  'GET /history/:revision': { at: () => '/history/1', own: owners },
  'POST /history/:revision/revert': { at: () => '/history/1/revert', own: owners },
  'POST /history/:revision/restore': { at: () => '/history/1/restore', own: owners },
  'POST /backup': { own: ['owner'] },
  'POST /restore': { secret: true, own: everybody },
  'GET /confirm': { own: members },
  'POST /confirm': { absent: true, own: owners },
  'DELETE /confirm': { absent: true, own: owners },
  'GET /session': { own: everybody },
  'POST /session': { secret: true, own: everybody },
  'DELETE /session': { own: everybody },
  'POST /session/confirm': { own: sessions },
  'GET /account': { own: sessions },
  'POST /account/password': { own: sessions },
  'POST /account/totp': { own: freshSessions },
  'POST /account/totp/confirm': { own: freshSessions },
  'DELETE /account/totp': { own: freshSessions },
  'GET /account/sessions': { own: sessions },
  'DELETE /account/sessions/:id': { absent: true, own: sessions },
  'GET /account/tokens': { own: sessions },
  'POST /account/tokens': { own: freshSessions },
  'DELETE /account/tokens/:id': { absent: true, own: sessions },
  'GET /tokens': { own: ['owner', 'stale'] },
  'POST /tokens': { own: [] },
  'DELETE /tokens/:token': { absent: true, own: ['owner', 'stale'] },
  'GET /setup': { own: everybody },
  'POST /setup/claim': { secret: true, own: everybody },
  // Both are newcomers without a password: whoever may do all that they may lets them in.
  'POST /members/:member/invite': {
    ...{ object: 'member', at: (id) => `/members/${id}/invite` },
    ...{ own: ['shopadmin', 'admin', 'owner'], other: ['shopadmin', 'admin', 'owner'] },
  },
  'POST /members/:member/password-reset': { absent: true, own: [] },
  'POST /invitations/look': { secret: true, own: everybody },
  'POST /invitations/take': { secret: true, own: everybody },
  'GET /config/:name': { object: 'server', own: members, other: members },
};

let world: World | undefined;
let revision = -1;

/** The same world again whenever something was changed in it. */
async function fresh(): Promise<World> {
  if (world === undefined || world.control.store.snapshot.revision !== revision) {
    world = await makeWorld();
    revision = world.control.store.snapshot.revision;
  }
  return world;
}

async function ask(route: string, asker: Asker, id: string, path?: string): Promise<number> {
  const { control, bearer } = await fresh();
  const row = table[route];
  const [method = '', pattern = ''] = route.split(' ');
  const ticket = bearer.get(asker);
  const url = path ?? row?.at?.(id) ?? pattern.replace(/:(\w+)(\{[^}]*\})?/g, id);
  const response = await control.app('web').request(url, {
    method,
    headers: {
      'content-type': 'application/json',
      'x-apn-client': '192.168.66.50',
      ...(ticket == null ? {} : { authorization: `Bearer ${ticket}` }),
    },
    ...(method === 'GET' ? {} : { body: JSON.stringify(row?.body?.(id) ?? {}) }),
  });
  await response.body?.cancel();
  return response.status;
}

async function idOf(object: string | undefined, whose: Whose): Promise<string> {
  if (object === undefined || whose === 'gone') return 'gone00000';
  return (await fresh()).ids.get(`${whose} ${object}`) ?? '';
}

async function turnsAway(route: string): Promise<void> {
  const statuses: string[] = [];
  for (const asker of askers) {
    const { control } = await fresh();
    const before = control.store.snapshot;
    const status = await ask(route, asker, 'gone00000');
    const right = status >= 400 && status < 500 && control.store.snapshot === before;
    if (!right) statuses.push(`${asker} ${status}`);
  }
  expect(statuses).toEqual([]);
}

const refusals = [401, 403];

// A store lives as long as the test that opened it.
beforeEach(() => {
  world = undefined;
});

describe('the table', () => {
  it('holds every route there is, and no other', async () => {
    const routes = (await fresh()).control.app().routes.filter(({ method }) => method !== 'ALL');
    expect(new Set(Object.keys(table))).toEqual(new Set(routes.map(({ method, path }) => `${method} ${path}`)));
  });
});

describe.each(Object.entries(table))('%s', (route, row) => {
  const cases = (row.object === undefined ? ['own'] : ['own', ...(row.other ? ['other'] : []), 'gone']) as Whose[];

  it.each(cases)('about %s', async (whose) => {
    if (row.secret === true) return await turnsAway(route);
    const somewhere = new Set([...row.own, ...(row.other ?? []), ...(row.elsewhere ?? [])]);
    const allowed = whose === 'gone' ? somewhere : new Set(whose === 'own' ? row.own : row.other);
    const seen: string[] = [];
    for (const asker of askers) {
      const id = await idOf(row.object, whose);
      const status = await ask(route, asker, id);
      // Whoever may not, learns nothing of what there is; whoever may, learns that it is gone.
      const right = !allowed.has(asker)
        ? status === (asker === 'nobody' ? 401 : 403)
        : whose === 'gone' || row.absent === true
          ? status === 404
          : ![...refusals, 404, 500].includes(status);
      if (!right) seen.push(`${asker} ${status}`);
    }
    expect(seen).toEqual([]);
  });

  it('has no other way in', async () => {
    if (row.own === everybody) return;
    const seen: string[] = [];
    const id = await idOf(row.object, 'own');
    const [method = '', pattern = ''] = route.split(' ');
    const path = row.at?.(id) ?? pattern.replace(/:(\w+)(\{[^}]*\})?/g, id);
    const [, first = ''] = /^\/(\w)/.exec(path) ?? [];
    const variants = [
      ...[`/${path}`, `${path}/`, `/.${path}`, `/x/..${path}`, path.toUpperCase(), `${path}%2f`, `${path};x`],
      ...[path.replace(first, `%${first.charCodeAt(0).toString(16)}`), `${path}%00`, `${path}/.`, `${path}?x=1`],
    ];
    for (const variant of variants) {
      for (const asker of ['nobody', 'disabled'] as const) {
        const before = (await fresh()).control.store.snapshot;
        const status = await ask(route, asker, id, variant);
        const refused = [401, 403, 404].includes(status) || (row.own === members && status === 404);
        if (!refused || world?.control.store.snapshot !== before) seen.push(`${asker} ${method} ${variant} ${status}`);
      }
    }
    expect(seen).toEqual([]);
  });
});
