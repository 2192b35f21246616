// What all routes share: permissions, request bodies, saving, waiting for the machine, and errors as JSON.
import { randomUUID } from 'node:crypto';
import type { Context, Hono, MiddlewareHandler } from 'hono';
import type { z } from 'zod';
import { type Config, parse } from '../../model/config.ts';
import { Conflict, Forbidden, InvalidInput, NotFound } from '../../model/errors.ts';
import { may, type Permission } from '../../model/roles.ts';
import { causeText } from '../conditions.ts';
import { StoreUnavailable } from '../store/errors.ts';
import type { Transaction } from '../store/store.ts';
import { parseJson } from './json.ts';
import type { Env, Saved, Services } from './services.ts';

const largestBody = 256 * 1024;
const longestWait = 30_000;

const declared = new WeakMap<object, Permission>();

/** Declares what a route needs, and checks it against the configuration as it is now. */
export function needs(permission: Permission): MiddlewareHandler<Env> {
  const check: MiddlewareHandler<Env> = async (c, next) => {
    const { store } = c.get('services');
    if (!may(c.get('principal'), permission, store.snapshot.config)) throw new Forbidden('You may not do this.');
    await next();
  };
  declared.set(check, permission);
  return check;
}

/** @throws Error when a route does not say what it needs: the router then does not start. */
export function checkPermissions(app: Hono<Env>): void {
  const routes = Map.groupBy(app.routes, ({ method, path }) => `${method} ${path}`);
  for (const [name, handlers] of routes) {
    const [first] = handlers;
    if (first === undefined || !declared.has(first.handler))
      throw new Error(`${name} does not declare its permission.`);
  }
}

/** The request body against a schema. @throws InvalidInput naming the field. */
export async function body<T>(c: Context<Env>, schema: z.ZodType<T>): Promise<T> {
  const text = await boundedText(c);
  return parse(schema, parseJson(text === '' ? '{}' : text));
}

/** Reads no further than the limit, whatever length was announced or not. */
async function boundedText(c: Context<Env>): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = Number(c.req.header('content-length') ?? 0);
  if (size <= largestBody) {
    size = 0;
    for await (const part of c.req.raw.body ?? []) {
      size += part.length;
      if (size > largestBody) break;
      parts.push(part);
    }
  }
  if (size > largestBody) throw new InvalidInput('', 'The request is too large.');
  return Buffer.concat(parts).toString();
}

export interface Editing {
  readonly noun: string;
  readonly id: string;
  readonly summary: string;
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
      actor: actor(c),
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

export function configOf(c: Context<Env>): Config {
  return c.get('services').store.snapshot.config;
}

/** The one table from errors to answers. */
export function errorAnswer(error: unknown, c: Context<Env>, log: (line: string) => void): Response {
  const say = (status: 400 | 403 | 404 | 409 | 503, path: string, message: string) =>
    c.json({ error: { path, message } }, status);
  if (error instanceof InvalidInput) return say(400, error.path, error.message);
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
