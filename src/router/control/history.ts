// /history: what changed when and by whom, and taking it back.
import { isDeepStrictEqual } from 'node:util';
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import type { Config } from '../../model/config.ts';
import { Conflict, InvalidInput, NotFound } from '../../model/errors.ts';
import type { Body } from '../store/differences.ts';
import type { Change, Revision } from '../store/history.ts';
import type { Transaction } from '../store/store.ts';
import { goBack, nameIn, type Undone, undo } from '../store/undo.ts';
import { confirmed, confirmField, waiting, waitingFor } from './confirm.ts';
import { body, configOf, needs, save } from './http.ts';
import type { Env } from './services.ts';

const usual = 50;
const most = 500;

const fieldChange = z.strictObject({
  /** `address`, `access.shop`; empty: the whole. */
  path: z.string(),
  before: z.unknown(),
  after: z.unknown(),
});
const entry = z.strictObject({
  revision: z.int(),
  at: z.iso.datetime(),
  /** A member's name; `console`, `router`. */
  actor: z.string(),
  summary: z.string(),
  changes: z.array(
    z.strictObject({
      ...{ noun: z.string(), id: z.string(), name: z.string() },
      kind: z.enum(['added', 'changed', 'removed']),
      fields: z.array(fieldChange),
    }),
  ),
});
const options = z.strictObject({ confirm: confirmField });
const answer = z.strictObject({ revision: z.int(), confirm: waiting });

export const history = new Hono<Env>()
  .get(
    '/',
    needs('configure', {
      title: 'What changed the configuration, the newest first.',
      query: { before: 'a revision: only earlier ones', limit: `at most so many, up to ${most}` },
      answer: z.array(entry),
    }),
    (c) => {
      const before = number('before', c.req.query('before'), Number.MAX_SAFE_INTEGER);
      const limit = number('limit', c.req.query('limit'), usual, most);
      return c.json(
        c
          .get('services')
          .store.history.list({ before, limit })
          .map((one) => view(c, one)),
      );
    },
  )
  .get('/:revision', needs('configure', { title: 'One revision.', answer: entry }), (c) => c.json(view(c, found(c))))
  .post(
    '/:revision/revert',
    needs('configure', { title: 'Undo what one revision changed; later changes stay.', body: options, answer }),
    async (c) => {
      const asked = await body(c, options);
      const one = found(c);
      const summary = `undone: ${one.summary}`;
      return takeBack(c, asked.confirm, { summary, event: 'change undone', revision: one.revision }, (config) =>
        undo(c.get('services').store.history, config, one),
      );
    },
  )
  .post(
    '/:revision/restore',
    needs('configure', { title: 'Go back to how it was at a revision; keys stay as they are.', body: options, answer }),
    async (c) => {
      const asked = await body(c, options);
      const { revision } = found(c);
      const summary = `back to revision ${revision}`;
      const { store } = c.get('services');
      if (store.history.since(revision).length === 0)
        throw new Conflict('', `It is as it was at revision ${revision}.`);
      return takeBack(c, asked.confirm, { summary, event: 'went back', revision }, (config) =>
        goBack(store.history, config, revision),
      );
    },
  );

interface Taken {
  readonly summary: string;
  readonly event: string;
  readonly revision: number;
}

/** What cannot be as it was is in the way of undoing: no field of the request is wrong. */
async function takeBack(
  c: Context<Env>,
  seconds: number | undefined,
  { summary, event, revision }: Taken,
  compute: (config: Config) => Undone,
) {
  const services = c.get('services');
  const change = (transaction: Transaction) => {
    const { config, revive } = compute(transaction.config);
    const broken = services.store.snapshot.damaged.find(({ noun, id }) => config[noun].some((one) => one.id === id));
    if (broken !== undefined) {
      throw new Conflict(
        `${broken.noun}.${broken.id}`,
        `The stored keys of ${broken.label} are damaged: remove it first.`,
      );
    }
    transaction.put(config);
    for (const one of revive) transaction.revive(one);
    transaction.audit(event, { revision });
  };
  try {
    await save(c, { noun: '', id: '', summary }, confirmed(c, seconds, summary, change));
  } catch (error) {
    if (error instanceof InvalidInput) throw new Conflict(error.path, error.message);
    throw error;
  }
  return c.json({ revision: services.store.snapshot.revision, confirm: waitingFor(services) });
}

function found(c: Context<Env>): Revision {
  const reference = c.req.param('revision') ?? '';
  const revision = number('revision', reference, 0);
  const one = c.get('services').store.history.find(revision);
  if (one === null) throw new NotFound('', `There is no revision ${revision} in the history.`);
  return one;
}

function number(path: string, text: string | undefined, otherwise: number, largest = Number.MAX_SAFE_INTEGER): number {
  if (text === undefined) return otherwise;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > largest) throw new InvalidInput(path, `This is a number from 1 to ${largest}.`);
  return value;
}

function view(c: Context<Env>, { revision, at, actor, summary, changes }: Revision): z.infer<typeof entry> {
  return {
    ...{ revision, at: new Date(at).toISOString(), actor: actorName(c, actor), summary },
    changes: changes.map((one) => changeView(configOf(c), one)),
  };
}

/** Members that are gone keep the name they had. */
function actorName(c: Context<Env>, id: string): string {
  const present = configOf(c).members.find((one) => one.id === id)?.name;
  return present ?? (nameIn(c.get('services').store.history.lastOf('members', id)?.before ?? null) || id);
}

function changeView(config: Config, { noun, id, before, after }: Change) {
  const kind = before === null ? 'added' : after === null ? 'removed' : 'changed';
  const found = fields('', before, after).map(({ path, ...values }) => ({
    path: path
      .split('.')
      .map((part) => named(config, part))
      .join('.'),
    before: named(config, values.before),
    after: named(config, values.after),
  }));
  return { noun, id, name: nameOf(config, after ?? before), kind, fields: found } as const;
}

/** Ids of what has a label, alone or in lists, as people know them. */
function named(config: Config, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((one) => named(config, one));
  const { applications, members, servers, lanDevices } = config;
  const lists = [applications, members, servers, lanDevices] as readonly (readonly { id: string; label: string }[])[];
  return lists.flat().find(({ id }) => id === value)?.label ?? value;
}

/** `web.shop`, `laptop.anna`, or what it is called by itself. */
function nameOf({ applications, members }: Config, body: Body | null): string {
  const group = [...applications, ...members].find(({ id }) => id === (body?.['application'] ?? body?.['member']));
  return [nameIn(body), group?.label ?? ''].filter((part) => part !== '').join('.');
}

/** What differs, as deep as both are objects. */
function fields(path: string, before: unknown, after: unknown): { path: string; before: unknown; after: unknown }[] {
  if (isDeepStrictEqual(before, after)) return [];
  const [old, now] = [parts(before), parts(after)];
  if (old === null || now === null || (path !== '' && (before === null || after === null))) {
    return [{ path, before: before ?? null, after: after ?? null }];
  }
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])].filter((name) => name !== 'id');
  return names.flatMap((name) => fields(path === '' ? name : `${path}.${name}`, old[name], now[name]));
}

/** The fields of an object; those of one that is not there are none. */
function parts(value: unknown): Body | null {
  if (value === null || value === undefined) return {};
  return typeof value === 'object' && !Array.isArray(value) ? (value as Body) : null;
}
