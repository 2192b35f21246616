// A hosted APN for `up --uplink`: two of its machines, its DNS, and the file it hands out to us, in an older and a newer version.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HOSTED_CRM, HOSTED_DNS, HOSTED_DOMAIN, HOSTED_US, HOSTED_WIKI, type Host } from './hosts.ts';
import type { Lab } from './lab.ts';
import { hostFolder, labFolder } from './place.ts';
import { poll } from './run.ts';
import type { Service } from './services.ts';

/** The names differ from what stands in the file's comments: they are not what its DNS knows. */
const DNS_CONF = `server:
  username: ""
  chroot: ""
  pidfile: ""
  directory: "/etc/unbound"
  use-syslog: no
  log-queries: yes
  do-daemonize: no
  num-threads: 1
  module-config: "iterator"
  interface: ${HOSTED_DNS}
  ip-freebind: yes
  access-control: 0.0.0.0/0 allow
  local-zone: "." static
  local-data: "crm.${HOSTED_DOMAIN}. 60 A ${HOSTED_CRM}"
  local-data: "wiki.${HOSTED_DOMAIN}. 60 A ${HOSTED_WIKI}"
remote-control:
  control-enable: no
`;

const http = (host: string): Service => ({
  host,
  name: 'http',
  argv: ['socat', '-d', '-d', 'TCP-LISTEN:80,fork,reuseaddr,backlog=128', `EXEC:lab-http ${host}`],
});

const SERVICES: readonly Service[] = [
  http('hosted'),
  http('hosted2'),
  { host: 'hosted', name: 'unbound', argv: ['unbound', '-d', '-c', '/etc/unbound/unbound.conf'] },
];

/** The files to import: what the network hands out now, and what it hands out when it has grown. */
export function uplinkFiles(lab: string): { readonly file: string; readonly newer: string } {
  return { file: join(labFolder(lab), 'hosted.conf'), newer: join(labFolder(lab), 'hosted-newer.conf') };
}

const wanOf = ({ wan }: Host): string => wan?.address.split('/')[0] ?? '';

/** Brings the machines' tunnels and services up, and writes the files. Nothing is imported. */
export async function startHosted(lab: Lab, hosts: readonly Host[]): Promise<void> {
  const key = async (host: string) => {
    const secret = await lab.output(host, ['wg', 'genkey']);
    return { secret, shared: await lab.output(host, ['wg', 'pubkey'], { input: secret }) };
  };
  const [crm, wiki] = hosts;
  if (crm === undefined || wiki === undefined) throw new Error('a hosted network has two machines');
  const [us, crmKey, wikiKey, archive] = await Promise.all([
    key('hosted'),
    key('hosted'),
    key('hosted2'),
    key('hosted'),
  ]);
  const psk = await lab.output('hosted', ['wg', 'genpsk']);

  const machine = (host: string, secret: string, addresses: readonly string[], more: readonly string[]) => {
    const lines = ['[Interface]', `PrivateKey = ${secret}`, 'ListenPort = 51820'];
    lines.push(`Address = ${addresses.map((address) => `${address}/32`).join(', ')}`);
    lines.push('[Peer]', `PublicKey = ${us.shared}`, `AllowedIPs = ${HOSTED_US}/32`, ...more, '');
    writeFileSync(join(hostFolder(lab.name, host), 'wireguard/wg0.conf'), lines.join('\n'), { mode: 0o600 });
    return lab.wireguardUp(host);
  };
  await Promise.all([
    machine('hosted', crmKey.secret, [HOSTED_CRM, HOSTED_DNS], [`PresharedKey = ${psk}`]),
    machine('hosted2', wikiKey.secret, [HOSTED_WIKI], []),
  ]);

  const face = [
    '# What a hosted APN hands out: one address, and a peer for each of its machines.',
    ...['[Interface]', `PrivateKey = ${us.secret}`, `Address = ${HOSTED_US}/32`],
    ...[`DNS = ${HOSTED_DNS}, ${HOSTED_DOMAIN}`, 'MTU = 1420', ''],
  ];
  const crmPeer = [
    ...['# CRM', '[Peer]', `PublicKey = ${crmKey.shared}`, `PresharedKey = ${psk}`],
    `AllowedIPs = ${HOSTED_CRM}/32, ${HOSTED_DNS}/32`,
    ...[`Endpoint = ${wanOf(crm)}:51820`, 'PersistentKeepalive = 25', ''],
  ];
  const wikiPeer = (keepalive: number) => [
    ...['[Peer]', '# Wiki', `PublicKey = ${wikiKey.shared}`, `AllowedIPs = ${HOSTED_WIKI}/32`],
    ...[`Endpoint = ${wanOf(wiki)}:51820`, `PersistentKeepalive = ${keepalive}`, ''],
  ];
  const newPeer = [
    ...['# Archive', '[Peer]', `PublicKey = ${archive.shared}`, 'AllowedIPs = 10.77.0.12/32'],
    // A name that the public DNS knows; nobody answers there.
    ...['Endpoint = www.example.net:51820', ''],
  ];
  const { file, newer } = uplinkFiles(lab.name);
  writeFileSync(file, [...face, ...crmPeer, ...wikiPeer(25)].join('\n'), { mode: 0o600 });
  writeFileSync(newer, [...face, ...newPeer, ...crmPeer, ...wikiPeer(10)].join('\n'), { mode: 0o600 });

  writeFileSync(join(hostFolder(lab.name, 'hosted'), 'etc/unbound/unbound.conf'), DNS_CONF);
  for (const { host, name, argv } of SERVICES) lab.start(host, name, argv);
  const answers = async (host: string, address: string) =>
    (await lab.exec(host, ['curl', '-s', '--max-time', '2', `http://${address}/address`])).stdout.trim() === address;
  const resolves = async () =>
    (
      await lab.exec('hosted', ['dig', '+short', '+time=1', '+tries=1', `@${HOSTED_DNS}`, `wiki.${HOSTED_DOMAIN}`])
    ).stdout.trim() === HOSTED_WIKI;
  await Promise.all([
    poll(() => answers('hosted', HOSTED_CRM), { what: 'HTTP on hosted' }),
    poll(() => answers('hosted2', HOSTED_WIKI), { what: 'HTTP on hosted2' }),
    poll(resolves, { what: "the hosted network's DNS" }),
  ]);
}
