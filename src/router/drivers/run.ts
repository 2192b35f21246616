// Runs a program with an argument array and text on its standard input. No shell anywhere.
import { type SpawnOptions, spawn } from 'node:child_process';

export class ProgramFailed extends Error {
  override readonly name = 'ProgramFailed';
}

/** @throws ProgramFailed with what the program wrote to its standard error; ENOENT when there is no such program. */
export function run(
  program: string,
  args: readonly string[],
  input = '',
  timeout = 30_000,
  as: Pick<SpawnOptions, 'uid' | 'gid' | 'env' | 'cwd'> = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { ...as, stdio: ['pipe', 'pipe', 'pipe'], timeout });
    let output = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    child.once('error', reject);
    // A program that ends before it has read everything closes the pipe; its exit status tells the story.
    child.stdin.on('error', () => {});
    child.once('close', (status, signal) => {
      if (status === 0) resolve(output);
      else reject(new ProgramFailed(`${program} ${signal ?? `exit ${status}`}: ${errors.trim().slice(0, 2000)}`));
    });
    child.stdin.end(input);
  });
}
