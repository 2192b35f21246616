// The `apn` command: a client of the control API for people and scripts.
import { createInterface } from 'node:readline';
import { InvalidInput } from '../../model/errors.ts';
import { type Arguments, one, parseArguments } from './arguments.ts';
import { call, follow } from './client.ts';
import type { Call, Command } from './command.ts';
import { commands } from './commands.ts';

/** 0: done and in the kernel. */
const exitCodes = { other: 1, invalid: 2, conflict: 3, notFound: 4, notApplied: 5 } as const;

interface Failure {
  readonly code: number;
  readonly path: string;
  readonly message: string;
}

/** Both when it was saved and is not in the kernel yet: the answer may hold what is shown only once. */
interface Outcome {
  readonly done?: { readonly answer: unknown; readonly text: string };
  readonly failure?: Failure;
}

const usage = [
  'apn [--json] COMMAND …',
  '',
  ...commands.map(({ name, usage: rest, help }) => `  apn ${name}${rest === '' ? '' : ` ${rest}`}\n      ${help}`),
  '  apn events\n      follow what changes',
  '  apn batch\n      read commands from standard input, one a line; one JSON answer a line',
  '',
  '`ls` may be left out. With --json the answer is JSON, and so is an error on standard error.',
  'Exit status: 0 done and in the kernel, 2 invalid, 3 conflict, 4 not found, 5 saved but not applied yet, 1 other.',
  '',
].join('\n');

function findCommand({ words }: Arguments): { command: Command; used: number } | null {
  const [first = '', second = ''] = words;
  const aliases = [`${first} ${second}`, first, `${first} ls`, `${first} show`].map((name) => name.trim());
  for (const name of aliases) {
    const command = commands.find((each) => each.name === name);
    if (command !== undefined && (name === `${first} ${second}` || name === first || words.length === 1)) {
      return { command, used: name === `${first} ${second}` ? 2 : 1 };
    }
  }
  return null;
}

async function execute(line: readonly string[], socketPath: string): Promise<Outcome> {
  try {
    const args = parseArguments(line);
    const found = findCommand(args);
    if (found === null)
      return fail(exitCodes.invalid, '', `There is no command “${args.words.join(' ')}”; apn --help lists them.`);
    const { command, used } = found;
    const strange = [...args.options.keys()].find(
      (name) => name !== '--json' && name !== '--socket' && !command.options.includes(name),
    );
    if (strange !== undefined) return fail(exitCodes.invalid, strange, `apn ${command.name} has no option ${strange}.`);
    const surplus = args.words[used + mostWords(command)];
    if (surplus !== undefined) return fail(exitCodes.invalid, '', `apn ${command.name} takes no “${surplus}”.`);
    const request = command.request({ words: args.words.slice(used), options: args.options });
    const asked = request.ask === undefined ? request.body : { ...(request.body ?? {}), ...(await request.ask()) };
    const { status, body, applied } = await call(socketPath, request.method, request.path, asked);
    if (status >= 400) {
      const { path, message } = (body as { error: { path: string; message: string } }).error;
      const codes: Readonly<Record<number, number>> = {
        400: exitCodes.invalid,
        404: exitCodes.notFound,
        409: exitCodes.conflict,
      };
      return fail(codes[status] ?? exitCodes.other, path, message);
    }
    const again: Call = (method, path) => call(socketPath, method, path);
    const finished = request.finish?.(body as never) ?? body;
    const answer = (await request.settle?.(finished as never, again)) ?? finished;
    const done = { answer, text: command.show(answer as never) };
    if (applied !== false) return { done };
    return { done, ...fail(exitCodes.notApplied, '', 'Saved, but not in the kernel yet: see apn status.') };
  } catch (error) {
    if (error instanceof InvalidInput) return fail(exitCodes.invalid, error.path, error.message);
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ECONNREFUSED')
      return fail(exitCodes.other, '', `The router does not run (no answer at ${socketPath}).`);
    return fail(exitCodes.other, '', (error as Error).message);
  }
}

function fail(code: number, path: string, message: string): { readonly failure: Failure } {
  return { failure: { code, path, message } };
}

/** How many words its usage names besides options: `LABEL [--range PREFIX]` one, `SRC DST [PORT]` three. */
export function mostWords({ usage: text }: Pick<Command, 'usage'>): number {
  const plain = text.replace(/\[?--[^ \]]+ [^ ]+/g, '').split(' | ')[0] ?? '';
  return plain.split(' ').filter((part) => /^\[?[A-Z]/.test(part)).length;
}

/** Words of a batch line: split at spaces, double quotes keep them. */
function split(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2] ?? '');
}

async function batch(socketPath: string): Promise<number> {
  let worst = 0;
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim() === '') continue;
    const { done, failure } = await execute(split(line), socketPath);
    if (failure !== undefined) worst = failure.code;
    process.stdout.write(
      `${JSON.stringify(failure === undefined ? done?.answer : { error: failure, answer: done?.answer })}\n`,
    );
  }
  return worst;
}

async function main(): Promise<number> {
  const line = process.argv.slice(2);
  const args = parseArguments(line);
  const socketPath = one(args, '--socket') ?? process.env['APN_SOCKET'] ?? '/run/apn/control.sock';
  const [first] = args.words;
  if (first === undefined || first === 'help' || args.options.has('--help')) {
    process.stdout.write(usage);
    return first === undefined && !args.options.has('--help') ? exitCodes.invalid : 0;
  }
  if (first === 'batch') return batch(socketPath);
  if (first === 'events') {
    await follow(socketPath, '/events', (text) => process.stdout.write(text));
    return 0;
  }
  const json = args.options.has('--json');
  const { done, failure } = await execute(line, socketPath);
  if (done !== undefined)
    process.stdout.write(
      `${json && typeof done.answer !== 'string' ? JSON.stringify(done.answer, null, 2) : done.text}\n`,
    );
  return failure === undefined ? 0 : tell(failure, json);
}

function tell({ code, path, message }: Failure, json: boolean): number {
  const people = path === '' ? message : `${path}: ${message}`;
  process.stderr.write(json ? `${JSON.stringify({ error: { path, message } })}\n` : `apn: ${people}\n`);
  return code;
}

process.exitCode = await main().catch((error: Error) => {
  const [code, path] = error instanceof InvalidInput ? [exitCodes.invalid, error.path] : [exitCodes.other, ''];
  return tell({ code, path, message: error.message }, process.argv.includes('--json'));
});
