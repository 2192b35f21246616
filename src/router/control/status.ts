// /summary and /status: how the router is; /events: the same as it changes.
import { type Context, Hono } from 'hono';
import { streamSSE } from 'hono/streaming';
import { z } from 'zod';
import { type Config, listenPort, network as networkSchema } from '../../model/config.ts';
import { claimed, may } from '../../model/roles.ts';
import type { Announcement } from './announcements.ts';
import { waitingFor } from './confirm.ts';
import { configOf, needs } from './http.ts';
import { type Env, isConnected, type Services } from './services.ts';

/** At most one event a second for each reader, and a sign of life every so often. */
const shortestInterval = 1000;
const heartbeat = 15_000;

const count = z.int().min(0);
const condition = z.strictObject({
  code: z.string(),
  severity: z.enum(['info', 'warning', 'error']),
  title: z.string(),
  remedy: z.string(),
  since: z.iso.datetime(),
});
const brief = z.strictObject({
  hostName: z.string(),
  state: z.enum(['starting', 'unclaimed', 'up', 'fault']),
  revision: count,
  /** The newest revision that the machine agrees with. */
  appliedRevision: z.int(),
  uptimeSeconds: count,
  tunnel: z.strictObject({ up: z.boolean(), listenPort: z.literal(listenPort) }),
  counts: z.strictObject({
    ...{ applications: count, servers: count, serversConnected: count, devices: count, devicesConnected: count },
    ...{ lanDevices: count, leases: count, rules: count },
  }),
  confirm: z.strictObject({ secondsLeft: z.number() }).nullable(),
  rxBytes: count,
  txBytes: count,
  conditions: z.array(condition),
});
const whole = brief.extend({
  conditions: z.array(condition.extend({ about: z.string().optional() })),
  network: networkSchema,
  hubPublicKey: z.string(),
});

export const status = new Hono<Env>()
  .get('/summary', needs('summary', { title: 'Counts and states, without names.', answer: brief }), async (c) =>
    c.json(await summary(c.get('services'))),
  )
  .get('/status', needs('see', { title: 'How the router is.', answer: whole }), async (c) => {
    const services = c.get('services');
    const conditions = services.conditions
      .list()
      .map(({ since, ...rest }) => ({ ...rest, since: new Date(since).toISOString() }));
    const { network } = configOf(c);
    return c.json({ ...(await summary(services)), conditions, network, hubPublicKey: services.hubPublicKey });
  })
  .get(
    '/events',
    needs('summary', { title: 'The summary as it changes, as server-sent events.', media: 'text/event-stream' }),
    (c) =>
      streamSSE(c, async (stream) => {
        const services = c.get('services');
        let changed = Promise.withResolvers<boolean>();
        const said: Announcement[] = [];
        const stops = [
          services.onChange(() => changed.resolve(true)),
          services.announcements.on((one) => {
            said.push(one);
            changed.resolve(true);
          }),
        ];
        stream.onAbort(() => {
          for (const stop of stops) stop();
          changed.resolve(false);
        });
        while (!stream.aborted) {
          for (const one of said.splice(0)) {
            if (sees(c)) await stream.writeSSE({ event: one.event, data: JSON.stringify(announced(configOf(c), one)) });
          }
          await stream.writeSSE({ event: 'summary', data: JSON.stringify(await summary(services)) });
          await stream.sleep(shortestInterval);
          const timer = setTimeout(() => changed.resolve(false), heartbeat);
          const something = await changed.promise;
          clearTimeout(timer);
          changed = Promise.withResolvers();
          if (!something && !stream.aborted) await stream.write(': alive\n\n');
        }
      }),
  );

/** Asked anew each time: a stream outlives a session, a role, a member. */
function sees(c: Context<Env>): boolean {
  const { store } = c.get('services');
  const principal = c.get('principal');
  if (!may(principal, 'see', {}, store.snapshot.config)) return false;
  if (principal.kind !== 'member' || principal.ticket === undefined) return true;
  const kind = principal.token === undefined ? 'session' : 'token';
  return store.tickets.list(kind, principal.id).some(({ id }) => id === principal.ticket);
}

function announced({ members }: Config, { data }: Announcement) {
  return { ...data, member: members.find(({ id }) => id === data.member)?.name ?? null };
}

/** Counts and states; no names, no addresses: anybody on the LAN may read it. */
async function summary(services: Services) {
  const { store, conditions, tunnel, clock, appliedRevision, startedAt } = services;
  const waits = waitingFor(services);
  const { config, revision, leases } = store.snapshot;
  const live = await tunnel();
  const { wall } = clock();
  const connected = (peers: readonly { publicKey: (typeof config.servers)[number]['publicKey'] }[]) =>
    peers.filter(({ publicKey }) => isConnected(live.peers.get(publicKey), wall)).length;
  const present = conditions.list();
  const sum = (field: 'rxBytes' | 'txBytes') =>
    [...live.peers.values()].reduce((total, peer) => total + peer[field], 0);
  return {
    hostName: config.system.hostName,
    state: state(
      config,
      present.some(({ severity }) => severity === 'error'),
      appliedRevision() >= revision,
    ),
    revision,
    appliedRevision: appliedRevision(),
    uptimeSeconds: Math.max(0, Math.round((Date.now() - startedAt) / 1000)),
    tunnel: { up: live.up, listenPort },
    counts: {
      applications: config.applications.length,
      servers: config.servers.length,
      serversConnected: connected(config.servers),
      devices: config.devices.length,
      devicesConnected: connected(config.devices),
      lanDevices: config.lanDevices.length,
      leases: leases.length,
      rules: config.rules.length,
    },
    /** A network edit that waits to be confirmed. */
    confirm: waits === null ? null : { secondsLeft: waits.secondsLeft },
    rxBytes: sum('rxBytes'),
    txBytes: sum('txBytes'),
    conditions: present.map(({ about: _, since, ...rest }) => ({ ...rest, since: new Date(since).toISOString() })),
  };
}

function state(config: Config, fault: boolean, applied: boolean): 'starting' | 'unclaimed' | 'up' | 'fault' {
  if (fault) return 'fault';
  if (!claimed(config)) return 'unclaimed';
  return applied ? 'up' : 'starting';
}
