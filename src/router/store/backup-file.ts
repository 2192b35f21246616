// The backup as a file: compressed and sealed under a passphrase, and nothing of it ever lies open on a disk.
import { argon2, createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import { InvalidInput } from '../../model/errors.ts';

const derive = promisify(argon2);
const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/**
 * Layout, numbers big-endian: `magic (8) | version (2) | memory in KiB (4) | passes (4) | lanes (4) | salt (16) |
 * nonce (12) | ciphertext | tag (16)`. All before the ciphertext is additional data.
 */
const magic = Buffer.from('APNbckup');
const version = 1;
const saltLength = 16;
const nonceLength = 12;
const tagLength = 16;
const saltAt = magic.length + 2 + 3 * 4;
const headerLength = saltAt + saltLength + nonceLength;

export interface Cost {
  /** KiB */
  readonly memory: number;
  readonly passes: number;
  readonly lanes: number;
}

/** A file is out of our hands, so guessing is made dear: more than signing in costs (RFC 9106 §4, second choice). */
const usualCost: Cost = { memory: 64 * 1024, passes: 3, lanes: 1 };
/** What a file may ask for, whoever wrote it: the smallest box has 512 MB. */
const most: Cost = { memory: 128 * 1024, passes: 10, lanes: 4 };
const least: Cost = { memory: 8 * 1024, passes: 1, lanes: 1 };

/** Bytes. A thousand peers take a few hundred thousand. */
export const largestFile = 4 * 1024 * 1024;
const largestContents = 32 * 1024 * 1024;

const shortest = 10;
const longest = 1000;

/** @throws InvalidInput at `passphrase`. */
export function checkPassphrase(passphrase: string): void {
  const { length } = Array.from(passphrase.normalize('NFC'));
  if (length < shortest) throw new InvalidInput('passphrase', `A passphrase has at least ${shortest} characters.`);
  if (length > longest) throw new InvalidInput('passphrase', `A passphrase has at most ${longest} characters.`);
}

/** @throws InvalidInput for a passphrase that is too short. */
export async function sealFile(contents: Uint8Array, passphrase: string, cost: Cost = usualCost): Promise<Uint8Array> {
  checkPassphrase(passphrase);
  const header = Buffer.alloc(headerLength);
  magic.copy(header);
  header.writeUInt16BE(version, magic.length);
  for (const [i, value] of [cost.memory, cost.passes, cost.lanes].entries()) {
    header.writeUInt32BE(value, magic.length + 2 + 4 * i);
  }
  randomBytes(saltLength + nonceLength).copy(header, saltAt);
  const key = await keyOf(header, passphrase, cost);
  const cipher = createCipheriv('aes-256-gcm', key, header.subarray(saltAt + saltLength));
  cipher.setAAD(header);
  const sealed = [cipher.update(await compress(contents)), cipher.final()];
  key.fill(0);
  return Buffer.concat([header, ...sealed, cipher.getAuthTag()]);
}

/** @throws InvalidInput at `file` or `passphrase`. */
export async function openFile(file: Uint8Array, passphrase: string): Promise<Uint8Array> {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const refuse = (message: string) => new InvalidInput('file', message);
  if (bytes.length > largestFile) throw refuse('This file is larger than any backup.');
  if (!bytes.subarray(0, magic.length).equals(magic)) throw refuse('This is not a backup of an APN router.');
  if (bytes.length < headerLength + tagLength) throw refuse('This backup is cut off.');
  const found = bytes.readUInt16BE(magic.length);
  if (found > version) throw refuse('This backup was made by a newer release: install that one first.');
  if (found !== version) throw refuse('This backup is damaged.');
  const header = bytes.subarray(0, headerLength);
  const number = (i: number) => header.readUInt32BE(magic.length + 2 + 4 * i);
  const cost: Cost = { memory: number(0), passes: number(1), lanes: number(2) };
  const fields = ['memory', 'passes', 'lanes'] as const;
  if (fields.some((field) => cost[field] < least[field] || cost[field] > most[field])) {
    throw refuse('This backup is damaged: it asks for more work than any backup does.');
  }
  const key = await keyOf(header, passphrase, cost);
  const decipher = createDecipheriv('aes-256-gcm', key, header.subarray(saltAt + saltLength));
  key.fill(0);
  decipher.setAAD(header);
  decipher.setAuthTag(bytes.subarray(bytes.length - tagLength));
  let compressed: Buffer;
  try {
    const body = bytes.subarray(headerLength, bytes.length - tagLength);
    compressed = Buffer.concat([decipher.update(body), decipher.final()]);
  } catch {
    // The two cannot be told apart: both make the tag wrong.
    throw new InvalidInput('passphrase', 'The passphrase is wrong, or the backup is damaged.');
  }
  try {
    return await decompress(compressed, { maxOutputLength: largestContents });
  } catch {
    throw refuse('This backup does not hold what a backup holds.');
  }
}

function keyOf(header: Buffer, passphrase: string, { memory, passes, lanes }: Cost): Promise<Buffer> {
  return derive('argon2id', {
    ...{ message: Buffer.from(passphrase.normalize('NFC')), nonce: header.subarray(saltAt, saltAt + saltLength) },
    ...{ memory, passes, parallelism: lanes, tagLength: 32 },
  });
}
