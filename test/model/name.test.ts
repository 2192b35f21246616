// Labels, domain names and display names: what is refused, and which names look alike.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidInput } from '../../src/model/errors.ts';
import {
  labelOf,
  lookOf,
  parseDisplayName,
  parseDomainName,
  parseFreeLabel,
  parseLabel,
  reservedLabels,
} from '../../src/model/name.ts';

describe('labels', () => {
  it.each(['a', 'web', 'web-1', '0', 'a'.repeat(63)])('%s is one', (text) => {
    expect(parseLabel(text)).toBe(text);
  });

  it.each([
    '',
    '-web',
    'web-',
    'Web',
    'we b',
    'web.shop',
    'wéb',
    'wеb',
    'a'.repeat(64),
    'xn--80ak6aa92e',
    'web\n',
    'web_1',
    '*',
  ])('%j is not', (text) => {
    expect(() => parseLabel(text)).toThrow(InvalidInput);
  });

  it.each(reservedLabels)('%s is reserved', (text) => {
    expect(() => parseFreeLabel(text)).toThrow(/reserved/);
    expect(parseLabel(text)).toBe(text);
  });
});

describe('domain names', () => {
  it.each(['files', 'files.shop', '*.shop', 'a.b.c'])('%s is one', (text) => {
    expect(parseDomainName(text)).toBe(text);
  });

  it.each([
    '',
    '.',
    'a..b',
    'a.',
    '.a',
    '*',
    '*.',
    '*.*.a',
    'a.*.b',
    'hub',
    'x.lan',
    '*.team',
    `${'aaaaaaaaa.'.repeat(20)}shop`,
  ])('%j is not', (text) => {
    expect(() => parseDomainName(text)).toThrow(InvalidInput);
  });
});

describe('display names', () => {
  it('are kept, in normal form', () => {
    expect(parseDisplayName('Anna Lee')).toBe('Anna Lee');
    expect(parseDisplayName('Ame\u0301lie')).toBe('Am\u00e9lie');
    expect(parseDisplayName('张伟')).toBe('张伟');
  });

  it.each([
    '',
    ' Anna',
    'Anna ',
    'a'.repeat(61),
    'Anna\u200bLee',
    'Anna\u202eLee',
    'Anna\u0000',
    'Anna\nLee',
    'Anna  Lee',
    'Anna\u2028Lee',
    '\ud800',
  ])('%j is refused', (text) => {
    expect(() => parseDisplayName(text)).toThrow(InvalidInput);
  });

  it('become labels, or none', () => {
    expect(
      ['Anna Lee', "O'Brien", 'Zoë  Ångström', '--x--', 'A'.repeat(70), `${'a'.repeat(62)} b`].map(labelOf),
    ).toEqual(['anna-lee', 'o-brien', 'zoe-angstrom', 'x', 'a'.repeat(63), 'a'.repeat(62)]);
    expect([labelOf('张伟'), labelOf('xn--abc'), labelOf('!')]).toEqual([null, 'xn-abc', null]);
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const label = labelOf(text);
        if (label !== null) expect(parseLabel(label)).toBe(label);
      }),
    );
  });

  it.each([
    ['Anna', 'anna'],
    ['Anna', 'Аnna'],
    ['Anna', 'Αnna'],
    ['Anna', 'Ánna'],
    ['coco', 'сосо'],
    ['Anna Lee', 'Anna-Lee'],
    ['Anna Lee', 'Anna\u00a0Lee'],
    ['Anna', 'Ａｎｎａ'],
    ['Olga', 'O1ga'],
    ['Bob', 'B0b'],
  ])('%s looks like %s', (one, other) => {
    expect(lookOf(other)).toBe(lookOf(one));
  });

  it.each([
    ['Anna', 'Anne'],
    ['Anna Lee', 'AnnaLee'],
    ['Дима', 'Зима'],
    ['张伟', '王芳'],
    ['Ж Lee', 'Ш Lee'],
  ])('%s does not look like %s', (one, other) => {
    expect(lookOf(other)).not.toBe(lookOf(one));
  });
});
