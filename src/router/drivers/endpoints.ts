// What each peer was last told about where to call: the kernel says only where it is now, and a peer may have moved.
import { readFileSync } from 'node:fs';
import { type Address, parseAddress } from '../../model/address.ts';
import type { PublicKey } from '../../model/key.ts';
import { writeFileAtomic } from '../files.ts';
import type { Endpoint, ObservedWireguardDevice, WireguardOperation } from '../plan/wireguard.ts';

/** `device key` → `address port`. */
type Told = Map<string, string>;

/** Lives as long as the devices do: in the run folder, which a reboot empties. */
export class EndpointMemory {
  readonly #file: string;
  #told: Told | null = null;

  constructor(file: string) {
    this.#file = file;
  }

  /** The device with what its peers were told. */
  completed(device: ObservedWireguardDevice): ObservedWireguardDevice {
    const told = this.#read();
    const peers = [...device.peers].map(([key, peer]) => {
      const text = told.get(placeOf(device.name, key));
      return [key, { ...peer, configured: text === undefined ? null : parseEndpoint(text) }] as const;
    });
    return { ...device, peers: new Map(peers) };
  }

  /** To be called when it was done: what is not remembered is only done again. */
  remember(operation: WireguardOperation): void {
    const told = this.#read();
    const before = told.size;
    let changed = false;
    if (operation.kind === 'wireguard.remove-peers') {
      for (const key of operation.peers) told.delete(placeOf(operation.device, key));
      changed = told.size !== before;
    } else if (operation.kind === 'wireguard.set-peers') {
      for (const { publicKey, endpoint } of operation.peers) {
        if (endpoint === null) continue;
        told.set(placeOf(operation.device, publicKey), `${endpoint.address} ${endpoint.port}`);
        changed = true;
      }
    }
    if (changed) writeFileAtomic(this.#file, JSON.stringify(Object.fromEntries(told)), 0o600);
  }

  #read(): Told {
    this.#told ??= readTold(this.#file);
    return this.#told;
  }
}

function placeOf(device: string, key: PublicKey): string {
  return `${device} ${key}`;
}

function readTold(file: string): Told {
  try {
    return new Map(Object.entries(JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>));
  } catch {
    // None yet, or not readable: everybody is told once more.
    return new Map();
  }
}

function parseEndpoint(text: string): Endpoint | null {
  const [address = '', port] = text.split(' ');
  try {
    return { address: parseAddress(address) as Address, port: Number(port) };
  } catch {
    return null;
  }
}
