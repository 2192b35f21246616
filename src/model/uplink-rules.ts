// What must hold between uplinks and the rest of the configuration.
import {
  type Address,
  contains,
  hostPrefix,
  isHost,
  isLiteral,
  networkAddress,
  overlapFinder,
  overlaps,
  type Prefix,
  unusable,
} from './address.ts';
import { hubAddress, takenAddresses } from './addressing.ts';
import type { Config, Uplink } from './config.ts';
import type { Problem } from './rules.ts';
import { destinations, reserved } from './uplink.ts';

const itself = 'This is the hub itself.';

type At = (field: string, message: string) => Problem;

/** What is wrong with the uplinks, and with others where an uplink was there first. */
export function* uplinkProblems(config: Config, hubPublicKey: string | null): Generator<Problem> {
  for (const [index, one] of config.uplinks.entries()) {
    const at: At = (field, message) => ({ noun: 'uplinks', id: one.id, field, message });
    const earlier = config.uplinks.slice(0, index);
    yield* ownProblems(config, one, earlier, hubPublicKey, at);
    yield* peerProblems(config, one, hubPublicKey, at);
    yield* placeProblems(config, one, earlier, at);
    yield* dnsProblems(one, earlier, at);
    yield* accessProblems(config, one, at);
  }
}

function* ownProblems(
  { applications, names }: Config,
  one: Uplink,
  earlier: readonly Uplink[],
  hubPublicKey: string | null,
  at: At,
): Generator<Problem> {
  if (earlier.some(({ label }) => label === one.label)) yield at('label', `There is an uplink “${one.label}” already.`);
  if (applications.some(({ label }) => label === one.label)) {
    yield at('label', `“${one.label}” is the name of an application.`);
  }
  if (names.some(({ name }) => name === (one.label as string))) yield at('label', `“${one.label}” is an extra name.`);
  if (earlier.some(({ device }) => device === one.device)) yield at('device', 'Another uplink has this device.');
  if (one.publicKey === hubPublicKey) yield at('publicKey', "This is the hub's own private key.");
  const twin = earlier.find(({ publicKey }) => publicKey === one.publicKey);
  if (twin !== undefined) yield at('publicKey', `The uplink ${twin.label} has the same private key.`);
}

function* peerProblems(config: Config, one: Uplink, hubPublicKey: string | null, at: At): Generator<Problem> {
  const [keys, labels, prefixes] = [new Set<string>(), new Set<string>(), new Set<string>()];
  const aliases = new Set<string>();
  const isBehind = overlapFinder(config.uplinks.flatMap(destinations));
  for (const [i, { publicKey, label, allowedIps, endpoint, alias }] of one.peers.entries()) {
    if (keys.has(publicKey)) yield at(`peers.${i}.publicKey`, 'This public key is used twice.');
    if (publicKey === hubPublicKey) yield at(`peers.${i}.publicKey`, "This is the hub's own public key.");
    if (publicKey === one.publicKey) yield at(`peers.${i}.publicKey`, 'This is the public key of the uplink itself.');
    keys.add(publicKey);
    if (label !== null && labels.has(label)) yield at(`peers.${i}.label`, `“${label}” is in use in this uplink.`);
    if (label !== null) labels.add(label);
    for (const [n, prefix] of allowedIps.entries()) {
      if (prefixes.has(prefix)) yield at(`peers.${i}.allowedIps.${n}`, `${prefix} is there twice.`);
      prefixes.add(prefix);
    }
    if (alias !== null && !contains(config.network.range, alias)) {
      yield at(`peers.${i}.alias`, `${alias} is not inside ${config.network.range}.`);
    }
    if (alias !== null && aliases.has(alias)) yield at(`peers.${i}.alias`, `${alias} is there twice.`);
    if (alias !== null) aliases.add(alias);
    const why = endpointProblem(config, endpoint.host, isBehind);
    if (why !== null) yield at(`peers.${i}.endpoint`, why);
  }
}

/** A host name is taken as it is: what it stands for is checked when it is looked up. */
function endpointProblem(config: Config, host: string, isBehind: (address: Address) => boolean): string | null {
  if (host === config.network.endpoint?.host) return itself;
  return isLiteral(host) ? callProblem(config, host, isBehind) : null;
}

/** Why no peer of an uplink can be called at this address, or null. */
export function callProblem(
  { network, lan }: Pick<Config, 'network' | 'lan'>,
  host: Address,
  isBehind: (address: Address) => boolean,
): string | null {
  const why = unusable(host);
  if (why !== null) return `${host} is ${why}.`;
  if ([network.endpoint?.host, lan?.address, hubAddress(network)].includes(host)) return itself;
  if (contains(network.range, host)) return `${host} is inside the network ${network.range} itself.`;
  return isBehind(host) ? `${host} is itself reached through an uplink.` : null;
}

interface Place {
  readonly prefix: Prefix;
  readonly field: string;
}

/** Addresses that this uplink takes: its own and those behind it. */
function* placeProblems(config: Config, one: Uplink, earlier: readonly Uplink[], at: At): Generator<Problem> {
  const own: Place = { prefix: hostPrefix(one.address), field: 'address' };
  const behind = one.peers.flatMap(({ allowedIps, alias }, i): readonly Place[] => [
    ...allowedIps.map((prefix, n) => ({ prefix, field: `peers.${i}.allowedIps.${n}` })),
    ...(alias === null ? [] : [{ prefix: hostPrefix(alias), field: `peers.${i}.alias` }]),
  ]);
  const why = placeFinder(config, earlier);
  for (const { prefix, field } of [own, ...behind]) {
    const message = why(prefix);
    if (message !== null) yield at(field, message);
  }
  const self = behind.find(({ prefix }) => prefix === own.prefix);
  if (self !== undefined) yield at(self.field, `${one.address} is the uplink's own address.`);
}

