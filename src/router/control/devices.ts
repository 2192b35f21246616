// /devices: members' laptops and phones.
import { Hono } from 'hono';
import { z } from 'zod';
import { deviceRange, freeAddress } from '../../model/addressing.ts';
import { type Config, type Device, device as deviceSchema, parse } from '../../model/config.ts';
import { findDevice, findMember, memberLabel } from './find.ts';
import { body, configOf, needs, replaced, save, without } from './http.ts';
import { addPresharedKey, findDamaged, livePeer, peerConfig } from './peers.ts';
import type { Env, LiveTunnel } from './services.ts';

const addition = z.strictObject({
  member: z.string(),
  label: z.string(),
  publicKey: z.string(),
  address: z.string().optional(),
  presharedKey: z.boolean().default(false),
});
const change = z.strictObject({
  label: z.string().optional(),
  publicKey: z.string().optional(),
  address: z.string().optional(),
});

export const devices = new Hono<Env>()
  .get('/', needs('see'), async (c) => {
    const tunnel = await c.get('services').tunnel();
    return c.json(configOf(c).devices.map((one) => view(configOf(c), one, tunnel, c.get('services').clock().wall)));
  })
  .post('/', needs('manage'), async (c) => {
    const asked = await body(c, addition);
    const services = c.get('services');
    const id = services.newId();
    const made = await save(c, { noun: 'devices', id, summary: `device ${asked.label} added` }, (transaction) => {
      const { config } = transaction;
      const member = findMember(config, asked.member, 'member');
      const key = asked.presharedKey ? addPresharedKey(transaction, services) : null;
      const one = parse(deviceSchema, {
        id,
        member: member.id,
        label: asked.label,
        publicKey: asked.publicKey,
        address: asked.address ?? freeAddress(config, deviceRange(config.network)),
        presharedKey: key?.id ?? null,
      }) as Device;
      transaction.put({ ...config, devices: [...config.devices, one] });
      transaction.audit('device added', { id, member: member.id, label: one.label, address: one.address });
      return { presharedKey: key?.text ?? null };
    });
    const config = configOf(c);
    const one = findDevice(config, id);
    const file = peerConfig(config, services, one, nameOf(config, one), made);
    return c.json({ ...view(config, one, await services.tunnel(), services.clock().wall), ...made, config: file }, 201);
  })
  .patch('/:device', needs('manage'), async (c) => {
    const asked = await body(c, change);
    const { id, label } = findDevice(configOf(c), c.req.param('device'));
    await save(c, { noun: 'devices', id, summary: `device ${label} changed` }, (transaction) => {
      const { config } = transaction;
      const next = parse(deviceSchema, { ...findDevice(config, id), ...asked }) as Device;
      transaction.put({ ...config, devices: replaced(config.devices, next) });
      transaction.audit('device changed', { id, fields: Object.keys(asked) });
    });
    const { tunnel, clock } = c.get('services');
    return c.json(view(configOf(c), findDevice(configOf(c), id), await tunnel(), clock().wall));
  })
  .delete('/:device', needs('manage'), async (c) => {
    const reference = c.req.param('device');
    const damaged = findDamaged(c.get('services'), 'devices', reference);
    const { id, label } = damaged ?? findDevice(configOf(c), reference);
    await save(c, { noun: 'devices', id, summary: `device ${label} removed` }, (transaction) => {
      const { config } = transaction;
      if (damaged !== undefined) transaction.dropDamaged(id);
      transaction.put({ ...config, devices: without(config.devices, id) });
      transaction.audit('device removed', { id, label });
    });
    return c.json({ id, removed: true });
  });

function nameOf(config: Config, one: Device): string {
  return `${one.label}.${memberLabel(config, one)}.team`;
}

function view(config: Config, one: Device, tunnel: LiveTunnel, wall: number) {
  const name = nameOf(config, one);
  return {
    id: one.id,
    name,
    fqdn: `${name}.${config.network.domain}`,
    member: config.members.find(({ id }) => id === one.member)?.name ?? '',
    label: one.label,
    address: one.address,
    publicKey: one.publicKey,
    hasPresharedKey: one.presharedKey !== null,
    ...livePeer(tunnel, one, wall),
  };
}
