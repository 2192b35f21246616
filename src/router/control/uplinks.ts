// /uplinks: other networks that this hub is a machine of, made of the files they hand out.
import type { Context } from 'hono';
import { Hono } from 'hono';
import { z } from 'zod';
import { type Config, parse, type Uplink, uplink as uplinkSchema } from '../../model/config.ts';
import { InvalidInput } from '../../model/errors.ts';
import type { PresharedKey } from '../../model/key.ts';
import { problems } from '../../model/rules.ts';
import { difference, freeDevice, fromFile } from '../../model/uplink.ts';
import { wanProblems } from '../../model/uplink-rules.ts';
import {
  type FilePeer,
  longestFile,
  parseWireguardFile,
  placeOf,
  type WireguardFile,
} from '../../model/wireguard-file.ts';
import type { Transaction } from '../store/store.ts';
import { findApplication, findLanDevice, findMember, findUplink } from './find.ts';
import { body, configOf, needs, removal, replaced, save, without } from './http.ts';
import { findDamaged } from './peers.ts';
import type { Env, Services } from './services.ts';
import { answer, differenceView, preview, summary, view } from './uplink-view.ts';

/** Every character may be written as an escape of two. */
const largest = 2 * longestFile + 64 * 1024;

const access = z.strictObject({
  lan: z.union([z.enum(['nothing', 'everyone']), z.array(z.string())]).optional(),
  members: z.array(z.string()).optional(),
  applications: z.array(z.string()).optional(),
});
const file = z.strictObject({ file: z.string() });
const addition = file.extend({ label: z.string(), access: access.default({}) });
/** `uplink`: compare with this one, instead of looking whether it can be added. */
const look = file.extend({ uplink: z.string().optional() });
const change = z.strictObject({
  label: z.string().optional(),
  access: access.optional(),
  /** New names of peers, each known by its public key, its name or an address. */
  names: z.array(z.strictObject({ peer: z.string(), label: z.string().nullable() })).optional(),
});

const nobody: Uplink['access'] = { lan: 'nothing', members: [], applications: [] };

export const uplinks = new Hono<Env>()
  .get('/', needs('see', { title: 'The uplinks.', answer: z.array(answer) }), async (c) => {
    const services = c.get('services');
    const tunnel = await services.tunnel();
    return c.json(configOf(c).uplinks.map((one) => view(configOf(c), one, tunnel, services.clock().wall)));
  })
  .get('/:uplink', needs('see', { title: 'One uplink.', answer }), async (c) =>
    c.json(await shown(c, findUplink(configOf(c), c.req.param('uplink')).id)),
  )
  .post(
    '/',
    needs('configure', { title: 'Add an uplink of a WireGuard file.', body: addition, answer, largest }),
    async (c) => {
      const asked = await body(c, addition);
      const services = c.get('services');
      const id = services.newId();
      await placed(parseWireguardFile(asked.file), (read) =>
        save(c, { noun: 'uplinks', id, summary: `uplink ${asked.label} added` }, (transaction) => {
          const { config } = transaction;
          const made = candidate(services, read, null, {
            ...{ id, label: asked.label, device: freeDevice(config), access: accessIds(config, asked.access, nobody) },
          });
          putKeys(transaction, made, read);
          transaction.put({ ...config, uplinks: [...config.uplinks, made.uplink] });
          transaction.audit('uplink added', { id, label: made.uplink.label, peers: made.uplink.peers.length });
        }),
      );
      return c.json(await shown(c, id), 201);
    },
  )
  .post(
    '/preview',
    needs('configure', { title: 'What a file would add or change.', body: look, answer: preview, largest }),
    async (c) => {
      const asked = await body(c, look);
      const services = c.get('services');
      const config = configOf(c);
      const before = asked.uplink === undefined ? null : findUplink(config, asked.uplink, 'uplink');
      const read = parseWireguardFile(asked.file);
      const after = await placed(read, () => {
        const { uplink } = candidate(
          services,
          read,
          before,
          before ?? {
            ...{ id: 'preview', label: 'preview', device: freeDevice(config), access: nobody },
          },
        );
        const list = before === null ? [...config.uplinks, uplink] : replaced(config.uplinks, uplink);
        const wrong = problems({ ...config, uplinks: list }, services).find(
          ({ noun, id, field }) => noun === 'uplinks' && id === uplink.id && field !== 'label',
        );
        if (wrong !== undefined) throw new InvalidInput(wrong.field, wrong.message);
        return uplink;
      });
      const differs = before === null ? null : differenceView(difference(before, after));
      return c.json({ ...summary(config, after), difference: differs });
    },
  )
  .put(
    '/:uplink/file',
    needs('configure', {
      title: 'Take the newer file of the same network; peers it leaves alone keep their sessions.',
      ...{ body: file, answer: answer.extend({ difference: preview.shape.difference }), largest },
    }),
    async (c) => {
      const asked = await body(c, file);
      const services = c.get('services');
      const before = findUplink(configOf(c), c.req.param('uplink'));
      const { id, label } = before;
      const differs = await placed(parseWireguardFile(asked.file), (read) =>
        save(c, { noun: 'uplinks', id, summary: `newer file of the uplink ${label}` }, (transaction) => {
          const { config } = transaction;
          const now = findUplink(config, id);
          const made = candidate(services, read, now, now);
          putKeys(transaction, made, read);
          transaction.put({ ...config, uplinks: replaced(config.uplinks, made.uplink) });
          const found = difference(now, made.uplink);
          const count = { added: found.added.length, removed: found.removed.length, changed: found.changed.length };
          transaction.audit('uplink file changed', { id, label, fields: found.fields, ...count });
          return found;
        }),
      );
      return c.json({ ...(await shown(c, id)), difference: differenceView(differs) });
    },
  )
  .patch('/:uplink', needs('configure', { title: 'Change an uplink.', body: change, answer }), async (c) => {
    const asked = await body(c, change);
    const { id, label } = findUplink(configOf(c), c.req.param('uplink'));
    await save(c, { noun: 'uplinks', id, summary: `uplink ${label} changed` }, (transaction) => {
      const { config } = transaction;
      const before = findUplink(config, id);
      const next = parse(uplinkSchema, {
        ...before,
        label: asked.label ?? before.label,
        access: accessIds(config, asked.access ?? {}, before.access),
        peers: renamed(before, asked.names ?? []),
      }) as Uplink;
      transaction.put({ ...config, uplinks: replaced(config.uplinks, next) });
      transaction.audit('uplink changed', { id, fields: Object.keys(asked) });
    });
    return c.json(await shown(c, id));
  })
  .delete('/:uplink', needs('configure', { title: 'Remove an uplink.', answer: removal }), async (c) => {
    const reference = c.req.param('uplink');
    const damaged = findDamaged(c.get('services'), 'uplinks', reference);
    const { id, label } = damaged ?? findUplink(configOf(c), reference);
    await save(c, { noun: 'uplinks', id, summary: `uplink ${label} removed` }, (transaction) => {
      const { config } = transaction;
      if (damaged !== undefined) transaction.dropDamaged(id);
      transaction.put({ ...config, uplinks: without(config.uplinks, id) });
      transaction.audit('uplink removed', { id, label });
    });
    return c.json({ id, removed: true });
  });

