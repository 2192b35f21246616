// /config/NAME: the WireGuard file of a server or a device, whichever has the name.
import { Hono } from 'hono';
import { NotFound } from '../../model/errors.ts';
import { applicationLabel, findDevice, findServer, memberLabel } from './find.ts';
import { configOf, needs } from './http.ts';
import { peerConfig } from './peers.ts';
import type { Env } from './services.ts';

export const config = new Hono<Env>().get('/:name', needs('see'), (c) => {
  const reference = c.req.param('name');
  const options = { dns: c.req.query('dns') !== 'no' };
  const present = configOf(c);
  const server = orNull(() => findServer(present, reference));
  const device = orNull(() => findDevice(present, reference));
  const peer = server ?? device;
  if (peer === null) throw new NotFound('', `There is no server or device “${reference}”, or more than one.`);
  const name =
    server !== null
      ? `${server.label}.${applicationLabel(present, server)}`
      : `${peer.label}.${device === null ? '' : memberLabel(present, device)}.team`;
  return c.json({ id: peer.id, name, config: peerConfig(present, c.get('services'), peer, name, options) });
});

function orNull<T>(find: () => T): T | null {
  try {
    return find();
  } catch (error) {
    if (error instanceof NotFound) return null;
    throw error;
  }
}
