// What the router knows, read from the database as a whole.
import { type Config, config as configSchema, parse } from '../../model/config.ts';
import { type PresharedKey, type PrivateKey, Secret } from '../../model/key.ts';
import { readLeases } from './leases.ts';
import { readObjects, readSecrets, type Vault } from './objects.ts';
import { readPending } from './pending.ts';
import { presharedPeers } from './sealed.ts';
import { locked } from './secrets.ts';
import type { Snapshot } from './transaction.ts';

/**
 * @param firstHubKey Makes and writes the key of a router that is new.
 * @throws StoreUnavailable
 */
export function readSnapshot(vault: Vault, firstHubKey: () => PrivateKey): Snapshot {
  const { database } = vault;
  const secrets = readSecrets(vault);
  const { raw, damaged } = readObjects(vault, secrets);
  const config = parse(configSchema, raw) as Config;
  const revision = Number(database.prepare('SELECT max(revision) AS revision FROM revision').get()?.['revision'] ?? 0);
  const presharedKeys = new Map<string, PresharedKey>();
  for (const { presharedKey } of presharedPeers(config)) {
    const bytes = presharedKey === null ? null : secrets.get(`preshared key ${presharedKey}`);
    if (presharedKey !== null && bytes != null) presharedKeys.set(presharedKey, new Secret('preshared key', bytes));
  }
  return {
    revision,
    config,
    damaged,
    hubPrivateKey: hubKey(secrets, revision) ?? firstHubKey(),
    presharedKeys,
    uplinkKeys: new Map(
      config.uplinks.flatMap(({ id }) => {
        const bytes = secrets.get(`private key ${id}`);
        return bytes == null ? [] : [[id, new Secret('private key', bytes)] as const];
      }),
    ),
    leases: readLeases(database, 'WHERE ended_at IS NULL'),
    pending: readPending(database),
  };
}

/** Null: there was never one. */
function hubKey(secrets: ReadonlyMap<string, Uint8Array | null>, revision: number): PrivateKey | null {
  const stored = secrets.get('private key hub');
  if (stored === null) throw locked('the hub key does not open');
  if (stored !== undefined) return new Secret('private key', stored);
  // Peers know the hub by its key: one that is lost is told, not replaced.
  if (revision > 0) throw locked('the hub key is gone');
  return null;
}
