// Turns a command line into words and options, and refuses what a command does not know.
import { InvalidInput } from '../../model/errors.ts';

export interface Arguments {
  readonly words: readonly string[];
  readonly options: ReadonlyMap<string, readonly string[]>;
}

/** Options that stand alone; every other one takes a value. */
const switches = new Set([
  ...['--json', '--help', '--all', '--no-dns', '--firewall'],
  ...['--preshared-key', '--no-preshared-key', '--make-key', '--qr'],
  ...['--passphrase-stdin', '--password-stdin', '--totp-off'],
]);

/** @throws InvalidInput for an option without its value. */
export function parseArguments(line: readonly string[]): Arguments {
  const words: string[] = [];
  const options = new Map<string, string[]>();
  for (let i = 0; i < line.length; i++) {
    const argument = line[i] ?? '';
    if (!argument.startsWith('--') || argument === '--') {
      words.push(argument);
      continue;
    }
    const equals = argument.indexOf('=');
    const name = equals < 0 ? argument : argument.slice(0, equals);
    const inline = equals < 0 ? undefined : argument.slice(equals + 1);
    const value = switches.has(name) ? 'yes' : (inline ?? line[++i]);
    if (value === undefined) throw new InvalidInput(name, `${name} needs a value.`);
    options.set(name, [...(options.get(name) ?? []), value]);
  }
  return { words, options };
}

export function one({ options }: Arguments, name: string): string | undefined {
  return options.get(name)?.at(-1);
}

/** @throws InvalidInput when the word is missing. */
export function word({ words }: Arguments, index: number, what: string): string {
  const found = words[index];
  if (found === undefined || found === '') throw new InvalidInput('', `${what} is missing.`);
  return found;
}

/** An object of the options that were given, under the names the API uses. */
export function fields(args: Arguments, names: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(names).flatMap(([option, field]) => {
    const value = one(args, option);
    return value === undefined ? [] : [[field, value] as const];
  });
  return Object.fromEntries(entries);
}

/** Splits `shop/web` into its two names. */
export function pair(text: string, what: string): readonly [string, string] {
  const [first, second, ...rest] = text.split('/');
  if (!first || !second || rest.length > 0)
    throw new InvalidInput('', `${what} is written GROUP/NAME, such as shop/web; this is “${text}”.`);
  return [first, second];
}

/** `nothing`, `everything`, `default`, or a list of applications. */
export function accessOf(text: string): string | readonly string[] {
  return ['nothing', 'everything', 'default'].includes(text) ? text : text.split(',').filter((part) => part !== '');
}

/** `HOST`, `HOST:PORT`, `[2001:db8::1]:PORT`, or `none`. */
export function endpointOf(text: string): { host: string; port?: number } | null {
  if (text === 'none') return null;
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text);
  if (match === null) return { host: text };
  const host = match[1] ?? match[2] ?? '';
  return match[3] === undefined ? { host } : { host, port: Number(match[3]) };
}
