// What servers and devices have in common: how they are shown, and the configuration file each gets.

import { hubAddress } from '../../model/addressing.ts';
import { type ClientFacts, clientConfig, endpointText, privateKeyPlaceholder } from '../../model/client.ts';
import type { Config, Device, Server } from '../../model/config.ts';
import { encodeKey, Secret } from '../../model/key.ts';
import type { Transaction } from '../store/store.ts';
import { isConnected, type LiveTunnel, type Services } from './services.ts';

/** Seconds. Most peers are behind a NAT, and the hub cannot call one whose mapping is gone. */
const keepalive = 25;

export function livePeer(tunnel: LiveTunnel, { publicKey }: Server | Device, wall: number) {
  const peer = tunnel.peers.get(publicKey);
  return {
    connected: isConnected(peer, wall),
    endpoint: peer?.endpoint == null ? null : endpointText({ host: peer.endpoint.address, port: peer.endpoint.port }),
    lastHandshake: peer?.lastHandshake == null ? null : new Date(peer.lastHandshake).toISOString(),
    rxBytes: peer?.rxBytes ?? 0,
    txBytes: peer?.txBytes ?? 0,
  };
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

export interface ConfigOptions {
  readonly presharedKey?: string | null;
  readonly dns?: boolean;
}

export function peerConfig(
  config: Config,
  services: Services,
  peer: Server | Device,
  name: string,
  options: ConfigOptions = {},
) {
  const { network } = config;
  const facts: ClientFacts = {
    name: `${name}.${network.domain}`,
    address: peer.address,
    dns: options.dns === false ? null : { server: hubAddress(network), search: network.domain },
    hubPublicKey: services.hubPublicKey,
    endpoint: network.endpoint === null ? null : endpointText(network.endpoint),
    range: network.range,
    presharedKey: peer.presharedKey === null ? null : (options.presharedKey ?? 'shown once'),
    keepalive,
  };
  return clientConfig(facts, privateKeyPlaceholder(name));
}

/** The damaged server or device with this id or label: the configuration does not hold it, and it can only be removed. */
export function findDamaged({ store }: Services, noun: 'servers' | 'devices', reference: string) {
  return store.snapshot.damaged.find((one) => one.noun === noun && (one.id === reference || one.label === reference));
}
