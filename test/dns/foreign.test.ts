// Foreign domains: asked of their own servers by those who reach one of them, in order, and of nobody else whatever happens.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { answer } from '../../src/dns/answer.ts';
import { Server } from '../../src/dns/server.ts';
import { compile, degrade } from '../../src/dns/tree.ts';
import type { Zone } from '../../src/model/zone.ts';
import { outcome, question, read, sample } from './sample.ts';
import { askUdp, framed, freePort, openTcpClient, Upstream, until } from './sockets.ts';

const guest = { ...sample.clients[0]!, source: '127.0.0.2/32' };
const member = { ...sample.clients[0]!, source: '127.0.0.0/8', reach: ['127.0.0.1/32'] };
const corp = { domain: 'corp.example.net', servers: ['127.0.0.1'] };
const zone: Zone = { ...sample, listen: ['127.0.0.1'], clients: [guest, member], relays: [corp] };
const wiki = question('wiki.corp.example.net');

let port = 0;
let server: Server;
/** The foreign server, and unbound. */
let [theirs, ours] = [] as unknown as [Upstream, Upstream];

beforeEach(async () => {
  [theirs, ours] = [await Upstream.open(), await Upstream.open()];
  port = await freePort();
  server = new Server({ port, log: () => {}, relay: { timeout: 300 }, foreignPort: theirs.port });
  server.use(compile({ ...zone, relay: { address: '127.0.0.1', port: ours.port } }));
  await server.tried();
});
afterEach(() => {
  server.close();
  theirs.close();
  ours.close();
});

const seen = (table: Parameters<typeof answer>[0], source: string, name: string) =>
  outcome(answer(table, source, question(name), 'udp'));

test('names below the domain exist for those who reach a server of it; a longer domain counts first', () => {
  const table = compile({ ...zone, relays: [corp, { domain: 'a.corp.example.net', servers: ['127.0.0.9'] }] });
  expect(seen(table, '127.0.0.1', 'wiki.corp.example.net')).toBe('relay');
  expect(seen(table, '127.0.0.1', 'corp.example.net')).toBe('relay');
  expect(seen(table, '127.0.0.2', 'wiki.corp.example.net')).toBe('NXDOMAIN');
  // Its server is not reached.
  expect(seen(table, '127.0.0.1', 'x.a.corp.example.net')).toBe('NXDOMAIN');
  expect(seen(table, '127.0.0.2', 'example.net')).toBe('relay');
  expect(seen(table, '127.0.0.2', 'notcorp.example.net')).toBe('relay');
  expect(seen(table, '192.0.2.1', 'wiki.corp.example.net')).toBe('REFUSED');
});

test('a single label is asked where it is a domain', () => {
  const table = compile({ ...zone, relays: [{ domain: 'corp', servers: ['127.0.0.1'] }] });
  expect(seen(table, '127.0.0.1', 'wiki.corp')).toBe('relay');
  expect(seen(table, '127.0.0.1', 'corp')).toBe('relay');
  expect(seen(table, '127.0.0.1', 'other')).toBe('NXDOMAIN');
});

test('a broken zone keeps them where they were, and a machine without one refuses', () => {
  expect(seen(degrade(compile(zone)), '127.0.0.1', 'wiki.corp.example.net')).toBe('relay');
  expect(seen({ ...degrade(compile(zone)), sources: null }, '127.0.0.1', 'wiki.corp.example.net')).toBe('NXDOMAIN');
});

test('the foreign server alone is asked, over UDP and TCP; other names go to unbound', async () => {
  expect(read((await askUdp(port, wiki))!).answers).toEqual(['wiki.corp.example.net A 192.0.2.7']);
  const client = await openTcpClient(port);
  client.socket.write(framed(wiki));
  await until(() => client.replies.length === 1, 'a reply over TCP');
  client.socket.destroy();
  expect([theirs.queries.length, theirs.tcpQueries.length, ours.queries.length]).toEqual([1, 1, 0]);
  await askUdp(port, question('example.net'));
  expect([theirs.queries.length, ours.queries.length]).toEqual([1, 1]);
});

test('when it is silent or gone the answer is SERVFAIL, and nobody else is asked', async () => {
  theirs.behaviour = () => {};
  expect(read((await askUdp(port, wiki))!).rcode).toBe('SERVFAIL');
  theirs.close();
  expect(read((await askUdp(port, wiki))!).rcode).toBe('SERVFAIL');
  expect(ours.queries.length).toBe(0);
});

test('the second server is asked when the first is silent', async () => {
  // Nobody listens at the first.
  server.use(compile({ ...zone, relays: [{ domain: corp.domain, servers: ['127.0.0.77', '127.0.0.1'] }] }));
  expect(read((await askUdp(port, wiki))!).answers).toEqual(['wiki.corp.example.net A 192.0.2.7']);
});

test('a domain that goes takes its server along, and what was under way to it', async () => {
  theirs.behaviour = () => {};
  const waiting = askUdp(port, wiki);
  await until(() => theirs.queries.length === 1, 'the question to arrive');
  server.use(compile({ ...zone, relays: [], relay: { address: '127.0.0.1', port: ours.port } }));
  expect(read((await waiting)!).rcode).toBe('SERVFAIL');
  await askUdp(port, wiki);
  expect([theirs.queries.length, ours.queries.length]).toEqual([1, 1]);
});
