// /rules: permanent openings of UDP 51820.
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { parseSource } from '../../model/address.ts';
import { type Config, type Rule, text } from '../../model/config.ts';
import { Conflict, NotFound } from '../../model/errors.ts';
import { sourceText } from '../../model/lease.ts';
import type { Scope } from '../../model/roles.ts';
import { findServer, peerName } from './find.ts';
import { body, configOf, needs, save, without } from './http.ts';
import { fieldServerScope } from './scope.ts';
import type { Env } from './services.ts';

const addition = z.strictObject({
  source: text(parseSource),
  note: z.string().max(200).default(''),
  server: z.string().nullable().default(null),
});

export const ruleAnswer = z.strictObject({
  id: z.string(),
  source: z.string(),
  note: z.string(),
  /** `web.shop`; null: it is nobody's in particular. */
  server: z.string().nullable(),
});

export const rules = new Hono<Env>()
  .get('/', needs('see', { title: 'The permanent openings of UDP 51820.', answer: z.array(ruleAnswer) }), (c) =>
    c.json(configOf(c).rules.map((one) => ruleView(configOf(c), one))),
  )
  .post(
    '/',
    needs('rule', {
      title: 'Open UDP 51820 to a source for good.',
      body: addition,
      answer: ruleAnswer,
      scope: fieldServerScope,
    }),
    async (c) => {
      const asked = await body(c, addition);
      const id = c.get('services').newId();
      const rule = await save(c, { noun: 'rules', id, summary: `rule for ${asked.source}` }, (transaction) => {
        const { config } = transaction;
        const server = asked.server === null ? null : findServer(config, asked.server, 'server').id;
        if (config.rules.some((one) => one.source === asked.source && one.server === server)) {
          throw new Conflict('source', `There is a rule for ${sourceText(asked.source)} already.`);
        }
        const one: Rule = { id, source: asked.source, note: asked.note, server };
        transaction.put({ ...config, rules: [...config.rules, one] });
        transaction.audit('rule added', { id, source: one.source });
        return one;
      });
      return c.json(ruleView(configOf(c), rule), 201);
    },
  )
  .delete(
    '/:rule{.+}',
    needs('rule', {
      title: 'Shut it again, by id or source.',
      answer: z.strictObject({ removed: z.array(z.string()) }),
      scope: rulesScope,
    }),
    async (c) => {
      const reference = c.req.param('rule');
      const removed = findRules(configOf(c), reference);
      await save(c, { noun: 'rules', id: reference, summary: `rule for ${reference} removed` }, (transaction) => {
        const { config } = transaction;
        transaction.put({
          ...config,
          rules: removed.reduce<readonly Rule[]>((list, { id }) => without(list, id), config.rules),
        });
        for (const { id, source } of removed) transaction.audit('rule removed', { id, source });
      });
      return c.json({ removed: removed.map(({ id }) => id) });
    },
  );

/** The one application whose servers these rules are of. */
function rulesScope(c: Context<Env>, config: Config): Scope {
  const found = findRules(config, c.req.param('rule') ?? '');
  const applications = found.map(({ server }) => config.servers.find(({ id }) => id === server)?.application);
  const [first] = applications;
  return first !== undefined && applications.every((one) => one === first) ? { application: first } : {};
}

/** By id, or every rule for exactly this source. @throws NotFound */
function findRules(config: Config, reference: string): readonly Rule[] {
  const found = config.rules.filter(
    ({ id, source }) => id === reference || source === reference || sourceText(source) === reference,
  );
  if (found.length === 0) throw new NotFound('', `There is no rule for ${reference}.`);
  return found;
}

export function ruleView(config: Config, { id, source, note, server }: Rule) {
  const of = config.servers.find((one) => one.id === server);
  const name = of === undefined ? null : peerName(config, of);
  return { id, source: sourceText(source), note, server: name };
}
