// What all routes share: permissions, request bodies, saving, waiting for the machine, and errors as JSON.
import { randomUUID } from 'node:crypto';
import type { Context, Hono, MiddlewareHandler } from 'hono';
import { z } from 'zod';
import { type Address, parseAddress } from '../../model/address.ts';
import { type Config, parse } from '../../model/config.ts';
import { Conflict, Forbidden, InvalidInput, NotFound, TooMany, Unauthorized } from '../../model/errors.ts';
import { may, mayAnywhere, type Permission, type Scope } from '../../model/roles.ts';
import { causeText } from '../conditions.ts';
import { StoreUnavailable } from '../store/errors.ts';
import type { Transaction } from '../store/store.ts';
import { parseJson } from './json.ts';
import type { Env, Saved, Services } from './services.ts';

const largestBody = 256 * 1024;
const longestWait = 30_000;

/** What a route says of itself: who may use it, and what `/openapi.json` tells about it. */
export interface About {
  /** One line for people: `Add a server.` */
  readonly title: string;
  /** What the object belongs to; absent: only who may do it to everything may. Throws NotFound and InvalidInput. */
  readonly scope?: (c: Context<Env>, config: Config) => Scope | Promise<Scope>;
  /** The password must have been given a moment ago. */
  readonly fresh?: true;
  readonly body?: z.ZodType;
  readonly answer?: z.ZodType;
  /** Media type of an answer that is no JSON. */
  readonly media?: string;
  /** Parameters of the query, each with a line for people. */
  readonly query?: Readonly<Record<string, string>>;
  /** Bytes; more than usual. */
  readonly largest?: number;
}

export interface Declaration extends About {
  readonly permission: Permission;
}

const declared = new WeakMap<object, Declaration>();

/**
 * Declares what a route needs, and checks it against the configuration as it is now. Whoever could never do it learns
 * that first, before the object is looked for.
 */
export function needs(permission: Permission, about: About): MiddlewareHandler<Env> {
  const check: MiddlewareHandler<Env> = async (c, next) => {
    const principal = c.get('principal');
    if (!mayAnywhere(principal, permission, configOf(c))) throw refusal(c);
    asked.set(c.req.raw, about);
    const scope = about.scope === undefined ? {} : await about.scope(c, configOf(c));
    if (!may(principal, permission, scope, configOf(c))) throw refusal(c);
    if (about.fresh === true && principal.kind === 'member' && principal.fresh !== true) {
      throw passwordWanted();
    }
    await next();
  };
  declared.set(check, { ...about, permission });
  return check;
}

/** What the route says that took this request; undefined: none has yet. */
export function aboutOf(request: Request): About | undefined {
  return asked.get(request);
}

/** What everything that takes one thing away answers. */
export const removal = z.strictObject({ id: z.string(), removed: z.literal(true) });

export function passwordWanted(): Forbidden {
  return new Forbidden('Give your password again to do this.', 'password');
}

function refusal(c: Context<Env>): Error {
  if (c.get('principal').kind === 'anonymous') return new Unauthorized('Sign in first.');
  return new Forbidden('You may not do this.');
}

/** Every route with what it declares. @throws Error when one does not: the router then does not start. */
export function declarations(app: Hono<Env>): readonly (Declaration & { method: string; path: string })[] {
  const routes = Map.groupBy(app.routes, ({ method, path }) => `${method} ${path}`);
  return [...routes].map(([name, [first]]) => {
    const declaration = first === undefined ? undefined : declared.get(first.handler);
    if (first === undefined || declaration === undefined) throw new Error(`${name} does not declare its permission.`);
    return { ...declaration, method: first.method, path: first.path };
  });
}

/**
 * The request body against the schema that the route declares.
 * @throws InvalidInput naming the field.
 */
export async function body<T>(c: Context<Env>, schema: z.ZodType<T>): Promise<T> {
  if (asked.get(c.req.raw)?.body !== schema) throw new Error(`${c.req.path} does not declare the body it reads.`);
  return parse(schema, await json(c));
}

const texts = new WeakMap<Request, Promise<string>>();
/** What the route of a request says of itself. */
const asked = new WeakMap<Request, About>();

/** The body as it came, for deciding whose it is before it is parsed. */
export async function json(c: Context<Env>): Promise<unknown> {
  const text = texts.get(c.req.raw) ?? boundedText(c);
  texts.set(c.req.raw, text);
  return parseJson((await text) === '' ? '{}' : await text);
}

