// WireGuard's codec against the layout of linux/wireguard.h, against itself over many messages, and against mangled dumps.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { IpPrefix } from '../../src/router/netlink/address.ts';
import {
  type AttributeTree,
  encodePayload,
  indexAttributes,
  MalformedNetlink,
  parseAttributes,
  text,
  u16,
  u32,
} from '../../src/router/netlink/attribute.ts';
import type { NetlinkMessage, NetlinkRequest } from '../../src/router/netlink/message.ts';
import { decodeDevice, encodeGetDevice, encodeSetDevice, type PeerChange } from '../../src/router/netlink/wireguard.ts';
import { hex, ipv4, tree } from './recorded.ts';

const nested = ['8', '8.0', '8.0.9', '8.0.9.0'];

// A request as the message the kernel would dump it in.
function asMessage(request: NetlinkRequest): NetlinkMessage {
  return { ...request, sequence: 1, port: 0, payload: Buffer.from(request.payload) };
}

function shown(request: NetlinkRequest): unknown[] {
  return tree(request.payload, 4, nested);
}

function deviceMessage(attributes: readonly AttributeTree[]): NetlinkMessage {
  return { type: 25, flags: 2, sequence: 1, port: 0, payload: encodePayload(hex('00010000'), attributes) };
}

const key = (byte: number): Buffer => Buffer.alloc(32, byte);
const four = (address: string, cidr: number): IpPrefix => ({ family: 4, bytes: ipv4(address), cidr });
const six: IpPrefix = { family: 6, bytes: hex('fd000000000000000000000000000001'), cidr: 128 };

describe('requests', () => {
  it('ask for a device by name or index, as a dump', () => {
    const request = encodeGetDevice(25, 'apn0');
    expect([request.type, request.flags]).toEqual([25, 0x301]);
    expect(Buffer.from(request.payload).toString('hex')).toBe('000100000900020061706e3000000000');
    expect(Buffer.from(encodeGetDevice(25, 7).payload).toString('hex')).toBe('000100000800010007000000');
  });

  it('set every field of a device and a peer as linux/wireguard.h lays them out', () => {
    const [request, ...more] = encodeSetDevice(25, {
      device: 'apn0',
      privateKey: key(1),
      listenPort: 51820,
      fwmark: 5,
      replacePeers: true,
      peers: [
        {
          publicKey: key(2),
          presharedKey: key(3),
          endpoint: { family: 4, bytes: ipv4('203.0.113.7'), port: 51820 },
          keepalive: 25,
          allowedIps: [four('172.16.1.2', 32), six],
          replaceAllowedIps: true,
          updateOnly: true,
        },
        { publicKey: key(4), remove: true },
        { publicKey: key(5), endpoint: { family: 6, bytes: six.bytes, port: 1, scope: 9 } },
        { publicKey: key(6), endpoint: { family: 6, bytes: six.bytes, port: 1 } },
      ],
    });
    expect(more).toEqual([]);
    expect([request!.type, request!.flags]).toEqual([25, 5]);
    expect(Buffer.from(request!.payload).toString('hex', 0, 4)).toBe('01010000');
    expect(shown(request!)).toEqual([
      [2, '61706e3000'],
      [5, '01000000'],
      [3, '01'.repeat(32)],
      [6, '6cca'],
      [7, '05000000'],
      [
        8,
        [
          [
            0,
            [
              [1, '02'.repeat(32)],
              [3, '06000000'],
              [2, '03'.repeat(32)],
              [4, '0200ca6ccb0071070000000000000000'],
              [5, '1900'],
              [
                9,
                [
                  [0, [[1, '0200'], [2, 'ac100102'], [3, '20']]], // biome-ignore format: one allowed IP a line
                  [
                    0,
                    [
                      [1, '0a00'],
                      [2, 'fd000000000000000000000000000001'],
                      [3, '80'],
                    ],
                  ],
                ],
              ],
            ],
          ],
          [
            0,
            [
              [1, '04'.repeat(32)],
              [3, '01000000'],
            ],
          ],
          [
            0,
            [
              [1, '05'.repeat(32)],
              [4, '0a00000100000000fd00000000000000000000000000000109000000'],
            ],
          ],
          [
            0,
            [
              [1, '06'.repeat(32)],
              [4, '0a00000100000000fd00000000000000000000000000000100000000'],
            ],
          ],
        ],
      ],
    ]);
  });

  it('mark every level of nesting', () => {
    const [request] = encodeSetDevice(25, { device: 1, peers: [{ publicKey: key(1), allowedIps: [six] }] });
    const bytes = Buffer.from(request!.payload);
    expect(bytes.includes(hex('0880'))).toBe(true);
    expect(bytes.includes(hex('0080 24000100'))).toBe(true);
    expect(bytes.includes(hex('0980'))).toBe(true);
    expect(bytes.includes(hex('0080 06000100'))).toBe(true);
  });

  it('that change nothing are still one request', () => {
    expect(encodeSetDevice(25, { device: 7 }).map(shown)).toEqual([[[1, '07000000']]]);
    expect(encodeSetDevice(25, { device: 7, peers: [], listenPort: 0 }).map(shown)).toEqual([
      [
        [1, '07000000'],
        [6, '0000'],
      ],
    ]);
  });

  it('refuse keys and addresses of the wrong length', () => {
    const peer = (change: Omit<PeerChange, 'publicKey'>) => () =>
      encodeSetDevice(1, { device: 1, peers: [{ publicKey: key(1), ...change }] });
    expect(() => encodeSetDevice(1, { device: 1, privateKey: Buffer.alloc(31) })).toThrow(RangeError);
    expect(peer({ presharedKey: Buffer.alloc(33) })).toThrow(RangeError);
    expect(peer({ allowedIps: [{ family: 4, bytes: Buffer.alloc(16), cidr: 0 }] })).toThrow(RangeError);
    expect(peer({ endpoint: { family: 6, bytes: Buffer.alloc(4), port: 1 } })).toThrow(RangeError);
  });
});

