// /applications: sets of servers, and which of them are linked.
import { Hono } from 'hono';
import { z } from 'zod';
import { freeApplicationRange } from '../../model/addressing.ts';
import { type Application, application as applicationSchema, type Config, parse } from '../../model/config.ts';
import { Conflict } from '../../model/errors.ts';
import { withoutGuest } from '../../model/uplink.ts';
import { findApplication } from './find.ts';
import { body, configOf, needs, removal, replaced, save, without } from './http.ts';
import type { Env } from './services.ts';

const addition = z.strictObject({ label: z.string(), range: z.string().optional() });
const linking = z.strictObject({ to: z.string() });
const answer = z.strictObject({
  id: z.string(),
  label: z.string(),
  range: z.string(),
  /** Labels of the applications that its servers may reach. */
  links: z.array(z.string()),
  servers: z.int(),
});

export const applications = new Hono<Env>()
  .get('/', needs('see', { title: 'The applications.', answer: z.array(answer) }), (c) =>
    c.json(configOf(c).applications.map((one) => view(configOf(c), one))),
  )
  .post('/', needs('configure', { title: 'Add an application.', body: addition, answer }), async (c) => {
    const asked = await body(c, addition);
    const id = c.get('services').newId();
    await save(c, { noun: 'applications', id, summary: `application ${asked.label} added` }, (transaction) => {
      const { config } = transaction;
      const range = asked.range ?? freeApplicationRange(config);
      const one = parse(applicationSchema, { id, label: asked.label, range, links: [] }) as Application;
      transaction.put({ ...config, applications: [...config.applications, one] });
      transaction.audit('application added', { id, label: one.label });
    });
    return c.json(view(configOf(c), findApplication(configOf(c), id)), 201);
  })
  .delete('/:application', needs('configure', { title: 'Remove an application.', answer: removal }), async (c) => {
    const { id, label } = findApplication(configOf(c), c.req.param('application'));
    await save(c, { noun: 'applications', id, summary: `application ${label} removed` }, (transaction) => {
      const { config } = transaction;
      if (config.servers.some(({ application }) => application === id)) {
        throw new Conflict('', `${label} still has servers: remove them first.`);
      }
      transaction.put(forget(config, id));
      transaction.audit('application removed', { id, label });
    });
    return c.json({ id, removed: true });
  })
  .post(
    '/:application/links',
    needs('configure', { title: 'Let its servers reach those of another.', body: linking, answer }),
    async (c) => {
      const asked = await body(c, linking);
      const from = findApplication(configOf(c), c.req.param('application'));
      const to = findApplication(configOf(c), asked.to, 'to');
      return c.json(await setLinks(c, from, [...from.links.filter((link) => link !== to.id), to.id]));
    },
  )
  .delete('/:application/links/:to', needs('configure', { title: 'Take a link away.', answer }), async (c) => {
    const from = findApplication(configOf(c), c.req.param('application'));
    const to = findApplication(configOf(c), c.req.param('to'));
    return c.json(
      await setLinks(
        c,
        from,
        from.links.filter((link) => link !== to.id),
      ),
    );
  });

async function setLinks(c: Parameters<typeof configOf>[0], from: Application, links: readonly string[]) {
  await save(c, { noun: 'applications', id: from.id, summary: `links of ${from.label} changed` }, (transaction) => {
    const { config } = transaction;
    transaction.put({ ...config, applications: replaced(config.applications, { ...from, links }) });
    transaction.audit('links changed', { id: from.id, links });
  });
  return view(configOf(c), findApplication(configOf(c), from.id));
}

/** Without the application, and without every mention of it. */
function forget(config: Config, id: string): Config {
  const named = <T>(access: T | readonly string[]) =>
    Array.isArray(access) ? access.filter((one) => one !== id) : access;
  return {
    ...config,
    applications: without(config.applications, id).map((one) => ({
      ...one,
      links: one.links.filter((link) => link !== id),
    })),
    members: config.members.map((one) => ({
      ...one,
      access: Object.fromEntries(Object.entries(one.access).filter(([application]) => application !== id)),
    })),
    lanDevices: config.lanDevices.map((one) => ({ ...one, access: named(one.access) as typeof one.access })),
    lan:
      config.lan === null
        ? null
        : { ...config.lan, defaultAccess: named(config.lan.defaultAccess) as typeof config.lan.defaultAccess },
    uplinks: withoutGuest(config.uplinks, id),
  };
}

function view(config: Config, { id, label, range, links }: Application) {
  const labels = new Map(config.applications.map((one) => [one.id, one.label]));
  const servers = config.servers.filter(({ application }) => application === id).length;
  return { id, label, range, links: links.map((link) => labels.get(link) ?? link), servers };
}
