// The firewall's planner: its laws over random configurations and tables, and what single changes look like.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Binding } from '../../src/model/access.ts';
import { contains, fromBytes, type Prefix } from '../../src/model/address.ts';
import type { Config } from '../../src/model/config.ts';
import type { Lease } from '../../src/model/lease.ts';
import { type FakeChain, FakeFirewall, type FakeTable } from '../../src/router/drivers/fake-firewall.ts';
import {
  compileFirewall,
  type DesiredFirewall,
  type Element,
  type Elements,
  type FirewallOperation,
  identityOf,
  type ObservedFirewall,
  planFirewall,
} from '../../src/router/plan/firewall.ts';
import { meters } from '../../src/router/plan/knock.ts';
import { type Chain, sets } from '../../src/router/plan/ruleset.ts';
import { clock, exampleConfig, lease, prefix, withChanged, withLan } from '../support/builders.ts';
import { anyConfig, anyLeased, anyLeases } from '../support/random.ts';
import { anyDamage, damage } from './damage.ts';

const moment = clock();

interface Input {
  readonly config: Config;
  readonly leased: readonly Binding[];
  readonly leases: readonly Lease[];
}

const anyInput: fc.Arbitrary<Input> = fc.record({ config: anyConfig, leased: anyLeased, leases: anyLeases(moment) });

function compile({ config, leased, leases }: Input): DesiredFirewall {
  return compileFirewall({ config, leases }, leased, moment);
}

/** The table as the builders' machine would have it: nothing, or what an earlier configuration left, then damaged. */
function build(parts: {
  old: DesiredFirewall | null;
  half: DesiredFirewall;
  steps: number;
  harm: Parameters<typeof damage>[1];
}): FakeFirewall {
  const firewall = new FakeFirewall(() => moment.boot);
  if (parts.old === null) return firewall;
  for (const operation of planFirewall(parts.old, null)) firewall.apply(operation);
  for (const operation of planFirewall(parts.half, firewall.observe()).slice(0, parts.steps)) firewall.apply(operation);
  damage(firewall, parts.harm);
  return firewall;
}

function clone(firewall: FakeFirewall): FakeFirewall {
  const other = new FakeFirewall(() => moment.boot);
  const { table } = firewall;
  other.table = table === null ? null : { chains: new Map(table.chains), sets: new Map(table.sets) };
  other.flows = firewall.flows;
  return other;
}

const live = ({ deadline }: Element) => deadline === null || deadline > moment.boot;

/** Differences between the table and what is wanted, found by looking at rule texts and elements. */
function differences({ chains, elements }: DesiredFirewall, table: FakeTable | null): readonly string[] {
  if (table === null) return ['no table'];
  const found: string[] = [];
  const chainText = ({ base, rules }: Chain | FakeChain) => JSON.stringify([base, rules.map(({ text }) => text)]);
  for (const chain of chains) {
    const now = table.chains.get(chain.name);
    if (now === undefined || chainText(now) !== chainText(chain)) found.push(`chain ${chain.name}`);
  }
  if (table.chains.size !== chains.length) found.push('strange chains');
  if (table.sets.size !== sets.length + meters.length) found.push('strange sets');
  for (const { name } of sets) {
    const now = new Map((table.sets.get(name)?.elements ?? []).filter(live).map((one) => [identityOf(one), one]));
    const wanted = elements.get(name) as Elements;
    if (now.size !== wanted.size) found.push(`${name}: ${now.size} elements, not ${wanted.size}`);
    for (const [identity, { deadline }] of wanted) {
      const there = now.get(identity);
      if (there === undefined) found.push(`${name} lacks ${identity}`);
      else if (deadline === null ? there.deadline !== null : Math.abs(deadline - (there.deadline ?? Number.NaN)) > 500)
        found.push(`${name} ${identity} ends wrongly`);
    }
  }
  return found;
}

type Lists = ReadonlyMap<string, Elements>;

function elementsOf(observed: ObservedFirewall): Lists {
  return observed?.elements ?? new Map();
}

/** Whether nothing is in `now` that is not in `limit`, for at least as long. */
function allowsNoMore(now: Lists, limit: Lists): boolean {
  const end = ({ deadline }: Element) => deadline ?? Number.POSITIVE_INFINITY;
  return [...now].every(([set, elements]) =>
    [...elements].every(([identity, one]) => {
      const bound = limit.get(set)?.get(identity);
      return bound !== undefined && end(one) <= end(bound) + 500;
    }),
  );
}

