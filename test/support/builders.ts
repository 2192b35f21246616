// Readable builders: a small valid configuration, and one change on top of it.
import { parseAddress, parseMac, parsePrefix } from '../../src/model/address.ts';
import {
  type Config,
  config as configSchema,
  type Lan,
  type Uplink,
  uplink as uplinkSchema,
} from '../../src/model/config.ts';
import { encodeKey, type PresharedKey, type PrivateKey, type PublicKey, Secret } from '../../src/model/key.ts';
import type { Clock, Lease } from '../../src/model/lease.ts';
import { type DomainName, type Label, parseDomainName, parseLabel } from '../../src/model/name.ts';

export const address = parseAddress;
export const prefix = parsePrefix;
export const label = parseLabel as (text: string) => Label;
export const domainName = parseDomainName as (text: string) => DomainName;
export const mac = parseMac;

/** A usable public key; the same for the same number. */
export function publicKey(n: number): PublicKey {
  const bytes = new Uint8Array(32).fill(9);
  new DataView(bytes.buffer).setUint32(0, n);
  return encodeKey(bytes) as PublicKey;
}

export function presharedKey(n: number): PresharedKey {
  const bytes = new Uint8Array(32).fill(7);
  new DataView(bytes.buffer).setUint32(0, n);
  return new Secret('preshared key', bytes);
}

export const hubPrivateKey = new Secret('private key', new Uint8Array(32).fill(0x48));

export const hour = 3600_000;

export function clock(changes: Partial<Clock> = {}): Clock {
  return { wall: 1_800_000_000_000, boot: 1_000_000, bootId: 'boot-1', synchronised: true, ...changes };
}

/** Granted now, for 24 hours. */
export function lease(source: string, changes: Partial<Lease> = {}, now: Clock = clock()): Lease {
  return {
    id: `lease-${source}`,
    source: parsePrefix(source),
    member: null,
    grantedBy: 'console',
    reason: '',
    grantedAt: now.wall,
    expiresAt: now.wall + 24 * hour,
    bootId: now.bootId,
    deadline: now.boot + 24 * hour,
    remaining: 24 * hour,
    restored: false,
    end: null,
    ...changes,
  };
}

/** The configuration of LAB.md: shop (web, db), books (ledger), Anna with a laptop, a television and a printer. */
export function exampleConfig(changes: Partial<Config> = {}): Config {
  return configSchema.parse({
    network: { range: '172.16.0.0/16', domain: 'apn', endpoint: { host: '203.0.113.1', port: 51820 } },
    lan: {
      topology: 'router',
      wan: 'wan0',
      ports: ['lan0', 'lan1'],
      address: '192.168.66.1',
      range: '192.168.66.0/24',
      dhcp: { from: '192.168.66.100', to: '192.168.66.199' },
      defaultAccess: 'nothing',
    },
    system: { hostName: 'apn-router' },
    applications: [
      { id: 'shop1', label: 'shop', range: '172.16.10.0/24', links: [] },
      { id: 'books1', label: 'books', range: '172.16.11.0/24', links: [] },
    ],
    servers: [
      {
        id: 'web1',
        application: 'shop1',
        label: 'web',
        address: '172.16.10.10',
        publicKey: publicKey(1),
        presharedKey: null,
      },
      {
        id: 'db01',
        application: 'shop1',
        label: 'db',
        address: '172.16.10.11',
        publicKey: publicKey(2),
        presharedKey: 'psk2',
      },
      {
        id: 'ledger1',
        application: 'books1',
        label: 'ledger',
        address: '172.16.11.20',
        publicKey: publicKey(3),
        presharedKey: null,
      },
    ],
    members: [
      { id: 'olga1', name: 'Olga', label: 'olga', role: 'owner', access: {}, leasePolicy: 'ask', disabled: false },
      {
        id: 'anna1',
        name: 'Anna',
        label: 'anna',
        role: 'viewer',
        access: { shop1: 'developer' },
        leasePolicy: 'ask',
        disabled: false,
      },
    ],
    devices: [
      {
        id: 'laptop1',
        member: 'anna1',
        label: 'laptop',
        address: '172.16.1.10',
        publicKey: publicKey(4),
        presharedKey: 'psk4',
      },
    ],
    lanDevices: [
      {
        id: 'tv01',
        label: 'tv',
        mac: '02:00:00:00:66:0a',
        address: '192.168.66.10',
        identity: '172.16.2.10',
        access: ['shop1'],
      },
      {
        id: 'printer1',
        label: 'printer',
        mac: '02:00:00:00:66:0b',
        address: '192.168.66.11',
        identity: '172.16.2.11',
        access: 'default',
      },
    ],
    rules: [{ id: 'rule1', source: '203.0.113.10/32', note: '', server: 'web1' }],
    names: [
      { id: 'name1', name: 'files.shop', type: 'A', address: '172.16.10.10' },
      { id: 'name2', name: 'docs', type: 'CNAME', target: 'web.shop' },
    ],
    ...changes,
  });
}

/** The example with one object of a list changed. */
export function withChanged<
  Noun extends 'applications' | 'servers' | 'members' | 'devices' | 'lanDevices' | 'rules' | 'names' | 'uplinks',
>(noun: Noun, index: number, changes: Partial<Config[Noun][number]>, config: Config = exampleConfig()): Config {
  return { ...config, [noun]: config[noun].map((one, i) => (i === index ? { ...one, ...changes } : one)) };
}

export function withLan(changes: Partial<Lan>, config: Config = exampleConfig()): Config {
  return { ...config, lan: { ...(config.lan as Lan), ...changes } };
}

/** A network handed out by somebody else: `db` and `dns` behind it. */
export function uplink(changes: Partial<Uplink> = {}): Uplink {
  return uplinkSchema.parse({
    id: 'hosted1',
    label: 'hosted',
    device: 1,
    publicKey: publicKey(40),
    address: '10.9.0.2',
    mtu: 1420,
    dns: { servers: ['10.9.0.53'], domains: ['corp.example.net'] },
    peers: [
      {
        publicKey: publicKey(41),
        presharedKey: 'psk4',
        endpoint: { host: '203.0.113.80', port: 51820 },
        allowedIps: ['10.9.0.10/32'],
        keepalive: 25,
        label: 'db',
        alias: '172.16.3.1',
      },
      {
        publicKey: publicKey(42),
        presharedKey: null,
        endpoint: { host: 'vpn.example.net', port: 51820 },
        allowedIps: ['10.9.0.53/32', '10.9.1.0/24'],
        keepalive: 0,
        label: null,
        alias: null,
      },
    ],
    access: { lan: 'nothing', members: [], applications: [] },
    ...changes,
  }) as Uplink;
}

/** The example with the hosted network, used by whom `access` says. */
export function withUplink(access: Partial<Uplink['access']> = {}, changes: Partial<Uplink> = {}): Config {
  const who = { lan: 'nothing' as const, members: [], applications: [], ...access };
  return { ...exampleConfig(), uplinks: [uplink({ access: who, ...changes })] };
}

export const uplinkKeys: ReadonlyMap<string, PrivateKey> = new Map(
  ['hosted1', 'uplink1', 'uplink2'].map((id, i) => [id, new Secret('private key', new Uint8Array(32).fill(0x50 + i))]),
);

export const presharedKeys: ReadonlyMap<string, PresharedKey> = new Map(
  [1, 2, 4].map((n) => [`psk${n}`, presharedKey(n)]),
);
