// /devices: members' laptops and phones.
import { Hono } from 'hono';
import { z } from 'zod';
import { type Config, type Device, device as deviceSchema, parse } from '../../model/config.ts';
import type { Transaction } from '../store/store.ts';
import { addressFor, fulfil, handoverFor } from './expected.ts';
import { findDevice, findMember } from './find.ts';
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
import { deviceScope, memberScope } from './scope.ts';
import type { Env, LiveTunnel, Services } from './services.ts';

const addition = z.strictObject({ member: z.string(), label: z.string(), publicKey: z.string(), ...peerOptions });
const answer = z.strictObject({ ...peerShape, member: z.string() });
/** As long as it is shown this once. */
export const deviceMade = answer.extend(secretShape);
export type DeviceAddition = z.input<typeof addition>;

export const devices = new Hono<Env>()
  .get('/', needs('see', { title: "The members' devices.", answer: z.array(answer) }), async (c) => {
    const tunnel = await c.get('services').tunnel();
    return c.json(configOf(c).devices.map((one) => view(configOf(c), one, tunnel, c.get('services').clock().wall)));
  })
  .post(
    '/',
    needs('device', { title: 'Add a device.', body: addition, answer: deviceMade, scope: memberScope }),
    async (c) => {
      const asked = await body(c, addition);
      const services = c.get('services');
      const id = services.newId();
      const { presharedKey } = await save(
        c,
        { noun: 'devices', id, summary: `device ${asked.label} added` },
        (transaction) => addDevice(transaction, services, asked, id),
      );
      return c.json(await deviceAnswer(services, id, presharedKey), 201);
    },
  )
  .patch(
    '/:device',
    needs('device', { title: 'Change a device.', body: peerChange, answer, scope: deviceScope }),
    async (c) => {
      const asked = await body(c, peerChange);
      const { id, label } = findDevice(configOf(c), c.req.param('device'));
      await save(c, { noun: 'devices', id, summary: `device ${label} changed` }, (transaction) => {
        const { config } = transaction;
        const next = parse(deviceSchema, { ...findDevice(config, id), ...asked }) as Device;
        transaction.put({ ...config, devices: replaced(config.devices, next) });
        transaction.audit('device changed', { id, fields: Object.keys(asked) });
      });
      const { tunnel, clock } = c.get('services');
      return c.json(view(configOf(c), findDevice(configOf(c), id), await tunnel(), clock().wall));
    },
  )
  .post(
    '/:device/rotate',
    needs('device', {
      title: 'Give a device a new key; the old one is dead at once.',
      body: rotation,
      answer: deviceMade,
      scope: deviceScope,
    }),
    async (c) => {
      const asked = await body(c, rotation);
      const services = c.get('services');
      const { id, label } = findDevice(configOf(c), c.req.param('device'));
      const { presharedKey } = await save(
        c,
        { noun: 'devices', id, summary: `key of device ${label} changed` },
        (transaction) => rotateDevice(transaction, services, id, asked),
      );
      return c.json(await deviceAnswer(services, id, presharedKey));
    },
  )
  .delete(
    '/:device',
    needs('device', { title: 'Remove a device.', answer: removal, scope: deviceScope }),
    async (c) => {
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
    },
  );

/**
 * Adds a device within a save. A key that was made far away and has knocked knows of no preshared key: false then.
 * @returns the text of the preshared key, to be shown once.
 */
export function addDevice(
  transaction: Transaction,
  services: Services,
  asked: DeviceAddition,
  id: string = services.newId(),
): { readonly one: Device; readonly presharedKey: string | null } {
  const { config } = transaction;
  const member = findMember(config, asked.member, 'member');
  const place = { kind: 'device', group: member.id, label: asked.label } as const;
  const expected = handoverFor(services, place);
  const key = (asked.presharedKey ?? expected?.presharedKey ?? true) ? addPresharedKey(transaction, services) : null;
  const one = parse(deviceSchema, {
    id,
    member: member.id,
    label: asked.label,
    publicKey: asked.publicKey,
    address: addressFor(services, config, place, asked.address),
    presharedKey: key?.id ?? null,
    keepalive: asked.keepalive === undefined ? expected?.keepalive : asked.keepalive,
  }) as Device;
  transaction.put({ ...config, devices: [...config.devices, one] });
  fulfil(transaction, services, place);
  transaction.audit('device added', { id, member: member.id, label: one.label, address: one.address });
  return { one, presharedKey: key?.text ?? null };
}

/** Gives it a new key within a save. */
export function rotateDevice(
  transaction: Transaction,
  services: Services,
  id: string,
  asked: z.infer<typeof rotation>,
): { readonly presharedKey: string | null } {
  const { config } = transaction;
  const before = findDevice(config, id);
  const { fields, presharedKey } = rotated(transaction, services, before, asked);
  const next = parse(deviceSchema, { ...before, ...fields }) as Device;
  transaction.put({ ...config, devices: replaced(config.devices, next) });
  fulfil(transaction, services, { kind: 'device', group: before.member, label: before.label });
  transaction.audit('device key changed', { id, label: before.label });
  return { presharedKey };
}

/** The one answer that shows the preshared key, with the file that it belongs to. */
export async function deviceAnswer(services: Services, id: string, presharedKey: string | null) {
  const { config } = services.store.snapshot;
  const one = findDevice(config, id);
  const file = peerFile(config, services, one, { presharedKey });
  return { ...view(config, one, await services.tunnel(), services.clock().wall), presharedKey, ...file };
}

function view(config: Config, one: Device, tunnel: LiveTunnel, wall: number) {
  const member = config.members.find(({ id }) => id === one.member)?.name ?? '';
  return { ...peerView(config, one, tunnel, wall), member };
}
