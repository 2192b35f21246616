// The program as it is started: arguments, the certificate it keeps, its end; and the build of the page.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, expect, test } from 'vitest';
import { buildApp } from '../../scripts/build-app.ts';
import { loadStatic } from '../../src/webui/server/static.ts';
import { freePort, temporaryFolder, until } from './harness.ts';

const MAIN = join(import.meta.dirname, '../../src/webui/server/main.ts');
const folder = temporaryFolder();
const running = new Set<ChildProcess>();

afterAll(() => {
  for (const child of running) child.kill('SIGKILL');
  folder.remove();
});

function start(args: readonly string[]): { child: ChildProcess; log: () => string; code: Promise<number | null> } {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  running.add(child);
  let log = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    log += chunk.toString();
  });
  const code = new Promise<number | null>((done) => {
    child.on('close', (status) => {
      running.delete(child);
      done(status);
    });
  });
  return { child, log: () => log, code };
}

function fingerprint(port: number): Promise<string> {
  return new Promise((done, failed) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      done(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.on('error', failed);
  });
}

test('the app is built the same way twice, small, and loads nothing from elsewhere', async () => {
  const [one, two] = [join(folder.path, 'one'), join(folder.path, 'two/webui')];
  await buildApp(one);
  await buildApp(two);
  const names = readdirSync(one, { recursive: true }) as string[];
  expect(new Set(readdirSync(two, { recursive: true }) as string[])).toEqual(new Set(names));
  const files = names.filter((name) => statSync(join(one, name)).isFile());
  for (const name of files) expect(readFileSync(join(one, name)).equals(readFileSync(join(two, name)))).toBe(true);
  const scripts = files.filter((name) => name.endsWith('.js.gz'));
  expect(scripts).toHaveLength(1);
  expect(statSync(join(one, scripts[0]!)).size).toBeLessThan(80_000);
  const served = loadStatic(one);
  const page = served.get('/')!.variants.identity.bytes.toString();
  const links = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]!);
  expect(links).toHaveLength(3);
  for (const link of links) expect(served.has(link)).toBe(true);
  expect(links.filter((link) => served.get(link)!.immutable)).toHaveLength(2);
  expect(page).not.toMatch(/<script(?![^>]*src)|<style|\sstyle=|\son\w+=/);
  for (const file of served.values()) {
    expect(file.variants.identity.bytes.toString()).not.toMatch(/url\(|@import|dangerouslySetInnerHTML="|localhost/);
  }
});

test('the certificate is made at first start and used again, and SIGTERM ends it', async () => {
  const app = join(folder.path, 'app');
  await buildApp(app);
  const [port, httpPort] = [await freePort(), await freePort()];
  const state = join(folder.path, 'state');
  const args = ['--state', state, '--socket', join(folder.path, 'none.sock'), '--app', app, '--listen', '127.0.0.1'];
  args.push('--port', String(port), '--http-port', String(httpPort));
  const prints: string[] = [];
  for (const extra of [[], [], ['--host', 'localhost:8066,router.example']]) {
    const run = start([...args, ...extra]);
    await until(`it listens: ${run.log()}`, () => run.log().includes(`listening on 127.0.0.1:${port}`), 20_000);
    prints.push(await fingerprint(port));
    expect(run.log().includes('made a certificate')).toBe(prints.length !== 2);
    expect(statSync(join(state, 'tls.pem')).mode & 0o777).toBe(0o400);
    expect(run.log()).not.toContain('BEGIN');
    run.child.kill('SIGTERM');
    expect(await run.code).toBe(0);
  }
  expect(prints[1]).toBe(prints[0]);
  expect(prints[2]).not.toBe(prints[0]);
});

test.each([
  [[], 'webui --state'],
  [['--listen', '0.0.0.0'], 'wildcard'],
  [['--listen', '::'], 'wildcard'],
  [['--listen', '127.0.0.1,hub.apn'], 'hub.apn is not an address'],
  [['--listen', '127.0.0.1', '--port', '0'], '--port: 0'],
  [['--listen', '127.0.0.1', '--http-port', '70000'], '--http-port: 70000'],
  [['--listen', '127.0.0.1', '--host', 'a b'], '--host: a b'],
  [['--listen', '127.0.0.1', '--unknown'], '--unknown'],
])('%j is refused', async (args, message) => {
  const run = start(['--state', folder.path, '--socket', 'x', ...args]);
  expect(await run.code).toBe(2);
  expect(run.log()).toContain(message);
});

test('a page that was never built is said, not a stack', async () => {
  const run = start([
    '--state',
    join(folder.path, 's2'),
    '--socket',
    'x',
    '--app',
    '/nonexistent',
    '--listen',
    '127.0.0.1',
  ]);
  expect(await run.code).toBe(1);
  expect(run.log()).toMatch(/^webui: .*\/nonexistent/);
  expect(run.log()).not.toMatch(/\n {4}at /);
});
