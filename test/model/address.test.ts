// Addresses and prefixes against slow, obvious models of them.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Address,
  contains,
  family,
  fromBytes,
  fromNumber,
  hostPrefix,
  isHost,
  networkAddress,
  nth,
  overlaps,
  type Prefix,
  parseAddress,
  parseInterface,
  parseMac,
  parsePrefix,
  parseSource,
  prefixLength,
  prefixOf,
  rangeOf,
  shorten,
  toBytes,
  toNumber,
  unusable,
} from '../../src/model/address.ts';
import { InvalidInput } from '../../src/model/errors.ts';

/** RFC 4291 §2.2, by the letter: eight groups as numbers, or null. */
function readGroups(text: string): readonly number[] | null {
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const read = (half: string | undefined, atEnd: boolean): readonly (number | null)[] => {
    if (half === undefined || half === '') return [];
    const parts = half.split(':');
    return parts.flatMap((part, i) => {
      if (/^[0-9a-fA-F]{1,4}$/.test(part)) return [Number.parseInt(part, 16)];
      const quad = part.split('.');
      const decimal =
        quad.length === 4 && quad.every((byte) => /^(0|[1-9][0-9]?[0-9]?)$/.test(byte) && Number(byte) < 256);
      if (!decimal || !atEnd || i !== parts.length - 1) return [null];
      const [a = 0, b = 0, c = 0, d = 0] = quad.map(Number);
      return [a * 256 + b, c * 256 + d];
    });
  };
  const [first, second] = halves;
  const left = read(first, second === undefined);
  const right = read(second, true);
  const groups =
    second === undefined
      ? left
      : [...left, ...Array<number>(Math.max(0, 8 - left.length - right.length)).fill(0), ...right];
  if (groups.length !== 8 || (second !== undefined && left.length + right.length > 7)) return null;
  return groups.every((group) => group !== null) ? groups : null;
}

/** RFC 5952 §4: no leading zeros, lower case, the longest run of two or more zero groups (the first of equals) as `::`. */
function writeGroups(groups: readonly number[]): string {
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (groups[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  const hex = groups.map((group) => group.toString(16));
  if (best.at < 0) return hex.join(':');
  return `${hex.slice(0, best.at).join(':')}::${hex.slice(best.at + best.length).join(':')}`;
}

const anyGroups = fc.array(
  fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.nat(0xffff), fc.constantFrom(1, 0xffff)),
  { minLength: 8, maxLength: 8 },
);
const anyFour = fc.array(fc.nat(255), { minLength: 4, maxLength: 4 }).map((bytes) => bytes.join('.'));
/** Nearly an address. */
const anyText = fc
  .array(
    fc.constantFrom(
      '0',
      '00',
      '1',
      'ffff',
      'F',
      '10000',
      ':',
      ':',
      '::',
      '.',
      '255',
      '256',
      '1.2.3.4',
      '010',
      '0x1',
      '%',
      ' ',
      'g',
    ),
    { maxLength: 14 },
  )
  .map((parts) => parts.join(''));
const anyAddress = fc.oneof(anyFour, anyGroups.filter((groups) => !mapped(groups)).map(writeGroups)).map(parseAddress);
const anyPrefix = fc
  .tuple(anyAddress, fc.nat(128))
  .map(([address, length]) => prefixOf(address, Math.min(length, family(address) === 4 ? 32 : 128)));

function mapped(groups: readonly number[]): boolean {
  return groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
}

function parsed(text: string): string | null {
  try {
    return parseAddress(text);
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidInput);
    return null;
  }
}

