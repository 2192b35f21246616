// `apn backup` and `apn restore`: the one file that makes another box the same hub.
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { InvalidInput } from '../../model/errors.ts';
import { fields, word } from './arguments.ts';
import { type Call, type Command, command } from './command.ts';
import { passphraseFrom } from './passphrase.ts';

/** Bytes; more is no backup. */
const largest = 8 * 1024 * 1024;
/** Milliseconds. */
const backWithin = 20_000;
const askEvery = 100;

export const backupCommands: readonly Command[] = [
  command(
    'backup',
    'FILE [--passphrase-stdin]',
    'write everything that makes another box the same hub into a file that a passphrase opens',
    (args) => {
      const file = word(args, 0, 'FILE');
      if (existsSync(file)) throw new InvalidInput('FILE', `${file} is there already.`);
      return {
        ...{ method: 'POST', path: '/backup' },
        ask: async () => ({ passphrase: await passphraseFrom(args, 'twice') }),
        finish: ({ file: content, omitted }: { file: string; omitted: readonly string[] }) => {
          const bytes = Buffer.from(content, 'base64');
          writeFileSync(file, bytes, { mode: 0o600, flag: 'wx' });
          return { file, bytes: bytes.length, omitted };
        },
      };
    },
    ({ file, bytes, omitted }: { file: string; bytes: number; omitted: readonly string[] }) =>
      [
        `Wrote ${file} (${bytes} bytes). Without its passphrase nobody can open it, you included.`,
        ...(omitted.length === 0 ? [] : [`Not in it, because their keys are damaged: ${omitted.join(', ')}.`]),
      ].join('\n'),
    ['--passphrase-stdin'],
  ),
  command(
    'restore',
    'FILE [--code CODE] [--passphrase-stdin]',
    'become the hub of a backup; what is set up here is replaced',
    (args) => {
      const file = word(args, 0, 'FILE');
      return {
        ...{ method: 'POST', path: '/restore' },
        body: fields(args, { '--code': 'code' }),
        ask: async () => ({ file: contentOf(file), passphrase: await passphraseFrom(args, 'once') }),
        settle: async (answer: { revision: number }, call: Call) => ({
          ...answer,
          applied: await back(call, answer.revision),
        }),
      };
    },
    ({ of, ownPorts, applied }: { of: string; ownPorts: boolean; applied: boolean }) =>
      [
        `This is the hub of ${of} now.`,
        ...(ownPorts ? ["The backup's network ports are not here, so this box keeps its own."] : []),
        ...(applied ? [] : ['It is not in the kernel yet: see apn status.']),
      ].join('\n'),
    ['--code', '--passphrase-stdin'],
  ),
];

function contentOf(file: string): string {
  try {
    if (statSync(file).size > largest) throw new InvalidInput('FILE', `${file} is larger than any backup.`);
    return readFileSync(file).toString('base64');
  } catch (error) {
    if (error instanceof InvalidInput) throw error;
    throw new InvalidInput('FILE', `${file} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
}

/** The router starts anew with what was restored: waits for it, and for the machine to agree. */
async function back(call: Call, revision: number): Promise<boolean> {
  const end = performance.now() + backWithin;
  while (performance.now() < end) {
    const status = await call('GET', '/status').catch(() => null);
    if (status?.status === 200 && (status.body as { appliedRevision: number }).appliedRevision >= revision) return true;
    await new Promise((resolve) => setTimeout(resolve, askEvery));
  }
  return false;
}