/** A text field of the body, or null: what is wrong with it is said when it is parsed. */
export async function field(c: Context<Env>, name: string): Promise<string | null> {
  const value = await json(c);
  if (typeof value !== 'object' || value === null) return null;
  const found = new Map(Object.entries(value)).get(name);
  return typeof found === 'string' ? found : null;
}

/** Reads no further than the limit, whatever length was announced or not. */
async function boundedText(c: Context<Env>): Promise<string> {
  const largest = asked.get(c.req.raw)?.largest ?? largestBody;
  const parts: Uint8Array[] = [];
  let size = Number(c.req.header('content-length') ?? 0);
  if (size <= largest) {
    size = 0;
    for await (const part of c.req.raw.body ?? []) {
      size += part.length;
      if (size > largest) break;
      parts.push(part);
    }
  }
  if (size > largest) throw new InvalidInput('', 'The request is too large.');
  return Buffer.concat(parts).toString();
}

export interface Editing {
  readonly noun: string;
  readonly id: string;
  readonly summary: string;
  /** Id of the member whose device asks; left out: whoever is signed in. */
  readonly actor?: string;
}

/**
 * Saves a change and answers with what it made. `If-Match` refuses a stale revision; `Prefer: wait=N` (RFC 7240) waits
 * until the machine agrees, and `X-Applied` says whether it does.
 */
export async function save<T>(
  c: Context<Env>,
  editing: Editing,
  change: (transaction: Transaction) => T,
  what: Saved = 'everything',
): Promise<T> {
  const services = c.get('services');
  const expected = c.req.header('if-match');
  const { result, revision } = services.store.save(
    {
      actor: editing.actor ?? actor(c),
      summary: editing.summary,
      editing,
      ...(expected === undefined || expected === '*' ? {} : { revision: Number(expected.replaceAll('"', '')) }),
    },
    change,
  );
  services.wake(what);
  await settle(c, services, revision, what);
  return result;
}

async function settle(c: Context<Env>, services: Services, revision: number, what: Saved): Promise<void> {
  const seconds = Number(/(?:^|[,; ])wait=(\d{1,3})/.exec(c.req.header('prefer') ?? '')?.[1] ?? 0);
  const applied = await services.applied(revision, Math.min(seconds * 1000, longestWait), what);
  c.header('X-Revision', String(revision));
  c.header('X-Applied', String(applied));
}

export function actor(c: Context<Env>): string {
  const principal = c.get('principal');
  return principal.kind === 'member' ? principal.id : principal.kind;
}

/** The address of whoever asks through the gateway; null on the console. */
export function clientAddress(c: Context<Env>): Address | null {
  const text = c.req.header('x-apn-client');
  return text === undefined ? null : parseAddress(text);
}

export function configOf(c: Context<Env>): Config {
  return c.get('services').store.snapshot.config;
}

/** The one table from errors to answers. */
export function errorAnswer(error: unknown, c: Context<Env>, log: (line: string) => void): Response {
  const say = (status: 400 | 401 | 403 | 404 | 409 | 429 | 503, path: string, message: string) =>
    c.json({ error: { path, message } }, status);
  if (error instanceof InvalidInput) return say(400, error.path, error.message);
  if (error instanceof Unauthorized) return say(401, error.path, error.message);
  if (error instanceof TooMany) {
    c.header('Retry-After', String(error.retryAfter));
    return say(429, error.path, error.message);
  }
  if (error instanceof Forbidden) return say(403, error.path, error.message);
  if (error instanceof NotFound) return say(404, error.path, error.message);
  if (error instanceof Conflict) return say(409, error.path, error.message);
  if (error instanceof StoreUnavailable) {
    log(`${error.code}: ${error.message} (${causeText(error.cause)})`);
    return say(503, '', `${error.message} ${error.remedy}`);
  }
  const id = randomUUID();
  log(`error ${id}: ${error instanceof Error ? error.stack : String(error)}`);
  return c.json({ error: { path: '', message: `Something went wrong here; the log knows it as ${id}.` } }, 500);
}

/** Replaces the object with this id. */
export function replaced<T extends { readonly id: string }>(list: readonly T[], one: T): readonly T[] {
  return list.map((each) => (each.id === one.id ? one : each));
}

export function without<T extends { readonly id: string }>(list: readonly T[], id: string): readonly T[] {
  return list.filter((each) => each.id !== id);
}
