// The gateway from outside: hosts, headers, redirects, files and the way to the router.
import { rmSync } from 'node:fs';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { FakeControl } from './fake-control.ts';
import { SUMMARY, startFakeControl } from './fake-control.ts';
import type { TestGateway } from './harness.ts';
import { ask, expectStrict, headersOf, openGateway, PAGE, SCRIPT, temporaryFolder, until, wire } from './harness.ts';

const folder = temporaryFolder();
let gateway: TestGateway;
let control: FakeControl;

beforeAll(async () => {
  gateway = await openGateway(folder.path, { answerTimeout: 300, streams: 3, streamsPerClient: 2 });
  control = await startFakeControl(gateway.socketPath);
});
afterAll(async () => {
  await gateway.close();
  await control.close();
  folder.remove();
});
beforeEach(() => {
  control.seen.length = 0;
});

const WRITE = (): Record<string, string> => ({
  'content-type': 'application/json',
  'x-apn': '1',
  origin: `https://hub.apn:${gateway.port}`,
});

describe('hosts', () => {
  test('a rebound name gets nothing, on any path', async () => {
    for (const host of [
      'evil.example',
      `evil.example:${gateway.port}`,
      'hub.apn',
      'localhost',
      `127.0.0.2:${gateway.port}`,
    ]) {
      for (const path of ['/', '/api/summary', '/assets/main-ABCD2345.js', '/none']) {
        const answer = await ask(gateway, path, { host });
        expect(answer.status).toBe(421);
        expectStrict(answer.headers);
        expect(answer.body.toString()).not.toContain('gateway');
      }
    }
    expect(control.seen).toEqual([]);
  });

  test('the name, the address and a configured name with its port are ours', async () => {
    for (const host of [`hub.apn:${gateway.port}`, `127.0.0.1:${gateway.port}`, 'localhost:8066']) {
      expect((await ask(gateway, '/', { host })).body.toString()).toBe(PAGE);
      expect((await ask(gateway, '/api/summary', { host })).status).toBe(200);
    }
  });

  test('a doubled or missing Host and a full URL as target are refused', async () => {
    const good = `Host: hub.apn:${gateway.port}\r\n`;
    for (const [bytes, status] of [
      [`GET / HTTP/1.1\r\n${good}Host: evil.example\r\n\r\n`, 421],
      [`GET / HTTP/1.1\r\n${good}${good}\r\n`, 421],
      ['GET / HTTP/1.1\r\n\r\n', 421],
      [`GET https://hub.apn/ HTTP/1.1\r\n${good}\r\n`, 400],
      [`OPTIONS * HTTP/1.1\r\n${good}\r\n`, 400],
      [`GET / HTTP/1.1\r\n${good}\r\n`, 200],
    ] as const) {
      const connection = await wire(gateway, bytes);
      await until(`an answer to ${bytes}`, () => connection.text().includes('\r\n\r\n'));
      expect(connection.text()).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
      expectStrict(headersOf(connection.text()));
      connection.socket.destroy();
    }
  });
});

describe('plain HTTP', () => {
  test('leads to https on the same, known host', async () => {
    const answer = await ask(gateway, '/servers?x=1', { plain: true });
    expect(answer.status).toBe(308);
    expect(answer.headers.location).toBe(`https://hub.apn:${gateway.port}/servers?x=1`);
    expectStrict(answer.headers);
    const odd = await ask(gateway, '//evil.example/', { plain: true, host: `127.0.0.1:${gateway.httpPort}` });
    expect(new URL(odd.headers.location!).host).toBe(`127.0.0.1:${gateway.port}`);
  });

  test('leads nowhere else, and serves nothing', async () => {
    for (const host of ['evil.example', `evil.example:${gateway.httpPort}`, 'localhost:8066', 'hub.apn']) {
      const answer = await ask(gateway, '/', { plain: true, host });
      expect(answer.status).toBe(421);
      expect(answer.headers.location).toBeUndefined();
      expectStrict(answer.headers);
    }
    const full = await ask(gateway, 'http://evil.example/', { plain: true });
    expect([full.status, full.headers.location]).toEqual([400, undefined]);
    const write = await ask(gateway, '/api/x', { plain: true, method: 'POST', headers: WRITE(), body: '{}' });
    expect(write.status).toBe(405);
    expect(control.seen).toEqual([]);
  });
});

