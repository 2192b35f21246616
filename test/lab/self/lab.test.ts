// The lab keeps its contract: private hosts, `exec` as if one were there, nothing left behind. Needs no program of ours.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { takeDown } from '../../support/lab/down.ts';
import { HOSTS } from '../../support/lab/hosts.ts';
import { type Lab, poll } from '../../support/lab/lab.ts';
import { labFolder, REPOSITORY } from '../../support/lab/place.ts';
import { labProcesses } from '../../support/lab/process.ts';
import { makeNetwork } from '../../support/lab/up.ts';

const NAME = 't-lab';
const OTHER = 't-lab2';
const script = join(REPOSITORY, 'scripts/lab.sh');
const env = { ...process.env, LAB: NAME };

let lab: Lab;
let mountsBefore: string;
let linksBefore: string;

const mounts = (): string => readFileSync('/proc/self/mounts', 'utf8').replace(/^.* \/run\/netns.*\n/gm, '');
const links = (): string => spawnSync('ip', ['-brief', 'link'], { encoding: 'utf8' }).stdout;

function exec(host: string, argv: readonly string[], input = ''): { status: number | null; stdout: string } {
  return spawnSync(script, ['exec', host, '--', ...argv], { encoding: 'utf8', env, input });
}

beforeAll(async () => {
  await takeDown(NAME);
  await takeDown(OTHER);
  mountsBefore = mounts();
  linksBefore = links();
  lab = await makeNetwork(NAME);
});

afterAll(async () => {
  await takeDown(NAME);
  await takeDown(OTHER);
});

describe('exec', () => {
  test('passes stdin, output, status; works in / with the tools on PATH', () => {
    expect(exec('tv', ['cat'], 'through').stdout).toBe('through');
    expect(exec('tv', ['sh', '-c', 'exit 42']).status).toBe(42);
    expect(exec('tv', ['pwd']).stdout).toBe('/\n');
    for (const tool of ['apn', 'curl', 'dig', 'wg']) expect(exec('tv', ['which', tool]).status).toBe(0);
    expect(exec('hub', ['printenv', 'APN_SOCKET']).stdout).toBe('/run/apn/control.sock\n');
  });

  test('keeps words apart', () => {
    const words = ['a b', '', '*', '$HOME', "it's", '--'];
    expect(exec('tv', ['printf', '[%s]', ...words]).stdout).toBe(words.map((word) => `[${word}]`).join(''));
  });

  test('a signal reaches the command itself', async () => {
    const child: ChildProcess = spawn(
      script,
      ['exec', 'tv', '--', 'sh', '-c', 'trap "exit 9" TERM; echo up; sleep 60 & wait'],
      { env },
    );
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    child.kill('SIGTERM');
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(9);
  });
});

describe('hosts', () => {
  test('have their own /run, resolv.conf, host name and devices, and the machine sees none of it', async () => {
    await lab.output('web', ['sh', '-c', 'echo mine >/run/mine; echo nameserver 192.0.2.1 >/etc/resolv.conf']);
    expect((await lab.exec('db', ['cat', '/run/mine'])).status).not.toBe(0);
    expect(existsSync('/run/mine')).toBe(false);
    expect(await lab.output('db', ['cat', '/etc/resolv.conf'])).toBe('nameserver 203.0.113.53');
    expect(readFileSync('/etc/resolv.conf', 'utf8')).not.toContain('192.0.2.1');
    expect(await lab.output('web', ['hostname'])).toBe('web');
    expect((await lab.output('web', ['ls', '/sys/class/net'])).split('\n')).toEqual(['eth0', 'lo']);
    expect(mounts()).toBe(mountsBefore);
    expect(links()).toBe(linksBefore);
  });

  test('the hub has a boot id of its own', async () => {
    const path = '/proc/sys/kernel/random/boot_id';
    expect(await lab.output('hub', ['cat', path])).not.toBe(readFileSync(path, 'utf8').trim());
  });

  test('send no redirects', async () => {
    for (const { name } of HOSTS) {
      const values = await lab.output(name, ['sh', '-c', 'cat /proc/sys/net/ipv4/conf/*/send_redirects']);
      expect([...new Set(values.split('\n'))], name).toEqual(['0']);
    }
  });

  test('reach each other over both families, and subscribers hide behind the carrier', async () => {
    const page = (host: string, url: string): Promise<string> =>
      lab.output(host, ['curl', '-s', '--max-time', '5', url]);
    expect(await page('stranger', 'http://203.0.113.10/address')).toBe('203.0.113.66');
    expect(await page('stranger', 'http://[2001:db8:113::53]/address')).toMatch(/66$/);
    expect(await page('phone', 'http://203.0.113.10/address')).toBe('203.0.113.70');
    expect(await page('neighbour', 'http://203.0.113.10/address')).toBe('203.0.113.70');
    expect(await page('laptop', 'http://example.net/')).toContain('you are');
    expect((await lab.exec('web', ['ping', '-c', '1', '-W', '1', '100.64.0.2'])).status).not.toBe(0);
    // The same wires with no way out: whatever has no host ends at the gateway.
    expect((await lab.exec('web', ['ping', '-c', '1', '-W', '1', '192.0.2.1'])).status).not.toBe(0);
  });

  test('a capture sees every packet sent after it began, and no others', async () => {
    const capture = await lab.capture('web', 'eth0', 'icmp[icmptype] == icmp-echo');
    await lab.output('stranger', ['ping', '-c', '3', '-i', '0.01', '203.0.113.10']);
    await poll(() => capture.count() === 3, { within: 2_000, what: 'three echo requests' });
    expect(await capture.stop()).toHaveLength(3);
  });
});

test('two labs run side by side, and one goes without the other', async () => {
  const other = await makeNetwork(OTHER);
  expect(other.port).not.toBe(8066);
  await other.output('stranger', ['curl', '-s', '--max-time', '5', 'http://203.0.113.10/address']);
  await other.stop();
  expect(labProcesses(OTHER)).toEqual([]);
  expect(existsSync(labFolder(OTHER))).toBe(false);
  expect(await lab.output('stranger', ['curl', '-s', '--max-time', '5', 'http://203.0.113.10/address'])).toBe(
    '203.0.113.66',
  );
});

test('down ends what was started, also in a lab that lost its folder half way, and may be repeated', async () => {
  const background = lab.spawn('tv', ['sleep', '1000']);
  const holder = lab.holder('tv');
  const names = (): string[] => readdirSync('/run/netns').filter((name) => name.startsWith(`${NAME}-`));
  expect(names()).toHaveLength(HOSTS.length);
  spawnSync('rm', ['-r', labFolder(NAME)]);
  const down = (): number | null => spawnSync(script, ['down'], { env }).status;
  expect(down()).toBe(0);
  expect(await background.ended).toBe(137);
  expect(existsSync(`/proc/${holder}/ns/net`)).toBe(false);
  expect(names()).toEqual([]);
  expect(existsSync(labFolder(NAME))).toBe(false);
  expect(mounts()).toBe(mountsBefore);
  expect(links()).toBe(linksBefore);
  expect(down()).toBe(0);
});
