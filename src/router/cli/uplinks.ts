// The commands about uplinks. A WireGuard file is read by the command and sent as text.
import { fstatSync, openSync, readFileSync } from 'node:fs';
import { InvalidInput } from '../../model/errors.ts';
import { longestFile } from '../../model/wireguard-file.ts';
import { type Arguments, fields, one, word } from './arguments.ts';
import { type Command, command, get, path, remove } from './command.ts';
import * as show from './show.ts';

interface Peer {
  readonly label: string | null;
  readonly publicKey: string;
  readonly allowedIps: readonly string[];
  readonly endpoint: string;
}

interface Difference {
  readonly fields: readonly string[];
  readonly added: readonly Peer[];
  readonly removed: readonly Peer[];
  readonly changed: readonly { readonly peer: Peer; readonly fields: readonly string[] }[];
  readonly unchanged: number;
}

interface Summary {
  readonly address: string;
  readonly mtu: number;
  readonly dns: { readonly servers: readonly string[]; readonly relayed: readonly string[] };
  readonly notes: readonly string[];
  readonly peers: readonly (Peer & { readonly fqdn?: string | null; readonly connected?: boolean })[];
}

interface Uplink extends Summary {
  readonly label: string;
  readonly device: string;
  readonly access: Readonly<Record<string, string | readonly string[]>>;
}

/** `-` is standard input. @throws InvalidInput for what is no text of a reasonable size. */
function readFile(name: string): string {
  const bytes = readBytes(name);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new InvalidInput('file', `${name} is not UTF-8 text (it may be UTF-16): save it as UTF-8.`);
  }
}

function readBytes(name: string): Uint8Array {
  try {
    const handle = name === '-' ? 0 : openSync(name, 'r');
    // A character of UTF-8 has up to four bytes.
    if (fstatSync(handle).size <= 4 * longestFile) return readFileSync(handle);
  } catch (error) {
    throw new InvalidInput('file', `${name} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
  throw new InvalidInput('file', `${name} is too large to be such a file.`);
}

function listed(text: string): readonly string[] {
  return text === 'nobody' ? [] : text.split(',').filter((part) => part !== '');
}

function accessOf(args: Arguments): Record<string, unknown> {
  const lan = one(args, '--lan');
  const members = one(args, '--members');
  const applications = one(args, '--apps');
  return {
    ...(lan === undefined ? {} : { lan: ['nothing', 'everyone'].includes(lan) ? lan : listed(lan) }),
    ...(members === undefined ? {} : { members: listed(members) }),
    ...(applications === undefined ? {} : { applications: listed(applications) }),
  };
}

/** `--name db=10.9.0.5` names a peer; `--name none=…` takes its name away. */
function names(args: Arguments): readonly { readonly peer: string; readonly label: string | null }[] {
  return (args.options.get('--name') ?? []).map((entry) => {
    const equals = entry.indexOf('=');
    if (equals < 1) throw new InvalidInput('--name', `--name is written NAME=PEER; this is “${entry}”.`);
    const label = entry.slice(0, equals);
    return { peer: entry.slice(equals + 1), label: label === 'none' ? null : label };
  });
}

const access = '[--lan nothing|everyone|DEVICE,…] [--members NAME,…|nobody] [--apps APPLICATION,…|nobody]';
const accessOptions = ['--lan', '--members', '--apps'];

export const uplinkCommands: readonly Command[] = [
  command('uplinks ls', '', 'other networks this hub is a machine of', () => get('/uplinks'), showList),
  command(
    'uplinks show',
    'LABEL',
    'one of them with its peers',
    (args) => get(path('uplinks', word(args, 0, 'LABEL'))),
    showOne,
  ),
  command(
    'uplinks add',
    `LABEL FILE ${access}`,
    'import a WireGuard file (- is standard input)',
    (args) => ({
      method: 'POST',
      path: '/uplinks',
      body: { label: word(args, 0, 'LABEL'), file: readFile(word(args, 1, 'FILE')), access: accessOf(args) },
    }),
    showOne,
    accessOptions,
  ),
  command(
    'uplinks preview',
    'FILE [--uplink LABEL]',
    'what a file would add, or change in an uplink',
    (args) => ({
      method: 'POST',
      path: '/uplinks/preview',
      body: { file: readFile(word(args, 0, 'FILE')), ...fields(args, { '--uplink': 'uplink' }) },
    }),
    ({ difference, ...rest }: Summary & { difference: Difference | null }) =>
      difference === null ? showSummary(rest) : showDifference(difference),
    ['--uplink'],
  ),
  command(
    'uplinks update',
    'LABEL FILE',
    'take the newer file of the same network',
    (args) => ({
      method: 'PUT',
      path: path('uplinks', word(args, 0, 'LABEL'), 'file'),
      body: { file: readFile(word(args, 1, 'FILE')) },
    }),
    ({ difference }: { difference: Difference }) => showDifference(difference),
  ),
  command(
    'uplinks set',
    `LABEL [--label LABEL] ${access} [--name NAME=PEER]…`,
    'who may use it, and what its peers are called',
    (args) => {
      const who = accessOf(args);
      const called = names(args);
      const body = {
        ...fields(args, { '--label': 'label' }),
        ...(Object.keys(who).length === 0 ? {} : { access: who }),
        ...(called.length === 0 ? {} : { names: called }),
      };
      return { method: 'PATCH', path: path('uplinks', word(args, 0, 'LABEL')), body };
    },
    showOne,
    ['--label', ...accessOptions, '--name'],
  ),
  remove('uplinks', 'LABEL', 'uplinks'),
];

function showList(list: readonly (Uplink & { readonly connected: number })[]): string {
  const rows = list.map((one) => ({
    ...one,
    peers: `${one.connected} of ${one.peers.length} connected`,
    ...{ lan: one.access['lan'], members: one.access['members'], applications: one.access['applications'] },
  }));
  return show.table(['label', 'device', 'address', 'peers', 'lan', 'members', 'applications'])(rows);
}

function showSummary({ address, mtu, dns, notes, peers }: Summary): string {
  return [
    show.object({ address, mtu, dns: dns.servers, domains: dns.relayed }),
    ...notes,
    show.table(['label', 'allowedIps', 'endpoint', 'publicKey'])(peers.map((peer) => ({ ...peer }))),
  ].join('\n');
}

function showOne({ label, device, access: who, address, mtu, dns, notes, peers }: Uplink): string {
  return [
    show.object({ label, device, address, mtu, dns: dns.servers, domains: dns.relayed, ...who }),
    ...notes,
    show.table(['fqdn', 'allowedIps', 'endpoint', 'connected'])(peers.map((peer) => ({ ...peer }))),
  ].join('\n');
}

function nameOf({ label, allowedIps }: Peer): string {
  return label ?? allowedIps.join(',');
}

function showDifference({ fields: own, added, removed, changed, unchanged }: Difference): string {
  const lines = [
    ...own.map((field) => `changed  ${field} of the uplink`),
    ...added.map((peer) => `new      ${nameOf(peer)} at ${peer.endpoint}`),
    ...removed.map((peer) => `gone     ${nameOf(peer)}`),
    ...changed.map(({ peer, fields: which }) => `changed  ${nameOf(peer)}: ${which.join(', ')}`),
  ];
  const rest = unchanged === 1 ? '1 peer stays as it is.' : `${unchanged} peers stay as they are.`;
  return [...(lines.length === 0 ? ['Nothing changes.'] : lines), rest].join('\n');
}
