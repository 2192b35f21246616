// The firewall driver: reads the table over netlink, loads structure with `nft -f -`, changes elements over netlink.

import { type Address, fromBytes, rangeOf, toNumber } from '../../model/address.ts';
import { type ConntrackEntry, decodeEntries, encodeDeleteEntry, encodeDumpEntries } from '../netlink/conntrack.ts';
import {
  decodeElements,
  encodeDumpElements,
  encodeSetChanges,
  intervalElements,
  pairIntervals,
  type SetChange,
  type SetElement,
} from '../netlink/elements.ts';
import { NetlinkError } from '../netlink/message.ts';
import { netfilterFamily } from '../netlink/nfnetlink.ts';
import {
  decodeChains,
  decodeGeneration,
  decodeRules,
  decodeSets,
  decodeTables,
  encodeDumpChains,
  encodeDumpRules,
  encodeDumpSets,
  encodeDumpTables,
  encodeGetGeneration,
  type NftChain,
  setFlag,
} from '../netlink/nftables.ts';
import { type NetlinkSocket, openNetfilter } from '../netlink/socket.ts';
import {
  type Cut,
  type Element,
  type ElementChange,
  type Elements,
  type FirewallOperation,
  identityOf,
  keyed,
  type ObservedChain,
  type ObservedFirewall,
} from '../plan/firewall.ts';
import { hookNumber, sets, table } from '../plan/ruleset.ts';
import type { Driver } from './driver.ts';
import { run } from './run.ts';

const ours = { family: netfilterFamily.inet, name: table } as const;
const hooks = ['prerouting', 'input', 'forward', 'output', 'postrouting'] as const;

export interface FirewallOptions {
  /** Monotonic clock, milliseconds. */
  readonly now: () => number;
}

export function createFirewallDriver({ now }: FirewallOptions): Driver<'firewall'> {
  const socket = openNetfilter();
  const observe = observer(socket, now);
  return {
    observe,
    apply: (operation) => apply(socket, now, operation),
    close: () => socket.close(),
  };
}

/**
 * The kernel numbers its transactions: while the number is the one of the last look, only elements that expire can be
 * different, and nothing else is read again.
 */
function observer(socket: NetlinkSocket, now: () => number): () => Promise<ObservedFirewall> {
  const expiring = sets.filter(({ timeout }) => timeout).map(({ name }) => name);
  let last: { readonly generation: number; readonly observed: ObservedFirewall } | undefined;
  const generation = async () => decodeGeneration(await socket.request(encodeGetGeneration()));
  return async () => {
    const before = await generation();
    if (last?.generation === before) {
      const { observed } = last;
      if (observed === null) return null;
      const there = expiring.filter((name) => observed.elements.has(name));
      return { ...observed, elements: new Map([...observed.elements, ...(await readElements(socket, there, now))]) };
    }
    const observed = await observe(socket, now);
    last = before === (await generation()) ? { generation: before, observed } : undefined;
    return observed;
  };
}

async function readElements(socket: NetlinkSocket, names: readonly string[], now: () => number) {
  const elements = new Map<string, Elements>();
  for (const name of names) {
    const dumped = decodeElements(await socket.request(encodeDumpElements(ours, name)));
    elements.set(name, keyed(observedElements(name, dumped, now())));
  }
  return elements;
}

async function observe(socket: NetlinkSocket, now: () => number): Promise<ObservedFirewall> {
  const tables = decodeTables(await socket.request(encodeDumpTables(ours.family)));
  if (!tables.some(({ family, name }) => family === ours.family && name === ours.name)) return null;
  const chains = decodeChains(await socket.request(encodeDumpChains(ours.family)), ours);
  const rules = decodeRules(await socket.request(encodeDumpRules(ours)));
  const there = decodeSets(await socket.request(encodeDumpSets(ours))).filter(
    ({ flags }) => (flags & setFlag.anonymous) === 0,
  );
  const names = sets.map(({ name }) => name).filter((name) => there.some((each) => each.name === name));
  const elements = await readElements(socket, names, now);
  const comments = Map.groupBy(rules, ({ chain }) => chain);
  return {
    chains: chains.map((chain) => ({
      name: chain.name,
      base: baseOf(chain),
      rules: (comments.get(chain.name) ?? []).map(({ comment }) => comment ?? ''),
    })),
    sets: new Map(
      there.map(({ name, flags, keyLength }) => [
        name,
        {
          interval: (flags & setFlag.interval) !== 0,
          timeout: (flags & setFlag.timeout) !== 0,
          map: (flags & setFlag.map) !== 0,
          keyLength,
        },
      ]),
    ),
    elements,
  };
}

function baseOf({ base }: NftChain): ObservedChain['base'] {
  if (base === undefined) return null;
  const hook = hooks.find((name) => hookNumber(name) === base.hook);
  if (hook === undefined || (base.type !== 'filter' && base.type !== 'nat')) return 'strange';
  return { type: base.type, hook, priority: base.priority, policy: base.policy };
}

