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

  /**
   * The devices with what their peers were told. What is said of others is forgotten: a peer that is there again is a
   * new one, which nobody told anything.
   */
  completed(devices: readonly ObservedWireguardDevice[]): readonly ObservedWireguardDevice[] {
    const told = this.#read();
    const there = new Set(devices.flatMap(({ name, peers }) => [...peers.keys()].map((key) => placeOf(name, key))));
    const gone = [...told.keys()].filter((place) => !there.has(place));
    for (const place of gone) told.delete(place);
    if (gone.length > 0) this.#write(told);
    return devices.map((device) => ({
      ...device,
      peers: new Map(
        [...device.peers].map(([key, peer]) => {
          const text = told.get(placeOf(device.name, key));
          return [key, { ...peer, configured: text === undefined ? null : parseEndpoint(text) }] as const;
        }),
      ),
    }));
  }

  /** To be called when it was done: what is not remembered is only done again. */
  remember(operation: WireguardOperation): void {
    if (operation.kind !== 'wireguard.set-peers') return;
    const told = this.#read();
    const called = operation.peers.filter(({ endpoint }) => endpoint !== null);
    for (const { publicKey, endpoint } of called) {
      told.set(placeOf(operation.device, publicKey), `${endpoint?.address} ${endpoint?.port}`);
    }
    if (called.length > 0) this.#write(told);
  }

  #write(told: Told): void {
    writeFileAtomic(this.#file, JSON.stringify(Object.fromEntries(told)), 0o600);
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
