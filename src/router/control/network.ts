// /network: the APN's range and where clients find the hub.
import { Hono } from 'hono';
import { z } from 'zod';
import { hubAddress } from '../../model/addressing.ts';
import { type Config, listenPort, type Network, network as networkSchema, parse } from '../../model/config.ts';
import { Conflict } from '../../model/errors.ts';
import type { Transaction } from '../store/store.ts';
import { confirmed, confirmField, waiting, waitingFor } from './confirm.ts';
import { body, configOf, needs, save } from './http.ts';
import type { Env, Services } from './services.ts';

const change = z.strictObject({
  confirm: confirmField,
  range: z.string().optional(),
  endpoint: z
    .strictObject({ host: z.string(), port: z.int().default(listenPort) })
    .nullable()
    .optional(),
});

const answer = networkSchema.extend({
  hubAddress: z.string(),
  hubPublicKey: z.string(),
  listenPort: z.literal(listenPort),
});

const changed = answer.extend({ confirm: waiting });

export const network = new Hono<Env>()
  .get('/', needs('see', { title: 'The range, and where clients find the hub.', answer }), (c) =>
    c.json(view(configOf(c), c.get('services'))),
  )
  .patch('/', needs('configure', { title: 'Change them.', body: change, answer: changed }), async (c) => {
    const { confirm, ...asked } = await body(c, change);
    const summary = 'network changed';
    const apply = (transaction: Transaction) => {
      const { config } = transaction;
      const next = parse(networkSchema, { ...config.network, ...asked }) as Network;
      if (next.range !== config.network.range && used(config)) {
        throw new Conflict(
          'range',
          'The range cannot change while servers, devices or applications have addresses in it.',
        );
      }
      transaction.put({ ...config, network: next });
    };
    await save(c, { noun: 'network', id: '', summary }, confirmed(c, confirm, summary, apply));
    const services = c.get('services');
    return c.json({ ...view(configOf(c), services), confirm: waitingFor(services) });
  });

function used({ applications, devices, lanDevices }: Config): boolean {
  return applications.length + devices.length + lanDevices.length > 0;
}

function view({ network: { range, domain, endpoint }, network: all }: Config, { hubPublicKey }: Services) {
  return { range, domain, endpoint, hubAddress: hubAddress(all), hubPublicKey, listenPort };
}
