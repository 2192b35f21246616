// /handovers: links for somebody else. Whoever opens one first makes a key, sends its public half, and gets the configuration.
import { Hono } from 'hono';
import { z } from 'zod';
import { parseSource } from '../../model/address.ts';
import { type Config, text } from '../../model/config.ts';
import { Conflict, Forbidden, InvalidInput, NotFound } from '../../model/errors.ts';
import { parseDuration } from '../../model/lease.ts';
import { may, type Principal } from '../../model/roles.ts';
import { addDevice, deviceAnswer, deviceMade, rotateDevice } from './devices.ts';
import { type Handover, handoverOf, makeHandover, openHandovers, type Place, peerAt, told } from './expected.ts';
import { findApplication, findMember, orNull, peerName } from './find.ts';
import { actor, body, configOf, needs, removal, save } from './http.ts';
import { peerOptions } from './peers.ts';
import { anywhere } from './scope.ts';
import { addServer, rotateServer, serverAnswer, serverMade } from './servers.ts';
import type { Env } from './services.ts';

const hour = 3600_000;

const addition = z.strictObject({
  /** `anna/phone`, a device of a member; or `shop/web`, a server of an application. One of the three is given. */
  device: z.string().optional(),
  server: z.string().optional(),
  /** Either of them, as long as it can be only one. */
  name: z.string().optional(),
  for: text(parseDuration).default(hour),
  source: text(parseSource).optional(),
  ...peerOptions,
});

const taking = z.strictObject({ secret: z.string().max(200), publicKey: z.string() });

export const handoverShape = {
  id: z.string(),
  kind: z.enum(['server', 'device']),
  name: z.string(),
  address: z.string(),
  /** Who made it. */
  by: z.string(),
  createdAt: z.string(),
  expiresAt: z.string(),
};
const answer = z.strictObject(handoverShape);
/** The path of the link, with its secret. */
const made = answer.extend({ path: z.string() });

/** Says nothing of whether there ever was one, or whose it is. */
const gone = () => new NotFound('secret', 'This link is not valid, or not any more: ask for a new one.');

export const handovers = new Hono<Env>()
  .get('/', needs('see', { title: 'The links that nobody has used yet.', answer: z.array(answer) }), (c) =>
    c.json(openHandovers(c.get('services')).map((one) => handoverView(configOf(c), one))),
  )
  .post(
    '/',
    needs('device', { title: 'Make a link for a device or a server.', body: addition, answer: made, scope: anywhere }),
    async (c) => {
      const asked = await body(c, addition);
      const services = c.get('services');
      const config = configOf(c);
      const place = placeOf(config, asked);
      check(c.get('principal'), place, config);
      if (asked.source !== undefined && place.kind === 'device') {
        throw new InvalidInput('source', 'A device comes from many addresses: leases are for that.');
      }
      const { handover, secret } = makeHandover(
        services,
        config,
        { ...place, ...asked, presharedKey: asked.presharedKey ?? true },
        { owner: actor(c), lasts: asked.for },
      );
      return c.json({ ...handoverView(config, handover), path: linkPath(handover, secret) }, 201);
    },
  )
  /** What a link previewer may know: nothing is used up by looking. */
  .get(
    '/:handover',
    needs('summary', { title: 'Whether a link still works.', answer: z.strictObject({ open: z.boolean() }) }),
    (c) => {
      const id = c.req.param('handover');
      return c.json({ open: openHandovers(c.get('services')).some(({ ticket }) => ticket.id === id) });
    },
  )
  .delete('/:handover', needs('device', { title: 'End a link.', answer: removal, scope: anywhere }), (c) => {
    const services = c.get('services');
    const id = c.req.param('handover');
    const one = openHandovers(services).find(({ ticket }) => ticket.id === id);
    if (one === undefined) throw new NotFound('', 'There is no such link, or it was used.');
    check(c.get('principal'), one, configOf(c));
    services.store.amend(actor(c), (amendment) => {
      amendment.spend(one.ticket);
      amendment.audit('handover ended', told(one));
    });
    return c.json({ id, removed: true });
  })
  .post(
    '/take',
    needs('open', {
      title: 'Use a link: send a public key, get the configuration once.',
      body: taking,
      answer: z.union([deviceMade, serverMade]),
    }),
    async (c) => {
      const asked = await body(c, taking);
      const services = c.get('services');
      const ticket = services.store.tickets.find('handover', asked.secret);
      if (ticket === null) throw gone();
      const one = handoverOf(ticket);
      checkGiver(configOf(c), one);
      const present = peerAt(configOf(c), one);
      const id = present?.id ?? services.newId();
      const made = await save(
        c,
        { noun: one.kind === 'server' ? 'servers' : 'devices', id, summary: `${one.kind} ${one.label} handed over` },
        (transaction) => {
          transaction.audit('handover taken', told(one));
          const { publicKey } = asked;
          const { presharedKey, keepalive } = one;
          if (present !== undefined) {
            const rotate = one.kind === 'server' ? rotateServer : rotateDevice;
            return rotate(transaction, services, id, { publicKey, presharedKey });
          }
          const fields = { label: one.label, publicKey, presharedKey, keepalive };
          return one.kind === 'server'
            ? addServer(transaction, services, { ...fields, application: one.group }, id)
            : addDevice(transaction, services, { ...fields, member: one.group }, id);
        },
      );
      const answer = one.kind === 'server' ? serverAnswer : deviceAnswer;
      return c.json(await answer(services, id, made.presharedKey), 201);
    },
  );

