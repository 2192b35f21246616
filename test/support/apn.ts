// The `apn` program as people run it: bundled once for a test file, started for each command.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { afterAll, beforeAll } from 'vitest';

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Apn {
  run(socket: string, args: readonly string[], input?: string): Promise<Ended>;
}

/** One file, since starting is most of the time. */
export function bundledApn(): Apn {
  const folder = mkdtempSync(join(tmpdir(), 'apn-test-'));
  const program = join(folder, 'apn.mjs');
  beforeAll(() => {
    const entryPoints = [join(import.meta.dirname, '../../src/router/cli/main.ts')];
    buildSync({ entryPoints, outfile: program, bundle: true, platform: 'node', format: 'esm', target: 'node26' });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return { run: (socket, args, input = '') => run(program, socket, args, input) };
}

function run(program: string, socket: string, args: readonly string[], input: string): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, APN_SOCKET: socket, NODE_NO_WARNINGS: '1' };
    const child = spawn(process.execPath, [program, ...args], { env, stdio: ['pipe', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, stdout, stderr }));
    // A program that does not read its input may be gone before it is written.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}
