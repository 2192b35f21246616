// What must hold across the whole configuration; a change that breaks one of these is refused whole.
import {
  type Address,
  contains,
  isHost,
  networkAddress,
  overlaps,
  type Prefix,
  prefixLength,
  toNumber,
  unusable,
} from './address.ts';
import { assignable, deviceRange, hubAddress, identityRange } from './addressing.ts';
import type { Access, Config, ListNoun } from './config.ts';
import { lookOf, reservedLabels } from './name.ts';
import { reservationProblems, uplinkProblems } from './uplink-rules.ts';

/** One broken rule: the object, its field, and words for people. */
export interface Problem {
  readonly noun: ListNoun | 'network' | 'lan' | 'system';
  /** Empty for the nouns that are one object. */
  readonly id: string;
  readonly field: string;
  readonly message: string;
}

/** Facts from outside the configuration that rules look at. */
export interface Surroundings {
  readonly hubPublicKey: string | null;
}

/** Every broken rule, in the order of the nouns. An empty list: the configuration may be saved. */
export function problems(config: Config, around: Surroundings): readonly Problem[] {
  return [
    ...networkProblems(config),
    ...lanProblems(config),
    ...applicationProblems(config),
    ...peerProblems(config, around),
    ...memberProblems(config),
    ...lanDeviceProblems(config),
    ...ruleProblems(config),
    ...nameProblems(config),
    ...reservationProblems(config),
    ...uplinkProblems(config, around.hubPublicKey),
  ];
}

const privateRanges = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
] as readonly string[] as readonly Prefix[];

function* networkProblems({ network, lan }: Config): Generator<Problem> {
  const at = (field: string, message: string): Problem => ({ noun: 'network', id: '', field, message });
  const length = prefixLength(network.range);
  if (length < 12 || length > 22) yield at('range', 'The network needs a length from /12 to /22.');
  if (!privateRanges.some((outer) => contains(outer, network.range))) {
    yield at('range', `${network.range} is not private address space (RFC 1918 or 100.64.0.0/10).`);
  }
  if (lan !== null && overlaps(lan.range, network.range)) {
    yield at('range', `${network.range} overlaps the LAN ${lan.range}.`);
  }
  const host = endpointAddress(network);
  if (host !== null) {
    const why = unusable(host);
    if (why !== null) yield at('endpoint.host', `${host} is ${why}.`);
    else if (overlaps(network.range, host)) yield at('endpoint.host', `${host} is inside the network itself.`);
  }
}

/** The endpoint's host when it is written as an address. */
function endpointAddress({ endpoint }: Config['network']): Address | null {
  if (endpoint === null || !/^[\d.]+$|:/.test(endpoint.host)) return null;
  return endpoint.host as Address;
}

function* lanProblems({ lan }: Config): Generator<Problem> {
  if (lan === null) return;
  const at = (field: string, message: string): Problem => ({ noun: 'lan', id: '', field, message });
  const length = prefixLength(lan.range);
  if (length < 16 || length > 29) yield at('address', 'The LAN needs a length from /16 to /29.');
  if (!privateRanges.some((outer) => contains(outer, lan.range))) {
    yield at('address', `${lan.range} is not private address space (RFC 1918).`);
  }
  if (!assignable(lan.range, lan.address)) yield at('address', `${lan.address} is not an address for a machine.`);
  if (lan.ports.includes(lan.wan) && lan.topology === 'router') {
    yield at('ports', `${lan.wan} is the port towards the Internet.`);
  }
  if (new Set(lan.ports).size !== lan.ports.length) yield at('ports', 'A port is named twice.');
  const own = [...lan.ports, lan.wan].find((port) => port === 'lo' || port === 'br-lan' || /^apn\d+$/.test(port));
  if (own !== undefined) yield at('ports', `${own} is not a network port.`);
  if (lan.dhcp !== null) {
    const { from, to } = lan.dhcp;
    if (!assignable(lan.range, from)) yield at('dhcp.from', `${from} is not inside ${lan.range}.`);
    if (!assignable(lan.range, to)) yield at('dhcp.to', `${to} is not inside ${lan.range}.`);
    if (toNumber(from) > toNumber(to)) yield at('dhcp.to', 'The last address comes before the first.');
    if (toNumber(from) <= toNumber(lan.address) && toNumber(lan.address) <= toNumber(to)) {
      yield at('dhcp.from', `The hub's own address ${lan.address} is among those handed out.`);
    }
  }
}

