// Opens the database file and brings it to the newest schema, keeping a copy of what was there before.
import { existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { StoreUnavailable } from './errors.ts';
import { migrations } from './schema.ts';

/**
 * @throws StoreUnavailable when the file is not a sound database, or belongs to a newer release. The file is left as it is.
 */
export function openDatabase(file: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { timeout: 5000 });
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON');
    const sound = database.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
    if (sound !== 'ok') throw new Error(String(sound));
    migrate(database, file);
    return database;
  } catch (error) {
    database?.close();
    throw error instanceof StoreUnavailable ? error : unreadable(error);
  }
}

export function unreadable(cause: unknown): StoreUnavailable {
  return new StoreUnavailable('store-unreadable', 'The configuration database cannot be read.', {
    remedy: 'Restore a backup, or put back the copy beside it; the file was left as it is.',
    cause,
  });
}

function migrate(database: DatabaseSync, file: string): void {
  const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
  if (version > migrations.length) {
    throw new StoreUnavailable('store-newer', 'The configuration was written by a newer release.', {
      remedy: 'Install that release again, or put back the copy it made before it changed the database.',
    });
  }
  if (version === migrations.length) return;
  const copy = `${file}.version-${version}`;
  if (version > 0 && !existsSync(copy)) database.prepare('VACUUM INTO ?').run(copy);
  for (const [from, sql] of migrations.entries()) {
    if (from < version) continue;
    database.exec(`BEGIN IMMEDIATE; ${sql}; PRAGMA user_version = ${from + 1}; COMMIT`);
  }
}
