// The cross-platform configuration protocol of userspace WireGuard: `get=1` and `set=1` on a unix socket.
import { connect } from 'node:net';
import { parseAddress, parsePrefix } from '../../model/address.ts';
import { keyBytes, type PublicKey, publicKeyFromBytes, Secret } from '../../model/key.ts';
import type { Endpoint, ObservedPeer, ObservedWireguardDevice, WireguardOperation } from '../plan/wireguard.ts';

/** Where an implementation listens for the device's configuration. */
export function userspaceSocket(device: string): string {
  return `/var/run/wireguard/${device}.sock`;
}

/** The text of a `set=1` request; keys are hex, everything else as the kernel's terms. */
export function encodeSet(operation: WireguardOperation): string {
  const lines = ['set=1'];
  switch (operation.kind) {
    case 'wireguard.configure':
      lines.push(`private_key=${operation.privateKey.reveal().toHex()}`, `listen_port=${operation.listenPort}`);
      break;
    case 'wireguard.remove-peers':
      for (const key of operation.peers) lines.push(`public_key=${keyHex(key)}`, 'remove=true');
      break;
    case 'wireguard.set-peers':
      for (const peer of operation.peers) {
        lines.push(`public_key=${keyHex(peer.publicKey)}`);
        lines.push(`preshared_key=${peer.presharedKey?.reveal().toHex() ?? '0'.repeat(64)}`);
        lines.push(`persistent_keepalive_interval=${peer.keepalive}`, 'replace_allowed_ips=true');
        if (peer.endpoint !== null) lines.push(`endpoint=${endpointText(peer.endpoint)}`);
        for (const prefix of peer.allowedIps) lines.push(`allowed_ip=${prefix}`);
      }
  }
  return `${lines.join('\n')}\n\n`;
}

function endpointText({ address, port }: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function keyHex(key: PublicKey): string {
  return keyBytes(key).toHex();
}

/** Reads the answer to `get=1`. @throws Error for an errno other than 0 and for an answer that breaks off. */
export function parseGet(device: string, text: string): ObservedWireguardDevice {
  const pairs = text.split('\n').flatMap((line) => {
    const equals = line.indexOf('=');
    return equals < 0 ? [] : [[line.slice(0, equals), line.slice(equals + 1)] as const];
  });
  const errno = pairs.find(([key]) => key === 'errno')?.[1];
  if (errno !== '0') throw new Error(`The WireGuard device ${device} answered errno ${errno ?? 'nothing'}.`);
  const first = pairs.findIndex(([key]) => key === 'public_key');
  const head = new Map(pairs.slice(0, first < 0 ? pairs.length : first));
  const privateKey = head.get('private_key');
  const peers = new Map<PublicKey, ObservedPeer>();
  let peer: { -readonly [K in keyof ObservedPeer]: ObservedPeer[K] } | undefined;
  let allowed: ReturnType<typeof parsePrefix>[] = [];
  for (const [key, value] of first < 0 ? [] : pairs.slice(first)) {
    if (key === 'public_key') {
      const publicKey = publicKeyFromBytes(Uint8Array.fromHex(value));
      allowed = [];
      peer = {
        publicKey,
        presharedKey: null,
        allowedIps: allowed,
        keepalive: 0,
        endpoint: null,
        configured: null,
        lastHandshake: null,
        rxBytes: 0,
        txBytes: 0,
      };
      peers.set(publicKey, peer);
    } else if (peer !== undefined) readField(peer, allowed, key, value);
  }
  return {
    name: device,
    privateKey: privateKey === undefined ? null : new Secret('private key', Uint8Array.fromHex(privateKey)),
    listenPort: Number(head.get('listen_port') ?? 0),
    peers,
  };
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function readField(
  peer: Mutable<ObservedPeer>,
  allowed: ReturnType<typeof parsePrefix>[],
  key: string,
  value: string,
): void {
  switch (key) {
    case 'preshared_key':
      peer.presharedKey = /^0*$/.test(value) ? null : new Secret('preshared key', Uint8Array.fromHex(value));
      break;
    case 'endpoint':
      peer.endpoint = parseEndpoint(value);
      break;
    case 'last_handshake_time_sec':
      if (value !== '0') peer.lastHandshake = Number(value) * 1000;
      break;
    case 'last_handshake_time_nsec':
      if (peer.lastHandshake !== null) peer.lastHandshake += Math.floor(Number(value) / 1e6);
      break;
    case 'rx_bytes':
      peer.rxBytes = Number(value);
      break;
    case 'tx_bytes':
      peer.txBytes = Number(value);
      break;
    case 'persistent_keepalive_interval':
      peer.keepalive = Number(value);
      break;
    case 'allowed_ip':
      allowed.push(parsePrefix(value));
      break;
  }
}

function parseEndpoint(value: string): Endpoint | null {
  const match = /^\[?([^\]%]+)(?:%[^\]]*)?\]?:(\d+)$/.exec(value);
  if (match?.[1] === undefined) return null;
  try {
    return { address: parseAddress(match[1]), port: Number(match[2]) };
  } catch {
    return null;
  }
}

/** Sends one request and reads until the empty line that ends the answer. */
export function exchange(device: string, request: string, timeout = 5000): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(userspaceSocket(device));
    let answer = '';
    const fail = (error: Error) => {
      socket.destroy();
      reject(error);
    };
    socket.setTimeout(timeout, () => fail(new Error(`The WireGuard device ${device} does not answer.`)));
    socket.setEncoding('utf8');
    socket.once('error', fail);
    socket.once('close', () => reject(new Error(`The WireGuard device ${device} broke off.`)));
    socket.on('data', (text: string) => {
      answer += text;
      if (!answer.endsWith('\n\n')) return;
      resolve(answer);
      socket.destroy();
    });
    socket.write(request);
  });
}

export function checkSet(device: string, answer: string): void {
  if (!/(^|\n)errno=0\n/.test(answer))
    throw new Error(`The WireGuard device ${device} refused a change (${answer.trim()}).`);
}
