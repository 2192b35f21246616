// Connection tracking's codec against what `conntrack` sent and was answered.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodePayload, MalformedNetlink } from '../../src/router/netlink/attribute.ts';
import { decodeEntries, encodeDeleteEntry, encodeDumpEntries, type Tuple } from '../../src/router/netlink/conntrack.ts';
import type { NetlinkMessage, NetlinkRequest } from '../../src/router/netlink/message.ts';
import { hex, ipv4, readRecording, tree } from './recorded.ts';

const recorded = readRecording('conntrack');
const nested = ['1', '1.1', '1.2', '2', '2.1', '2.2'];
const here = ipv4('172.16.1.2');
const there = ipv4('172.16.10.3');
const here6 = hex('fd000000000000000000000000000002');
const there6 = hex('fd000000000000000000000000000003');
const four = { family: 4, source: here, destination: there } as const;
const udp: Tuple = { ...four, protocol: 17, sourcePort: 51820, destinationPort: 53 };
const icmp: Tuple = { ...four, protocol: 1, icmpId: 77, icmpType: 8, icmpCode: 0 };
const icmp6: Tuple = {
  family: 6,
  source: here6,
  destination: there6,
  protocol: 58,
  icmpId: 78,
  icmpType: 128,
  icmpCode: 0,
};

// The tuple `conntrack` deletes by, and the one we do.
function tuple({ payload }: NetlinkRequest): unknown {
  const first = tree(payload, 4, nested)[0] as [number, [number, [number, string][]][]];
  return first[1].map(([type, fields]) => [type, fields.toSorted(([one], [other]) => one - other)]);
}

describe('entries', () => {
  it('are read from a dump, in both directions', () => {
    const entries = decodeEntries(recorded('dump').received);
    expect(entries).toHaveLength(6);
    expect(entries.find(({ original }) => original.sourcePort === 51820)).toMatchObject({
      original: udp,
      reply: { source: there, destination: here, sourcePort: 53, destinationPort: 51820 },
      mark: 7,
      id: expect.any(Number),
      timeout: expect.any(Number),
      status: expect.any(Number),
    });
    expect(entries.find(({ original }) => original.icmpId === 77)?.original).toEqual(icmp);
    expect(entries.find(({ zone }) => zone === 5)?.original).toMatchObject({ sourcePort: 1, destinationPort: 2 });
  });

  it('of IPv6 are read', () => {
    const entries = decodeEntries(recorded('dump6').received);
    expect(entries.map(({ original }) => original.family)).toEqual([6, 6]);
    expect(entries.find(({ original }) => original.protocol === 58)?.original).toEqual(icmp6);
  });

  it('are asked for: all, or of one family', () => {
    const [sent] = recorded('dump').sent.flat();
    const [sent6] = recorded('dump6').sent.flat();
    expect(encodeDumpEntries()).toMatchObject({ type: sent!.type, flags: sent!.flags, payload: sent!.payload });
    expect(encodeDumpEntries(6)).toMatchObject({ type: sent6!.type, flags: sent6!.flags, payload: sent6!.payload });
    expect(encodeDumpEntries(4).payload[0]).toBe(2);
  });

  it('that are not IP, and other messages, are left out', () => {
    const [entry] = recorded('dump').received;
    const bridged = Buffer.from(entry!.payload);
    bridged[0] = 7;
    expect(
      decodeEntries([
        { ...entry!, payload: bridged },
        { ...entry!, type: 0x102 },
        { ...entry!, type: 0xa00 },
      ]),
    ).toEqual([]);
  });
});

describe('deletion', () => {
  it('is by the tuple conntrack deletes by', () => {
    const sent = (name: string) => recorded(name).sent.flat().at(-1)!;
    expect(tuple(encodeDeleteEntry({ original: udp }))).toEqual(tuple(sent('deleteUdp')));
    expect(tuple(encodeDeleteEntry({ original: icmp }))).toEqual(tuple(sent('deleteIcmp')));
    expect(encodeDeleteEntry({ original: udp }).type).toBe(sent('deleteUdp').type);
    expect(encodeDeleteEntry({ original: udp }).flags).toBe(sent('deleteUdp').flags);
    expect(encodeDeleteEntry({ original: udp }).payload[0]).toBe(2);
  });

  it('may name zone and id, so that a newer entry is left alone', () => {
    const request = encodeDeleteEntry({ original: icmp6, zone: 5, id: 0xfffffffe });
    expect(request.payload[0]).toBe(10);
    expect(tree(request.payload, 4, nested).slice(1)).toEqual([
      [18, '0005'],
      [12, 'fffffffe'],
    ]);
  });

  it('of any dumped entry names exactly its original tuple', () => {
    for (const message of recorded('dump').received) {
      const [entry] = decodeEntries([message]);
      const request = encodeDeleteEntry(entry!);
      const attributes = (payload: Uint8Array) => tree(payload, 4, nested)[0];
      expect(attributes(request.payload)).toEqual(attributes(message.payload));
    }
  });
});

describe('mangled entries', () => {
  it('are entries, nothing, or MalformedNetlink', () => {
    const attempt = (message: NetlinkMessage): void => {
      try {
        decodeEntries([message]);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedNetlink);
      }
    };
    for (const message of recorded('dump').received) {
      for (let length = 0; length < message.payload.length; length++) {
        attempt({ ...message, payload: message.payload.subarray(0, length) });
      }
      const flips = fc.array(fc.tuple(fc.nat(message.payload.length - 1), fc.nat(255)), { maxLength: 6 });
      fc.assert(
        fc.property(flips, (list) => {
          const payload = Buffer.from(message.payload);
          for (const [at, value] of list) payload[at] = value;
          attempt({ ...message, payload });
        }),
        { numRuns: 300 },
      );
    }
  });

  it('without a tuple, an address or a protocol are refused', () => {
    const entry = (attributes: Parameters<typeof encodePayload>[1]): NetlinkMessage => ({
      type: 0x100,
      flags: 0,
      sequence: 0,
      port: 0,
      payload: encodePayload(hex('02000000'), attributes),
    });
    const addresses = { type: 1, value: [1, 2].map((type) => ({ type, value: here })) };
    expect(() => decodeEntries([entry([])])).toThrow(/tuple/);
    expect(() => decodeEntries([entry([{ type: 1, value: [] }])])).toThrow(/addresses/);
    expect(() => decodeEntries([entry([{ type: 1, value: [addresses] }])])).toThrow(/protocol/);
    expect(() => decodeEntries([entry([{ type: 1, value: [addresses, { type: 2, value: [] }] }])])).toThrow(/number/);
  });
});
