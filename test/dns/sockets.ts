// Clients and upstreams for the tests of the DNS program's sockets, on loopback.
import { randomInt } from 'node:crypto';
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A port nobody uses right now, for UDP and TCP; below the range the kernel takes client ports from. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_000);
    const udp = createSocket('udp4');
    const tcp = createServer();
    try {
      udp.bind(port);
      await once(udp, 'listening');
      tcp.listen(port);
      await once(tcp, 'listening');
      return port;
    } catch {
      // Taken: another one.
    } finally {
      udp.close();
      tcp.close();
    }
  }
}

/** Polls until the check gives something, else fails at the deadline. */
export async function until<T>(
  check: () => T | Promise<T>,
  what: string,
  milliseconds = 8000,
): Promise<NonNullable<T>> {
  const deadline = performance.now() + milliseconds;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Null when no answer came in time. */
export async function askUdp(
  port: number,
  packet: Buffer,
  address = '127.0.0.1',
  milliseconds = 3000,
): Promise<Buffer | null> {
  const socket = createSocket('udp4');
  socket.connect(port, address);
  await once(socket, 'connect');
  socket.send(packet);
  const reply = await Promise.race([
    // A refused port is an answer that did not come.
    once(socket, 'message').then(
      ([message]) => message as Buffer,
      () => null,
    ),
    new Promise<null>((resolve) => setTimeout(resolve, milliseconds, null).unref()),
  ]);
  socket.close();
  return reply;
}

export function framed(packet: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(packet.length);
  return Buffer.concat([length, packet]);
}

export interface TcpClient {
  readonly socket: Socket;
  readonly replies: Buffer[];
  closed: boolean;
}

export async function openTcpClient(port: number, from = '127.0.0.1'): Promise<TcpClient> {
  const socket = connect({ host: '127.0.0.1', port, localAddress: from });
  const client: TcpClient = { socket, replies: [], closed: false };
  let data = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    data = Buffer.concat([data, chunk]);
    while (data.length >= 2 && data.length >= 2 + data.readUInt16BE(0)) {
      client.replies.push(Buffer.from(data.subarray(2, 2 + data.readUInt16BE(0))));
      data = data.subarray(2 + data.readUInt16BE(0));
    }
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    client.closed = true;
  });
  await new Promise<void>((resolve) => {
    socket.once('connect', resolve);
    socket.once('close', resolve);
  });
  return client;
}

/** A resolver that does as it is told with each query. */
export class Upstream {
  readonly queries: { readonly packet: Buffer; readonly from: RemoteInfo }[] = [];
  readonly tcpQueries: Buffer[] = [];
  behaviour: (packet: Buffer, reply: (bytes: Buffer) => void) => void = (packet, reply) => reply(answered(packet));
  private readonly tcp = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (data: Buffer) => {
      const packet = data.subarray(2);
      this.tcpQueries.push(packet);
      this.behaviour(packet, (bytes) => socket.write(framed(bytes)));
    });
  });
  readonly socket: UdpSocket;
  readonly port: number;
  private constructor(socket: UdpSocket, port: number) {
    this.socket = socket;
    this.port = port;
  }

  static async open(): Promise<Upstream> {
    const socket = createSocket('udp4');
    socket.bind(await freePort(), '127.0.0.1');
    await once(socket, 'listening');
    const upstream = new Upstream(socket, socket.address().port);
    socket.on('message', (packet, from) => {
      upstream.queries.push({ packet, from });
      upstream.behaviour(packet, (bytes) => socket.send(bytes, from.port, from.address));
    });
    upstream.tcp.listen(upstream.port, '127.0.0.1');
    await once(upstream.tcp, 'listening');
    return upstream;
  }

  /** May be repeated. */
  close(): void {
    if (!this.tcp.listening) return;
    this.socket.close();
    this.tcp.close();
  }
}

/** The query as a response with one address record after it: bytes 0–11 and the question unchanged but for QR. */
export function answered(packet: Buffer): Buffer {
  const reply = Buffer.concat([packet, Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7])]);
  reply[2] = (reply[2] ?? 0) | 0x80;
  reply[7] = 1;
  return reply;
}
