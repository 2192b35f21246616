// Seals values with AES-256-GCM under a key that lives in a file of its own, outside the database and its backups.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Secret } from '../../model/key.ts';
import { writeFileAtomic } from '../files.ts';
import { StoreUnavailable } from './errors.ts';

/** Version of the layout: `version (1) | key id (4) | nonce (12) | ciphertext | tag (16)`. */
const version = 1;
const headerLength = 1 + 4 + 12;
const tagLength = 16;

export interface StoreKey {
  /** Tells keys apart; part of the additional data. 4 bytes, hex. */
  readonly id: string;
  readonly key: Secret<'store key'>;
}

/** The place a value is sealed for: a value moved elsewhere does not open. */
export interface Place {
  readonly column: string;
  readonly row: string;
}

export function seal(storeKey: StoreKey, place: Place, value: Uint8Array): Uint8Array {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', storeKey.key.reveal(), nonce);
  cipher.setAAD(additionalData(place, storeKey.id));
  return Buffer.concat([
    Uint8Array.of(version),
    Buffer.from(storeKey.id, 'hex'),
    nonce,
    cipher.update(value),
    cipher.final(),
    cipher.getAuthTag(),
  ]);
}

/** Null when the value was changed, moved, or sealed with another key. */
export function unseal(storeKey: StoreKey, place: Place, sealed: Uint8Array): Uint8Array | null {
  const bytes = Buffer.from(sealed);
  if (bytes.length < headerLength + tagLength || bytes[0] !== version) return null;
  if (bytes.toString('hex', 1, 5) !== storeKey.id) return null;
  const decipher = createDecipheriv('aes-256-gcm', storeKey.key.reveal(), bytes.subarray(5, headerLength));
  decipher.setAAD(additionalData(place, storeKey.id));
  decipher.setAuthTag(bytes.subarray(bytes.length - tagLength));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(headerLength, bytes.length - tagLength)), decipher.final()]);
  } catch {
    return null;
  }
}

function additionalData({ column, row }: Place, keyId: string): Buffer {
  return Buffer.from(`secret|${column}|${row}|${keyId}`);
}

/** Reads the key file; null when there is none. @throws StoreUnavailable when it is not a key. */
export function readStoreKey(file: string): StoreKey | null {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw locked(error);
  }
  const match = /^([0-9a-f]{8}) ([0-9a-f]{64})\n$/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) throw locked(null);
  return { id: match[1], key: new Secret('store key', Buffer.from(match[2], 'hex')) };
}

export function createStoreKey(file: string): StoreKey {
  const id = randomBytes(4).toString('hex');
  const key = randomBytes(32);
  writeFileAtomic(file, `${id} ${key.toString('hex')}\n`, 0o400);
  return { id, key: new Secret('store key', key) };
}

export function locked(cause: unknown): StoreUnavailable {
  return new StoreUnavailable('store-locked', 'The key file that opens the stored secrets is missing or damaged.', {
    remedy: 'Put the key file back from where it was kept, or restore a backup with its passphrase.',
    cause,
  });
}
