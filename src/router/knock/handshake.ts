// Reads the first message of a WireGuard handshake with the hub's private key: who sent it, and when by its own clock.
import { createDecipheriv, timingSafeEqual } from 'node:crypto';
import { x25519 } from '@noble/curves/ed25519.js';
import { blake2s } from '@noble/hashes/blake2.js';
import { hmac } from '@noble/hashes/hmac.js';
import { keyBytes, type PrivateKey, type PublicKey, publicKeyFromBytes } from '../../model/key.ts';

/** Bytes: type 1, zeros 3, sender 4, ephemeral 32, static 32 + 16, timestamp 12 + 16, mac1 16, mac2 16 (WireGuard §5.4.2). */
export const initiationLength = 148;
const at = { ephemeral: 8, static: 40, timestamp: 88, mac1: 116, mac2: 132 } as const;
const type = Uint8Array.of(1, 0, 0, 0);

export interface Initiation {
  readonly publicKey: PublicKey;
  /** TAI64N, 12 bytes. */
  readonly timestamp: Uint8Array;
}

export interface HandshakeReader {
  /**
   * Whether whoever made this knows the hub's public key: some microseconds, for everything that is no handshake with
   * this hub ends here.
   */
  isForUs(message: Uint8Array): boolean;
  /** Who sent it; null when it does not open. About a millisecond. */
  open(message: Uint8Array): Initiation | null;
}

const hash = (...parts: readonly Uint8Array[]): Uint8Array => blake2s(concat(parts));
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts);
}

/** KDF2: the next chaining key, and a key. */
function derive(chaining: Uint8Array, input: Uint8Array): readonly [Uint8Array, Uint8Array] {
  const secret = hmac(blake2s, chaining, input);
  const first = hmac(blake2s, secret, Uint8Array.of(1));
  return [first, hmac(blake2s, secret, concat([first, Uint8Array.of(2)]))];
}

/** RFC 8439 with a nonce of zeros; null when the tag is wrong. */
function decrypt(key: Uint8Array, sealed: Uint8Array, additional: Uint8Array): Uint8Array | null {
  const length = sealed.length - 16;
  const decipher = createDecipheriv('chacha20-poly1305', key, new Uint8Array(12), { authTagLength: 16 });
  decipher.setAAD(additional, { plaintextLength: length });
  decipher.setAuthTag(sealed.subarray(length));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(0, length)), decipher.final()]);
  } catch {
    return null;
  }
}

/** Null for a point of low order: everybody would know the shared secret (RFC 7748 §6.1). */
function agree(privateKey: PrivateKey, publicKey: Uint8Array): Uint8Array | null {
  try {
    return x25519.getSharedSecret(privateKey.reveal(), publicKey);
  } catch {
    return null;
  }
}

export function createHandshakeReader(privateKey: PrivateKey, publicKey: PublicKey): HandshakeReader {
  const hub = keyBytes(publicKey);
  const construction = hash(text('Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s'));
  const start = hash(hash(construction, text('WireGuard v1 zx2c4 Jason@zx2c4.com')), hub);
  // The keyed state is the same for every message: it is made once and copied.
  const keyed = blake2s.create({ key: hash(text('mac1----'), hub), dkLen: 16 });

  return {
    isForUs: (message) => {
      if (message.length !== initiationLength || type.some((byte, i) => message[i] !== byte)) return false;
      const mac = keyed.clone().update(message.subarray(0, at.mac1)).digest();
      return timingSafeEqual(mac, message.subarray(at.mac1, at.mac2));
    },
    open: (message) => {
      const part = (from: number, to: number) => message.subarray(from, to);
      const ephemeral = part(at.ephemeral, at.static);
      const mixed = hmac(blake2s, hmac(blake2s, construction, ephemeral), Uint8Array.of(1));
      const transcript = hash(start, ephemeral);
      const first = agree(privateKey, ephemeral);
      if (first === null) return null;
      const [chaining, staticKey] = derive(mixed, first);
      const sender = decrypt(staticKey, part(at.static, at.timestamp), transcript);
      if (sender === null) return null;
      const second = agree(privateKey, sender);
      if (second === null) return null;
      const [, timeKey] = derive(chaining, second);
      const timestamp = decrypt(timeKey, part(at.timestamp, at.mac1), hash(transcript, part(at.static, at.timestamp)));
      return timestamp === null ? null : { publicKey: publicKeyFromBytes(sender), timestamp };
    },
  };
}

/**
 * Whether mac2 is empty, as in every message of a client that the hub has never sent a cookie. The hub answers nobody
 * it refuses, so a refused message with a mac2 was changed on its way, or made by hand.
 */
export function hasEmptyMac2(message: Uint8Array): boolean {
  return message.subarray(at.mac2, initiationLength).every((byte) => byte === 0);
}

/** What tells one message from a copy of it. */
export function ephemeralOf(message: Uint8Array): string {
  return Buffer.from(message.subarray(at.ephemeral, at.static)).toString('latin1');
}
