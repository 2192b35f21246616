// Power cuts, imitated by kill -9 at random moments: the last answered save is there, and never half of one.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { openStore, temporaryFolder } from '../support/store.ts';

const kills = 100;

interface Cut {
  readonly answered: number;
}

/** One file, since starting is most of the time. */
function bundledSaver(): string {
  const outfile = join(temporaryFolder(), 'saver.mjs');
  const entryPoints = [join(import.meta.dirname, 'saver.ts')];
  buildSync({ entryPoints, outfile, bundle: true, platform: 'node', format: 'esm', target: 'node26', minify: true });
  return outfile;
}

function startSaver(program: string, folder: string): ChildProcess {
  return spawn(process.execPath, [program, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** Lets the program save for a while and kills it. */
async function cut(child: ChildProcess, milliseconds: number): Promise<Cut> {
  let text = '';
  const started = Promise.withResolvers<void>();
  child.stdout?.setEncoding('utf8').on('data', (part: string) => {
    text += part;
    started.resolve();
  });
  const ended = once(child, 'close');
  await Promise.race([started.promise, ended]);
  const busyUntil = performance.now() + milliseconds;
  while (performance.now() < busyUntil) await new Promise((resolve) => setImmediate(resolve));
  child.kill('SIGKILL');
  await ended;
  // A line that was cut in the middle was not an answer.
  const lines = text
    .slice(0, text.lastIndexOf('\n') + 1)
    .trim()
    .split('\n');
  return { answered: Number(lines.at(-1)) };
}

describe('a power cut', () => {
  it(`${kills} times at random moments: the last answered save is there, nothing is half`, async () => {
    const folders = [temporaryFolder(), temporaryFolder(), temporaryFolder()];
    // The next program starts while this one is judged: starting is most of the time.
    const program = bundledSaver();
    const children = folders.map((folder) => startSaver(program, folder));
    let total = 0;
    for (let n = 0; n < kills; n++) {
      const which = n % folders.length;
      const folder = folders[which] ?? '';
      const { answered } = await cut(children[which] as ChildProcess, Math.random() * 30);
      const store = openStore(folder);
      const { revision, config, presharedKeys, leases, damaged } = store.snapshot;
      store.close();
      expect([answered, answered + 1]).toContain(revision);
      expect(damaged).toEqual([]);
      expect(config.applications.map(({ range }) => range)).toEqual([`172.16.${10 + (revision % 200)}.0/24`]);
      expect(config.servers.map(({ id }) => id)).toEqual([`web${revision}x`]);
      expect([...presharedKeys].map(([id, key]) => [id, key.reveal()[0]])).toEqual([
        [`psk${revision}x`, 1 + (revision % 200)],
      ]);
      expect(leases.map(({ id, remaining }) => [id, remaining])).toEqual([[`lease${revision}`, revision]]);
      total = Math.max(total, revision);
      if (n + folders.length < kills) children[which] = startSaver(program, folder);
    }
    expect(total).toBeGreaterThan(kills);
  }, 120_000);
});
