// /knocks: who was refused, and letting them in with one click.
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { hostPrefix, shorten } from '../../model/address.ts';
import { type Config, type Device, type Server, text } from '../../model/config.ts';
import { Conflict, NotFound } from '../../model/errors.ts';
import { type Knock, outcomeText, withServerAt } from '../../model/knock.ts';
import { defaultDuration, type LeaseWish, parseDuration, parseLeaseSource, sourceText } from '../../model/lease.ts';
import { mayAnywhere, type Scope } from '../../model/roles.ts';
import { grantLease } from '../store/grant.ts';
import { fingerprintOf, shortFingerprint } from '../store/knocks.ts';
import { addDevice, deviceAnswer } from './devices.ts';
import { findDevice, findServer, memberLabel, peerName } from './find.ts';
import { actor, body, configOf, field, needs, removal, save } from './http.ts';
import { leaseAnswer, leaseView } from './leases.ts';
import { peerOptions } from './peers.ts';
import { ruleAnswer, ruleView } from './rules.ts';
import { applicationScope, memberScope } from './scope.ts';
import { addServer, serverAnswer } from './servers.ts';
import type { Env, Services } from './services.ts';

const lease = z.strictObject({ for: text(parseDuration).default(defaultDuration) });
/** What made its key far away and has knocked knows of no preshared key. */
const options = {
  label: z.string(),
  address: peerOptions.address,
  keepalive: peerOptions.keepalive,
  presharedKey: z.boolean().default(false),
  /** Open UDP 51820 to where it knocked from as well: by a lease for a device, by a rule for a server. */
  admit: z.boolean().default(true),
};
const enrolment = z.discriminatedUnion('as', [
  z.strictObject({ as: z.literal('device'), member: z.string(), ...options }),
  z.strictObject({ as: z.literal('server'), application: z.string(), ...options }),
]);

/** As `/devices` and `/servers` answer when one is added. */
const enrolled = z.looseObject({ id: z.string(), name: z.string(), address: z.string(), config: z.string() });

const answer = z.strictObject({
  /** The fingerprint: the first 16 hexadecimal digits of the SHA-256 of the public key. */
  id: z.string(),
  kind: z.enum(['device', 'server', 'unknown', 'unreadable']),
  /** `phone.anna`, `web.shop`; null: nobody's. */
  name: z.string().nullable(),
  /** Whose device it is. */
  member: z.string().nullable(),
  fingerprint: z.string().nullable(),
  /** Of an unknown key, for those who may enrol it. */
  publicKey: z.string().nullable(),
  source: z.string(),
  port: z.int(),
  firstSeen: z.string(),
  lastSeen: z.string(),
  count: z.int(),
  clockAhead: z.boolean(),
  outcome: z.string(),
  /** The outcome in words. */
  why: z.string(),
});

export const knocks = new Hono<Env>()
  .get('/', needs('see', { title: 'Who was refused: known peers first.', answer: z.array(answer) }), (c) => {
    const mayEnrol = mayAnywhere(c.get('principal'), 'device', configOf(c));
    const list = c.get('services').knocks.list();
    return c.json(list.map((knock) => view(configOf(c), knock, mayEnrol)));
  })
  .post(
    '/:knock/lease',
    needs('lease', {
      title: 'Lease UDP 51820 to where a knock came from.',
      body: lease,
      answer: leaseAnswer,
      scope: whose,
    }),
    async (c) => {
      const asked = await body(c, lease);
      const services = c.get('services');
      const knock = findKnock(services, c.req.param('knock'));
      const member = scopeOf(configOf(c), knock.peer).member ?? null;
      checkCertain(knock);
      services.knocks.settle(knock);
      const asking = wish(c, knock, member, asked.for);
      const made = await save(
        c,
        { noun: 'leases', id: asking.id, summary: `lease for ${sourceText(asking.source)}` },
        (transaction) => grantLease(transaction, asking, services.clock()),
        'leases',
      );
      services.knocks.dismiss(knock.id);
      return c.json(leaseView(configOf(c), made, services.clock()), 201);
    },
  )
  .post(
    '/:knock/rule',
    needs('rule', { title: "Make where a server knocked from the server's rule.", answer: ruleAnswer, scope: whose }),
    async (c) => {
      const services = c.get('services');
      const knock = findKnock(services, c.req.param('knock'));
      const { peer } = knock;
      if (knock.kind !== 'server' || peer === null) {
        throw new Conflict('', 'Only a server has a rule of its own: give this a lease.');
      }
      checkCertain(knock);
      services.knocks.settle(knock);
      const source = hostPrefix(knock.source);
      const id = services.newId();
      await save(c, { noun: 'rules', id, summary: `rule for ${sourceText(source)}` }, (transaction) => {
        transaction.put(withServerAt(transaction.config, peer, source, id));
        transaction.audit('rule added', { id, source, server: peer });
      });
      services.knocks.dismiss(knock.id);
      const made = configOf(c).rules.find((one) => one.server === peer && one.source === source);
      if (made === undefined) throw new NotFound('', 'The rule is gone again.');
      return c.json(ruleView(configOf(c), made), 201);
    },
  )
  .post(
    '/:knock/enrol',
    needs('device', {
      title: 'Make an unknown key that knocked a device or a server.',
      body: enrolment,
      answer: enrolled,
      scope: whither,
    }),
    async (c) => {
      const asked = await body(c, enrolment);
      const services = c.get('services');
      const knock = findKnock(services, c.req.param('knock'));
      const { publicKey } = knock;
      if (knock.kind !== 'unknown' || publicKey === null) {
        throw new Conflict('', 'Only a key that nobody has can be enrolled.');
      }
      services.knocks.settle(knock);
      const id = services.newId();
      const editing = { noun: `${asked.as}s`, id, summary: `${asked.as} ${asked.label} added` };
      const { presharedKey } = await save(c, editing, (transaction) => {
        const { as, admit, ...fields } = asked;
        if ('application' in fields) {
          const source = admit ? hostPrefix(knock.source) : undefined;
          return addServer(transaction, services, { ...fields, publicKey, source }, id);
        }
        const made = addDevice(transaction, services, { ...fields, publicKey }, id);
        if (admit) grantLease(transaction, wish(c, knock, made.one.member, defaultDuration), services.clock());
        return made;
      });
      services.knocks.dismiss(knock.id);
      const make = asked.as === 'server' ? serverAnswer : deviceAnswer;
      return c.json(await make(services, id, presharedKey), 201);
    },
  )
  .post(
    '/:knock/forget-clock',
    needs('device', {
      title: "Take a peer's next handshake although its clock was ahead before.",
      answer: z.strictObject({ id: z.string(), forgotten: z.literal(true) }),
      scope: whoseClock,
    }),
    (c) => {
      const services = c.get('services');
      const owner = clockOwner(services, c.req.param('knock'));
      if (!services.clock().synchronised)
        throw new Conflict('', 'The hub does not know the time yet: try again later.');
      services.knocks.forgetClock(owner.publicKey);
      const id = shortFingerprint(fingerprintOf(owner.publicKey));
      services.store.record('act', [{ actor: actor(c), event: 'clock forgotten', body: { id: owner.id } }]);
      return c.json({ id, forgotten: true as const });
    },
  )
  .delete('/:knock', needs('lease', { title: 'Take a knock off the list.', answer: removal, scope: whose }), (c) => {
    const services = c.get('services');
    const { id } = findKnock(services, c.req.param('knock'));
    services.knocks.dismiss(id);
    return c.json({ id, removed: true as const });
  });

