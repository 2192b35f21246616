// The store's accidents: what runs goes on, the router says what is wrong and what to do, and comes back once it is mended.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { beforeEach, describe, expect, test } from 'vitest';
import { call } from '../../src/router/cli/client.ts';
import { CONTROL_SOCKET } from '../support/lab/hub.ts';
import { poll } from '../support/lab/lab.ts';
import { hostFolder, logFile } from '../support/lab/place.ts';
import { sharedLab } from '../support/lab/shared.ts';
import { control, grant, keep, note, reaches, restoring, revokeAll } from './clients.ts';

const lab = sharedLab();
const undo = restoring();
const WEB = '172.16.10.10';
const state = join(hostFolder(lab.name, 'hub'), 'state');
const file = (name: string): string => join(state, name);
const ask = (method: string, path: string, body?: unknown) => call(lab.path('hub', CONTROL_SOCKET), method, path, body);
const log = (): string => readFileSync(logFile(lab.name, 'hub', 'router'), 'utf8');

/** What people see and what programs find: structure, addresses, routes and peers, with the kernel's own handles. */
const kernel = () =>
  lab.output('hub', [
    'bash',
    '-c',
    'nft -a -t list ruleset; ip -o -4 addr show | sed "s/valid_lft.*//"; ip route; wg show apn0 dump | cut -f 1,2,4 | sort',
  ]);

async function normal(): Promise<void> {
  let last: unknown;
  const up = async () => {
    const { status, body } = await ask('GET', '/status');
    last = body;
    const { state: how, conditions, revision, appliedRevision } = body as Record<string, unknown>;
    return status === 200 && how === 'up' && (conditions as unknown[]).length === 0 && revision === appliedRevision;
  };
  await poll(up, { within: 25_000, what: 'the router to be as it was' }).catch((error: Error) => {
    throw new Error(`${error.message}; it says ${JSON.stringify(last)}`);
  });
}

/** Kills the router and waits for another one that answers, whatever it says. */
async function anotherRouter(): Promise<{ status: number; body: unknown }> {
  const before = lab.kill('router');
  return poll(
    async () => {
      const now = lab.pid('router');
      return now !== undefined && now !== before && (await ask('GET', '/status'));
    },
    { within: 20_000, what: 'another router to answer' },
  );
}

/** A ping every 20 ms from the television to the server; the numbers that were lost. */
function television(): () => Promise<readonly number[]> {
  const ping = keep(lab, 'tv', `exec ping -n -i 0.02 ${WEB}`, undo);
  return async () => {
    const { stdout } = await ping.stop('SIGINT');
    const seen = new Set([...stdout.matchAll(/icmp_seq=(\d+) /g)].map((match) => Number(match[1])));
    expect(seen.size).toBeGreaterThan(20);
    return Array.from({ length: Math.max(...seen) }, (_, index) => index + 1).filter((number) => !seen.has(number));
  };
}

beforeEach(() => {
  undo(() => revokeAll(lab));
});

describe('a store that cannot be opened', () => {
  const aside = `${state}.aside`;
  const files = ['router.db', 'router.db-wal', 'router.db-shm'];
  const move = (from: string, to: string): void => {
    mkdirSync(to, { recursive: true });
    for (const name of files) if (existsSync(join(from, name))) renameSync(join(from, name), join(to, name));
  };
  const version = (number: number): void => {
    const database = new DatabaseSync(file('router.db'));
    database.exec(`PRAGMA user_version = ${number}`);
    database.close();
  };
  const garbage = (bytes: Uint8Array) => ({
    damage: () => {
      move(state, aside);
      writeFileSync(file('router.db'), bytes, { mode: 0o600 });
    },
    mend: () => {
      for (const name of files) rmSync(file(name), { force: true });
      move(aside, state);
    },
  });
  const key = (damage: () => void) => ({
    damage: () => {
      renameSync(file('store.key'), `${state}.key`);
      damage();
    },
    mend: () => renameSync(`${state}.key`, file('store.key')),
  });
  const schema = Number(
    (() => {
      const database = new DatabaseSync(file('router.db'), { readOnly: true });
      try {
        return database.prepare('PRAGMA user_version').get()?.['user_version'];
      } finally {
        database.close();
      }
    })(),
  );

  test.each([
    ['no key file', 'store-locked', key(() => {})],
    [
      'the key file of another hub',
      'store-locked',
      key(() => writeFileSync(file('store.key'), `01234567 ${'89abcdef'.repeat(8)}\n`)),
    ],
    ['a database of a newer release', 'store-newer', { damage: () => version(99), mend: () => version(schema) }],
    ['a database that is none', 'store-unreadable', garbage(Buffer.from('not a database, '.repeat(4096)))],
  ])('%s: nothing stops, it is said, and mended it opens', async (_, code, { damage, mend }) => {
    const lost = television();
    const before = await kernel();
    const logged = log().length;
    let broken = true;
    undo(async () => {
      if (broken) mend();
      await normal();
    });
    damage();
    const { status, body } = await anotherRouter();
    expect({ status, body }).toEqual({
      status: 503,
      body: { error: { path: '', message: expect.stringMatching(/\S+\. \S/) } },
    });
    const { error } = body as { error: { message: string } };
    // Whatever is asked, and changes too.
    expect((await ask('POST', '/leases', { source: '203.0.113.66' })).status).toBe(503);
    const command = await lab.exec('hub', ['apn', 'status']);
    expect(command).toMatchObject({ status: 1, stderr: `apn: ${error.message}\n` });
    expect(await kernel()).toBe(before);
    // Said once, with what to do; never a second key.
    const said = log()
      .slice(logged)
      .split('\n')
      .filter((line) => line.startsWith(`${code}: `));
    expect(said).toHaveLength(1);
    expect(said[0]).toContain(error.message);
    mend();
    broken = false;
    await normal();
    expect(await kernel()).toBe(before);
    expect(await lost()).toEqual([]);
  });
});

