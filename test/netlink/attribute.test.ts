// Attributes: trees of every shape come back, and no length field leads out of the buffer.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AttributeTree,
  be16,
  be32,
  be64,
  encodeAttributes,
  encodedLength,
  encodePayload,
  exactly,
  indexAttributes,
  MalformedNetlink,
  maxAttributeValue,
  parseAttributes,
  present,
  readBigEndian,
  readBytes,
  readNested,
  readNumber,
  readString,
  readText,
  required,
  text,
  u8,
  u16,
  u32,
} from '../../src/router/netlink/attribute.ts';
import { hex } from './recorded.ts';

const { anyTree } = fc.letrec<{ anyTree: AttributeTree; list: readonly AttributeTree[] }>((tie) => ({
  anyTree: fc.record({
    type: fc.integer({ min: 0, max: 0x3fff }),
    value: fc.oneof({ maxDepth: 4 }, fc.uint8Array({ maxLength: 20 }), tie('list')),
  }),
  list: fc.array(tie('anyTree'), { maxLength: 4 }),
}));

// Reads `bytes` in the shape of `like`, which says where attributes are nested.
function reread(bytes: Uint8Array, like: readonly AttributeTree[]): AttributeTree[] {
  const attributes = parseAttributes(bytes);
  expect(attributes.length).toBe(like.length);
  return attributes.map(({ type, value }, index) => {
    const model = like[index]!.value;
    return { type, value: model instanceof Uint8Array ? Uint8Array.from(value) : reread(value, model) };
  });
}

describe('attributes', () => {
  it('come back as they were encoded', () => {
    fc.assert(
      fc.property(fc.array(anyTree, { maxLength: 4 }), (trees) => {
        const bytes = encodeAttributes(trees);
        expect(bytes.length).toBe(encodedLength(trees));
        expect(reread(bytes, trees)).toEqual(trees);
      }),
    );
  });

  it('are padded, and marked when nested', () => {
    const bytes = encodeAttributes([{ type: 8, value: [u16(1, 0x1234)] }, u8(2, 0xff), text(3, 'lo')]);
    expect(bytes.toString('hex')).toBe('0c000880060001003412000005000200ff000000070003006c6f0000');
  });

  it('follow a header that is padded too', () => {
    expect(encodePayload(hex('01'), [u8(1, 2)]).toString('hex')).toBe('010000000500010002000000');
  });

  it('hold at most what 16 bits can say', () => {
    expect(parseAttributes(encodeAttributes([{ type: 1, value: Buffer.alloc(maxAttributeValue) }]))).toHaveLength(1);
    expect(() => encodeAttributes([{ type: 1, value: Buffer.alloc(maxAttributeValue + 1) }])).toThrow(RangeError);
  });

  it('that are cut off anywhere are refused', () => {
    const bytes = encodeAttributes([u32(1, 5), u32(2, 6)]);
    for (let length = 1; length < bytes.length; length++) {
      if (length === 8) continue;
      expect(() => parseAttributes(bytes.subarray(0, length))).toThrow(MalformedNetlink);
    }
    expect(() => parseAttributes(hex('00'), 4)).toThrow(/header of 4/);
  });

  it('of random bytes are attributes or MalformedNetlink', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          for (const { value } of parseAttributes(bytes)) expect(value.length).toBeLessThan(bytes.length);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedNetlink);
        }
      }),
    );
  });
});

describe('readers', () => {
  const fields = indexAttributes(
    encodeAttributes([
      u8(1, 200),
      u16(2, 0x1234),
      u32(3, 0xffff_fffe),
      { type: 4, value: hex('0100000000000000') },
      be16(5, 51820),
      be32(6, 0x8000_0000),
      be64(7, 86_400_000),
      text(8, 'br-lan'),
      { type: 9, value: [u8(1, 1)] },
      u8(1, 201),
    ]),
  );

  it('read numbers of every width and order; of two attributes the last counts', () => {
    expect(readNumber(fields, 1, 1)).toBe(201);
    expect(readNumber(fields, 2, 2)).toBe(0x1234);
    expect(readNumber(fields, 3, 4)).toBe(0xffff_fffe);
    expect(readNumber(fields, 4, 8)).toBe(1);
    expect(readBigEndian(fields, 5, 2)).toBe(51820);
    expect(readBigEndian(fields, 6, 4)).toBe(0x8000_0000);
    expect(readBigEndian(fields, 7, 8)).toBe(86_400_000);
  });

  it('read strings, bytes and nested attributes', () => {
    expect(readString(fields, 8)).toBe('br-lan');
    expect(readText(hex('6c6f'))).toBe('lo');
    expect(readBytes(fields, 2, 2)).toEqual(hex('3412'));
    expect(readNested(fields, 9)?.get(1)).toEqual(hex('01'));
  });

  it('give nothing where there is nothing', () => {
    expect(readNumber(fields, 99, 4)).toBeUndefined();
    expect(readNumber(fields, 99, 8)).toBeUndefined();
    expect(readBigEndian(fields, 99, 2)).toBeUndefined();
    expect(readBigEndian(fields, 99, 8)).toBeUndefined();
    expect(readString(fields, 99)).toBeUndefined();
    expect(readNested(fields, 99)).toBeUndefined();
  });

  it('refuse a wrong length, and nothing where something must be', () => {
    expect(() => readNumber(fields, 2, 4)).toThrow(/2 bytes, not 4/);
    expect(() => exactly(hex('00'), 2, 'key')).toThrow(MalformedNetlink);
    expect(() => required(undefined, 'name')).toThrow(/name is missing/);
    expect(required(0, 'name')).toBe(0);
  });

  it('leave out what is not there', () => {
    expect(Object.keys(present({ a: 1, b: undefined, c: false }))).toEqual(['a', 'c']);
  });
});
