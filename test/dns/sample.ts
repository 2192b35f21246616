// A small zone, and zones and clients at random, for the tests of the DNS program.
import { decode, encode, type Packet } from 'dns-packet';
import { type Answer, answer, type Transport } from '../../src/dns/answer.ts';
import type { Table } from '../../src/dns/tree.ts';
import type { Zone, ZoneClient, ZoneExtra, ZoneHost } from '../../src/model/zone.ts';

export const sources = {
  tv: '192.168.66.100',
  web: '172.16.10.10',
  ledger: '172.16.11.20',
  laptop: '172.16.1.2',
  guest: '192.168.66.200',
} as const;

const machine = (name: string, address: string, lan: string | null = null): ZoneHost => {
  const [, application = ''] = name.split('.');
  return { name, address, application: name.split('.').length === 2 && lan === null ? application : null, lan };
};

const client = (source: string, fields: Partial<ZoneClient>): ZoneClient => ({
  ...{ source, side: 'tunnel', application: null, hub: '172.16.0.1', reach: [], reachedBy: [] },
  ...fields,
});

export const sample: Zone = {
  ...{ version: 1, serial: 7, domain: 'apn', listen: ['192.168.66.1', '172.16.0.1'] },
  relay: { address: '127.0.0.1', port: 5335 },
  reverse: ['172.16.0.0/16', '192.168.66.0/24'],
  hosts: [
    machine('web.shop', '172.16.10.10'),
    machine('db.shop', '172.16.10.11'),
    machine('db.books', '172.16.11.11'),
    machine('ledger.books', '172.16.11.20'),
    machine('laptop.anna.team', '172.16.1.2'),
    machine('tv.lan', '172.16.2.2', '192.168.66.100'),
  ],
  extra: [
    { name: 'www', type: 'CNAME', target: 'web.shop' },
    { name: 'files.shop', type: 'A', address: '172.16.10.11' },
    { name: '*.dev.shop', type: 'A', address: '172.16.10.10' },
    { name: 'preview', type: 'CNAME', target: 'x.dev.shop' },
    { name: 'account', type: 'CNAME', target: 'ledger.books' },
    { name: 'round', type: 'CNAME', target: 'about' },
    { name: 'about', type: 'CNAME', target: 'round' },
  ],
  clients: [
    client('192.168.66.0/24', { side: 'lan', hub: '192.168.66.1', reach: ['192.168.66.0/24'] }),
    client('192.168.66.100/32', {
      ...{ side: 'lan', hub: '192.168.66.1', reach: ['192.168.66.0/24', '172.16.10.0/24'] },
      reachedBy: ['172.16.1.2/32'],
    }),
    client('172.16.10.10/32', { application: 'shop', reach: ['172.16.10.0/24'], reachedBy: ['172.16.1.2/32'] }),
    client('172.16.11.20/32', { application: 'books', reach: ['172.16.11.0/24', '172.16.10.11/32'] }),
    client('172.16.1.2/32', { reach: ['172.16.10.0/24', '172.16.11.0/24', '172.16.2.2/32'] }),
  ],
};

export interface Reply {
  readonly rcode: string;
  readonly aa: boolean;
  readonly tc: boolean;
  readonly answers: readonly string[];
  readonly authorities: readonly string[];
  readonly packet: Packet;
}

export function question(name: string, type = 'A', more: Partial<Packet> = {}): Buffer {
  return encode({ type: 'query', id: 0x1234, flags: 0x0100, questions: [{ name, type: type as 'A' }], ...more });
}

export function read(bytes: Buffer): Reply {
  const packet = decode(bytes);
  const text = (records: Packet['answers']) =>
    (records ?? []).map((entry) => {
      const data = 'data' in entry ? entry.data : null;
      return `${entry.name} ${entry.type} ${typeof data === 'string' ? data : ''}`.trimEnd();
    });
  return {
    rcode: rcodes[(bytes[3] ?? 0) & 15] ?? 'OTHER',
    ...{ aa: packet.flag_aa, tc: packet.flag_tc, packet },
    ...{ answers: text(packet.answers), authorities: text(packet.authorities) },
  };
}

export function ask(table: Table, source: string, name: string, type = 'A', transport: Transport = 'udp'): Reply {
  const made = answer(table, source, question(name, type), transport);
  if (typeof made === 'string') throw new Error(`${name} ${type}: ${made}`);
  return read(made);
}

export function outcome(made: Answer): string {
  return typeof made === 'string' ? made : read(made).rcode;
}

const rcodes = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'];

/** A repeatable stream of numbers from 0 to `below` − 1 (mulberry32). */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const labels = ['a', 'b', 'web', 'db', 'shop', 'books', 'lan', 'team', 'x'];

/** Few labels and addresses, so that names clash, shadow and enclose each other. */
export function randomZone(random: (below: number) => number): Zone {
  const pick = <T>(of: readonly T[]): T => of[random(of.length)] as T;
  const many = <T>(most: number, make: () => T): T[] => Array.from({ length: random(most + 1) }, make);
  const address = () => `172.16.${pick([1, 2, 10, 11])}.${random(4)}`;
  const prefix = () =>
    pick([`${address()}/32`, '172.16.10.0/24', '172.16.11.0/30', '192.168.66.0/24', '172.16.0.0/16']);
  const name = () => many(2, () => pick(labels)).join('.') || pick(labels);
  const hosts = many(10, (): ZoneHost => {
    const onLan = random(4) === 0;
    const application = onLan || random(4) === 0 ? null : pick(['shop', 'books', 'x']);
    return {
      name: application === null ? `${pick(labels)}.${onLan ? 'lan' : 'team'}` : `${pick(labels)}.${application}`,
      ...{ address: address(), application, lan: onLan ? `192.168.66.${random(4)}` : null },
    };
  });
  const taken = new Set(['lan', 'team']);
  const extra = many(8, (): ZoneExtra | null => {
    const text = (random(4) === 0 ? '*.' : '') + name();
    if (taken.has(text)) return null;
    taken.add(text);
    return random(2) === 0
      ? { name: text, type: 'A', address: address() }
      : { name: text, type: 'CNAME', target: hosts.length > 0 && random(2) === 0 ? pick(hosts).name : name() };
  }).filter((entry) => entry !== null);
  const clients = [...new Set(many(5, () => pick(['172.16.0.0/16', `${address()}/32`, '192.168.66.0/24'])))].map(
    (source): ZoneClient => ({
      ...{ source, side: pick(['lan', 'tunnel'] as const), application: pick([null, 'shop', 'books']) },
      ...{ hub: pick(['172.16.0.1', '192.168.66.1']), reach: many(3, prefix), reachedBy: many(2, prefix) },
    }),
  );
  return { ...sample, serial: random(2 ** 32), hosts, extra, clients };
}

export function randomName(random: (below: number) => number): string {
  const parts = Array.from({ length: random(4) }, () => labels[random(labels.length)] ?? 'a');
  const kind = random(5);
  if (kind === 0) return `${random(4)}.${[1, 2, 10, 11][random(4)]}.16.172.in-addr.arpa`;
  if (kind === 1) return `${random(4)}.66.168.192.in-addr.arpa`.slice(2 * random(2));
  if (random(12) === 0) parts.unshift('*');
  if (random(8) === 0) parts.push(['hub', 'ns'][random(2)] ?? '');
  return [...parts, 'apn'].join('.');
}