const anyPrefix: fc.Arbitrary<IpPrefix> = fc.oneof(
  fc.record({ family: fc.constant(4 as const), bytes: bytes(4), cidr: fc.integer({ min: 0, max: 32 }) }),
  fc.record({ family: fc.constant(6 as const), bytes: bytes(16), cidr: fc.integer({ min: 0, max: 128 }) }),
);

function bytes(length: number): fc.Arbitrary<Buffer> {
  return fc.uint8Array({ minLength: length, maxLength: length }).map((array) => Buffer.from(array));
}

const anyPeer = fc.record(
  {
    publicKey: bytes(32),
    presharedKey: bytes(32).filter((key) => key.some((byte) => byte !== 0)),
    endpoint: fc.oneof(
      fc.record({ family: fc.constant(4 as const), bytes: bytes(4), port: fc.integer({ min: 0, max: 65_535 }) }),
      fc.record({
        family: fc.constant(6 as const),
        bytes: bytes(16),
        port: fc.integer({ min: 0, max: 65_535 }),
        scope: fc.integer({ min: 1, max: 9 }),
      }),
    ),
    keepalive: fc.integer({ min: 0, max: 65_535 }),
    allowedIps: fc.array(anyPrefix, { maxLength: 30 }),
  },
  { requiredKeys: ['publicKey'] },
);

// What the kernel would have after `peers`, said by the simplest possible model.
function expected(peers: readonly PeerChange[]): unknown[] {
  return peers.map(({ publicKey, presharedKey, endpoint, keepalive, allowedIps }) => ({
    publicKey,
    ...(presharedKey === undefined ? {} : { presharedKey }),
    ...(endpoint === undefined ? {} : { endpoint }),
    keepalive: keepalive ?? 0,
    rxBytes: 0,
    txBytes: 0,
    allowedIps: allowedIps ?? [],
  }));
}

