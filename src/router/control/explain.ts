// /explain: whether a connection is allowed, why or why not, and whether its source is let in from outside at all.
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { type Address, contains, parseAddress } from '../../model/address.ts';
import type { Config } from '../../model/config.ts';
import { door } from '../../model/door.ts';
import { InvalidInput } from '../../model/errors.ts';
import { explain, findMachine, type Machine } from '../../model/explain.ts';
import { configOf, needs } from './http.ts';
import type { Env } from './services.ts';

const answer = z.strictObject({
  allowed: z.boolean(),
  source: z.string(),
  destination: z.string(),
  /** The grants that allow it. */
  because: z.array(z.looseObject({ kind: z.string() })),
  /** One sentence for people. */
  message: z.string(),
  /** Of a source with a tunnel: whether UDP 51820 is open to where it comes from; null: nobody knows from where. */
  door: z
    .strictObject({
      address: z.string(),
      open: z.boolean(),
      by: z.enum(['LAN', 'rule', 'lease']).nullable(),
      /** Seconds until a lease shuts it. */
      seconds: z.int().nullable(),
      message: z.string(),
    })
    .nullable(),
});

export const explanations = new Hono<Env>().get(
  '/',
  needs('see', {
    title: 'Why a connection is allowed or not.',
    query: {
      source: 'a name or an address',
      destination: 'a name or an address',
      port: '`443`, `53/udp`',
      from: 'the address outside that the source comes from; left out: where it is now',
    },
    answer,
  }),
  async (c) => {
    const config = configOf(c);
    const leased = c.get('services').leased();
    const source = machine(config, 'source', c.req.query('source') ?? '');
    const destination = machine(config, 'destination', c.req.query('destination') ?? '');
    const said = explain(config, leased, source, destination, port(c.req.query('port') ?? ''));
    return c.json({ ...said, door: await doorOf(c, config, source) });
  },
);

async function doorOf(c: Context<Env>, config: Config, source: Machine): Promise<z.infer<typeof answer>['door']> {
  const { tunnel, store, clock } = c.get('services');
  const asked = c.req.query('from');
  const peer = [...config.servers, ...config.devices].find(({ address }) => address === source.address);
  const given = asked === undefined ? null : parse(asked);
  if (peer === undefined) return null;
  const outside = given ?? (await tunnel()).peers.get(peer.publicKey)?.endpoint?.address;
  if (outside === undefined) return null;
  const { address, open, by, left } = door(config, store.snapshot.leases, clock(), outside);
  const seconds = left === null ? null : Math.ceil(left / 1000);
  return { address, open, by, seconds, message: `${source.name} ${words(by)} ${address}.` };
}

function words(by: 'LAN' | 'rule' | 'lease' | null): string {
  switch (by) {
    case 'LAN':
      return 'is at home, where nothing is shut:';
    case 'rule':
      return 'is let in by a rule for';
    case 'lease':
      return 'is let in by a lease for';
    case null:
      return 'is refused: there is neither a lease nor a rule for';
  }
}

function parse(text: string): Address {
  try {
    return parseAddress(text);
  } catch (error) {
    throw error instanceof InvalidInput ? error.under('from') : error;
  }
}

/** Somebody the configuration knows, or an address that belongs to nobody. */
function machine(config: Config, path: 'source' | 'destination', reference: string): Machine {
  const known = findMachine(config, reference, path);
  if (known !== null) return known;
  let address: Address;
  try {
    address = parseAddress(reference);
  } catch {
    throw new InvalidInput(path, `“${reference.slice(0, 60)}” is neither an address nor a name the hub knows.`);
  }
  if (address === config.lan?.address) return { kind: 'hub', name: 'hub', address };
  if (config.lan !== null && contains(config.lan.range, address)) return { kind: 'LAN device', name: address, address };
  return { kind: 'unknown', name: address, address };
}

function port(text: string): string {
  const match = /^(\d{1,5})(\/(tcp|udp))?$/.exec(text);
  if (text === '') return '';
  if (match === null || Number(match[1]) > 65535 || Number(match[1]) === 0) {
    throw new InvalidInput('port', 'A port is a number from 1 to 65535, with /tcp or /udp if you like.');
  }
  return text;
}
