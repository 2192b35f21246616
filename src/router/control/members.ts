// /members: people, and their roles for everything or for single applications.
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import {
  type Config,
  leasePolicy,
  type Member,
  member as memberSchema,
  parse,
  role,
  text,
} from '../../model/config.ts';
import { Conflict, Forbidden, InvalidInput } from '../../model/errors.ts';
import { parseDuration } from '../../model/lease.ts';
import { labelOf, parseDisplayName } from '../../model/name.ts';
import { grantProblem, mayAnywhere } from '../../model/roles.ts';
import { withoutGuest } from '../../model/uplink.ts';
import { findApplication, findMember } from './find.ts';
import { body, configOf, needs, passwordWanted, removal, replaced, save, without } from './http.ts';
import { signInAnswer, signInView } from './invites.ts';
import { anywhere } from './scope.ts';
import type { Env } from './services.ts';

/** Application (label or id) → role; null takes the entry away. */
const access = z.record(z.string(), role.nullable());
const addition = z.strictObject({
  name: text(parseDisplayName),
  label: z.string().optional(),
  role: role.default('viewer'),
  access: access.default({}),
  leasePolicy: leasePolicy.default('ask'),
});
const change = z.strictObject({
  name: z.string().optional(),
  role: role.optional(),
  access: access.optional(),
  leasePolicy: leasePolicy.optional(),
  /** On the road: from now on for so long, knocks let in as with the policy `auto`; null: no longer. */
  travel: text(parseDuration).nullable().optional(),
  disabled: z.boolean().optional(),
});

const answer = memberSchema.extend({
  travelUntil: z.string().nullable(),
  /** Application → role there. */
  access: z.record(z.string(), role),
  /** Labels of the devices. */
  devices: z.array(z.string()),
  ...signInAnswer.partial().shape,
});

export const members = new Hono<Env>()
  .get('/', needs('see', { title: 'The members.', answer: z.array(answer) }), (c) =>
    c.json(configOf(c).members.map((one) => view(c, one))),
  )
  .post('/', needs('member', { title: 'Add a member.', body: addition, answer, scope: anywhere }), async (c) => {
    const asked = await body(c, addition);
    const id = c.get('services').newId();
    await save(c, { noun: 'members', id, summary: `member ${asked.name} added` }, (transaction) => {
      const { config } = transaction;
      const label = asked.label ?? labelOf(asked.name);
      if (label === null)
        throw new InvalidInput('label', 'This name needs a label of its own: letters a to z, digits, hyphens.');
      const one = parse(memberSchema, {
        ...asked,
        id,
        label,
        access: merged(config, {}, asked.access),
        disabled: false,
      }) as Member;
      checkGrant(c, null, one, config);
      transaction.put({ ...config, members: [...config.members, one] });
      transaction.audit('member added', { id, name: one.name, role: one.role });
    });
    return c.json(view(c, findMember(configOf(c), id)), 201);
  })
  .patch(
    '/:member',
    needs('member', { title: 'Change a member.', body: change, answer, scope: anywhere }),
    async (c) => {
      const { travel, ...asked } = await body(c, change);
      const { clock } = c.get('services');
      const { id, name } = findMember(configOf(c), c.req.param('member'));
      await save(c, { noun: 'members', id, summary: `member ${name} changed` }, (transaction) => {
        const { config } = transaction;
        const before = findMember(config, id);
        const next = {
          ...before,
          ...asked,
          access: merged(config, before.access, asked.access ?? {}),
          ...(travel === undefined ? {} : { travelUntil: travel === null ? null : clock().wall + travel }),
        };
        const after = parse(memberSchema, next) as Member;
        checkGrant(c, before, after, config);
        transaction.put({ ...config, members: replaced(config.members, after) });
        transaction.audit('member changed', {
          id,
          fields: [...Object.keys(asked), ...(travel === undefined ? [] : ['travelUntil'])],
        });
      });
      return c.json(view(c, findMember(configOf(c), id)));
    },
  )
  .delete('/:member', needs('member', { title: 'Remove a member.', answer: removal, scope: anywhere }), async (c) => {
    const { id, name } = findMember(configOf(c), c.req.param('member'));
    await save(c, { noun: 'members', id, summary: `member ${name} removed` }, (transaction) => {
      const { config } = transaction;
      checkGrant(c, findMember(config, id), null, config);
      if (config.devices.some(({ member }) => member === id)) {
        throw new Conflict('', `${name} still has devices: remove them first.`);
      }
      const uplinks = withoutGuest(config.uplinks, id);
      transaction.put({ ...config, members: without(config.members, id), uplinks });
      transaction.audit('member removed', { id, name });
    });
    return c.json({ id, removed: true as const });
  });

/** Owners are made, changed and removed with the password at hand. @throws Forbidden */
function checkGrant(c: Context<Env>, before: Member | null, after: Member | null, config: Config): void {
  const problem = grantProblem(c.get('principal'), before, after, config);
  if (problem !== null) throw new Forbidden(problem);
  const principal = c.get('principal');
  const isAboutOwners = before?.role === 'owner' || after?.role === 'owner';
  if (isAboutOwners && principal.kind === 'member' && principal.fresh !== true) throw passwordWanted();
}

type Entries = Readonly<Record<string, z.infer<typeof role>>>;

function merged(config: Config, before: Entries, asked: z.infer<typeof access>): Entries {
  const after = new Map(Object.entries(before));
  for (const [reference, wanted] of Object.entries(asked)) {
    const { id } = findApplication(config, reference, `access.${reference}`);
    if (wanted === null) after.delete(id);
    else after.set(id, wanted);
  }
  return Object.fromEntries(after);
}

/** How somebody signs in is shown to admins, and to himself. */
function view(c: Context<Env>, one: Member) {
  const { applications, devices } = configOf(c);
  const principal = c.get('principal');
  const shown =
    (principal.kind === 'member' && principal.id === one.id) || mayAnywhere(principal, 'member', configOf(c));
  const labels = new Map(applications.map(({ id, label }) => [id, label]));
  return {
    ...one,
    travelUntil: one.travelUntil === null ? null : new Date(one.travelUntil).toISOString(),
    access: Object.fromEntries(Object.entries(one.access).map(([id, own]) => [labels.get(id) ?? id, own])),
    devices: devices.filter(({ member }) => member === one.id).map(({ label }) => label),
    ...(shown ? signInView(c.get('services'), one) : {}),
  };
}
