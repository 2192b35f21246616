// /lan: the local side, and its devices.
import { Hono } from 'hono';
import { z } from 'zod';
import { type Address, contains, nth, parseInterface, parseMac, rangeOf } from '../../model/address.ts';
import { freeAddress, freeLanAddress, identityRange } from '../../model/addressing.ts';
import {
  type Config,
  type Lan,
  type LanDevice,
  lanDevice as lanDeviceSchema,
  lan as lanSchema,
  parse,
  text,
} from '../../model/config.ts';
import { InvalidInput } from '../../model/errors.ts';
import { withoutGuest } from '../../model/uplink.ts';
import type { Transaction } from '../store/store.ts';
import { confirmed, confirmField, waiting, waitingFor } from './confirm.ts';
import { findApplication, findLanDevice } from './find.ts';
import { body, configOf, needs, removal, replaced, save, without } from './http.ts';
import type { Env, Services } from './services.ts';

/** `nothing`, `everything`, or labels of applications. */
const access = z.union([z.enum(['nothing', 'everything']), z.array(z.string())]);
const change = z.strictObject({
  confirm: confirmField,
  topology: z.enum(['router', 'beside']).optional(),
  wan: z.string().optional(),
  ports: z.array(z.string()).optional(),
  /** `192.168.66.1/24` */
  address: text(parseInterface).optional(),
  dhcp: z.strictObject({ from: z.string(), to: z.string() }).nullable().optional(),
  defaultAccess: access.optional(),
});
const addition = z.strictObject({
  label: z.string(),
  mac: z.string(),
  address: z.string().optional(),
  identity: z.string().optional(),
  access: z.union([z.literal('default'), access]).default('default'),
});
const deviceChange = addition.partial().extend({ access: addition.shape.access.unwrap().optional() });

const answer = lanSchema;
const changed = answer.extend({ confirm: waiting });
const knownDevice = lanDeviceSchema.extend({ fqdn: z.string(), hostName: z.string().nullable() });
/** One that DHCP knows and nobody has decided about. */
const strangeDevice = z.strictObject({
  ...{ id: z.null(), label: z.null(), mac: z.string(), address: z.string(), identity: z.null() },
  ...{ access: z.literal('default'), hostName: z.string() },
});
const seenDevice = z.union([knownDevice, strangeDevice]);

export const lan = new Hono<Env>()
  .get('/', needs('see', { title: 'The local side.', answer: answer.nullable() }), (c) => c.json(view(configOf(c))))
  .patch('/', needs('configure', { title: 'Change the local side.', body: change, answer: changed }), async (c) => {
    const { confirm, ...asked } = await body(c, change);
    const summary = 'LAN changed';
    const apply = (transaction: Transaction) => {
      const { config } = transaction;
      const next = parse(lanSchema, merged(config, asked)) as Lan;
      if (next.topology === 'beside') {
        throw new InvalidInput('topology', 'This release knows the topology “router” only.');
      }
      transaction.put({ ...config, lan: next });
      transaction.audit('LAN changed', { fields: Object.keys(asked) });
    };
    await save(c, { noun: 'lan', id: '', summary }, confirmed(c, confirm, summary, apply));
    return c.json({ ...view(configOf(c)), confirm: waitingFor(c.get('services')) });
  })
  .get(
    '/devices',
    needs('see', { title: 'The devices on the LAN, known and unknown.', answer: z.array(seenDevice) }),
    (c) => {
      const config = configOf(c);
      const known = new Set<string>(config.lanDevices.map(({ mac }) => mac));
      const leased = c.get('services').leased();
      return c.json([
        ...config.lanDevices.map((one) => deviceView(config, one, c.get('services'))),
        ...leased
          .filter(({ mac }) => !known.has(mac))
          .map(({ mac, address, hostName }) => ({
            id: null,
            label: null,
            mac,
            address,
            identity: null,
            access: 'default',
            hostName,
          })),
      ]);
    },
  )
  .post(
    '/devices',
    needs('name', { title: 'Approve a LAN device.', body: addition, answer: knownDevice }),
    async (c) => {
      const asked = await body(c, addition);
      const services = c.get('services');
      const id = services.newId();
      await save(c, { noun: 'lanDevices', id, summary: `LAN device ${asked.label} added` }, (transaction) => {
        const { config } = transaction;
        const one = parse(lanDeviceSchema, {
          ...asked,
          id,
          address: asked.address ?? presentAddress(config, services, asked.mac) ?? freeLanAddress(config),
          identity: asked.identity ?? freeAddress(config, identityRange(config.network)),
          access: accessIds(config, asked.access),
        }) as LanDevice;
        transaction.put({ ...config, lanDevices: [...config.lanDevices, one] });
        transaction.audit('LAN device added', { id, label: one.label, mac: one.mac });
      });
      return c.json(deviceView(configOf(c), findLanDevice(configOf(c), id), services), 201);
    },
  )
  .patch(
    '/devices/:device',
    needs('name', { title: 'Change a LAN device.', body: deviceChange, answer: knownDevice }),
    async (c) => {
      const asked = await body(c, deviceChange);
      const { id, label } = findLanDevice(configOf(c), c.req.param('device'));
      await save(c, { noun: 'lanDevices', id, summary: `LAN device ${label} changed` }, (transaction) => {
        const { config } = transaction;
        const chosen = asked.access === undefined ? {} : { access: accessIds(config, asked.access) };
        const next = parse(lanDeviceSchema, { ...findLanDevice(config, id), ...asked, ...chosen }) as LanDevice;
        transaction.put({ ...config, lanDevices: replaced(config.lanDevices, next) });
        transaction.audit('LAN device changed', { id, fields: Object.keys(asked) });
      });
      return c.json(deviceView(configOf(c), findLanDevice(configOf(c), id), c.get('services')));
    },
  )
  .delete('/devices/:device', needs('name', { title: 'Forget a LAN device.', answer: removal }), async (c) => {
    const { id, label } = findLanDevice(configOf(c), c.req.param('device'));
    await save(c, { noun: 'lanDevices', id, summary: `LAN device ${label} removed` }, (transaction) => {
      const { config } = transaction;
      const uplinks = withoutGuest(config.uplinks, id);
      transaction.put({ ...config, lanDevices: without(config.lanDevices, id), uplinks });
      transaction.audit('LAN device removed', { id, label });
    });
    return c.json({ id, removed: true });
  });

