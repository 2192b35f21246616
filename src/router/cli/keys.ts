// Key pairs that the command makes itself: the private half goes into the file it prints, and nowhere else.
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { encodeQR } from 'qr';
import { type ClientFacts, clientConfig } from '../../model/client.ts';
import { InvalidInput } from '../../model/errors.ts';
import { encodeKey } from '../../model/key.ts';
import { type Arguments, one } from './arguments.ts';
import type { Request } from './command.ts';

export const keyUsage = '--public-key KEY|--make-key [--out FILE] [--qr] [--no-dns]';
export const keyOptions = ['--public-key', '--make-key', '--out', '--qr', '--no-dns'];

/** The key to send, and what is done with the answer once it is there. */
export interface Keyed {
  readonly publicKey?: string;
  readonly finish?: NonNullable<Request['finish']>;
}

/** @throws InvalidInput */
export function keyed(args: Arguments): Keyed {
  const given = one(args, '--public-key');
  const facts = (answer: { facts: ClientFacts }) =>
    args.options.has('--no-dns') ? { ...answer.facts, dns: null } : answer.facts;
  if (!args.options.has('--make-key')) {
    const needing = ['--out', '--qr'].find((name) => args.options.has(name));
    if (needing !== undefined)
      throw new InvalidInput(needing, `${needing} needs --make-key: without the private key the file is not whole.`);
    const finish = (answer: { facts: ClientFacts; config: string }) => {
      const placeholder = /^PrivateKey = (.*)$/m.exec(answer.config)?.[1] ?? '';
      return { ...answer, config: clientConfig(facts(answer), placeholder) };
    };
    const shortened = args.options.has('--no-dns') ? { finish: finish as Keyed['finish'] & {} } : {};
    return { ...(given === undefined ? {} : { publicKey: given }), ...shortened };
  }
  if (given !== undefined) throw new InvalidInput('--make-key', 'Give a public key, or have one made: not both.');
  const file = one(args, '--out');
  if (file !== undefined && existsSync(file)) throw new InvalidInput('--out', `There is a ${file} already.`);
  const pair = makeKeyPair();
  const finish = (answer: { facts: ClientFacts }) => {
    const config = clientConfig(facts(answer), pair.privateKey);
    const qr = args.options.has('--qr') ? { qr: qrCode(config) } : {};
    return { ...answer, config, whole: true, ...qr, ...(file === undefined ? {} : written(file, config)) };
  };
  return { publicKey: pair.publicKey, finish: finish as Keyed['finish'] & {} };
}

/** What cannot be written is shown: the peer is there, and its key would be lost. */
function written(file: string, config: string): { readonly file?: string; readonly unwritten?: string } {
  try {
    writeFileSync(file, config, { mode: 0o600, flag: 'wx' });
    return { file };
  } catch (error) {
    return { unwritten: (error as Error).message };
  }
}

/** X25519 (RFC 7748). Node gives keys as DER, which ends with the 32 bytes. */
function makeKeyPair(): { readonly privateKey: string; readonly publicKey: string } {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  const last = (der: Buffer) => encodeKey(der.subarray(der.length - 32));
  return {
    privateKey: last(privateKey.export({ format: 'der', type: 'pkcs8' })),
    publicKey: last(publicKey.export({ format: 'der', type: 'spki' })),
  };
}

/** Two modules a character, light on dark: a terminal's colours are set, so that they cannot be the other way round. */
export function qrCode(text: string): string {
  const drawn = encodeQR(text, 'ascii', { ecc: 'low' }).trimEnd();
  if (!process.stdout.isTTY) return drawn;
  return drawn.replace(/^.*$/gm, '\u001b[97;40m$&\u001b[0m');
}
