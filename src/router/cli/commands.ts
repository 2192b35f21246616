// Every command: the words that name it, what it asks of the control API, and how its answer reads.
import { InvalidInput } from '../../model/errors.ts';
import { accountCommands } from './account.ts';
import { type Arguments, accessOf, endpointOf, fields, one, word } from './arguments.ts';
import { auditCommands } from './audit.ts';
import { backupCommands } from './backup.ts';
import { type Command, command, get, list, path, remove } from './command.ts';
import { deviceCommands } from './devices.ts';
import { confirmNote, confirmSeconds, historyCommands } from './history.ts';
import { joinCommands } from './join.ts';
import { knockCommands } from './knocks.ts';
import { setupCommands } from './setup.ts';
import * as show from './show.ts';
import { uplinkCommands } from './uplinks.ts';

const lanColumns = ['label', 'mac', 'address', 'identity', 'access', 'hostName'];

function roles(args: Arguments): Record<string, string | null> {
  return Object.fromEntries(
    (args.options.get('--access') ?? []).map((entry) => {
      const [application, role] = entry.split('=');
      if (!application || !role)
        throw new InvalidInput('--access', `--access is written APPLICATION=ROLE; this is “${entry}”.`);
      return [application, role === 'none' ? null : role];
    }),
  );
}

function lanFields(args: Arguments): Record<string, unknown> {
  const ports = one(args, '--ports');
  const dhcp = one(args, '--dhcp');
  const access = one(args, '--default-access');
  const [from, to] = dhcp?.split('-') ?? [];
  return {
    ...fields(args, { '--topology': 'topology', '--wan': 'wan', '--address': 'address' }),
    ...(ports === undefined ? {} : { ports: ports.split(',').filter((port) => port !== '') }),
    ...(dhcp === undefined ? {} : { dhcp: dhcp === 'none' ? null : { from, to } }),
    ...(access === undefined ? {} : { defaultAccess: accessOf(access) }),
  };
}

function lanDevice(args: Arguments): Record<string, unknown> {
  const access = one(args, '--access');
  return {
    ...fields(args, { '--mac': 'mac', '--address': 'address', '--identity': 'identity', '--label': 'label' }),
    ...(access === undefined ? {} : { access: accessOf(access) }),
  };
}

function edited({ confirm, ...one }: { readonly confirm: Parameters<typeof confirmNote>[0]['confirm'] }): string {
  return show.object(one) + confirmNote({ confirm });
}

const lanOptions = ['--mac', '--address', '--identity', '--label', '--access'];

