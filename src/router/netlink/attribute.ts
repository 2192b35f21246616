// Netlink attributes (struct nlattr): a tree of values <-> bytes, checked against every bound.
/** Bytes that are not what the protocol says: the one error every decoder in this folder throws. */
export class MalformedNetlink extends Error {
  override readonly name = 'MalformedNetlink';
}

/** Rounded up to the 4 bytes messages and attributes are aligned to (NLMSG_ALIGNTO, NLA_ALIGNTO). */
export function align(length: number): number {
  return (length + 3) & ~3;
}

/** The same memory as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

const attributeHeader = 4; // NLA_HDRLEN
export const nestedBit = 0x8000; // NLA_F_NESTED
const typeMask = 0x3fff; // NLA_TYPE_MASK: without NLA_F_NESTED and NLA_F_NET_BYTEORDER

/** The largest value one attribute holds: its length field is 16 bits and counts the header. */
export const maxAttributeValue = 0xffff - attributeHeader;

/** An attribute to encode: a leaf's bytes, or the attributes nested in it. */
export type AttributeTree = { readonly type: number; readonly value: Uint8Array | readonly AttributeTree[] };

/** A parsed attribute; `value` is a view, still undecoded (the reader knows whether it is nested). */
export type Attribute = { readonly type: number; readonly value: Buffer };

/** `attributes` one after the other, each padded to 4 bytes. @throws RangeError when one is longer than 16 bits can say */
export function encodeAttributes(attributes: readonly AttributeTree[]): Buffer {
  const bytes = Buffer.alloc(encodedLength(attributes));
  write(bytes, 0, attributes);
  return bytes;
}

/** A nested attribute whose content was encoded before, as by `encodeAttributes`. */
export function nested(type: number, content: Uint8Array): AttributeTree {
  return { type: type | nestedBit, value: content };
}

/** A fixed header (struct nfgenmsg, ifinfomsg, …) followed by attributes. */
export function encodePayload(header: Uint8Array, attributes: readonly AttributeTree[]): Buffer {
  const start = align(header.length);
  const bytes = Buffer.alloc(start + encodedLength(attributes));
  bytes.set(header, 0);
  write(bytes, start, attributes);
  return bytes;
}

/** Bytes `attributes` take, headers and padding included. */
export function encodedLength(attributes: readonly AttributeTree[]): number {
  let length = 0;
  for (const { value } of attributes) length += align(attributeHeader + valueLength(value));
  return length;
}

function valueLength(value: AttributeTree['value']): number {
  return value instanceof Uint8Array ? value.length : encodedLength(value);
}

function write(bytes: Buffer, start: number, attributes: readonly AttributeTree[]): number {
  let at = start;
  for (const { type, value } of attributes) {
    let end = at + attributeHeader;
    if (value instanceof Uint8Array) {
      bytes.set(value, end);
      end += value.length;
    } else {
      end = write(bytes, end, value);
    }
    if (end - at > 0xffff) throw new RangeError(`attribute ${type} is ${end - at} bytes long`);
    bytes.writeUInt16LE(end - at, at); // nla_len, without the padding
    // Current kernels refuse a nested attribute that is not marked as one.
    bytes.writeUInt16LE(value instanceof Uint8Array ? type : type | nestedBit, at + 2); // nla_type
    at = at + align(end - at);
  }
  return at;
}

/** The attributes in `bytes` from `start` on, in order. @throws MalformedNetlink */
export function parseAttributes(bytes: Uint8Array, start = 0): Attribute[] {
  const buffer = asBuffer(bytes);
  if (start > buffer.length) throw new MalformedNetlink(`${buffer.length} bytes where a header of ${start} belongs`);
  const attributes: Attribute[] = [];
  let at = start;
  while (at < buffer.length) {
    if (buffer.length - at < attributeHeader) throw new MalformedNetlink(`attribute header cut off at ${at}`);
    const length = buffer.readUInt16LE(at);
    if (length < attributeHeader || length > buffer.length - at)
      throw new MalformedNetlink(`attribute length ${length} at ${at}`);
    attributes.push({
      type: buffer.readUInt16LE(at + 2) & typeMask,
      value: buffer.subarray(at + attributeHeader, at + length),
    });
    at += align(length);
  }
  return attributes;
}

