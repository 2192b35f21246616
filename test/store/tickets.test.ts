// Tickets: shown once, looked up by a keyed hash, used once, and worthless when a row was changed or moved.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it } from 'vitest';
import { Conflict } from '../../src/model/errors.ts';
import type { Store } from '../../src/router/store/store.ts';
import { console_, withMember } from '../support/saving.ts';
import { openStore, temporaryFolder } from '../support/store.ts';

const hour = 3600_000;

function issued(store: Store, now: number, id = 'one', owner = 'anna'): string {
  return store.tickets.issue('session', { id, owner, body: { at: now }, expiresAt: now + hour });
}

function tamper(folder: string, sql: string): void {
  const database = new DatabaseSync(join(folder, 'router.db'));
  database.exec(sql);
  database.close();
}

describe('a ticket', () => {
  it('is found by its text, by nothing else, and until it ends', () => {
    let now = 1000;
    const store = openStore(temporaryFolder(), () => now);
    const text = issued(store, now);
    expect(text).toMatch(/^apn_session_[\w-]{43}$/);
    expect(store.tickets.find('session', text)).toEqual({
      ...{ id: 'one', kind: 'session', owner: 'anna', body: { at: 1000 } },
      ...{ createdAt: 1000, expiresAt: 1000 + hour },
    });
    expect(store.tickets.find('token', text)).toBeNull();
    expect(store.tickets.find('session', `${text.slice(0, -1)}!`)).toBeNull();
    now = 1000 + hour;
    expect(store.tickets.find('session', text)).toBeNull();
    expect(store.tickets.list('session')).toEqual([]);
  });

  it('is nowhere on the disk as text', () => {
    const folder = temporaryFolder();
    const store = openStore(folder, () => 1000);
    const text = issued(store, 1000);
    store.close();
    const bytes = readFileSync(join(folder, 'router.db'));
    expect(bytes.includes(text.slice('apn_session_'.length))).toBe(false);
    expect(bytes.includes(Buffer.from(text.slice('apn_session_'.length), 'base64url'))).toBe(false);
    expect(openStore(folder, () => 1000).tickets.find('session', text)?.owner).toBe('anna');
  });

  it('works once when it is consumed', () => {
    const store = openStore(temporaryFolder(), () => 1000);
    const text = issued(store, 1000);
    const uses = Array.from({ length: 50 }, () => store.tickets.consume('session', text));
    expect(uses.filter((use) => use !== null)).toHaveLength(1);
    expect(store.tickets.find('session', text)).toBeNull();
  });

  it('is spent with what is saved, or not at all', () => {
    const store = openStore(temporaryFolder(), () => 1000);
    const text = issued(store, 1000);
    const ticket = store.tickets.find('session', text)!;
    const spend = (fail: boolean) =>
      store.save(console_, (transaction) => {
        transaction.put(withMember(transaction.config, fail ? 'Bad id' : 'anna'));
        transaction.spend(ticket);
      });
    expect(() => spend(true)).toThrow('not an id');
    expect(store.tickets.find('session', text)).not.toBeNull();
    spend(false);
    expect(store.tickets.find('session', text)).toBeNull();
    const before = store.snapshot;
    expect(() => store.save(console_, (transaction) => transaction.spend(ticket))).toThrow(Conflict);
    expect(store.snapshot).toBe(before);
  });

  it('is prolonged, ended, and ended with all of its owner', () => {
    const store = openStore(temporaryFolder(), () => 1000);
    const [one, two, other] = [issued(store, 1000, 'one'), issued(store, 1000, 'two'), issued(store, 1000, 'x', 'ben')];
    store.tickets.change(store.tickets.find('session', one)!, { at: 2 }, 5 * hour);
    expect(store.tickets.find('session', one)).toMatchObject({ body: { at: 2 }, expiresAt: 5 * hour });
    expect(store.tickets.list('session', 'anna').map(({ id }) => id)).toEqual(['one', 'two']);
    store.tickets.endAll('anna', 'session', 'two');
    expect([one, two, other].map((text) => store.tickets.find('session', text)?.id)).toEqual([undefined, 'two', 'x']);
    expect(store.tickets.end('session', 'two')).toBe(true);
    expect(store.tickets.end('session', 'two')).toBe(false);
  });

  it.each([
    ['another owner', "UPDATE ticket SET owner = 'ben'"],
    ['another use', "UPDATE ticket SET kind = 'token'"],
    ['a flipped byte', "UPDATE ticket SET sealed = CAST('x' || substr(CAST(sealed AS BLOB), 2) AS BLOB)"],
    ['the hash of another', 'UPDATE ticket SET lookup = zeroblob(32)'],
  ])('counts as none with %s', (_, sql) => {
    const folder = temporaryFolder();
    const store = openStore(folder, () => 1000);
    const text = issued(store, 1000);
    store.close();
    tamper(folder, sql);
    const again = openStore(folder, () => 1000);
    expect(again.tickets.find('session', text)).toBeNull();
    expect(again.tickets.find('token', text)).toBeNull();
  });
});

describe('the sessions of a member', () => {
  it('end with a change of rights and with the member, not with another change', () => {
    const store = openStore(temporaryFolder(), () => 1000);
    const put = (change: (config: Store['snapshot']['config']) => Store['snapshot']['config']) =>
      store.save(console_, (transaction) => transaction.put(change(transaction.config)));
    put((config) => withMember(withMember(config, 'owner'), 'anna', 'developer'));
    const changed = (fields: object) =>
      put((config) => ({
        ...config,
        members: config.members.map((one) => (one.id === 'anna' ? { ...one, ...fields } : one)),
      }));
    const text = issued(store, 1000);
    const token = store.tickets.issue('token', { id: 'tok', owner: 'anna', body: {}, expiresAt: hour * 2 });
    changed({ name: 'Anna Lee' });
    expect(store.tickets.find('session', text)).not.toBeNull();
    changed({ role: 'viewer' });
    expect(store.tickets.find('session', text)).toBeNull();
    expect(store.tickets.find('token', token)).not.toBeNull();
    put((config) => ({ ...config, members: config.members.filter(({ id }) => id !== 'anna') }));
    expect(store.tickets.find('token', token)).toBeNull();
  });
});

describe('a sealed value', () => {
  it('is read back, and refused when its row was changed', () => {
    const folder = temporaryFolder();
    const store = openStore(folder, () => 1000);
    store.save(console_, (transaction) => {
      transaction.putSecret('anna', 'credentials', Buffer.from('one'));
      transaction.putSecret('ben', 'credentials', Buffer.from('two'));
    });
    expect(Buffer.from(store.secret('anna', 'credentials') ?? []).toString()).toBe('one');
    expect(store.secret('anna', 'other')).toBeNull();
    store.close();
    tamper(folder, "UPDATE secret SET sealed = (SELECT sealed FROM secret WHERE row = 'ben') WHERE row = 'anna'");
    const again = openStore(folder, () => 1000);
    expect(() => again.secret('anna', 'credentials')).toThrow('damaged');
    again.save(console_, (transaction) => transaction.putSecret('anna', 'credentials', null));
    expect(again.secret('anna', 'credentials')).toBeNull();
  });
});
