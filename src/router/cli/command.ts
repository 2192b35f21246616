// What a command is, and the usual kinds of them.
import { type Arguments, word } from './arguments.ts';
import type { Answer } from './client.ts';
import * as show from './show.ts';

/** Another request to the same router. */
export type Call = (method: string, path: string) => Promise<Answer>;

export interface Request {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  /** More of the body: what a person is asked for. */
  readonly ask?: () => Promise<Readonly<Record<string, unknown>>>;
  /** Puts into the answer what the command alone knows: a private key that it made. */
  readonly finish?: (answer: never) => unknown;
  /** Waits for what comes after the answer. */
  readonly settle?: (answer: never, call: Call) => Promise<unknown>;
}

export interface Command {
  /** Two words at most: `lease add`, `status`. */
  readonly name: string;
  readonly usage: string;
  readonly help: string;
  /** Options besides --json; others are refused. */
  readonly options: readonly string[];
  readonly request: (args: Arguments) => Request;
  /** The answer for people. */
  readonly show: (answer: never) => string;
}

/** @param options besides --json; others are refused. */
export function command<T>(
  name: string,
  usage: string,
  help: string,
  request: (args: Arguments) => Request,
  showAnswer: (answer: T) => string,
  options: readonly string[] = [],
): Command {
  return { name, usage, help, options, request, show: showAnswer as Command['show'] };
}

export const get = (path: string): Request => ({ method: 'GET', path });
export const path = (...parts: readonly string[]) => `/${parts.map(encodeURIComponent).join('/')}`;
export const list = (
  name: string,
  usage: string,
  help: string,
  where: string,
  columns: show.Columns,
  options: readonly string[] = [],
) =>
  command(
    name,
    usage,
    help,
    (args) => get(where + (args.options.has('--all') ? '?all=yes' : '')),
    show.table(columns),
    options,
  );
export const remove = (name: string, what: string, where: string) =>
  command(
    `${name} rm`,
    what,
    `remove ${what.toLowerCase()}`,
    (args) => ({ method: 'DELETE', path: path(where, word(args, 0, what)) }),
    () => 'Removed.',
  );
