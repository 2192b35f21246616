// Message headers: round trips, cut-off and mangled datagrams, and the kernel's errors in their several shapes.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeAttributes, MalformedNetlink, text, u32 } from '../../src/router/netlink/attribute.ts';
import {
  encodeMessage,
  messageType,
  NetlinkError,
  type NetlinkMessage,
  parseErrno,
  parseError,
  parseMessages,
} from '../../src/router/netlink/message.ts';
import { hex } from './recorded.ts';

const anyMessage = fc.record({
  type: fc.integer({ min: 0, max: 0xffff }),
  flags: fc.integer({ min: 0, max: 0xffff }),
  sequence: fc.integer({ min: 0, max: 0xffff_ffff }),
  port: fc.integer({ min: 0, max: 0xffff_ffff }),
  payload: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
});

function answer(type: number, flags: number, payload: Buffer): NetlinkMessage {
  return { type, flags, sequence: 1, port: 0, payload };
}

describe('messages', () => {
  it('come back as they were encoded, one or many in a datagram', () => {
    fc.assert(
      fc.property(fc.array(anyMessage, { maxLength: 5 }), (messages) => {
        expect(parseMessages(Buffer.concat(messages.map(encodeMessage)))).toEqual(messages);
      }),
    );
  });

  it('are written as the kernel reads them', () => {
    const bytes = encodeMessage({ type: 0x12, flags: 0x301, sequence: 7, port: 9, payload: hex('00000000 aa') });
    expect(bytes.toString('hex')).toBe('1500000012000103070000000900000000000000aa000000');
  });

  it('that are cut off anywhere are refused', () => {
    const bytes = encodeMessage({ type: 16, flags: 0, sequence: 1, port: 0, payload: Buffer.alloc(8) });
    for (let length = 1; length < bytes.length; length++) {
      expect(() => parseMessages(bytes.subarray(0, length))).toThrow(MalformedNetlink);
    }
    expect(parseMessages(Buffer.alloc(0))).toEqual([]);
  });

  it('with a length shorter than the header are refused, not read for ever', () => {
    expect(() => parseMessages(Buffer.alloc(16))).toThrow(/length 0/);
  });

  it('of random bytes are messages or MalformedNetlink', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        try {
          expect(parseMessages(bytes).length).toBeLessThan(8);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedNetlink);
        }
      }),
    );
  });
});

describe('answers', () => {
  it('give the error number as a positive one', () => {
    expect(parseErrno(answer(messageType.error, 0, hex('00000000')))).toBe(0);
    expect(parseErrno(answer(messageType.error, 0, hex('ffffffff')))).toBe(1);
    expect(parseErrno(answer(messageType.done, 0, hex('edffffff')))).toBe(19);
  });

  it('at the end of a dump may have no number, or one that is no error', () => {
    expect(parseErrno(answer(messageType.done, 0, Buffer.alloc(0)))).toBe(0);
    expect(parseErrno(answer(messageType.done, 0, hex('05000000')))).toBe(0);
  });

  it('without a number are refused', () => {
    expect(() => parseErrno(answer(messageType.error, 0, hex('0000')))).toThrow(MalformedNetlink);
  });

  it('become errors with the name of the number', () => {
    const error = parseError(answer(messageType.error, 0, hex('ffffffff')), 'request 16');
    expect(error).toBeInstanceOf(NetlinkError);
    expect([error.errno, error.code, error.offset]).toEqual([1, 'EPERM', undefined]);
    expect(error.message).toBe('request 16: operation not permitted (EPERM)');
    expect(new NetlinkError(85, 'x').code).toBe('ERESTART');
    expect(new NetlinkError(4000, 'x').code).toBe('E4000');
  });

  const detail = encodeAttributes([text(1, 'Unknown device type'), u32(2, 44)]);
  const request = encodeMessage({ type: 16, flags: 0, sequence: 1, port: 0, payload: hex('aabbccdd ee') });

  it('tell the reason in the kernel’s words: capped, whole, and at the end of a dump', () => {
    const shapes = [
      answer(messageType.error, 0x300, Buffer.concat([hex('a1ffffff'), request.subarray(0, 16), detail])),
      answer(messageType.error, 0x200, Buffer.concat([hex('a1ffffff'), request, detail])),
      answer(messageType.done, 0x202, Buffer.concat([hex('a1ffffff'), detail])),
    ];
    for (const shape of shapes) {
      const error = parseError(shape, 'request');
      expect([error.message, error.errno, error.offset]).toEqual(['request: Unknown device type (ENOTSUP)', 95, 44]);
    }
  });

  it('whose detail is cut off are refused', () => {
    expect(() => parseError(answer(messageType.error, 0x200, hex('a1ffffff 0000')), 'x')).toThrow(MalformedNetlink);
    expect(() => parseError(answer(messageType.error, 0x300, hex('a1ffffff 0000')), 'x')).toThrow(MalformedNetlink);
  });
});
