// The table `inet apn` in memory: reads the nft text that the planner writes, and keeps sets by the kernel's rules.
import { type Address, rangeOf } from '../../model/address.ts';
import {
  type Element,
  type ElementChange,
  type FirewallOperation,
  identityOf,
  type ObservedChain,
  type ObservedFirewall,
} from '../plan/firewall.ts';
import type { BaseChain } from '../plan/ruleset.ts';
import type { Fake } from './fake.ts';

export interface FakeChain {
  readonly base: ObservedChain['base'];
  readonly rules: readonly { readonly text: string; readonly comment: string }[];
}

export interface FakeSet {
  readonly interval: boolean;
  readonly timeout: boolean;
  readonly map: boolean;
  readonly keyLength: number;
  readonly elements: readonly Element[];
  /** Chains that a verdict map of somebody else leads to. */
  readonly leadsTo?: readonly string[];
}

export interface FakeTable {
  readonly chains: Map<string, FakeChain>;
  readonly sets: Map<string, FakeSet>;
}

/** A connection tracking entry by its original direction. */
export interface Flow {
  readonly source: Address;
  readonly destination: Address;
}

export class FakeFirewall implements Fake<'firewall'> {
  table: FakeTable | null = null;
  flows: readonly Flow[] = [];
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  observe(): ObservedFirewall {
    if (this.table === null) return null;
    const { chains, sets } = this.table;
    const live = (elements: readonly Element[]) => elements.filter((one) => !this.#over(one));
    return {
      chains: [...chains].map(([name, { base, rules }]) => ({
        name,
        base,
        rules: rules.map(({ comment }) => comment),
      })),
      sets: new Map(
        [...sets].map(([name, { interval, timeout, map, keyLength }]) => [name, { interval, timeout, map, keyLength }]),
      ),
      elements: new Map(
        [...sets].map(([name, { elements }]) => [name, new Map(live(elements).map((one) => [identityOf(one), one]))]),
      ),
    };
  }

  apply(operation: FirewallOperation): void {
    switch (operation.kind) {
      case 'firewall.load': {
        let next = copy(this.table);
        for (const line of operation.script.split('\n')) next = line === '' ? next : command(next, line);
        this.table = next;
        return;
      }
      case 'firewall.elements': {
        const next = copy(this.table);
        for (const change of operation.changes) this.#change(next, change);
        this.table = next;
        return;
      }
      case 'firewall.cut': {
        const lost = operation.flows;
        this.flows = this.flows.filter(
          (flow) =>
            !lost.some(
              ({ source, destination }) =>
                within(flow.source, source) && (destination === null || within(flow.destination, destination)),
            ),
        );
      }
    }
  }

  #over({ deadline }: Element): boolean {
    return deadline !== null && deadline <= this.#now();
  }

