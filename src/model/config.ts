// The configuration: what people asked for, one declaration per field. Secrets are never part of it.
import { z } from 'zod';
import { parseAddress, parseMac, parsePrefix } from './address.ts';
import { InvalidInput } from './errors.ts';
import { parsePublicKey } from './key.ts';
import { parseDisplayName, parseDomainName, parseFreeLabel, parseLabel, parseSearchDomain } from './name.ts';

/** Turns a parser of ours into a schema: text in, branded value out, its message at its field. */
export function text<T>(parse: (text: string) => T) {
  return z.string().transform((value, context): T => {
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof InvalidInput)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
      return z.NEVER;
    }
  });
}

/** IPv4 only: the inside of an APN is IPv4. */
function ipv4<T extends string>(parse: (text: string) => T) {
  return text((value) => {
    const parsed = parse(value);
    if (parsed.includes(':')) throw new InvalidInput('', `${parsed} is IPv6: the network inside is IPv4.`);
    return parsed;
  });
}

const id = z.string().regex(/^[a-z0-9]{4,32}$/, 'not an id');

/** A network interface's name as the kernel allows it (IFNAMSIZ 16 with the final zero), without shell or nft surprises. */
export const interfaceName = z.string().regex(/^[a-z][a-z0-9_.-]{0,14}$/, 'not the name of a network port');

/** A host name or address people dial; never used to look anything up in the router itself. */
export const endpointHost = text((value) => {
  if (value.includes(':') || /^[\d.]+$/.test(value)) return parseAddress(value);
  if (value.length > 253) throw new InvalidInput('', 'This host name is too long.');
  for (const label of value.split('.')) parseLabel(label);
  return value;
});

export const roles = ['viewer', 'developer', 'admin', 'owner'] as const;
export const role = z.enum(roles);
export const leasePolicy = z.enum(['ask', 'auto', 'never']);

/** What a LAN device may reach: nothing, every application, or some. */
export const access = z.union([z.enum(['nothing', 'everything']), z.array(id)]);

export const network = z.strictObject({
  /** The whole APN; applications' ranges, devices and LAN identities are parts of it. */
  range: ipv4(parsePrefix),
  domain: z.literal('apn'),
  /** Where clients find the hub from outside; null until it is known. */
  endpoint: z.strictObject({ host: endpointHost, port: z.int().min(1).max(65535) }).nullable(),
});

export const application = z.strictObject({
  id,
  label: text(parseFreeLabel),
  range: ipv4(parsePrefix),
  /** Applications whose servers this one's servers may reach. */
  links: z.array(id),
});

const peer = {
  label: text(parseLabel),
  address: ipv4(parseAddress),
  publicKey: text(parsePublicKey),
  /** Names the peer's preshared key among the secrets; null: it has none. */
  presharedKey: id.nullable(),
  /** Seconds between signs of life, which keep a NAT's mapping open; null: none, for a machine with a public address. */
  keepalive: z.int().min(1).max(65535).nullable().default(25),
};

export const server = z.strictObject({
  id,
  application: id,
  ...peer,
  /** Its rule moves by itself to the address that it knocks from. */
  follow: z.boolean().default(false),
});

export const member = z.strictObject({
  id,
  name: text(parseDisplayName),
  /** Part of its devices' DNS names: `laptop.<label>.team`. */
  label: text(parseLabel),
  /** For everything that no entry of `access` says otherwise. */
  role,
  /** Application id → role there. */
  access: z.record(id, role),
  leasePolicy,
  /** On the road: as if the policy were `auto`, until this moment (wall clock, milliseconds). */
  travelUntil: z.int().min(0).nullable().default(null),
  disabled: z.boolean(),
});

export const device = z.strictObject({ id, member: id, ...peer });

export const lan = z.strictObject({
  topology: z.enum(['router', 'beside']),
  /** The port towards the Internet. */
  wan: interfaceName,
  /** The ports joined to `br-lan`. */
  ports: z.array(interfaceName),
  /** The hub's own address with the length of the LAN's prefix. */
  address: ipv4(parseAddress),
  range: ipv4(parsePrefix),
  /** First and last address handed out; null: no DHCP. */
  dhcp: z.strictObject({ from: ipv4(parseAddress), to: ipv4(parseAddress) }).nullable(),
  /** For devices nobody has decided about. */
  defaultAccess: access,
});

export const lanDevice = z.strictObject({
  id,
  label: text(parseLabel),
  mac: text(parseMac),
  /** Its fixed address on the LAN, handed out by DHCP. */
  address: ipv4(parseAddress),
  /** Its address in the APN: what servers see. */
  identity: ipv4(parseAddress),
  access: z.union([z.literal('default'), access]),
});

