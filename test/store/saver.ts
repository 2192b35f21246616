// A program that saves as fast as it can and says the revision after each answer, until it is killed: `saver.ts FOLDER`.
import { writeSync } from 'node:fs';
import { Secret } from '../../src/model/key.ts';
import { Store } from '../../src/router/store/store.ts';
import {
  console_,
  leaseAt,
  makePrivateKey,
  noon,
  publicKeyOf,
  withApplication,
  withServer,
} from '../support/saving.ts';

const store = new Store({ folder: process.argv[2] ?? '', now: Date.now, makeHubKey: makePrivateKey, publicKeyOf });
for (;;) {
  const { revision } = store.save(console_, (transaction) => {
    const { config } = transaction;
    const next = store.snapshot.revision + 1;
    // Every save changes an application, a server with two secrets, a lease and the audit: all of one number or none.
    const emptied = { ...config, applications: [], servers: [] };
    transaction.putPresharedKey(`psk${next}x`, new Secret('preshared key', Buffer.alloc(32, 1 + (next % 200))));
    transaction.put(
      withServer(withApplication(emptied, 'shop', 10 + (next % 200)), `web${next}x`, 'shop', 10, `psk${next}x`),
    );
    for (const lease of transaction.leases) transaction.putLease({ ...lease, end: { at: noon.wall, how: 'revoked' } });
    transaction.putLease(leaseAt(noon, `lease${next}`, next));
    transaction.audit('saved', { next });
  });
  // Not `console.log`: the number is out before the next save begins.
  writeSync(1, `${revision}\n`);
}
