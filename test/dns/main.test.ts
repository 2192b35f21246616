// The program itself: its zone file replaced, broken and removed while it runs, and its end.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Zone } from '../../src/model/zone.ts';
import { outcome, question, read, sample } from './sample.ts';
import { askUdp, freePort, until } from './sockets.ts';

const zone: Zone = { ...sample, listen: ['127.0.0.1'], clients: [{ ...sample.clients[1]!, source: '127.0.0.0/8' }] };
let folder = '';
let port = 0;
let child: ChildProcess;
let errors = '';

function replace(text: string): void {
  writeFileSync(join(folder, 'zone.tmp'), text);
  renameSync(join(folder, 'zone.tmp'), join(folder, 'zone.json'));
}

function withWeb(address: string): string {
  const hosts = zone.hosts.map((host) => (host.name === 'web.shop' ? { ...host, address } : host));
  return JSON.stringify({ ...zone, serial: zone.serial + 1, hosts });
}

const told = async () => {
  const reply = await askUdp(port, question('web.apn'), '127.0.0.1', 500);
  return reply === null ? 'silence' : (read(reply).answers[0]?.split(' ')[2] ?? outcome(reply));
};
const becomes = (wanted: string) => until(async () => (await told()) === wanted, `${wanted}: ${errors}`);

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'apn-dns-test-'));
  port = await freePort();
  errors = '';
});
afterEach(async () => {
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  rmSync(folder, { recursive: true, force: true });
});

async function start(): Promise<void> {
  const program = new URL('../../src/dns/main.ts', import.meta.url).pathname;
  child = spawn(process.execPath, [program, '--zone', join(folder, 'zone.json'), '--port', String(port)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  child.stderr?.on('data', (data: Buffer) => {
    errors += data.toString();
  });
  await until(() => errors.includes('ready on'), 'ready');
}

test('the zone is followed through replacement, damage, removal and return', async () => {
  replace(JSON.stringify(zone));
  await start();
  await becomes('172.16.10.10');
  replace(withWeb('172.16.10.12'));
  await becomes('172.16.10.12');
  replace('{"version":1');
  await becomes('SERVFAIL');
  replace(withWeb('172.16.10.13'));
  await becomes('172.16.10.13');
  replace(JSON.stringify({ ...zone, hosts: [{ ...zone.hosts[0], name: 'Web' }] }));
  await becomes('SERVFAIL');
  expect(errors).toContain('hosts[0].name');
  replace(JSON.stringify(zone));
  await becomes('172.16.10.10');
  rmSync(join(folder, 'zone.json'));
  await becomes('SERVFAIL');
  writeFileSync(join(folder, 'zone.json'), withWeb('172.16.10.14'));
  await becomes('172.16.10.14');
  // Every replacement is a rename; the notifications must not have worn out, nor depend on the slow look.
  for (let i = 20; i < 30; i++) {
    replace(withWeb(`172.16.10.${i}`));
    await until(async () => (await told()) === `172.16.10.${i}`, `change ${i}`, 1500);
  }
});

test('it starts without a zone and takes it when it comes, also into a new folder', async () => {
  rmSync(folder, { recursive: true });
  await start();
  expect(await told()).toBe('silence');
  for (let round = 0; round < 2; round++) {
    mkdirSync(folder);
    replace(JSON.stringify(zone));
    await becomes('172.16.10.10');
    // Followed by notification again: each change is seen long before the next slow look.
    for (let i = 20; i < 25; i++) {
      replace(withWeb(`172.16.10.${i}`));
      await until(async () => (await told()) === `172.16.10.${i}`, `change ${i}`, 1000);
    }
    rmSync(folder, { recursive: true });
    await becomes('SERVFAIL');
  }
});

test.each(['SIGTERM', 'SIGINT'] as const)('%s ends it cleanly', async (signal) => {
  replace(JSON.stringify(zone));
  await start();
  await becomes('172.16.10.10');
  const begun = performance.now();
  child.kill(signal);
  const [code] = await once(child, 'exit');
  expect(code).toBe(0);
  expect(performance.now() - begun).toBeLessThan(2000);
});