export const rule = z.strictObject({
  id,
  source: text(parsePrefix),
  note: z.string().max(200),
  /** The server that lives at this address; the rule ends with it. */
  server: id.nullable(),
});

export const name = z.discriminatedUnion('type', [
  z.strictObject({ id, name: text(parseDomainName), type: z.literal('A'), address: ipv4(parseAddress) }),
  z.strictObject({ id, name: text(parseDomainName), type: z.literal('CNAME'), target: text(parseDomainName) }),
]);

/** Member of another network, of which the hub is one machine: made of the file that network hands out. */
export const uplinkPeer = z.strictObject({
  publicKey: text(parsePublicKey),
  presharedKey: id.nullable(),
  /** Where it is called at; a host name is looked up again and again. */
  endpoint: z.strictObject({ host: endpointHost, port: z.int().min(1).max(65535) }),
  allowedIps: z.array(ipv4(parsePrefix)).min(1),
  /** Seconds; 0: none. */
  keepalive: z.int().min(0).max(65535),
  /** Its name is `<label>.<label of the uplink>`; null: it has none. */
  label: text(parseLabel).nullable(),
  /**
   * Stands for its first single address inside the APN, whose range is all that tunnel peers send to the hub. Null: that
   * address is in the range itself, or there is none.
   */
  alias: ipv4(parseAddress).nullable().default(null),
});

/** The highest number of a device: apn1 to apn16. */
export const mostUplinks = 16;

export const uplink = z.strictObject({
  id,
  label: text(parseFreeLabel),
  /** n of its device apnN. */
  device: z.int().min(1).max(mostUplinks),
  /** Of its own private key, which is among the secrets. */
  publicKey: text(parsePublicKey),
  /** The one address that network gave: everybody inside appears there under it. */
  address: ipv4(parseAddress),
  mtu: z.int().min(1280).max(1500),
  /** Names below these domains are asked of these servers, by way of the uplink. */
  dns: z.strictObject({ servers: z.array(ipv4(parseAddress)), domains: z.array(text(parseSearchDomain)) }),
  peers: z.array(uplinkPeer),
  /** Who may open connections into it. */
  access: z.strictObject({
    /** Ids of LAN devices. */
    lan: z.union([z.enum(['nothing', 'everyone']), z.array(id)]),
    members: z.array(id),
    /** Applications whose servers may. */
    applications: z.array(id),
  }),
});

export const system = z.strictObject({ hostName: text(parseLabel) });

export const config = z.strictObject({
  network,
  lan: lan.nullable(),
  system,
  applications: z.array(application),
  servers: z.array(server),
  members: z.array(member),
  devices: z.array(device),
  lanDevices: z.array(lanDevice),
  rules: z.array(rule),
  names: z.array(name),
  uplinks: z.array(uplink).default([]),
});

type DeepReadonly<T> = T extends string | number | boolean | null | undefined
  ? T
  : { readonly [K in keyof T]: DeepReadonly<T[K]> };

export type Config = DeepReadonly<z.infer<typeof config>>;
export type Network = Config['network'];
export type Application = Config['applications'][number];
export type Server = Config['servers'][number];
export type Member = Config['members'][number];
export type Device = Config['devices'][number];
export type Lan = NonNullable<Config['lan']>;
export type LanDevice = Config['lanDevices'][number];
export type Rule = Config['rules'][number];
export type Name = Config['names'][number];
export type Uplink = Config['uplinks'][number];
export type Role = (typeof roles)[number];
export type Access = DeepReadonly<z.infer<typeof access>>;

/** The nouns that are lists, and so rows of the store; the others are one object each. */
export const listNouns = [
  ...(['applications', 'servers', 'members', 'devices', 'lanDevices', 'rules', 'names', 'uplinks'] as const),
] as const;
export type ListNoun = (typeof listNouns)[number];
export const singleNouns = ['network', 'lan', 'system'] as const;

/** The UDP port of the hub. Fixed: firewalls of hosted networks and of other sites are written for it. */
export const listenPort = 51820;

/** What a router knows before anybody told it anything: it forwards nothing. */
export const initialConfig: Config = config.parse({
  network: { range: '172.16.0.0/16', domain: 'apn', endpoint: null },
  lan: null,
  system: { hostName: 'apn-router' },
  applications: [],
  servers: [],
  members: [],
  devices: [],
  lanDevices: [],
  rules: [],
  names: [],
  uplinks: [],
});

/**
 * Parses a value against a schema.
 * @throws InvalidInput with the path of the first problem.
 */
export function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  if (issue.code === 'unrecognized_keys') {
    throw new InvalidInput([...issue.path, issue.keys[0]!].join('.'), 'There is no such field.');
  }
  const missing = issue.code === 'invalid_type' && issue.message.endsWith('received undefined');
  throw new InvalidInput(issue.path.join('.'), missing ? 'This field is missing.' : issue.message);
}
