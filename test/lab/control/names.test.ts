// Names: `.apn` for LAN and tunnel, each client sees what it may reach, and nothing of it ever leaves on the WAN.
import { beforeAll, describe, expect, test } from 'vitest';
import type { Capture } from '../../support/lab/capture.ts';
import { poll } from '../../support/lab/lab.ts';
import { sharedLab } from '../../support/lab/shared.ts';
import { CARRIER, connect, control, note, restoring, revokeAll } from '../clients.ts';

const lab = sharedLab();
const undo = restoring();

let wan: Capture;
let atResolver: Capture;

beforeAll(async () => {
  // Everything named on the Internet's wires while these tests ask for all they can think of.
  wan = await lab.capture('hub', 'wan0', 'port 53 or port 853 or port 5353 or port 5355', { args: ['-v'] });
  atResolver = await lab.capture('resolver', 'eth0', 'port 53 and src host 203.0.113.1', { args: ['-v'] });
});

interface Answer {
  readonly status: string;
  /** `TYPE VALUE` of each answer, in order. */
  readonly answers: readonly string[];
}

async function ask(host: string, ...query: readonly string[]): Promise<Answer> {
  const { stdout } = await lab.exec(host, ['dig', '+time=2', '+tries=1', '+noall', '+comments', '+answer', ...query]);
  const status = /status: ([A-Z]+)/.exec(stdout)?.[1] ?? 'no answer';
  const answers = stdout
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith(';'))
    .map((line) => line.split(/\s+/).slice(3).join(' '));
  return { status, answers };
}

const found = (...answers: string[]) => ({ status: 'NOERROR', answers });
const NXDOMAIN = { status: 'NXDOMAIN', answers: [] };
const NODATA = found();

test('full names, short names and addresses resolve from LAN and tunnel, by UDP and TCP', async () => {
  for (const [host, hub] of [
    ['tv', '192.168.66.1'],
    ['db', '172.16.0.1'],
  ] as const) {
    for (const transport of ['+notcp', '+tcp']) {
      expect(await ask(host, transport, 'web.shop.apn'), `${host} ${transport}`).toEqual(found('A 172.16.10.10'));
    }
    expect(await ask(host, 'DB.Shop.APN')).toEqual(found('A 172.16.10.11'));
    expect(await ask(host, 'web.apn')).toEqual(found('A 172.16.10.10'));
    expect(await ask(host, '-x', '172.16.10.11')).toEqual(found('PTR db.shop.apn.'));
    expect(await ask(host, 'hub.apn')).toEqual(found(`A ${hub}`));
    expect(await ask(host, 'web.shop.apn', 'AAAA')).toEqual(NODATA);
    expect(await ask(host, 'nobody.shop.apn')).toEqual(NXDOMAIN);
  }
});

test('a client sees the names it may reach, as long as it may', async () => {
  const ledger = () => ask('web', 'ledger.books.apn');
  const reverse = () => ask('web', '-x', '172.16.11.20');
  expect(await ask('tv', 'ledger.books.apn')).toEqual(found('A 172.16.11.20'));
  expect([await ledger(), await reverse()]).toEqual([NXDOMAIN, NXDOMAIN]);
  // Only one side may reach the other: the name is for that side, the reverse name for both.
  expect(await ask('ledger', 'web.shop.apn')).toEqual(NXDOMAIN);
  expect(await ask('ledger', '-x', '172.16.10.10')).toEqual(NXDOMAIN);
  await control(lab, 'POST', '/applications/shop/links', { to: 'books' });
  undo(() => lab.exec('hub', ['apn', 'apps', 'unlink', 'shop', 'books']));
  const soon = { within: 2000, what: 'the name of a linked application' };
  await poll(async () => (await ledger()).answers.length === 1, soon);
  expect([await ledger(), await reverse()]).toEqual([found('A 172.16.11.20'), found('PTR ledger.books.apn.')]);
  expect(await ask('ledger', '-x', '172.16.10.10')).toEqual(found('PTR web.shop.apn.'));
  expect(await ask('ledger', 'web.shop.apn')).toEqual(NXDOMAIN);
  await control(lab, 'DELETE', '/applications/shop/links/books');
  await poll(async () => (await ledger()).status === 'NXDOMAIN', { ...soon, what: 'the name to go' });
  expect(await reverse()).toEqual(NXDOMAIN);

  for (const name of ['web.shop.apn', 'web.apn', 'ledger.books.apn', 'tv.lan.apn']) {
    expect(await ask('guest', name), `guest ${name}`).toEqual(NXDOMAIN);
  }
  expect(await ask('guest', '-x', '172.16.10.10')).toEqual(NXDOMAIN);
  expect(await ask('guest', 'hub.apn')).toEqual(found('A 192.168.66.1'));
});

