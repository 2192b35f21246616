// Hands `/api/*` to the router's control socket: only named headers pass in either direction, and event streams unbuffered.
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { request as httpRequest } from 'node:http';
import { apiTarget, cookieOf, credentialOf, refuseForged } from './guard.ts';
import { isRead, refuse, SECURITY_HEADERS } from './headers.ts';
import type { Limits } from './limits.ts';
import { clientKey, Quota } from './limits.ts';

// Everything else a client sends, hop-by-hop headers and claims about who it is included, ends here.
const PASSED_UP = ['accept', 'content-type', 'if-match', 'if-none-match', 'last-event-id', 'prefer'] as const;
const PASSED_DOWN = [
  ...(['content-type', 'content-length', 'content-disposition', 'etag', 'retry-after', 'allow'] as const),
  ...(['x-revision', 'x-applied'] as const),
];
/** Seconds that a client may have the router wait for the machine (`Prefer: wait=N`), beside the usual time. */
const LONGEST_WAIT = 30;
/** A backup to restore, another network's WireGuard file. */
const FILES = /^\/(restore|uplinks(\/[^?]*)?)$/;
const ROUTER_AWAY = {
  status: 503,
  message: 'The router is not running. It is started again by itself.',
  headers: { 'Retry-After': '2' },
};

export interface Proxy {
  handle(request: IncomingMessage, response: ServerResponse, origin: string): void;
}

export function createProxy(socketPath: string, limits: Limits): Proxy {
  const streams = new Quota(limits.streams, limits.streamsPerClient);
  const files = new Quota(limits.files, limits.filesPerClient);

  function forward(request: IncomingMessage, response: ServerResponse, path: string, body: Buffer | null): void {
    const client = request.socket.remoteAddress ?? '';
    if (client === '' || response.destroyed) {
      response.destroy();
      return;
    }
    const { authorization } = credentialOf(request.headers);
    const upstream: ClientRequest = httpRequest({
      socketPath,
      path,
      method: request.method!,
      headers: {
        ...pick(request.headers, PASSED_UP),
        host: 'hub.apn',
        'x-apn-client': client,
        ...(authorization === null ? {} : { authorization }),
        ...(body === null ? {} : { 'content-length': body.length }),
      },
      maxHeaderSize: 16 * 1024,
      // A connection kept from before a restart of the router would fail its first request.
      agent: false,
    });
    upstream.setTimeout(limits.answerTimeout + waitOf(request), () => upstream.destroy(new Error('no answer')));
    upstream.on('error', () => refuse(request, response, ROUTER_AWAY));
    upstream.on('response', (answer) => {
      answer.on('error', () => response.destroy());
      if (/^text\/event-stream\b/.test(answer.headers['content-type'] ?? '')) {
        stream(request, response, upstream, answer, client);
        return;
      }
      response.writeHead(answer.statusCode!, {
        ...SECURITY_HEADERS,
        'Cache-Control': 'no-store',
        ...pick(answer.headers, PASSED_DOWN),
        ...setCookie(answer.headers),
      });
      answer.pipe(response);
    });
    response.on('close', () => upstream.destroy());
    upstream.end(body ?? undefined);
  }

  function stream(
    request: IncomingMessage,
    response: ServerResponse,
    upstream: ClientRequest,
    answer: IncomingMessage,
    client: string,
  ): void {
    const release = streams.take(clientKey(client));
    if (release === null) {
      refuse(request, response, {
        status: 429,
        message: 'Too many live views are open from this address.',
        headers: { 'Retry-After': '10' },
      });
      upstream.destroy();
      return;
    }
    response.on('close', release);
    upstream.setTimeout(limits.streamSilence);
    response.writeHead(answer.statusCode!, {
      ...SECURITY_HEADERS,
      'Cache-Control': 'no-store',
      'Content-Type': 'text/event-stream',
    });
    response.flushHeaders();
    // Not `pipe`: back pressure would make the router remember for a reader who does not read.
    answer.on('data', (chunk: Buffer) => {
      if (response.destroyed) return;
      response.write(chunk);
      if (response.writableLength > limits.streamBacklog) response.destroy();
    });
    answer.on('end', () => response.end());
  }

  return {
    handle(request, response, origin) {
      const path = apiTarget(request.url!);
      if (path === null) {
        refuse(request, response, { status: 404, message: 'There is no such address.' });
        return;
      }
      const refusal = refuseForged(request.method!, request.headers, origin);
      if (refusal !== null) {
        refuse(request, response, refusal);
        return;
      }
      if (isRead(request)) {
        forward(request, response, path, null);
        return;
      }
      const isFile = FILES.test(path) && Number(request.headers['content-length'] ?? 0) > limits.bodyBytes;
      const release = isFile ? files.take(clientKey(request.socket.remoteAddress ?? '')) : () => {};
      if (release === null) {
        const headers = { 'Retry-After': '5' };
        refuse(request, response, { status: 429, message: 'Other files are being read: try again.', headers });
        return;
      }
      response.on('close', release);
      const limit = isFile ? limits.fileBytes : limits.bodyBytes;
      readBody(request, limit, (body) => {
        const message = `The request is larger than ${limit / 1024} KB.`;
        if (body === null) refuse(request, response, { status: 413, message });
        else forward(request, response, path, body);
      });
    },
  };
}

/** The text of a session is for the cookie alone: a page's script never sees it. */
function setCookie(headers: IncomingHttpHeaders): Record<string, string> {
  const header = headers['x-apn-session'];
  const cookie = typeof header === 'string' ? cookieOf(header) : null;
  return cookie === null ? {} : { 'Set-Cookie': cookie };
}

/** Milliseconds. */
function waitOf({ headers }: IncomingMessage): number {
  const seconds = /(?:^|[,; ])wait=(\d{1,3})/.exec(String(headers['prefer'] ?? ''))?.[1] ?? 0;
  return Math.min(Number(seconds), LONGEST_WAIT) * 1000;
}

/** Collects a body; null as soon as it is known to be longer than `limit` bytes. A broken connection calls nothing. */
function readBody(request: IncomingMessage, limit: number, done: (body: Buffer | null) => void): void {
  if (Number(request.headers['content-length'] ?? 0) > limit) {
    done(null);
    return;
  }
  const chunks: Buffer[] = [];
  let size = 0;
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > limit) {
      request.removeAllListeners('data').removeAllListeners('end').pause();
      done(null);
    } else chunks.push(chunk);
  });
  request.on('end', () => done(Buffer.concat(chunks)));
}

function pick(headers: IncomingHttpHeaders, names: readonly string[]): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const name of names) {
    const value = headers[name];
    if (typeof value === 'string') picked[name] = value;
  }
  return picked;
}
