// Why a connection is allowed or not, by the same grants that the firewall is compiled from.

import { type Binding, grants, type Reason } from './access.ts';
import { type Address, contains, type Prefix } from './address.ts';
import { hubAddress } from './addressing.ts';
import type { Config } from './config.ts';
import { addressOf, targets } from './uplink.ts';

export interface Explanation {
  readonly allowed: boolean;
  readonly source: string;
  readonly destination: string;
  /** The grants that allow it; empty when it is not allowed. */
  readonly because: readonly Reason[];
  /** One sentence for people. */
  readonly message: string;
}

/** Something with an address: what it is called, and the address the hub sees it under. */
export interface Machine {
  readonly kind: 'hub' | 'server' | 'device' | 'LAN device' | 'uplink' | 'unknown';
  readonly name: string;
  readonly address: Address;
}

/** Every machine the configuration knows, under the address that grants use. */
export function machines(config: Config): readonly Machine[] {
  const applications = new Map(config.applications.map(({ id, label }) => [id, label]));
  const members = new Map(config.members.map(({ id, label }) => [id, label]));
  return [
    { kind: 'hub', name: 'hub', address: hubAddress(config.network) },
    ...config.servers.map((one) => ({
      kind: 'server' as const,
      name: `${one.label}.${applications.get(one.application)}`,
      address: one.address,
    })),
    ...config.devices.map((one) => ({
      kind: 'device' as const,
      name: `${one.label}.${members.get(one.member)}.team`,
      address: one.address,
    })),
    ...config.lanDevices.map((one) => ({
      kind: 'LAN device' as const,
      name: `${one.label}.lan`,
      address: one.address,
    })),
    ...config.uplinks.flatMap((one) =>
      one.peers.flatMap((peer) => {
        const address = addressOf(peer);
        if (peer.label === null || address === null) return [];
        return [{ kind: 'uplink' as const, name: `${peer.label}.${one.label}`, address }];
      }),
    ),
  ];
}

/**
 * The machine behind an address, a full name or an unambiguous first label; null when there is none or more than one.
 * A LAN device sends from its LAN address, but whoever names its APN address as a destination means that one.
 */
export function findMachine(config: Config, text: string, end: 'source' | 'destination' = 'source'): Machine | null {
  const all = machines(config);
  const wanted = text
    .toLowerCase()
    .replace(/\.$/, '')
    .replace(new RegExp(`\\.${config.network.domain}$`), '');
  const identity = config.lanDevices.find((one) => one.identity === wanted);
  const exact = all.find(
    ({ name, address }) =>
      address === wanted || name === wanted || (identity !== undefined && address === identity.address),
  );
  if (exact !== undefined && identity !== undefined && end === 'destination') {
    return { ...exact, address: identity.identity };
  }
  if (exact !== undefined) return exact;
  const [one, another] = all.filter(({ name }) => name.split('.')[0] === wanted);
  return one === undefined || another !== undefined ? null : one;
}

/** Decides for original direction; replies are allowed exactly when this is. */
export function explain(
  config: Config,
  leased: readonly Binding[],
  source: Machine,
  destination: Machine,
  port: string,
): Explanation {
  const because = grants(config, leased)
    .filter(({ from, to }) => contains(from, source.address) && contains(to, destination.address))
    .map(({ reason }) => reason);
  const named = { source: describe(source), destination: describe(destination), because };
  const where = `${named.destination}${port === '' ? '' : ` port ${port}`}`;
  const [first] = because;
  if (destination.kind === 'hub') {
    const { services, ports } = hubServices(config, source);
    const allowed =
      services !== null && (port === '' || ports.some((open) => open === port || open.startsWith(`${port}/`)));
    if (services === null)
      return { ...named, allowed, message: `${named.source} is nobody inside: it may not reach ${where}.` };
    const only = `${named.source} may use the hub's ${services}`;
    return { ...named, allowed, message: allowed ? `${only}.` : `${only}, not its port ${port}.` };
  }
  const onTheLan = ({ address }: Machine) => config.lan !== null && contains(config.lan.range, address);
  if (onTheLan(source) && onTheLan(destination)) {
    return { ...named, allowed: true, message: 'Both are on the LAN, and the hub is not between them.' };
  }
  if (first === undefined) {
    return {
      ...named,
      allowed: false,
      message: `${named.source} may not reach ${where}: ${missing(config, source, destination)}`,
    };
  }
  return { ...named, allowed: true, message: `${named.source} may reach ${where}: ${words(first)}` };
}

/** What the hub's input chains let in from here; null: nothing, because it comes from the WAN. */
function hubServices(
  config: Config,
  { kind, address }: Machine,
): { readonly services: string | null; readonly ports: readonly string[] } {
  const names = ['53/udp', '53/tcp'];
  const pages = ['80/tcp', '443/tcp'];
  const device = config.devices.find((one) => one.address === address);
  const member = config.members.find(({ id }) => id === device?.member);
  if (kind === 'unknown') return { services: null, ports: [] };
  if (kind === 'LAN device')
    return { services: 'DNS, ping and the web pages', ports: [...names, ...pages, '51820/udp'] };
  if (kind === 'device' && member?.disabled === false)
    return { services: 'DNS, ping and the web pages', ports: [...names, ...pages] };
  return { services: 'DNS and ping', ports: names };
}

function describe({ kind, name, address }: Machine): string {
  return kind === 'unknown' ? address : `${name} (${address})`;
}

function words(reason: Reason): string {
  switch (reason.kind) {
    case 'same application':
      return `both are part of ${reason.application}.`;
    case 'link':
      return `${reason.from} is linked to ${reason.to}.`;
    case 'role':
      return `${reason.member} has a role in ${reason.application}.`;
    case 'LAN device':
      return `${reason.device} has been given access to ${reason.application}.`;
    case 'LAN default':
      return `devices on the LAN may reach ${reason.application}.`;
    case 'uplink':
      return `${reason.who} may use the uplink ${reason.uplink}.`;
  }
}

function missing(config: Config, source: Machine, destination: Machine): string {
  const isBehind = (address: Address, prefixes: readonly Prefix[]) => prefixes.some((one) => contains(one, address));
  if (config.uplinks.some((one) => isBehind(source.address, targets(one)))) {
    return 'nobody behind an uplink opens connections to here.';
  }
  const uplink = config.uplinks.find((one) => isBehind(destination.address, targets(one)));
  if (uplink !== undefined) return `it has not been given access to the uplink ${uplink.label}.`;
  const application = config.applications.find(({ range }) => contains(range, destination.address));
  if (application === undefined) {
    return destination.kind === 'LAN device' || destination.kind === 'device'
      ? 'nobody opens connections to devices.'
      : 'no application has this address.';
  }
  const own = config.applications.find(({ range }) => contains(range, source.address));
  if (own !== undefined) return `${own.label} is not linked to ${application.label}.`;
  if (source.kind === 'device') return `its member has no role in ${application.label} that reaches servers.`;
  if (source.kind === 'LAN device') return `it has not been given access to ${application.label}.`;
  return 'this address belongs to nobody the hub knows.';
}
