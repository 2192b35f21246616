// `apn audit`: who did what, and what happened by itself; `apn metrics`.
import { type Arguments, fields } from './arguments.ts';
import { type Command, command, get } from './command.ts';
import * as show from './show.ts';

const filters = { '--kind': 'kind', '--member': 'member' };
const columns = ['at', 'actor', 'event', 'details'];

export const auditCommands: readonly Command[] = [
  command(
    'audit ls',
    '[--kind act|lease|handshake|denied] [--member NAME] [--limit N] [--before ID]',
    'who did what, the newest first',
    (args) => get(query('/audit', args, { ...filters, '--limit': 'limit', '--before': 'before' })),
    show.table(columns),
    ['--kind', '--member', '--limit', '--before'],
  ),
  command(
    'audit export',
    '[--kind act|lease|handshake|denied] [--member NAME]',
    'all of it as JSON lines, the oldest first',
    (args) => get(query('/audit/export', args, filters)),
    asItIs,
    ['--kind', '--member'],
  ),
  command('metrics', '', 'figures of the hub, for Prometheus', () => get('/metrics'), asItIs),
];

function query(path: string, args: Arguments, names: Readonly<Record<string, string>>): string {
  const asked = new URLSearchParams(fields(args, names)).toString();
  return asked === '' ? path : `${path}?${asked}`;
}

/** Lines, not JSON: they are passed on. */
function asItIs(text: string | null): string {
  return (text ?? '').trimEnd();
}
