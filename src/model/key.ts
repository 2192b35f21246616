// WireGuard keys: public keys are text, private and preshared keys are secrets that print as `[secret]`.
import { InvalidInput } from './errors.ts';

declare const kind: unique symbol;

/** A Curve25519 public key as 44 characters of canonical base64. */
export type PublicKey = string & { readonly [kind]: 'PublicKey' };

export type SecretPurpose = 'private key' | 'preshared key' | 'store key' | 'password hash' | 'token';

/** Bytes that must not be printed. JSON, string conversion and inspection all give `[secret]`. */
export class Secret<Purpose extends SecretPurpose = SecretPurpose> {
  readonly purpose: Purpose;
  readonly #bytes: Uint8Array;
  constructor(purpose: Purpose, bytes: Uint8Array) {
    this.purpose = purpose;
    this.#bytes = Uint8Array.from(bytes);
  }
  /** The one way to the bytes: easy to find by searching. */
  reveal(): Uint8Array {
    return this.#bytes;
  }
  equals(other: Secret<Purpose>): boolean {
    const theirs = other.reveal();
    let difference = this.#bytes.length ^ theirs.length;
    for (const [i, byte] of this.#bytes.entries()) difference |= byte ^ (theirs[i] ?? 0);
    return difference === 0;
  }
  toString(): string {
    return '[secret]';
  }
  toJSON(): string {
    return '[secret]';
  }
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[secret]';
  }
}

export type PrivateKey = Secret<'private key'>;
export type PresharedKey = Secret<'preshared key'>;

/**
 * @throws InvalidInput for other lengths, base64 with stray bits, and points of low order (RFC 7748 §6.1: with them the
 * shared secret would be known to everyone).
 */
export function parsePublicKey(text: string): PublicKey {
  const bytes = decodeKey(text, 'public key');
  if (lowOrder.has(hex(clearTopBit(bytes)))) {
    throw new InvalidInput('', 'This public key is not safe to use (a point of low order).');
  }
  return text as PublicKey;
}

/** @throws InvalidInput when the text is not 32 bytes in canonical base64, or all zero. */
export function decodeKey(text: string, what: string): Uint8Array {
  if (text.length !== 44) throw new InvalidInput('', `A ${what} has 44 characters, this has ${text.length}.`);
  if (!/^[A-Za-z0-9+/]{43}=$/.test(text)) throw new InvalidInput('', `A ${what} is base64 text ending in “=”.`);
  const bytes = Uint8Array.fromBase64(text);
  if (encodeKey(bytes) !== text) throw new InvalidInput('', `This ${what} is not canonical base64: copy it again.`);
  if (bytes.every((byte) => byte === 0)) throw new InvalidInput('', `This ${what} is all zero.`);
  return bytes;
}

/** @param bytes 32 bytes. */
export function encodeKey(bytes: Uint8Array): string {
  return bytes.toBase64();
}

/** The 32 bytes of a key that was parsed before: no checks, as this is done for every peer of a device. */
export function keyBytes(key: PublicKey): Uint8Array {
  return Uint8Array.fromBase64(key);
}

/** For keys that come from the kernel, which has checked them. */
export function publicKeyFromBytes(bytes: Uint8Array): PublicKey {
  return encodeKey(bytes) as PublicKey;
}

function hex(bytes: Uint8Array): string {
  return bytes.toHex();
}

/** X25519 ignores the top bit, so both spellings of a point count (RFC 7748 §5). */
function clearTopBit(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[31]! &= 0x7f;
  return copy;
}

/** The points of order 1, 2, 4 and 8 on the curve and its twist, little-endian, with their non-canonical spellings. */
const lowOrder: ReadonlySet<string> = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
]);
