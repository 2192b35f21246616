// Names: labels for DNS (letters, digits, hyphen) and display names for people.
import { shorten } from './address.ts';
import { InvalidInput } from './errors.ts';

declare const kind: unique symbol;

/** One DNS label, lower case, RFC 1123 §2.1. */
export type Label = string & { readonly [kind]: 'Label' };
/** Labels joined by dots below the domain: `files.shop`, or `*.shop` for a wildcard. */
export type DomainName = string & { readonly [kind]: 'DomainName' };

/** Labels directly below the domain that have a meaning of their own. */
export const reservedLabels: readonly string[] = ['hub', 'lan', 'team', 'wpad', 'localhost', 'ns'];

/** @throws InvalidInput; upper case is refused rather than folded, so that what was typed is what is shown. */
export function parseLabel(text: string): Label {
  if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text)) {
    throw new InvalidInput(
      '',
      `“${shorten(text)}” cannot be a name: use a to z, 0 to 9 and inner hyphens, at most 63.`,
    );
  }
  if (text.startsWith('xn--')) throw new InvalidInput('', `“${text}” would be shown as other letters: not allowed.`);
  return text as Label;
}

/** A label that may stand directly below the domain. */
export function parseFreeLabel(text: string): Label {
  const label = parseLabel(text);
  if (reservedLabels.includes(label)) throw new InvalidInput('', `“${label}” is reserved.`);
  return label;
}

/** @throws InvalidInput for reserved first-level labels, and for more than 200 characters. */
export function parseDomainName(text: string): DomainName {
  const wildcard = text.startsWith('*.');
  const labels = (wildcard ? text.slice(2) : text).split('.');
  if (text.length > 200) throw new InvalidInput('', 'This name is too long.');
  for (const label of labels) parseLabel(label);
  parseFreeLabel(labels.at(-1)!);
  return text as DomainName;
}

/** Top-level domains that mean nothing on the Internet (RFC 6762 appendix G, and ICANN's `internal`). */
const privateTopLevels: readonly string[] = ['apn', 'corp', 'home', 'internal', 'intranet', 'lan', 'private'];

/** A domain of another network, lower case. @throws InvalidInput for one that would take a part of the Internet along. */
export function parseSearchDomain(text: string): string {
  const labels = text.split('.');
  if (text.length > 200) throw new InvalidInput('', 'This domain is too long.');
  for (const label of labels) parseLabel(label);
  const last = labels.at(-1)!;
  if (last === 'arpa' || last === 'localhost') throw new InvalidInput('', `“${text}” has a meaning of its own.`);
  if (labels.length === 1 && !privateTopLevels.includes(last)) {
    throw new InvalidInput(
      '',
      `“${text}” may be a whole part of the Internet: two labels at least, such as corp.${text}.`,
    );
  }
  return text;
}

/** A person's or thing's name for display: no control characters, no invisible or direction-changing ones, trimmed. */
export function parseDisplayName(text: string): string {
  if (text !== text.trim() || text.length === 0 || text.length > 60) {
    throw new InvalidInput('', 'A name has 1 to 60 characters and no space at its ends.');
  }
  if (/[\p{C}\p{Zl}\p{Zp}]/u.test(text) || /\s{2}/.test(text)) {
    throw new InvalidInput('', 'A name has no invisible characters and no double spaces.');
  }
  return text.normalize('NFC');
}

/** The DNS label of a display name: `Anna Lee` is `anna-lee`. Null when nothing of it can stay. */
export function labelOf(name: string): Label | null {
  const plain = name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 63)
    .replace(/-+$/, '');
  return plain === '' ? null : (plain as Label);
}

/** Letters of other alphabets that people take for these; from the confusables of UTS #39, what keyboards offer. */
const lookalikes: Readonly<Record<string, string>> = {
  a: 'АаΑα',
  b: 'ВΒ',
  c: 'Сс',
  d: 'ԁ',
  e: 'ЕеΕ',
  h: 'НҺһΗ',
  i: 'ІіΙιı',
  j: 'Јј',
  k: 'КкΚκ',
  l: '1Ӏӏ',
  m: 'МмΜ',
  n: 'Ν',
  o: '0ОоΟο',
  p: 'РрΡρ',
  q: 'ԛ',
  s: 'Ѕѕ',
  t: 'ТтΤτ',
  v: 'ѵν',
  w: 'ԝ',
  x: 'ХхΧχ',
  y: 'УуΥ',
  z: 'Ζ',
};

const letterFor = new Map(
  Object.entries(lookalikes).flatMap(([letter, others]) => [...others].map((other) => [other, letter] as const)),
);

/** The same text for names that people would take for the same one: accents, case, spaces and alphabets apart. */
export function lookOf(name: string): string {
  const plain = name.normalize('NFKD').replace(/\p{M}/gu, '');
  const latin = Array.from(plain, (character) => letterFor.get(character) ?? character).join('');
  return latin.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-');
}
