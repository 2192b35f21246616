// What one group of clients with equal rights may see, and which group a source address belongs to.
import { type Address, type Family, family, parsePrefix, prefixLength, rangeOf, toNumber } from '../model/address.ts';
import type { ZoneClient } from '../model/zone.ts';
import type { Prebuilt } from './records.ts';

/** Sorted, disjoint [first, last] pairs of IPv4 addresses. IPv6 prefixes name no host of the zone and are left out. */
export type Ranges = Float64Array;

export interface View {
  readonly side: 'lan' | 'tunnel';
  readonly application: string | null;
  readonly hub: Address;
  readonly reach: Ranges;
  readonly reachedBy: Ranges;
  /** Answers already made, by question bytes (name in lower case, then type). */
  readonly answers: Map<string, Prebuilt>;
}

export function holds(ranges: Ranges, address: number): boolean {
  let low = 0;
  let high = ranges.length / 2 - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (address < (ranges[2 * middle] ?? 0)) high = middle - 1;
    else if (address > (ranges[2 * middle + 1] ?? 0)) low = middle + 1;
    else return true;
  }
  return false;
}

/** Finds a source's view by its most specific prefix. */
export interface Sources {
  /** @param source as the socket gives it: an IPv6 one may carry `%interface` */
  find(source: string): View | null;
  readonly views: readonly View[];
}

/** Clients with equal rights share one view, and equal lists are kept once: a thousand servers are a few dozen views. */
export function compileSources(clients: readonly ZoneClient[]): Sources {
  const views = new Map<string, View>();
  const lists = new Map<string, { readonly id: number; readonly ranges: Ranges }>();
  const blocks = new Map<string, readonly [number, number] | null>();
  const intern = (prefixes: readonly string[]) => {
    const key = prefixes.join(' ');
    let found = lists.get(key);
    if (found === undefined) {
      found = { id: lists.size, ranges: toRanges(prefixes, blocks) };
      lists.set(key, found);
    }
    return found;
  };
  const byLength: Record<Family, Map<bigint, View>[]> = { 4: [], 6: [] };
  for (const { source, side, application, hub, reach, reachedBy } of clients) {
    const to = intern(reach);
    const from = intern(reachedBy);
    const key = `${side} ${application ?? ''} ${hub} ${to.id} ${from.id}`;
    let view = views.get(key);
    if (view === undefined) {
      view = {
        ...{ side, application, hub: hub as Address, reach: to.ranges, reachedBy: from.ranges },
        answers: new Map(),
      };
      views.set(key, view);
    }
    const prefix = parsePrefix(source);
    const length = prefixLength(prefix);
    const table = byLength[family(prefix)];
    let atLength = table[length];
    if (atLength === undefined) {
      atLength = new Map();
      table[length] = atLength;
    }
    atLength.set(rangeOf(prefix).first, view);
  }
  return { find: remember((source) => longest(byLength, source)), views: [...views.values()] };
}

function longest(byLength: Record<Family, Map<bigint, View>[]>, source: string): View | null {
  const percent = source.indexOf('%');
  const address = (percent < 0 ? source : source.slice(0, percent)) as Address;
  const of = family(address);
  const number = toNumber(address);
  const table = byLength[of];
  for (let length = table.length - 1; length >= 0; length--) {
    const hostBits = BigInt((of === 4 ? 32 : 128) - length);
    const view = table[length]?.get((number >> hostBits) << hostBits);
    if (view !== undefined) return view;
  }
  return null;
}

/** Bounded: a LAN host can use any number of IPv6 addresses. */
function remember(find: (source: string) => View | null): (source: string) => View | null {
  const known = new Map<string, View | null>();
  return (source) => {
    const hit = known.get(source);
    if (hit !== undefined) return hit;
    if (known.size >= 4096) known.clear();
    const found = find(source);
    known.set(source, found);
    return found;
  };
}

function toRanges(prefixes: readonly string[], blocks: Map<string, readonly [number, number] | null>): Ranges {
  const pairs: (readonly [number, number])[] = [];
  for (const text of prefixes) {
    let pair = blocks.get(text);
    if (pair === undefined) {
      const range = rangeOf(parsePrefix(text));
      pair = range.family === 4 ? [Number(range.first), Number(range.last)] : null;
      blocks.set(text, pair);
    }
    if (pair !== null) pairs.push(pair);
  }
  pairs.sort((a, b) => a[0] - b[0]);
  const merged: number[] = [];
  for (const [first, last] of pairs) {
    const end = merged.length - 1;
    if (end > 0 && first <= (merged[end] ?? 0) + 1) merged[end] = Math.max(merged[end] ?? 0, last);
    else merged.push(first, last);
  }
  return Float64Array.from(merged);
}
