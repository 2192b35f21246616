// Opens the store, however long it takes: until then everything stays shut, and whoever asks is told why.
import { generateKeyPairSync } from 'node:crypto';
import type { Server } from 'node:http';
import { join } from 'node:path';
import { x25519 } from '@noble/curves/ed25519.js';
import { encodeKey, type PrivateKey, type PublicKey, Secret } from '../model/key.ts';
import { causeText } from './conditions.ts';
import { listen } from './control/listen.ts';
import { createLockedApp } from './control/locked.ts';
import { shutEverything } from './shut.ts';
import { StoreUnavailable } from './store/errors.ts';
import { Store } from './store/store.ts';

/** So often it is looked whether a broken store was mended. */
export const mendedTimer = 1000;

function makePrivateKey(): PrivateKey {
  const { privateKey } = generateKeyPairSync('x25519');
  const der = privateKey.export({ format: 'der', type: 'pkcs8' });
  return new Secret('private key', der.subarray(der.length - 32));
}

export function publicKeyOf(key: PrivateKey): PublicKey {
  return encodeKey(x25519.getPublicKey(key.reveal())) as PublicKey;
}

/**
 * Keeps everything shut until the store can be opened, and says why to whoever asks; what is running in the kernel
 * already stays as it is.
 */
export async function openStore(folder: string, run: string, log: (line: string) => void): Promise<Store> {
  let problem: StoreUnavailable | undefined;
  const servers: Server[] = [];
  for (;;) {
    try {
      const scratch = join(run, 'store');
      const store = new Store({ folder, now: Date.now, makeHubKey: makePrivateKey, publicKeyOf, scratch });
      if (problem !== undefined) log(`${problem.code}: over`);
      for (const server of servers) server.close().closeAllConnections();
      return store;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      if (problem?.code !== error.code)
        log(`${error.code}: ${error.message} ${error.remedy} (${causeText(error.cause)})`);
      problem = error;
      await shutEverything(log);
      if (servers.length === 0) {
        const app = createLockedApp(() => problem ?? error);
        servers.push(
          await listen(app, join(run, 'control.sock'), 0o600),
          await listen(app, join(run, 'web.sock'), 0o666),
        );
      }
      await new Promise((resolve) => setTimeout(resolve, mendedTimer));
    }
  }
}
