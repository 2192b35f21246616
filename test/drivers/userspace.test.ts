// The userspace protocol: requests as wireguard-go takes them, its recorded answers, and answers that make no sense.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Prefix, parseAddress } from '../../src/model/address.ts';
import { decodeKey, encodeKey, type PublicKey, Secret } from '../../src/model/key.ts';
import { checkSet, encodeSet, parseGet } from '../../src/router/drivers/userspace.ts';
import { publicKey } from '../support/saving.ts';
import recorded from './recorded/wireguard-go.json' with { type: 'json' };

const hex = (key: PublicKey) => decodeKey(key, 'public key').toHex();
const device = 'apn0';
const secret = <P extends 'private key' | 'preshared key'>(purpose: P, byte: number) =>
  new Secret(purpose, new Uint8Array(32).fill(byte));

describe('encodeSet', () => {
  it('configures the device', () => {
    const privateKey = secret('private key', 0x11);
    expect(encodeSet({ kind: 'wireguard.configure', device, privateKey, listenPort: 51820 })).toBe(
      `set=1\nprivate_key=${'11'.repeat(32)}\nlisten_port=51820\n\n`,
    );
  });

  it('removes peers', () => {
    const peers = [publicKey(), publicKey()];
    expect(encodeSet({ kind: 'wireguard.remove-peers', device, peers })).toBe(
      `set=1\n${peers.map((key) => `public_key=${hex(key)}\nremove=true\n`).join('')}\n`,
    );
  });

  it('sets peers whole: what is not there is cleared', () => {
    const [a, b] = [publicKey(), publicKey()];
    const peers = [
      {
        publicKey: a,
        presharedKey: secret('preshared key', 0xab),
        allowedIps: ['172.16.10.10/32', 'fd00::1/128'] as Prefix[],
        keepalive: 25,
        endpoint: { address: parseAddress('2001:db8::7'), port: 4500 },
      },
      { publicKey: b, presharedKey: null, allowedIps: [], keepalive: 0, endpoint: null },
    ];
    expect(encodeSet({ kind: 'wireguard.set-peers', device, peers })).toBe(
      [
        ...['set=1', `public_key=${hex(a)}`, `preshared_key=${'ab'.repeat(32)}`, 'persistent_keepalive_interval=25'],
        ...['replace_allowed_ips=true', 'endpoint=[2001:db8::7]:4500'],
        ...['allowed_ip=172.16.10.10/32', 'allowed_ip=fd00::1/128'],
        ...[
          `public_key=${hex(b)}`,
          `preshared_key=${'0'.repeat(64)}`,
          'persistent_keepalive_interval=0',
          'replace_allowed_ips=true',
        ],
        ...['', ''],
      ].join('\n'),
    );
  });

  it('ends with the one empty line of the request', () => {
    const peers = Array.from({ length: 1000 }, () => ({
      publicKey: publicKey(),
      presharedKey: null,
      allowedIps: [],
      keepalive: 0,
      endpoint: null,
    }));
    const text = encodeSet({ kind: 'wireguard.set-peers', device, peers });
    expect(text.indexOf('\n\n')).toBe(text.length - 2);
  });
});

describe('parseGet', () => {
  it('reads a fresh device', () => {
    expect(parseGet(device, recorded.fresh)).toEqual({
      name: device,
      privateKey: null,
      listenPort: 51600,
      peers: new Map(),
    });
  });

  it('reads what wireguard-go says of two peers', () => {
    const { privateKey, listenPort, peers } = parseGet(device, recorded['two peers']);
    expect(privateKey?.reveal().toHex()).toBe(`10${'11'.repeat(30)}51`);
    expect(listenPort).toBe(51820);
    const [one, two] = [...peers.values()];
    expect(peers.size).toBe(2);
    expect(one?.publicKey).toBe(
      encodeKey(Uint8Array.fromHex('3e30d2e676f0e52b7b3e4d5945fa9494d1501d52a997fae68ad8f069ce121547')),
    );
    expect(one?.presharedKey?.reveal().toHex()).toBe('ab'.repeat(32));
    expect(one).toMatchObject({
      ...{ allowedIps: ['172.16.10.10/32', 'fd00::10/128', '10.0.0.0/8'], keepalive: 25, lastHandshake: null },
      ...{ endpoint: { address: '192.0.2.7', port: 4500 }, configured: null, rxBytes: 0, txBytes: 0 },
    });
    expect(two).toMatchObject({
      ...{ presharedKey: null, allowedIps: ['0.0.0.0/0', '::/0'], keepalive: 0 },
      endpoint: { address: '2001:db8::1', port: 7 },
    });
  });

  it('reads times to the millisecond and counters', () => {
    const text = `public_key=${hex(publicKey())}\nlast_handshake_time_sec=1700000000\nlast_handshake_time_nsec=123456789\nrx_bytes=5000000000\ntx_bytes=7\nerrno=0\n\n`;
    const [peer] = [...parseGet(device, text).peers.values()];
    expect(peer).toMatchObject({ lastHandshake: 1_700_000_000_123, rxBytes: 5_000_000_000, txBytes: 7 });
  });

  it.each([
    ['fe80::1%eth0', '[fe80::1%eth0]:7', { address: 'fe80::1', port: 7 }],
    ['nothing that is an address', 'example.net:7', null],
    ['nothing at all', '', null],
  ])('endpoint: %s', (_, endpoint, expected) => {
    const text = `public_key=${hex(publicKey())}\nendpoint=${endpoint}\nerrno=0\n\n`;
    expect([...parseGet(device, text).peers.values()][0]?.endpoint).toEqual(expected);
  });

  it('passes over what a newer implementation may say', () => {
    const text = `mystery=1\npublic_key=${hex(publicKey())}\nflavour=sweet\nallowed_ip=172.16.0.1/32\nerrno=0\n\n`;
    expect([...parseGet(device, text).peers.values()][0]?.allowedIps).toEqual(['172.16.0.1/32']);
  });

  it.each([
    ['nothing', ''],
    ['an error', recorded['set with a port that is none']],
    ['an answer that breaks off', recorded['two peers'].slice(0, 300)],
    ['a key that is not hex', 'public_key=zz\nerrno=0\n\n'],
    ['a key with half a byte', `public_key=${'ab'.repeat(31)}a\nerrno=0\n\n`],
    ['an allowed address that is none', `public_key=${'ab'.repeat(32)}\nallowed_ip=somewhere\nerrno=0\n\n`],
  ])('%s is an error', (_, text) => {
    expect(() => parseGet(device, text)).toThrow();
  });

  it('never invents a peer: any cut of an answer is an error', () => {
    const whole = recorded['two peers'];
    fc.assert(
      fc.property(fc.nat(whole.length - 'errno=0\n\n'.length), (at) => {
        expect(() => parseGet(device, whole.slice(0, at))).toThrow();
      }),
    );
  });
});

describe('checkSet', () => {
  it('takes errno=0 and nothing else', () => {
    expect(() => checkSet(device, recorded.set)).not.toThrow();
    for (const answer of [
      '',
      '\n\n',
      'errno=-22\n\n',
      'errno=01\n\n',
      'xerrno=0\n\n',
      recorded['set with a port that is none'],
    ]) {
      expect(() => checkSet(device, answer)).toThrow('refused');
    }
  });
});
