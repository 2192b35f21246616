// Asks a person for a passphrase without showing it, or takes it from standard input.
import { readFileSync } from 'node:fs';
import type { ReadStream } from 'node:tty';
import { InvalidInput } from '../../model/errors.ts';
import type { Arguments } from './arguments.ts';

const option = '--passphrase-stdin';

/** @throws InvalidInput when there is nobody to ask. */
export async function passphraseFrom({ options }: Arguments, times: 'once' | 'twice'): Promise<string> {
  if (options.has(option)) {
    const [line = ''] = readFileSync(0, 'utf8').split('\n');
    if (line === '') throw new InvalidInput(option, 'There is no passphrase on standard input.');
    return line.replace(/\r$/, '');
  }
  const { stdin } = process;
  if (!stdin.isTTY)
    throw new InvalidInput(option, 'There is nobody to ask for the passphrase: give it with this option.');
  const first = await ask(stdin, 'Passphrase: ');
  if (times === 'twice' && (await ask(stdin, 'Once more: ')) !== first) {
    throw new InvalidInput('passphrase', 'The two are not the same.');
  }
  return first;
}

/** Raw mode: the terminal shows nothing of what is typed. */
function ask(terminal: ReadStream, question: string): Promise<string> {
  process.stderr.write(question);
  terminal.setRawMode(true).setEncoding('utf8').resume();
  return new Promise((resolve, reject) => {
    let typed = '';
    const end = (finish: () => void) => {
      terminal.off('data', onData).setRawMode(false).pause();
      process.stderr.write('\n');
      finish();
    };
    const onData = (part: string) => {
      for (const character of part) {
        if (character === '\r' || character === '\n') return end(() => resolve(typed));
        // Control-C and Control-D
        if (character === '\u0003' || character === '\u0004') return end(() => reject(new Error('Given up.')));
        typed =
          character === '\u007f' || character === '\b' ? Array.from(typed).slice(0, -1).join('') : typed + character;
      }
    };
    terminal.on('data', onData);
  });
}
