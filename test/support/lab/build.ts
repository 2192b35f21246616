// Builds the programs when a source is newer than what was built.
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { withLock } from './lock.ts';
import { DIST, LAB_FOLDER, REPOSITORY } from './place.ts';
import { must } from './run.ts';

const PROGRAMS = ['router.js', 'dns.js', 'webui.js', 'apn.js'];
const SOURCES = ['src', 'scripts/build.ts', 'package-lock.json'];

function newest(path: string): number {
  const info = statSync(path);
  if (!info.isDirectory()) return info.mtimeMs;
  return readdirSync(path).reduce((latest, entry) => Math.max(latest, newest(join(path, entry))), info.mtimeMs);
}

/** Missing, or older than the newest source; a built program that sources do not reach is nobody's business here. */
function stale(): boolean {
  const built = PROGRAMS.map((program) => join(DIST, program));
  if (!built.every((path) => existsSync(path))) return true;
  const oldest = Math.min(...built.map((path) => statSync(path).mtimeMs));
  return SOURCES.some((source) => newest(join(REPOSITORY, source)) > oldest);
}

export async function build(): Promise<void> {
  if (!stale()) return;
  mkdirSync(LAB_FOLDER, { recursive: true });
  // Two labs that start together share one build.
  await withLock(LAB_FOLDER, async () => {
    if (stale()) await must([process.execPath, join(REPOSITORY, 'scripts/build.ts')], { timeout: 120_000 });
  });
}
