// Inside a namespace: random configurations and random damage against the real nftables, through the real driver; prints JSON.
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { monotonic } from '../../src/router/clock.ts';
import { createFirewallDriver } from '../../src/router/drivers/firewall.ts';
import {
  compileFirewall,
  type DesiredFirewall,
  type FirewallOperation,
  type ObservedFirewall,
  planFirewall,
} from '../../src/router/plan/firewall.ts';
import { compileChains } from '../../src/router/plan/ruleset.ts';
import { clock } from '../support/builders.ts';
import { anyConfig, anyLeased, anyLeases } from '../support/random.ts';

const [seed = 1, numRuns = 20] = process.argv.slice(2).map(Number);

function nft(args: readonly string[], input = ''): string {
  return execFileSync('nft', args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
}

const chainNames = compileChains(fc.sample(anyConfig, { seed: 1, numRuns: 1 })[0]!).map(({ name }) => name);

/** What somebody with root could have done. Each is nft text; `X` stands for one of our chains. */
const harms = [
  'delete table inet apn',
  'flush chain inet apn X',
  'insert rule inet apn X accept',
  'add rule inet apn X counter comment "X 1 000000000000"',
  'add chain inet apn strange\nadd rule inet apn strange accept\nadd rule inet apn X jump strange',
  'add chain inet apn intruder { type filter hook forward priority -1; policy accept; }',
  'add chain inet apn input { type filter hook input priority 0; policy accept; }',
  'rename chain inet apn X renamed',
  'flush set inet apn access',
  'flush set inet apn bindings',
  'flush map inet apn identity',
  'add element inet apn rule4 { 192.0.2.0/24 }',
  'add element inet apn lease4 { 192.0.2.7 timeout 1h }',
  'add element inet apn access { 192.0.2.0/24 . 192.0.2.1 }',
  'add element inet apn bindings { 02:00:00:00:99:01 . 192.0.2.1 }',
  'add element inet apn lease6_net { 2001:db8:ffff::/48 timeout 5m, 2001:db8:fffe::/48 }',
  'add set inet apn strange_set { type ipv4_addr; }\nadd rule inet apn X ip saddr @strange_set accept',
  'add chain inet apn target\nadd map inet apn verdicts { type ipv4_addr : verdict; }\nadd element inet apn verdicts { 192.0.2.1 : jump target }',
  'add chain inet apn loop\nadd rule inet apn loop jump X',
  'delete table inet apn\nadd table inet apn\nadd set inet apn access { type ipv4_addr; }\nadd element inet apn access { 192.0.2.1 }',
  'delete table inet apn\nadd table inet apn\nadd set inet apn rule4 { type ipv4_addr; }\nadd element inet apn rule4 { 192.0.2.1 }',
  'delete table inet apn\nadd table inet apn\nadd set inet apn bindings { type ipv4_addr; flags interval; }\nadd element inet apn bindings { 192.0.2.0/24 }',
  'delete table inet apn\nadd table inet apn\nadd set inet apn identity { type ipv4_addr; }\nadd element inet apn identity { 192.0.2.1 }',
  'delete table inet apn\nadd table inet apn\nadd chain inet apn srcnat { type filter hook input priority 5; policy drop; }',
  'delete table inet apn\nadd table inet apn\nadd chain inet apn input_wan { type route hook output priority 0; }',
] as const;

/** The table as nft shows it, without elements and counters, a block for each chain and set. */
function shown(table: string): readonly string[] {
  const text = nft(['-s', '-t', 'list', 'table', 'inet', table]);
  return text
    .split(/\n\n|\n(?=\t(?:chain|set|map) )/)
    .map((block) => block.replace(/^table inet \w+ \{\n|\n\}\n$/g, '').trim())
    .toSorted();
}

function elementDifferences(desired: DesiredFirewall, observed: ObservedFirewall): readonly string[] {
  return [...desired.elements].flatMap(([set, wanted]) => {
    const now = observed?.elements.get(set) ?? new Map();
    const missing = [...wanted].filter(([identity, { deadline }]) => {
      const there = now.get(identity);
      return (
        there === undefined ||
        (deadline === null) !== (there.deadline === null) ||
        Math.abs((deadline ?? 0) - (there.deadline ?? 0)) > 700
      );
    });
    const surplus = [...now.keys()].filter((identity) => !wanted.has(identity));
    return [
      ...missing.map(([identity]) => `${set} lacks ${identity}`),
      ...surplus.map((identity) => `${set} has ${identity}`),
    ];
  });
}

const inputs = fc.record({
  config: anyConfig,
  leased: anyLeased,
  harms: fc.array(fc.record({ kind: fc.constantFrom(...harms), n: fc.nat(50) }), { maxLength: 3 }),
});
const start = { ...clock(), boot: monotonic() };
const samples = fc.sample(inputs, { seed, numRuns });
const leases = fc.sample(anyLeases(start), { seed, numRuns });
const driver = createFirewallDriver({ now: monotonic });
const failures: string[] = [];
let damaged = 0;

async function apply(operations: readonly FirewallOperation[]): Promise<void> {
  for (const operation of operations) await driver.apply(operation);
}

nft(
  ['-f', '-'],
  'table inet foreign { set s { type ipv4_addr; elements = { 192.0.2.1 }; }; chain c { type filter hook input priority 0; ip saddr @s counter; }; }',
);
const foreign = nft(['-s', 'list', 'table', 'inet', 'foreign']);

for (const [i, { config, leased, harms: all }] of samples.entries()) {
  // Leases that end within the run would end between two looks.
  const lasting = (leases[i] ?? []).filter(({ deadline }) => deadline - start.boot > 90_000);
  const desired = compileFirewall({ config, leases: lasting }, leased, { ...start, boot: monotonic() });
  const problem = (text: string) =>
    failures.push(`run ${i} (${all.map(({ kind }) => kind.split('\n').at(-1)).join(' | ')}): ${text}`);
  for (const { kind, n } of all) {
    try {
      nft(['-f', '-'], kind.replaceAll('X', chainNames[n % chainNames.length] as string));
      damaged++;
    } catch {
      // The kernel refused it: a chain that an earlier one renamed, a loop, a set that is gone.
    }
  }
  try {
    await apply(planFirewall(desired, await driver.observe()));
    const observed = await driver.observe();
    for (const difference of elementDifferences(desired, observed)) problem(difference);
    if (planFirewall(desired, observed).length > 0) problem('does not rest');
    const repaired = shown('apn');
    nft(['delete', 'table', 'inet', 'apn']);
    await apply(planFirewall(desired, null));
    if (JSON.stringify(shown('apn')) !== JSON.stringify(repaired)) problem('is not what a fresh load gives');
  } catch (error) {
    problem(error instanceof Error ? error.message : String(error));
  }
}
if (nft(['-s', 'list', 'table', 'inet', 'foreign']) !== foreign) failures.push('the foreign table was changed');
driver.close();
process.stdout.write(`${JSON.stringify({ runs: samples.length, damaged, failures })}\n`);
