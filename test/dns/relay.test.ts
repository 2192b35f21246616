// Foreign names: what unbound is asked, and what of its replies is believed.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Server } from '../../src/dns/server.ts';
import { compile, degrade } from '../../src/dns/tree.ts';
import type { Zone } from '../../src/model/zone.ts';
import { outcome, question, read, sample } from './sample.ts';
import { answered, askUdp, framed, freePort, openTcpClient, Upstream, until } from './sockets.ts';

const loopback = { ...sample.clients[1]!, source: '127.0.0.0/8' };
const query = question('wWw.Example.Net');
let port = 0;
let upstream: Upstream;
let server: Server;
let zone: Zone;

beforeEach(async () => {
  port = await freePort();
  upstream = await Upstream.open();
  server = new Server({
    ...{ port, log: () => {} },
    relay: { timeout: 600, inFlightPerClient: 20, sockets: 4, usesPerSocket: 8 },
  });
  zone = {
    ...sample,
    listen: ['127.0.0.1'],
    clients: [loopback],
    relay: { address: '127.0.0.1', port: upstream.port },
  };
  server.use(compile(zone));
  await server.tried();
});
afterEach(() => {
  server.close();
  upstream.close();
});

const ask = async (packet = query) => (await askUdp(port, packet)) ?? Buffer.alloc(0);

test('bytes go and come back as they are, but for the id', async () => {
  const odd = Buffer.concat([query, Buffer.from('00002904d0000080000007ffee0003010203', 'hex')]);
  odd[11] = 1;
  const reply = await ask(odd);
  const [sent] = upstream.queries;
  expect(sent?.packet.subarray(2)).toEqual(odd.subarray(2));
  expect(reply.subarray(2)).toEqual(answered(odd).subarray(2));
  expect(reply.readUInt16BE(0)).toBe(0x1234);
});

test('ids and source ports are many', async () => {
  for (let i = 0; i < 100; i++) await ask();
  expect(new Set(upstream.queries.map(({ packet }) => packet.readUInt16BE(0))).size).toBeGreaterThan(90);
  expect(new Set(upstream.queries.map(({ from }) => from.port)).size).toBeGreaterThan(10);
});

test('truncated replies are passed on as they are', async () => {
  upstream.behaviour = (packet, reply) => {
    const cut = Buffer.from(packet);
    cut[2] = 0x83;
    reply(cut);
  };
  expect(read(await ask())).toMatchObject({ tc: true, answers: [] });
});

describe('replies that are not the answer', () => {
  const wrong: Record<string, (packet: Buffer) => Buffer> = {
    'another id': (packet) => {
      const reply = answered(packet);
      reply[0] = (reply[0] ?? 0) ^ 1;
      return reply;
    },
    'another question': (packet) => {
      const reply = answered(packet);
      reply[13] = 'x'.charCodeAt(0);
      return reply;
    },
    'another case': (packet) => {
      const reply = answered(packet);
      reply[13] = (reply[13] ?? 0) ^ 0x20;
      return reply;
    },
    'a query': (packet) => packet,
    'no question': (packet) => Buffer.concat([packet.subarray(0, 2), Buffer.from('81800000000000000000', 'hex')]),
    'three bytes': (packet) => packet.subarray(0, 3),
  };
  test.each(Object.keys(wrong))('%s: ignored, SERVFAIL in the end', async (kind) => {
    upstream.behaviour = (packet, reply) => reply(wrong[kind]?.(packet) ?? packet);
    expect(outcome(await ask())).toBe('SERVFAIL');
  });
  test.each(Object.keys(wrong))('%s: the right one after it still counts', async (kind) => {
    upstream.behaviour = (packet, reply) => {
      reply(wrong[kind]?.(packet) ?? packet);
      reply(answered(packet));
    };
    expect(outcome(await ask())).toBe('NOERROR');
  });
});

test('silence is SERVFAIL, and a late reply harms nobody', async () => {
  const late: (() => void)[] = [];
  upstream.behaviour = (packet, reply) => late.push(() => reply(answered(packet)));
  const begun = performance.now();
  expect(outcome(await ask())).toBe('SERVFAIL');
  expect(performance.now() - begun).toBeGreaterThan(500);
  for (const send of late) send();
  upstream.behaviour = (packet, reply) => reply(answered(packet));
  expect(outcome(await ask())).toBe('NOERROR');
});

test('without anywhere to ask, foreign names fail at once and own names go on', async () => {
  server.use(compile({ ...zone, relay: null }));
  const begun = performance.now();
  expect(outcome(await ask())).toBe('SERVFAIL');
  expect(performance.now() - begun).toBeLessThan(500);
  expect(outcome(await ask(question('web.apn')))).toBe('NOERROR');
  expect(upstream.queries).toEqual([]);
});

test('with the relay down, foreign names fail at once and own names go on', async () => {
  upstream.close();
  const begun = performance.now();
  expect(outcome(await ask())).toBe('SERVFAIL');
  expect(performance.now() - begun).toBeLessThan(500);
  expect(outcome(await ask(question('web.apn')))).toBe('NOERROR');
  upstream = await Upstream.open();
  server.use(compile({ ...zone, relay: { address: '127.0.0.1', port: upstream.port } }));
  expect(outcome(await ask())).toBe('NOERROR');
});

test('one client’s questions under way are bounded', async () => {
  upstream.behaviour = () => {};
  const all = await Promise.all(Array.from({ length: 60 }, () => ask()));
  expect(all.map(outcome)).toEqual(Array(60).fill('SERVFAIL'));
  expect(upstream.queries.length).toBe(20);
  upstream.behaviour = (packet, reply) => reply(answered(packet));
  expect(outcome(await ask())).toBe('NOERROR');
});

test('TCP is relayed over TCP, and its failures are SERVFAIL', async () => {
  const client = await openTcpClient(port);
  client.socket.write(Buffer.concat([framed(query), framed(question('web.apn'))]));
  await until(() => client.replies.length === 2, 'replies');
  expect(client.replies.map(outcome)).toEqual(['NOERROR', 'NOERROR']);
  expect(upstream.tcpQueries[0]?.subarray(2)).toEqual(query.subarray(2));
  expect(upstream.queries).toHaveLength(0);
  upstream.behaviour = (packet, reply) => {
    const other = answered(packet);
    other[13] = 0x78;
    reply(other);
  };
  client.socket.write(framed(query));
  await until(() => client.replies.length === 3, 'reply');
  upstream.behaviour = () => {};
  client.socket.write(framed(query));
  await until(() => client.replies.length === 4, 'reply');
  upstream.close();
  client.socket.write(framed(query));
  await until(() => client.replies.length === 5, 'reply');
  expect(client.replies.slice(2).map(outcome)).toEqual(['SERVFAIL', 'SERVFAIL', 'SERVFAIL']);
  client.socket.destroy();
});

test('own names, single labels and private reverse names are never sent on', async () => {
  const names = ['nothing.apn', 'printer', '1.0.0.10.in-addr.arpa', 'x.localhost', 'use-application-dns.net'];
  for (const name of names) await ask(question(name));
  server.use(degrade(compile(zone)));
  for (const name of names) await ask(question(name));
  expect(upstream.queries).toHaveLength(0);
  expect(outcome(await ask())).toBe('NOERROR');
});
