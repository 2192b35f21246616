// The WireGuard driver: the kernel's generic netlink, or the userspace protocol where the kernel has no WireGuard.
import { existsSync } from 'node:fs';
import { fromBytes, networkAddress, type Prefix, prefixLength, toBytes } from '../../model/address.ts';
import { keyBytes, publicKeyFromBytes, Secret } from '../../model/key.ts';
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
import {
  hubDevice,
  type ObservedPeer,
  type ObservedWireguard,
  type ObservedWireguardDevice,
  type Peer,
  type WireguardOperation,
} from '../plan/wireguard.ts';
import type { Driver } from './driver.ts';
import { checkSet, encodeSet, exchange, parseGet, userspaceSocket } from './userspace.ts';

export function createWireguardDriver(): Driver<'wireguard'> {
  let kernel: WireguardSocket | undefined;
  const kernelSocket = async () => {
    kernel ??= await openWireguard();
    return kernel;
  };
  return {
    async observe(): Promise<ObservedWireguard> {
      const device = existsSync(userspaceSocket(hubDevice))
        ? parseGet(hubDevice, await exchange(hubDevice, 'get=1\n\n'))
        : await observeKernel(kernelSocket, hubDevice);
      return device === null ? [] : [device];
    },
    async apply(operation) {
      if (existsSync(userspaceSocket(operation.device))) {
        checkSet(operation.device, await exchange(operation.device, encodeSet(operation)));
        return;
      }
      const { socket, family } = await kernelSocket();
      for (const request of encodeSetDevice(family, deviceChange(operation))) await socket.request(request);
    },
    close() {
      kernel?.socket.close();
    },
  };
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

function peerChange({ publicKey, presharedKey, allowedIps, keepalive }: Peer): PeerChange {
  return {
    publicKey: keyBytes(publicKey),
    presharedKey: presharedKey?.reveal() ?? new Uint8Array(32),
    keepalive,
    replaceAllowedIps: true,
    allowedIps: allowedIps.map((prefix) => {
      const bytes = toBytes(networkAddress(prefix));
      return { family: bytes.length === 4 ? 4 : 6, bytes, cidr: prefixLength(prefix) };
    }),
  };
}
