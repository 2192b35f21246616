// `apn join` and `apn handover`: servers and devices that come by themselves, with a key they make on their own.
import { InvalidInput } from '../../model/errors.ts';
import { fields, one, pair, word } from './arguments.ts';
import { type Command, command, list, path, remove } from './command.ts';
import { finishing, peerFields } from './devices.ts';
import { keyed, keyOptions, keyUsage } from './keys.ts';
import * as show from './show.ts';

const peerOptions = ['--address', '--preshared-key', '--no-preshared-key', '--keepalive', '--source', '--for'];

export const joinCommands: readonly Command[] = [
  command(
    'join',
    'APPLICATION/LABEL [--as script|cloud-init|file] [--firewall] [--no-dns] [--public-key KEY] [--source PREFIX] [--for 7d] [--address A] [--preshared-key|--no-preshared-key] [--keepalive off|N]',
    'print what to paste on a new server; its address is kept free for so long',
    (args) => {
      const [application, label] = pair(word(args, 0, 'APPLICATION/LABEL'), 'A server');
      const place = { application, label, ...peerFields(args), ...fields(args, { '--source': 'source' }) };
      const kind = fields(args, { '--as': 'as', '--for': 'for' });
      if (one(args, '--public-key') !== undefined) {
        const surplus = ['--as', '--for', '--firewall'].find((name) => args.options.has(name) && kind['as'] !== 'file');
        if (surplus !== undefined)
          throw new InvalidInput(
            '--public-key',
            'With the key the server is added at once, and there is one file for it.',
          );
        const { finish, ...key } = keyed(args);
        return { method: 'POST', path: '/servers', body: { ...place, ...key }, ...finishing(finish) };
      }
      const dns = args.options.has('--no-dns') ? { dns: false } : {};
      const body = { ...place, ...kind, ...dns, firewall: args.options.has('--firewall') };
      return { method: 'POST', path: '/join', body };
    },
    ({ text, config }: { text?: string; config?: string }) => (text ?? config ?? '').trimEnd(),
    ['--as', '--firewall', '--no-dns', '--public-key', ...peerOptions],
  ),
  list('handover ls', '', 'the links that nobody has used yet', '/handovers', [
    ...['id', 'kind', 'name', 'address', 'by', 'expiresAt'],
  ]),
  command(
    'handover add',
    'MEMBER/LABEL|APPLICATION/LABEL [--kind device|server] [--for 1h] [--source PREFIX] [--address A] [--preshared-key|--no-preshared-key] [--keepalive off|N]',
    'make a link for somebody else: it works once, on the LAN and in the tunnel, and makes the key where it is opened',
    (args) => {
      const kind = one(args, '--kind') ?? 'name';
      if (!['name', 'device', 'server'].includes(kind)) throw new InvalidInput('--kind', '--kind is device or server.');
      const given = fields(args, { '--for': 'for', '--source': 'source' });
      const body = { [kind]: word(args, 0, 'MEMBER/LABEL or APPLICATION/LABEL'), ...given, ...peerFields(args) };
      return { method: 'POST', path: '/handovers', body };
    },
    show.handover,
    ['--kind', ...peerOptions],
  ),
  remove('handover', 'ID', 'handovers'),
  command(
    'handover take',
    `SECRET ${keyUsage}`,
    'use a link, or what stands behind the # of it',
    (args) => {
      const { finish, ...key } = keyed(args);
      const secret = word(args, 0, 'SECRET').replace(/^.*#/, '');
      return { method: 'POST', path: path('handovers', 'take'), body: { secret, ...key }, ...finishing(finish) };
    },
    show.addedPeer,
    keyOptions,
  ),
];
