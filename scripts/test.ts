// Runs the rings one after the other and prints one total over all of them.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Total {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

interface Ring {
  readonly name: string;
  readonly what: string;
  /** The command; a folder is there for the results. */
  readonly command: (out: string) => readonly string[];
  /** Whether it writes vitest's JSON into the folder; else it counts as one test. */
  readonly counts: boolean;
}

const root = join(import.meta.dirname, '..');
const bin = (name: string) => join(root, 'node_modules', '.bin', name);
const reporters = ['--reporter=default', '--reporter=json'];
const vitest = (project: string, out: string) => [
  bin('vitest'),
  'run',
  `--project=${project}`,
  ...reporters,
  `--outputFile.json=${out}/results.json`,
];

const rings: readonly Ring[] = [
  { name: 'build', what: 'bundles the programs', command: () => [bin('node'), 'scripts/build.ts'], counts: false },
  {
    name: 'lint',
    what: 'Biome over every file',
    command: () => [bin('biome'), 'check', '--error-on-warnings', '.'],
    counts: false,
  },
  {
    name: 'types',
    what: 'TypeScript, the programs',
    command: () => [bin('tsc'), '--noEmit', '-p', '.'],
    counts: false,
  },
  {
    name: 'types-app',
    what: 'TypeScript, the page',
    command: () => [bin('tsc'), '--noEmit', '-p', 'src/webui/app'],
    counts: false,
  },
  {
    name: 'unit',
    what: 'ring 1: needs nothing',
    command: (out) => [...vitest('unit', out), '--coverage'],
    counts: true,
  },
  {
    name: 'lab',
    what: 'ring 2: real clients in network namespaces',
    command: (out) => vitest('lab', out),
    counts: true,
  },
  {
    name: 'kernel',
    what: "ring 3: ring 2 again in a virtual machine, on the kernel's own WireGuard",
    // The folder for results is the only one the guest can write to. What the programs do
    // among themselves, whatever the kernel, and the lab's tests of itself are no part of this ring.
    command: (out) => [
      ...[bin('node'), 'test/kernel/vm.ts', '--timeout', '38m', '--out', out, '--'],
      ...[bin('node'), '--single-threaded', join(root, 'node_modules/vitest/vitest.mjs')],
      ...[...vitest('lab', out).slice(1), '--exclude=test/lab/self/**', '--exclude=test/lab/control/**'],
    ],
    counts: true,
  },
];

function run(command: readonly string[]): Promise<number> {
  const [program = '', ...args] = command;
  return new Promise((resolve, reject) => {
    const path = `${join(root, 'node_modules', '.bin')}:${process.env['PATH']}`;
    const child = spawn(program, args, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, PATH: path },
    });
    child.once('error', reject);
    child.once('close', (status) => resolve(status ?? 1));
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => child.kill(signal));
  });
}

/** What vitest counted. A run that failed without a failed test (nothing was collected, a crash) counts as one failure. */
function read(file: string, status: number): Total {
  let total: Total;
  try {
    const results = JSON.parse(readFileSync(file, 'utf8')) as Record<string, number>;
    const { numPassedTests = 0, numFailedTests = 0, numPendingTests = 0, numTodoTests = 0 } = results;
    total = { passed: numPassedTests, failed: numFailedTests, skipped: numPendingTests + numTodoTests };
  } catch {
    total = { passed: 0, failed: 0, skipped: 0 };
  }
  const broken = (status !== 0 || total.passed === 0) && total.failed === 0;
  return broken ? { ...total, failed: 1 } : total;
}

function line({ passed, failed, skipped }: Total): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !rings.some((ring) => ring.name === name));
if (unknown !== undefined) {
  process.stderr.write(`test: there is no ring “${unknown}”; there are ${rings.map(({ name }) => name).join(', ')}\n`);
  process.exit(2);
}
const chosen = rings.filter(({ name }) => asked.length === 0 || asked.includes(name) || name === 'build');
const folder = mkdtempSync(join(tmpdir(), 'apn-test-'));
const totals: { ring: Ring; total: Total; seconds: number }[] = [];
try {
  for (const ring of chosen) {
    process.stdout.write(`\n== ${ring.name}: ${ring.what}\n`);
    const out = join(folder, ring.name);
    mkdirSync(out);
    const started = performance.now();
    let status = await run(ring.command(out));
    // Both tries together stay far below the time that CI gives.
    const early = performance.now() - started < 15 * 60_000;
    if (ring.name === 'kernel' && status !== 0 && early && !existsSync(join(out, 'results.json'))) {
      process.stdout.write('\nThe virtual machine ended without a result; once more.\n');
      status = await run(ring.command(out));
    }
    const one: Total = { passed: status === 0 ? 1 : 0, failed: status === 0 ? 0 : 1, skipped: 0 };
    const total = ring.counts ? read(join(out, 'results.json'), status) : one;
    totals.push({ ring, total, seconds: (performance.now() - started) / 1000 });
    if (ring.name === 'build' && total.failed > 0) break;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write('\n');
for (const { ring, total, seconds } of totals) {
  process.stdout.write(`${ring.name.padEnd(10)} ${line(total).padEnd(34)} ${seconds.toFixed(0).padStart(4)} s\n`);
}
const sum = (field: keyof Total) => totals.reduce((count, { total }) => count + total[field], 0);
const whole = { passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') };
// The total stands alone on its line: programs read it.
process.stdout.write(`\n${line(whole)}\n`);
process.exitCode = whole.failed > 0 ? 1 : 0;
