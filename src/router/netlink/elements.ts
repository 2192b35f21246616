// Elements of nftables' sets and maps: dumps to values, changes to one transaction (include/uapi/linux/netfilter/nf_tables.h).
import type { IpPrefix } from './address.ts';
import {
  type AttributeTree,
  align,
  be32,
  be64,
  encodedLength,
  type Fields,
  indexAttributes,
  maxAttributeValue,
  parseAttributes,
  present,
  readBigEndian,
  readNested,
  readString,
  required,
  text,
} from './attribute.ts';
import {
  messageFlag,
  headerLength as messageHeaderLength,
  type NetlinkMessage,
  type NetlinkRequest,
} from './message.ts';
import { nfHeaderLength, nfMessageType, nfRequest, subsystem } from './nfnetlink.ts';
import { decodeUserdata, nftDump, nftMessage, type TableRef, userdataType } from './nftables.ts';

/**
 * One element as the kernel has it. Bytes are in network order, each field of a concatenation padded to 4 (`concatKey`). A plain
 * interval is two elements (`intervalElements`); one of a concatenation is one, with `keyEnd`, both ends inclusive.
 */
export type SetElement = {
  readonly key: Uint8Array;
  readonly keyEnd?: Uint8Array | undefined;
  /** Of a map: the value. */
  readonly data?: Uint8Array | undefined;
  /** The first key after an interval. */
  readonly intervalEnd?: boolean | undefined;
  /** An interval without an end element: it reaches to the last key there is. */
  readonly openInterval?: boolean | undefined;
  /** Milliseconds. */
  readonly timeout?: number | undefined;
  /** Milliseconds left; only read. */
  readonly expiration?: number | undefined;
  readonly comment?: string | undefined;
};

/** Elements to add to, or to take out of, one set or map. */
export type SetChange = {
  /** `flush` deletes every element; it takes none. */
  readonly action: 'add' | 'delete' | 'flush';
  readonly set: string;
  readonly elements: readonly SetElement[];
};

/** A message of a batch; it stands for `count` elements of `changes[change]`, from `first` on. */
export type BatchPart = NetlinkRequest & { readonly change: number; readonly first: number; readonly count: number };

/** Both ends inclusive. */
export type Interval = { readonly first: Uint8Array; readonly last: Uint8Array; readonly element: SetElement };

// NFTA_SET_ELEM_LIST_*, NFTA_SET_ELEM_*, NFTA_DATA_*
const listAttribute = { table: 1, set: 2, elements: 3 } as const;
const elementAttribute = {
  key: 1,
  data: 2,
  flags: 3,
  timeout: 4,
  expiration: 5,
  userdata: 6,
  keyEnd: 10, // NFTA_SET_ELEM_KEY_END
} as const;
const listElement = 1; // NFTA_LIST_ELEM
const dataValue = 1; // NFTA_DATA_VALUE
const intervalEndFlag = 0x1; // NFT_SET_ELEM_INTERVAL_END
const catchAllFlag = 0x2; // NFT_SET_ELEM_CATCHALL
const openIntervalFlag = Buffer.of(1, 0, 0, 0); // nft's own SET_ELEM_F_INTERVAL_OPEN

/** Every element of one set or map. */
export function encodeDumpElements(table: TableRef, set: string): NetlinkRequest {
  return nftDump(nftMessage.getElement, table.family, listHead(table, set));
}

/** Just these elements: the answer has those asked for, or is ENOENT. */
export function encodeGetElements(table: TableRef, set: string, elements: readonly SetElement[]): NetlinkRequest {
  const list = elements.map((element) => ({ type: listElement, value: elementTree(element) }));
  return nfRequest(
    { subsystem: subsystem.nftables, message: nftMessage.getElement },
    messageFlag.request | messageFlag.ack,
    table.family,
    [...listHead(table, set), { type: listAttribute.elements, value: list }],
  );
}

/**
 * The messages of one transaction that makes `changes` in their order: all of it happens or nothing. Lists are cut at `limit`
 * bytes. The socket's `batch` puts the begin and end around them and sends all in one buffer.
 */
