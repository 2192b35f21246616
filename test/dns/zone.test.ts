// The zone file: applied whole or refused whole, with the field named.
import { expect, test } from 'vitest';
import { parseZone } from '../../src/dns/zone.ts';
import { InvalidInput } from '../../src/model/errors.ts';
import { sample } from './sample.ts';

test('a good file is read as it is', () => {
  expect(parseZone(JSON.stringify(sample))).toEqual(sample);
});

test('foreign domains may be there', () => {
  const relays = [{ domain: 'corp.example.net', servers: ['10.9.0.53', '10.9.0.54'] }];
  expect(parseZone(JSON.stringify({ ...sample, relays }))).toEqual({ ...sample, relays });
});

/** The path of the error after one change at a path such as `hosts.0.name`. */
function pathOf(change: string, value: unknown): string {
  const copy = JSON.parse(JSON.stringify(sample));
  const keys = change.split('.');
  const last = keys.pop() ?? '';
  const parent = keys.reduce((at, key) => at[key], copy);
  if (value === undefined) delete parent[last];
  else parent[last] = value;
  return refused(JSON.stringify(copy));
}

function refused(text: string): string {
  try {
    parseZone(text);
  } catch (error) {
    if (error instanceof InvalidInput) return error.path;
    throw error;
  }
  return 'accepted';
}

test.each([
  ['version', 2, 'version'],
  ['version', '1', 'version'],
  ['serial', -1, 'serial'],
  ['serial', 2 ** 32, 'serial'],
  ['serial', 1.5, 'serial'],
  ['serial', null, 'serial'],
  ['domain', 'apn.', 'domain'],
  ['domain', 'a.b', 'domain'],
  ['domain', 'localhost', 'domain'],
  ['domain', '', 'domain'],
  ['domain', 'a'.repeat(51), 'domain'],
  ['hosts.2.name', `${'a.'.repeat(99)}ab`, 'accepted'],
  ['hosts.2.name', `${'a.'.repeat(100)}a`, 'hosts[2].name'],
  ['listen', null, 'listen'],
  ['listen', {}, 'listen'],
  ['listen.0', '010.0.0.1', 'listen[0]'],
  ['listen.1', '0:0:0:0:0:0:0:1', 'listen[1]'],
  ['listen.1', 'fe80::1%lan0', 'listen[1]'],
  ['relay', 'none', 'relay'],
  ['relay.port', 0, 'relay.port'],
  ['relay.address', 'unbound', 'relay.address'],
  ['relay.extra', 1, 'relay.extra'],
  ['reverse.0', '172.16.0.1/16', 'reverse[0]'],
  ['reverse.0', '0.0.0.0/0', 'reverse[0]'],
  ['hosts.2', null, 'hosts[2]'],
  ['hosts.2.name', 'Web.shop', 'hosts[2].name'],
  ['hosts.2.name', 'web..shop', 'hosts[2].name'],
  ['hosts.2.name', '-web.shop', 'hosts[2].name'],
  ['hosts.2.name', `${'a'.repeat(64)}.shop`, 'hosts[2].name'],
  ['hosts.2.name', Array(60).fill('abc').join('.'), 'hosts[2].name'],
  ['hosts.2.name', 'w\u0435b.shop', 'hosts[2].name'],
  ['hosts.2.address', '10.0.0.256', 'hosts[2].address'],
  ['hosts.2.address', 'fd00::1', 'hosts[2].address'],
  ['hosts.2.application', undefined, 'hosts[2].application'],
  ['hosts.2.lan', '', 'hosts[2].lan'],
  ['hosts.2.ttl', 5, 'hosts[2].ttl'],
  ['extra.0.type', 'TXT', 'extra[0].type'],
  ['extra.0.name', '*', 'extra[0].name'],
  ['extra.0.name', 'a.*.b', 'extra[0].name'],
  ['extra.0.name', 'wpad', 'extra[0].name'],
  ['extra.0.name', 'preview', 'extra[3].name'],
  ['extra.0.target', '*.dev.shop', 'accepted'],
  ['extra.0.target', '*', 'extra[0].target'],
  ['extra.0.target', 'example.com.', 'extra[0].target'],
  ['extra.0.address', '172.16.0.1', 'extra[0].address'],
  ['clients.1.source', '192.168.66.100', 'clients[1].source'],
  ['clients.1.source', '192.168.66.0/24', 'clients[1].source'],
  ['clients.1.side', 'wan', 'clients[1].side'],
  ['clients.1.hub', null, 'clients[1].hub'],
  ['clients.1.reach.1', '172.16.10.1/24', 'clients[1].reach[1]'],
  ['clients.1.reachedBy', 'all', 'clients[1].reachedBy'],
  ['relays', {}, 'relays'],
  ['relays', [{ domain: 'corp.test' }], 'relays[0].servers'],
  ['relays', [{ domain: 'corp.test', servers: [] }], 'relays[0].servers'],
  ['relays', [{ domain: 'corp.test', servers: Array(5).fill('10.9.0.53') }], 'relays[0].servers'],
  ['relays', [{ domain: 'corp.test', servers: ['fd00::53'] }], 'relays[0].servers[0]'],
  ['relays', [{ domain: 'Corp.test', servers: ['10.9.0.53'] }], 'relays[0].domain'],
  ['relays', [{ domain: 'apn', servers: ['10.9.0.53'] }], 'relays[0].domain'],
  ['relays', [{ domain: 'db.apn', servers: ['10.9.0.53'] }], 'relays[0].domain'],
  ['relays', Array(2).fill({ domain: 'corp.test', servers: ['10.9.0.53'] }), 'relays[1].domain'],
  ['constructor', 1, 'constructor'],
] as const)('%s = %j is refused at %s', (change, value, path) => {
  expect(pathOf(change, value)).toBe(path);
});

test.each([
  ['nothing', ''],
  ['half a file', JSON.stringify(sample).slice(0, 500)],
  ['a list', '[]'],
  ['null', 'null'],
  ['another program’s file', '#!/bin/sh\n'],
  ['NUL', '\0'],
  ['depth', '['.repeat(100_000)],
])('%s is refused', (_, text) => expect(refused(text)).toBe(''));

test('__proto__ is an unknown field', () => {
  expect(refused(JSON.stringify(sample).replace('{"version"', '{"__proto__":{},"version"'))).toBe('__proto__');
});