describe('files', () => {
  test('the page is checked every time, hashed files never again', async () => {
    const page = await ask(gateway, '/');
    expect(page.headers).toMatchObject({ 'cache-control': 'no-cache', 'content-type': 'text/html; charset=utf-8' });
    const script = await ask(gateway, '/assets/main-ABCD2345.js?x');
    expect(script.headers['cache-control']).toContain('immutable');
    expect(script.headers['content-type']).toBe('text/javascript; charset=utf-8');
    expectStrict(page.headers);
    expectStrict(script.headers);
  });

  test('the client chooses the compression', async () => {
    const get = (encodings: string) =>
      ask(gateway, '/assets/main-ABCD2345.js', { headers: { 'accept-encoding': encodings } });
    const br = await get('gzip, deflate, br');
    expect(br.headers['content-encoding']).toBe('br');
    expect(brotliDecompressSync(br.body).toString()).toBe(SCRIPT);
    const gzip = await get('br;q=0, gzip;q=0.5');
    expect(gzip.headers['content-encoding']).toBe('gzip');
    expect(gunzipSync(gzip.body).toString()).toBe(SCRIPT);
    expect((await get('*')).headers['content-encoding']).toBe('br');
    for (const encodings of ['', 'identity', 'deflate, zstd', '*;q=0', 'br;q=nonsense']) {
      const identity = await get(encodings);
      expect(identity.headers['content-encoding']).toBeUndefined();
      expect(identity.body.toString()).toBe(SCRIPT);
    }
    expect(new Set([br.headers.etag, gzip.headers.etag, (await get('')).headers.etag]).size).toBe(3);
    expect(br.headers.vary).toBe('Accept-Encoding');
  });

  test('HEAD and If-None-Match send no body', async () => {
    const head = await ask(gateway, '/', { method: 'HEAD' });
    expect(head.headers['content-length']).toBe(String(PAGE.length));
    expect(head.body.length).toBe(0);
    const tag = head.headers.etag!;
    for (const match of [tag, `W/${tag}`, `"other", ${tag}`, '*']) {
      const answer = await ask(gateway, '/', { headers: { 'if-none-match': match } });
      expect([answer.status, answer.body.length]).toEqual([304, 0]);
      expectStrict(answer.headers);
    }
    expect((await ask(gateway, '/', { headers: { 'if-none-match': '"other"' } })).status).toBe(200);
  });

  test('nothing else exists, however it is written', async () => {
    for (const path of [
      '/secret.html',
      '/../secret.html',
      '/%2e%2e/secret.html',
      '/assets/../../secret.html',
      '/assets/..%2f..%2fsecret.html',
      '/assets/%00',
      '//etc/passwd',
      '/index.html',
      '/notes.txt',
      '/assets/main-ABCD2345.js.br',
      '/assets/',
      '/constructor',
      '/apix',
    ]) {
      const answer = await ask(gateway, path);
      expect([path, answer.status]).toEqual([path, 404]);
      expectStrict(answer.headers);
    }
  });

  test('files can only be read', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PROPFIND']) {
      const answer = await ask(gateway, '/', { method });
      expect([answer.status, answer.headers.allow]).toEqual([405, 'GET, HEAD']);
      expectStrict(answer.headers);
    }
  });
});

