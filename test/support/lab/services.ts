// What runs on the lab's hosts besides the hub's own programs: servers to reach, the public DNS, DHCP clients.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HOSTS, RESOLVER } from './hosts.ts';
import { hostFolder } from './place.ts';

export interface Service {
  readonly host: string;
  readonly name: string;
  readonly argv: readonly string[];
}

const tcp = (port: number, then: string): string[] => [
  'socat',
  // Twice -d: every peer's address goes to the log.
  ...['-d', '-d', `TCP-LISTEN:${port},fork,reuseaddr,backlog=128`, then],
];
const http = (host: string): Service => ({ host, name: 'http', argv: tcp(80, `EXEC:lab-http ${host}`) });
const udpEcho = (host: string): Service => ({
  host,
  name: 'udp-echo',
  argv: ['socat', '-T', '60', 'UDP-LISTEN:7,fork,reuseaddr', 'PIPE'],
});

const UNBOUND_COMMON = `server:
  username: ""
  chroot: ""
  pidfile: ""
  directory: "/etc/unbound"
  use-syslog: no
  log-queries: yes
  do-daemonize: no
  num-threads: 1
  module-config: "iterator"
`;

/** The Internet's DNS: knows example.net and a few names that misbehave, and that nothing else exists. */
const RESOLVER_CONF = `${UNBOUND_COMMON}
  interface: 0.0.0.0
  interface: ::0
  access-control: 0.0.0.0/0 allow
  access-control: ::0/0 allow
  local-zone: "." static
  local-data: ". 60 SOA resolver.example.net. hostmaster.example.net. 1 3600 600 86400 60"
  local-data: "example.net. 60 A ${RESOLVER}"
  local-data: "example.net. 60 AAAA 2001:db8:113::53"
  local-data: "example.net. 60 MX 10 mail.example.net."
  local-data: "www.example.net. 60 A ${RESOLVER}"
  local-data: "resolver.example.net. 60 A ${RESOLVER}"
  # Points into the LAN: rebinding protection must not let it through.
  local-data: "rebind.example.net. 60 A 192.168.66.1"
  local-data: "rebind6.example.net. 60 AAAA fd00::1"
  # Does not fit a UDP answer.
${Array.from({ length: 12 }, (_, n) => `  local-data: 'big.example.net. 60 TXT "${String(n).padEnd(200, 'x')}"'`).join('\n')}
remote-control:
  control-enable: no
`;

/** The hub's cache: what the image configures, with the lab's resolver as the forwarder and no validation. */
const HUB_UNBOUND_CONF = `${UNBOUND_COMMON}
  interface: 127.0.0.1@5335
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  private-address: 10.0.0.0/8
  private-address: 100.64.0.0/10
  private-address: 127.0.0.0/8
  private-address: 169.254.0.0/16
  private-address: 172.16.0.0/12
  private-address: 192.168.0.0/16
  private-address: fc00::/7
  private-address: fe80::/10
  private-address: ::ffff:0:0/96
forward-zone:
  name: "."
  forward-addr: ${RESOLVER}
remote-control:
  control-enable: no
`;

const UNBOUND = ['unbound', '-d', '-c', '/etc/unbound/unbound.conf'];

export const SERVICES: readonly Service[] = [
  http('web'),
  http('ledger'),
  http('resolver'),
  {
    host: 'resolver',
    name: 'http6',
    argv: ['socat', 'TCP6-LISTEN:80,fork,reuseaddr,ipv6only=1', 'EXEC:lab-http resolver'],
  },
  { host: 'web', name: 'ssh', argv: tcp(22, 'EXEC:lab-ssh') },
  { host: 'db', name: 'echo', argv: tcp(5432, 'PIPE') },
  udpEcho('web'),
  udpEcho('db'),
  udpEcho('ledger'),
  { host: 'resolver', name: 'unbound', argv: UNBOUND },
];

/** The hub's cache is started with the hub's programs: it ends with them at a reboot. */
export const HUB_UNBOUND: Service = { host: 'hub', name: 'unbound', argv: UNBOUND };

export const DHCP_CLIENTS: readonly Service[] = HOSTS.filter((host) => host.dhcp).map(({ name }) => ({
  host: name,
  name: 'udhcpc',
  argv: [
    ...['udhcpc', '-f', '-i', 'eth0', '-s', 'lab-dhcp', '-x', `hostname:${name}`, '-O', 'search'],
    // Three tries a second apart, then again at once: the router may come up at any time.
    ...['-t', '3', '-T', '1', '-A', '1'],
  ],
}));

export function writeServiceFiles(lab: string): void {
  writeFileSync(join(hostFolder(lab, 'resolver'), 'etc/unbound/unbound.conf'), RESOLVER_CONF);
  writeFileSync(join(hostFolder(lab, 'hub'), 'etc/unbound/unbound.conf'), HUB_UNBOUND_CONF);
}
