// Commands about set-up: whether the router has an owner, and becoming the first one on the console.

import { passwordFromInput } from './account.ts';
import { fields, one } from './arguments.ts';
import { type Command, command, get } from './command.ts';
import * as show from './show.ts';

export const setupCommands: readonly Command[] = [
  command('setup show', '', 'whether the router has an owner', () => get('/setup'), show.object),
  command(
    'setup claim',
    '[NAME] [--label L] --password-stdin',
    'become the first owner; the password is read from standard input',
    (args) => {
      const [name] = args.words;
      const body = {
        ...(name === undefined ? {} : { name }),
        ...fields(args, { '--label': 'label' }),
        ...(one(args, '--password-stdin') === undefined ? {} : { password: passwordFromInput() }),
      };
      return { method: 'POST', path: '/setup/claim', body };
    },
    ({ member }: { member: { name: string } }) => `${member.name} owns this router.`,
    ['--label', '--password-stdin'],
  ),
];