export function encodeSetChanges(table: TableRef, changes: readonly SetChange[], limit = 16_384): BatchPart[] {
  return changes.flatMap(({ action, set, elements }, change) => {
    const add = action === 'add';
    const message = add ? nftMessage.newElement : nftMessage.delElement;
    const flags = messageFlag.request | messageFlag.ack | (add ? messageFlag.create : 0);
    if (action === 'flush') {
      const head = nfRequest({ subsystem: subsystem.nftables, message }, flags, table.family, listHead(table, set));
      return [{ ...head, change, first: 0, count: 0 }];
    }
    return cut(elements, Math.min(limit, maxAttributeValue)).map(({ first, list }) => ({
      ...nfRequest({ subsystem: subsystem.nftables, message }, flags, table.family, [
        ...listHead(table, set),
        { type: listAttribute.elements, value: list },
      ]),
      change,
      first,
      count: list.length,
    }));
  });
}

type Part = { readonly first: number; readonly list: AttributeTree[] };

function cut(elements: readonly SetElement[], limit: number): Part[] {
  const parts: Part[] = [];
  let left = 0;
  for (const [index, element] of elements.entries()) {
    const tree = { type: listElement, value: elementTree(element) };
    const length = encodedLength([tree]);
    if (parts.length === 0 || length > left) {
      parts.push({ first: index, list: [] });
      left = limit;
    }
    parts.at(-1)!.list.push(tree);
    left -= length;
  }
  return parts;
}

/**
 * Which element the kernel refused a part for: its index in `changes[part.change].elements`, from the error's `offset`; undefined
 * when the offset is of something else.
 */
export function elementAt(part: BatchPart, offset: number): number | undefined {
  // The list is the last attribute; its elements are at the end of the message, one after the other.
  const list = parseAttributes(part.payload, nfHeaderLength).at(-1)!.value;
  let at = messageHeaderLength + part.payload.length - list.length;
  for (const [index, element] of parseAttributes(list).entries()) {
    if (at === offset) return part.first + index;
    at += encodedLength([element]);
  }
  return undefined;
}

function listHead(table: TableRef, set: string): AttributeTree[] {
  return [text(listAttribute.table, table.name), text(listAttribute.set, set)];
}

function elementTree(element: SetElement): AttributeTree[] {
  const tree: AttributeTree[] = [];
  if (element.intervalEnd === true) tree.push(be32(elementAttribute.flags, intervalEndFlag));
  if (element.timeout !== undefined) tree.push(be64(elementAttribute.timeout, element.timeout));
  tree.push(dataTree(elementAttribute.key, element.key));
  if (element.keyEnd !== undefined) tree.push(dataTree(elementAttribute.keyEnd, element.keyEnd));
  if (element.data !== undefined) tree.push(dataTree(elementAttribute.data, element.data));
  const userdata = encodeUserdata(element);
  if (userdata.length > 0) tree.push({ type: elementAttribute.userdata, value: userdata });
  return tree;
}

function dataTree(type: number, value: Uint8Array): AttributeTree {
  return { type, value: [{ type: dataValue, value }] };
}

function encodeUserdata(element: SetElement): Buffer {
  const parts: Uint8Array[] = [];
  if (element.comment !== undefined) {
    const comment = Buffer.from(`${element.comment}\0`);
    parts.push(Buffer.of(userdataType.comment, comment.length), comment);
  }
  if (element.openInterval === true) {
    parts.push(Buffer.of(userdataType.elementFlags, openIntervalFlag.length), openIntervalFlag);
  }
  return Buffer.concat(parts);
}

/** The elements of a dump or a notification, in the kernel's order. @throws MalformedNetlink */
export function decodeElements(messages: readonly NetlinkMessage[]): SetElement[] {
  return messages
    .filter((message) => elementMessages.has(nfMessageType(message, subsystem.nftables)))
    .flatMap((message) => {
      const list = indexAttributes(message.payload, nfHeaderLength).get(listAttribute.elements);
      return list === undefined ? [] : parseAttributes(list).flatMap(({ value }) => decodeElement(value));
    });
}

