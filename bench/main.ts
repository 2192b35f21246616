// All figures of DESIGN §11 that are measured so far, one after the other, as one table: `main.ts [NAME…]`.
import * as dns from './dns.ts';
import { type Bench, print } from './hub.ts';
import * as knock from './knock.ts';
import * as lease from './lease.ts';
import * as memory from './memory.ts';
import * as peers from './peers.ts';
import * as reconcile from './reconcile.ts';
import * as start from './start.ts';

const benches: Readonly<Record<string, { run(): Promise<Bench> }>> = {
  lease,
  knock,
  start,
  memory,
  reconcile,
  dns,
  peers,
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !Object.hasOwn(benches, name));
if (unknown.length > 0) {
  process.stderr.write(`there is no bench ${unknown.join(', ')}; there are ${Object.keys(benches).join(', ')}\n`);
  process.exit(2);
}

for (const [name, { run }] of Object.entries(benches)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  try {
    print(await run());
  } catch (error) {
    // The other figures are still worth having.
    process.stderr.write(`${name}: ${error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = 1;
  }
  process.stdout.write('\n');
}
