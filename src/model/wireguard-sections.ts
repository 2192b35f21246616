// The lines of a WireGuard configuration file: sections and their settings, before anybody asks what a value means.
import { InvalidInput } from './errors.ts';
import { type Label, labelOf } from './name.ts';

const runs = 'would run a program on the hub';
const routes = 'would change how the hub routes';
const refused: ReadonlyMap<string, string> = new Map([
  ...['preup', 'postup', 'predown', 'postdown'].map((name) => [name, runs] as const),
  ...['table', 'fwmark'].map((name) => [name, routes] as const),
  ['saveconfig', 'would have the hub write over the file'],
  ['listenport', 'is not used, as an uplink calls out and never listens'],
]);

const sections: Readonly<Record<Section['kind'], readonly string[]>> = {
  interface: ['PrivateKey', 'Address', 'DNS', 'MTU'],
  peer: ['PublicKey', 'PresharedKey', 'AllowedIPs', 'Endpoint', 'PersistentKeepalive'],
};
/** Keys that may be there more than once; their lists are joined. */
const repeatable = ['Address', 'DNS', 'AllowedIPs'];

/** A setting; the line of a list's first part is its own. */
export interface Entry {
  readonly line: number;
  readonly values: readonly { readonly text: string; readonly line: number }[];
}

/** One section as it is written: `entries` by the key's usual spelling. */
export interface Section {
  readonly kind: 'interface' | 'peer';
  readonly line: number;
  readonly entries: Map<string, Entry>;
  comment: { readonly label: Label; readonly line: number } | null;
}

/** @throws InvalidInput for a line that is none, a setting that is not known, not wanted, or there twice. */
export function readSections(lines: readonly string[]): readonly Section[] {
  const found: Section[] = [];
  let current: Section | null = null;
  /** Comments since the last setting: they may be the next peer's name. */
  let waiting: Section['comment'] = null;
  for (const [index, raw] of lines.entries()) {
    const line = index + 1;
    checkCharacters(raw, line);
    const hash = raw.indexOf('#');
    const setting = (hash < 0 ? raw : raw.slice(0, hash)).trim();
    const comment = hash < 0 ? null : nameIn(raw.slice(hash), line);
    if (setting.startsWith('[')) {
      current = openSection(setting, line);
      current.comment = comment ?? waiting;
      waiting = null;
      found.push(current);
    } else if (setting !== '') {
      if (current === null) throw new InvalidInput(`file:${line}`, 'A setting stands before the first section.');
      // What stood above this setting belongs to this section.
      current.comment ??= waiting ?? comment;
      waiting = null;
      addSetting(current, setting, line);
    } else waiting = comment ?? waiting;
  }
  return found;
}

function checkCharacters(raw: string, line: number): void {
  if (['\0', '\ufffd', '\ufeff'].some((sign) => raw.includes(sign))) {
    throw new InvalidInput(`file:${line}`, 'This is not UTF-8 text (it may be UTF-16): save the file as UTF-8.');
  }
  if (/[^\P{Cc}\t]/u.test(raw)) {
    throw new InvalidInput(`file:${line}`, 'There is a control character in this line.');
  }
}

function openSection(header: string, line: number): Section {
  const kind = /^\[(interface|peer)\]$/i.exec(header)?.[1]?.toLowerCase();
  if (kind !== 'interface' && kind !== 'peer') {
    throw new InvalidInput(`file:${line}`, 'There is no such section: [Interface] or [Peer].');
  }
  return { kind, line, entries: new Map(), comment: null };
}

function addSetting(section: Section, setting: string, line: number): void {
  const equals = setting.indexOf('=');
  const name = (equals < 0 ? setting : setting.slice(0, equals)).trim();
  // What is no name may be a key that went to the wrong place.
  const at = /^[A-Za-z]{1,30}$/.test(name) ? `file:${line} ${name}` : `file:${line}`;
  const why = refused.get(name.toLowerCase());
  if (why !== undefined) throw new InvalidInput(at, `${name} ${why}: take the line out of the file.`);
  if (equals < 0) throw new InvalidInput(at, 'A line is a section, or a name, “=” and a value.');
  const same = (one: string) => one.toLowerCase() === name.toLowerCase();
  const key = sections[section.kind].find(same);
  if (key === undefined) {
    const elsewhere = Object.values(sections).flat().some(same);
    const message = elsewhere ? `${name} does not belong into [${title(section)}].` : 'There is no such setting.';
    throw new InvalidInput(at, message);
  }
  const before = section.entries.get(key);
  if (before !== undefined && !repeatable.includes(key)) {
    throw new InvalidInput(at, `${key} is there twice; the first is in line ${before.line}.`);
  }
  const value = setting.slice(equals + 1).trim();
  const parts = repeatable.includes(key) ? value.split(',').map((part) => part.trim()) : [value];
  if (parts.some((part) => part === '')) throw new InvalidInput(at, `${key} has no value.`);
  const values = parts.map((part) => ({ text: part, line }));
  section.entries.set(key, { line: before?.line ?? line, values: [...(before?.values ?? []), ...values] });
}

function isSetting(word: string): boolean {
  const lower = word.toLowerCase();
  const known = Object.values(sections).flat();
  return refused.has(lower) || known.some((name) => name.toLowerCase() === lower);
}

export function title({ kind }: Section): string {
  return kind === 'peer' ? 'Peer' : 'Interface';
}

/** `# db`, `# Name = db`, `### db ###`; settings that were commented out are no names. */
function nameIn(comment: string, line: number): Section['comment'] {
  const text = comment.replace(/^[#\s]+|[#\s]+$/g, '');
  const [, word, rest] = /^([A-Za-z]+)\s*[=:]\s*(.*)$/.exec(text) ?? [];
  if (word !== undefined && isSetting(word)) return null;
  const label = labelOf(rest ?? text);
  return label === null ? null : { label, line };
}
