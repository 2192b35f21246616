// Stores in folders of their own, gone when the test is over.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { Store } from '../../src/router/store/store.ts';
import { makePrivateKey, publicKeyOf } from './saving.ts';

/** Removed when the test is over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'apn-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Closed when the test is over; closing it before is fine. */
export function openStore(folder: string, now: () => number = () => 1_700_000_000_000): Store {
  const store = new Store({ folder, now, makeHubKey: makePrivateKey, publicKeyOf });
  onTestFinished(() => {
    try {
      store.close();
    } catch {
      // The test has closed it.
    }
  });
  return store;
}