function* applicationProblems(config: Config): Generator<Problem> {
  const { applications, network } = config;
  const ids = new Set(applications.map(({ id }) => id));
  const kept = [
    [networkAddress(network.range), 'the hub'],
    [hubAddress(network), 'the hub'],
    [deviceRange(network), 'the devices'],
    [identityRange(network), 'the LAN devices'],
  ] as const;
  const labels = firstSeen(applications, ({ label }) => label);
  for (const [index, one] of applications.entries()) {
    const at = (field: string, message: string): Problem => ({ noun: 'applications', id: one.id, field, message });
    if (labels.get(one.label) !== one) yield at('label', `There is an application “${one.label}” already.`);
    const length = prefixLength(one.range);
    if (!contains(network.range, one.range)) yield at('range', `${one.range} is not inside ${network.range}.`);
    else if (length > 30) yield at('range', `${one.range} has no room for servers.`);
    const owner = kept.find(([part]) => overlaps(part, one.range));
    if (owner !== undefined) yield at('range', `${one.range} overlaps the addresses of ${owner[1]}.`);
    const other = applications.slice(0, index).find(({ range }) => overlaps(range, one.range));
    if (other !== undefined) yield at('range', `${one.range} overlaps ${other.range} of ${other.label}.`);
    for (const link of one.links) {
      if (!ids.has(link)) yield at('links', 'A linked application does not exist.');
      if (link === one.id) yield at('links', 'An application is always linked to itself.');
    }
    if (new Set(one.links).size !== one.links.length) yield at('links', 'An application is linked twice.');
  }
}

function* peerProblems(config: Config, around: Surroundings): Generator<Problem> {
  const peers = [
    ...config.servers.map((peer) => ({ noun: 'servers' as const, peer, group: peer.application })),
    ...config.devices.map((peer) => ({ noun: 'devices' as const, peer, group: peer.member })),
  ];
  const ranges = new Map(config.applications.map(({ id, range }) => [id, range]));
  const memberIds = new Set(config.members.map(({ id }) => id));
  const keys = firstSeen(peers, ({ peer }) => peer.publicKey);
  const labels = firstSeen(peers, ({ noun, peer, group }) => `${noun} ${group} ${peer.label}`);
  const addresses = firstSeen(peers, ({ peer }) => peer.address);
  for (const one of peers) {
    const { noun, peer, group } = one;
    const at = (field: string, message: string): Problem => ({ noun, id: peer.id, field, message });
    const within = noun === 'servers' ? ranges.get(group) : deviceRange(config.network);
    if (noun === 'servers' && within === undefined) yield at('application', 'There is no such application.');
    if (noun === 'devices' && !memberIds.has(group)) yield at('member', 'There is no such member.');
    if (within !== undefined && !assignable(within, peer.address)) {
      yield at('address', `${peer.address} is not an address for a machine inside ${within}.`);
    }
    if (addresses.get(peer.address) !== one) yield at('address', `${peer.address} is in use.`);
    if (labels.get(`${noun} ${group} ${peer.label}`) !== one) yield at('label', `“${peer.label}” is in use.`);
    if (keys.get(peer.publicKey) !== one) yield at('publicKey', 'This public key belongs to another peer.');
    if (peer.publicKey === around.hubPublicKey) yield at('publicKey', "This is the hub's own public key.");
  }
}

function* memberProblems(config: Config): Generator<Problem> {
  const applicationIds = new Set(config.applications.map(({ id }) => id));
  const labels = firstSeen(config.members, ({ label }) => label);
  const names = firstSeen(config.members, ({ name }) => lookOf(name));
  for (const one of config.members) {
    const at = (field: string, message: string): Problem => ({ noun: 'members', id: one.id, field, message });
    if (names.get(lookOf(one.name)) !== one) yield at('name', `There is a member whose name looks like “${one.name}”.`);
    else if (labels.get(one.label) !== one) yield at('label', `“${one.label}” is in use by another member.`);
    for (const id of Object.keys(one.access)) {
      if (!applicationIds.has(id)) yield at('access', 'There is no such application.');
    }
  }
  const [first] = config.members;
  if (first !== undefined && !config.members.some((one) => one.role === 'owner' && !one.disabled)) {
    const last = config.members.find(({ role }) => role === 'owner') ?? first;
    yield { noun: 'members', id: last.id, field: 'role', message: 'There must be at least one owner.' };
  }
}

