// The firewall: sets' elements compiled from the configuration, and the changes that make the table equal to it.
import { type Binding, bindings, type Grant, grants } from '../../model/access.ts';
import { type Address, family, fromNumber, type Prefix, rangeOf, toBytes } from '../../model/address.ts';
import type { Config } from '../../model/config.ts';
import { type Clock, type Lease, type Opening, openings } from '../../model/lease.ts';
import { claimed } from '../../model/roles.ts';
import { aliases, reserved } from '../../model/uplink.ts';
import { meters } from './knock.ts';
import {
  type BaseChain,
  type Chain,
  compileChains,
  declarations,
  refill,
  type SetDeclaration,
  sets,
  table,
} from './ruleset.ts';

/** One element by its bytes in network order, as hex; fields of a concatenation are padded to 4 bytes. */
export interface Element {
  readonly key: string;
  /** Last key of an interval, itself included; null: a single key. */
  readonly last: string | null;
  /** A map's value. */
  readonly data: string | null;
  /** Monotonic clock, milliseconds, when the kernel drops it; null: never. */
  readonly deadline: number | null;
}

/** Element by what it matches: two with the same identity cannot be in one set. */
export type Elements = ReadonlyMap<string, Element>;

export interface DesiredFirewall {
  readonly chains: readonly Chain[];
  readonly elements: ReadonlyMap<string, Elements>;
}

export interface ObservedChain {
  readonly name: string;
  /** `strange`: on a hook or of a type that we never use. */
  readonly base: BaseChain | 'strange' | null;
  /** The rules' comments in order; empty text where there is none. */
  readonly rules: readonly string[];
}

/** Null: there is no table. */
export type ObservedFirewall = {
  readonly chains: readonly ObservedChain[];
  readonly sets: ReadonlyMap<string, Omit<SetDeclaration, 'type' | 'data' | 'name'> & { readonly map: boolean }>;
  readonly elements: ReadonlyMap<string, Elements>;
} | null;

/** Taking elements out and putting elements in, in one transaction. */
export interface ElementChange {
  readonly set: string;
  readonly remove: readonly Element[];
  readonly add: readonly Element[];
}

/** Flows whose connection tracking entries go, so that nothing of a lost right lingers. Null matches everything. */
export interface Cut {
  readonly source: readonly [first: Address, last: Address];
  readonly destination: readonly [first: Address, last: Address] | null;
}

export type FirewallOperation =
  /** nft text, one transaction. */
  | { readonly kind: 'firewall.load'; readonly script: string; readonly why: string }
  | { readonly kind: 'firewall.elements'; readonly changes: readonly ElementChange[] }
  | { readonly kind: 'firewall.cut'; readonly flows: readonly Cut[] };

export interface FirewallInput {
  readonly config: Config;
  readonly leases: readonly Lease[];
}

export function compileFirewall(
  { config, leases }: FirewallInput,
  leased: readonly Binding[],
  clock: Clock,
): DesiredFirewall {
  const { chains, lists } = lasting(config, leased);
  const open = openings(leases, clock);
  const all: Readonly<Record<string, Elements>> = {
    ...lists,
    lease4: keyed(open.exact.filter((one) => one.family === 4).map(exactly)),
    lease6: keyed(open.exact.filter((one) => one.family === 6).map(exactly)),
    lease4_net: keyed(open.blocks.filter((one) => one.family === 4).map(interval)),
    lease6_net: keyed(open.blocks.filter((one) => one.family === 6).map(interval)),
  };
  return { chains, elements: new Map(sets.map(({ name }) => [name, all[name]!])) };
}

interface Lasting {
  readonly chains: readonly Chain[];
  readonly lists: Readonly<Record<string, Elements>>;
}

let remembered: { readonly config: Config; readonly leased: string; readonly lasting: Lasting } | undefined;

/** Everything but the leases, remembered for the configuration it was last made from: a lease is in a hurry. */
function lasting(config: Config, leased: readonly Binding[]): Lasting {
  const text = JSON.stringify(leased);
  if (remembered?.config !== config || remembered.leased !== text) {
    remembered = { config, leased: text, lasting: compileLasting(config, leased) };
  }
  return remembered.lasting;
}

