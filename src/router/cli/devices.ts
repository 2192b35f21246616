// `apn devices` and `apn servers`: peers of the tunnel, their keys and their files.
import { InvalidInput } from '../../model/errors.ts';
import { type Arguments, fields, one, pair, word } from './arguments.ts';
import { type Command, command, list, path, remove } from './command.ts';
import { keyed, keyOptions, keyUsage } from './keys.ts';
import * as show from './show.ts';

const serverColumns = ['name', 'address', 'connected', 'endpoint', 'sources'];
const deviceColumns = ['name', 'member', 'address', 'connected', 'endpoint'];
const optionUsage = '[--address A] [--preshared-key|--no-preshared-key] [--keepalive off|N]';
const options = ['--address', '--preshared-key', '--no-preshared-key', '--keepalive'];
const changes = ['--label', '--public-key', '--address', '--keepalive'];

export const deviceCommands: readonly Command[] = [
  list('servers ls', '', 'the servers', '/servers', serverColumns),
  command(
    'servers add',
    `APPLICATION/LABEL ${keyUsage} ${optionUsage} [--source PREFIX]`,
    'add a server; --source makes a permanent rule for the address it comes from',
    (args) => {
      const [application, label] = pair(word(args, 0, 'APPLICATION/LABEL'), 'A server');
      const { finish, ...key } = keyed(args);
      const body = { application, label, ...key, ...peerFields(args), ...fields(args, { '--source': 'source' }) };
      return { method: 'POST', path: '/servers', body, ...finishing(finish) };
    },
    show.addedPeer,
    [...keyOptions, ...options, '--source'],
  ),
  change('servers', 'a server; --follow moves its rule to wherever it knocks from', ' [--follow yes|no]'),
  rotate('servers', 'a server'),
  remove('servers', 'NAME', 'servers'),
  list('devices ls', '', "the members' devices", '/devices', deviceColumns),
  command(
    'devices add',
    `MEMBER/LABEL ${keyUsage} ${optionUsage}`,
    'add a device of a member; --make-key makes the key here, and prints the whole file once',
    (args) => {
      const [member, label] = pair(word(args, 0, 'MEMBER/LABEL'), 'A device');
      const { finish, ...key } = keyed(args);
      const body = { member, label, ...key, ...peerFields(args) };
      return { method: 'POST', path: '/devices', body, ...finishing(finish) };
    },
    show.addedPeer,
    [...keyOptions, ...options],
  ),
  change('devices', 'a device'),
  rotate('devices', 'a device'),
  remove('devices', 'NAME', 'devices'),
];

function change(noun: string, what: string, more = ''): Command {
  return command(
    `${noun} set`,
    `NAME [--label L] [--public-key KEY] [--address A] [--keepalive off|N]${more}`,
    `change ${what}`,
    (args) => {
      const follow = one(args, '--follow');
      const body = {
        ...fields(args, { '--public-key': 'publicKey', '--address': 'address', '--label': 'label' }),
        ...keepalive(args),
        ...(follow === undefined ? {} : { follow: follow === 'yes' }),
      };
      return { method: 'PATCH', path: path(noun, word(args, 0, 'NAME')), body };
    },
    show.object,
    more === '' ? changes : [...changes, '--follow'],
  );
}

function rotate(noun: string, what: string): Command {
  return command(
    `${noun} rotate`,
    `NAME ${keyUsage} [--preshared-key|--no-preshared-key]`,
    `give ${what} a new key; the old one is dead at once`,
    (args) => {
      const { finish, ...key } = keyed(args);
      const where = `${path(noun, word(args, 0, 'NAME'))}/rotate`;
      return { method: 'POST', path: where, body: { ...key, ...presharedKey(args) }, ...finishing(finish) };
    },
    show.rotatedPeer,
    [...keyOptions, '--preshared-key', '--no-preshared-key'],
  );
}

export const finishing = (finish: ReturnType<typeof keyed>['finish']) => (finish === undefined ? {} : { finish });

/** Options of a peer that is to be added. */
export function peerFields(args: Arguments): Record<string, unknown> {
  return { ...fields(args, { '--address': 'address' }), ...presharedKey(args), ...keepalive(args) };
}

function presharedKey(args: Arguments): { presharedKey?: boolean } {
  const [yes, no] = ['--preshared-key', '--no-preshared-key'].map((name) => args.options.has(name));
  if (yes && no) throw new InvalidInput('--no-preshared-key', 'With a preshared key, or without: not both.');
  if (!yes && !no) return {};
  return { presharedKey: yes === true };
}

function keepalive(args: Arguments): { keepalive?: number | null } {
  const text = one(args, '--keepalive');
  if (text === undefined) return {};
  if (text !== 'off' && !/^\d{1,5}$/.test(text))
    throw new InvalidInput('--keepalive', '--keepalive is off, or a number of seconds.');
  return { keepalive: text === 'off' ? null : Number(text) };
}
