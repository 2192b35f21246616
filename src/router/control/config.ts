// /config/NAME: the WireGuard file of a server or a device, whichever has the name.
import { Hono } from 'hono';
import { z } from 'zod';
import { Forbidden, NotFound } from '../../model/errors.ts';
import { may } from '../../model/roles.ts';
import { findDevice, findServer, orNull, peerName } from './find.ts';
import { configOf, needs } from './http.ts';
import { fileShape, peerFile } from './peers.ts';
import type { Env } from './services.ts';

const answer = z.strictObject({ id: z.string(), name: z.string(), ...fileShape });

export const config = new Hono<Env>().get(
  '/:name',
  needs('see', {
    title: 'The WireGuard file of a server or a device, without its private key.',
    answer,
    query: { dns: '`no`: without the DNS line.' },
  }),
  (c) => {
    const reference = c.req.param('name');
    const options = { dns: c.req.query('dns') !== 'no' };
    const present = configOf(c);
    const server = orNull(() => findServer(present, reference));
    const device = server === null ? orNull(() => findDevice(present, reference)) : null;
    const peer = server ?? device;
    if (peer === null) throw new NotFound('', `There is no server or device “${reference}”, or more than one.`);
    const principal = c.get('principal');
    const own = principal.kind === 'member' && principal.id === device?.member;
    if (device !== null && !own && !may(principal, 'device', { member: device.member }, present)) {
      throw new Forbidden('You may not do this.');
    }
    const name = peerName(present, peer);
    return c.json({ id: peer.id, name, ...peerFile(present, c.get('services'), peer, options) });
  },
);