describe('the way to the router', () => {
  test('only named headers pass, in both directions', async () => {
    const answer = await ask(gateway, '/api/summary?x=1', {
      headers: {
        accept: 'application/json',
        'x-apn-client': '192.0.2.66',
        'x-forwarded-for': '192.0.2.66',
        forwarded: 'for=192.0.2.66',
        authorization: 'Basic YTpi',
        cookie: 'a=b',
        prefer: 'wait=1',
        'if-match': '"7"',
        'x-apn-member': 'owner',
        te: 'trailers',
      },
    });
    expect(JSON.parse(answer.body.toString())).toEqual(SUMMARY);
    expectStrict(answer.headers);
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(answer.headers['x-inner']).toBeUndefined();
    expect(answer.headers['set-cookie']).toBeUndefined();
    expect(control.seen).toHaveLength(1);
    expect(control.seen[0]).toMatchObject({ method: 'GET', url: '/summary?x=1' });
    expect(control.seen[0]!.headers).toEqual({
      accept: 'application/json',
      'if-match': '"7"',
      prefer: 'wait=1',
      host: 'hub.apn',
      'x-apn-client': '127.0.0.1',
      connection: 'close',
    });
  });

  test('the figures and the description are where programs look for them', async () => {
    for (const path of ['/metrics', '/openapi.json'])
      await ask(gateway, path, { headers: { authorization: 'Bearer x' } });
    expect(control.seen.map(({ url }) => url)).toEqual(['/metrics', '/openapi.json']);
    expect(control.seen.map(({ headers }) => headers.authorization)).toEqual(['Bearer x', 'Bearer x']);
    expect((await ask(gateway, '/metrics/')).status).toBe(404);
    expect(control.seen).toHaveLength(2);
  });

  test('a session comes as a cookie that scripts never see, and goes up as a bearer', async () => {
    const made = await ask(gateway, '/api/session', { method: 'POST', headers: WRITE(), body: '{}' });
    expect(made.headers['set-cookie']).toEqual([
      '__Host-apn=apn_session_x-1; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Strict',
    ]);
    expect(made.headers['x-revision']).toBe('7');
    expect(JSON.stringify({ ...made.headers, 'set-cookie': '' }) + made.body.toString()).not.toContain('apn_session');
    const ended = await ask(gateway, '/api/session', { method: 'DELETE', headers: WRITE() });
    expect(ended.headers['set-cookie']).toEqual(['__Host-apn=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict']);
    // Whatever is no session in this form does not become a cookie.
    expect((await ask(gateway, '/api/session')).headers['set-cookie']).toBeUndefined();
    const sent = async (headers: Record<string, string>): Promise<string | undefined> => {
      await ask(gateway, '/api/summary', { headers });
      return control.seen.at(-1)!.headers.authorization;
    };
    expect(await sent({ cookie: 'other=1; __Host-apn=apn_session_x-1' })).toBe('Bearer apn_session_x-1');
    for (const cookie of ['apn=x', '__Host-apn=', '__Host-apn=a b', '__Host-apn=a; __Host-apn=b', 'x__Host-apn=a']) {
      expect(await sent({ cookie })).toBeUndefined();
    }
    expect(await sent({ authorization: 'Bearer apn_token_x' })).toBe('Bearer apn_token_x');
    expect(await sent({ authorization: 'Bearer apn_token_x', cookie: '__Host-apn=y' })).toBe('Bearer apn_token_x');
  });

  test('a token needs no page, a cookie does', async () => {
    const write = async (headers: Record<string, string>) =>
      (await ask(gateway, '/api/leases', { method: 'POST', headers, body: '{}' })).status;
    const json = { 'content-type': 'application/json' };
    expect(await write({ ...json, authorization: 'Bearer apn_token_x' })).toBe(404);
    expect(await write({ authorization: 'Bearer apn_token_x' })).toBe(415);
    expect(await write({ ...json, cookie: '__Host-apn=x' })).toBe(403);
    expect(await write({ ...json, cookie: '__Host-apn=x', authorization: 'Bearer apn_token_x' })).toBe(403);
    expect(await write({ ...json, authorization: 'Basic YTpi' })).toBe(403);
    expect(await write({ ...WRITE(), cookie: '__Host-apn=x' })).toBe(404);
    expect(control.seen).toHaveLength(2);
  });

  test('a client that waits for the machine is waited for', async () => {
    const start = Date.now();
    expect((await ask(gateway, '/api/silent', { headers: { prefer: 'respond-async, wait=1' } })).status).toBe(503);
    expect(Date.now() - start).toBeGreaterThan(1_200);
  });

  test('the router’s own errors come through', async () => {
    const answer = await ask(gateway, '/api/nothing');
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.body.toString())).toEqual({ error: { path: '', message: 'nothing here' } });
    expectStrict(answer.headers);
  });

  test('a write passes with its body, a forged one does not', async () => {
    await ask(gateway, '/api/leases', { method: 'POST', headers: WRITE(), body: '{"a":1}' });
    expect(control.seen[0]).toMatchObject({ method: 'POST', url: '/leases', body: '{"a":1}' });
    for (const headers of [
      { ...WRITE(), origin: 'https://evil.example' },
      { ...WRITE(), 'x-apn': '' },
      { ...WRITE(), 'content-type': 'text/plain' },
      { ...WRITE(), 'sec-fetch-site': 'cross-site' },
    ]) {
      const answer = await ask(gateway, '/api/leases', { method: 'POST', headers, body: '{"a":1}' });
      expect([403, 415]).toContain(answer.status);
      expectStrict(answer.headers);
    }
    expect((await ask(gateway, '/api/leases', { method: 'OPTIONS', headers: WRITE() })).status).toBe(405);
    expect((await ask(gateway, '/api/summary', { headers: { 'sec-fetch-site': 'cross-site' } })).status).toBe(403);
    expect((await ask(gateway, '/api/../x')).status).toBe(404);
    expect(control.seen).toHaveLength(1);
  });

  test('a router that is gone is 503, and used again when it is back', async () => {
    await control.close();
    for (const leftover of [true, false]) {
      if (!leftover) rmSync(gateway.socketPath, { force: true });
      const answer = await ask(gateway, '/api/summary');
      expect([answer.status, answer.headers['retry-after']]).toEqual([503, '2']);
      expect(JSON.parse(answer.body.toString())).toMatchObject({
        error: { message: expect.stringContaining('router') },
      });
      expectStrict(answer.headers);
      expect((await ask(gateway, '/')).status).toBe(200);
    }
    control = await startFakeControl(gateway.socketPath);
    expect((await ask(gateway, '/api/summary')).status).toBe(200);
  });

  test('a router that does not answer is 503 in time', async () => {
    const start = Date.now();
    expect((await ask(gateway, '/api/silent')).status).toBe(503);
    expect(Date.now() - start).toBeLessThan(5_000);
  });
});

