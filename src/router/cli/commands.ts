// Every command: the words that name it, what it asks of the control API, and how its answer reads.
import { InvalidInput } from '../../model/errors.ts';
import { type Arguments, accessOf, endpointOf, fields, one, pair, word } from './arguments.ts';
import { type Command, command, get, list, path, remove } from './command.ts';
import * as show from './show.ts';

const serverColumns = ['name', 'address', 'connected', 'endpoint', 'sources'];
const deviceColumns = ['name', 'member', 'address', 'connected', 'endpoint'];
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

const lanOptions = ['--mac', '--address', '--identity', '--label', '--access'];

export const commands: readonly Command[] = [
  command('status', '', 'how the router is', () => get('/status'), show.status),
  command('network show', '', 'the range, and where clients find the hub', () => get('/network'), show.object),
  command(
    'network set',
    '[--range PREFIX] [--endpoint HOST[:PORT]|none]',
    'change them',
    (args) => {
      const endpoint = one(args, '--endpoint');
      const body = {
        ...fields(args, { '--range': 'range' }),
        ...(endpoint === undefined ? {} : { endpoint: endpointOf(endpoint) }),
      };
      return { method: 'PATCH', path: '/network', body };
    },
    show.object,
    ['--range', '--endpoint'],
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
  list('servers ls', '', 'the servers', '/servers', serverColumns),
  command(
    'servers add',
    'APPLICATION/LABEL --public-key KEY [--address A] [--source PREFIX] [--preshared-key]',
    'add a server; --source makes a permanent rule for the address it comes from',
    (args) => {
      const [application, label] = pair(word(args, 0, 'APPLICATION/LABEL'), 'A server');
      const body = { application, label, ...peerFields(args), ...fields(args, { '--source': 'source' }) };
      return { method: 'POST', path: '/servers', body };
    },
    show.addedPeer,
    ['--public-key', '--address', '--source', '--preshared-key'],
  ),
  command(
    'servers set',
    'NAME [--label L] [--public-key KEY] [--address A]',
    'change a server',
    (args) => ({ method: 'PATCH', path: path('servers', word(args, 0, 'NAME')), body: peerChange(args) }),
    show.object,
    ['--label', '--public-key', '--address'],
  ),
  remove('servers', 'NAME', 'servers'),
  list('members ls', '', 'the members', '/members', ['name', 'role', 'access', 'leasePolicy', 'disabled', 'devices']),
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
    'NAME [--name NAME] [--role ROLE] [--access APPLICATION=ROLE|none]… [--lease-policy P] [--disabled yes|no]',
    'change a member',
    (args) => {
      const disabled = one(args, '--disabled');
      const body = {
        access: roles(args),
        ...fields(args, { '--role': 'role', '--name': 'name', '--lease-policy': 'leasePolicy' }),
        ...(disabled === undefined ? {} : { disabled: disabled === 'yes' }),
      };
      return { method: 'PATCH', path: path('members', word(args, 0, 'NAME')), body };
    },
    show.object,
    ['--role', '--access', '--lease-policy', '--name', '--disabled'],
  ),
  remove('members', 'NAME', 'members'),
  list('devices ls', '', "the members' devices", '/devices', deviceColumns),
  command(
    'devices add',
    'MEMBER/LABEL --public-key KEY [--address A] [--preshared-key]',
    'add a device of a member',
    (args) => {
      const [member, label] = pair(word(args, 0, 'MEMBER/LABEL'), 'A device');
      return { method: 'POST', path: '/devices', body: { member, label, ...peerFields(args) } };
    },
    show.addedPeer,
    ['--public-key', '--address', '--preshared-key'],
  ),
  command(
    'devices set',
    'NAME [--label L] [--public-key KEY] [--address A]',
    'change a device',
    (args) => ({ method: 'PATCH', path: path('devices', word(args, 0, 'NAME')), body: peerChange(args) }),
    show.object,
    ['--label', '--public-key', '--address'],
  ),
  remove('devices', 'NAME', 'devices'),
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
  command('lan show', '', 'the local side', () => get('/lan'), show.object),
  command(
    'lan set',
    '[--topology router|beside] [--wan PORT] [--ports P,P…] [--address A/LENGTH] [--dhcp FROM-TO|none] [--default-access nothing|everything|APP,…]',
    'change it',
    (args) => ({ method: 'PATCH', path: '/lan', body: lanFields(args) }),
    show.object,
    ['--topology', '--wan', '--ports', '--address', '--dhcp', '--default-access'],
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
    'SRC DST [PORT[/tcp|udp]]',
    'whether SRC may reach DST, and why',
    (args) => {
      const query = new URLSearchParams({
        source: word(args, 0, 'SRC'),
        destination: word(args, 1, 'DST'),
        port: args.words[2] ?? '',
      });
      return get(`/explain?${query}`);
    },
    ({ message }: { message: string }) => message,
  ),
];

function peerFields(args: Arguments): Record<string, unknown> {
  return { ...peerChange(args), presharedKey: args.options.has('--preshared-key') };
}

function peerChange(args: Arguments): Record<string, string> {
  return fields(args, { '--public-key': 'publicKey', '--address': 'address', '--label': 'label' });
}