describe('parsing an address', () => {
  it('reads IPv6 as a reader by the letter does, and writes it in the one form of RFC 5952', () => {
    fc.assert(
      fc.property(anyGroups, fc.boolean(), (groups, upper) => {
        fc.pre(!mapped(groups));
        const long = groups.map((group) => group.toString(16).padStart(4, '0')).join(':');
        expect(parseAddress(upper ? long.toUpperCase() : long)).toBe(writeGroups(groups));
      }),
      { numRuns: 2000 },
    );
  });

  it('accepts and refuses what the reader by the letter does', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const groups = text.includes(':') ? readGroups(text) : null;
        // The package maps `::1.2.3.4` and `::ffff:1.2.3.4` alike: both are refused, an address has one form.
        const compatible = /^::[\d.]+$/.test(text);
        const quad = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
        const four =
          quad?.slice(1).every((byte) => String(Number(byte)) === byte && Number(byte) < 256) === true ? text : null;
        const six =
          groups === null || mapped(groups) || (compatible && text.includes('.')) ? null : writeGroups(groups);
        expect(parsed(text)).toBe(four ?? six);
      }),
      { numRuns: 20_000 },
    );
  });

  it.each([
    '',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '010.0.0.1',
    '203.0.113.07',
    '1.2.3.4 ',
    ' 1.2.3.4',
    '1.2.3.4\n',
    '0x1.2.3.4',
    '１.2.3.4',
    'fe80::1%eth0',
    '::ffff:1.2.3.4',
    '::ffff:102:304',
    '64:ff9b::010.0.0.1',
    '64:ff9b::0x10.0.0.1',
    '[::1]',
    '1.2.3.4/32',
    'localhost',
    `${'0:'.repeat(30)}1`,
  ])('refuses %j', (text) => {
    expect(() => parseAddress(text)).toThrow(InvalidInput);
  });

  it('takes an IPv4 address at the end of an IPv6 one', () => {
    expect(parseAddress('64:ff9b::192.0.2.1')).toBe('64:ff9b::c000:201');
  });

  it('says in its message what was typed, without its control characters and not all of it', () => {
    expect(() => parseAddress(`\u001b[31m${'x'.repeat(500)}`)).toThrow(/^“\?\[31mx{52}\.\.\.” is not an IP address\.$/);
    expect(shorten('plain')).toBe('plain');
  });
});

describe('numbers and bytes', () => {
  it('are the same address', () => {
    fc.assert(
      fc.property(anyAddress, (address) => {
        const bytes = toBytes(address);
        expect(bytes.length).toBe(family(address) === 4 ? 4 : 16);
        expect(fromBytes(bytes)).toBe(address);
        expect(fromNumber(family(address), toNumber(address))).toBe(address);
        expect(toNumber(address)).toBe(BigInt(`0x${bytes.toHex()}`));
      }),
    );
  });
});