function isConcatenation(set: string): boolean {
  return sets.some(({ name, type }) => name === set && type.includes(' . '));
}

function isInterval(set: string): boolean {
  return sets.some(({ name, interval }) => name === set && interval);
}

function observedElements(set: string, dumped: readonly SetElement[], now: number): readonly Element[] {
  if (!isInterval(set)) return dumped.map((each) => observed(each, each.key, null, now));
  if (isConcatenation(set)) return dumped.map((each) => observed(each, each.key, each.keyEnd ?? each.key, now));
  return pairIntervals(dumped).map(({ first, last, element }) => observed(element, first, last, now));
}

function observed(element: SetElement, key: Uint8Array, last: Uint8Array | null, now: number): Element {
  return {
    key: plain(key).toHex(),
    last: last === null ? null : plain(last).toHex(),
    data: element.data === undefined ? null : plain(element.data).toHex(),
    deadline: element.expiration === undefined ? null : now + element.expiration,
  };
}

function plain(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(bytes);
}

async function apply(socket: NetlinkSocket, now: () => number, operation: FirewallOperation): Promise<void> {
  switch (operation.kind) {
    case 'firewall.load':
      await run('nft', ['-f', '-'], operation.script);
      return;
    case 'firewall.elements': {
      const changes: SetChange[] = [];
      for (const change of operation.changes) {
        const refills = change.remove.length > manyRemovals && isConcatenation(change.set);
        changes.push(...(refills ? await refillOf(socket, change, now()) : batchOf(change, now())));
      }
      await socket.batch(encodeSetChanges(ours, changes));
      return;
    }
    case 'firewall.cut':
      await cut(socket, operation.flows);
  }
}

/**
 * The kernel takes up to 25 ms to delete one element of a big concatenation, while it sits in our system call; filling
 * the set anew takes 2 s for 6,000 elements (6.18). Within one transaction nobody sees the set empty.
 */
const manyRemovals = 100;

async function refillOf(socket: NetlinkSocket, change: ElementChange, now: number): Promise<readonly SetChange[]> {
  const { set, remove, add } = change;
  const there = (await readElements(socket, [set], () => now)).get(set) ?? new Map();
  const gone = new Set(remove.map(identityOf));
  const kept = [...there].flatMap(([identity, element]) => (gone.has(identity) ? [] : [element]));
  const filled = batchOf({ set, remove: [], add: [...kept, ...add] }, now);
  return [{ action: 'flush', set, elements: [] }, ...filled];
}

/** Out, then in: within one transaction nobody sees the state between. */
function batchOf({ set, remove, add }: ElementChange, now: number): readonly SetChange[] {
  const encode = (element: Element) => wireElements(set, element, now);
  const changes: SetChange[] = [];
  if (remove.length > 0)
    changes.push({
      action: 'delete',
      set,
      elements: remove.map((one) => ({ ...one, deadline: null })).flatMap(encode),
    });
  const live = add.filter(({ deadline }) => deadline === null || deadline > now);
  if (live.length > 0) changes.push({ action: 'add', set, elements: live.flatMap(encode) });
  return changes;
}

function wireElements(set: string, { key, last, data, deadline }: Element, now: number): readonly SetElement[] {
  const first = Uint8Array.fromHex(key);
  const more = {
    ...(data === null ? {} : { data: Uint8Array.fromHex(data) }),
    ...(deadline === null ? {} : { timeout: Math.max(1, Math.round(deadline - now)) }),
  };
  if (last === null) return [{ key: first, ...more }];
  const end = Uint8Array.fromHex(last);
  return isConcatenation(set) ? [{ key: first, keyEnd: end, ...more }] : intervalElements(first, end, more);
}

async function cut(socket: NetlinkSocket, flows: readonly Cut[]): Promise<void> {
  const ranges = flows.map(({ source, destination }) => ({
    source: bounds(source),
    destination: destination === null ? null : bounds(destination),
  }));
  const entries = decodeEntries(await socket.request(encodeDumpEntries(4)));
  for (const entry of entries) {
    const from = number(entry.original.source);
    const to = number(entry.original.destination);
    const lost = ranges.some(
      ({ source, destination }) => within(from, source) && (destination === null || within(to, destination)),
    );
    if (lost) await forget(socket, entry);
  }
}

type Bounds = readonly [bigint, bigint];

function bounds([first, last]: readonly [Address, Address]): Bounds {
  return [rangeOf(first).first, rangeOf(last).last];
}

function within(value: bigint, [first, last]: Bounds): boolean {
  return first <= value && value <= last;
}

function number(bytes: Uint8Array): bigint {
  return toNumber(fromBytes(plain(bytes)));
}

async function forget(socket: NetlinkSocket, entry: ConntrackEntry): Promise<void> {
  try {
    await socket.request(encodeDeleteEntry(entry));
  } catch (error) {
    // It ended by itself meanwhile.
    if (!(error instanceof NetlinkError && error.code === 'ENOENT')) throw error;
  }
}