test('a server is told who its visitors are; they are told nothing of each other', async () => {
  undo(() => revokeAll(lab));
  await connect(lab, 'phone', CARRIER);
  expect(await ask('web', '-x', '172.16.2.11')).toEqual(found('PTR tv.lan.apn.'));
  expect(await ask('web', '-x', '172.16.1.2')).toEqual(found('PTR phone.anna.team.apn.'));
  expect(await ask('phone', 'web.apn')).toEqual(found('A 172.16.10.10'));
  expect(await ask('phone', '-x', '172.16.10.10')).toEqual(found('PTR web.shop.apn.'));
  expect(await ask('phone', 'ledger.books.apn')).toEqual(NXDOMAIN);
  expect(await ask('phone', '-x', '172.16.2.11')).toEqual(NXDOMAIN);
  // Anna has no role in books.
  expect(await ask('ledger', '-x', '172.16.1.2')).toEqual(NXDOMAIN);
  expect(await ask('ledger', '-x', '172.16.2.11')).toEqual(found('PTR tv.lan.apn.'));
});

test('a short name that two applications share is nobody’s for who reaches both, and one’s own for a server', async () => {
  const publicKey = await lab.output('resolver', ['sh', '-c', 'wg genkey | wg pubkey']);
  await control(lab, 'POST', '/servers', { application: 'books', label: 'web', publicKey, address: '172.16.11.30' });
  undo(() => control(lab, 'DELETE', '/servers/web.books'));
  await poll(async () => (await ask('tv', 'web.books.apn')).answers[0] === 'A 172.16.11.30', { what: 'web.books.apn' });
  expect(await ask('tv', 'web.apn')).toEqual(NXDOMAIN);
  expect(await ask('tv', 'web.shop.apn')).toEqual(found('A 172.16.10.10'));
  expect(await ask('db', 'web.apn')).toEqual(found('A 172.16.10.10'));
  expect(await ask('ledger', 'web.apn')).toEqual(found('A 172.16.11.30'));
  await control(lab, 'POST', '/applications/shop/links', { to: 'books' });
  undo(() => lab.exec('hub', ['apn', 'apps', 'unlink', 'shop', 'books']));
  await poll(async () => (await ask('db', 'web.books.apn')).answers.length === 1, { what: 'the linked name' });
  expect(await ask('db', 'web.apn')).toEqual(found('A 172.16.10.10'));
});

test('extra names are addresses, aliases and wildcards, and end with their removal', async () => {
  await lab.apnBatch([
    ['names', 'add', 'www', 'CNAME', 'web.shop'],
    ['names', 'add', 'printer.office', 'A', '172.16.10.11'],
    ['names', 'add', '*.apps', 'CNAME', 'web.shop'],
  ]);
  const rest = ['www', 'printer.office', '*.apps'];
  undo(() => lab.exec('hub', ['apn', 'batch'], { input: rest.map((name) => `names rm "${name}"\n`).join('') }));
  await poll(async () => (await ask('tv', 'x.apps.apn')).answers.length === 2, { what: 'the new names' });
  for (const host of ['tv', 'db']) {
    expect(await ask(host, 'www.apn')).toEqual(found('CNAME web.shop.apn.', 'A 172.16.10.10'));
    expect(await ask(host, 'printer.office.apn')).toEqual(found('A 172.16.10.11'));
    expect(await ask(host, 'any.thing.apps.apn')).toEqual(found('CNAME web.shop.apn.', 'A 172.16.10.10'));
  }
  expect((await ask('guest', 'www.apn')).answers).toEqual([]);
  expect((await ask('guest', 'printer.office.apn')).answers).toEqual([]);
  await lab.apn('names', 'rm', 'www');
  await poll(async () => (await ask('tv', 'www.apn')).status === 'NXDOMAIN', { what: 'the name to go' });
});

