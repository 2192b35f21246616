// The pure checks in front of everything: Host values, forged requests, API targets.
import { describe, expect, test } from 'vitest';
import {
  apiTarget,
  hostOfAddress,
  matchHost,
  originOf,
  parseHost,
  refuseForged,
} from '../../src/webui/server/guard.ts';
import { clientKey, Quota } from '../../src/webui/server/limits.ts';

const ENTRIES = [
  parseHost('hub.apn')!,
  parseHost('localhost:8066')!,
  hostOfAddress('192.168.66.1'),
  hostOfAddress('FD00:0:0:0:0:0:0:1'),
];

describe('matchHost', () => {
  test.each([
    ['hub.apn', 443, true],
    ['HUB.apn', 443, true],
    ['hub.apn:443', 443, true],
    ['hub.apn:8443', 8443, true],
    ['hub.apn', 8443, false],
    ['hub.apn:8443', 443, false],
    ['192.168.66.1', 443, true],
    ['[fd00::1]', 443, true],
    ['[FD00::1]:8443', 8443, true],
    ['localhost:8066', 443, true],
    ['localhost', 443, false],
    ['localhost:443', 443, false],
    ['192.168.66.2', 443, false],
    ['evil.example', 443, false],
    ['hub.apn.evil.example', 443, false],
    ['evil.hub.apn', 443, false],
    ['hub.apn.', 443, false],
    ['hub.apn:0443', 443, false],
    ['hub.apn:443:443', 443, false],
    ['hub.apn:99999', 443, false],
    ['user@hub.apn', 443, false],
    ['hub.apn/', 443, false],
    ['hub.apn evil', 443, false],
    ['fd00::1', 443, false],
    ['', 443, false],
  ])('%s on port %i: %s', (header, port, allowed) => {
    expect(matchHost(ENTRIES, [header], port, 443) !== null).toBe(allowed);
  });

  test('a missing or doubled header names nobody', () => {
    expect(matchHost(ENTRIES, undefined, 443, 443)).toBeNull();
    expect(matchHost(ENTRIES, ['hub.apn', 'hub.apn'], 443, 443)).toBeNull();
  });

  test('plain HTTP leaves out port 80, not 443', () => {
    expect(matchHost(ENTRIES, ['hub.apn'], 80, 80)).not.toBeNull();
    expect(matchHost(ENTRIES, ['hub.apn'], 8080, 80)).toBeNull();
  });

  test('origins are written as browsers write them', () => {
    expect(originOf(ENTRIES[0]!, 443)).toBe('https://hub.apn');
    expect(originOf(ENTRIES[0]!, 8443)).toBe('https://hub.apn:8443');
    expect(originOf(ENTRIES[1]!, 443)).toBe('https://localhost:8066');
    expect(originOf(ENTRIES[3]!, 443)).toBe('https://[fd00::1]');
  });
});

describe('refuseForged', () => {
  const origin = 'https://hub.apn';
  const json = { 'content-type': 'application/json', 'x-apn': '1' };
  const status = (method: string, headers: object): number | null =>
    refuseForged(method, headers as Parameters<typeof refuseForged>[1], origin)?.status ?? null;

  test.each([
    ['GET', {}, null],
    ['HEAD', {}, null],
    ['GET', { 'sec-fetch-site': 'same-origin' }, null],
    ['GET', { 'sec-fetch-site': 'none' }, null],
    ['GET', { 'sec-fetch-site': 'cross-site' }, 403],
    ['GET', { 'sec-fetch-site': 'same-site' }, 403],
    ['POST', { ...json, origin }, null],
    ['PUT', { ...json, origin, 'sec-fetch-site': 'same-origin' }, null],
    ['PATCH', { ...json, 'sec-fetch-site': 'same-origin' }, null],
    ['DELETE', { ...json, origin, 'content-type': 'application/json; charset=utf-8' }, null],
    ['POST', json, 403],
    ['POST', { ...json, origin: 'https://evil.example' }, 403],
    ['POST', { ...json, origin: 'http://hub.apn' }, 403],
    ['POST', { ...json, origin: 'https://hub.apn:8443' }, 403],
    ['POST', { ...json, origin: 'null' }, 403],
    ['POST', { ...json, origin, 'sec-fetch-site': 'cross-site' }, 403],
    ['POST', { ...json, origin: 'https://evil.example', 'sec-fetch-site': 'same-origin' }, 403],
    ['POST', { ...json, 'sec-fetch-site': 'none' }, 403],
    ['POST', { 'content-type': 'application/json', origin }, 403],
    ['POST', { ...json, 'x-apn': '0', origin }, 403],
    ['POST', { 'x-apn': '1', origin }, 415],
    ['POST', { ...json, 'content-type': 'text/plain', origin }, 415],
    ['POST', { ...json, 'content-type': 'application/json, text/plain', origin }, 415],
    ['POST', { ...json, 'content-type': 'application/jsonp', origin }, 415],
    ['OPTIONS', { ...json, origin }, 405],
    ['TRACE', {}, 405],
    ['get', {}, 405],
  ])('%s %j: %s', (method, headers, expected) => {
    expect(status(method, headers)).toBe(expected);
  });
});

describe('apiTarget', () => {
  test.each([
    ['/api/summary', '/summary'],
    ['/api/servers/shop%2Fweb?full=1&x=%20', '/servers/shop%2Fweb?full=1&x=%20'],
    ['/api', null],
    ['/api/', null],
    ['/api//summary', null],
    ['/api/../control', null],
    ['/api/%2e%2E/control', null],
    ['/api/./summary', null],
    ['/api/.%2e/x', null],
    ['/api/a\\b', null],
    ['/api/a%', null],
    ['/api/a#b', null],
    ['/api/ä', null],
    ['/apis/summary', null],
    ['/metrics', '/metrics'],
    ['/openapi.json', '/openapi.json'],
    ['/metrics/x', null],
    ['/metrics?x=1', null],
    ['/summary', null],
    ['http://evil.example/api/summary', null],
  ])('%s → %s', (url, target) => {
    expect(apiTarget(url)).toBe(target);
  });
});

describe('Quota', () => {
  test('bounds each client and all of them, and a place is given back once', () => {
    const quota = new Quota(3, 2);
    const first = quota.take('a')!;
    expect(quota.take('a')).not.toBeNull();
    expect(quota.take('a')).toBeNull();
    expect(quota.take('b')).not.toBeNull();
    expect(quota.take('c')).toBeNull();
    first();
    first();
    expect(quota.size).toBe(2);
    expect(quota.take('c')).not.toBeNull();
    expect(quota.take('a')).toBeNull();
  });

  test('an IPv6 client is its /64', () => {
    expect(clientKey('192.0.2.7')).toBe('192.0.2.7');
    expect(clientKey('2001:db8:1:2::7')).toBe(clientKey('2001:db8:1:2:ffff::1'));
    expect(clientKey('2001:db8:1:2::7')).not.toBe(clientKey('2001:db8:1:3::7'));
    expect(clientKey('fe80::1%eth0')).toBe(clientKey('fe80::2'));
    expect(clientKey('::1')).toBe(clientKey('::2'));
  });
});
