// /join: what to paste on a machine to make it a server, and the address that is kept free for it until then.
import { Hono } from 'hono';
import { z } from 'zod';
import { parseSource } from '../../model/address.ts';
import { hubAddress } from '../../model/addressing.ts';
import { text } from '../../model/config.ts';
import { Conflict } from '../../model/errors.ts';
import { joinKinds, joinText } from '../../model/join.ts';
import { parseDuration } from '../../model/lease.ts';
import { makeHandover, peerAt } from './expected.ts';
import { findApplication } from './find.ts';
import { handoverShape, handoverView, linkPath } from './handover.ts';
import { actor, body, configOf, needs } from './http.ts';
import { clientFacts, factsShape, peerOptions } from './peers.ts';
import { applicationScope } from './scope.ts';
import type { Env } from './services.ts';

const day = 24 * 3600_000;

const asking = z.strictObject({
  application: z.string(),
  label: z.string(),
  as: z.enum(joinKinds).default('script'),
  /** How long the address is kept. */
  for: text(parseDuration).default(7 * day),
  source: text(parseSource).optional(),
  dns: z.boolean().default(true),
  /** Adds the command that closes the server's public ports. */
  firewall: z.boolean().default(false),
  ...peerOptions,
});

const answer = z.strictObject({
  ...handoverShape,
  fqdn: z.string(),
  as: z.enum(joinKinds),
  path: z.string(),
  /** What the text is built of. */
  facts: z.strictObject({
    client: factsShape,
    reference: z.string(),
    hubAddress: z.string(),
    enrolled: z.boolean(),
    firewall: z.boolean(),
  }),
  text: z.string(),
});

export const join = new Hono<Env>().post(
  '/',
  needs('server', { title: 'What to paste on a new server.', body: asking, answer, scope: applicationScope }),
  async (c) => {
    const asked = await body(c, asking);
    const services = c.get('services');
    const config = configOf(c);
    const application = findApplication(config, asked.application, 'application');
    if (config.network.endpoint === null) {
      throw new Conflict('network.endpoint', 'Say first where servers find the hub: apn network set --endpoint HOST.');
    }
    const place = { kind: 'server', group: application.id, label: asked.label } as const;
    const present = peerAt(config, place);
    // Nobody is asked anything in a cloud-init run, so there is nowhere to give a preshared key to.
    const presharedKey = asked.presharedKey ?? asked.as !== 'cloud-init';
    const options = { owner: actor(c), lasts: asked.for };
    const { handover, secret } = makeHandover(services, config, { ...place, ...asked, presharedKey }, options);
    const shown = handoverView(config, handover);
    const peer = {
      ...handover,
      name: shown.name,
      presharedKey: presharedKey ? 'to come' : null,
      serves: true,
    } as const;
    const facts = {
      client: clientFacts(config, services, peer, asked.dns),
      reference: `${application.label}/${asked.label}`,
      hubAddress: hubAddress(config.network),
      enrolled: present !== undefined,
      firewall: asked.firewall,
    };
    const link = { ...shown, fqdn: facts.client.name, as: asked.as, path: linkPath(handover, secret) };
    return c.json({ ...link, facts, text: joinText(asked.as, facts) }, 201);
  },
);
