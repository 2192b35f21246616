// The client's file: every line of it, and that it fits a QR code whatever is configured.
import { encodeQR } from 'qr';
import decodeQR from 'qr/decode.js';
import { describe, expect, it } from 'vitest';
import {
  answerLine,
  type ClientFacts,
  clientConfig,
  endpointText,
  privateKeyPlaceholder,
} from '../../src/model/client.ts';
import { endpointHost, parse } from '../../src/model/config.ts';
import { address, label as parseName, prefix, publicKey } from '../support/builders.ts';

const facts: ClientFacts = {
  name: 'laptop.anna.team.apn',
  address: address('172.16.1.10'),
  dns: { server: address('172.16.0.1'), search: 'apn' },
  hubPublicKey: publicKey(1000),
  endpoint: 'hub.example.net:51820',
  range: prefix('172.16.0.0/16'),
  presharedKey: 'cHNrcHNrcHNrcHNrcHNrcHNrcHNrcHNrcHNrcHNrcHM=',
  keepalive: 25,
  listenPort: null,
};

describe('a client’s file', () => {
  it('has one peer that stands for the whole network', () => {
    expect(clientConfig(facts, privateKeyPlaceholder('laptop'))).toBe(
      [
        '# laptop.anna.team.apn',
        '[Interface]',
        'PrivateKey = PRIVATE-KEY-OF-laptop',
        'Address = 172.16.1.10/32',
        'DNS = 172.16.0.1, apn',
        '',
        '[Peer]',
        `PublicKey = ${publicKey(1000)}`,
        'PresharedKey = cHNrcHNrcHNrcHNrcHNrcHNrcHNrcHNrcHNrcHNrcHM=',
        'AllowedIPs = 172.16.0.0/16',
        'Endpoint = hub.example.net:51820',
        'PersistentKeepalive = 25',
        '',
      ].join('\n'),
    );
  });

  it('leaves out what there is not, and says what is not known', () => {
    const file = clientConfig({ ...facts, dns: null, endpoint: null, presharedKey: null, keepalive: null }, 'key');
    expect(file).not.toMatch(/^(DNS|Endpoint|PresharedKey|PersistentKeepalive|ListenPort)/m);
    expect(file).toMatch(/^# Endpoint = not known yet/m);
    const commented = (presharedKey: 'shown once' | 'to come') => clientConfig({ ...facts, presharedKey }, 'key');
    expect(commented('shown once')).toMatch(/^# PresharedKey = it was shown once/m);
    expect(commented('to come')).toMatch(/^# PresharedKey = in the hub's answer/m);
  });

  it('names the port that the hub has to find again, where one is kept', () => {
    const lines = clientConfig({ ...facts, keepalive: null, listenPort: 51820 }, 'key').split('\n');
    expect(lines.indexOf('ListenPort = 51820')).toBeLessThan(lines.indexOf('[Peer]'));
    expect(lines).toContain('ListenPort = 51820');
  });

  it('is the same after its facts went over the wire', () => {
    expect(clientConfig(JSON.parse(JSON.stringify(facts)) as ClientFacts, 'key')).toBe(clientConfig(facts, 'key'));
  });

  it('has brackets around an IPv6 endpoint', () => {
    expect([
      endpointText({ host: '2001:db8::1', port: 51820 }),
      endpointText({ host: '203.0.113.1', port: 51820 }),
    ]).toEqual(['[2001:db8::1]:51820', '203.0.113.1:51820']);
  });

  it('the hub’s answer to a key is one line', () => {
    expect([answerLine(facts.address, null), answerLine(facts.address, 'KEY=')]).toEqual([
      '172.16.1.10',
      '172.16.1.10 KEY=',
    ]);
  });
});

/** The longest names there are: a label of 63 characters twice, and an endpoint of 253. */
function longest(): ClientFacts {
  const label = parseName('x'.repeat(63));
  const host = parse(endpointHost, Array.from({ length: 127 }, () => 'h').join('.'));
  expect(host).toHaveLength(253);
  return {
    ...facts,
    name: `${label}.${label}.team.apn`,
    address: address('172.31.255.254'),
    dns: { server: address('172.16.0.1'), search: 'apn' },
    endpoint: endpointText({ host, port: 65535 }),
    range: prefix('100.64.0.0/12'),
    keepalive: 65535,
    listenPort: 51820,
  };
}

/** The version of the code for a text; its side is 17 + 4 × version modules (ISO/IEC 18004 §6.3.1). */
function versionOf(text: string, ecc: 'low' | 'medium'): number {
  return (encodeQR(text, 'raw', { ecc, border: 1 }).length - 2 - 17) / 4;
}

describe('a QR code', () => {
  const key = `${'A'.repeat(43)}=`;
  const ipv6 = { endpoint: endpointText({ host: '2001:db8:1111:2222:3333:4444:5555:6666', port: 51820 }) };

  it('of the usual file is of version 13 or 15, and of the longest there can be of 19 or 22; the largest is 40', () => {
    const usual = clientConfig({ ...facts, ...ipv6 }, key);
    expect([versionOf(usual, 'low'), versionOf(usual, 'medium')]).toEqual([13, 15]);
    const whole = clientConfig(longest(), key);
    expect(whole.length).toBeLessThan(850);
    expect([versionOf(whole, 'low'), versionOf(whole, 'medium')]).toEqual([19, 22]);
  });

  it('is read back as the file', () => {
    for (const text of [clientConfig({ ...facts, ...ipv6 }, key), clientConfig(longest(), key)]) {
      const scale = 4;
      const modules = encodeQR(text, 'raw', { ecc: 'medium', border: 4, scale });
      const [height, width] = [modules.length, modules[0]?.length ?? 0];
      const data = Uint8Array.from(modules.flat().flatMap((dark) => (dark ? [0, 0, 0, 255] : [255, 255, 255, 255])));
      expect(decodeQR({ height, width, data })).toBe(text);
    }
  });
});
