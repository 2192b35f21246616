// Opening the database: fresh, of an older release, of a newer one, damaged, and the copy kept before a change.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { StoreUnavailable } from '../../src/router/store/errors.ts';
import { temporaryFolder } from '../support/store.ts';

const real = await vi.importActual<typeof import('../../src/router/store/schema.ts')>(
  '../../src/router/store/schema.ts',
);

async function opener(migrations: readonly string[]) {
  vi.resetModules();
  vi.doMock('../../src/router/store/schema.ts', () => ({ migrations }));
  return (await import('../../src/router/store/migrate.ts')).openDatabase;
}

afterEach(() => {
  vi.doUnmock('../../src/router/store/schema.ts');
  vi.resetModules();
});

const version = (database: DatabaseSync) => Number(database.prepare('PRAGMA user_version').get()?.['user_version']);

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    // Another copy of the module made it: its class is another one.
    expect(error).toHaveProperty('name', 'StoreUnavailable');
    return (error as StoreUnavailable).code;
  }
  throw new Error('nothing was thrown');
}

describe('openDatabase', () => {
  it('makes a database of the newest schema that survives a power cut', async () => {
    const open = await opener(real.migrations);
    const database = open(join(temporaryFolder(), 'router.db'));
    expect(version(database)).toBe(real.migrations.length);
    expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
    expect(database.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 2 });
    database.close();
  });

  it('keeps a copy of what was there, then brings it up to date', async () => {
    const file = join(temporaryFolder(), 'router.db');
    const old = (await opener(real.migrations))(file);
    old.exec(`INSERT INTO object VALUES ('applications', 'shop', '{}')`);
    old.close();
    const open = await opener([...real.migrations, 'ALTER TABLE object ADD COLUMN more TEXT']);
    const database = open(file);
    expect(version(database)).toBe(real.migrations.length + 1);
    expect(database.prepare('SELECT noun, id, more FROM object').all()).toEqual([
      { noun: 'applications', id: 'shop', more: null },
    ]);
    database.close();
    const copy = new DatabaseSync(`${file}.version-${real.migrations.length}`, { readOnly: true });
    expect(version(copy)).toBe(real.migrations.length);
    expect(copy.prepare('SELECT * FROM object').all()).toEqual([{ noun: 'applications', id: 'shop', body: '{}' }]);
    copy.close();
  });

  it('makes no copy when there is nothing to change', async () => {
    const file = join(temporaryFolder(), 'router.db');
    for (let i = 0; i < 2; i++) (await opener(real.migrations))(file).close();
    expect(existsSync(`${file}.version-${real.migrations.length}`)).toBe(false);
    expect(existsSync(`${file}.version-0`)).toBe(false);
  });

  it('leaves everything at the last good version when a migration fails, and can go on later', async () => {
    const file = join(temporaryFolder(), 'router.db');
    (await opener(real.migrations))(file).close();
    const good = 'CREATE TABLE extra (a TEXT)';
    const broken = await opener([...real.migrations, good, 'CREATE TABLE half (a TEXT); NONSENSE']);
    expect(codeOf(() => broken(file))).toBe('store-unreadable');
    const repaired = (await opener([...real.migrations, good, 'CREATE TABLE half (a TEXT)']))(file);
    expect(version(repaired)).toBe(real.migrations.length + 2);
    repaired.close();
  });

  it('refuses a database of a newer release and leaves it as it is', async () => {
    const file = join(temporaryFolder(), 'router.db');
    (await opener([...real.migrations, 'CREATE TABLE later (a TEXT)']))(file).close();
    const before = readFileSync(file);
    const open = await opener(real.migrations);
    expect(codeOf(() => open(file))).toBe('store-newer');
    expect(readFileSync(file)).toEqual(before);
  });

  it.each([
    ['text', Buffer.from('This is not a database, it is a text of more than a hundred bytes.'.repeat(20))],
    ['noise', Buffer.alloc(8192, 0xa5)],
    ['the header of a database and noise', Buffer.concat([Buffer.from('SQLite format 3\0'), Buffer.alloc(8192, 7)])],
  ])('refuses %s and leaves it as it is', async (_, content) => {
    const file = join(temporaryFolder(), 'router.db');
    writeFileSync(file, content);
    const open = await opener(real.migrations);
    expect(codeOf(() => open(file))).toBe('store-unreadable');
    expect(readFileSync(file)).toEqual(content);
  });

  it('notices a page that was overwritten', async () => {
    const file = join(temporaryFolder(), 'router.db');
    const database = (await opener(real.migrations))(file);
    const insert = database.prepare('INSERT INTO object VALUES (?, ?, ?)');
    for (let i = 0; i < 200; i++) insert.run('rules', `rule${i}`, 'x'.repeat(200));
    database.close();
    const bytes = readFileSync(file);
    bytes.fill(0xff, 4096, 4096 * 3);
    writeFileSync(file, bytes);
    const open = await opener(real.migrations);
    expect(codeOf(() => open(file))).toBe('store-unreadable');
    expect(readFileSync(file)).toEqual(bytes);
  });
});