function chainsOf(firewall: FakeFirewall): string {
  return JSON.stringify([...(firewall.table?.chains ?? [])].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function run(firewall: FakeFirewall, operations: readonly FirewallOperation[]): void {
  for (const operation of operations) firewall.apply(operation);
}

describe('planning the firewall', () => {
  it('reaches, rests, keeps to itself, keeps order and survives interruption', () => {
    const scenario = fc.record({
      old: fc.option(anyInput, { freq: 10 }),
      half: anyInput,
      steps: fc.nat(3),
      harm: anyDamage,
      wanted: anyInput,
      stop: fc.nat(3),
    });
    fc.assert(
      fc.property(scenario, ({ old, half, steps, harm, wanted, stop }) => {
        const desired = compile(wanted);
        const firewall = build({ old: old && compile(old), half: compile(half), steps, harm });
        const interrupted = clone(firewall);
        const before = firewall.observe();
        const chainsBefore = chainsOf(firewall);
        const operations = planFirewall(desired, before);
        // Restraint: no line of any script names anything but our table.
        for (const operation of operations) {
          if (operation.kind !== 'firewall.load') continue;
          for (const line of operation.script.trim().split('\n'))
            expect(line).toMatch(/^(add|flush|delete) \w+ inet apn( |$)/);
        }
        // Order: old elements meet old chains only, new ones new chains only.
        const states = operations.map((operation) => {
          firewall.apply(operation);
          return { chains: chainsOf(firewall), elements: elementsOf(firewall.observe()) };
        });
        const chainsAfter = chainsOf(firewall);
        for (const { chains, elements } of states) {
          const asBefore = chains === chainsBefore && allowsNoMore(elements, elementsOf(before));
          const asWanted = chains === chainsAfter && allowsNoMore(elements, desired.elements);
          expect(asBefore || asWanted).toBe(true);
        }
        // Reach and rest.
        expect(differences(desired, firewall.table)).toEqual([]);
        expect(planFirewall(desired, firewall.observe())).toEqual([]);
        // Interruption.
        run(interrupted, operations.slice(0, stop));
        run(interrupted, planFirewall(desired, interrupted.observe()));
        expect(differences(desired, interrupted.table)).toEqual([]);
      }),
      { numRuns: 5000 },
    );
  }, 60_000);

  it('forgets every flow that the access set allowed and allows no more, and no other', () => {
    fc.assert(
      fc.property(anyInput, anyInput, (old, wanted) => {
        const firewall = build({ old: compile(old), half: compile(old), steps: 0, harm: [] });
        const flowsOf = (elements: Elements) =>
          [...elements.values()].map(({ key }) => ({ source: at(key, 0), destination: at(key, 8) }));
        const was = elementsOf(firewall.observe());
        const gone = (set: string) =>
          [...(was.get(set) ?? [])].filter(([identity]) => !desired.elements.get(set)?.has(identity));
        const desired = compile(wanted);
        firewall.flows = flowsOf(was.get('access') as Elements);
        const all = firewall.flows;
        run(firewall, planFirewall(desired, firewall.observe()));
        const lostAccess = new Set(gone('access').map(([, { key }]) => `${at(key, 0)} ${at(key, 8)}`));
        const changedHands = new Set([
          ...gone('bindings').map(([, { key }]) => at(key, 16)),
          ...['identity', 'members'].flatMap((set) => gone(set).map(([, { key }]) => at(key, 0))),
        ]);
        const range = old.config.lan?.range;
        const lostInternet = gone('internet').length > 0 ? range : undefined;
        const kept = all.filter(
          ({ source, destination }) =>
            !lostAccess.has(`${source} ${destination}`) &&
            !changedHands.has(source) &&
            !(lostInternet !== undefined && contains(lostInternet as Prefix, source)),
        );
        // A narrower source inside a lost range goes too.
        const inLostRange = ({ source, destination }: (typeof all)[number]) =>
          gone('access').some(
            ([, { key, last }]) =>
              between(source, key.slice(0, 8), (last ?? key).slice(0, 8)) &&
              between(destination, key.slice(8), (last ?? key).slice(8)),
          );
        expect(firewall.flows).toEqual(kept.filter((flow) => !inLostRange(flow)));
      }),
      { numRuns: 1000 },
    );
  }, 60_000);

  it('leaves a table alone that is as wanted', () => {
    const desired = compileFirewall({ config: exampleConfig(), leases: [lease('198.51.100.7/32')] }, [], moment);
    const firewall = build({ old: desired, half: desired, steps: 0, harm: [] });
    expect(planFirewall(desired, firewall.observe())).toEqual([]);
  });
});

describe('a single change', () => {
  const example = { config: exampleConfig(), leased: [], leases: [] } satisfies Input;

  function planned(from: Input, to: Input): readonly FirewallOperation[] {
    const firewall = build({ old: compile(from), half: compile(from), steps: 0, harm: [] });
    return planFirewall(compile(to), firewall.observe());
  }

  it('a new lease is one element and touches nothing else', () => {
    const granted = { ...example, leases: [lease('198.51.100.7/32')] };
    expect(planned(example, granted)).toEqual([
      {
        kind: 'firewall.elements',
        changes: [
          {
            set: 'lease4',
            remove: [],
            add: [{ key: 'c6336407', last: null, data: null, deadline: moment.boot + 24 * 3600_000 }],
          },
        ],
      },
    ]);
  });

  it('a renewed lease is out and in again in one transaction', () => {
    const short = { ...example, leases: [lease('198.51.100.7/32', { deadline: moment.boot + 60_000 })] };
    const [operation, ...others] = planned(short, { ...example, leases: [lease('198.51.100.7/32')] });
    expect(others).toEqual([]);
    expect(operation).toMatchObject({
      changes: [{ set: 'lease4', remove: [{ key: 'c6336407' }], add: [{ key: 'c6336407' }] }],
    });
  });

  it('two grants for one source share an element; ending one leaves the other', () => {
    const one = lease('198.51.100.7/32', { id: 'lease1' });
    const both = { ...example, leases: [one, lease('198.51.100.7/32', { id: 'lease2' })] };
    expect(planned(both, { ...example, leases: [one] })).toEqual([]);
    expect(compile(both).elements.get('lease4')?.size).toBe(1);
  });

  it('a right taken away forgets the flows of exactly that right', () => {
    const less = { ...example, config: withChanged('lanDevices', 0, { access: 'nothing' }) };
    expect(planned(example, less)).toMatchObject([
      { kind: 'firewall.elements', changes: [{ set: 'access', remove: [{}], add: [] }] },
      {
        kind: 'firewall.cut',
        flows: [{ source: ['192.168.66.10', '192.168.66.10'], destination: ['172.16.10.0', '172.16.10.255'] }],
      },
    ]);
  });

  it('a rule taken away cuts nothing: UDP 51820 is not tracked', () => {
    const less = { ...example, config: exampleConfig({ rules: [] }) };
    expect(planned(example, less)).toMatchObject([{ kind: 'firewall.elements', changes: [{ set: 'rule4' }] }]);
  });

  it('another WAN port: what goes goes by the old rules, what comes comes by the new ones', () => {
    const config = withLan(
      { wan: 'wan9' },
      exampleConfig({ rules: [{ ...exampleConfig().rules[0]!, source: prefix('198.51.100.0/24') }] }),
    );
    const operations = planned(example, { ...example, config });
    expect(operations.map(({ kind }) => kind)).toEqual(['firewall.elements', 'firewall.load', 'firewall.elements']);
    expect(operations[0]).toMatchObject({ changes: [{ set: 'rule4', remove: [{}], add: [] }] });
    expect(operations[2]).toMatchObject({ changes: [{ set: 'rule4', remove: [], add: [{}] }] });
  });

  it('a lease that is shortened while the rules change is shortened first, one that is prolonged last', () => {
    const config = withLan({ wan: 'wan9' });
    const at = (first: number, second: number) => [
      lease('198.51.100.7/32', { deadline: moment.boot + first }),
      lease('198.51.100.8/32', { deadline: moment.boot + second }),
    ];
    const operations = planned(
      { ...example, leases: at(90_000, 10_000) },
      { config, leased: [], leases: at(50_000, 60_000) },
    );
    expect(operations[0]).toMatchObject({
      changes: [{ set: 'lease4', remove: [{ key: 'c6336407' }], add: [{ key: 'c6336407' }] }],
    });
    expect(operations[2]).toMatchObject({
      changes: [{ set: 'lease4', remove: [{ key: 'c6336408' }], add: [{ key: 'c6336408' }] }],
    });
  });

  it('the table is deleted only when a set is not as declared', () => {
    const desired = compile(example);
    for (const { name } of sets) {
      const firewall = build({ old: desired, half: desired, steps: 0, harm: [] });
      firewall.table?.sets.set(name, { interval: true, timeout: true, map: true, keyLength: 4, elements: [] });
      const [load] = planFirewall(desired, firewall.observe());
      expect(load).toMatchObject({ kind: 'firewall.load', why: 'sets differ' });
    }
  });

  it('overlapping and touching rules become blocks apart', () => {
    const rule = (source: string, i: number) => ({ id: `rule${i}`, source: prefix(source), note: '', server: null });
    const rules = ['203.0.113.4/31', '203.0.113.6/32', '203.0.113.0/30', '203.0.113.2/32', '203.0.113.9/32'].map(rule);
    const elements = compile({ ...example, config: exampleConfig({ rules }) }).elements.get('rule4');
    expect([...(elements?.values() ?? [])].map(({ key, last }) => `${key}-${last}`)).toEqual([
      'cb007100-cb007106',
      'cb007109-cb007109',
    ]);
  });

  it('an unclaimed router forwards nothing', () => {
    const unclaimed = { ...example, config: exampleConfig({ members: [], devices: [] }) };
    for (const set of ['access', 'internet', 'members']) {
      expect(compile(example).elements.get(set)?.size).toBeGreaterThan(0);
      expect(compile(unclaimed).elements.get(set)?.size).toBe(0);
    }
  });

  it('a disabled member has no device that may open the web pages', () => {
    const disabled = { ...example, config: withChanged('members', 1, { disabled: true }) };
    expect(compile(example).elements.get('members')?.size).toBe(1);
    expect(compile(disabled).elements.get('members')?.size).toBe(0);
  });
});

function at(key: string, offset: number) {
  return fromBytes(Uint8Array.fromHex(key.slice(offset, offset + 8)));
}

function between(address: string, first: string, last: string): boolean {
  const hex = address
    .split('.')
    .map((byte) => Number(byte).toString(16).padStart(2, '0'))
    .join('');
  return first <= hex && hex <= last;
}