async function shown(c: Context<Env>, id: string) {
  const { tunnel, clock } = c.get('services');
  return view(configOf(c), findUplink(configOf(c), id), await tunnel(), clock().wall);
}

interface Candidate {
  readonly uplink: Uplink;
  /** Preshared keys that are not among the secrets yet. */
  readonly newKeys: ReadonlyMap<string, PresharedKey>;
}

/** What the file makes of the uplink. Keys that stay the same keep their place, so that nothing about them changes. */
function candidate(
  { store, newId, publicKeyOf, portAddresses }: Services,
  read: WireguardFile,
  before: Uplink | null,
  rest: Pick<Uplink, 'id' | 'device' | 'access'> & { readonly label: string },
): Candidate {
  const { config, presharedKeys } = store.snapshot;
  const kept = new Map(before?.peers.map((peer) => [peer.publicKey, peer.presharedKey]));
  const newKeys = new Map<string, PresharedKey>();
  const placeOfKey = ({ publicKey, presharedKey }: FilePeer) => {
    if (presharedKey === null) return null;
    const old = kept.get(publicKey) ?? null;
    if (old !== null && presharedKeys.get(old)?.equals(presharedKey) === true) return old;
    const id = newId();
    newKeys.set(id, presharedKey);
    return id;
  };
  const { id, label, device, access: who } = rest;
  const uplink = parse(uplinkSchema, {
    ...{ id, label, device, access: who, publicKey: publicKeyOf(read.privateKey) },
    ...fromFile(read, placeOfKey, before, config),
  }) as Uplink;
  const [wrong] = wanProblems(uplink, config.lan === null ? [] : portAddresses(config.lan.wan));
  if (wrong !== undefined) throw new InvalidInput(wrong.field, wrong.message);
  return { uplink, newKeys };
}

function putKeys(transaction: Transaction, { uplink, newKeys }: Candidate, { privateKey }: WireguardFile): void {
  transaction.putUplinkKey(uplink.id, privateKey);
  for (const [id, key] of newKeys) transaction.putPresharedKey(id, key);
}

const ofFile = /^(address|mtu|dns|publicKey|peers)(\.|$)/;

/** What is wrong with a field that a line of the file says is told with that line. */
async function placed<T>(read: WireguardFile, work: (read: WireguardFile) => T | Promise<T>): Promise<T> {
  try {
    return await work(read);
  } catch (error) {
    if (!(error instanceof InvalidInput) || !ofFile.test(error.path)) throw error;
    throw new InvalidInput(placeOf(read, error.path), error.message);
  }
}

function accessIds(config: Config, asked: z.infer<typeof access>, before: Uplink['access']): Uplink['access'] {
  const { lan, members, applications } = asked;
  const ids = <T extends { readonly id: string }>(names: readonly string[], find: (name: string) => T) => [
    ...new Set(names.map((name) => find(name).id)),
  ];
  return {
    lan: Array.isArray(lan) ? ids(lan, (name) => findLanDevice(config, name, 'access.lan')) : (lan ?? before.lan),
    members:
      members === undefined ? before.members : ids(members, (name) => findMember(config, name, 'access.members')),
    applications:
      applications === undefined
        ? before.applications
        : ids(applications, (name) => findApplication(config, name, 'access.applications')),
  };
}

function renamed({ peers }: Uplink, names: readonly { readonly peer: string; readonly label: string | null }[]) {
  const labels = new Map<string, string | null>();
  for (const [i, { peer: reference, label }] of names.entries()) {
    const found = peers.find(
      ({ publicKey, label: old, allowedIps }) =>
        publicKey === reference || old === reference || allowedIps.some((one) => one === `${reference}/32`),
    );
    if (found === undefined) throw new InvalidInput(`names.${i}.peer`, 'The uplink has no such peer.');
    labels.set(found.publicKey, label);
  }
  return peers.map((peer) => {
    const label = labels.get(peer.publicKey);
    return label === undefined ? peer : { ...peer, label };
  });
}