export const commands: readonly Command[] = [
  command('status', '', 'how the router is', () => get('/status'), show.status),
  ...setupCommands,
  command('network show', '', 'the range, and where clients find the hub', () => get('/network'), show.object),
  command(
    'network set',
    '[--range PREFIX] [--endpoint HOST[:PORT]|none] [--confirm SECONDS]',
    'change them; --confirm undoes it after so many seconds unless apn confirm keeps it',
    (args) => {
      const endpoint = one(args, '--endpoint');
      const body = {
        ...fields(args, { '--range': 'range' }),
        ...confirmSeconds(args),
        ...(endpoint === undefined ? {} : { endpoint: endpointOf(endpoint) }),
      };
      return { method: 'PATCH', path: '/network', body };
    },
    edited,
    ['--range', '--endpoint', '--confirm'],
  ),
  list('apps ls', '', 'the applications', '/applications', ['label', 'range', 'links', 'servers']),
  command(
    'apps add',
    'LABEL [--range PREFIX]',
    'add an application',
    (args) => ({
      method: 'POST',
      path: '/applications',
      body: { label: word(args, 0, 'LABEL'), ...fields(args, { '--range': 'range' }) },
    }),
    show.object,
    ['--range'],
  ),
  remove('apps', 'APPLICATION', 'applications'),
  command(
    'apps link',
    'FROM TO',
    "let FROM's servers reach TO's",
    (args) => ({
      method: 'POST',
      path: `${path('applications', word(args, 0, 'FROM'))}/links`,
      body: { to: word(args, 1, 'TO') },
    }),
    show.object,
  ),
  command(
    'apps unlink',
    'FROM TO',
    'take that away',
    (args) => ({ method: 'DELETE', path: path('applications', word(args, 0, 'FROM'), 'links', word(args, 1, 'TO')) }),
    show.object,
  ),
  list('members ls', '', 'the members', '/members', [
    'name',
    'role',
    'access',
    'leasePolicy',
    'disabled',
    'signIn',
    'totp',
    'devices',
  ]),
  command(
    'members add',
    'NAME [--role ROLE] [--access APPLICATION=ROLE]… [--lease-policy ask|auto|never]',
    'add a member; roles are owner, admin, developer, viewer',
    (args) => {
      const body = {
        name: word(args, 0, 'NAME'),
        access: roles(args),
        ...fields(args, { '--role': 'role', '--lease-policy': 'leasePolicy' }),
      };
      return { method: 'POST', path: '/members', body };
    },
    show.object,
    ['--role', '--access', '--lease-policy'],
  ),
  command(
    'members set',
    'NAME [--name NAME] [--role ROLE] [--access APPLICATION=ROLE|none]… [--lease-policy P] [--travel 7d|off] [--disabled yes|no]',
    'change a member; --travel lets knocks in as by the policy auto for so long',
    (args) => {
      const disabled = one(args, '--disabled');
      const travel = one(args, '--travel');
      const body = {
        access: roles(args),
        ...fields(args, { '--role': 'role', '--name': 'name', '--lease-policy': 'leasePolicy' }),
        ...(disabled === undefined ? {} : { disabled: disabled === 'yes' }),
        ...(travel === undefined ? {} : { travel: travel === 'off' ? null : travel }),
      };
      return { method: 'PATCH', path: path('members', word(args, 0, 'NAME')), body };
    },
    show.object,
    ['--role', '--access', '--lease-policy', '--name', '--travel', '--disabled'],
  ),
  remove('members', 'NAME', 'members'),
  ...accountCommands,
  ...deviceCommands,
  ...joinCommands,
  list(
    'lease ls',
    '[--all]',
    'the live leases; --all shows ended ones too',
    '/leases',
    ['id', 'source', 'member', 'state', 'remainingSeconds', 'reason'],
    ['--all'],
  ),
  command(
    'lease add',
    'ADDRESS[/PREFIX] [--for 30s|10m|24h] [--member NAME] [--reason TEXT]',
    'open UDP 51820 for an address',
    (args) => {
      const body = {
        source: word(args, 0, 'ADDRESS'),
        ...fields(args, { '--for': 'for', '--member': 'member', '--reason': 'reason' }),
      };
      return { method: 'POST', path: '/leases', body };
    },
    show.lease,
    ['--for', '--member', '--reason'],
  ),
  command(
    'lease renew',
    'ID|ADDRESS [--for 30s|10m|24h]',
    'let it go on, for 24 hours from now',
    (args) => {
      const where = `${path('leases', word(args, 0, 'ID|ADDRESS'))}/renew`;
      return { method: 'POST', path: where, body: fields(args, { '--for': 'for' }) };
    },
    show.leases,
    ['--for'],
  ),
  command(
    'lease rm',
    'ID|ADDRESS',
    'end it now',
    (args) => ({ method: 'DELETE', path: path('leases', word(args, 0, 'ID|ADDRESS')) }),
    () => 'Revoked.',
  ),
  list('rule ls', '', 'the permanent openings', '/rules', ['id', 'source', 'server', 'note']),
  command(
    'rule add',
    'PREFIX [--note TEXT] [--server NAME]',
    'open UDP 51820 for good',
    (args) => {
      const body = { source: word(args, 0, 'PREFIX'), ...fields(args, { '--note': 'note', '--server': 'server' }) };
      return { method: 'POST', path: '/rules', body };
    },
    show.object,
    ['--note', '--server'],
  ),
  remove('rule', 'ID|PREFIX', 'rules'),
  ...knockCommands,
  list('names ls', '', 'the extra names', '/names', ['name', 'type', 'address', 'target']),
  command(
    'names add',
    'NAME A ADDRESS | NAME CNAME TARGET',
    'add a name below .apn',
    (args) => {
      const type = word(args, 1, 'A or CNAME').toUpperCase();
      const value = word(args, 2, 'ADDRESS or TARGET');
      const body = { name: word(args, 0, 'NAME'), type, ...(type === 'A' ? { address: value } : { target: value }) };
      return { method: 'POST', path: '/names', body };
    },
    show.object,
  ),
  remove('names', 'NAME', 'names'),
  ...uplinkCommands,
  command('lan show', '', 'the local side', () => get('/lan'), show.object),
  command(
    'lan set',
    '[--topology router|beside] [--wan PORT] [--ports P,P…] [--address A/LENGTH] [--dhcp FROM-TO|none] [--default-access nothing|everything|APP,…] [--confirm SECONDS]',
    'change it; --confirm undoes it after so many seconds unless apn confirm keeps it',
    (args) => ({ method: 'PATCH', path: '/lan', body: { ...lanFields(args), ...confirmSeconds(args) } }),
    edited,
    ['--topology', '--wan', '--ports', '--address', '--dhcp', '--default-access', '--confirm'],
  ),
  list('lan devices', '', 'devices with no VPN client', '/lan/devices', lanColumns),
  command(
    'lan add',
    'LABEL --mac MAC [--access default|nothing|everything|APP,…] [--address A] [--identity A]',
    'give a LAN device a name, an APN address and access',
    (args) => ({ method: 'POST', path: '/lan/devices', body: { ...lanDevice(args), label: word(args, 0, 'LABEL') } }),
    show.object,
    lanOptions,
  ),
  command(
    'lan edit',
    'LABEL [--access …] [--label L] [--mac MAC] [--address A] [--identity A]',
    'change it',
    (args) => ({ method: 'PATCH', path: path('lan', 'devices', word(args, 0, 'LABEL')), body: lanDevice(args) }),
    show.object,
    lanOptions,
  ),
  command(
    'lan rm',
    'LABEL',
    'forget it',
    (args) => ({ method: 'DELETE', path: path('lan', 'devices', word(args, 0, 'LABEL')) }),
    () => 'Removed.',
  ),
  command(
    'config show',
    'NAME [--no-dns]',
    'the WireGuard file of a server or device',
    (args) => get(`${path('config', word(args, 0, 'NAME'))}${args.options.has('--no-dns') ? '?dns=no' : ''}`),
    ({ config }: { config: string }) => config.trimEnd(),
    ['--no-dns'],
  ),
  command(
    'explain',
    'SRC DST [PORT[/tcp|udp]] [--from ADDRESS]',
    'whether SRC may reach DST, and why; and whether SRC is let in from outside',
    (args) => {
      const query = new URLSearchParams({
        source: word(args, 0, 'SRC'),
        destination: word(args, 1, 'DST'),
        port: args.words[2] ?? '',
        ...fields(args, { '--from': 'from' }),
      });
      return get(`/explain?${query}`);
    },
    ({ message, door }: { message: string; door: { message: string } | null }) =>
      [message, ...(door === null ? [] : [door.message])].join('\n'),
    ['--from'],
  ),
  ...auditCommands,
  ...historyCommands,
  ...backupCommands,
];
