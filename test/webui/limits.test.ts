// Slow, huge, endless and numerous: what one client may cost, and that others are still served.
import { createServer, connect as tcpConnect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { FakeControl } from './fake-control.ts';
import { startFakeControl } from './fake-control.ts';
import type { TestGateway, Wire } from './harness.ts';
import { ask, expectStrict, freePort, headersOf, openGateway, temporaryFolder, until, wire } from './harness.ts';

let folder: ReturnType<typeof temporaryFolder>;
let gateway: TestGateway;
let control: FakeControl;

async function open(limits: Parameters<typeof openGateway>[1]): Promise<void> {
  gateway = await openGateway(folder.path, limits);
  control = await startFakeControl(gateway.socketPath);
}

beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(async () => {
  await gateway.close();
  await control.close();
  folder.remove();
});

const host = (): string => `Host: hub.apn:${gateway.port}\r\n`;

describe('requests', () => {
  test('huge headers are 431, broken bytes 400, Expect 417: all with our headers, then the end', async () => {
    await open({});
    for (const [bytes, status] of [
      [`GET / HTTP/1.1\r\n${host()}X: ${'a'.repeat(9_000)}\r\n\r\n`, 431],
      [`GET /${'a'.repeat(9_000)} HTTP/1.1\r\n${host()}\r\n`, 431],
      [`NONSENSE\r\n\r\n`, 400],
      [`GET / HTTP/1.1\r\n${host()}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`, 400],
      [`GET / HTTP/1.1\r\n${host()} folded: x\r\nBad Name: x\r\n\r\n`, 400],
      [`POST /api/x HTTP/1.1\r\n${host()}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n`, 417],
      [`POST /api/x HTTP/1.1\r\n${host()}Expect: magic\r\nContent-Length: 5\r\n\r\n`, 417],
    ] as const) {
      const connection = await wire(gateway, bytes);
      await until(`an answer to ${bytes.slice(0, 30)}`, () => connection.text().includes('\r\n\r\n'));
      expect(connection.text()).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      expectStrict(headersOf(connection.text()));
      await until(`the end after ${status}`, () => connection.closed());
    }
    expect(control.seen).toEqual([]);
  });

  test('a request that dribbles is ended with 408, a connection that says nothing is ended', async () => {
    await open({ headersTimeout: 400, requestTimeout: 600, keepAliveTimeout: 300 });
    const slow = await wire(gateway, 'GET / HTTP/1.1\r\n');
    const timer = setInterval(() => slow.socket.write('X: a\r\n'), 50);
    const silent = tcpConnect(gateway.port, '127.0.0.1');
    let silentClosed = false;
    silent
      .on('error', () => {})
      .on('close', () => {
        silentClosed = true;
      });
    const kept = await wire(gateway, `GET / HTTP/1.1\r\n${host()}\r\n`);
    await until('all three are ended', () => slow.closed() && silentClosed && kept.closed());
    clearInterval(timer);
    expect(slow.text()).toMatch(/^HTTP\/1.1 408 /);
    expectStrict(headersOf(slow.text()));
    expect(kept.text()).toMatch(/^HTTP\/1.1 200 /);
  });

  test('a whole file is larger, where one is expected; one at a time of each client', async () => {
    await open({});
    const headers = { 'content-type': 'application/json', 'x-apn': '1', origin: `https://hub.apn:${gateway.port}` };
    const write = (path: string, size: number) =>
      ask(gateway, path, { method: 'POST', headers, body: 'x'.repeat(size) });
    await write('/api/restore', 6 * 1024 * 1024);
    expect(control.seen[0]!.body.length).toBe(6 * 1024 * 1024);
    expect((await write('/api/uplinks/hosted/file', 100_000)).status).toBe(404);
    expect(control.seen.length).toBe(2);
    const head = (path: string, size: number) =>
      `POST ${path} HTTP/1.1\r\n${host()}Content-Type: application/json\r\nX-APN: 1\r\n` +
      `Origin: https://hub.apn:${gateway.port}\r\nContent-Length: ${size}\r\n\r\n`;
    const declared = async (path: string, size: number) => {
      const one = await wire(gateway, head(path, size));
      await until('the end', () => one.closed());
      return Number(/^HTTP\/1.1 (\d+) /.exec(one.text())?.[1]);
    };
    expect(await declared('/api/restore', 6 * 1024 * 1024 + 1)).toBe(413);
    expect(await declared('/api/restored', 65_537)).toBe(413);
    const slow = await wire(gateway, head('/api/restore', 70_000));
    await until('the first one is being read', async () => (await write('/api/restore', 70_000)).status === 429);
    expect((await write('/api/restore', 65_536)).status).toBe(404);
    slow.socket.destroy();
    await until('the next one is read', async () => (await write('/api/restore', 70_000)).status === 404);
  });

  test('bodies: 64 KB pass, one byte more does not, declared or not; an endless one is cut off', async () => {
    await open({ requestTimeout: 2_000, headersTimeout: 1_000 });
    const headers = { 'content-type': 'application/json', 'x-apn': '1', origin: `https://hub.apn:${gateway.port}` };
    const write = (size: number) => ask(gateway, '/api/x', { method: 'POST', headers, body: 'x'.repeat(size) });
    await write(65_536);
    expect(control.seen[0]!.body.length).toBe(65_536);
    const head =
      `POST /api/x HTTP/1.1\r\n${host()}Content-Type: application/json\r\nX-APN: 1\r\n` +
      `Origin: https://hub.apn:${gateway.port}\r\n`;
    const declared = await wire(gateway, `${head}Content-Length: 65537\r\n\r\n`);
    await until('the end', () => declared.closed());
    expect(declared.text()).toMatch(/^HTTP\/1.1 413 /);
    expectStrict(headersOf(declared.text()));
    const endless = await wire(gateway, `${head}Transfer-Encoding: chunked\r\n\r\n`);
    const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`;
    let sent = 0;
    const timer = setInterval(() => {
      endless.socket.write(chunk);
      sent += 1;
    }, 5);
    await until('it is cut off', () => endless.closed());
    clearInterval(timer);
    expect(sent).toBeLessThan(400);
    const trickle = await wire(gateway, `${head}Content-Length: 1000\r\n\r\n{`);
    await until('a body that never comes is given up', () => trickle.closed());
    const read = await wire(gateway, `GET /api/summary HTTP/1.1\r\n${host()}Transfer-Encoding: chunked\r\n\r\n`);
    await until('a read with a body is ended', () => read.closed());
    expect(read.text()).toMatch(/^HTTP\/1.1 400 /);
    const page = await wire(gateway, `GET / HTTP/1.1\r\n${host()}Content-Length: 9999999\r\n\r\nx`);
    await until('so is a page with one', () => page.closed());
    expect(control.seen).toHaveLength(1);
  });
});

describe('streams', () => {
  test('a router that falls silent does not keep a stream open', async () => {
    await open({ streamSilence: 300 });
    const connection = await wire(gateway, `GET /api/events HTTP/1.1\r\n${host()}\r\n`);
    await until('the stream', () => connection.text().includes('event: summary'));
    await until('the end', () => connection.closed());
    await until('the router’s side is closed', () => control.streams.size === 0);
  });
});

describe('connections', () => {
  test('too many from one client are dropped before TLS, and room comes back', async () => {
    await open({ connections: 10, connectionsPerClient: 4 });
    const held: Wire[] = [];
    for (let index = 0; index < 4; index += 1) held.push(await wire(gateway));
    expect(held.every((connection) => !connection.closed())).toBe(true);
    for (let index = 0; index < 20; index += 1) expect((await wire(gateway)).closed()).toBe(true);
    await expect(ask(gateway, '/', { plain: true })).rejects.toThrow();
    expect(held.every((connection) => !connection.closed())).toBe(true);
    held[0]!.socket.destroy();
    await until('there is room again', async () => {
      const answer = await ask(gateway, '/').catch(() => null);
      return answer?.status === 200;
    });
    for (const connection of held) connection.socket.destroy();
  });

  test('another client is still served while one holds all it may', async () => {
    await open({ connections: 10, connectionsPerClient: 4 });
    const held: Wire[] = [];
    for (let index = 0; index < 4; index += 1) held.push(await wire(gateway));
    const answered = await new Promise<boolean>((done) => {
      const socket = tcpConnect({ port: gateway.httpPort, host: '127.0.0.1', localAddress: '127.0.0.9' });
      socket.on('error', () => done(false)).on('close', () => done(false));
      socket.on('data', () => {
        socket.destroy();
        done(true);
      });
      socket.write('GET / HTTP/1.1\r\n\r\n');
    });
    expect(answered).toBe(true);
    for (const connection of held) connection.socket.destroy();
  });

  test('a thousand connections that only open and close leave nothing behind', async () => {
    await open({ connections: 64, connectionsPerClient: 64 });
    for (let round = 0; round < 50; round += 1) {
      await Promise.all(
        Array.from(
          { length: 20 },
          () =>
            new Promise<void>((done) => {
              const socket = tcpConnect(gateway.port, '127.0.0.1', () => socket.end('not tls\r\n'));
              socket.on('error', () => {}).on('close', () => done());
              socket.resume();
            }),
        ),
      );
    }
    await until('it answers as before', async () => (await ask(gateway, '/').catch(() => null))?.status === 200);
  });
});

describe('listeners', () => {
  test('only the named address answers', async () => {
    await open({});
    const refused = await new Promise<string>((done) => {
      const socket = tcpConnect(gateway.port, '127.0.0.2', () => done('open'));
      socket.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? ''));
    });
    expect(refused).toBe('ECONNREFUSED');
  });

  test('an address that is not there yet, or taken, holds up nobody and is tried again', async () => {
    const port = await freePort();
    const squatter = createServer();
    await new Promise<void>((done) => squatter.listen(port, '127.0.0.1', done));
    gateway = await openGateway(folder.path, {}, { listen: ['127.0.0.1', '127.0.0.3', '192.0.2.1'], port });
    control = await startFakeControl(gateway.socketPath);
    await until('the free address listens', () => gateway.log.includes(`listening on 127.0.0.3:${port}`));
    await until('both are said', () => gateway.log.filter((line) => line.includes('yet')).length === 3);
    expect(gateway.log).toContain(`cannot listen on 192.0.2.1:${port} yet (EADDRNOTAVAIL), trying again`);
    expect(gateway.log).toContain(`cannot listen on 127.0.0.1:${port} yet (EADDRINUSE), trying again`);
    await new Promise((done) => squatter.close(done));
    await until('it listens', () => gateway.log.includes(`listening on 127.0.0.1:${port}`));
    expect((await ask(gateway, '/')).status).toBe(200);
    // Said once, however often it was tried.
    expect(gateway.log.filter((line) => line.startsWith(`cannot listen on 192.0.2.1:${port} `))).toHaveLength(1);
    expect(gateway.fatal).toEqual([]);
  });
});
