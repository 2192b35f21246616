// Schemas: every bad field is refused with its path.
import { describe, expect, it } from 'vitest';
import { endpointHost, initialConfig, parse, config as schema, text } from '../../src/model/config.ts';
import { Conflict, Forbidden, InvalidInput, NotFound } from '../../src/model/errors.ts';
import { exampleConfig } from '../support/builders.ts';

type Json = Record<string, unknown>;

/** The example as JSON with one value replaced, removed (undefined) or added at a path. */
function changed(path: string, value: unknown): unknown {
  const whole = JSON.parse(JSON.stringify(exampleConfig())) as Json;
  const keys = path.split('.');
  const last = keys.pop() as string;
  const parent = keys.reduce<Json>((at, key) => at[key] as Json, whole);
  if (value === undefined) delete parent[last];
  else parent[last] = value;
  return whole;
}

function pathOf(value: unknown): string {
  try {
    parse(schema, value);
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidInput);
    return `${(error as InvalidInput).path}: ${(error as InvalidInput).message}`;
  }
  return 'accepted';
}

describe('a configuration', () => {
  it('is read back as it was written', () => {
    expect(parse(schema, JSON.parse(JSON.stringify(exampleConfig())))).toEqual(exampleConfig());
    expect(initialConfig.lan).toBe(null);
  });

  it.each<[string, unknown, RegExp]>([
    ['network.range', '172.16.0.1/16', /^network\.range: .*host bits/],
    ['network.range', 'fd00::/48', /^network\.range: .*IPv6/],
    ['network.range', 7, /^network\.range: /],
    ['network.domain', 'com', /^network\.domain: /],
    ['network.endpoint.port', 0, /^network\.endpoint\.port: /],
    ['network.endpoint.port', 65536, /^network\.endpoint\.port: /],
    ['network.endpoint.host', '[2001:db8::1]', /^network\.endpoint\.host: /],
    ['network.endpoint.host', '010.0.0.1', /^network\.endpoint\.host: /],
    ['network.endpoint.host', `${'a.'.repeat(130)}net`, /^network\.endpoint\.host: .*too long/],
    ['network.endpoint.host', 'hub..example.net', /^network\.endpoint\.host: /],
    ['system.hostName', undefined, /^system\.hostName: This field is missing\./],
    ['strange', 1, /^strange: There is no such field\./],
    ['network.strange', 1, /^network\.strange: There is no such field\./],
    ['lan.wan', 'eth0; drop', /^lan\.wan: not the name/],
    ['lan.ports', ['a'.repeat(16)], /^lan\.ports\.0: /],
    ['lan.dhcp.from', '192.168.66.300', /^lan\.dhcp\.from: /],
    ['lan.defaultAccess', 'all', /^lan\.defaultAccess: /],
    ['applications.0.id', 'A', /^applications\.0\.id: not an id/],
    ['applications.0.label', 'hub', /^applications\.0\.label: .*reserved/],
    ['servers.1.publicKey', 'AAAA', /^servers\.1\.publicKey: .*44 characters/],
    ['servers.1.address', '2001:db8::1', /^servers\.1\.address: .*IPv6/],
    ['members.0.role', 'root', /^members\.0\.role: /],
    ['members.0.access', { shop1: 'root' }, /^members\.0\.access\.shop1: /],
    ['members.0.name', 'a\u202eb', /^members\.0\.name: /],
    ['lanDevices.0.mac', 'ff:ff:ff:ff:ff:ff', /^lanDevices\.0\.mac: /],
    ['rules.0.source', '203.0.113.07/32', /^rules\.0\.source: /],
    ['rules.0.note', 'x'.repeat(201), /^rules\.0\.note: /],
    ['names.0.type', 'TXT', /^names\.0\.type: /],
    ['names.0.address', '1.2.3', /^names\.0\.address: /],
    ['names.1.target', 'a b', /^names\.1\.target: /],
  ])('%s = %j is refused at its path', (path, value, expected) => {
    expect(pathOf(changed(path, value))).toMatch(expected);
  });

  it.each([null, [], 'text', 7])('%j is none', (value) => {
    expect(pathOf(value)).toMatch(/^: /);
  });

  it('a prototype in JSON is a field like any other: there is no such field', () => {
    const hostile = JSON.parse('{"__proto__":{"role":"owner"}}') as unknown;
    expect(pathOf({ ...(changed('strange', undefined) as Json), ...JSON.parse('{"constructor":1}') })).toMatch(
      /^constructor: There is no such field/,
    );
    expect(pathOf(hostile)).not.toBe('accepted');
  });

  it('a parser’s other errors are not taken for bad input', () => {
    const broken = text(() => {
      throw new TypeError('a bug');
    });
    expect(() => parse(broken, 'x')).toThrow(TypeError);
  });

  it.each([
    ['hub.example.net', 'hub.example.net'],
    ['203.0.113.1', '203.0.113.1'],
    ['2001:DB8::1', '2001:db8::1'],
  ])('%s is an endpoint’s host', (value, host) => {
    expect(parse(endpointHost, value)).toBe(host);
  });
});

describe('errors', () => {
  it('say where, from the outside in', () => {
    const error = new InvalidInput('from', 'bad').under('dhcp').under('lan');
    expect([error.path, error.message, error.name]).toEqual(['lan.dhcp.from', 'bad', 'InvalidInput']);
    expect(new InvalidInput('', 'bad').under('lan').path).toBe('lan');
    expect(
      [new Conflict('a', 'b'), new NotFound('a', 'b')].map(({ path, message, name }) => [path, message, name]),
    ).toEqual([
      ['a', 'b', 'Conflict'],
      ['a', 'b', 'NotFound'],
    ]);
    expect(new Forbidden('no')).toMatchObject({ name: 'Forbidden', path: '', message: 'no' });
  });
});
