// The lab's network as data: hosts, cables, addresses, and who is enrolled as what in the APN.

/** Base range of the APN the lab configures; the hub's own address in it is the first. */
export const APN_RANGE = '172.16.0.0/16';
export const HUB_APN = '172.16.0.1';
export const HUB_LAN = '192.168.66.1/24';
export const HUB_WAN = '203.0.113.1';
export const RESOLVER = '203.0.113.53';

/** What stands in a host's `/etc/resolv.conf` before anything else writes it. */
type Resolver = 'public' | 'hub' | 'none';

export interface Wan {
  /** Address with prefix length on the host's own WAN interface. */
  readonly address: string;
  readonly ipv6: string | null;
  readonly gateway: string;
}

export interface Host {
  readonly name: string;
  /** True for the bridges that are cables rather than machines; `status` does not list them. */
  readonly cable: boolean;
  readonly wan: Wan | null;
  /** True for the hosts behind the hub, which ask for an address by DHCP. */
  readonly dhcp: boolean;
  /** MAC address of the interface that `status` names. */
  readonly mac: string | null;
  readonly resolver: Resolver;
}

export interface Cable {
  readonly from: readonly [host: string, port: string];
  readonly to: readonly [host: string, port: string];
  readonly mac: string | null;
}

export interface Server {
  readonly host: string;
  readonly application: string;
  readonly address: string;
  readonly fqdn: string;
  readonly presharedKey: boolean;
}

export interface Device {
  readonly host: string;
  readonly member: string;
  readonly label: string;
  readonly address: string;
  readonly fqdn: string;
  readonly presharedKey: boolean;
}

export interface LanDevice {
  readonly host: string;
  readonly identity: string;
  readonly fqdn: string;
}

const octet = (n: number): string => String(n).padStart(2, '0');
const internet = (number: number): Wan => ({
  address: `203.0.113.${number}/24`,
  ipv6: `2001:db8:113::${number}/64`,
  gateway: '203.0.113.254',
});
const carried = (number: number): Wan => ({ address: `100.64.0.${number}/24`, ipv6: null, gateway: '100.64.0.1' });

const wanHost = (name: string, number: number, resolver: Resolver = 'public'): Host => ({
  name,
  cable: false,
  wan: internet(number),
  dhcp: false,
  mac: `02:13:00:00:00:${octet(number)}`,
  resolver,
});
const carriedHost = (name: string, number: number): Host => ({
  ...wanHost(name, number),
  wan: carried(number),
  mac: `02:64:00:00:00:${octet(number)}`,
});
const lanHost = (name: string, number: number): Host => ({
  name,
  cable: false,
  wan: null,
  dhcp: true,
  mac: `02:66:00:00:00:${octet(number)}`,
  resolver: 'none',
});
const cable = (name: string): Host => ({ name, cable: true, wan: null, dhcp: false, mac: null, resolver: 'none' });

export const HOSTS: readonly Host[] = [
  wanHost('hub', 1, 'hub'),
  wanHost('web', 10),
  wanHost('db', 11),
  wanHost('ledger', 20),
  wanHost('laptop', 50),
  wanHost('carrier', 70),
  carriedHost('phone', 2),
  carriedHost('neighbour', 3),
  wanHost('stranger', 66),
  wanHost('resolver', 53),
  lanHost('tv', 11),
  lanHost('printer', 12),
  lanHost('desk', 13),
  lanHost('guest', 14),
  cable('internet'),
  cable('switch'),
];

/** Machines of a hosted APN, which are there after `up --uplink` alone. */
export const HOSTED: readonly Host[] = [wanHost('hosted', 80), wanHost('hosted2', 81)];
/** Addresses in that network: ours, two servers, its DNS; and the domain that this knows. */
export const HOSTED_US = '10.77.0.2';
export const HOSTED_CRM = '10.77.0.10';
export const HOSTED_WIKI = '10.77.0.11';
export const HOSTED_DNS = '10.77.0.53';
export const HOSTED_DOMAIN = 'corp.example.net';

