// /servers: the peers that serve.
import { Hono } from 'hono';
import { z } from 'zod';
import { parseSource } from '../../model/address.ts';
import { answerLine } from '../../model/client.ts';
import { type Config, parse, type Server, server as serverSchema, text } from '../../model/config.ts';
import { InvalidInput } from '../../model/errors.ts';
import { sourceProblem } from '../../model/rules.ts';
import type { Transaction } from '../store/store.ts';
import { addressFor, fulfil, handoverFor } from './expected.ts';
import { applicationLabel, findApplication, findServer } from './find.ts';
import { body, configOf, needs, removal, replaced, save, without } from './http.ts';
import {
  addPresharedKey,
  findDamaged,
  peerChange,
  peerFile,
  peerOptions,
  peerShape,
  peerView,
  rotated,
  rotation,
  secretShape,
} from './peers.ts';
import { applicationScope, serverScope } from './scope.ts';
import type { Env, LiveTunnel, Services } from './services.ts';

/** Its rule moves by itself to the address that it knocks from. */
const follow = { follow: z.boolean().optional() };
const addition = z.strictObject({
  application: z.string(),
  label: z.string(),
  publicKey: z.string(),
  /** The address it always comes from: a rule is made for it. */
  source: text(parseSource).optional(),
  ...peerOptions,
  ...follow,
});
const change = peerChange.extend(follow);
const answer = z.strictObject({
  ...peerShape,
  application: z.string(),
  follow: z.boolean(),
  sources: z.array(z.string()),
});
/** With the hub's answer in one line, for the script of `/join`. */
export const serverMade = answer.extend({ ...secretShape, answer: z.string() });
export type ServerAddition = Omit<z.input<typeof addition>, 'source'> & Pick<z.output<typeof addition>, 'source'>;

export const servers = new Hono<Env>()
  .get('/', needs('see', { title: 'The servers.', answer: z.array(answer) }), async (c) => {
    const tunnel = await c.get('services').tunnel();
    return c.json(configOf(c).servers.map((one) => view(configOf(c), one, tunnel, c.get('services').clock().wall)));
  })
  .post(
    '/',
    needs('server', { title: 'Add a server.', body: addition, answer: serverMade, scope: applicationScope }),
    async (c) => {
      const asked = await body(c, addition);
      const services = c.get('services');
      const id = services.newId();
      const { presharedKey } = await save(
        c,
        { noun: 'servers', id, summary: `server ${asked.label} added` },
        (transaction) => addServer(transaction, services, asked, id),
      );
      return c.json(await serverAnswer(services, id, presharedKey), 201);
    },
  )
  .patch(
    '/:server',
    needs('server', { title: 'Change a server.', body: change, answer, scope: serverScope }),
    async (c) => {
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
    },
  )
  .post(
    '/:server/rotate',
    needs('server', {
      title: 'Give a server a new key; the old one is dead at once.',
      body: rotation,
      answer: serverMade,
      scope: serverScope,
    }),
    async (c) => {
      const asked = await body(c, rotation);
      const services = c.get('services');
      const { id, label } = findServer(configOf(c), c.req.param('server'));
      const { presharedKey } = await save(
        c,
        { noun: 'servers', id, summary: `key of server ${label} changed` },
        (transaction) => rotateServer(transaction, services, id, asked),
      );
      return c.json(await serverAnswer(services, id, presharedKey));
    },
  )
  .delete(
    '/:server',
    needs('server', { title: 'Remove a server.', answer: removal, scope: serverScope }),
    async (c) => {
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
    },
  );

/**
 * Adds a server within a save, with the address that it was promised. A key that was made far away and
 * has knocked knows of no preshared key: false then.
 * @returns the text of the preshared key, to be shown once.
 */
export function addServer(
  transaction: Transaction,
  services: Services,
  asked: ServerAddition,
  id: string = services.newId(),
): { readonly one: Server; readonly presharedKey: string | null } {
  const { config } = transaction;
  const application = findApplication(config, asked.application, 'application');
  const place = { kind: 'server', group: application.id, label: asked.label } as const;
  const expected = handoverFor(services, place);
  const key = (asked.presharedKey ?? expected?.presharedKey ?? true) ? addPresharedKey(transaction, services) : null;
  const one = parse(serverSchema, {
    id,
    application: application.id,
    label: asked.label,
    publicKey: asked.publicKey,
    address: addressFor(services, config, place, asked.address),
    presharedKey: key?.id ?? null,
    keepalive: asked.keepalive === undefined ? expected?.keepalive : asked.keepalive,
    follow: asked.follow,
  }) as Server;
  const note = `${one.label}.${application.label}`;
  const source = asked.source ?? (expected?.source == null ? undefined : parseSource(expected.source));
  const why = source === undefined ? null : sourceProblem(source, config);
  if (why !== null) throw new InvalidInput('source', why);
  const rule = source === undefined ? [] : [{ id: services.newId(), source, note, server: id }];
  transaction.put({ ...config, servers: [...config.servers, one], rules: [...config.rules, ...rule] });
  fulfil(transaction, services, place);
  transaction.audit('server added', { id, name: note, address: one.address });
  return { one, presharedKey: key?.text ?? null };
}

/** Gives it a new key within a save. */
export function rotateServer(
  transaction: Transaction,
  services: Services,
  id: string,
  asked: z.infer<typeof rotation>,
): { readonly presharedKey: string | null } {
  const { config } = transaction;
  const before = findServer(config, id);
  const { fields, presharedKey } = rotated(transaction, services, before, asked);
  const next = parse(serverSchema, { ...before, ...fields }) as Server;
  transaction.put({ ...config, servers: replaced(config.servers, next) });
  fulfil(transaction, services, { kind: 'server', group: before.application, label: before.label });
  transaction.audit('server key changed', { id, label: before.label });
  return { presharedKey };
}

/** The one answer that shows the preshared key, with the file and the line that it belongs to. */
export async function serverAnswer(services: Services, id: string, presharedKey: string | null) {
  const { config } = services.store.snapshot;
  const one = findServer(config, id);
  const file = peerFile(config, services, one, { presharedKey });
  const answer = answerLine(one.address, presharedKey);
  return { ...view(config, one, await services.tunnel(), services.clock().wall), presharedKey, answer, ...file };
}

function view(config: Config, one: Server, tunnel: LiveTunnel, wall: number) {
  return {
    ...peerView(config, one, tunnel, wall),
    application: applicationLabel(config, one),
    follow: one.follow,
    sources: config.rules.filter(({ server }) => server === one.id).map(({ source }) => source),
  };
}
