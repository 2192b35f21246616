// After `lab.sh up` the whole APN stands as LAB.md promises, and the lab can end, restart and reboot the hub's programs.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ApnError, type Lab, poll } from '../../support/lab/lab.ts';
import { REPOSITORY } from '../../support/lab/place.ts';
import { readState } from '../../support/lab/state.ts';
import { readStatus } from '../../support/lab/status.ts';
import { startLab } from '../../support/lab/up.ts';

const NAME = 't-up';
const said: string[] = [];
let lab: Lab;

beforeAll(async () => {
  lab = await startLab({ name: NAME, demonstration: true, log: (line) => said.push(line) });
});

afterAll(() => lab.stop());

/** The address under which web sees this host; empty while it does not get through. */
async function seenAs(host: string): Promise<string> {
  return (await lab.exec(host, ['curl', '-s', '--max-time', '2', 'http://web.shop.apn/address'])).stdout.trim();
}

test('the demonstration was played, and cleaned up after itself', async () => {
  expect(said.join('\n')).toContain('you are 172.16.2.11 (tv.lan.apn)');
  expect(said.join('\n')).toContain('you are 172.16.1.1 (laptop.anna.team.apn)');
  expect(await lab.apn('lease', 'ls')).toEqual([]);
});

test('status has the promised shape and tells what really is', async () => {
  const status = await readStatus(readState(NAME) ?? expect.fail('no state'));
  expect(status.name).toBe(NAME);
  expect(status.ui.url).toMatch(/^https:\/\/localhost:\d+$/);
  const names = 'hub web db ledger laptop carrier phone neighbour stranger resolver tv printer desk guest'.split(' ');
  expect(status.hosts.map(({ name }) => name)).toEqual(names);
  const host = (name: string) => status.hosts.find((found) => found.name === name);
  expect(host('web')).toMatchObject({ namespace: `${NAME}-web`, wan: '203.0.113.10', apn: '172.16.10.10', lan: null });
  expect(host('tv')).toMatchObject({ fqdn: 'tv.lan.apn', apn: '172.16.2.11', mac: '02:66:00:00:00:11', wan: null });
  expect(host('tv')?.lan).toMatch(/^192\.168\.66\.\d+$/);
  expect(host('guest')).toMatchObject({ apn: null, fqdn: null });
  const onHub = status.processes.filter((process) => process.host === 'hub').map(({ name }) => name);
  for (const name of ['router', 'dns', 'webui', 'unbound', 'dnsmasq']) expect(onHub).toContain(name);
});

test('the UI answers on this machine, by way of the LAN', () => {
  const args = ['-sk', '-o', '/dev/null', '-w', '%{http_code}', '--max-time', '5', `${lab.ui}/`];
  expect(spawnSync('curl', args, { encoding: 'utf8' }).stdout).toBe('200');
});

test('the exit status of apn passes through lab.sh', () => {
  const env = { ...process.env, LAB: NAME };
  const argv = ['exec', 'hub', '--', 'apn', '--json', 'lease', 'add', '203.0.113.07'];
  const { status, stderr } = spawnSync(join(REPOSITORY, 'scripts/lab.sh'), argv, { encoding: 'utf8', env });
  expect(status).toBe(2);
  expect(JSON.parse(stderr)).toMatchObject({ error: { path: 'source' } });
});

test('a batch gives every answer and stops at a refusal', async () => {
  const answers = await lab.apnBatch([
    ['apps', 'ls'],
    ['servers', 'ls'],
  ]);
  expect(answers.map((answer) => (answer as unknown[]).length)).toEqual([2, 3]);
  const refused = lab.apnBatch([
    ['apps', 'ls'],
    ['apps', 'rm', 'no-such'],
  ]);
  await expect(refused).rejects.toThrow(ApnError);
});

test('killed programs come back, and the television does not notice', async () => {
  const before = lab.pid('router');
  await lab.restartRouter();
  expect(lab.pid('router')).not.toBe(before);
  await lab.restart('dns');
  await poll(async () => (await seenAs('tv')) === '172.16.2.11', { what: 'the television to get through' });
});

test('a reboot of the hub takes the kernel state and /run with it, and everything comes back from the store', async () => {
  const bootId = () => lab.output('hub', ['cat', '/proc/sys/kernel/random/boot_id']);
  const before = await bootId();
  await lab.output('hub', ['touch', '/run/gone']);
  await lab.rebootHub();
  expect(await bootId()).not.toBe(before);
  expect((await lab.exec('hub', ['cat', '/run/gone'])).status).not.toBe(0);
  await poll(async () => (await seenAs('tv')) === '172.16.2.11', {
    within: 40_000,
    what: 'the television after the boot',
  });
});
