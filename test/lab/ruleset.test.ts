// The ruleset in the real kernel: random configurations load, random damage is repaired, foreign tables stay as they are.
import { execFile, execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const namespace = `rst-${process.pid}`;
const program = fileURLToPath(new URL('./ruleset-inside.ts', import.meta.url));

beforeAll(() => {
  execFileSync('ip', ['netns', 'add', namespace]);
});

afterAll(() => {
  execFileSync('ip', ['netns', 'del', namespace]);
});

describe('the ruleset in the kernel', () => {
  it('is reached from whatever was there, rests, and leaves other tables alone', async () => {
    const seed = process.env['SEED'] ?? String(Date.now() % 1_000_000);
    const runs = process.env['RUNS'] ?? '60';
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', program, seed, runs];
    const { stdout } = await promisify(execFile)('ip', ['netns', 'exec', namespace, ...node]);
    const result = JSON.parse(stdout) as { runs: number; damaged: number; failures: readonly string[] };
    expect(result.failures, `SEED=${seed}`).toEqual([]);
    expect(result.runs).toBe(Number(runs));
    expect(result.damaged).toBeGreaterThan(Number(runs) / 4);
  });
});
