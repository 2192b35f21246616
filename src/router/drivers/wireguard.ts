// The WireGuard driver: the kernel's generic netlink, or the userspace protocol where the kernel has no WireGuard.
import { existsSync, readFileSync } from 'node:fs';
import { type Address, fromBytes, networkAddress, type Prefix, prefixLength, toBytes } from '../../model/address.ts';
import { keyBytes, publicKeyFromBytes, Secret } from '../../model/key.ts';
import type { IpAddress } from '../netlink/address.ts';
import { NetlinkError } from '../netlink/message.ts';
import { openWireguard, type WireguardSocket } from '../netlink/socket.ts';
import {
  type DeviceChange,
  decodeDevice,
  encodeGetDevice,
  encodeSetDevice,
  type WireguardDevice as KernelDevice,
  type WireguardPeer as KernelPeer,
  type PeerChange,
} from '../netlink/wireguard.ts';
import type {
  ObservedPeer,
  ObservedWireguard,
  ObservedWireguardDevice,
  Peer,
  WireguardOperation,
} from '../plan/wireguard.ts';
import type { Driver } from './driver.ts';
import { EndpointMemory } from './endpoints.ts';
import { checkSet, encodeSet, exchange, parseGet, userspaceSocket } from './userspace.ts';

/** @param told File that remembers what peers were told about endpoints. */
export function createWireguardDriver(told: string): Driver<'wireguard'> {
  let kernel: WireguardSocket | undefined;
  const memory = new EndpointMemory(told);
  const kernelSocket = async () => {
    kernel ??= await openWireguard();
    return kernel;
  };
  const observeDevice = async (name: string) =>
    existsSync(userspaceSocket(name))
      ? parseGet(name, await exchange(name, 'get=1\n\n'))
      : await observeKernel(kernelSocket, name);
  return {
    async observe(): Promise<ObservedWireguard> {
      const found: ObservedWireguardDevice[] = [];
      for (const name of deviceNames()) {
        const device = await observeDevice(name);
        if (device !== null) found.push(device);
      }
      return memory.completed(found);
    },
    async apply(operation) {
      if (existsSync(userspaceSocket(operation.device))) {
        checkSet(operation.device, await exchange(operation.device, encodeSet(operation)));
      } else {
        const { socket, family } = await kernelSocket();
        for (const request of encodeSetDevice(family, deviceChange(operation))) await socket.request(request);
      }
      memory.remember(operation);
    },
    close() {
      kernel?.socket.close();
    },
  };
}

/** Our devices that are there, of this network namespace. */
function deviceNames(): readonly string[] {
  const lines = readFileSync('/proc/self/net/dev', 'utf8').split('\n');
  return lines.flatMap((line) => /^\s*(apn\d+):/.exec(line)?.[1] ?? []);
}

/** Null: there is no such device, or nothing here can have one. */
async function observeKernel(
  open: () => Promise<WireguardSocket>,
  name: string,
): Promise<ObservedWireguardDevice | null> {
  try {
    const { socket, family } = await open();
    return fromKernel(decodeDevice(await socket.request(encodeGetDevice(family, name))));
  } catch (error) {
    if (error instanceof NetlinkError && ['ENODEV', 'ENOENT', 'ENOTSUP'].includes(error.code)) return null;
    throw error;
  }
}

function fromKernel({ name, privateKey, listenPort, peers }: KernelDevice): ObservedWireguardDevice {
  return {
    name,
    privateKey: privateKey === undefined || isZero(privateKey) ? null : new Secret('private key', privateKey),
    listenPort,
    peers: new Map(peers.map((peer) => [publicKeyFromBytes(peer.publicKey), observedPeer(peer)])),
  };
}

function observedPeer(peer: KernelPeer): ObservedPeer {
  const { presharedKey, endpoint, lastHandshake } = peer;
  return {
    publicKey: publicKeyFromBytes(peer.publicKey),
    presharedKey: presharedKey === undefined || isZero(presharedKey) ? null : new Secret('preshared key', presharedKey),
    allowedIps: peer.allowedIps.map(({ bytes, cidr }) => `${fromBytes(Uint8Array.from(bytes))}/${cidr}` as Prefix),
    keepalive: peer.keepalive,
    endpoint:
      endpoint === undefined ? null : { address: fromBytes(Uint8Array.from(endpoint.bytes)), port: endpoint.port },
    configured: null,
    lastHandshake:
      lastHandshake === undefined ? null : lastHandshake.seconds * 1000 + Math.floor(lastHandshake.nanoseconds / 1e6),
    rxBytes: peer.rxBytes,
    txBytes: peer.txBytes,
  };
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

function deviceChange(operation: WireguardOperation): DeviceChange {
  const { device } = operation;
  switch (operation.kind) {
    case 'wireguard.configure':
      return { device, privateKey: operation.privateKey.reveal(), listenPort: operation.listenPort };
    case 'wireguard.remove-peers':
      return {
        device,
        peers: operation.peers.map((key) => ({ publicKey: keyBytes(key), remove: true, updateOnly: true })),
      };
    case 'wireguard.set-peers':
      return { device, peers: operation.peers.map(peerChange) };
  }
}

function peerChange({ publicKey, presharedKey, allowedIps, keepalive, endpoint }: Peer): PeerChange {
  return {
    ...(endpoint === null ? {} : { endpoint: { ...wire(endpoint.address), port: endpoint.port } }),
    publicKey: keyBytes(publicKey),
    presharedKey: presharedKey?.reveal() ?? new Uint8Array(32),
    keepalive,
    replaceAllowedIps: true,
    allowedIps: allowedIps.map((prefix) => ({ ...wire(networkAddress(prefix)), cidr: prefixLength(prefix) })),
  };
}

function wire(address: Address): IpAddress {
  const bytes = toBytes(address);
  return { family: bytes.length === 4 ? 4 : 6, bytes };
}