  #change(table: FakeTable | null, { set, remove, add }: ElementChange): void {
    const now = table?.sets.get(set);
    if (table === null || now === undefined) throw new Error(`ENOENT: set ${set}`);
    const left = new Map(now.elements.filter((one) => !this.#over(one)).map((one) => [identityOf(one), one]));
    for (const one of remove) if (!left.delete(identityOf(one))) throw new Error(`ENOENT: ${set} ${identityOf(one)}`);
    for (const one of add) {
      if (this.#over(one)) continue;
      check(set, now, one);
      const clash = [...left.values()].find((other) => overlapping(one, other));
      // The kernel takes an element that is there already, and leaves its timeout as it is.
      if (clash === undefined) left.set(identityOf(one), one);
      else if (identityOf(clash) !== identityOf(one)) throw new Error(`EEXIST: ${set} ${identityOf(one)}`);
    }
    table.sets.set(set, { ...now, elements: [...left.values()] });
  }
}

function copy(table: FakeTable | null): FakeTable | null {
  return table === null ? null : { chains: new Map(table.chains), sets: new Map(table.sets) };
}

function check(
  set: string,
  { interval, timeout, map, keyLength }: FakeSet,
  { key, last, data, deadline }: Element,
): void {
  const wrong =
    key.length !== keyLength * 2 ||
    (last !== null) !== interval ||
    (last !== null && last.length !== key.length) ||
    (data !== null) !== map ||
    (deadline !== null && !timeout);
  if (wrong) throw new Error(`EINVAL: ${set} ${key}`);
}

/** Whether some key matches both: in every field of a concatenation (4 bytes each, 16 of an IPv6 address). */
function overlapping(one: Element, other: Element): boolean {
  const width = one.key.length === 32 ? 32 : 8;
  for (let at = 0; at < one.key.length; at += width) {
    const field = ({ key, last }: Element) => [key.slice(at, at + width), (last ?? key).slice(at, at + width)] as const;
    const [first, end] = field(one);
    const [otherFirst, otherEnd] = field(other);
    if (first > otherEnd || otherFirst > end) return false;
  }
  return true;
}

function within(address: Address, [first, last]: readonly [Address, Address]): boolean {
  const number = rangeOf(address).first;
  return rangeOf(first).first <= number && number <= rangeOf(last).last;
}

const keyLengths: Readonly<Record<string, number>> = { ipv4_addr: 4, ipv6_addr: 16, ether_addr: 8 };

/** One line of nft text. @throws Error for anything that is not about our table, and for what the kernel refuses. */
function command(table: FakeTable | null, line: string): FakeTable | null {
  const words = /^(add|flush|delete) (table|set|map|chain|rule) inet apn(?: (\w+))?(?: (.*))?$/.exec(line);
  if (words === null) throw new Error(`not ours: ${line}`);
  const [, verb, noun, name = '', rest = ''] = words;
  if (noun === 'table') {
    if (verb === 'add') return table ?? { chains: new Map(), sets: new Map() };
    if (table === null) throw new Error('ENOENT: table');
    return null;
  }
  if (table === null) throw new Error('ENOENT: table');
  const { chains, sets } = table;
  switch (`${verb} ${noun}`) {
    case 'add chain':
      addChain(chains, name, rest);
      break;
    case 'add set':
    case 'add map':
      addSet(sets, name, noun === 'map', rest);
      break;
    case 'add rule':
      addRule(table, name, rest);
      break;
    case 'flush chain':
      chains.set(name, { ...existing(chains, name), rules: [] });
      break;
    case 'delete chain':
      existing(chains, name);
      if (leadsTo(table, name)) throw new Error(`EBUSY: chain ${name}`);
      chains.delete(name);
      break;
    case 'delete set':
    case 'delete map':
      existing(sets, name);
      if (mentions(chains, new RegExp(`@${name}\\b`))) throw new Error(`EBUSY: set ${name}`);
      sets.delete(name);
      break;
    default:
      throw new Error(`not understood: ${line}`);
  }
  return table;
}

function existing<T>(things: ReadonlyMap<string, T>, name: string): T {
  const thing = things.get(name);
  if (thing === undefined) throw new Error(`ENOENT: ${name}`);
  return thing;
}

function mentions(chains: FakeTable['chains'], what: RegExp): boolean {
  return [...chains.values()].some(({ rules }) => rules.some(({ text }) => what.test(text)));
}

function leadsTo({ chains, sets }: FakeTable, chain: string): boolean {
  const jumps = mentions(chains, new RegExp(`\\b(jump|goto) ${chain}\\b`));
  return jumps || [...sets.values()].some((set) => set.leadsTo?.includes(chain));
}

const baseText =
  /^\{ type (filter|nat) hook (prerouting|input|forward|output|postrouting) priority (-?\d+); policy (accept|drop); \}$/;

function addChain(chains: FakeTable['chains'], name: string, rest: string): void {
  const hook = baseText.exec(rest);
  if (rest !== '' && hook === null) throw new Error(`not understood: ${rest}`);
  const base =
    hook === null ? null : ({ type: hook[1], hook: hook[2], priority: Number(hook[3]), policy: hook[4] } as BaseChain);
  const now = chains.get(name);
  if (now === undefined) chains.set(name, { base, rules: [] });
  else if (JSON.stringify(now.base) !== JSON.stringify(base)) throw new Error(`EEXIST: chain ${name}`);
}

function addSet(sets: FakeTable['sets'], name: string, map: boolean, rest: string): void {
  const body = /^\{ type ([a-z0-9_ .]+?)(?: : \w+)?;(?: flags ([a-z,]+);)?(?: size \d+; timeout \d+s;)? \}$/.exec(rest);
  if (body === null) throw new Error(`not understood: ${rest}`);
  const flags = body[2]?.split(',') ?? [];
  const keyLength = (body[1] ?? '').split(' . ').reduce((sum, type) => sum + (keyLengths[type] ?? Number.NaN), 0);
  const made: FakeSet = {
    interval: flags.includes('interval'),
    timeout: flags.includes('timeout'),
    map,
    keyLength,
    elements: [],
  };
  const now = sets.get(name);
  if (now === undefined) sets.set(name, made);
  else if (JSON.stringify({ ...now, elements: [] }) !== JSON.stringify(made)) throw new Error(`EEXIST: set ${name}`);
}

function addRule(table: FakeTable, name: string, rest: string): void {
  const rule = /^(.*) comment "([^"]*)"$/.exec(rest);
  if (rule === null) throw new Error(`not understood: ${rest}`);
  const [, text = '', comment = ''] = rule;
  const chain = existing(table.chains, name);
  for (const [, set = ''] of text.matchAll(/@(?!th,)(\w+)/g)) existing(table.sets, set);
  for (const [, target = ''] of text.matchAll(/\b(?:jump|goto) (\w+)/g)) existing(table.chains, target);
  table.chains.set(name, { ...chain, rules: [...chain.rules, { text, comment }] });
}
