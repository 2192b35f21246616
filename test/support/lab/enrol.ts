// Configures a fresh router the way a person would, with `apn` commands, and gives the stock clients their files.
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  APN_RANGE,
  APPLICATIONS,
  DEVICES,
  HOSTS,
  HUB_LAN,
  HUB_WAN,
  LAN_DEVICES,
  LAN_PORTS,
  MEMBERS,
  SERVERS,
} from './hosts.ts';
import type { Lab } from './lab.ts';
import { hostFolder } from './place.ts';

type Step = <T>(what: string, work: () => Promise<T>) => Promise<T>;

interface Enrolled {
  /** wg-quick text with the private key left to fill in. */
  readonly config: string;
}

interface Key {
  readonly secret: string;
  readonly shared: string;
}

async function makeKey(lab: Lab, host: string): Promise<[string, Key]> {
  const secret = await lab.output(host, ['wg', 'genkey']);
  return [host, { secret, shared: await lab.output(host, ['wg', 'pubkey'], { input: secret }) }];
}

/** Fills the private key, which never left its host, into the hub's text and brings the tunnel up. */
async function connect(lab: Lab, host: string, key: Key, config: string): Promise<void> {
  const text = config.replace(/^PrivateKey\s*=.*$/m, () => `PrivateKey = ${key.secret}`);
  if (!text.includes(key.secret)) throw new Error(`no PrivateKey line in the configuration of ${host}`);
  writeFileSync(join(hostFolder(lab.name, host), 'wireguard/wg0.conf'), text, { mode: 0o600 });
  await lab.wireguardUp(host);
}

/** Everything `lab.sh up` configures. One `apn` command a line; the answers of peers carry their files. */
export async function enrol(lab: Lab, step: Step): Promise<void> {
  const peers = [...SERVERS, ...DEVICES];
  const keys = new Map(await Promise.all(peers.map(({ host }) => makeKey(lab, host))));
  const key = (host: string): Key => {
    const found = keys.get(host);
    if (!found) throw new Error(`${host} has no key`);
    return found;
  };
  const shared = (presharedKey: boolean): string[] => (presharedKey ? [] : ['--no-preshared-key']);
  const wanOf = (name: string): string => HOSTS.find((host) => host.name === name)?.wan?.address.split('/')[0] ?? '';
  const macOf = (name: string): string => HOSTS.find((host) => host.name === name)?.mac ?? '';

  const network = [
    ['network', 'set', '--range', APN_RANGE, '--endpoint', HUB_WAN],
    ['lan', 'set', '--topology', 'router', '--wan', 'wan0', '--ports', LAN_PORTS.join(','), '--address', HUB_LAN],
    ...APPLICATIONS.map(({ label, range }) => ['apps', 'add', label, '--range', range]),
    ...MEMBERS.map(({ name, role, access }) => [
      ...['members', 'add', name, '--role', role],
      ...access.flatMap((entry) => ['--access', entry]),
    ]),
    ...LAN_DEVICES.map(({ host, identity }) => [
      ...['lan', 'add', host, '--mac', macOf(host), '--access', 'everything', '--identity', identity],
    ]),
  ];
  const servers = SERVERS.map(({ host, application, address, presharedKey }) => [
    ...['servers', 'add', `${application}/${host}`, '--public-key', key(host).shared, '--address', address],
    ...['--source', wanOf(host), ...shared(presharedKey)],
  ]);
  const devices = DEVICES.map(({ host, member, label, address, presharedKey }) => [
    ...['devices', 'add', `${member}/${label}`, '--public-key', key(host).shared, '--address', address],
    ...shared(presharedKey),
  ]);
  const answers = await step(`configured: applications, ${peers.length} peers, ${LAN_DEVICES.length} LAN devices`, () =>
    lab.apnBatch([...network, ...servers, ...devices]),
  );
  const enrolled = answers.slice(network.length) as Enrolled[];
  await step(`tunnels on ${peers.map(({ host }) => host).join(', ')}`, () =>
    Promise.all(peers.map(({ host }, index) => connect(lab, host, key(host), enrolled[index]?.config ?? ''))),
  );
}

/** Gives the owner a password of chance, as somebody on the console would. */
export async function giveOwnerPassword(lab: Lab): Promise<{ ownerName: string; ownerPassword: string }> {
  const ownerName = MEMBERS.find(({ role }) => role === 'owner')?.name ?? '';
  const ownerPassword = randomBytes(12).toString('base64url');
  const reset = ['apn', 'reset-password', ownerName, '--password-stdin'];
  await lab.output('hub', reset, { input: `${ownerPassword}\n` });
  return { ownerName, ownerPassword };
}
