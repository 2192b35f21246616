// Keys, configurations and leases for tests of what stands on the store, in and outside of vitest.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { x25519 } from '@noble/curves/ed25519.js';
import type { Prefix } from '../../src/model/address.ts';
import { application, type Config, member, parse, server } from '../../src/model/config.ts';
import { encodeKey, type PrivateKey, type PublicKey, Secret } from '../../src/model/key.ts';
import type { Clock, Lease } from '../../src/model/lease.ts';

export function makePrivateKey(): PrivateKey {
  const der = generateKeyPairSync('x25519').privateKey.export({ format: 'der', type: 'pkcs8' });
  return new Secret('private key', der.subarray(der.length - 32));
}

export function publicKeyOf(key: PrivateKey): PublicKey {
  return encodeKey(x25519.getPublicKey(key.reveal())) as PublicKey;
}

/** A new public key; nobody has its private one. */
export function publicKey(): PublicKey {
  return publicKeyOf(new Secret('private key', randomBytes(32)));
}

export const console_ = { actor: 'console', summary: 'test' } as const;

/** `config` with one more application, in the n-th block of the network. */
export function withApplication(config: Config, id: string, n: number): Config {
  const one = parse(application, { id, label: id, range: `172.16.${n}.0/24`, links: [] });
  return { ...config, applications: [...config.applications, one] } as Config;
}

/** `config` with one more server at host number `n` of its application. */
export function withServer(
  config: Config,
  id: string,
  of: string,
  n: number,
  presharedKey: string | null = null,
): Config {
  const range = config.applications.find((each) => each.id === of)?.range ?? '';
  const address = range.replace(/0\/24$/, String(n));
  const one = parse(server, { id, application: of, label: id, address, publicKey: publicKey(), presharedKey });
  return { ...config, servers: [...config.servers, one] } as Config;
}

export function withMember(config: Config, id: string, role: 'owner' | 'developer' = 'owner'): Config {
  const one = parse(member, { id, name: id, label: id, role, access: {}, leasePolicy: 'ask', disabled: false });
  return { ...config, members: [...config.members, one] } as Config;
}

export const noon: Clock = { wall: 1_700_000_000_000, boot: 5_000_000, bootId: 'boot-1', synchronised: true };

/** A lease granted at the clock's moment. */
export function leaseAt(clock: Clock, id: string, milliseconds: number, more: Partial<Lease> = {}): Lease {
  return {
    ...{ id, source: '203.0.113.7/32' as Prefix, member: null, grantedBy: 'console', reason: '' },
    ...{ grantedAt: clock.wall, expiresAt: clock.wall + milliseconds, bootId: clock.bootId },
    ...{ deadline: clock.boot + milliseconds, remaining: milliseconds, restored: false, end: null },
    ...more,
  };
}
