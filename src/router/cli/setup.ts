// Commands about set-up: whether the router has an owner, and becoming the first one on the console.
import { fields } from './arguments.ts';
import { type Command, command, get } from './command.ts';
import { passphraseFrom } from './passphrase.ts';
import * as show from './show.ts';

export const setupCommands: readonly Command[] = [
  command('setup show', '', 'whether the router has an owner', () => get('/setup'), show.object),
  command(
    'setup claim',
    '[NAME] [--label L] [--password-stdin]',
    'become the first owner; the password is asked for, or read from standard input',
    (args) => {
      const [name] = args.words;
      const body = { ...(name === undefined ? {} : { name }), ...fields(args, { '--label': 'label' }) };
      const ask = async () => ({ password: await passphraseFrom(args, 'twice', 'password') });
      return { method: 'POST', path: '/setup/claim', body, ask };
    },
    ({ member }: { member: { name: string } }) => `${member.name} owns this router.`,
    ['--label', '--password-stdin'],
  ),
];