/** The attributes by type; of two with one type the last counts. @throws MalformedNetlink */
export function indexAttributes(bytes: Uint8Array, start = 0): Fields {
  const byType = new Map<number, Buffer>();
  for (const { type, value } of parseAttributes(bytes, start)) byType.set(type, value);
  return byType;
}

export function u8(type: number, value: number): AttributeTree {
  return { type, value: Uint8Array.of(value) };
}

export function u16(type: number, value: number): AttributeTree {
  return { type, value: Uint8Array.of(value, value >> 8) };
}

export function u32(type: number, value: number): AttributeTree {
  return { type, value: Uint8Array.of(value, value >> 8, value >> 16, value >> 24) };
}

/** Big-endian, as nfnetlink wants its numbers. */
export function be16(type: number, value: number): AttributeTree {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return { type, value: bytes };
}

export function be32(type: number, value: number): AttributeTree {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return { type, value: bytes };
}

/** Exact up to 2^53. */
export function be64(type: number, value: number): AttributeTree {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return { type, value: bytes };
}

/** A string with the NUL the kernel expects at its end. */
export function text(type: number, value: string): AttributeTree {
  return { type, value: Buffer.from(`${value}\0`) };
}

/** Attributes by type. */
export type Fields = ReadonlyMap<number, Buffer>;

/** `bytes` when there are exactly `length` of them. @throws MalformedNetlink */
export function exactly(bytes: Buffer, length: number, what: string): Buffer {
  if (bytes.length !== length) throw new MalformedNetlink(`${what} is ${bytes.length} bytes, not ${length}`);
  return bytes;
}

/** `value` unless it is undefined. @throws MalformedNetlink */
export function required<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new MalformedNetlink(`${what} is missing`);
  return value;
}

/** The attribute's bytes, all `length` of them, if it is there. @throws MalformedNetlink */
export function readBytes(fields: Fields, type: number, length: number): Buffer | undefined {
  const bytes = fields.get(type);
  return bytes === undefined ? undefined : exactly(bytes, length, `attribute ${type}`);
}

/** An unsigned number of the host's byte order, if it is there; 64 bits are exact up to 2^53. @throws MalformedNetlink */
export function readNumber(fields: Fields, type: number, length: 1 | 2 | 4 | 8): number | undefined {
  const bytes = readBytes(fields, type, length);
  return length === 8 ? asNumber(bytes?.readBigUInt64LE()) : bytes?.readUIntLE(0, length);
}

/** The same in big-endian, as nfnetlink writes its numbers. @throws MalformedNetlink */
export function readBigEndian(fields: Fields, type: number, length: 1 | 2 | 4 | 8): number | undefined {
  const bytes = readBytes(fields, type, length);
  return length === 8 ? asNumber(bytes?.readBigUInt64BE()) : bytes?.readUIntBE(0, length);
}

function asNumber(value: bigint | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}

/** The attributes nested in one, if it is there. @throws MalformedNetlink */
export function readNested(fields: Fields, type: number): Fields | undefined {
  const bytes = fields.get(type);
  return bytes === undefined ? undefined : indexAttributes(bytes);
}

/** A string, if it is there. */
export function readString(fields: Fields, type: number): string | undefined {
  const bytes = fields.get(type);
  return bytes === undefined ? undefined : readText(bytes);
}

/** A string up to its first NUL. */
export function readText(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end === -1 ? bytes.length : end);
}

type Present<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** `fields` without those that are undefined: an attribute the kernel did not send is a property that is not there. */
export function present<T extends object>(fields: T): Present<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Present<T>;
}
