// `apn history` and `apn confirm`: what changed, taking it back, and keeping a network edit.
import { InvalidInput } from '../../model/errors.ts';
import { type Arguments, one, word } from './arguments.ts';
import { type Command, command, get, path } from './command.ts';
import * as show from './show.ts';

interface Revision {
  readonly revision: number;
  readonly at: string;
  readonly actor: string;
  readonly summary: string;
  readonly changes: readonly {
    readonly noun: string;
    readonly name: string;
    readonly kind: string;
    readonly fields: readonly { readonly path: string; readonly before: unknown; readonly after: unknown }[];
  }[];
}

interface Waiting {
  readonly id: string;
  readonly secondsLeft: number;
}

export const historyCommands: readonly Command[] = [
  command(
    'history ls',
    '[--limit N] [--before REVISION]',
    'what changed the configuration, the newest first',
    (args) => {
      const query = new URLSearchParams();
      for (const name of ['limit', 'before']) {
        const value = one(args, `--${name}`);
        if (value !== undefined) query.set(name, value);
      }
      return get(`/history?${query}`);
    },
    (rows: readonly Revision[]) =>
      show.table(['revision', 'at', 'actor', 'summary'])(rows.map(({ changes: _, ...row }) => row)),
    ['--limit', '--before'],
  ),
  command(
    'history show',
    'REVISION',
    'one revision',
    (args) => get(path('history', word(args, 0, 'REVISION'))),
    revision,
  ),
  command(
    'history revert',
    'REVISION [--confirm SECONDS]',
    'undo what one revision changed; later changes stay',
    (args) => takeBack(args, 'revert'),
    taken,
    ['--confirm'],
  ),
  command(
    'history restore',
    'REVISION [--confirm SECONDS]',
    'go back to how everything was at a revision; keys stay as they are',
    (args) => takeBack(args, 'restore'),
    taken,
    ['--confirm'],
  ),
  command('confirm show', '', 'the network change that waits to be confirmed', () => get('/confirm'), waiting),
  command(
    'confirm',
    '',
    'keep the network change that waits to be confirmed',
    () => ({ method: 'POST', path: '/confirm', body: {} }),
    () => 'It stays.',
  ),
  command(
    'confirm undo',
    '',
    'undo it now',
    () => ({ method: 'DELETE', path: '/confirm' }),
    () => 'It is undone.',
  ),
];

/** @throws InvalidInput */
export function confirmSeconds(args: Arguments): { confirm?: number } {
  const text = one(args, '--confirm');
  if (text === undefined) return {};
  if (!/^\d{1,4}$/.test(text)) throw new InvalidInput('--confirm', '--confirm takes seconds, such as 90.');
  return { confirm: Number(text) };
}

/** What an edit says that is undone unless it is confirmed. */
export function confirmNote({ confirm }: { readonly confirm: Waiting | null }): string {
  return confirm === null ? '' : `\nIt is undone in ${show.duration(confirm.secondsLeft)} unless you run apn confirm.`;
}

function takeBack(args: Arguments, how: 'revert' | 'restore') {
  return { method: 'POST', path: path('history', word(args, 0, 'REVISION'), how), body: confirmSeconds(args) } as const;
}

function taken(answer: { readonly revision: number; readonly confirm: Waiting | null }): string {
  return `Done, as revision ${answer.revision}.${confirmNote(answer)}`;
}

function revision({ revision: number, at, actor, summary, changes }: Revision): string {
  const text = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));
  return [
    `Revision ${number}, ${at}, by ${actor}: ${summary}`,
    ...changes.flatMap(({ noun, name, kind, fields }) => [
      `${[noun, name].filter((part) => part !== '').join(' ')} ${kind}`,
      ...fields.map((field) => `  ${field.path}: ${text(field.before)} -> ${text(field.after)}`),
    ]),
  ].join('\n');
}

function waiting(one: (Waiting & { readonly summary: string; readonly by: string }) | null): string {
  if (one === null) return 'Nothing waits to be confirmed.';
  return `“${one.summary}” by ${one.by} is undone in ${show.duration(one.secondsLeft)} unless it is confirmed.`;
}