/** Every host that a lab may have. */
export const ALL_HOSTS: readonly Host[] = [...HOSTS, ...HOSTED];

/** The WAN interface's name: the hub's and the carrier's are told apart from their other ports. */
export function wanPort(host: string): string {
  return host === 'hub' || host === 'carrier' ? 'wan0' : 'eth0';
}

const macOf = (name: string): string | null => ALL_HOSTS.find((host) => host.name === name)?.mac ?? null;
const plug = (host: string, port: string, into: string): Cable => ({
  from: [host, port],
  to: [into, host],
  mac: macOf(host),
});

export const CABLES: readonly Cable[] = [
  ...['hub', 'web', 'db', 'ledger', 'laptop', 'carrier', 'stranger', 'resolver'].map((host) =>
    plug(host, wanPort(host), 'internet'),
  ),
  plug('phone', 'eth0', 'carrier'),
  plug('neighbour', 'eth0', 'carrier'),
  plug('desk', 'eth0', 'switch'),
  plug('guest', 'eth0', 'switch'),
  { from: ['tv', 'eth0'], to: ['hub', 'lan0'], mac: macOf('tv') },
  { from: ['printer', 'eth0'], to: ['hub', 'lan1'], mac: macOf('printer') },
  { from: ['switch', 'hub'], to: ['hub', 'lan2'], mac: null },
];

export const HOSTED_CABLES: readonly Cable[] = HOSTED.map(({ name }) => plug(name, wanPort(name), 'internet'));

/** Bridges over every cable that ends in these hosts, with the address the bridge itself has. */
export const BRIDGES: readonly { host: string; address: string | null; ipv6: string | null }[] = [
  { host: 'internet', address: '203.0.113.254/24', ipv6: '2001:db8:113::254/64' },
  { host: 'carrier', address: '100.64.0.1/24', ipv6: null },
  { host: 'switch', address: null, ipv6: null },
];

export const LAN_PORTS: readonly string[] = ['lan0', 'lan1', 'lan2'];

export const APPLICATIONS: readonly { label: string; range: string }[] = [
  { label: 'shop', range: '172.16.10.0/24' },
  { label: 'books', range: '172.16.11.0/24' },
];

const server = (host: string, application: string, address: string, presharedKey: boolean): Server => ({
  host,
  application,
  address,
  fqdn: `${host}.${application}.apn`,
  presharedKey,
});

export const SERVERS: readonly Server[] = [
  server('web', 'shop', '172.16.10.10', true),
  server('db', 'shop', '172.16.10.11', false),
  server('ledger', 'books', '172.16.11.20', false),
];

export const MEMBERS: readonly { name: string; role: string; access: readonly string[] }[] = [
  { name: 'Ben', role: 'owner', access: [] },
  { name: 'Anna', role: 'viewer', access: ['shop=developer'] },
];

const device = (host: string, address: string, presharedKey: boolean): Device => ({
  host,
  member: 'Anna',
  label: host,
  address,
  fqdn: `${host}.anna.team.apn`,
  presharedKey,
});

export const DEVICES: readonly Device[] = [device('laptop', '172.16.1.1', true), device('phone', '172.16.1.2', false)];

const lanDevice = (host: string, identity: string): LanDevice => ({ host, identity, fqdn: `${host}.lan.apn` });

/** `guest` is missing on purpose: nobody has approved it. */
export const LAN_DEVICES: readonly LanDevice[] = [
  lanDevice('tv', '172.16.2.11'),
  lanDevice('printer', '172.16.2.12'),
  lanDevice('desk', '172.16.2.13'),
];

/** A host's address and name in the APN once the lab has enrolled it. */
export function enrolment(host: string): { apn: string; fqdn: string } | null {
  if (host === 'hub') return { apn: HUB_APN, fqdn: 'hub.apn' };
  const peer = [...SERVERS, ...DEVICES].find((entry) => entry.host === host);
  if (peer) return { apn: peer.address, fqdn: peer.fqdn };
  const local = LAN_DEVICES.find((entry) => entry.host === host);
  return local ? { apn: local.identity, fqdn: local.fqdn } : null;
}