function reread(requests: readonly NetlinkRequest[]): unknown {
  const identity = deviceMessage([u32(1, 7), text(2, 'apn0')]);
  return decodeDevice([identity, ...requests.map(asMessage)]).peers;
}

describe('splitting', () => {
  it('loses, doubles and reorders nothing, whatever the limit', () => {
    const distinct = fc.uniqueArray(anyPeer, { selector: (peer) => peer.publicKey.toString('hex'), maxLength: 8 });
    fc.assert(
      fc.property(distinct, fc.integer({ min: 1, max: 3_000 }), (peers, limit) => {
        expect(reread(encodeSetDevice(25, { device: 'apn0', peers }, limit))).toEqual(expected(peers));
      }),
    );
  });

  const thousand: PeerChange[] = Array.from({ length: 1_000 }, (_, index) => {
    const publicKey = key(7);
    publicKey.writeUInt32BE(index);
    const count = index === 500 ? 3_000 : 2;
    const allowedIps = Array.from({ length: count }, (_, one) => four(`10.${one >> 8}.${one & 255}.1`, 32));
    return { publicKey, presharedKey: key(9), keepalive: 25, allowedIps, replaceAllowedIps: true };
  });

  it('puts 1,000 peers, one of them with 3,000 allowed IPs, in requests within the limit', () => {
    const requests = encodeSetDevice(25, { device: 'apn0', privateKey: key(1), peers: thousand });
    expect(reread(requests)).toEqual(expected(thousand));
    expect(requests.length).toBeGreaterThan(7);
    expect(requests.length).toBeLessThan(14);
    for (const { payload } of requests) expect(payload.length).toBeLessThan(33_000);
  });

  it('sets the device’s own fields once, and replaces allowed IPs only in a peer’s first fragment', () => {
    const change = { device: 'apn0', privateKey: key(1), replacePeers: true, peers: thousand };
    const requests = encodeSetDevice(25, change);
    const fields = requests.map(({ payload }) => indexAttributes(payload, 4));
    expect(fields.map((one) => one.has(3) && one.has(5))).toEqual(fields.map((_, index) => index === 0));
    const flags = new Map<string, (number | undefined)[]>();
    for (const one of fields) {
      for (const { value } of parseAttributes(one.get(8)!)) {
        const peer = indexAttributes(value);
        const name = peer.get(1)!.toString('hex');
        flags.set(name, [...(flags.get(name) ?? []), peer.get(3)?.readUInt32LE()]);
      }
    }
    const [long, ...short] = [...flags.values()].sort((one, other) => other.length - one.length);
    expect(long!.length).toBeGreaterThan(2);
    expect(long).toEqual(long!.map((_, index) => (index === 0 ? 2 : 4)));
    expect(new Set(short.map(String))).toEqual(new Set(['2']));
  });

  it('never exceeds what an attribute can hold, however large the limit', () => {
    const requests = encodeSetDevice(25, { device: 'apn0', peers: thousand }, 10_000_000);
    expect(reread(requests)).toEqual(expected(thousand));
  });
});

it('an IPv6 endpoint of no particular interface has no scope', () => {
  const endpoint = { family: 6, bytes: six.bytes, port: 51820 } as const;
  const requests = encodeSetDevice(25, { device: 'apn0', peers: [{ publicKey: key(1), endpoint }] });
  expect(reread(requests)).toEqual(expected([{ publicKey: key(1), endpoint }]));
});

