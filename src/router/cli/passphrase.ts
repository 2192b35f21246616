// Asks a person for a passphrase without showing it, or takes it from standard input.
import { readFileSync } from 'node:fs';
import type { ReadStream } from 'node:tty';
import { InvalidInput } from '../../model/errors.ts';
import type { Arguments } from './arguments.ts';

/** @throws InvalidInput when there is nobody to ask. */
export async function passphraseFrom(
  { options }: Arguments,
  times: 'once' | 'twice',
  what: 'passphrase' | 'password' = 'passphrase',
): Promise<string> {
  const option = `--${what}-stdin`;
  const { stdin } = process;
  if (options.has(option) && !stdin.isTTY) {
    const [line = ''] = readFileSync(0, 'utf8').split(/\r?\n/);
    if (line === '') throw new InvalidInput(option, `There is no ${what} on standard input.`);
    return line;
  }
  if (!stdin.isTTY) throw new InvalidInput(option, `There is nobody to ask for the ${what}: give it with this option.`);
  // Raw until the end: the terminal shows nothing of what is typed, ahead of the question either.
  stdin.setRawMode(true).setEncoding('utf8').resume();
  try {
    const first = await ask(stdin, what === 'password' ? 'New password: ' : 'Passphrase: ');
    if (times === 'twice' && (await ask(stdin, 'Once more: ')) !== first) {
      throw new InvalidInput(what, 'The two are not the same.');
    }
    return first;
  } finally {
    stdin.setRawMode(false).pause();
  }
}

function ask(terminal: ReadStream, question: string): Promise<string> {
  process.stderr.write(question);
  return new Promise((resolve, reject) => {
    let typed = '';
    const end = (finish: () => void) => {
      terminal.off('data', onData);
      process.stderr.write('\n');
      finish();
    };
    const onData = (part: string) => {
      for (const character of part) {
        if (character === '\r' || character === '\n') return end(() => resolve(typed));
        // Control-C and Control-D
        if (character === '\u0003' || character === '\u0004') return end(() => reject(new Error('Given up.')));
        const erases = character === '\u007f' || character === '\b';
        typed = erases ? Array.from(typed).slice(0, -1).join('') : typed + character;
      }
    };
    terminal.on('data', onData);
  });
}