/** What is there with what was asked on top; a first LAN gets what most people would choose. */
function merged(config: Config, asked: Omit<z.infer<typeof change>, 'confirm'>): unknown {
  const { address, defaultAccess, ...rest } = asked;
  const before: Partial<Lan> = config.lan ?? { topology: 'router', ports: [], dhcp: null, defaultAccess: 'nothing' };
  const place = address === undefined ? {} : { address: address.address, range: address.range };
  const first =
    config.lan === null && address !== undefined && asked.dhcp === undefined ? { dhcp: usualPool(address) } : {};
  const chosen = defaultAccess === undefined ? {} : { defaultAccess: accessIds(config, defaultAccess) };
  return { ...before, ...first, ...rest, ...place, ...chosen };
}

/** The middle of the LAN: addresses .100 to .199 of a /24, the same part of others. */
function usualPool({
  address,
  range,
}: {
  address: Address;
  range: Lan['range'];
}): { from: Address; to: Address } | null {
  const size = Number(rangeOf(range).last - rangeOf(range).first) + 1;
  const pool = { from: nth(range, Math.floor(size * 0.4)), to: nth(range, Math.floor(size * 0.78)) };
  const inPool = rangeOf(pool.from).first <= rangeOf(address).first && rangeOf(address).first <= rangeOf(pool.to).first;
  return inPool || size < 16 ? null : pool;
}

function accessIds<T extends 'default'>(config: Config, asked: T | z.infer<typeof access>) {
  if (typeof asked === 'string') return asked;
  return asked.map((reference) => findApplication(config, reference, 'access').id);
}

/** A device that is on the LAN already keeps the address it has. */
function presentAddress(config: Config, { leased }: Services, mac: string): Address | undefined {
  const wanted = parseMacAt(mac);
  const has = leased().find((lease) => lease.mac === wanted)?.address;
  if (has === undefined || config.lan === null || !contains(config.lan.range, has)) return undefined;
  return config.lanDevices.some(({ address }) => address === has) ? undefined : has;
}

function parseMacAt(mac: string) {
  try {
    return parseMac(mac);
  } catch (error) {
    throw error instanceof InvalidInput ? error.under('mac') : error;
  }
}

function view(config: Config) {
  if (config.lan === null) return null;
  return { ...config.lan, defaultAccess: accessLabels(config, config.lan.defaultAccess) };
}

function accessLabels(config: Config, access: LanDevice['access']) {
  if (typeof access === 'string') return access;
  const labels = new Map(config.applications.map(({ id, label }) => [id, label]));
  return access.map((id) => labels.get(id) ?? id);
}

function deviceView(config: Config, one: LanDevice, { leased }: Services) {
  return {
    ...one,
    fqdn: `${one.label}.lan.${config.network.domain}`,
    access: accessLabels(config, one.access),
    hostName: leased().find(({ mac }) => mac === one.mac)?.hostName ?? null,
  };
}
