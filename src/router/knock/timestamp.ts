// TAI64N timestamps (https://cr.yp.to/libtai/tai64.html) as WireGuard writes them: compared as bytes, and as wall time.

/** The label of 1970-01-01 with the 10 s WireGuard adds: 2^62 + 10. */
const epoch = 0x4000_0000_0000_000an;
export const timestampLength = 12;

/** Negative, zero or positive, as for sorting. */
export function compareTimestamps(one: Uint8Array, other: Uint8Array): number {
  return Buffer.compare(one, other);
}

/** Milliseconds since 1970, fractions cut off. Labels far from any real time lose precision. */
export function timestampToWall(timestamp: Uint8Array): number {
  const bytes = Buffer.from(timestamp);
  return Number(bytes.readBigUInt64BE(0) - epoch) * 1000 + Math.floor(bytes.readUInt32BE(8) / 1e6);
}

/** @param wall Milliseconds since 1970. */
export function wallToTimestamp(wall: number): Uint8Array {
  const seconds = Math.floor(wall / 1000);
  const bytes = Buffer.alloc(timestampLength);
  bytes.writeBigUInt64BE(epoch + BigInt(seconds), 0);
  bytes.writeUInt32BE(Math.round((wall - seconds * 1000) * 1e6), 8);
  return bytes;
}