const elementMessages: ReadonlySet<number | undefined> = new Set([nftMessage.newElement, nftMessage.delElement]);

function decodeElement(bytes: Buffer): SetElement[] {
  const fields = indexAttributes(bytes);
  const flags = readBigEndian(fields, elementAttribute.flags, 4) ?? 0;
  // A catch-all has no key, and none of our sets has one.
  if ((flags & catchAllFlag) !== 0) return [];
  const userdata = decodeUserdata(fields.get(elementAttribute.userdata));
  return [
    present({
      key: required(readData(fields, elementAttribute.key), 'key of a set element'),
      keyEnd: readData(fields, elementAttribute.keyEnd),
      // A verdict is no value: an element of a verdict map comes without data.
      data: readData(fields, elementAttribute.data),
      intervalEnd: (flags & intervalEndFlag) === 0 ? undefined : true,
      openInterval: userdata.get(userdataType.elementFlags)?.equals(openIntervalFlag) === true ? true : undefined,
      timeout: readBigEndian(fields, elementAttribute.timeout, 8),
      expiration: readBigEndian(fields, elementAttribute.expiration, 8),
      comment: readString(userdata, userdataType.comment),
    }),
  ];
}

function readData(fields: Fields, type: number): Buffer | undefined {
  return readNested(fields, type)?.get(dataValue);
}

/** A concatenated key: each field padded to 4 bytes with zeros after it. */
export function concatKey(fields: readonly Uint8Array[]): Buffer {
  const key = Buffer.alloc(fields.reduce((length, bytes) => length + align(bytes.length), 0));
  let at = 0;
  for (const bytes of fields) {
    key.set(bytes, at);
    at += align(bytes.length);
  }
  return key;
}

/** First and last address of a prefix, whatever its host bits are. */
export function prefixRange(prefix: IpPrefix): { readonly first: Buffer; readonly last: Buffer } {
  const [first, last] = [Buffer.from(prefix.bytes), Buffer.from(prefix.bytes)];
  for (let index = 0; index < prefix.bytes.length; index++) {
    const fixed = Math.min(8, Math.max(0, prefix.cidr - index * 8));
    const host = 0xff >> fixed;
    first[index] = first[index]! & ~host;
    last[index] = last[index]! | host;
  }
  return { first, last };
}

/** The elements of one plain interval, both ends inclusive: the start, and the key after its end unless there is none. */
export function intervalElements(
  first: Uint8Array,
  last: Uint8Array,
  more: Pick<SetElement, 'data' | 'timeout' | 'comment'> = {},
): SetElement[] {
  const after = successor(last);
  if (after === undefined) return [{ ...more, key: first, openInterval: true }];
  return [
    { ...more, key: first },
    { key: after, intervalEnd: true },
  ];
}

/** The intervals of a dumped interval set, by their first key; `element` is the starting one. Ends nobody started are nft's own. */
export function pairIntervals(elements: readonly SetElement[]): Interval[] {
  // Where one interval begins right after another, the end has the same key as the start and comes first.
  const sorted = elements.toSorted(
    (one, other) =>
      Buffer.compare(one.key, other.key) || Number(other.intervalEnd === true) - Number(one.intervalEnd === true),
  );
  const intervals: Interval[] = [];
  for (const [index, element] of sorted.entries()) {
    if (element.intervalEnd === true) continue;
    const next = sorted[index + 1];
    const last = next === undefined ? Buffer.alloc(element.key.length, 0xff) : predecessor(next.key);
    intervals.push({ first: element.key, last, element });
  }
  return intervals;
}

function successor(key: Uint8Array): Buffer | undefined {
  const next = Buffer.from(key);
  for (let index = next.length - 1; index >= 0; index--) {
    next[index] = (next[index]! + 1) & 0xff;
    if (next[index] !== 0) return next;
  }
  return undefined;
}

function predecessor(key: Uint8Array): Buffer {
  const previous = Buffer.from(key);
  for (let index = previous.length - 1; index >= 0; index--) {
    previous[index] = (previous[index]! - 1) & 0xff;
    if (previous[index] !== 0xff) break;
  }
  return previous;
}
