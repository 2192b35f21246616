// What servers and devices have in common: how they are shown, their keys, and the configuration file each gets.
import { z } from 'zod';
import { hubAddress } from '../../model/addressing.ts';
import { type ClientFacts, clientConfig, endpointText, privateKeyPlaceholder } from '../../model/client.ts';
import { type Config, type Device, listenPort, type Server } from '../../model/config.ts';
import { InvalidInput } from '../../model/errors.ts';
import { encodeKey, type PublicKey, Secret } from '../../model/key.ts';
import type { Transaction } from '../store/store.ts';
import { peerName } from './find.ts';
import { isConnected, type LiveTunnel, type Services } from './services.ts';

export function livePeer(tunnel: Pick<LiveTunnel, 'peers'>, { publicKey }: Pick<Server, 'publicKey'>, wall: number) {
  const peer = tunnel.peers.get(publicKey);
  return {
    connected: isConnected(peer, wall),
    endpoint: peer?.endpoint == null ? null : endpointText({ host: peer.endpoint.address, port: peer.endpoint.port }),
    lastHandshake: peer?.lastHandshake == null ? null : new Date(peer.lastHandshake).toISOString(),
    rxBytes: peer?.rxBytes ?? 0,
    txBytes: peer?.txBytes ?? 0,
  };
}

/** What every peer is shown with. */
export function peerView(config: Config, one: Server | Device, tunnel: LiveTunnel, wall: number) {
  const name = peerName(config, one);
  return {
    id: one.id,
    name,
    fqdn: `${name}.${config.network.domain}`,
    label: one.label,
    address: one.address,
    publicKey: one.publicKey,
    hasPresharedKey: one.presharedKey !== null,
    keepalive: one.keepalive,
    ...livePeer(tunnel, one, wall),
  };
}

/** Its shape. */
export const peerShape = {
  id: z.string(),
  name: z.string(),
  fqdn: z.string(),
  label: z.string(),
  address: z.string(),
  publicKey: z.string(),
  hasPresharedKey: z.boolean(),
  keepalive: z.int().nullable(),
  connected: z.boolean(),
  endpoint: z.string().nullable(),
  lastHandshake: z.string().nullable(),
  rxBytes: z.number(),
  txBytes: z.number(),
};

export const factsShape = z.strictObject({
  name: z.string(),
  address: z.string(),
  dns: z.strictObject({ server: z.string(), search: z.string() }).nullable(),
  hubPublicKey: z.string(),
  endpoint: z.string().nullable(),
  range: z.string(),
  /** The key, `shown once`, `to come`, or null. */
  presharedKey: z.string().nullable(),
  keepalive: z.int().nullable(),
  listenPort: z.int().nullable(),
});

/** The file with the private key left to fill in, and what it is built of. */
export const fileShape = { config: z.string(), facts: factsShape };

/** What is shown this once. */
export const secretShape = { presharedKey: z.string().nullable(), ...fileShape };

/** What a peer can be given when it is added, besides its key and name. */
export const peerOptions = {
  address: z.string().optional(),
  /** The hub makes one, and shows it once. Left out: what its handover said, else yes. */
  presharedKey: z.boolean().optional(),
  /** Seconds; null: none. */
  keepalive: z.int().min(1).max(65535).nullable().optional(),
};

export const peerChange = z.strictObject({
  label: z.string().optional(),
  publicKey: z.string().optional(),
  address: z.string().optional(),
  keepalive: peerOptions.keepalive,
});

export const rotation = z.strictObject({ publicKey: z.string(), presharedKey: z.boolean().default(true) });

/** The fields that a new key changes. */
export function rotated(
  transaction: Transaction,
  services: Services,
  before: Server | Device,
  asked: z.infer<typeof rotation>,
) {
  if (asked.publicKey === (before.publicKey as string)) {
    throw new InvalidInput('publicKey', 'This is the key it has already: make a new one.');
  }
  const { servers, devices } = transaction.config;
  if ([...servers, ...devices].some(({ publicKey }) => asked.publicKey === (publicKey as string))) {
    throw new InvalidInput('publicKey', 'This public key belongs to another peer.');
  }
  const key = asked.presharedKey ? addPresharedKey(transaction, services) : null;
  return { fields: { publicKey: asked.publicKey, presharedKey: key?.id ?? null }, presharedKey: key?.text ?? null };
}

/** Makes and keeps a preshared key. Its text is for the answer to this one request. */
export function addPresharedKey(
  transaction: Transaction,
  { newId, newPresharedKey }: Services,
): { id: string; text: string } {
  const id = newId();
  const bytes = newPresharedKey();
  transaction.putPresharedKey(id, new Secret('preshared key', bytes));
  return { id, text: encodeKey(bytes) };
}

export interface FileOptions {
  /** The text of one just made. */
  readonly presharedKey?: string | null;
  readonly dns?: boolean;
}

/** What the holder of the private key builds the file of, and the same file with the key left to fill in. */
export function peerFile(
  config: Config,
  services: Services,
  peer: Server | Device,
  options: FileOptions = {},
): { readonly facts: ClientFacts; readonly config: string } {
  const presharedKey = peer.presharedKey === null ? null : (options.presharedKey ?? 'shown once');
  const name = peerName(config, peer);
  const serves = 'application' in peer;
  const facts = clientFacts(config, services, { ...peer, name, presharedKey, serves }, options.dns ?? true);
  return { facts, config: clientConfig(facts, privateKeyPlaceholder(name)) };
}

/** Facts of a peer that may still be without a key. */
export function clientFacts(
  { network }: Config,
  { hubPublicKey }: { readonly hubPublicKey: PublicKey },
  peer: Pick<ClientFacts, 'name' | 'address' | 'presharedKey' | 'keepalive'> & { readonly serves: boolean },
  dns: boolean,
): ClientFacts {
  return {
    name: `${peer.name}.${network.domain}`,
    address: peer.address,
    dns: dns ? { server: hubAddress(network), search: network.domain } : null,
    hubPublicKey,
    endpoint: network.endpoint === null ? null : endpointText(network.endpoint),
    range: network.range,
    presharedKey: peer.presharedKey,
    keepalive: peer.keepalive,
    listenPort: peer.serves && peer.keepalive === null ? listenPort : null,
  };
}

/** The damaged server, device or uplink with this id or label: the configuration does not hold it, and it can only be removed. */
export function findDamaged({ store }: Services, noun: 'servers' | 'devices' | 'uplinks', reference: string) {
  return store.snapshot.damaged.find((one) => one.noun === noun && (one.id === reference || one.label === reference));
}
