// A WireGuard client as far as its first message, made of OpenSSL's parts where the program under test uses others.
import {
  createCipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { blake2s } from '@noble/hashes/blake2.js';

const privatePrefix = Buffer.from('302e020100300506032b656e04220420', 'hex');
const publicPrefix = Buffer.from('302a300506032b656e032100', 'hex');

export interface KeyPair {
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

const raw = (key: KeyObject, type: 'pkcs8' | 'spki'): Buffer =>
  key.export({ format: 'der', type } as { format: 'der'; type: 'spki' }).subarray(-32);

export function makeKeyPair(): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  return { privateKey: raw(privateKey, 'pkcs8'), publicKey: raw(publicKey, 'spki') };
}

/** @param privateKey 32 bytes, for instance of a WireGuard file. */
export function keyPairOf(privateKey: Uint8Array): KeyPair {
  const key = createPrivateKey({ key: Buffer.concat([privatePrefix, privateKey]), format: 'der', type: 'pkcs8' });
  return { privateKey, publicKey: raw(createPublicKey(key), 'spki') };
}

function shared(privateKey: Uint8Array, publicKey: Uint8Array): Buffer {
  return diffieHellman({
    privateKey: createPrivateKey({ key: Buffer.concat([privatePrefix, privateKey]), format: 'der', type: 'pkcs8' }),
    publicKey: createPublicKey({ key: Buffer.concat([publicPrefix, publicKey]), format: 'der', type: 'spki' }),
  });
}

const hash = (...parts: readonly (Uint8Array | string)[]): Buffer => {
  const state = createHash('blake2s256');
  for (const part of parts) state.update(part);
  return state.digest();
};
const mac = (key: Uint8Array, ...parts: readonly Uint8Array[]): Buffer => {
  const state = createHmac('blake2s256', key);
  for (const part of parts) state.update(part);
  return state.digest();
};

function keys(chaining: Uint8Array, input: Uint8Array): readonly [Buffer, Buffer] {
  const secret = mac(chaining, input);
  const first = mac(secret, Uint8Array.of(1));
  return [first, mac(secret, first, Uint8Array.of(2))];
}

function seal(key: Uint8Array, plain: Uint8Array, additional: Uint8Array): Buffer {
  const cipher = createCipheriv('chacha20-poly1305', key, Buffer.alloc(12), { authTagLength: 16 });
  cipher.setAAD(additional, { plaintextLength: plain.length });
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** TAI64N of a moment in milliseconds since 1970. */
export function tai(wall: number): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64BE(BigInt(Math.floor(wall / 1000)) + 0x400000000000000an, 0);
  bytes.writeUInt32BE(Math.floor(((wall % 1000) + 1000) % 1000) * 1_000_000, 8);
  return bytes;
}

export interface Wish {
  readonly hub: Uint8Array;
  readonly from: KeyPair;
  readonly timestamp: Uint8Array;
  readonly ephemeral?: KeyPair;
}

/** The first message of a handshake, 148 bytes. */
export function initiation({ hub, from, timestamp, ephemeral = makeKeyPair() }: Wish): Buffer {
  const construction = hash('Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s');
  let transcript = hash(hash(construction, 'WireGuard v1 zx2c4 Jason@zx2c4.com'), hub);
  transcript = hash(transcript, ephemeral.publicKey);
  const [start] = keys(construction, ephemeral.publicKey);
  const [chaining, staticKey] = keys(start, shared(ephemeral.privateKey, hub));
  const sealedStatic = seal(staticKey, from.publicKey, transcript);
  transcript = hash(transcript, sealedStatic);
  const [, timeKey] = keys(chaining, shared(from.privateKey, hub));
  const message = Buffer.concat([
    Uint8Array.of(1, 0, 0, 0, 7, 7, 7, 7),
    ephemeral.publicKey,
    sealedStatic,
    seal(timeKey, timestamp, transcript),
  ]);
  return Buffer.concat([message, blake2s(message, { key: hash('mac1----', hub), dkLen: 16 }), Buffer.alloc(16)]);
}
