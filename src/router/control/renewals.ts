// POST /leases/…/renew: a lease goes on; /leases/renew from inside the tunnel renews the one that the asking device came in by.
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { type Address, contains, prefixLength } from '../../model/address.ts';
import { type Device, type Member, text } from '../../model/config.ts';
import { door } from '../../model/door.ts';
import { Conflict, Forbidden } from '../../model/errors.ts';
import {
  defaultDuration,
  type Lease,
  parseDuration,
  remaining,
  renewed,
  sourceText,
  stateOf,
} from '../../model/lease.ts';
import { may } from '../../model/roles.ts';
import { actor, body, clientAddress, configOf, needs, save } from './http.ts';
import { findLeases, leaseAnswer, leaseView, whose } from './leases.ts';
import type { Env } from './services.ts';

const renewal = z.strictObject({ for: text(parseDuration).default(defaultDuration) });
const answer = z.strictObject({ renewed: z.array(leaseAnswer) });

/** Milliseconds. A lease that was renewed so shortly before is as good as renewed: asking again writes nothing. */
const justNow = 60_000;

export const renewals = new Hono<Env>()
  .post(
    '/renew',
    // The tunnel proves which device asks: nobody else has its address.
    needs('open', {
      title: 'Renew the lease that this device comes in by, from inside the tunnel.',
      body: renewal,
      answer,
    }),
    async (c) => {
      const { device, member } = insider(c);
      const asked = await body(c, renewal);
      const lease = await ownLease(c, device);
      const left = remaining(lease, c.get('services').clock());
      if (left === null || left < asked.for - justNow) await renew(c, [lease], asked.for, member.id);
      return c.json(answered(c, [lease]));
    },
  )
  .post(
    '/:lease{.+}/renew',
    needs('lease', { title: 'Renew a lease, by id or source.', body: renewal, answer, scope: whose }),
    async (c) => {
      const asked = await body(c, renewal);
      const chosen = findLeases(c.get('services'), c.req.param('lease'));
      await renew(c, chosen, asked.for, actor(c));
      return c.json(answered(c, chosen));
    },
  );

async function renew(c: Context<Env>, chosen: readonly Lease[], duration: number, by: string): Promise<void> {
  const now = c.get('services').clock();
  const names = chosen.map(({ source }) => sourceText(source)).join(', ');
  await save(
    c,
    { noun: 'leases', id: chosen[0]?.id ?? '', summary: `lease for ${names} renewed`, actor: by },
    (transaction) => {
      for (const lease of chosen) {
        const next = renewed(lease, duration, by, now);
        transaction.putLease(next);
        const { id, source, member, remaining: milliseconds } = next;
        transaction.audit('lease renewed', { id, source, member, milliseconds });
      }
    },
    'leases',
  );
}

function answered(c: Context<Env>, chosen: readonly Lease[]): z.infer<typeof answer> {
  const { store, clock } = c.get('services');
  const ids = new Set(chosen.map(({ id }) => id));
  const present = store.snapshot.leases.filter(({ id }) => ids.has(id));
  return { renewed: present.map((lease) => leaseView(configOf(c), lease, clock())) };
}

/** The device that asks, and its member, who has to be one that could lease for himself. @throws Forbidden */
function insider(c: Context<Env>): { readonly device: Device; readonly member: Member } {
  const config = configOf(c);
  const from = clientAddress(c);
  const device = config.devices.find(({ address }) => address === from);
  const member = config.members.find(({ id }) => id === device?.member);
  const self = member === undefined ? null : ({ kind: 'member', id: member.id } as const);
  if (
    device === undefined ||
    member === undefined ||
    self === null ||
    !may(self, 'lease', { member: self.id }, config)
  ) {
    throw new Forbidden('Ask for this from inside the tunnel, with a device of yours.');
  }
  return { device, member };
}

/**
 * The lease that the device's packets come in by: one of its member's own, else one for exactly its address that is for
 * nobody in particular. The narrowest, and of several the one that lasts longest.
 * @throws Conflict when it needs none, or has none that it may renew.
 */
async function ownLease(c: Context<Env>, device: Device): Promise<Lease> {
  const { store, tunnel, clock } = c.get('services');
  const now = clock();
  const { config, leases } = store.snapshot;
  const endpoint = (await tunnel()).peers.get(device.publicKey)?.endpoint?.address;
  if (endpoint === undefined)
    throw new Conflict('', 'The tunnel does not say where this device comes from: try again.');
  const by = door(config, leases, now, endpoint).by;
  if (by === 'LAN') throw new Conflict('', 'This device is at home, where no lease is needed.');
  if (by === 'rule') throw new Conflict('', `A rule lets ${endpoint} in: it does not end.`);
  const [best] = leases
    .filter((lease) => stateOf(lease, now) !== 'expired' && contains(lease.source, endpoint))
    .filter((lease) => lease.member === device.member || (lease.member === null && isExact(lease, endpoint)))
    .sort((a, b) => prefixLength(b.source) - prefixLength(a.source) || b.expiresAt - a.expiresAt);
  if (best === undefined) throw new Conflict('', `The lease for ${endpoint} is not yours: ask whoever granted it.`);
  return best;
}

/** One address, or the /64 that stands for an IPv6 one. */
function isExact({ source }: Lease, address: Address): boolean {
  return prefixLength(source) >= (address.includes(':') ? 64 : 32);
}