describe('event streams', () => {
  const open = (): ReturnType<typeof wire> =>
    wire(gateway, `GET /api/events HTTP/1.1\r\nHost: hub.apn:${gateway.port}\r\nAccept: text/event-stream\r\n\r\n`);

  test('events come at once, one by one, and the router is told when the client goes', async () => {
    const connection = await open();
    await until('the first event', () => connection.text().includes('"state":"up"'));
    const headers = headersOf(connection.text());
    expectStrict(headers);
    expect(headers).toMatchObject({ 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    expect(connection.text()).not.toContain('X-Inner');
    control.send({ ...SUMMARY, state: 'fault' });
    await until('the second event', () => connection.text().includes('"state":"fault"'));
    expect(control.streams.size).toBe(1);
    connection.socket.destroy();
    await until('the router’s side is closed', () => control.streams.size === 0);
  });

  test('a stream outlives the time other answers have, and ends with the router’s', async () => {
    const connection = await open();
    await until('the stream', () => control.streams.size === 1);
    const start = Date.now();
    await until('some time', () => Date.now() - start > 900);
    expect(connection.closed()).toBe(false);
    for (const stream of control.streams) stream.end();
    await until('the end', () => connection.text().endsWith('\r\n0\r\n\r\n'));
    connection.socket.destroy();
  });

  test('a router that dies cuts the stream off', async () => {
    const connection = await open();
    await until('the stream', () => control.streams.size === 1);
    await control.close();
    await until('the end', () => connection.closed());
    control = await startFakeControl(gateway.socketPath);
  });

  test('each client has only a few, and gets its places back', async () => {
    const first = await open();
    const second = await open();
    await until('two streams', () => control.streams.size === 2);
    const refused = await ask(gateway, '/api/events');
    expect([refused.status, refused.headers['retry-after']]).toEqual([429, '10']);
    expectStrict(refused.headers);
    await until('the refused one is closed inside', () => control.streams.size === 2);
    first.socket.destroy();
    await until('one is left', () => control.streams.size === 1);
    const third = await open();
    await until('the third', () => third.text().includes('event: summary'));
    second.socket.destroy();
    third.socket.destroy();
    await until('none is left', () => control.streams.size === 0);
  });

  test('a reader who does not read is cut off, not remembered for', async () => {
    const connection = await open();
    await until('the stream', () => connection.text().includes('event: summary'));
    connection.socket.pause();
    const big = { ...SUMMARY, hostName: 'x'.repeat(100_000) };
    await until('it is cut off', () => {
      control.send(big);
      return control.streams.size === 0;
    });
    connection.socket.destroy();
  });
});