test('foreign names are relayed to the resolver, small and large, and pointers into the LAN are not believed', async () => {
  for (const host of ['tv', 'guest', 'web']) {
    expect(await ask(host, 'example.net'), host).toEqual(found('A 203.0.113.53'));
    expect((await ask(host, '+tcp', 'big.example.net', 'TXT')).answers, host).toHaveLength(12);
    expect((await ask(host, 'big.example.net', 'TXT')).answers, host).toHaveLength(12);
    expect((await ask(host, 'nowhere.example.net')).status, host).toBe('NXDOMAIN');
    expect((await ask(host, 'rebind.example.net')).answers, host).toEqual([]);
    expect((await ask(host, 'use-application-dns.net')).status, host).toBe('NXDOMAIN');
  }
  expect(atResolver.lines().join('\n')).toContain('example.net');
});

describe('when a program is gone', () => {
  test('`.apn` answers without unbound, and foreign names again when it is back', async () => {
    lab.kill('unbound', 'SIGSTOP');
    undo(() => lab.exec('hub', ['true']));
    try {
      for (const host of ['tv', 'db']) expect(await ask(host, 'web.shop.apn')).toEqual(found('A 172.16.10.10'));
      expect((await ask('tv', 'fresh1.example.net')).status).not.toBe('NOERROR');
      expect(await ask('tv', '-x', '172.16.10.10')).toEqual(found('PTR web.shop.apn.'));
    } finally {
      lab.kill('unbound', 'SIGKILL');
    }
    expect(await ask('tv', 'web.shop.apn')).toEqual(found('A 172.16.10.10'));
    await poll(async () => (await ask('tv', 'example.net')).status === 'NOERROR', { what: 'foreign names' });
  });

  test('dns comes back by itself after a kill', async () => {
    const died = Date.now();
    await lab.restart('dns');
    await poll(async () => (await ask('tv', '+time=1', 'web.shop.apn')).status === 'NOERROR', {
      every: 10,
      what: 'an answer',
    });
    note(`dns: answers again ${Date.now() - died} ms after a kill`);
    expect(await ask('db', '+tcp', 'web.shop.apn')).toEqual(found('A 172.16.10.10'));
  });
});

test('nothing of this was asked on the Internet, and what else stays inside is not either', async () => {
  // Names that must stay inside, asked for once more together with what malware would try.
  const inside = [
    'web',
    'printer',
    'localhost',
    'nothing.apn',
    'a.b.c.apn',
    'apn',
    'lan.apn',
    'foo.lan.apn',
    'WEB.APN',
  ];
  const reverse = ['172.16.10.99', '172.16.0.1', '192.168.66.77', '172.16.2.200'];
  const others = ['10.1.2.3', '192.168.1.1', '172.31.0.1', '127.0.0.1', '169.254.1.1', 'fd00::1', 'fe80::1'];
  for (const host of ['guest', 'web']) {
    const names = inside.flatMap((name) => [name, 'A', name, 'MX']);
    const pointers = [...reverse, ...others].flatMap((address) => ['-x', address]);
    await lab.exec(host, ['dig', '+time=1', '+tries=1', '+short', ...names, ...pointers]);
  }
  // One more name from outside, so that the captures have seen what came before it.
  await ask('tv', 'last.example.net');
  await poll(() => atResolver.lines().join('\n').includes('last.example.net'), {
    what: 'the last name at the resolver',
  });
  const lines = [...(await wan.stop()), ...(await atResolver.stop())].join('\n');
  const asked = [...lines.matchAll(/ ([A-Z]+\d*)\? (\S+)\. /g)].map(([, type, name]) => `${type} ${name}`);
  const strange = asked.filter((question) => !/ ((\S+\.)?example\.net|use-application-dns\.net|net)$/i.test(question));
  expect([...new Set(strange)]).toEqual([]);
  expect(asked.length).toBeGreaterThan(0);
});
