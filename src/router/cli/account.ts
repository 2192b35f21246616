// Commands about how members sign in: links to a first password, resets, and API tokens.
import { type Arguments, fields, one, word } from './arguments.ts';
import { type Command, command, list, path, remove } from './command.ts';
import { passphraseFrom } from './passphrase.ts';

interface Link {
  readonly name: string;
  readonly path?: string;
  readonly expiresAt?: string;
}

export const accountCommands: readonly Command[] = [
  command(
    'invite',
    'NAME [--for 3d]',
    'make a link by which a member chooses a password, once',
    (args) => ({
      method: 'POST',
      path: path('members', word(args, 0, 'NAME'), 'invite'),
      body: fields(args, { '--for': 'for' }),
    }),
    linkText,
    ['--for'],
  ),
  command(
    'reset-password',
    'NAME [--password-stdin] [--totp-off]',
    'end the sessions and the password of a member, and make a link for a new one; --password-stdin: take the new one here',
    (args) => ({
      method: 'POST',
      path: path('members', word(args, 0, 'NAME'), 'password-reset'),
      body: { totpOff: args.options.has('--totp-off') },
      ...(args.options.has('--password-stdin')
        ? { ask: async () => ({ password: await passphraseFrom(args, 'twice', 'password') }) }
        : {}),
    }),
    (answer: Link & { readonly totp: boolean }) =>
      [
        answer.path === undefined ? `${answer.name} has a new password.` : linkText(answer),
        ...(answer.totp ? ['The second factor is still wanted; --totp-off takes it away.'] : []),
      ].join('\n'),
    ['--password-stdin', '--totp-off'],
  ),
  list('tokens ls', '', 'the API tokens', '/tokens', ['id', 'name', 'member', 'scope', 'expiresAt', 'lastUsed']),
  command(
    'tokens add',
    'NAME --member MEMBER --scope read|lease|manage|metrics [--days 90]',
    'make an API token, which is shown once',
    (args) => ({
      method: 'POST',
      path: '/tokens',
      body: {
        name: word(args, 0, 'NAME'),
        ...fields(args, { '--member': 'member', '--scope': 'scope' }),
        ...days(args),
      },
    }),
    ({ token, expiresAt }: { token: string; expiresAt: string }) =>
      `${token}\nIt is not shown again, and works until ${expiresAt}.`,
    ['--member', '--scope', '--days'],
  ),
  remove('tokens', 'NAME|ID', 'tokens'),
];

function days(args: Arguments): { readonly days?: number } {
  const text = one(args, '--days');
  return text === undefined ? {} : { days: Number(text) };
}

function linkText({ name, path: where, expiresAt }: Link): string {
  return `${name} chooses a password here, once, until ${expiresAt}:\nhttps://hub.apn${where}`;
}
