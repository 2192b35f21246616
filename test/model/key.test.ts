// Keys and secrets: what is refused, and that secrets are never printed.
import { inspect } from 'node:util';
import { x25519 } from '@noble/curves/ed25519.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidInput } from '../../src/model/errors.ts';
import { decodeKey, encodeKey, keyBytes, parsePublicKey, publicKeyFromBytes, Secret } from '../../src/model/key.ts';

const anyBytes = fc.uint8Array({ minLength: 32, maxLength: 32 });
const good = encodeKey(x25519.getPublicKey(new Uint8Array(32).fill(5)));

describe('public keys', () => {
  it('are taken and given back as they are', () => {
    fc.assert(
      fc.property(anyBytes, (seed) => {
        const bytes = x25519.getPublicKey(seed);
        const text = Buffer.from(bytes).toString('base64');
        expect(parsePublicKey(text)).toBe(text);
        expect(keyBytes(parsePublicKey(text))).toEqual(Uint8Array.from(bytes));
        expect(publicKeyFromBytes(bytes)).toBe(text);
      }),
      { numRuns: 50 },
    );
  });

  it.each([
    ['43 characters', good.slice(0, 43)],
    ['45 characters', `${good}=`],
    ['nothing', ''],
    ['another alphabet', good.replace(/./, '-')],
    ['a space inside', ` ${good.slice(1)}`],
    ['no padding', `${good.slice(0, 43)}A`],
    ['stray bits before the padding', `${'A'.repeat(42)}B=`],
    ['all zero', encodeKey(new Uint8Array(32))],
  ])('%s is refused', (_, text) => {
    expect(() => parsePublicKey(text)).toThrow(InvalidInput);
  });

  it('of low order are refused: exactly those with which the shared secret is zero', () => {
    const p = 2n ** 255n - 19n;
    const order8 = [
      0xb8495f16056286fdb1329ceb8d09da6ac49ff1fae35616aeb8413b7c7aebe0n,
      0x57119fd0dd4e22d8868e1c58c45c44045bef839c55b1d0b1248c50a3bc959c5fn,
    ];
    const low = [1n, p - 1n, p, p + 1n, ...order8].flatMap((n) => [n, n | (1n << 255n)]);
    const top = 1n << 255n;
    for (const n of [...low, top]) {
      const bytes = Uint8Array.fromHex(n.toString(16).padStart(64, '0')).reverse();
      expect(() => x25519.getSharedSecret(new Uint8Array(32).fill(77), bytes)).toThrow();
      expect(() => parsePublicKey(encodeKey(bytes))).toThrow(/low order/);
    }
  });

  it('decode says which key is meant', () => {
    expect(() => decodeKey('x', 'preshared key')).toThrow('A preshared key has 44 characters, this has 1.');
  });
});

describe('secrets', () => {
  const secret = new Secret('private key', Uint8Array.of(1, 2, 3));

  it('print as [secret], however they are printed', () => {
    expect([
      String(secret),
      `${secret}`,
      JSON.stringify({ secret }),
      inspect(secret),
      inspect({ deep: [secret] }),
    ]).toEqual(['[secret]', '[secret]', '{"secret":"[secret]"}', '[secret]', '{ deep: [ [secret] ] }']);
    expect(Object.values(secret)).toEqual(['private key']);
  });

  it('are equal by their bytes alone', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4, max: 2 }), fc.uint8Array({ maxLength: 4, max: 2 }), (a, b) => {
        expect(new Secret('token', a).equals(new Secret('token', b))).toBe(Buffer.compare(a, b) === 0);
      }),
    );
  });

  it('keep a copy of what they were made from', () => {
    const bytes = Uint8Array.of(1, 2, 3);
    const one = new Secret('token', bytes);
    bytes.fill(0);
    expect(one.reveal()).toEqual(Uint8Array.of(1, 2, 3));
  });
});
