// A gateway on loopback for the tests, and clients that can also misbehave.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { connect } from 'node:tls';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { expect } from 'vitest';
import { makeCertificate } from '../../src/webui/server/certificate.ts';
import type { Gateway } from '../../src/webui/server/gateway.ts';
import { startGateway } from '../../src/webui/server/gateway.ts';
import { parseHost } from '../../src/webui/server/guard.ts';
import type { Limits } from '../../src/webui/server/limits.ts';
import { loadStatic } from '../../src/webui/server/static.ts';

export const SCRIPT = `export const text = ${JSON.stringify('apn '.repeat(500))};\n`;
export const PAGE = '<!doctype html><title>page</title>';

export async function until(
  what: string,
  check: () => boolean | Promise<boolean>,
  milliseconds = 8_000,
): Promise<void> {
  const end = Date.now() + milliseconds;
  while (!(await check())) {
    if (Date.now() > end) throw new Error(`never happened: ${what}`);
    await new Promise((next) => setTimeout(next, 10));
  }
}

export async function freePort(address = '127.0.0.1'): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, address, done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}

export function temporaryFolder(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'webui-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** An app folder with one page and one hashed script in three forms, and a secret beside it. */
export function writeApp(folder: string): string {
  const app = join(folder, 'webui');
  mkdirSync(join(app, 'assets'), { recursive: true });
  writeFileSync(join(folder, 'secret.html'), 'SECRET');
  writeFileSync(join(app, 'index.html'), PAGE);
  writeFileSync(join(app, 'notes.txt'), 'not served');
  writeFileSync(join(app, 'assets/main-ABCD2345.js'), SCRIPT);
  writeFileSync(join(app, 'assets/main-ABCD2345.js.br'), brotliCompressSync(SCRIPT));
  writeFileSync(join(app, 'assets/main-ABCD2345.js.gz'), gzipSync(SCRIPT));
  return app;
}

export interface TestGateway extends Gateway {
  readonly port: number;
  readonly httpPort: number;
  readonly socketPath: string;
  readonly log: string[];
  readonly fatal: Error[];
}

export async function openGateway(
  folder: string,
  limits: Partial<Limits> = {},
  extra: { listen?: readonly string[]; port?: number } = {},
): Promise<TestGateway> {
  const app = writeApp(folder);
  const port = extra.port ?? (await freePort());
  const httpPort = await freePort();
  const log: string[] = [];
  const fatal: Error[] = [];
  const socketPath = join(folder, 'web.sock');
  const gateway = startGateway({
    listen: extra.listen ?? ['127.0.0.1'],
    port,
    httpPort,
    hosts: [parseHost('hub.apn')!, parseHost('localhost:8066')!],
    socketPath,
    files: loadStatic(app),
    pem: makeCertificate(['hub.apn'], new Date(Date.now() - 1_000), new Date(Date.now() + 86_400_000)),
    limits,
    log: (line) => log.push(line),
    fatal: (error) => fatal.push(error),
  });
  await until('the plain port listens', () => log.includes(`listening on 127.0.0.1:${httpPort}`));
  if (extra.port === undefined) {
    await until('the secure port listens', () => log.includes(`listening on 127.0.0.1:${port}`));
  }
  return { ...gateway, port, httpPort, socketPath, log, fatal };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly host?: string;
  readonly plain?: boolean;
}

/** One request on its own connection; the host is `hub.apn` with the right port unless told. */
export function ask(gateway: TestGateway, path: string, options: Ask = {}): Promise<Answer> {
  const port = options.plain ? gateway.httpPort : gateway.port;
  return new Promise((done, failed) => {
    const request = (options.plain ? httpRequest : httpsRequest)(
      {
        host: '127.0.0.1',
        port,
        path,
        method: options.method ?? 'GET',
        headers: { host: options.host ?? `hub.apn:${port}`, ...options.headers },
        rejectUnauthorized: false,
        agent: false,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          done({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks) }),
        );
        response.on('error', failed);
      },
    );
    request.on('error', failed);
    request.end(options.body);
  });
}

export interface Wire {
  readonly socket: TLSSocket;
  readonly text: () => string;
  readonly closed: () => boolean;
}

/** A TLS connection that sends bytes as they are. */
export async function wire(gateway: TestGateway, bytes = ''): Promise<Wire> {
  const socket = connect({ host: '127.0.0.1', port: gateway.port, rejectUnauthorized: false });
  let text = '';
  let closed = false;
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    closed = true;
  });
  let open = false;
  socket.on('secureConnect', () => {
    open = true;
  });
  await until('the connection is made or refused', () => closed || open);
  if (!closed) socket.write(bytes);
  return { socket, text: () => text, closed: () => closed };
}

/** Headers of a raw answer, names in lower case. */
export function headersOf(text: string): IncomingHttpHeaders {
  const lines = text.split('\r\n\r\n', 1)[0]!.split('\r\n').slice(1);
  return Object.fromEntries(
    lines.map((line) => [line.split(':', 1)[0]!.toLowerCase(), line.slice(line.indexOf(':') + 2)]),
  );
}

/** What every answer must carry. */
export function expectStrict(headers: IncomingHttpHeaders): void {
  const policy = String(headers['content-security-policy']);
  expect(policy).toMatch(/^default-src 'none';/);
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).not.toMatch(/unsafe|https?:|\*/);
  expect(headers).toMatchObject({
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'referrer-policy': 'same-origin',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
  });
  expect(headers['cache-control']).toBeDefined();
  expect(headers['access-control-allow-origin']).toBeUndefined();
  expect(headers.server).toBeUndefined();
}