/** Why a prefix cannot be an uplink's, or null. Long lists are searched only when something is wrong. */
function placeFinder(config: Config, earlier: readonly Uplink[]): (prefix: Prefix) => string | null {
  const { applications, lan, network, rules } = config;
  const taken = takenAddresses({ ...config, uplinks: [] });
  const host = network.endpoint?.host ?? '';
  const others = [
    ...applications.map(({ label, range }) => ({ range, why: `overlaps ${range} of ${label}` })),
    ...rules.map(({ source }) => ({ range: source, why: `holds ${source}, from where a rule lets peers in` })),
    ...(lan === null ? [] : [{ range: lan.range, why: `overlaps the LAN ${lan.range}` }]),
    ...(isLiteral(host) ? [{ range: host, why: `holds the hub's own address ${host}` }] : []),
    ...earlier.flatMap((one) => reserved(one).map((range) => ({ range, why: `overlaps the uplink ${one.label}` }))),
  ];
  const isTaken = overlapFinder(others.map(({ range }) => range));
  return (prefix) => {
    const never = unusable(prefix);
    if (never !== null) return `${prefix} is ${never}.`;
    if (isTaken(prefix)) return `${prefix} ${others.find(({ range }) => overlaps(range, prefix))?.why}.`;
    if (!overlaps(network.range, prefix)) return null;
    if (!isHost(prefix))
      return `${prefix} overlaps the network ${network.range}: of that it may have single addresses.`;
    const holder = taken.get(networkAddress(prefix));
    return holder === undefined ? null : `${prefix} belongs to ${holder}.`;
  };
}

/** What is wrong with an uplink on this machine: its own addresses towards the Internet are no part of the configuration. */
export function wanProblems(
  { address, peers }: Pick<Uplink, 'address' | 'peers'>,
  wan: readonly { readonly address: Address; readonly range: Prefix }[],
): readonly Pick<Problem, 'field' | 'message'>[] {
  const behind = peers.flatMap(({ allowedIps }, i) =>
    allowedIps.map((prefix, n) => ({ prefix, field: `peers.${i}.allowedIps.${n}` })),
  );
  const isWan = overlapFinder(wan.map(({ range }) => range));
  return [
    ...[{ prefix: hostPrefix(address), field: 'address' }, ...behind].flatMap(({ prefix, field }) =>
      isWan(prefix) ? [{ field, message: `${prefix} overlaps the network on the port towards the Internet.` }] : [],
    ),
    ...peers.flatMap(({ endpoint: { host } }, i) =>
      wan.some((one) => one.address === host) ? [{ field: `peers.${i}.endpoint`, message: itself }] : [],
    ),
  ];
}

/** The same seen from the others: an address that an uplink had first. */
export function* reservationProblems(config: Config): Generator<Problem> {
  const { applications, devices, lanDevices, servers, uplinks } = config;
  if (uplinks.length === 0) return;
  const isReserved = overlapFinder(uplinks.flatMap(reserved));
  const list = [
    ...applications.map(({ id, range }) => ({ noun: 'applications' as const, id, field: 'range', value: range })),
    ...servers.map(({ id, address }) => ({ noun: 'servers' as const, id, field: 'address', value: address })),
    ...devices.map(({ id, address }) => ({ noun: 'devices' as const, id, field: 'address', value: address })),
    ...lanDevices.map(({ id, identity }) => ({ noun: 'lanDevices' as const, id, field: 'identity', value: identity })),
  ];
  for (const { noun, id, field, value } of list) {
    if (isReserved(value)) yield { noun, id, field, message: `${value} is reserved by an uplink.` };
  }
}

function* dnsProblems(one: Uplink, earlier: readonly Uplink[], at: At): Generator<Problem> {
  const { servers, domains } = one.dns;
  const isReached = overlapFinder(destinations(one));
  for (const [i, server] of servers.entries()) {
    if (domains.length > 0 && !isReached(server)) {
      yield at(`dns.servers.${i}`, `${server} is not reached through this uplink: no peer has it in its AllowedIPs.`);
    }
  }
  for (const [i, domain] of domains.entries()) {
    if (domains.indexOf(domain) < i) yield at(`dns.domains.${i}`, `“${domain}” is there twice.`);
    const other = earlier.find(({ dns }) => dns.domains.includes(domain));
    if (other !== undefined)
      yield at(`dns.domains.${i}`, `“${domain}” is a search domain of the uplink ${other.label}.`);
  }
}

function* accessProblems(
  { applications, lanDevices, members }: Config,
  { access }: Uplink,
  at: At,
): Generator<Problem> {
  const unknown = (ids: readonly string[], list: readonly { readonly id: string }[]) =>
    ids.some((id) => !list.some((one) => one.id === id));
  if (typeof access.lan !== 'string' && unknown(access.lan, lanDevices)) {
    yield at('access.lan', 'There is no such LAN device.');
  }
  if (unknown(access.members, members)) yield at('access.members', 'There is no such member.');
  if (unknown(access.applications, applications)) yield at('access.applications', 'There is no such application.');
}