function compileLasting(config: Config, leased: readonly Binding[]): Lasting {
  const blocks = joined(config.rules.map(({ source }) => source));
  const bound = bindings(config, leased);
  const disabled = new Set(config.members.filter((one) => one.disabled).map(({ id }) => id));
  const members = config.devices.filter(({ member }) => !disabled.has(member));
  const lists: Readonly<Record<string, readonly Element[]>> = {
    rule4: blocks.filter((one) => one.family === 4).map(interval),
    rule6: blocks.filter((one) => one.family === 6).map(interval),
    access: accessElements(grants(config, leased)),
    bindings: bound.map(({ mac, address }) => single(`${mac.replaceAll(':', '')}0000${hex(address)}`)),
    members: members.map(({ address }) => single(hex(address))),
    uplinks: joined(config.uplinks.flatMap(reserved)).map(interval),
    alias: config.uplinks.flatMap(aliases).map(({ alias, address }) => ({ ...single(hex(alias)), data: hex(address) })),
    internet:
      config.lan === null || !claimed(config) ? [] : [interval({ ...rangeOf(config.lan.range), deadline: null })],
    identity: bound.flatMap(({ address, device }) =>
      device === null ? [] : [{ ...single(hex(address)), data: hex(device.identity) }],
    ),
  };
  return {
    chains: compileChains(config),
    lists: Object.fromEntries(Object.entries(lists).map(([name, elements]) => [name, keyed(elements)])),
  };
}

/** What tells elements of one set apart. */
export function identityOf({ key, last, data }: Element): string {
  return `${key}${last === null ? '' : `-${last}`}${data === null ? '' : `=${data}`}`;
}

export function keyed(elements: readonly Element[]): Elements {
  return new Map(elements.map((element) => [identityOf(element), element]));
}

function hex(address: Address): string {
  return toBytes(address).toHex();
}

function single(key: string): Element {
  return { key, last: null, data: null, deadline: null };
}

type Block = Omit<Opening, 'deadline'> & { readonly deadline: number | null };

function interval({ family: of, first, last, deadline }: Block): Element {
  return { key: hex(fromNumber(of, first)), last: hex(fromNumber(of, last)), data: null, deadline };
}

function exactly({ family: of, first, deadline }: Opening): Element {
  return { key: hex(fromNumber(of, first)), last: null, data: null, deadline };
}

/** Overlapping and touching prefixes as blocks apart: an interval set refuses anything else. */
function joined(prefixes: readonly Prefix[]): readonly Block[] {
  const blocks: Block[] = [];
  for (const version of [4, 6] as const) {
    const ranges = prefixes.filter((prefix) => family(prefix) === version).map(rangeOf);
    ranges.sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
    let current: Block | undefined;
    for (const { first, last } of ranges) {
      if (current !== undefined && first <= current.last + 1n) {
        current = { ...current, last: last > current.last ? last : current.last };
        blocks[blocks.length - 1] = current;
      } else {
        current = { family: version, first, last, deadline: null };
        blocks.push(current);
      }
    }
  }
  return blocks;
}

function accessElements(all: readonly Grant[]): readonly Element[] {
  const ends = new Map<Prefix, readonly [string, string]>();
  const endsOf = (prefix: Prefix): readonly [string, string] => {
    const known = ends.get(prefix);
    if (known !== undefined) return known;
    const { family: of, first, last } = rangeOf(prefix);
    const made = [hex(fromNumber(of, first)), hex(fromNumber(of, last))] as const;
    ends.set(prefix, made);
    return made;
  };
  return all.map(({ from, to }) => {
    const [fromFirst, fromLast] = endsOf(from);
    const [toFirst, toLast] = endsOf(to);
    return { key: fromFirst + toFirst, last: fromLast + toLast, data: null, deadline: null };
  });
}

