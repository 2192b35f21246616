// What a disk that cannot be written still gives: a copy of the database elsewhere, to go on with what is configured.
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** SQLite makes a shared-memory file of 32 KiB beside the database before it reads anything. */
const enough = 64 * 1024;

/** Why nothing can be written there, or null. A full or worn-out disk tells only when something is written. */
export function writeProblem(folder: string): unknown {
  const probe = join(folder, `.probe.${process.pid}`);
  try {
    writeFileSync(probe, Buffer.alloc(enough));
    return null;
  } catch (error) {
    return error;
  } finally {
    try {
      rmSync(probe, { force: true });
    } catch {
      // It could not be made either.
    }
  }
}

/** Copies the database with what its journal holds; the new file's path. */
export function copyDatabase(file: string, scratch: string): string {
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(scratch, { recursive: true, mode: 0o700 });
  const copy = join(scratch, basename(file));
  for (const suffix of ['', '-wal']) if (existsSync(file + suffix)) copyFileSync(file + suffix, copy + suffix);
  return copy;
}