/** Shell on the hub, in whose view of the disk the accident happens; this process sees the folder as it was. */
const hub = (script: string) => lab.output('hub', ['bash', '-c', script]);

const conditions = async (): Promise<string[]> => {
  const { body } = await ask('GET', '/status');
  return ((body as { conditions?: { code: string }[] }).conditions ?? []).map(({ code }) => code);
};

describe('a disk that can only be read', () => {
  const worn = async () => {
    await hub(`mount --bind ${state} ${state} && mount -o remount,bind,ro ${state}`);
    undo(async () => {
      await hub(`umount -l ${state}`);
      const start = performance.now();
      await normal();
      note(`disk writable again: everything as before after ${Math.round(performance.now() - start)} ms`);
    });
  };

  test('the router restarts on what it can read, refuses changes, and everything stands', async () => {
    await grant(lab, '203.0.113.66', '10m');
    const lost = television();
    const before = await kernel();
    await worn();
    expect((await anotherRouter()).status).toBe(200);
    expect(await conditions()).toContain('store-read-only');
    const refusal = await ask('POST', '/rules', { source: '198.51.100.0/24' });
    expect(refusal).toMatchObject({
      status: 503,
      body: { error: { message: expect.stringContaining('nothing was changed') } },
    });
    expect((await ask('GET', '/leases')).body).toMatchObject([{ source: '203.0.113.66', state: 'active' }]);
    expect((await lab.exec('hub', ['apn', 'status'])).stdout).toContain('cannot be written');
    expect(await kernel()).toBe(before);
    expect(await lost()).toEqual([]);
  });

  test('after a power cut too: LAN, names, tunnel and firewall come up', async () => {
    await worn();
    await lab.rebootHub();
    await hub('wg show apn0 >/dev/null');
    await Promise.all(
      ['web', 'db', 'ledger'].map((host) => lab.output(host, ['bash', '-c', 'wg setconf wg0 <(wg-quick strip wg0)'])),
    );
    await reaches(lab, 'tv', WEB);
    const name = async () => (await lab.exec('tv', ['dig', '+short', '+time=1', 'web.shop.apn'])).stdout.trim() === WEB;
    await poll(name, { what: 'the name' });
    expect((await lab.exec('stranger', ['ping', '-n', '-c', '1', '-W', '1', '203.0.113.1'])).status).not.toBe(0);
    await poll(async () => (await conditions()).includes('store-read-only'), { what: 'the condition' });
    await lab.output('guest', ['udhcpc', '-n', '-q', '-f', '-i', 'eth0', '-s', '/bin/true', '-t', '5', '-T', '1']);
  });
});

test('a full disk: changes are refused whole, leases end all the same, and with room again everything works', async () => {
  const small = '/run/full';
  await hub(
    `mkdir -p ${small} && cp -a ${state}/. ${small} && mount -t tmpfs -o size=8m,mode=700 tmpfs ${state} && cp -a ${small}/. ${state}`,
  );
  undo(async () => {
    await hub(`umount -l ${state}; rm -rf ${small}`);
    await anotherRouter();
    await normal();
  });
  expect((await anotherRouter()).status).toBe(200);
  await normal();
  const lost = television();
  const before = await kernel();
  const pid = lab.pid('router');
  const { expiresAt } = await grant(lab, '203.0.113.66', '3s');
  const revision = (await control(lab, 'GET', '/status')).revision;
  await hub(`dd if=/dev/zero of=${state}/fill bs=4k 2>/dev/null; true`);
  for (let round = 0; round < 5; round++) {
    const reason = 'x'.repeat(200);
    const refusal = await ask('POST', '/leases', { source: '198.51.100.1', reason });
    expect(refusal).toMatchObject({
      status: 503,
      body: { error: { message: expect.stringContaining('nothing was changed') } },
    });
  }
  expect((await control(lab, 'GET', '/status')).revision).toBe(revision);
  await poll(() => Date.now() > Date.parse(expiresAt), { what: 'the lease to end' });
  await poll(async () => (await conditions()).includes('store-failing'), { what: 'the condition' });
  expect(await hub('nft list set inet apn lease4')).not.toContain('203.0.113.66');
  expect(lab.pid('router')).toBe(pid);
  // A restart on the full disk.
  expect((await anotherRouter()).status).toBe(200);
  expect(await kernel()).toBe(before);
  await hub(`rm ${state}/fill`);
  await normal();
  await grant(lab, '198.51.100.1', '1m');
  expect(await kernel()).toBe(before);
  expect(await lost()).toEqual([]);
});
