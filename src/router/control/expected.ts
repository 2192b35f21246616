// Servers and devices whose key is still to come. Each has a hand-over: a link that works once, and an address kept free.
import { z } from 'zod';
import { type Prefix, parseSource } from '../../model/address.ts';
import { assignable, deviceRange, freeAddress, takenAddresses } from '../../model/addressing.ts';
import { type Config, type Device, device, parse, type Server, server } from '../../model/config.ts';
import { Conflict, InvalidInput, NotFound } from '../../model/errors.ts';
import { sourceProblem } from '../../model/rules.ts';
import type { Transaction } from '../store/store.ts';
import { newText, type Ticket } from '../store/tickets.ts';
import type { Services } from './services.ts';

const body = z.strictObject({
  kind: z.enum(['server', 'device']),
  /** Id of the application or the member. */
  group: z.string(),
  label: device.shape.label,
  address: device.shape.address,
  presharedKey: z.boolean(),
  keepalive: server.shape.keepalive,
  /** The address a server always comes from: a rule is made for it. */
  source: z.string().nullable(),
});

/** Each keeps an address. */
const handoversInAll = 256;

export type Expected = z.infer<typeof body>;
/** Which peer is meant, whether there is one already or not. */
export type Place = Pick<Expected, 'kind' | 'group'> & { readonly label: string };

export interface Handover extends Expected {
  readonly ticket: Ticket;
}

export function handoverOf(ticket: Ticket): Handover {
  return { ...parse(body, ticket.body), ticket };
}

export function openHandovers({ store }: Pick<Services, 'store'>): readonly Handover[] {
  return store.tickets.list('handover').map(handoverOf);
}

const same = (a: Place, b: Place) => a.kind === b.kind && a.group === b.group && a.label === b.label;

export function handoverFor(services: Pick<Services, 'store'>, place: Place): Handover | undefined {
  return openHandovers(services).find((one) => same(one, place));
}

/** The server or device that has this name already. */
export function peerAt(config: Config, { kind, group, label }: Place): Server | Device | undefined {
  return kind === 'server'
    ? config.servers.find((one) => one.application === group && one.label === label)
    : config.devices.find((one) => one.member === group && one.label === label);
}

/**
 * The address for a new peer: the one asked for, the one it was promised, else the first that is free.
 * @throws InvalidInput for one that was promised to another.
 */
export function addressFor(
  services: Pick<Services, 'store'>,
  config: Config,
  place: Place,
  asked: string | undefined,
): string {
  const others = openHandovers(services).filter((one) => !same(one, place));
  const promised = others.find(({ address }) => address === asked);
  if (promised !== undefined) {
    throw new InvalidInput('address', `${asked} is kept for ${promised.label}, which is still to come.`);
  }
  if (asked !== undefined) return asked;
  const own = handoverFor(services, place)?.address;
  if (own !== undefined && !takenAddresses(config).has(own)) return own;
  return freeAddress(config, rangeOf(config, place), new Set(others.map(({ address }) => address)));
}

function rangeOf(config: Config, { kind, group }: Place) {
  if (kind === 'device') return deviceRange(config.network);
  const application = config.applications.find(({ id }) => id === group);
  if (application === undefined) throw new NotFound('application', 'There is no such application.');
  return application.range;
}

/** A peer that was added in any way needs its link no more. */
export function fulfil(transaction: Transaction, services: Pick<Services, 'store'>, place: Place): void {
  const open = handoverFor(services, place);
  if (open !== undefined) transaction.spend(open.ticket);
}

export interface Wish extends Place {
  readonly address?: string | undefined;
  readonly presharedKey: boolean;
  readonly keepalive?: number | null | undefined;
  readonly source?: Prefix | undefined;
}

/**
 * Makes the link for a peer; an earlier one for the same peer works no more. Its secret is in the answer alone.
 * @param lasts Milliseconds.
 */
export function makeHandover(
  services: Services,
  config: Config,
  { kind, group, label, presharedKey, ...wish }: Wish,
  { owner, lasts }: { readonly owner: string; readonly lasts: number },
): { readonly handover: Handover; readonly secret: string } {
  const place = { kind, group, label };
  const present = peerAt(config, place);
  const keepalive = wish.keepalive === undefined ? present?.keepalive : wish.keepalive;
  const expected = parse(body, {
    ...{ ...place, presharedKey, keepalive, source: wish.source ?? null },
    address: addressFor(services, config, place, wish.address ?? present?.address),
  });
  const within = rangeOf(config, expected);
  if (!assignable(within, expected.address)) {
    throw new InvalidInput('address', `${expected.address} is not an address for a machine inside ${within}.`);
  }
  const why = expected.source === null ? null : sourceProblem(parseSource(expected.source), config);
  if (why !== null) throw new InvalidInput('source', why);
  const taken = takenAddresses(config).get(expected.address);
  if (taken !== undefined && peerAt(config, expected)?.address !== expected.address) {
    throw new Conflict('address', `${expected.address} is in use by ${taken}.`);
  }
  const earlier = handoverFor(services, expected);
  if (earlier === undefined && openHandovers(services).length >= handoversInAll) {
    throw new Conflict('', `There are ${handoversInAll} unused links already: end some.`);
  }
  const secret = newText('handover');
  const createdAt = services.clock().wall;
  const request = { id: services.newId(), owner, body: expected, expiresAt: createdAt + lasts };
  const handover: Handover = { ...expected, ticket: { ...request, kind: 'handover', createdAt } };
  services.store.amend(owner, (amendment) => {
    if (earlier !== undefined) amendment.spend(earlier.ticket);
    amendment.issue('handover', { ...request, text: secret });
    amendment.audit('handover made', told(handover));
  });
  return { handover, secret };
}

/** What the audit log keeps of one. */
export function told({ ticket, kind, group, label, address }: Handover) {
  return { id: ticket.id, kind, group, label, address, by: ticket.owner };
}
