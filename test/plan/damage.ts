// What may have happened to our table behind our back: random changes that the kernel would have accepted.
import fc from 'fast-check';
import type { FakeChain, FakeFirewall, FakeSet, FakeTable } from '../../src/router/drivers/fake-firewall.ts';
import type { Element } from '../../src/router/plan/firewall.ts';
import { sets } from '../../src/router/plan/ruleset.ts';

const kinds = [
  'drop table',
  'delete chain',
  'rename chain',
  'wrong policy',
  'wrong priority',
  'wrong hook',
  'no base',
  'strange base',
  'delete rule',
  'add rule',
  'swap rules',
  'strange chain',
  'strange base chain',
  'strange set',
  'verdict map',
  'delete set',
  'wrong set',
  'wrong key',
  'delete element',
  'add element',
  'shift deadline',
  'nudge deadline',
  'other data',
] as const;

export interface Damage {
  readonly kind: (typeof kinds)[number];
  readonly n: number;
}

export const anyDamage: fc.Arbitrary<readonly Damage[]> = fc.array(
  fc.record({ kind: fc.constantFrom(...kinds), n: fc.nat(1000) }),
  { maxLength: 4 },
);

export function damage(firewall: FakeFirewall, all: readonly Damage[]): void {
  for (const { kind, n } of all) {
    if (firewall.table === null) return;
    if (kind === 'drop table') firewall.table = n % 5 === 0 ? null : firewall.table;
    else change(firewall.table, kind, n);
  }
}

function change({ chains, sets: there }: FakeTable, kind: Damage['kind'], n: number): void {
  const [name, chain] = pick([...chains], n);
  const [setName, set] = pick([...there], n);
  const { rules, base } = chain;
  const at = rules.length === 0 ? 0 : n % rules.length;
  const put = (changes: Partial<FakeChain>) => chains.set(name, { ...chain, ...changes });
  const putSet = (changes: Partial<FakeSet>) => there.set(setName, { ...set, ...changes });
  const elements = set.elements;
  const index = elements.length === 0 ? 0 : n % elements.length;
  const putElement = (changes: Partial<Element>) =>
    putSet({ elements: elements.map((one, i) => (i === index ? { ...one, ...changes } : one)) });
  switch (kind) {
    case 'drop table':
      return;
    case 'delete chain':
      chains.delete(name);
      withoutRules(chains, new RegExp(`\\b(jump|goto) ${name}\\b`));
      return;
    case 'rename chain':
      chains.delete(name);
      chains.set(`${name}_x`, chain);
      for (const [other, { rules: texts, ...rest }] of chains) {
        const renamed = texts.map((rule) => ({
          ...rule,
          text: rule.text.replace(new RegExp(`\\b(jump|goto) ${name}\\b`), `$1 ${name}_x`),
        }));
        chains.set(other, { ...rest, rules: renamed });
      }
      return;
    case 'wrong policy':
      if (base !== null && base !== 'strange')
        put({ base: { ...base, policy: base.policy === 'drop' ? 'accept' : 'drop' } });
      return;
    case 'wrong priority':
      if (base !== null && base !== 'strange') put({ base: { ...base, priority: base.priority + 1 } });
      return;
    case 'wrong hook':
      if (base !== null && base !== 'strange')
        put({ base: { ...base, hook: base.hook === 'input' ? 'output' : 'input' } });
      return;
    case 'no base':
      put({ base: null });
      return;
    case 'strange base':
      put({ base: 'strange' });
      return;
    case 'delete rule':
      put({ rules: rules.filter((_, i) => i !== at) });
      return;
    case 'add rule':
      put({ rules: rules.toSpliced(at, 0, { text: 'accept', comment: n % 2 === 0 ? '' : 'not ours' }) });
      return;
    case 'swap rules':
      put({ rules: rules.toReversed() });
      return;
    case 'strange chain':
      chains.set(`strange${n % 3}`, { base: null, rules: [{ text: 'accept', comment: '' }] });
      put({ rules: [...rules, { text: `jump strange${n % 3}`, comment: '' }] });
      return;
    case 'strange base chain':
      chains.set('intruder', { base: { type: 'filter', hook: 'forward', priority: -1, policy: 'accept' }, rules: [] });
      return;
    case 'strange set':
      there.set('strange', { interval: false, timeout: false, map: false, keyLength: 4, elements: [] });
      put({ rules: [...rules, { text: 'ip saddr @strange accept', comment: '' }] });
      return;
    case 'verdict map':
      chains.set('strange_target', { base: null, rules: [] });
      there.set('verdicts', {
        interval: false,
        timeout: false,
        map: true,
        keyLength: 4,
        elements: [],
        leadsTo: ['strange_target', name],
      });
      return;
    case 'delete set':
      there.delete(setName);
      withoutRules(chains, new RegExp(`@${setName}\\b`));
      return;
    case 'wrong set':
      putSet({ interval: !set.interval, elements: [] });
      return;
    case 'wrong key':
      putSet({ keyLength: set.keyLength + 4, elements: [] });
      return;
    case 'delete element':
      putSet({ elements: elements.filter((_, i) => i !== index) });
      return;
    case 'add element':
      if (sets.some((one) => one.name === setName)) putSet({ elements: [...elements, strangeElement(set, n)] });
      return;
    case 'shift deadline':
      if (set.timeout) putElement({ deadline: (elements[index]?.deadline ?? 0) + (n % 2 === 0 ? 5000 : -5000) });
      return;
    case 'nudge deadline':
      if (set.timeout) putElement({ deadline: (elements[index]?.deadline ?? 0) + (n % 2 === 0 ? 300 : -300) });
      return;
    case 'other data':
      if (set.map) putElement({ data: 'ac1002fe' });
  }
}

/** Far from everything the builders make, so that nothing overlaps. */
function strangeElement({ interval, timeout, map, keyLength }: FakeSet, n: number): Element {
  const key = (n % 7).toString(16).padStart(keyLength * 2, '0');
  return {
    key,
    last: interval ? key : null,
    data: map ? 'ac1002fe' : null,
    deadline: timeout && n % 2 === 0 ? 9_000_000 : null,
  };
}

function withoutRules(chains: FakeTable['chains'], what: RegExp): void {
  for (const [name, { rules, ...rest }] of chains) {
    chains.set(name, { ...rest, rules: rules.filter(({ text }) => !what.test(text)) });
  }
}

function pick<T>(list: readonly T[], n: number): T {
  return list[n % list.length] as T;
}
