// /audit: who did what, and what happened by itself; also as JSON lines.
import { type Context, Hono } from 'hono';
import { stream } from 'hono/streaming';
import { z } from 'zod';
import type { Config } from '../../model/config.ts';
import { InvalidInput } from '../../model/errors.ts';
import { type AuditKind, auditKinds, type Kept } from '../store/audit.ts';
import { findMember, peerName } from './find.ts';
import { configOf, needs } from './http.ts';
import type { Env } from './services.ts';

const entry = z.strictObject({
  id: z.int(),
  at: z.iso.datetime(),
  kind: z.enum(auditKinds),
  /** A member's name; `console`, `router`. */
  actor: z.string(),
  event: z.string(),
  /** What it was about, by name where that is still known. */
  details: z.looseObject({}),
});

const usual = 100;
const most = 1000;
/** Entries that are read at a time for an export. */
const page = 500;

const filters = {
  kind: auditKinds.map((kind) => `\`${kind}\``).join(', '),
  member: 'what this member did, and what is about him',
};

export const audit = new Hono<Env>()
  .get(
    '/',
    needs('member', {
      title: 'Who did what, the newest first.',
      query: { ...filters, before: 'an id: only older entries', limit: `at most so many, up to ${most}` },
      answer: z.array(entry),
    }),
    (c) => {
      const limit = number(c, 'limit', most) ?? usual;
      const before = number(c, 'before', Number.MAX_SAFE_INTEGER);
      const names = namesOf(configOf(c));
      const found = c.get('services').store.audit({ ...filter(c), ...(before === null ? {} : { before }), limit });
      return c.json(found.map((one) => view(names, one)));
    },
  )
  .get(
    '/export',
    needs('member', {
      title: 'All of it as JSON lines, the oldest first.',
      query: filters,
      media: 'application/x-ndjson',
    }),
    (c) => {
      const chosen = filter(c);
      c.header('content-type', 'application/x-ndjson');
      c.header('content-disposition', 'attachment; filename="audit.jsonl"');
      return stream(c, async (out) => {
        const { store } = c.get('services');
        // What is written while this runs is no part of it, so it ends.
        const last = store.audit({ limit: 1 })[0]?.id ?? 0;
        for (let after = 0; after < last && !out.aborted; ) {
          const some = store.audit({ ...chosen, after, before: last + 1, limit: page });
          if (some.length === 0) return;
          after = some.at(-1)?.id ?? last;
          const names = namesOf(configOf(c));
          await out.write(some.map((one) => `${JSON.stringify(view(names, one))}\n`).join(''));
        }
      });
    },
  );

function filter(c: Context<Env>): { readonly kind?: AuditKind; readonly member?: string } {
  const [kind, reference] = [c.req.query('kind'), c.req.query('member')];
  const known = auditKinds.find((one) => one === kind);
  if (kind !== undefined && known === undefined) {
    throw new InvalidInput('kind', `There are ${auditKinds.join(', ')}; this is “${kind.slice(0, 60)}”.`);
  }
  return {
    ...(known === undefined ? {} : { kind: known }),
    ...(reference === undefined ? {} : { member: findMember(configOf(c), reference, 'member').id }),
  };
}

function number(c: Context<Env>, name: string, largest: number): number | null {
  const text = c.req.query(name);
  if (text === undefined) return null;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > largest) throw new InvalidInput(name, `This is a number from 1 to ${largest}.`);
  return value;
}

/** Names of what is still there; what is gone keeps its id. */
function namesOf(config: Config): ReadonlyMap<unknown, string> {
  return new Map<unknown, string>([
    ...config.members.map(({ id, name }) => [id, name] as const),
    ...config.applications.map(({ id, label }) => [id, label] as const),
    ...[...config.servers, ...config.devices].map((one) => [one.id, peerName(config, one)] as const),
  ]);
}

function view(names: ReadonlyMap<unknown, string>, { id, at, kind, actor, event, body }: Kept): z.infer<typeof entry> {
  const details = Object.entries(body).map(([field, value]) => [
    field,
    field === 'id' ? value : (names.get(value) ?? value),
  ]);
  return {
    ...{ id, at: new Date(at).toISOString(), kind, actor: names.get(actor) ?? actor, event },
    details: Object.fromEntries(details),
  };
}
