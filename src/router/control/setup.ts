// /setup: whether somebody owns the box already, and becoming its first owner: once, and from the LAN only.
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { contains } from '../../model/address.ts';
import { type Config, lan, type Member, member as memberSchema, parse, text } from '../../model/config.ts';
import { Conflict, Forbidden, InvalidInput, Unauthorized } from '../../model/errors.ts';
import { labelOf, parseDisplayName } from '../../model/name.ts';
import { claimed } from '../../model/roles.ts';
import type { Ticket } from '../store/tickets.ts';
import { newCredentials, putCredentials } from './credentials.ts';
import { body, clientAddress, configOf, needs, save } from './http.ts';
import { checkPassword } from './passwords.ts';
import { normalizedCode, ownerWanted } from './seed.ts';
import type { Env, Services } from './services.ts';
import { beginSession } from './sign-in.ts';

const claim = z.strictObject({
  /** Left out: the name that was set up with the card. */
  name: text(parseDisplayName).optional(),
  label: z.string().optional(),
  password: z.string().max(1000),
  /** Where the card was set up with one. */
  code: z.string().max(200).optional(),
});

const owned = z.strictObject({ claimed: z.literal(true), hostName: z.string() });
const free = z.strictObject({
  ...{ claimed: z.literal(false), hostName: z.string(), codeNeeded: z.boolean() },
  /** Set up with the card. */
  ownerName: z.string().nullable(),
  /** Whether whoever asks is where a claim may come from. */
  fromHere: z.boolean(),
  /** Why it cannot be claimed now, for people. */
  problem: z.string().nullable(),
  lan: lan.pick({ address: true, range: true, ports: true, wan: true }).nullable(),
});
const owner = z.strictObject({
  member: z.strictObject({ id: z.string(), name: z.string(), label: z.string(), role: z.literal('owner') }),
});

export const setup = new Hono<Env>()
  .get(
    '/',
    needs('summary', {
      title: 'Whether the router has an owner, and what becoming it takes.',
      answer: z.union([owned, free]),
    }),
    (c) => {
      const services = c.get('services');
      const { lan: local, system, members } = configOf(c);
      if (members.length > 0) return c.json({ claimed: true as const, hostName: system.hostName });
      return c.json({
        ...{ claimed: false as const, hostName: system.hostName, codeNeeded: codes(services).length > 0 },
        ownerName: ownerWanted(services.store),
        fromHere: placeProblem(c) === null,
        problem: services.setupProblem(),
        lan:
          local === null
            ? null
            : { address: local.address, range: local.range, ports: [...local.ports], wan: local.wan },
      });
    },
  )
  .post('/claim', needs('open', { title: 'Become the first owner.', body: claim, answer: owner }), async (c) => {
    const services = c.get('services');
    checkOpen(c, configOf(c));
    const asked = await body(c, claim);
    const ticket = checkCode(c, asked.code);
    const name = asked.name ?? ownerWanted(services.store);
    if (name === null) throw new InvalidInput('name', 'This field is missing.');
    const label = asked.label ?? labelOf(name);
    if (label === null)
      throw new InvalidInput('label', 'This name needs a label of its own: letters a to z, digits, hyphens.');
    checkPassword(asked.password, [name, label, configOf(c).system.hostName], 'password');
    const password = await services.passwords.hash(asked.password);
    const id = services.newId();
    await save(c, { noun: 'members', id, summary: `router claimed by ${name}` }, (transaction) => {
      const { config } = transaction;
      // Many ask at one moment: the first that is saved has won.
      checkOpen(c, config);
      const first = parse(memberSchema, {
        ...{ id, name, label, role: 'owner', access: {}, leasePolicy: 'ask', disabled: false },
      }) as Member;
      transaction.put({ ...config, members: [first] });
      if (ticket !== null) transaction.spend(ticket);
      putCredentials(transaction, id, newCredentials(password, services.clock().wall));
      transaction.audit('router claimed', { id, name, from: clientAddress(c) });
      beginSession(c, transaction, id);
    });
    return c.json({ member: { id, name, label, role: 'owner' as const } }, 201);
  });

/** Whether somebody may take the router over that has no owner. @throws Conflict, Forbidden */
export function checkOpen(c: Context<Env>, config: Config): void {
  if (claimed(config)) throw new Conflict('', 'This router has an owner already: sign in.');
  const problem = placeProblem(c);
  if (problem !== null) throw new Forbidden(problem);
  const wrong = c.get('services').setupProblem();
  if (wrong !== null && c.get('principal').kind !== 'console') throw new Forbidden(wrong);
}

/** Why not from here; null: it may be. */
function placeProblem(c: Context<Env>): string | null {
  if (c.get('principal').kind === 'console') return null;
  const { lan } = configOf(c);
  const client = clientAddress(c);
  if (client !== null && lan !== null && contains(lan.range, client)) return null;
  return 'A router is set up from its own LAN, or on its console.';
}

function codes({ store }: Services): readonly Ticket[] {
  return store.tickets.list('claim');
}

/** @returns the ticket that the claim uses up. @throws Unauthorized, TooMany */
export function checkCode(c: Context<Env>, code: string | undefined): Ticket | null {
  const services = c.get('services');
  // Root on the box can do anything anyway.
  if (codes(services).length === 0 || c.get('principal').kind === 'console') return null;
  if (code === undefined) throw new Unauthorized('Give the code that this card was set up with.', 'code');
  const attempt = services.attempts.begin('claim', clientAddress(c));
  const ticket = services.store.tickets.find('claim', normalizedCode(code));
  if (ticket === null) throw new Unauthorized('This is not the code that this card was set up with.', 'code');
  attempt.succeeded();
  return ticket;
}