/** The secret stands in the fragment, which no browser sends and no server logs. */
export function linkPath({ ticket }: Handover, secret: string): string {
  return `/get/${ticket.id}#${secret}`;
}

/** @throws InvalidInput, NotFound */
function placeOf(config: Config, asked: z.infer<typeof addition>): Place {
  const given = (['device', 'server', 'name'] as const).filter((field) => asked[field] !== undefined);
  const [field] = given;
  if (field === undefined) throw new InvalidInput('name', 'Say for which device or server it is.');
  if (given.length > 1) throw new InvalidInput(given[1] ?? '', 'Say it once: device, server or name.');
  const [group = '', label = '', ...rest] = (asked[field] ?? '').split('/');
  if (group === '' || label === '' || rest.length > 0) {
    throw new InvalidInput(field, 'It is written GROUP/NAME, such as anna/phone or shop/web.');
  }
  const member = field === 'server' ? null : orNull(() => findMember(config, group, field).id);
  const application = field === 'device' ? null : orNull(() => findApplication(config, group, field).id);
  if (member !== null && application !== null) {
    throw new Conflict(field, `“${group}” is a member and an application: say device or server.`);
  }
  if (member !== null) return { kind: 'device', group: member, label };
  if (application !== null) return { kind: 'server', group: application, label };
  throw new NotFound(field, `There is no member and no application “${group}”.`);
}

/** @throws Forbidden */
export function check(principal: Principal, place: Place, config: Config): void {
  const scope = place.kind === 'server' ? { application: place.group } : { member: place.group };
  if (!may(principal, place.kind, scope, config)) throw new Forbidden('You may not do this.');
}

/** A link is worth no more than its maker's right of now. */
function checkGiver(config: Config, one: Handover): void {
  const { owner } = one.ticket;
  const scope = one.kind === 'server' ? { application: one.group } : { member: one.group };
  const giver: Principal = owner === 'console' ? { kind: 'console' } : { kind: 'member', id: owner };
  const groups: readonly { readonly id: string }[] = one.kind === 'server' ? config.applications : config.members;
  if (!groups.some(({ id }) => id === one.group) || !may(giver, one.kind, scope, config)) throw gone();
}

export function handoverView(config: Config, one: Handover) {
  const { label, group } = one;
  return {
    id: one.ticket.id,
    kind: one.kind,
    name: peerName(config, one.kind === 'server' ? { label, application: group } : { label, member: group }),
    address: one.address,
    by: config.members.find(({ id }) => id === one.ticket.owner)?.name ?? one.ticket.owner,
    createdAt: new Date(one.ticket.createdAt).toISOString(),
    expiresAt: new Date(one.ticket.expiresAt).toISOString(),
  };
}
