// From a copied IP packet to its UDP payload: what is not a whole datagram is nothing.
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { readDatagram } from '../../src/router/knock/packet.ts';
import { ip, udp } from '../support/lab/frames.ts';

const payload = randomBytes(148);
const ports = { sport: 40_001, dport: 51820 };
const four = { from: '203.0.113.50', to: '203.0.113.1', ...ports };
const six = { from: '2001:db8:113::50', to: '2001:db8:113::1', ...ports };

describe('a datagram', () => {
  it.each([four, six, { ...four, options: [1, 1, 1, 1, 1, 1, 1, 0] }])('from %j is read', (header) => {
    expect(readDatagram(udp(header, payload))).toEqual({
      source: header.from,
      port: 40_001,
      payload: Uint8Array.from(payload),
    });
  });

  it('ends where UDP says, whatever follows', () => {
    expect(readDatagram(Buffer.concat([udp(four, payload), randomBytes(30)]))?.payload).toHaveLength(148);
    expect(readDatagram(udp(four))?.payload).toHaveLength(0);
  });

  it('is nothing when cut off anywhere', () => {
    for (const whole of [udp(four, payload), udp(six, payload)]) {
      for (let length = 0; length < whole.length; length++) {
        expect(readDatagram(whole.subarray(0, length)), `${length}`).toBeNull();
      }
    }
  });

  it('is nothing as a fragment, as another protocol, behind a header of IPv6, or with a senseless length', () => {
    expect(readDatagram(udp({ ...four, fragment: { offset: 0, more: true } }, payload))).toBeNull();
    expect(readDatagram(udp({ ...four, fragment: { offset: 8, more: false } }, payload))).toBeNull();
    expect(readDatagram(ip(four, 6, payload))).toBeNull();
    expect(readDatagram(ip(six, 60, payload))).toBeNull();
    const wrong = Buffer.from(udp(four, payload));
    wrong[0] = 0x44; // a header of 16 bytes
    expect(readDatagram(wrong)).toBeNull();
    wrong[0] = 0x55; // version 5
    expect(readDatagram(wrong)).toBeNull();
    const short = Buffer.from(udp(four, payload));
    short.writeUInt16BE(7, 24);
    expect(readDatagram(short)).toBeNull();
    expect(readDatagram(new Uint8Array(0))).toBeNull();
  });

  it('does not keep the copy alive', () => {
    const datagram = readDatagram(udp(four, payload));
    expect(datagram?.payload.buffer.byteLength).toBe(148);
  });
});
