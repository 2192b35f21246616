// The TCP side of one local address (RFC 7766): length-prefixed queries, many per connection, answers in any order.
import { createServer, type Socket } from 'node:net';
import type { Open } from './binding.ts';
import type { Responder } from './server.ts';

export interface TcpLimits {
  readonly connections: number;
  readonly connectionsPerClient: number;
  /** Milliseconds a connection may stay without a whole query. */
  readonly idle: number;
  /** Milliseconds from the first byte of a query to its last. */
  readonly query: number;
}

export const tcpLimits: TcpLimits = { connections: 256, connectionsPerClient: 32, idle: 10_000, query: 3000 };

const longestQuery = 4096;
/** Bytes of answers a client may leave unread. */
const mostUnread = 256 * 1024;

interface Connection {
  readonly socket: Socket;
  readonly client: string;
  /** Milliseconds, monotonic: the last whole query, or the start. */
  last: number;
  /** When the query in `rest` began. */
  began: number;
  rest: Buffer;
  waiting: number;
  ended: boolean;
}

/** The connections of all local addresses, longest idle first. When there are too many, that one makes room. */
export class Connections {
  private readonly all = new Set<Connection>();
  private readonly limits: TcpLimits;
  private sweeper: NodeJS.Timeout | null = null;

  constructor(limits: TcpLimits = tcpLimits) {
    this.limits = limits;
  }

  get size(): number {
    return this.all.size;
  }

  accept(socket: Socket, responder: Responder): void {
    const client = socket.remoteAddress;
    socket.on('error', () => socket.destroy());
    if (client === undefined) {
      socket.destroy();
      return;
    }
    this.makeRoom(client);
    const now = performance.now();
    const connection: Connection = {
      ...{ socket, client, last: now, began: now, rest: Buffer.alloc(0), waiting: 0, ended: false },
    };
    this.all.add(connection);
    this.sweeper ??= setInterval(() => this.sweep(), 250);
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.take(connection, chunk, responder));
    socket.on('end', () => {
      connection.ended = true;
      finishIfDone(connection);
    });
    socket.on('close', () => {
      this.all.delete(connection);
      if (this.all.size === 0 && this.sweeper !== null) {
        clearInterval(this.sweeper);
        this.sweeper = null;
      }
    });
  }

  close(): void {
    for (const { socket } of this.all) socket.destroy();
  }

  private take(connection: Connection, chunk: Buffer, responder: Responder): void {
    if (connection.rest.length === 0) connection.began = performance.now();
    let data = connection.rest.length === 0 ? chunk : Buffer.concat([connection.rest, chunk]);
    while (data.length >= 2) {
      const length = data.readUInt16BE(0);
      if (length > longestQuery) {
        connection.socket.destroy();
        return;
      }
      if (data.length < 2 + length) break;
      this.touch(connection);
      respond(connection, data.subarray(2, 2 + length), responder);
      if (connection.socket.destroyed) return;
      data = data.subarray(2 + length);
    }
    // A copy: a view would keep the whole chunk alive.
    connection.rest = Buffer.from(data);
  }

  private touch(connection: Connection): void {
    connection.last = performance.now();
    connection.began = connection.last;
    this.all.delete(connection);
    this.all.add(connection);
  }

  private makeRoom(client: string): void {
    const own = [...this.all].filter((connection) => connection.client === client);
    const first = this.all.values().next().value;
    if (own.length >= this.limits.connectionsPerClient) this.evict(own[0]);
    else if (this.all.size >= this.limits.connections) this.evict(first);
  }

  private evict(connection: Connection | undefined): void {
    if (connection === undefined) return;
    this.all.delete(connection);
    connection.socket.destroy();
  }

  private sweep(): void {
    const now = performance.now();
    for (const { socket, last, began, rest, waiting } of this.all) {
      const slow = rest.length > 0 && now - began > this.limits.query;
      const idle = waiting === 0 && now - last > this.limits.idle;
      if (slow || idle) socket.destroy();
    }
  }
}

function respond(connection: Connection, packet: Buffer, responder: Responder): void {
  const reply = responder.answer(connection.client, packet, 'tcp');
  // Not DNS: there is nothing to wait for on this connection.
  if (reply === 'drop') connection.socket.destroy();
  else if (reply !== 'relay') write(connection, reply);
  else {
    connection.waiting++;
    responder.relay(connection.client, Buffer.from(packet), 'tcp', (relayed) => {
      connection.waiting--;
      write(connection, relayed);
      finishIfDone(connection);
    });
  }
}

function write({ socket }: Connection, reply: Buffer): void {
  if (!socket.writable) return;
  const framed = Buffer.allocUnsafe(2 + reply.length);
  framed.writeUInt16BE(reply.length, 0);
  reply.copy(framed, 2);
  socket.write(framed);
  if (socket.writableLength > mostUnread) socket.destroy();
}

/** A client may close its half after the last query and still wants the answers. */
function finishIfDone({ socket, ended, waiting }: Connection): void {
  if (ended && waiting === 0) socket.end();
}

export function openTcp(address: string, port: number, responder: Responder, connections: Connections): Open {
  return (lost) =>
    new Promise((resolve, reject) => {
      let open = false;
      const server = createServer({ allowHalfOpen: true }, (socket) => connections.accept(socket, responder));
      const close = () => {
        open = false;
        server.close();
      };
      server.on('error', (error) => {
        const wasOpen = open;
        close();
        if (wasOpen) lost(error);
        else reject(error);
      });
      server.listen({ host: address, port, ipv6Only: true, exclusive: true, backlog: 128 }, () => {
        open = true;
        resolve(close);
      });
    });
}
