// The `apn` program as it is run: exit status, both outputs, help, batch and events, against a control server in a folder.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { commands } from '../../src/router/cli/commands.ts';
import { listen } from '../../src/router/control/listen.ts';
import { bundledApn } from '../support/apn.ts';
import { makeControl } from '../support/control.ts';
import { publicKey } from '../support/saving.ts';
import { temporaryFolder } from '../support/store.ts';

const cli = bundledApn();

const apn = cli.run;

/** A server that answers as it is told to. */
async function fake(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const socket = join(temporaryFolder(), 'control.sock');
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  onTestFinished(() => void server.close().closeAllConnections());
  return socket;
}

const says = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  fake((request, response) => {
    request
      .resume()
      .once('end', () =>
        response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body)),
      );
  });

async function real() {
  const control = makeControl();
  const socket = join(temporaryFolder(), 'control.sock');
  const server = await listen(control.app(), socket, 0o600);
  onTestFinished(() => void server.close().closeAllConnections());
  return { control, socket };
}

describe('exit status', () => {
  it.each([
    [400, 2],
    [403, 1],
    [404, 4],
    [409, 3],
    [500, 1],
    [503, 1],
  ])('HTTP %d is %d, with path and message on standard error', async (http, exit) => {
    const socket = await says(http, { error: { path: 'label', message: 'Not this one.' } });
    const [people, machine] = await Promise.all([
      apn(socket, ['apps', 'add', 'x']),
      apn(socket, ['apps', 'add', 'x', '--json']),
    ]);
    expect(people).toEqual({ status: exit, stdout: '', stderr: 'apn: label: Not this one.\n' });
    expect(machine).toMatchObject({ status: exit, stdout: '' });
    expect(JSON.parse(machine.stderr)).toEqual({ error: { path: 'label', message: 'Not this one.' } });
  });

  it('0 when it is in the kernel; 5, and the answer all the same, when it is only saved', async () => {
    const answer = { id: 'x', name: 'web.shop', address: '172.16.10.10', presharedKey: 'once', config: '[Interface]' };
    const line = ['--json', 'servers', 'add', 'shop/web', '--public-key', 'K'];
    const [done, saved] = await Promise.all([
      says(201, answer, { 'x-applied': 'true' }).then((socket) => apn(socket, line)),
      says(201, answer, { 'x-applied': 'false' }).then((socket) => apn(socket, line)),
    ]);
    expect(done).toMatchObject({ status: 0, stderr: '' });
    expect(JSON.parse(done.stdout)).toEqual(answer);
    expect(saved.status).toBe(5);
    // A preshared key is shown once: it must not be lost.
    expect(JSON.parse(saved.stdout)).toEqual(answer);
    expect(JSON.parse(saved.stderr).error.message).toContain('not in the kernel yet');
  });

  it.each([
    [[], ''],
    [['frobnicate'], ''],
    [['lease', 'frobnicate', 'x'], ''],
    [['apps', 'add'], ''],
    [['apps', 'add', 'x', '--colour', 'red'], '--colour'],
    [['lease', 'add', '203.0.113.7', '--for'], '--for'],
    [['--socket'], '--socket'],
    [['servers', 'add', 'web', '--public-key', 'K'], ''],
  ])('%j is 2 without asking anybody', async (args, path) => {
    const { status, stderr, stdout } = await apn(
      '/nonexistent/control.sock',
      args.length === 0 ? [] : ['--json', ...args],
    );
    expect(status).toBe(2);
    if (args.length === 0) return expect(stdout).toContain('COMMAND');
    expect(JSON.parse(stderr)).toEqual({ error: { path, message: expect.stringMatching(/\S/) } });
    expect(stdout).toBe('');
  });

  it('1 with plain words when nobody answers, or somebody else does', async () => {
    const [nobody, other, breaks] = await Promise.all([
      apn('/nonexistent/control.sock', ['status']),
      says(200, '<html>').then((socket) => apn(socket, ['status'])),
      fake((_, response) => void response.destroy()).then((socket) => apn(socket, ['status'])),
    ]);
    expect(nobody).toEqual({
      status: 1,
      stdout: '',
      stderr: 'apn: The router does not run (no answer at /nonexistent/control.sock).\n',
    });
    for (const { status, stderr, stdout } of [other, breaks]) {
      expect([status, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(/^apn: .*\n$/);
    }
    expect(other.stderr).toContain('is not the router');
  });
});

describe('the program', () => {
  it('helps with every command', async () => {
    const [long, word] = await Promise.all([apn('/nonexistent', ['--help']), apn('/nonexistent', ['help'])]);
    expect(long).toMatchObject({ status: 0, stderr: '' });
    expect(word.stdout).toBe(long.stdout);
    for (const { name } of [...commands, { name: 'events' }, { name: 'batch' }]) {
      expect(long.stdout).toMatch(new RegExp(`^  apn ${name}( |$)`, 'm'));
    }
    for (const option of commands.flatMap(({ options }) => options))
      expect([option, long.stdout.includes(option)]).toEqual([option, true]);
  });

  it('speaks with the router: asks for what is to be waited for, prints for people and for programs', async () => {
    const { control, socket } = await real();
    const added = await apn(socket, ['--json', 'apps', 'add', 'shop']);
    expect(added).toMatchObject({ status: 0, stderr: '' });
    expect(JSON.parse(added.stdout)).toMatchObject({ label: 'shop', range: '172.16.10.0/24' });
    expect(control.waits).toEqual([20_000]);
    const [bare, listed, machine, status] = await Promise.all([
      apn(socket, ['apps']),
      apn(socket, ['apps', 'ls']),
      apn(socket, ['--json', 'apps']),
      apn(socket, ['status']),
    ]);
    expect(bare.stdout).toMatch(/^LABEL +RANGE +LINKS +SERVERS\nshop +172\.16\.10\.0\/24 +- +0\n$/);
    expect(listed.stdout).toBe(bare.stdout);
    expect(JSON.parse(machine.stdout)).toHaveLength(1);
    expect(status.stdout).toContain('apn-router is');
    const again = await apn(socket, ['apps', 'add', 'shop']);
    expect([again.status, again.stderr]).toEqual([2, expect.stringMatching(/^apn: label: /)]);
  });

  it('takes the socket from the command line before the environment', async () => {
    const { socket } = await real();
    expect((await apn('/nonexistent', ['--socket', socket, '--json', 'apps'])).stdout).toBe('[]\n');
  });

  it('works through a batch, in order, and ends with the status of what failed', async () => {
    const { control, socket } = await real();
    const lines = [
      'apps add shop',
      '',
      `servers add shop/web --public-key ${publicKey()} --preshared-key`,
      'apps add shop',
      'members add "Anna Lee" --role owner',
      'nonsense',
      'members ls',
    ];
    const { status, stdout, stderr } = await apn(socket, ['batch'], lines.join('\n'));
    expect([status, stderr]).toEqual([2, '']);
    const answers = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(answers).toHaveLength(6);
    expect(answers[0]).toMatchObject({ label: 'shop' });
    expect(answers[1]).toMatchObject({ name: 'web.shop', presharedKey: expect.any(String) });
    expect(answers[2].error).toMatchObject({ code: 2, path: 'label' });
    expect(answers[4].error.code).toBe(2);
    expect(answers[5]).toEqual([expect.objectContaining({ name: 'Anna Lee' })]);
    expect(control.store.snapshot.config.applications).toHaveLength(1);
    expect(await apn(socket, ['batch'], 'apps ls')).toMatchObject({ status: 0 });
  });

  it('follows events, however they are cut into pieces', async () => {
    const socket = await fake((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      const pieces = ['event: summary\nda', 'ta: {"a"', ':1}\n\n: alive\n\nevent: summary\n', 'data: {"a":2}\n', '\n'];
      const next = () => {
        const piece = pieces.shift();
        if (piece === undefined) response.end();
        else response.write(piece, () => setImmediate(next));
      };
      next();
    });
    expect(await apn(socket, ['events'])).toEqual({ status: 0, stdout: '{"a":1}\n{"a":2}\n', stderr: '' });
  });

  it('says so when it may not see the events', async () => {
    const socket = await says(403, { error: { path: '', message: 'You may not do this.' } });
    expect(await apn(socket, ['events'])).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringContaining('403'),
    });
  });
});
