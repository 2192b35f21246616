// The commands about knocks: who was refused, and letting them in.
import { InvalidInput } from '../../model/errors.ts';
import { fields, one, pair, word } from './arguments.ts';
import { type Command, command, list, path } from './command.ts';
import * as show from './show.ts';

const columns = ['id', 'kind', 'name', 'source', 'port', 'lastSeen', 'count', 'why'];
const which = 'ID|NAME|ADDRESS';

export const knockCommands: readonly Command[] = [
  list('knocks ls', '', 'who was refused', '/knocks', columns),
  command(
    'knocks lease',
    `${which} [--for 30s|10m|24h]`,
    'lease UDP 51820 to where it knocked from',
    (args) => ({
      method: 'POST',
      path: path('knocks', word(args, 0, which), 'lease'),
      body: fields(args, { '--for': 'for' }),
    }),
    show.lease,
    ['--for'],
  ),
  command(
    'knocks rule',
    which,
    "make that address the server's rule",
    (args) => ({ method: 'POST', path: path('knocks', word(args, 0, which), 'rule') }),
    show.object,
  ),
  command(
    'knocks enrol',
    `${which} --device MEMBER/LABEL | --server APPLICATION/LABEL [--address A] [--admit yes|no]`,
    'make an unknown key a device or a server, and let its address in',
    (args) => {
      const admit = one(args, '--admit');
      const rest = {
        ...fields(args, { '--address': 'address' }),
        ...(admit === undefined ? {} : { admit: admit === 'yes' }),
      };
      return {
        method: 'POST',
        path: path('knocks', word(args, 0, which), 'enrol'),
        body: { ...target(one(args, '--device'), one(args, '--server')), ...rest },
      };
    },
    show.addedPeer,
    ['--device', '--server', '--address', '--admit'],
  ),
  command(
    'knocks rm',
    which,
    'take it off the list',
    (args) => ({ method: 'DELETE', path: path('knocks', word(args, 0, which)) }),
    () => 'Removed.',
  ),
  command(
    'knocks forget-clock',
    which,
    'take its next handshake although its clock was ahead before',
    (args) => ({ method: 'POST', path: path('knocks', word(args, 0, which), 'forget-clock') }),
    () => 'Forgotten.',
  ),
];

/** @throws InvalidInput unless it is exactly one of them. */
function target(device: string | undefined, server: string | undefined): Record<string, string> {
  if (device !== undefined && server === undefined) {
    const [member, label] = pair(device, 'A device');
    return { as: 'device', member, label };
  }
  if (server !== undefined && device === undefined) {
    const [application, label] = pair(server, 'A server');
    return { as: 'server', application, label };
  }
  throw new InvalidInput('', 'Say what it becomes: --device MEMBER/LABEL or --server APPLICATION/LABEL.');
}