/** How far the kernel's end of an element may be from ours before it is set anew. Milliseconds. */
export const deadlineTolerance = 500;

/**
 * Structure and elements as single transactions; then flows that lost their right are forgotten. Where chains and
 * elements both change, old elements never meet new rules, nor new elements old ones: what goes, goes before the load.
 */
export function planFirewall(desired: DesiredFirewall, observed: ObservedFirewall): readonly FirewallOperation[] {
  const structure = planStructure(desired, observed);
  // Elements of a set that is not as declared cannot be read; it goes with the table.
  const now = new Map(
    sets.map((one) => [one.name, isThere(one, observed) ? observed?.elements.get(one.name) : undefined]),
  );
  const from = (elements: ReadonlyMap<string, Elements | undefined>) =>
    sets.map(({ name }) => elementChange(name, desired.elements.get(name), elements.get(name)));
  const changes = from(now);
  const flows = changes.flatMap(cuts);
  return [
    ...steps(structure, changes, () => from(new Map())),
    ...(flows.length === 0 ? [] : [{ kind: 'firewall.cut' as const, flows }]),
  ];
}

function steps(
  structure: Structure | null,
  changes: readonly ElementChange[],
  everything: () => readonly ElementChange[],
): readonly FirewallOperation[] {
  if (structure === null) return changeOf(changes);
  const { load, rebuilds } = structure;
  if (rebuilds) return [load, ...changeOf(everything())];
  return [...changeOf(changes.map(taken)), load, ...changeOf(changes.map(given))];
}

function changeOf(all: readonly ElementChange[]): readonly FirewallOperation[] {
  const changes = all.filter(({ add, remove }) => add.length > 0 || remove.length > 0);
  return changes.length === 0 ? [] : [{ kind: 'firewall.elements', changes }];
}

/** The part of a change that allows less: what goes, and what ends earlier. */
function taken({ set, remove, add }: ElementChange): ElementChange {
  const next = keyed(add);
  const less = remove.filter((one) => end(next.get(identityOf(one))) < end(one));
  return { set, remove: less, add: less.flatMap((one) => next.get(identityOf(one)) ?? []) };
}

/** The rest of it. */
function given(change: ElementChange): ElementChange {
  const done = taken(change);
  const known = new Set([...done.remove, ...done.add]);
  const left = (all: readonly Element[]) => all.filter((one) => !known.has(one));
  return { set: change.set, remove: left(change.remove), add: left(change.add) };
}

/** When it ends, as a number to compare; what is not there has ended always. */
function end(element: Element | undefined): number {
  if (element === undefined) return Number.NEGATIVE_INFINITY;
  return element.deadline ?? Number.POSITIVE_INFINITY;
}

interface Structure {
  readonly load: FirewallOperation;
  /** The sets are new and empty afterwards. */
  readonly rebuilds: boolean;
}

/** Meters are made by us and filled by the kernel. */
const declared = [...sets, ...meters];

function planStructure({ chains }: DesiredFirewall, observed: ObservedFirewall): Structure | null {
  const structure = (why: string, rebuilds: boolean, script: readonly string[]): Structure => ({
    load: { kind: 'firewall.load', script: `${script.join('\n')}\n`, why },
    rebuilds,
  });
  const everything = [...declarations(chains), ...refill(chains)];
  if (observed === null) return structure('no table', true, everything);
  // A set's type cannot change. Deleting the table is for this alone: it loses packets and every timeout.
  if (declared.some((one) => observed.sets.has(one.name) && !isThere(one, observed))) {
    return structure('sets differ', true, [`add table inet ${table}`, `delete table inet ${table}`, ...everything]);
  }
  const there = new Map(observed.chains.map((chain) => [chain.name, chain]));
  const wanted = new Set(chains.map(({ name }) => name));
  const wrongHook = chains.filter(({ name, base }) => {
    const now = there.get(name);
    return now !== undefined && !sameBase(base, now.base);
  });
  const differing = chains.filter((chain) => !sameRules(chain, there.get(chain.name)));
  const strange = observed.chains.filter(({ name }) => !wanted.has(name));
  const strangeSets = [...observed.sets].filter(([name]) => !declared.some((one) => one.name === name));
  const missingSets = declared.filter(({ name }) => !observed.sets.has(name));
  const surplus = [...wrongHook, ...strange].map(({ name }) => `delete chain inet ${table} ${name}`);
  for (const [name, { map }] of strangeSets) surplus.unshift(`delete ${map ? 'map' : 'set'} inet ${table} ${name}`);
  if (surplus.length === 0) {
    if (differing.length === 0 && missingSets.length === 0) return null;
    return structure('chains differ', false, [...declarations(chains), ...refill(differing)]);
  }
  // Everything that could refer to a chain or set is emptied before that goes.
  const empty = observed.chains.map(({ name }) => `flush chain inet ${table} ${name}`);
  return structure('chains differ', false, [...empty, ...surplus, ...everything]);
}