describe('dumps', () => {
  const peer = (attributes: readonly AttributeTree[]): AttributeTree => ({
    type: 8,
    value: [{ type: 0, value: attributes }],
  });
  const whole = [
    deviceMessage([
      u32(1, 7),
      text(2, 'apn0'),
      { type: 3, value: key(1) },
      { type: 4, value: key(2) },
      u16(6, 51820),
      u32(7, 3),
      peer([
        { type: 1, value: key(5) },
        { type: 2, value: Buffer.alloc(32) },
        { type: 4, value: hex('0200ca6ccb0071070000000000000000') },
        u16(5, 25),
        { type: 6, value: hex('00e1f505000000002a00000000000000') },
        { type: 7, value: hex('ffffffff01000000') },
        { type: 8, value: hex('0a00000000000000') },
        {
          type: 9,
          value: [{ type: 0, value: [u16(1, 2), { type: 2, value: hex('ac100102') }, { type: 3, value: hex('20') }] }],
        },
        u32(10, 1),
      ]),
    ]),
    deviceMessage([
      text(2, 'apn0'),
      peer([
        { type: 1, value: key(5) },
        {
          type: 9,
          value: [{ type: 0, value: [u16(1, 10), { type: 2, value: six.bytes }, { type: 3, value: hex('80') }] }],
        },
      ]),
      peer([
        { type: 1, value: key(6) },
        { type: 6, value: Buffer.alloc(16) },
      ]),
    ]),
  ];

  it('give one device, a peer split over two parts being one', () => {
    expect(decodeDevice(whole)).toEqual({
      index: 7,
      name: 'apn0',
      privateKey: key(1),
      publicKey: key(2),
      listenPort: 51820,
      fwmark: 3,
      peers: [
        {
          publicKey: key(5),
          endpoint: { family: 4, bytes: ipv4('203.0.113.7'), port: 51820 },
          keepalive: 25,
          lastHandshake: { seconds: 100_000_000, nanoseconds: 42 },
          rxBytes: 0x1_ffff_ffff,
          txBytes: 10,
          allowedIps: [four('172.16.1.2', 32), six],
        },
        { publicKey: key(6), keepalive: 0, rxBytes: 0, txBytes: 0, allowedIps: [] },
      ],
    });
  });

  it('of a new device have no keys', () => {
    expect(decodeDevice([deviceMessage([u32(1, 7), text(2, 'apn0')])])).toEqual({
      index: 7,
      name: 'apn0',
      listenPort: 0,
      fwmark: 0,
      peers: [],
    });
  });

  it('without what must be there are refused', () => {
    const device = (attributes: AttributeTree[]) => () =>
      decodeDevice([deviceMessage([u32(1, 7), text(2, 'a'), ...attributes])]);
    expect(() => decodeDevice([])).toThrow(MalformedNetlink);
    expect(() => decodeDevice([deviceMessage([u32(1, 7)])])).toThrow(/name/);
    expect(device([peer([])])).toThrow(/public key/);
    expect(
      device([
        peer([
          { type: 1, value: key(1) },
          { type: 4, value: hex('00') },
        ]),
      ]),
    ).toThrow(/endpoint/);
    expect(
      device([
        peer([
          { type: 1, value: key(1) },
          { type: 4, value: hex('0100') },
        ]),
      ]),
    ).toThrow(/endpoint/);
    expect(
      device([
        peer([
          { type: 1, value: key(1) },
          { type: 4, value: hex('0200ca6c') },
        ]),
      ]),
    ).toThrow(/endpoint/);
    const ip = (attributes: AttributeTree[]): AttributeTree =>
      peer([
        { type: 1, value: key(1) },
        { type: 9, value: [{ type: 0, value: attributes }] },
      ]);
    expect(device([ip([])])).toThrow(/family/);
    expect(device([ip([u16(1, 3)])])).toThrow(/IP family/);
    expect(device([ip([u16(1, 2)])])).toThrow(/address/);
    expect(device([ip([u16(1, 2), { type: 2, value: hex('ac100102') }])])).toThrow(/mask/);
  });

  it('that are cut off or flipped anywhere are a device or MalformedNetlink', () => {
    const [first, second] = whole as [NetlinkMessage, NetlinkMessage];
    const attempt = (payload: Buffer): void => {
      try {
        expect(decodeDevice([{ ...first, payload }, second]).index).toBeTypeOf('number');
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedNetlink);
      }
    };
    for (let length = 0; length < first.payload.length; length++) attempt(first.payload.subarray(0, length));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(first.payload.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
        (flips) => {
          const payload = Buffer.from(first.payload);
          for (const [at, value] of flips) payload[at] = value;
          attempt(payload);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
