// The gateway: HTTPS and redirecting HTTP servers on given addresses, checked before anything is routed.

import { constants } from 'node:crypto';
import type { Server as HttpServer, IncomingMessage, ServerOptions, ServerResponse } from 'node:http';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import type { HostEntry } from './guard.ts';
import { hostOfAddress, isApi, matchHost, originOf } from './guard.ts';
import type { Refusal } from './headers.ts';
import { hasBody, isRead, rawRefusal, refuse, SECURITY_HEADERS } from './headers.ts';
import type { Limits } from './limits.ts';
import { clientKey, LIMITS, Quota } from './limits.ts';
import { keepListening } from './listen.ts';
import { createProxy } from './proxy.ts';
import type { StaticFile } from './static.ts';
import { serveStatic } from './static.ts';

export interface GatewayOptions {
  readonly listen: readonly string[];
  readonly port: number;
  readonly httpPort: number;
  /** Host values besides the listen addresses. */
  readonly hosts: readonly HostEntry[];
  /** The router's control socket for the web UI. */
  readonly socketPath: string;
  readonly files: ReadonlyMap<string, StaticFile>;
  /** PEM text holding key and certificate. */
  readonly pem: string;
  readonly limits?: Partial<Limits>;
  readonly log: (line: string) => void;
  readonly fatal: (error: Error) => void;
}

export interface Gateway {
  renew(pem: string): void;
  /** Ends every connection; settles when all ports are free. */
  close(): Promise<void>;
}

const WRONG_HOST: Refusal = { status: 421, message: 'This box does not answer to that name.' };
const BAD_TARGET: Refusal = { status: 400, message: 'The request is not understood.' };
const READ_WITH_BODY: Refusal = { status: 400, message: 'A read has no body.' };
const NO_EXPECT: Refusal = { status: 417, message: 'Expect is not used here.' };

export function startGateway(options: GatewayOptions): Gateway {
  const limits = { ...LIMITS, ...options.limits };
  const entries = [...options.hosts, ...options.listen.map(hostOfAddress)];
  const plainEntries = entries.filter((entry) => entry.port === null);
  const proxy = createProxy(options.socketPath, limits);
  const connections = new Quota(limits.connections, limits.connectionsPerClient);
  const open = new Set<Socket>();

  function onSecure(request: IncomingMessage, response: ServerResponse): void {
    const port = request.socket.localPort ?? 0;
    const entry = matchHost(entries, request.headersDistinct.host, port, 443);
    if (entry === null) refuse(request, response, WRONG_HOST);
    else if (!request.url!.startsWith('/')) refuse(request, response, BAD_TARGET);
    else if (isRead(request) && hasBody(request)) refuse(request, response, READ_WITH_BODY);
    else if (isApi(request.url!)) proxy.handle(request, response, originOf(entry, port));
    else serveStatic(options.files, request, response);
  }

  function onPlain(request: IncomingMessage, response: ServerResponse): void {
    const entry = matchHost(plainEntries, request.headersDistinct.host, request.socket.localPort ?? 0, 80);
    if (entry === null) refuse(request, response, WRONG_HOST);
    else if (!request.url!.startsWith('/')) refuse(request, response, BAD_TARGET);
    else if (!isRead(request)) {
      refuse(request, response, { status: 405, message: 'Use https.', headers: { Allow: 'GET, HEAD' } });
    } else if (hasBody(request)) refuse(request, response, READ_WITH_BODY);
    else {
      // The host is one of ours, never the text that was sent.
      const location = originOf(entry, options.port) + request.url!;
      response.writeHead(308, {
        ...SECURITY_HEADERS,
        Location: location,
        'Cache-Control': 'no-store',
        'Content-Length': 0,
      });
      response.end();
    }
  }

  /** Counts connections before TLS spends anything on them: our listener stands in front of the server's own. */
  function admit(server: HttpServer): void {
    const inner = server.listeners('connection') as ((socket: Socket) => void)[];
    server.removeAllListeners('connection');
    server.on('connection', (socket: Socket) => {
      const release = socket.remoteAddress === undefined ? null : connections.take(clientKey(socket.remoteAddress));
      if (release === null) {
        socket.destroy();
        return;
      }
      open.add(socket);
      socket.on('close', () => {
        open.delete(socket);
        release();
      });
      for (const listener of inner) listener.call(server, socket);
    });
  }

  function prepare<S extends HttpServer>(server: S): S {
    server.maxRequestsPerSocket = 200;
    server.timeout = limits.idleTimeout;
    const noExpect = (request: IncomingMessage, response: ServerResponse): void => refuse(request, response, NO_EXPECT);
    // An answer to a client that has gone is no error of ours.
    server.on('request', (_request, response: ServerResponse) => response.on('error', () => response.destroy()));
    server.on('checkContinue', noExpect).on('checkExpectation', noExpect);
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => answerBroken(error, socket));
    admit(server);
    return server;
  }

  const http: ServerOptions = {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersTimeout,
    requestTimeout: limits.requestTimeout,
    keepAliveTimeout: limits.keepAliveTimeout,
    // Node looks at these limits only this often.
    connectionsCheckingInterval: Math.min(2_000, limits.headersTimeout),
    // We answer a missing Host ourselves, with our headers.
    requireHostHeader: false,
  };
  const secure = options.listen.map(() =>
    prepare(createHttpsServer({ ...http, ...tls(options.pem), handshakeTimeout: limits.headersTimeout }, onSecure)),
  );
  const plain = options.listen.map(() => prepare(createHttpServer(http, onPlain)));
  const hooks = { log: options.log, fatal: options.fatal };
  const stops = options.listen.flatMap((address, index) => [
    keepListening(secure[index]!, address, options.port, hooks),
    keepListening(plain[index]!, address, options.httpPort, hooks),
  ]);

  return {
    renew(pem) {
      for (const server of secure) server.setSecureContext(tls(pem));
    },
    async close() {
      for (const stop of stops) stop();
      const closed = [...secure, ...plain].map((server) => new Promise<void>((done) => server.close(() => done())));
      for (const socket of open) socket.destroy();
      await Promise.all(closed);
    },
  };
}

function tls(pem: string): SecureContextOptions {
  return { key: pem, cert: pem, minVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_RENEGOTIATION };
}

/** An answer to bytes that are not a request, then the end; a client that goes on sending is cut off after a second. */
function answerBroken(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  if (error.code === 'HPE_HEADER_OVERFLOW')
    socket.end(rawRefusal({ status: 431, message: 'The headers are too large.' }));
  else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    socket.end(rawRefusal({ status: 408, message: 'The request took too long.' }));
  } else socket.end(rawRefusal(BAD_TARGET));
  setTimeout(() => socket.destroy(), 1_000).unref();
}
