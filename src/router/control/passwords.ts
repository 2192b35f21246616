// Passwords: which are good enough, and argon2id (RFC 9106) at a cost the smallest box can bear, a few at a time.
import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { InvalidInput, TooMany } from '../../model/errors.ts';
import { lookOf } from '../../model/name.ts';

/** Memory in KiB. */
export interface Cost {
  readonly memory: number;
  readonly passes: number;
  readonly parallelism: number;
}

/** OWASP's least: 19 MiB and two passes take a Pi Zero 2 W about half a second. */
export const usualCost: Cost = { memory: 19_456, passes: 2, parallelism: 1 };

const shortest = 10;
const longest = 200;
const saltLength = 16;
const hashLength = 32;
/** Each run takes the memory of its cost: more at once would take the box's. */
const running = 2;
const waiting = 8;

/** What is tried first, as far as it is long enough; digits and signs at the end do not count. */
const worst: readonly string[] = [
  ...['password', 'passwort', 'motdepasse', 'contrasena', 'qwertyuiop', 'qwertzuiop', 'azertyuiop', 'asdfghjkl'],
  ...['letmein', 'iloveyou', 'welcome', 'administrator', 'admin', 'changeme', 'changeit', 'raspberry', 'raspberrypi'],
  ...['1q2w3e4r5t', '1qaz2wsx3edc', 'abcdefghij', 'sunshine', 'princess', 'football', 'superman', 'trustno', 'secret'],
  ...['router', 'aprouter', 'apnrouter', 'wireguard', 'passwordpassword'],
];

/** The form in which it is compared: the same letters typed on another keyboard are the same. */
export function normalized(password: string): string {
  return password.normalize('NFC');
}

/**
 * @param names What the password may not be: the member's and the box's names.
 * @throws InvalidInput at `path`.
 */
export function checkPassword(password: string, names: readonly string[], path: string): void {
  const text = normalized(password);
  const length = Array.from(text).length;
  if (length < shortest) throw new InvalidInput(path, `A password has at least ${shortest} characters.`);
  if (length > longest) throw new InvalidInput(path, `A password has at most ${longest} characters.`);
  const plain = text.toLowerCase();
  const stem = plain.replace(/[\d\p{P}\p{S}\s]+$/u, '');
  if (new Set(plain).size < 4 || /^(0?123456789|9876543210)/.test(plain) || worst.includes(stem)) {
    throw new InvalidInput(path, 'This password is among the first that are tried: take another one.');
  }
  if (names.some((name) => [lookOf(plain), lookOf(stem)].includes(lookOf(name)))) {
    throw new InvalidInput(path, 'A password is not a name: take another one.');
  }
}

interface Hash extends Cost {
  readonly salt: Buffer;
  readonly hash: Buffer;
}

export class Passwords {
  readonly #cost: Cost;
  readonly #queue: (() => void)[] = [];
  #running = 0;

  constructor(cost: Cost = usualCost) {
    this.#cost = cost;
  }

  /** `$argon2id$v=19$m=…,t=…,p=…$salt$hash`, base64 without padding. @throws TooMany */
  async hash(password: string): Promise<string> {
    const salt = randomBytes(saltLength);
    const { memory, passes, parallelism } = this.#cost;
    const hash = await this.#derive(password, salt, this.#cost);
    return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${unpadded(salt)}$${unpadded(hash)}`;
  }

  /** Takes as long when there is nothing to compare with. @throws TooMany */
  async verify(stored: string | null, password: string): Promise<boolean> {
    const known = stored === null ? null : parseHash(stored);
    const { salt, hash, ...cost } = known ?? {
      ...this.#cost,
      salt: randomBytes(saltLength),
      hash: randomBytes(hashLength),
    };
    const derived = await this.#derive(password, salt, cost);
    return timingSafeEqual(derived, hash) && known !== null;
  }

  /** Whether it was made at another cost than today's. */
  isStale(stored: string): boolean {
    const { memory, passes, parallelism } = this.#cost;
    const now = parseHash(stored);
    return now?.memory !== memory || now.passes !== passes || now.parallelism !== parallelism;
  }

  async #derive(password: string, nonce: Buffer, cost: Cost): Promise<Buffer> {
    await this.#turn();
    try {
      return await new Promise<Buffer>((resolve, reject) =>
        argon2(
          'argon2id',
          { message: normalized(password), nonce, ...cost, tagLength: hashLength },
          (error: Error | null, derived) => (error === null ? resolve(derived) : reject(error)),
        ),
      );
    } finally {
      const next = this.#queue.shift();
      // The place is handed on, so that nobody who has just come takes it.
      if (next === undefined) this.#running--;
      else next();
    }
  }

  async #turn(): Promise<void> {
    if (this.#running < running) this.#running++;
    else if (this.#queue.length < waiting) await new Promise<void>((resolve) => this.#queue.push(resolve));
    else throw new TooMany('Too many are signing in right now: try again.', 1);
  }
}

function parseHash(text: string): Hash | null {
  const match = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([\w+/]+)\$([\w+/]+)$/.exec(text);
  if (match === null) return null;
  const [memory = 0, passes = 0, parallelism = 0] = match.slice(1, 4).map(Number);
  const hash = Buffer.from(match[5] ?? '', 'base64');
  if (hash.length !== hashLength) return null;
  return { memory, passes, parallelism, salt: Buffer.from(match[4] ?? '', 'base64'), hash };
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}
