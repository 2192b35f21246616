// The slow, obvious answer: every record a client may see, written down, then searched. The program must agree with it.
import { type Address, contains, type Prefix, parsePrefix, prefixLength } from '../../src/model/address.ts';
import type { Zone, ZoneClient, ZoneHost } from '../../src/model/zone.ts';

interface Line {
  readonly name: string;
  readonly type: string;
  readonly data: string;
}

export interface Expected {
  readonly rcode: string;
  readonly answers: readonly string[];
  /** The zone whose SOA comes with a negative answer. */
  readonly soa: string | null;
}

const reserved = ['hub', 'lan', 'team', 'wpad', 'localhost', 'ns'];
/** Zones that names of the tests lie in. */
const zones = ['apn', '16.172.in-addr.arpa', '168.192.in-addr.arpa'];

export function clientOf(zone: Zone, source: string): ZoneClient | null {
  const holding = zone.clients.filter((client) => contains(parsePrefix(client.source), source as Address));
  return holding.sort((a, b) => prefixLength(b.source as Prefix) - prefixLength(a.source as Prefix))[0] ?? null;
}

export function expect(zone: Zone, client: ZoneClient, name: string, type: string): Expected {
  const apex = zones.find((at) => isBelow(name, at)) ?? '';
  const lines = visible(zone, client, apex);
  const isThere = (at: string) => at === apex || lines.some((line) => isBelow(line.name, at));
  let from = name;
  if (!isThere(name)) {
    let encloser = parent(name);
    while (!isThere(encloser)) encloser = parent(encloser);
    from = `*.${encloser}`;
    if (!lines.some((line) => isBelow(line.name, from))) return { rcode: 'NXDOMAIN', answers: [], soa: apex };
  }
  const answers: string[] = [];
  let owner = name;
  for (;;) {
    const here = lines.filter((line) => line.name === from);
    const alias = here.find((line) => line.type === 'CNAME');
    if (alias === undefined) {
      const wanted = type === 'ANY' ? (here.find((line) => line.type === 'SOA') ?? here[0])?.type : type;
      const found = here.filter((line) => line.type === wanted).map((line) => `${owner} ${line.type} ${line.data}`);
      answers.push(...found.map((line) => line.trimEnd()));
      return { rcode: 'NOERROR', answers, soa: found.length === 0 ? apex : null };
    }
    answers.push(`${owner} CNAME ${alias.data}`);
    if (type === 'CNAME' || type === 'ANY') return { rcode: 'NOERROR', answers, soa: null };
    owner = alias.data;
    from = covering(zone, owner);
  }
}

/** All records one client has in one zone. */
function visible(zone: Zone, client: ZoneClient, apex: string): Line[] {
  const lines: Line[] = [
    { name: apex, type: 'SOA', data: '' },
    { name: apex, type: 'NS', data: 'ns.apn' },
  ];
  if (apex !== 'apn') return [...lines, ...pointers(zone, client)].filter((line) => isBelow(line.name, apex));
  for (const name of allNames(zone)) {
    const chain = follow(zone, client, name);
    if (chain !== null && chain.length > 0) lines.push({ name, type: 'CNAME', data: chain[0] ?? '' });
    else if (chain !== null) lines.push(...addresses(zone, client, name).map((data) => ({ name, type: 'A', data })));
    else lines.push(...short(zone, client, name).map((data) => ({ name, type: 'A', data })));
  }
  return lines;
}

function pointers(zone: Zone, client: ZoneClient): Line[] {
  const lines = new Map<string, Line>();
  const add = (address: string, data: string) => {
    const name = `${address.split('.').reverse().join('.')}.in-addr.arpa`;
    lines.set(`${name} ${data}`, { name, type: 'PTR', data });
  };
  for (const address of [...zone.listen, ...zone.clients.map(({ hub }) => hub)]) add(address, 'hub.apn');
  for (const host of zone.hosts) {
    const seen = reaches(client, host) || places(client, host).some((address) => holds(client.reachedBy, address));
    if (!seen) continue;
    for (const address of places(client, host)) add(address, `${host.name}.apn`);
  }
  return [...lines.values()];
}

/** Targets of the CNAMEs from here to addresses; null when they end nowhere. */
function follow(zone: Zone, client: ZoneClient, name: string): string[] | null {
  const targets: string[] = [];
  let at = covering(zone, name);
  while (targets.length <= 8) {
    if (addresses(zone, client, at).length > 0) return targets;
    const alias = zone.extra.find((extra) => extra.type === 'CNAME' && `${extra.name}.apn` === at);
    if (alias?.type !== 'CNAME') return targets.length > 0 && short(zone, client, at).length > 0 ? targets : null;
    targets.push(`${alias.target}.apn`);
    at = covering(zone, `${alias.target}.apn`);
  }
  return null;
}

function addresses(zone: Zone, client: ZoneClient, name: string): string[] {
  if (name === 'hub.apn' || name === 'ns.apn') return [client.hub];
  const hosts = zone.hosts.filter((host) => `${host.name}.apn` === name && reaches(client, host));
  if (hosts.length > 0) return [...new Set(hosts.map((host) => told(client, host)))];
  const extra = zone.extra.flatMap((entry) =>
    entry.type === 'A' && `${entry.name}.apn` === name ? [entry.address] : [],
  );
  return [...new Set(extra.filter((address) => holds(client.reach, address) || address === client.hub))];
}

function short(zone: Zone, client: ZoneClient, name: string): string[] {
  const [label = '', rest] = name.split(/\.(.*)/);
  if (rest !== 'apn' || reserved.includes(label)) return [];
  const all = zone.hosts.filter(
    (host) => host.application !== null && host.name.split('.')[0] === label && reaches(client, host),
  );
  const own = all.find((host) => host.application === client.application);
  if (own !== undefined) return [told(client, own)];
  return all.length === 1 ? all.map((host) => told(client, host)) : [];
}

/** Every name anyone could see, `*.` for wildcards. */
function allNames(zone: Zone): Set<string> {
  const names = new Set(['hub.apn', 'ns.apn']);
  for (const { name, application } of zone.hosts) {
    names.add(`${name}.apn`);
    const [label = ''] = name.split('.');
    if (application !== null && !reserved.includes(label)) names.add(`${label}.apn`);
  }
  for (const { name } of zone.extra) names.add(`${name}.apn`);
  return names;
}

/** The name itself, or the wildcard that stands for it, in the zone of everyone. */
function covering(zone: Zone, name: string): string {
  const names = [...allNames(zone)];
  if (names.some((other) => isBelow(other, name))) return name;
  let encloser = parent(name);
  while (encloser !== 'apn' && !names.some((other) => isBelow(other, encloser))) encloser = parent(encloser);
  return `*.${encloser}`;
}

function places(client: ZoneClient, host: ZoneHost): string[] {
  return client.side === 'lan' && host.lan !== null ? [host.address, host.lan] : [host.address];
}

function told(client: ZoneClient, host: ZoneHost): string {
  return places(client, host).at(-1) ?? '';
}

function reaches(client: ZoneClient, host: ZoneHost): boolean {
  return places(client, host).some((address) => holds(client.reach, address));
}

function holds(prefixes: readonly string[], address: string): boolean {
  return prefixes.some((prefix) => contains(parsePrefix(prefix), address as Address));
}

function isBelow(name: string, at: string): boolean {
  return name === at || name.endsWith(`.${at}`);
}

function parent(name: string): string {
  return name.slice(name.indexOf('.') + 1);
}
