// Which parts of an object are sealed, and how it looks without them.
import type { Config, ListNoun, Server } from '../../model/config.ts';
import { decodeKey, encodeKey } from '../../model/key.ts';
import type { Body } from './differences.ts';

/** `column row` → bytes, null where it does not open. */
type Opened = ReadonlyMap<string, Uint8Array | null>;

const nouns: readonly string[] = ['servers', 'devices', 'uplinks'] satisfies readonly ListNoun[];
const keyLength = 32;

export function isSealed(noun: string): boolean {
  return nouns.includes(noun);
}

/** Everything of a configuration that may name a preshared key. */
export function presharedPeers({ servers, devices, uplinks }: Config): readonly Pick<Server, 'presharedKey'>[] {
  return [...servers, ...devices, ...uplinks.flatMap(({ peers }) => peers)];
}

/** The object, and what hangs below it with a key of its own. */
function parts(body: Body): readonly Body[] {
  const peers = body['peers'];
  return Array.isArray(peers) ? [body, ...(peers as readonly Body[])] : [body];
}

/** The public keys of an object in one value: its own, then its peers' in their order. */
export function publicKeys(body: Body): Uint8Array {
  return Buffer.concat(parts(body).map(({ publicKey }) => decodeKey(String(publicKey), 'public key')));
}

export function presharedKeyIds(body: Body | null): readonly string[] {
  const ids = body === null ? [] : parts(body).map(({ presharedKey }) => presharedKey);
  return ids.filter((id) => typeof id === 'string');
}

/** The body as it is written. */
export function withoutKeys(body: Body): Body {
  const { publicKey: _, peers, ...rest } = body;
  if (!Array.isArray(peers)) return rest;
  return { ...rest, peers: (peers as readonly Body[]).map(({ publicKey: __, ...peer }) => peer) };
}

/** The object with its keys; null when one of its sealed values is missing or does not open. */
export function withKeys(noun: string, id: string, body: Body, secrets: Opened): Body | null {
  if (presharedKeyIds(body).some((key) => secrets.get(`preshared key ${key}`) == null)) return null;
  if (noun === 'uplinks' && secrets.get(`private key ${id}`) == null) return null;
  return withPublicKeys(body, secrets.get(`public key ${id}`) ?? null);
}

/** The object with the public keys that `publicKeys` took of it; null when they are not of as many. */
export function withPublicKeys(body: Body, keys: Uint8Array | null): Body | null {
  const all = parts(body);
  if (keys?.length !== all.length * keyLength) return null;
  const [own, ...peers] = all.map((part, i) => ({
    ...part,
    publicKey: encodeKey(keys.subarray(i * keyLength, (i + 1) * keyLength)),
  }));
  return Array.isArray(body['peers']) ? { ...own, peers } : (own ?? null);
}
