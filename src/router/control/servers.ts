// /servers: the peers that serve.
import { Hono } from 'hono';
import { z } from 'zod';
import { parseSource } from '../../model/address.ts';
import { freeAddress } from '../../model/addressing.ts';
import { type Config, parse, type Server, server as serverSchema, text } from '../../model/config.ts';
import { InvalidInput } from '../../model/errors.ts';
import { sourceProblem } from '../../model/rules.ts';
import { applicationLabel, findApplication, findServer } from './find.ts';
import { body, configOf, needs, replaced, save, without } from './http.ts';
import { addPresharedKey, findDamaged, livePeer, peerConfig } from './peers.ts';
import type { Env, LiveTunnel } from './services.ts';

const addition = z.strictObject({
  application: z.string(),
  label: z.string(),
  publicKey: z.string(),
  address: z.string().optional(),
  /** The address it always comes from: a rule is made for it. */
  source: text(parseSource).optional(),
  presharedKey: z.boolean().default(false),
});
const change = z.strictObject({
  label: z.string().optional(),
  publicKey: z.string().optional(),
  address: z.string().optional(),
});

export const servers = new Hono<Env>()
  .get('/', needs('see'), async (c) => {
    const tunnel = await c.get('services').tunnel();
    return c.json(configOf(c).servers.map((one) => view(configOf(c), one, tunnel, c.get('services').clock().wall)));
  })
  .post('/', needs('manage'), async (c) => {
    const asked = await body(c, addition);
    const services = c.get('services');
    const id = services.newId();
    const made = await save(c, { noun: 'servers', id, summary: `server ${asked.label} added` }, (transaction) => {
      const { config } = transaction;
      const application = findApplication(config, asked.application, 'application');
      const key = asked.presharedKey ? addPresharedKey(transaction, services) : null;
      const one = parse(serverSchema, {
        id,
        application: application.id,
        label: asked.label,
        publicKey: asked.publicKey,
        address: asked.address ?? freeAddress(config, application.range),
        presharedKey: key?.id ?? null,
      }) as Server;
      const note = `${one.label}.${application.label}`;
      const why = asked.source === undefined ? null : sourceProblem(asked.source, config);
      if (why !== null) throw new InvalidInput('source', why);
      const rule = asked.source === undefined ? [] : [{ id: services.newId(), source: asked.source, note, server: id }];
      transaction.put({ ...config, servers: [...config.servers, one], rules: [...config.rules, ...rule] });
      transaction.audit('server added', { id, name: note, address: one.address });
      return { presharedKey: key?.text ?? null };
    });
    const config = configOf(c);
    const one = findServer(config, id);
    const name = `${one.label}.${applicationLabel(config, one)}`;
    const file = peerConfig(config, services, one, name, made);
    return c.json({ ...view(config, one, await services.tunnel(), services.clock().wall), ...made, config: file }, 201);
  })
  .patch('/:server', needs('manage'), async (c) => {
    const asked = await body(c, change);
    const { id, label } = findServer(configOf(c), c.req.param('server'));
    await save(c, { noun: 'servers', id, summary: `server ${label} changed` }, (transaction) => {
      const { config } = transaction;
      const next = parse(serverSchema, { ...findServer(config, id), ...asked }) as Server;
      transaction.put({ ...config, servers: replaced(config.servers, next) });
      transaction.audit('server changed', { id, fields: Object.keys(asked) });
    });
    const { tunnel, clock } = c.get('services');
    return c.json(view(configOf(c), findServer(configOf(c), id), await tunnel(), clock().wall));
  })
  .delete('/:server', needs('manage'), async (c) => {
    const reference = c.req.param('server');
    const damaged = findDamaged(c.get('services'), 'servers', reference);
    const { id, label } = damaged ?? findServer(configOf(c), reference);
    await save(c, { noun: 'servers', id, summary: `server ${label} removed` }, (transaction) => {
      const { config } = transaction;
      if (damaged !== undefined) transaction.dropDamaged(id);
      const rules = config.rules.filter(({ server }) => server !== id);
      transaction.put({ ...config, servers: without(config.servers, id), rules });
      transaction.audit('server removed', { id, label });
    });
    return c.json({ id, removed: true });
  });

function view(config: Config, one: Server, tunnel: LiveTunnel, wall: number) {
  const application = applicationLabel(config, one);
  const name = `${one.label}.${application}`;
  return {
    id: one.id,
    name,
    fqdn: `${name}.${config.network.domain}`,
    application,
    label: one.label,
    address: one.address,
    publicKey: one.publicKey,
    hasPresharedKey: one.presharedKey !== null,
    sources: config.rules.filter(({ server }) => server === one.id).map(({ source }) => source),
    ...livePeer(tunnel, one, wall),
  };
}
