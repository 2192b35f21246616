// Audit entries of what was observed, with the names that things had at that moment.
import { type Binding, bindings } from '../../model/access.ts';
import type { Address } from '../../model/address.ts';
import type { Config, Device, Server } from '../../model/config.ts';
import { findMachine } from '../../model/explain.ts';
import type { PublicKey } from '../../model/key.ts';
import type { AuditEntry } from '../store/audit.ts';
import type { Denial } from './denied.ts';
import type { PeerEvent } from './peers.ts';

const router = 'router';

/** A member's device acts for him; everything else is told by the router. */
export function peerEntry(config: Config, event: PeerEvent): AuditEntry | null {
  const peer = peerOf(config, event.key);
  if (peer === null) return null;
  const { name, member } = peer;
  const body = { peer: name, ...(member === null ? {} : { member }), ...details(event) };
  return { actor: member ?? router, event: event.kind, body };
}

function details(event: PeerEvent): AuditEntry['body'] {
  switch (event.kind) {
    case 'moved':
      return { from: event.from, to: event.to };
    case 'disconnected':
      return { address: event.at };
    case 'connected':
      return {
        address: event.at,
        ...(event.silent === null ? { first: true } : { silentSeconds: Math.round(event.silent / 1000) }),
      };
  }
}

interface Named {
  readonly name: string;
  readonly member: string | null;
  readonly device: Device | null;
}

export function peerOf(config: Config, key: PublicKey): Named | null {
  const device = config.devices.find(({ publicKey }) => publicKey === key) ?? null;
  const server: Server | undefined = config.servers.find(({ publicKey }) => publicKey === key);
  const one = device ?? server;
  if (one === undefined) return null;
  return { name: nameAt(config, [], one.address), member: device?.member ?? null, device };
}

export function denialEntry(config: Config, leased: readonly Binding[], denial: Denial): AuditEntry {
  const { source, destination, port, count, first, last } = denial;
  const member = config.devices.find(({ address }) => address === source)?.member;
  return {
    actor: member ?? router,
    event: 'denied',
    body: {
      source: nameAt(config, leased, source),
      sourceAddress: source,
      destination: destination === null ? null : nameAt(config, leased, destination),
      destinationAddress: destination,
      port,
      packets: count,
      first: new Date(first).toISOString(),
      last: new Date(last).toISOString(),
      ...(member === undefined ? {} : { member }),
    },
  };
}

/** What the address is called: a machine, a LAN device by any address it has, the hub; else the address itself. */
function nameAt(config: Config, leased: readonly Binding[], address: Address): string {
  const known = findMachine(config, address)?.name;
  if (known !== undefined) return known;
  if (address === config.lan?.address) return 'hub';
  const device = bindings(config, leased).find((one) => one.address === address)?.device;
  return device == null ? address : `${device.label}.lan`;
}