function* lanDeviceProblems(config: Config): Generator<Problem> {
  const { lan, lanDevices, network } = config;
  const macs = firstSeen(lanDevices, ({ mac }) => mac);
  const labels = firstSeen(lanDevices, ({ label }) => label);
  const addresses = firstSeen(lanDevices, ({ address }) => address);
  const identities = firstSeen(lanDevices, ({ identity }) => identity);
  const applicationIds = new Set(config.applications.map(({ id }) => id));
  for (const one of lanDevices) {
    const at = (field: string, message: string): Problem => ({ noun: 'lanDevices', id: one.id, field, message });
    if (reservedLabels.includes(one.label)) yield at('label', `“${one.label}” is reserved.`);
    if (labels.get(one.label) !== one) yield at('label', `“${one.label}” is in use.`);
    if (macs.get(one.mac) !== one) yield at('mac', `${one.mac} belongs to another LAN device.`);
    if (addresses.get(one.address) !== one) yield at('address', `${one.address} belongs to another LAN device.`);
    if (identities.get(one.identity) !== one) yield at('identity', `${one.identity} belongs to another LAN device.`);
    if (lan === null || !assignable(lan.range, one.address))
      yield at('address', `${one.address} is not inside the LAN.`);
    if (lan !== null && lan.address === one.address) yield at('address', `${one.address} is the hub's own address.`);
    if (!assignable(identityRange(network), one.identity)) {
      yield at('identity', `${one.identity} is not inside ${identityRange(network)}.`);
    }
    if (one.access !== 'default') yield* accessProblems(one.access, applicationIds, at);
  }
  if (lan !== null) {
    const at = (_: string, message: string): Problem => ({ noun: 'lan', id: '', field: 'defaultAccess', message });
    yield* accessProblems(lan.defaultAccess, applicationIds, at);
  }
}

function* accessProblems(
  access: Access,
  ids: ReadonlySet<string>,
  at: (field: string, message: string) => Problem,
): Generator<Problem> {
  if (typeof access === 'string') return;
  if (access.some((id) => !ids.has(id))) yield at('access', 'There is no such application.');
}

function* ruleProblems(config: Config): Generator<Problem> {
  const serverIds = new Set(config.servers.map(({ id }) => id));
  for (const one of config.rules) {
    const at = (field: string, message: string): Problem => ({ noun: 'rules', id: one.id, field, message });
    const why = sourceProblem(one.source, config);
    if (why !== null) yield at('source', why);
    if (one.server !== null && !serverIds.has(one.server)) yield at('server', 'There is no such server.');
  }
}

/** Why UDP 51820 cannot be opened to this source, or null. Rules and leases share it. */
export function sourceProblem(source: Prefix, { network, lan }: Pick<Config, 'network' | 'lan'>): string | null {
  const shortest = source.includes(':') ? 16 : 8;
  if (prefixLength(source) < shortest) return `${source} is too wide: at least /${shortest}.`;
  const why = unusable(source);
  if (why !== null) return `${source} is ${why}.`;
  if (overlaps(source, network.range)) return `${source} is inside the network ${network.range} itself.`;
  if (lan !== null && overlaps(source, lan.range)) return `${source} is on the LAN ${lan.range}, which needs no lease.`;
  const hub = endpointAddress(network);
  if (hub !== null && isHost(source) && overlaps(source, hub)) return `${source} is the hub's own address.`;
  return null;
}

function* nameProblems(config: Config): Generator<Problem> {
  const applications = new Set<string>(config.applications.map(({ label }) => label));
  const labels = new Map(config.applications.map(({ id, label }) => [id, label]));
  const servers = new Set(config.servers.map(({ label, application }) => `${label}.${labels.get(application)}`));
  const behind = new Set(config.uplinks.flatMap(({ label, peers }) => peers.map((peer) => `${peer.label}.${label}`)));
  const seen = firstSeen(config.names, ({ name }) => name);
  for (const one of config.names) {
    const at = (field: string, message: string): Problem => ({ noun: 'names', id: one.id, field, message });
    if (seen.get(one.name) !== one) yield at('name', `“${one.name}” is in use.`);
    if (applications.has(one.name)) yield at('name', `“${one.name}” is the name of an application.`);
    if (servers.has(one.name) || behind.has(one.name)) yield at('name', `“${one.name}” is the name of a server.`);
    if (one.type === 'CNAME' && one.target === one.name) yield at('target', 'A name cannot point to itself.');
  }
}

/** The first object for each key; a later one with the same key is the duplicate. */
function firstSeen<T>(list: readonly T[], key: (one: T) => string): ReadonlyMap<string, T> {
  const seen = new Map<string, T>();
  for (const one of list) {
    const k = key(one);
    if (!seen.has(k)) seen.set(k, one);
  }
  return seen;
}
