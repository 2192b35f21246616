// /summary and /status: how the router is; /events: the same as it changes; /explain: why something is allowed or not.
import { Hono } from 'hono';
import { streamSSE } from 'hono/streaming';
import { type Address, contains, parseAddress } from '../../model/address.ts';
import { type Config, listenPort } from '../../model/config.ts';
import { InvalidInput } from '../../model/errors.ts';
import { explain, findMachine, type Machine } from '../../model/explain.ts';
import { configOf, needs } from './http.ts';
import { type Env, isConnected, type Services } from './services.ts';

/** At most one event a second for each reader, and a sign of life every so often. */
const shortestInterval = 1000;
const heartbeat = 15_000;

export const status = new Hono<Env>()
  .get('/summary', needs('summary', { title: 'Counts and states, without names.' }), async (c) =>
    c.json(await summary(c.get('services'))),
  )
  .get('/status', needs('see', { title: 'How the router is.' }), async (c) => {
    const services = c.get('services');
    const conditions = services.conditions
      .list()
      .map(({ since, ...rest }) => ({ ...rest, since: new Date(since).toISOString() }));
    const { network } = configOf(c);
    return c.json({ ...(await summary(services)), conditions, network, hubPublicKey: services.hubPublicKey });
  })
  .get('/events', needs('summary', { title: 'The summary as it changes, as server-sent events.' }), (c) =>
    streamSSE(c, async (stream) => {
      const services = c.get('services');
      let changed = Promise.withResolvers<boolean>();
      const stop = services.onChange(() => changed.resolve(true));
      stream.onAbort(() => {
        stop();
        changed.resolve(false);
      });
      while (!stream.aborted) {
        await stream.writeSSE({ event: 'summary', data: JSON.stringify(await summary(services)) });
        await stream.sleep(shortestInterval);
        const timer = setTimeout(() => changed.resolve(false), heartbeat);
        const something = await changed.promise;
        clearTimeout(timer);
        changed = Promise.withResolvers();
        if (!something && !stream.aborted) await stream.write(': alive\n\n');
      }
    }),
  )
  .get(
    '/explain',
    needs('see', {
      title: 'Why a connection is allowed or not.',
      query: { source: 'a name or an address', destination: 'a name or an address', port: '`443`, `53/udp`' },
    }),
    (c) => {
      const config = configOf(c);
      const leased = c.get('services').leased();
      const source = machine(config, 'source', c.req.query('source') ?? '');
      const destination = machine(config, 'destination', c.req.query('destination') ?? '');
      return c.json(explain(config, leased, source, destination, port(c.req.query('port') ?? '')));
    },
  );

/** Counts and states; no names, no addresses: anybody on the LAN may read it. */
async function summary({ store, conditions, tunnel, clock, appliedRevision, startedAt }: Services) {
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
    rxBytes: sum('rxBytes'),
    txBytes: sum('txBytes'),
    conditions: present.map(({ about: _, since, ...rest }) => ({ ...rest, since: new Date(since).toISOString() })),
  };
}

function state(config: Config, fault: boolean, applied: boolean): 'starting' | 'unclaimed' | 'up' | 'fault' {
  if (fault) return 'fault';
  if (config.lan === null && config.members.length === 0) return 'unclaimed';
  return applied ? 'up' : 'starting';
}

/** Somebody the configuration knows, or an address that belongs to nobody. */
function machine(config: Config, path: 'source' | 'destination', reference: string): Machine {
  const known = findMachine(config, reference, path);
  if (known !== null) return known;
  let address: Address;
  try {
    address = parseAddress(reference);
  } catch {
    throw new InvalidInput(path, `“${reference.slice(0, 60)}” is neither an address nor a name the hub knows.`);
  }
  if (address === config.lan?.address) return { kind: 'hub', name: 'hub', address };
  if (config.lan !== null && contains(config.lan.range, address)) return { kind: 'LAN device', name: address, address };
  return { kind: 'unknown', name: address, address };
}

function port(text: string): string {
  const match = /^(\d{1,5})(\/(tcp|udp))?$/.exec(text);
  if (text === '') return '';
  if (match === null || Number(match[1]) > 65535 || Number(match[1]) === 0) {
    throw new InvalidInput('port', 'A port is a number from 1 to 65535, with /tcp or /udp if you like.');
  }
  return text;
}