function wish(c: Context<Env>, { source }: Knock, member: string | null, duration: number): LeaseWish {
  const { newId } = c.get('services');
  const reason = 'knocked';
  return { id: newId(), source: parseLeaseSource(source), member, grantedBy: actor(c), reason, duration };
}

/** @throws Conflict where the address may be somebody else's. */
function checkCertain({ outcome }: Knock): void {
  if (outcome === 'stuck') throw new Conflict('', outcomeText.stuck);
}

/** By id, by the name of the device or server, or by the address it came from. @throws NotFound */
function findKnock({ knocks, store }: Services, reference: string): Knock {
  const all = knocks.list();
  const id = peerNamed(store.snapshot.config, reference)?.id;
  const found = all.find((one) => one.id === reference || (id !== undefined && one.peer === id));
  const from = all.filter(({ source }) => source === reference);
  const knock = found ?? (from.length === 1 ? from[0] : undefined);
  if (knock === undefined) throw new NotFound('', `There is no knock “${shorten(reference)}”.`);
  return knock;
}

function peerNamed(config: Config, reference: string): Device | Server | undefined {
  for (const find of [findDevice, findServer]) {
    try {
      return find(config, reference);
    } catch (error) {
      if (!(error instanceof NotFound)) throw error;
    }
  }
  return undefined;
}

function scopeOf({ devices, servers }: Config, peer: string | null): Scope {
  const device = devices.find(({ id }) => id === peer);
  if (device !== undefined) return { member: device.member };
  const server = servers.find(({ id }) => id === peer);
  return server === undefined ? {} : { application: server.application };
}

function whose(c: Context<Env>, config: Config): Scope {
  return scopeOf(config, findKnock(c.get('services'), c.req.param('knock') ?? '').peer);
}

/** Whose it becomes. An admin of an application adds servers there as he does devices for himself. */
async function whither(c: Context<Env>, config: Config): Promise<Scope> {
  return (await field(c, 'as')) === 'server' ? applicationScope(c, config) : memberScope(c, config);
}

/** A peer by name, listed or not, or a listed one. @throws NotFound */
function clockOwner(services: Services, reference: string): Device | Server {
  const { config } = services.store.snapshot;
  const named = peerNamed(config, reference);
  if (named !== undefined) return named;
  const { peer } = findKnock(services, reference);
  const listed = [...config.devices, ...config.servers].find(({ id }) => id === peer);
  if (listed === undefined) throw new NotFound('', 'Only the clock of a device or server can be forgotten.');
  return listed;
}

function whoseClock(c: Context<Env>, config: Config): Scope {
  return scopeOf(config, clockOwner(c.get('services'), c.req.param('knock') ?? '').id);
}

function view(config: Config, knock: Knock, mayEnrol: boolean) {
  const { id, kind, peer, publicKey, source, port, firstSeen, lastSeen, count, clockAhead, outcome } = knock;
  const device = config.devices.find((one) => one.id === peer);
  const server = config.servers.find((one) => one.id === peer);
  const nameOf = () => {
    if (device !== undefined) return `${device.label}.${memberLabel(config, device)}`;
    return server === undefined ? null : peerName(config, server);
  };
  return {
    ...{ id, kind, name: nameOf() },
    member: config.members.find((one) => one.id === device?.member)?.name ?? null,
    fingerprint: kind === 'unreadable' ? null : id,
    publicKey: kind === 'unknown' && mayEnrol ? publicKey : null,
    ...{ source, port },
    firstSeen: new Date(firstSeen).toISOString(),
    lastSeen: new Date(lastSeen).toISOString(),
    ...{ count, clockAhead, outcome, why: outcomeText[outcome] },
  };
}
