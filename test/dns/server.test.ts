// The sockets: UDP and TCP on loopback, hostile TCP clients, and addresses that come and go.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Server, type ServerOptions } from '../../src/dns/server.ts';
import { compile } from '../../src/dns/tree.ts';
import type { Zone } from '../../src/model/zone.ts';
import { outcome, question, randomNumbers, read, sample } from './sample.ts';
import { askUdp, framed, freePort, openTcpClient, type TcpClient, until } from './sockets.ts';

const loopback = { ...sample.clients[1]!, source: '127.0.0.0/8' };
const zone: Zone = { ...sample, listen: ['127.0.0.1', '127.0.0.2'], clients: [loopback] };
const web = question('web.shop.apn');
const lines: string[] = [];
let port = 0;
let server: Server;
let clients: TcpClient[] = [];

function start(options: Partial<ServerOptions> = {}): Server {
  return new Server({ port, log: (line) => lines.push(line), ...options });
}

async function open(count = 1, from = '127.0.0.1'): Promise<TcpClient[]> {
  const opened = await Promise.all(Array.from({ length: count }, () => openTcpClient(port, from)));
  clients.push(...opened);
  return opened;
}

const answersUdp = async (address = '127.0.0.1') => {
  const reply = await askUdp(port, web, address, 500);
  return reply !== null && read(reply).answers[0] === 'web.shop.apn A 172.16.10.10';
};

beforeEach(async () => {
  port = await freePort();
  lines.length = 0;
  clients = [];
  server = start({ tcp: { idle: 4000, query: 800 } });
  server.use(compile(zone));
  await server.tried();
});
afterEach(() => {
  for (const { socket } of clients) socket.destroy();
  server.close();
});

describe('UDP', () => {
  test('answers from the address that was asked', async () => {
    expect(server.bound).toEqual(['127.0.0.1', '127.0.0.2']);
    // A connected socket takes replies only from there.
    expect(await answersUdp('127.0.0.1')).toBe(true);
    expect(await answersUdp('127.0.0.2')).toBe(true);
  });

  test('lives through 5,000 packets of noise', async () => {
    const random = randomNumbers(5);
    const noise = createSocket('udp4');
    for (let i = 0; i < 5000; i++) {
      const packet = Buffer.from(Array.from({ length: random(100) }, () => random(256)));
      await new Promise((resolve) => noise.send(packet, port, '127.0.0.1', resolve));
    }
    noise.close();
    expect(await until(() => answersUdp(), 'answer after noise')).toBe(true);
  });
});

describe('TCP', () => {
  test('many queries in one connection, in pieces of any size', async () => {
    const [client] = await open();
    const names = ['web.shop.apn', 'nothing.apn', 'www.apn'];
    const stream = Buffer.concat(names.map((name) => framed(question(name))));
    for (let from = 0; from < stream.length; from += 7) {
      client?.socket.write(stream.subarray(from, from + 7));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => client?.replies.length === 3, 'three replies');
    expect(client?.replies.map(outcome)).toEqual(['NOERROR', 'NXDOMAIN', 'NOERROR']);
  });

  test('a client that closes its half first still gets its answer', async () => {
    const [client] = await open();
    client?.socket.end(framed(web));
    await until(() => client?.closed, 'closed');
    expect(client?.replies.length).toBe(1);
  });

  test.each([
    ['a byte at a time, never a whole query', [0, 40, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]],
    ['only half a length', [0]],
  ])('%s: closed in time', async (_, sent) => {
    const [client] = await open();
    const begun = performance.now();
    let next = 0;
    await until(
      async () => {
        if (next < sent.length) client?.socket.write(Buffer.from([sent[next++] ?? 0]));
        await new Promise((resolve) => setTimeout(resolve, 90));
        return client?.closed;
      },
      'closed',
      3000,
    );
    expect(performance.now() - begun).toBeGreaterThan(700);
    expect(await answersUdp()).toBe(true);
  });

  test('idle connections are closed', async () => {
    const [client] = await open();
    await until(() => client?.closed, 'closed', 8000);
  });

  test.each([
    ['a length beyond all queries', Buffer.from([0xff, 0xff, 0, 0])],
    ['a response', framed(Buffer.concat([Buffer.from([0, 1, 0x80]), Buffer.alloc(9)]))],
    ['an empty frame', Buffer.from([0, 0])],
  ])('%s: closed at once', async (_, bytes) => {
    const [client] = await open();
    client?.socket.write(bytes);
    await until(() => client?.closed, 'closed', 700);
  });

  test('a thousand idle connections keep nobody else out', async () => {
    await open(1000);
    expect(server.tcpConnections).toBeLessThanOrEqual(32);
    const [other] = await open(1, '127.0.0.9');
    other?.socket.write(framed(web));
    await until(() => other?.replies.length === 1, 'reply to another client');
    const [same] = await open();
    same?.socket.write(framed(web));
    await until(() => same?.replies.length === 1, 'reply to the same client');
    expect(await answersUdp()).toBe(true);
  });

  test('many clients together are bounded, too', async () => {
    for (let i = 0; i < 20; i++) await open(20, `127.0.1.${i + 1}`);
    await until(() => server.tcpConnections <= 256, 'bounded');
    const [late] = await open(1, '127.0.2.1');
    late?.socket.write(framed(web));
    await until(() => late?.replies.length === 1, 'reply');
  });

  test('a client that never reads is cut off', async () => {
    const [client] = await open();
    client?.socket.pause();
    const many = Buffer.concat(Array.from({ length: 500 }, () => framed(question('nothing.apn'))));
    let failed = false;
    client?.socket.on('error', () => {
      failed = true;
    });
    await until(
      () => {
        if (!failed && (client?.socket.writableLength ?? 0) < 1e6) client?.socket.write(many);
        return failed || server.tcpConnections === 0;
      },
      'cut off',
      10_000,
    );
    expect(await answersUdp()).toBe(true);
  });
});

describe('addresses', () => {
  test('one that cannot be bound yet is tried until it can, and the others answer meanwhile', async () => {
    const taken = createSocket('udp4');
    taken.bind(port, '127.0.0.3');
    await once(taken, 'listening');
    server.use(compile({ ...zone, listen: ['127.0.0.1', '127.0.0.3', '203.0.113.99'] }));
    await server.tried();
    expect(server.bound).toEqual(['127.0.0.1']);
    expect(await answersUdp()).toBe(true);
    taken.close();
    await until(() => server.bound.includes('127.0.0.3'), 'bound');
    expect(await answersUdp('127.0.0.3')).toBe(true);
    expect(lines.filter((line) => line.includes('UDP 203.0.113.99'))).toHaveLength(1);
  });

  test('changes leave the other sockets alone', async () => {
    const [client] = await open();
    server.use(compile({ ...zone, listen: ['127.0.0.1', '127.0.0.4'] }));
    await server.tried();
    client?.socket.write(framed(web));
    await until(() => client?.replies.length === 1, 'reply on the connection from before');
    expect(await answersUdp('127.0.0.4')).toBe(true);
    expect(await answersUdp('127.0.0.2')).toBe(false);
    server.use(compile(zone));
    await until(() => answersUdp('127.0.0.2'), 'back again');
  });
});
