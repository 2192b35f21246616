// /metrics: figures of the hub in the text format of Prometheus. Reached through the gateway alone, so never from the WAN.
import { Hono } from 'hono';
import packageFile from '../../../package.json' with { type: 'json' };
import type { Config } from '../../model/config.ts';
import { stateOf } from '../../model/lease.ts';
import { peerName } from './find.ts';
import { needs } from './http.ts';
import { type Env, isConnected, type LivePeer, type Services } from './services.ts';

/** Labels are names that somebody configured and words of ours: nothing that a stranger can make up, and no addresses. */
type Labels = Readonly<Record<string, string>>;
type Sample = readonly [value: number, labels?: Labels];

interface Figure {
  readonly type: 'gauge' | 'counter';
  readonly name: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

const media = 'text/plain; version=0.0.4; charset=utf-8';

export const metrics = new Hono<Env>().get(
  '/',
  needs('metrics', { title: 'Figures of the hub, for Prometheus.', media }),
  async (c) => {
    const services = c.get('services');
    const all = [...(await peerFigures(services)), ...hubFigures(services), ...processFigures(services)];
    return c.body(await written(all), 200, { 'content-type': media });
  },
);

/** The library is loaded when somebody first asks: most hubs are never asked. */
async function written(figures: readonly Figure[]): Promise<string> {
  const { Counter, Gauge, Registry } = await import('prom-client');
  const registry = new Registry();
  for (const { type, name, help, samples } of figures) {
    const labelNames = [...new Set(samples.flatMap(([, labels = {}]) => Object.keys(labels)))];
    const options = { name, help, labelNames, registers: [registry] };
    if (type === 'gauge') {
      const metric = new Gauge(options);
      for (const [value, labels = {}] of samples) metric.set(labels, value);
    } else {
      const metric = new Counter(options);
      for (const [value, labels = {}] of samples) metric.inc(labels, value);
    }
  }
  return registry.metrics();
}

function figure(type: Figure['type'], name: string, help: string, samples: readonly Sample[] | number): Figure {
  return { type, name, help, samples: typeof samples === 'number' ? [[samples]] : samples };
}

async function peerFigures({ store, tunnel, clock }: Services): Promise<readonly Figure[]> {
  const { up, peers } = await tunnel();
  const { wall } = clock();
  const named = peersOf(store.snapshot.config);
  const each = (value: (peer: LivePeer) => number | null): readonly Sample[] =>
    named.flatMap(({ publicKey, labels }) => {
      const peer = peers.get(publicKey);
      const found = peer === undefined ? null : value(peer);
      return found === null ? [] : [[found, labels]];
    });
  const age = ({ lastHandshake }: LivePeer) =>
    lastHandshake === null ? null : Math.max(0, (wall - lastHandshake) / 1000);
  return [
    figure('gauge', 'apn_tunnel_up', 'Whether the tunnel is there.', Number(up)),
    figure(
      'gauge',
      'apn_peer_connected',
      'Whether the peer had a handshake within three minutes.',
      each((peer) => Number(isConnected(peer, wall))),
    ),
    figure('gauge', 'apn_peer_handshake_age_seconds', "Time since the peer's last handshake.", each(age)),
    figure(
      'counter',
      'apn_peer_received_bytes_total',
      'Bytes received from the peer.',
      each(({ rxBytes }) => rxBytes),
    ),
    figure(
      'counter',
      'apn_peer_sent_bytes_total',
      'Bytes sent to the peer.',
      each(({ txBytes }) => txBytes),
    ),
  ];
}

function peersOf(config: Config) {
  return [...config.servers, ...config.devices].map((one) => {
    const labels: Labels = { kind: 'application' in one ? 'server' : 'device', peer: peerName(config, one) };
    return { publicKey: one.publicKey, labels };
  });
}

/** What happens to leases, as the audit log calls it. */
const leaseEvents = ['granted', 'renewed', 'expired', 'revoked', 'ended by roaming', 'refused'];
const severities = ['error', 'warning', 'info'] as const;
const knockKinds = ['device', 'server', 'unknown', 'unreadable'] as const;

function hubFigures({ store, conditions, clock, appliedRevision, knocks }: Services): readonly Figure[] {
  const { config, revision, leases } = store.snapshot;
  const now = clock();
  const [present, listed] = [conditions.list(), knocks.list()];
  return [
    figure('gauge', 'apn_revision', 'Revision of the configuration.', revision),
    figure('gauge', 'apn_revision_applied', 'The newest revision that the machine agrees with.', appliedRevision()),
    figure(
      'gauge',
      'apn_leases',
      'Leases that are open now.',
      leases.filter((lease) => stateOf(lease, now) === 'active').length,
    ),
    figure('gauge', 'apn_rules', 'Permanent openings.', config.rules.length),
    figure(
      'counter',
      'apn_lease_events_total',
      'What happened to leases since the start.',
      leaseEvents.map((event) => [store.leaseEvents.get(`lease ${event}`) ?? 0, { event }]),
    ),
    figure(
      'gauge',
      'apn_knocks',
      'Entries of the refused list.',
      knockKinds.map((kind) => [listed.filter((one) => one.kind === kind).length, { kind }]),
    ),
    figure(
      'gauge',
      'apn_conditions',
      'Problems that a person should know.',
      severities.map((severity) => [present.filter((one) => one.severity === severity).length, { severity }]),
    ),
  ];
}

/** Names as every Prometheus client calls them. */
function processFigures({ startedAt }: Services): readonly Figure[] {
  const { user, system } = process.cpuUsage();
  return [
    figure('gauge', 'apn_build_info', 'The version that runs; always 1.', [[1, { version: packageFile.version }]]),
    figure('gauge', 'process_start_time_seconds', 'When the router was started, since 1970.', startedAt / 1000),
    figure('gauge', 'process_resident_memory_bytes', 'Memory of the router.', process.memoryUsage.rss()),
    figure('counter', 'process_cpu_seconds_total', 'Processor time of the router.', (user + system) / 1e6),
  ];
}
