// /names: extra records below the domain.
import { Hono } from 'hono';
import { z } from 'zod';
import { type Name, name as nameSchema, parse } from '../../model/config.ts';
import { NotFound } from '../../model/errors.ts';
import { body, configOf, needs, removal, save, without } from './http.ts';
import type { Env } from './services.ts';

const addition = z.discriminatedUnion('type', [
  z.strictObject({ name: z.string(), type: z.literal('A'), address: z.string() }),
  z.strictObject({ name: z.string(), type: z.literal('CNAME'), target: z.string() }),
]);

export const names = new Hono<Env>()
  .get('/', needs('see', { title: 'The extra names.', answer: z.array(nameSchema) }), (c) => c.json(configOf(c).names))
  .post('/', needs('name', { title: 'Add a name.', body: addition, answer: nameSchema }), async (c) => {
    const asked = await body(c, addition);
    const domain = `.${configOf(c).network.domain}`;
    const id = c.get('services').newId();
    const name = await save(c, { noun: 'names', id, summary: `name ${asked.name} added` }, (transaction) => {
      const { config } = transaction;
      const relative = (full: string) => (full.endsWith(domain) ? full.slice(0, -domain.length) : full);
      const target = asked.type === 'CNAME' ? { target: relative(asked.target) } : {};
      const one = parse(nameSchema, { ...asked, ...target, id, name: relative(asked.name) }) as Name;
      transaction.put({ ...config, names: [...config.names, one] });
      transaction.audit('name added', { id, name: one.name });
      return one;
    });
    return c.json(name, 201);
  })
  .delete('/:name', needs('name', { title: 'Remove a name.', answer: removal }), async (c) => {
    const reference = c.req.param('name');
    const { domain } = configOf(c).network;
    const one = configOf(c).names.find(
      ({ id, name }) => id === reference || name === reference || `${name}.${domain}` === reference,
    );
    if (one === undefined) throw new NotFound('', `There is no extra name ${reference}.`);
    await save(c, { noun: 'names', id: one.id, summary: `name ${one.name} removed` }, (transaction) => {
      const { config } = transaction;
      transaction.put({ ...config, names: without(config.names, one.id) });
      transaction.audit('name removed', { id: one.id, name: one.name });
    });
    return c.json({ id: one.id, removed: true });
  });
