// /rules: permanent openings of UDP 51820.
import { Hono } from 'hono';
import { z } from 'zod';
import { parseSource } from '../../model/address.ts';
import { type Config, type Rule, text } from '../../model/config.ts';
import { Conflict, NotFound } from '../../model/errors.ts';
import { sourceText } from '../../model/lease.ts';
import { applicationLabel, findServer } from './find.ts';
import { body, configOf, needs, save, without } from './http.ts';
import type { Env } from './services.ts';

const addition = z.strictObject({
  source: text(parseSource),
  note: z.string().max(200).default(''),
  server: z.string().nullable().default(null),
});

export const rules = new Hono<Env>()
  .get('/', needs('see'), (c) => c.json(configOf(c).rules.map((one) => view(configOf(c), one))))
  .post('/', needs('manage'), async (c) => {
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
    return c.json(view(configOf(c), rule), 201);
  })
  /** By id, or every rule for exactly this source. */
  .delete('/:rule{.+}', needs('manage'), async (c) => {
    const reference = c.req.param('rule');
    const removed = configOf(c).rules.filter(({ id, source }) =>
      [id, source, sourceText(source)].includes(reference as typeof source),
    );
    if (removed.length === 0) throw new NotFound('', `There is no rule for ${reference}.`);
    await save(c, { noun: 'rules', id: reference, summary: `rule for ${reference} removed` }, (transaction) => {
      const { config } = transaction;
      transaction.put({
        ...config,
        rules: removed.reduce<readonly Rule[]>((list, { id }) => without(list, id), config.rules),
      });
      for (const { id, source } of removed) transaction.audit('rule removed', { id, source });
    });
    return c.json({ removed: removed.map(({ id }) => id) });
  });

function view(config: Config, { id, source, note, server }: Rule) {
  const of = config.servers.find((one) => one.id === server);
  const name = of === undefined ? null : `${of.label}.${applicationLabel(config, of)}`;
  return { id, source: sourceText(source), note, server: name };
}