describe('prefixes', () => {
  const bits = (address: Address) => Array.from(toBytes(address), (byte) => byte.toString(2).padStart(8, '0')).join('');

  it('hold the addresses that share their bits', () => {
    fc.assert(
      fc.property(anyPrefix, anyAddress, fc.nat(128), (prefix, address, shared) => {
        // Half of the addresses are near.
        const near = family(address) === family(prefix) && shared % 2 === 0 ? nth(prefix, shared) : address;
        const length = prefixLength(prefix);
        const same =
          family(near) === family(prefix) &&
          bits(near).slice(0, length) === bits(networkAddress(prefix)).slice(0, length);
        expect(contains(prefix, near)).toBe(same);
        expect(overlaps(near, prefix)).toBe(same);
        if (same) expect(prefixOf(near, length)).toBe(prefix);
      }),
      { numRuns: 2000 },
    );
  });

  it('contain and overlap each other as their ranges do', () => {
    fc.assert(
      fc.property(anyPrefix, anyPrefix, (a, b) => {
        const shorter = Math.min(prefixLength(a), prefixLength(b));
        const same =
          family(a) === family(b) &&
          bits(networkAddress(a)).slice(0, shorter) === bits(networkAddress(b)).slice(0, shorter);
        expect(overlaps(a, b)).toBe(same);
        expect(contains(a, b)).toBe(same && prefixLength(a) <= prefixLength(b));
      }),
      { numRuns: 2000 },
    );
  });

  it('are refused with host bits set, and taken without', () => {
    fc.assert(
      fc.property(anyAddress, fc.nat(128), (address, n) => {
        const length = Math.min(n, family(address) === 4 ? 32 : 128);
        const clean = /^0*$/.test(bits(address).slice(length));
        if (clean) expect(parsePrefix(`${address}/${length}`)).toBe(`${address}/${length}`);
        else expect(() => parsePrefix(`${address}/${length}`)).toThrow(/host bits/);
        const { range } = parseInterface(`${address}/${length}`);
        expect(contains(range, address)).toBe(true);
        expect(prefixLength(range)).toBe(length);
      }),
    );
  });

  it('have ends and a length', () => {
    const block = parsePrefix('172.16.10.0/24');
    expect(rangeOf(block)).toEqual({ family: 4, first: 0xac100a00n, last: 0xac100affn });
    expect(rangeOf(parseAddress('10.0.0.1'))).toEqual({ family: 4, first: 0x0a000001n, last: 0x0a000001n });
    expect([isHost(block), isHost(hostPrefix(nth(block, 3))), isHost('::1/128' as Prefix)]).toEqual([
      false,
      true,
      true,
    ]);
    expect([hostPrefix(nth(block, 3)), hostPrefix(parseAddress('::1'))]).toEqual(['172.16.10.3/32', '::1/128']);
  });

  it.each([
    '10.0.0.1',
    '10.0.0.1/33',
    '::/129',
    '10.0.0.0/-1',
    '10.0.0.0/',
    '10.0.0.0/08',
    '10.0.0.0/8/8',
    '10.0.0.0/8.5',
    '/8',
    '010.0.0.0/8',
    '10.0.0.1/24',
  ])('refuses %j', (text) => {
    expect(() => parsePrefix(text)).toThrow(InvalidInput);
  });

  it('a source is a prefix or one address', () => {
    expect(['203.0.113.7', '203.0.113.0/24', '2001:db8::1'].map(parseSource)).toEqual([
      '203.0.113.7/32',
      '203.0.113.0/24',
      '2001:db8::1/128',
    ]);
  });

  it('an interface needs its length', () => {
    expect(() => parseInterface('192.168.66.1')).toThrow(/length/);
    expect(parseInterface('192.168.66.1/24')).toEqual({ address: '192.168.66.1', range: '192.168.66.0/24' });
  });
});

describe('sources nobody can have', () => {
  it.each([
    '0.0.0.0',
    '0.0.0.0/0',
    '127.0.0.1',
    '169.254.1.1',
    '224.0.0.251',
    '255.255.255.255',
    '::',
    '::1',
    'fe80::1',
    'ff02::1',
    '::/0',
  ])('%s', (text) => {
    expect(unusable(parseSource(text))).not.toBe(null);
  });

  it.each(['10.0.0.1', '100.64.0.2', '192.168.1.1', '203.0.113.7', '2001:db8::1', 'fd00::1'])('%s is fine', (text) => {
    expect(unusable(parseSource(text))).toBe(null);
  });
});

describe('MAC addresses', () => {
  it('have one form', () => {
    expect(['02:00:00:00:66:0A', '02-00-00-00-66-0a'].map(parseMac)).toEqual([
      '02:00:00:00:66:0a',
      '02:00:00:00:66:0a',
    ]);
  });

  it.each([
    '',
    '02:00:00:00:66',
    '02:00:00:00:66:0a:0b',
    '0200.0000.660a',
    '02:00:00:00:66:0g',
    'ff:ff:ff:ff:ff:ff',
    '01:00:5e:00:00:01',
    '00:00:00:00:00:00',
  ])('refuses %j', (text) => {
    expect(() => parseMac(text)).toThrow(InvalidInput);
  });
});