/** Whether the set is in the table, as declared. */
function isThere(wanted: SetDeclaration, observed: ObservedFirewall): boolean {
  const now = observed?.sets.get(wanted.name);
  return (
    now !== undefined &&
    now.interval === wanted.interval &&
    now.timeout === wanted.timeout &&
    now.map === (wanted.data !== null) &&
    now.keyLength === wanted.keyLength
  );
}

function sameBase(a: BaseChain | null, b: ObservedChain['base']): boolean {
  if (a === null || b === null || b === 'strange') return a === b;
  return a.type === b.type && a.hook === b.hook && a.priority === b.priority && a.policy === b.policy;
}

function sameRules({ rules }: Chain, now: ObservedChain | undefined): boolean {
  return (
    now !== undefined && now.rules.length === rules.length && rules.every(({ comment }, i) => comment === now.rules[i])
  );
}

const none: Elements = new Map();

function elementChange(set: string, desired = none, observed = none): ElementChange {
  const remove: Element[] = [];
  const add: Element[] = [];
  for (const [identity, element] of observed) {
    const wanted = desired.get(identity);
    // Kernels before 6.12 ignore a new timeout on an element that is there: out and in again.
    if (wanted === undefined || !sameDeadline(wanted, element)) remove.push(element);
  }
  for (const [identity, element] of desired) {
    const now = observed.get(identity);
    if (now === undefined || !sameDeadline(element, now)) add.push(element);
  }
  return { set, remove, add };
}

function sameDeadline(a: Element, b: Element): boolean {
  if (a.deadline === null || b.deadline === null) return a.deadline === b.deadline;
  return Math.abs(a.deadline - b.deadline) <= deadlineTolerance;
}

/** What a removed element allowed; what is only replaced keeps its flows. */
function cuts({ set, remove, add }: ElementChange): readonly Cut[] {
  const stays = new Set(add.map(identityOf));
  const gone = remove.filter((element) => !stays.has(identityOf(element)));
  switch (set) {
    case 'access':
      return gone.map((one) => ({
        source: ends(one.key.slice(0, 8), lastOf(one).slice(0, 8)),
        destination: ends(one.key.slice(8), lastOf(one).slice(8)),
      }));
    case 'bindings':
      return gone.map(({ key }) => ({ source: ends(key.slice(16), key.slice(16)), destination: null }));
    case 'alias':
      return gone.map(({ key }) => ({ source: everywhere, destination: ends(key, key) }));
    case 'identity':
    case 'internet':
    case 'members':
      return gone.map((one) => ({ source: ends(one.key, lastOf(one)), destination: null }));
    default:
      // UDP 51820 is not tracked.
      return [];
  }
}

const everywhere = ends('00000000', 'ffffffff');

function lastOf({ key, last }: Element): string {
  return last ?? key;
}

/** Nothing that is tracked and forwarded is IPv6. */
function ends(first: string, last: string): readonly [Address, Address] {
  return [fromHex(first), fromHex(last)];
}

function fromHex(text: string): Address {
  return fromNumber(4, BigInt(`0x${text}`));
}
