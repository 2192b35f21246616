// A stand-in for the router's web socket: real HTTP on a unix socket, with a summary the test sets.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { Summary } from '../../src/webui/app/summary.ts';

export const SUMMARY: Summary = {
  hostName: 'gateway',
  state: 'up',
  revision: 14,
  appliedRevision: 14,
  uptimeSeconds: 273_840,
  tunnel: { up: true, listenPort: 51_820 },
  counts: {
    applications: 2,
    servers: 3,
    serversConnected: 3,
    devices: 5,
    devicesConnected: 2,
    lanDevices: 11,
    leases: 2,
    rules: 4,
  },
  rxBytes: 8_123_456_789,
  txBytes: 21_987_654_321,
  conditions: [],
};

export interface FakeControl {
  /** Every request seen, newest last. */
  readonly seen: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[];
  readonly streams: Set<ServerResponse>;
  send(summary: Summary): void;
  close(): Promise<void>;
}

export async function startFakeControl(socketPath: string, first: Summary = SUMMARY): Promise<FakeControl> {
  let summary = first;
  const seen: FakeControl['seen'] = [];
  const streams = new Set<ServerResponse>();
  const event = (): string => `event: summary\ndata: ${JSON.stringify(summary)}\n\n`;

  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk;
    });
    request.on('end', () => {
      seen.push({ method: request.method!, url: request.url!, headers: request.headers, body });
      const path = request.url!.split('?', 1)[0];
      if (path === '/events') {
        response.writeHead(200, { 'Content-Type': 'text/event-stream', 'X-Inner': 'secret' });
        response.write(event());
        streams.add(response);
        response.on('close', () => streams.delete(response));
      } else if (path === '/summary') {
        response.writeHead(200, { 'Content-Type': 'application/json', 'Set-Cookie': 'a=b', 'X-Inner': 'secret' });
        response.end(JSON.stringify(summary));
      } else if (path === '/session') {
        const session = { POST: 'apn_session_x-1; max-age=60', DELETE: '; max-age=0', GET: 'a b; Domain=x' }[
          request.method!
        ];
        response.writeHead(200, { 'Content-Type': 'application/json', 'X-Apn-Session': session!, 'X-Revision': '7' });
        response.end('{}');
      } else if (path === '/silent') {
        // Never answers.
      } else {
        response.writeHead(404, { 'Content-Type': 'application/json' });
        response.end(JSON.stringify({ error: { path: '', message: 'nothing here' } }));
      }
    });
  });
  await new Promise<void>((done, failed) => {
    server.once('error', failed);
    server.listen(socketPath, done);
  });
  return {
    seen,
    streams,
    send(next) {
      summary = next;
      for (const stream of streams) stream.write(event());
    },
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}
