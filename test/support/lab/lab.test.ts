// The lab's own parts that need neither root nor namespaces: its plan, its command line, its way of waiting.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { BRIDGES, CABLES, DEVICES, HOSTS, LAN_DEVICES, SERVERS } from './hosts.ts';
import { withLock } from './lock.ts';
import { checkLabName, REPOSITORY } from './place.ts';
import { poll, run } from './run.ts';

const script = join(REPOSITORY, 'scripts/lab.sh');

function lab(...args: readonly string[]): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync(script, args, { encoding: 'utf8', env: { ...process.env, LAB: 'no-such-lab' } });
  return { status, stderr };
}

describe('plan', () => {
  test('every address, MAC and port exists once', () => {
    const once = (list: readonly string[]): void => expect(new Set(list).size).toBe(list.length);
    once([
      ...HOSTS.flatMap(({ wan }) => wan?.address ?? []),
      ...HOSTS.flatMap(({ wan }) => wan?.ipv6 ?? []),
      ...BRIDGES.flatMap(({ address }) => address ?? []),
      ...[...SERVERS, ...DEVICES].map(({ address }) => address),
      ...LAN_DEVICES.map(({ identity }) => identity),
    ]);
    once(HOSTS.flatMap(({ mac }) => mac ?? []));
    once(CABLES.flatMap(({ from, to }) => [from.join(' '), to.join(' ')]));
  });

  test('every cable ends in hosts of the lab, with names the kernel takes', () => {
    const hosts = HOSTS.map(({ name }) => name);
    for (const [host, port] of CABLES.flatMap(({ from, to }) => [from, to])) {
      expect(hosts).toContain(host);
      expect(port.length).toBeLessThanOrEqual(15);
    }
  });

  test('the guest is on the LAN and approved by nobody', () => {
    expect(HOSTS.find(({ name }) => name === 'guest')?.dhcp).toBe(true);
    expect(LAN_DEVICES.map(({ host }) => host)).not.toContain('guest');
  });
});

describe('command line', () => {
  test.each([
    [[]],
    [['sideways']],
    [['exec']],
    [['exec', 'tv']],
    [['exec', 'tv', '--']],
    [['up', '--full']],
    [['down', 'tv']],
  ])('%j is refused as usage', (args) => {
    expect(lab(...args).status).toBe(2);
  });

  test('up --topology says that it is not there yet', () => {
    const { status, stderr } = lab('up', '--topology');
    expect(status).toBe(2);
    expect(stderr).toContain('--topology is not part of the lab yet');
  });

  test('exec and status of a lab that is not up say how to start it', () => {
    const exec = lab('exec', 'tv', '--', 'true');
    expect(exec.status).toBe(125);
    expect(exec.stderr).toContain('scripts/lab.sh up');
    expect(lab('status').stderr).toContain('scripts/lab.sh up');
  });

  test('down of a lab that is not up is done at once', () => {
    expect(lab('down').status).toBe(0);
  });

  test.each(['', 'UPPER', '../etc', 'a b', '-x', 'a'.repeat(32)])('lab name %j is refused', (name) => {
    expect(() => checkLabName(name)).toThrow('lab name');
  });
});

describe('run', () => {
  test('hands over input, output, status and signals', async () => {
    expect(await run(['sh', '-c', 'cat; echo no >&2; exit 7'], { input: 'yes' })).toEqual({
      status: 7,
      stdout: 'yes',
      stderr: 'no\n',
    });
    expect((await run(['sh', '-c', 'kill -9 $$'])).status).toBe(137);
    expect((await run(['sleep', '60'], { timeout: 50 })).status).toBe(124);
    await expect(run(['/no/such/program'])).rejects.toThrow('ENOENT');
  });

  test('poll gives the first truthy answer, and names what it waited for', async () => {
    let calls = 0;
    const third = (): number => {
      calls += 1;
      return calls === 3 ? 3 : 0;
    };
    expect(await poll(third, { every: 1 })).toBe(3);
    const failing = (): never => {
      throw new Error('not there');
    };
    await expect(poll(failing, { within: 20, every: 5, what: 'a miracle' })).rejects.toThrow('a miracle: not there');
  });
});

test('a lock lets one in at a time, also when the folder goes away in between', async () => {
  const folder = join(mkdtempSync(join(tmpdir(), 'lab-lock-')), 'lab');
  let inside = 0;
  let most = 0;
  const work = async (): Promise<void> => {
    inside += 1;
    most = Math.max(most, inside);
    await new Promise((resolve) => setImmediate(resolve));
    rmSync(folder, { recursive: true, force: true });
    inside -= 1;
  };
  await Promise.all(Array.from({ length: 6 }, () => withLock(folder, work)));
  expect(most).toBe(1);
  rmSync(join(folder, '..'), { recursive: true, force: true });
});
