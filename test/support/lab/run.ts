// Runs programs with argument arrays, and waits for conditions with a deadline.
import { spawn } from 'node:child_process';

export interface Result {
  /** Exit status; 124 when the deadline passed, 128 + n when signal n ended it. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  /** Milliseconds; an emulated machine gets more. */
  readonly timeout?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** The emulated machine of the kernel tests is several times slower than the one it runs on. */
export const SLOWNESS = process.env.VM === '1' ? 6 : 1;

const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGKILL: 9,
  SIGPIPE: 13,
  SIGTERM: 15,
};

export function statusOf(code: number | null, signal: string | null): number {
  return code ?? 128 + (SIGNALS[signal ?? ''] ?? 0);
}

/** Runs a program to its end. Never throws on its status; only a program that cannot be started is an error. */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<Result> {
  const [program = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let late = false;
    const deadline = setTimeout(
      () => {
        late = true;
        child.kill('SIGKILL');
        // A grandchild may keep the pipes open: they must not keep us.
        child.stdout.destroy();
        child.stderr.destroy();
      },
      (options.timeout ?? 30_000) * SLOWNESS,
    );
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.on('error', reject);
    // A program may end without reading its input.
    child.stdin.on('error', () => {});
    child.stdin.end(options.input);
    child.on('close', (code, signal) => {
      clearTimeout(deadline);
      resolve({
        status: late ? 124 : statusOf(code, signal),
        stdout: Buffer.concat(stdout).toString(),
        stderr: Buffer.concat(stderr).toString(),
      });
    });
  });
}

/** Runs a program that has to succeed; its standard output. */
export async function must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await run(argv, options);
  if (result.status !== 0) {
    throw new Error(`${argv.join(' ')}: status ${result.status}\n${result.stderr}${result.stdout}`.trimEnd());
  }
  return result.stdout;
}

export interface PollOptions {
  /** Milliseconds until it is an error; an emulated machine gets more. */
  readonly within?: number;
  readonly every?: number;
  /** Ends the sentence "waited N ms for …". */
  readonly what?: string;
}

/** The first truthy answer of `question`. An error it throws counts as "not yet" and is told at the deadline. */
export async function poll<T>(
  question: () => T | Promise<T>,
  options: PollOptions = {},
): Promise<Exclude<T, false | 0 | '' | null | undefined>> {
  const within = (options.within ?? 10_000) * SLOWNESS;
  const start = performance.now();
  let last: unknown;
  for (;;) {
    try {
      const answer = await question();
      if (answer) return answer as Exclude<T, false | 0 | '' | null | undefined>;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() - start > within) {
      const why = last instanceof Error ? `: ${last.message}` : '';
      throw new Error(`waited ${Math.round(within)} ms for ${options.what ?? question.toString()}${why}`, {
        cause: last,
      });
    }
    await new Promise((resolve) => setTimeout(resolve, options.every ?? 50));
  }
}
