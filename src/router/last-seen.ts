// Where each server last called from, kept over a reboot: the hub then calls it, instead of waiting until it notices.
import { readFileSync } from 'node:fs';
import { parseAddress } from '../model/address.ts';
import type { Server } from '../model/config.ts';
import type { PublicKey } from '../model/key.ts';
import { writeFileAtomic } from './files.ts';
import type { Endpoint } from './plan/wireguard.ts';

/**
 * Servers live at one address for long, so the file is hardly ever written. It holds no keys: ids and `address port`.
 * What it says is a hint: the firewall lets the hub call only where a lease or rule is.
 */
export class LastSeen {
  readonly #file: string;
  readonly #known: Map<string, string>;

  constructor(file: string) {
    this.#file = file;
    this.#known = read(file);
  }

  /** By the keys the servers have now. */
  endpoints(servers: readonly Server[]): ReadonlyMap<PublicKey, Endpoint> {
    return new Map(
      servers.flatMap(({ id, publicKey }) => {
        const endpoint = parse(this.#known.get(id));
        return endpoint === null ? [] : [[publicKey, endpoint] as const];
      }),
    );
  }

  /** @throws Error when the disk cannot be written; it is tried again with the next look. */
  look(servers: readonly Server[], peers: ReadonlyMap<PublicKey, { readonly endpoint: Endpoint | null }>): void {
    const now = new Map(
      servers.flatMap(({ id, publicKey }) => {
        const endpoint = peers.get(publicKey)?.endpoint ?? parse(this.#known.get(id));
        return endpoint === null ? [] : [[id, `${endpoint.address} ${endpoint.port}`] as const];
      }),
    );
    const text = JSON.stringify(Object.fromEntries(now));
    if (text === JSON.stringify(Object.fromEntries(this.#known))) return;
    writeFileAtomic(this.#file, text, 0o600);
    this.#known.clear();
    for (const [id, endpoint] of now) this.#known.set(id, endpoint);
  }
}

function read(file: string): Map<string, string> {
  try {
    const known = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    return new Map(Object.entries(known).flatMap(([id, text]) => (typeof text === 'string' ? [[id, text]] : [])));
  } catch {
    // None yet, or not readable: servers find the hub by themselves, only later.
    return new Map();
  }
}

function parse(text: string | undefined): Endpoint | null {
  const match = /^(\S+) (\d{1,5})$/.exec(text ?? '');
  try {
    return match === null ? null : { address: parseAddress(match[1] ?? ''), port: Number(match[2]) };
  } catch {
    return null;
  }
}
