// The structure of nftables' tables, chains, sets and rules as the kernel dumps and announces it (include/uapi/linux/netfilter/nf_tables.h).
import {
  type AttributeTree,
  type Fields,
  indexAttributes,
  MalformedNetlink,
  parseAttributes,
  present,
  readBigEndian,
  readBytes,
  readNested,
  readString,
  required,
  text,
} from './attribute.ts';
import { messageFlag, type NetlinkMessage, type NetlinkRequest } from './message.ts';
import { netfilterFamily, nfFamily, nfHeaderLength, nfMessageType, nfRequest, subsystem } from './nfnetlink.ts';

/** A table is known by its family (`netfilterFamily`) and name together. */
export type TableRef = { readonly family: number; readonly name: string };

export type NftTable = TableRef & { readonly handle: number; readonly flags: number };

/** A base chain's place in the packet path; `hook` as in `netfilterHook`. */
export type ChainHook = {
  readonly hook: number;
  readonly priority: number;
  readonly type: string;
  readonly policy: 'accept' | 'drop';
};

/** `base` is absent on a chain that is only jumped to. */
export type NftChain = {
  readonly table: TableRef;
  readonly name: string;
  readonly handle: number;
  readonly base?: ChainHook;
};

/** Lengths in bytes; `fieldLengths` are those of a concatenated key, without padding. `timeout` is the default, in ms. */
export type NftSet = {
  readonly table: TableRef;
  readonly name: string;
  readonly handle: number;
  readonly flags: number;
  readonly keyType: number;
  readonly keyLength: number;
  readonly dataType?: number;
  readonly dataLength?: number;
  readonly timeout?: number;
  readonly size?: number;
  readonly fieldLengths: readonly number[];
};

/** `expressions` is what the rule does, undecoded; it holds running counters where the rule has any. */
export type NftRule = {
  readonly table: TableRef;
  readonly chain: string;
  readonly handle: number;
  readonly comment?: string;
  readonly expressions: Buffer;
};

/** Something changed: a transaction announces its parts and then the new `generation`, made by process `pid`. */
export type NftablesEvent = {
  readonly kind: 'table' | 'chain' | 'rule' | 'set' | 'element' | 'generation' | 'other';
  readonly gone: boolean;
  readonly table?: TableRef;
  readonly pid?: number;
};

/** NF_INET_* */
export const netfilterHook = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4, ingress: 5 } as const;

/** NFT_SET_* */
export const setFlag = {
  anonymous: 0x1,
  constant: 0x2,
  interval: 0x4,
  map: 0x8,
  timeout: 0x10,
  eval: 0x20,
  object: 0x40,
  concat: 0x80,
} as const;

/** NFT_MSG_* */
export const nftMessage = {
  newTable: 0,
  getTable: 1,
  delTable: 2,
  newChain: 3,
  getChain: 4,
  delChain: 5,
  newRule: 6,
  getRule: 7,
  delRule: 8,
  newSet: 9,
  getSet: 10,
  delSet: 11,
  newElement: 12, // NFT_MSG_NEWSETELEM
  getElement: 13, // NFT_MSG_GETSETELEM
  delElement: 14, // NFT_MSG_DELSETELEM
  newGeneration: 15, // NFT_MSG_NEWGEN
  getGeneration: 16, // NFT_MSG_GETGEN
} as const;

// NFTA_TABLE_*, NFTA_CHAIN_*, NFTA_HOOK_*, NFTA_RULE_*, NFTA_SET_*, NFTA_GEN_*
const tableAttribute = { name: 1, flags: 2, handle: 4 } as const;
const chainAttribute = { table: 1, handle: 2, name: 3, hook: 4, policy: 5, type: 7 } as const;
const hookAttribute = { number: 1, priority: 2 } as const; // NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY
const ruleAttribute = { table: 1, chain: 2, handle: 3, expressions: 4, userdata: 7 } as const;
const setAttribute = {
  table: 1,
  name: 2,
  flags: 3,
  keyType: 4,
  keyLength: 5,
  dataType: 6,
  dataLength: 7,
  description: 9, // NFTA_SET_DESC
  timeout: 11,
  handle: 16,
} as const;
const descriptionAttribute = { size: 1, concat: 2 } as const; // NFTA_SET_DESC_SIZE, NFTA_SET_DESC_CONCAT
const fieldLengthAttribute = 1; // NFTA_SET_FIELD_LEN
const generationAttribute = { id: 1, pid: 2 } as const; // NFTA_GEN_ID, NFTA_GEN_PROC_PID

/** All tables, or those of one family. */
export function encodeDumpTables(family: number = netfilterFamily.any): NetlinkRequest {
  return nftDump(nftMessage.getTable, family, []);
}

/** The number of the last transaction of this network namespace, whoever made it. */
export function encodeGetGeneration(): NetlinkRequest {
  return nfRequest({ subsystem: subsystem.nftables, message: nftMessage.getGeneration }, 0, netfilterFamily.any, []);
}

/** @throws MalformedNetlink */
export function decodeGeneration(messages: readonly NetlinkMessage[]): number {
  const [message] = messages.filter((each) => nfMessageType(each, subsystem.nftables) === nftMessage.newGeneration);
  const fields = indexAttributes(required(message, 'generation').payload, nfHeaderLength);
  return required(readBigEndian(fields, generationAttribute.id, 4), 'generation id');
}

/** All chains of one family: the kernel cannot narrow this to a table. */
export function encodeDumpChains(family: number = netfilterFamily.any): NetlinkRequest {
  return nftDump(nftMessage.getChain, family, []);
}

/** The sets and maps of one table, without their elements. */
export function encodeDumpSets(table: TableRef): NetlinkRequest {
  return nftDump(nftMessage.getSet, table.family, [text(setAttribute.table, table.name)]);
}

/** The rules of one table, or of one of its chains. */
export function encodeDumpRules(table: TableRef, chain?: string): NetlinkRequest {
  const filter = [text(ruleAttribute.table, table.name)];
  if (chain !== undefined) filter.push(text(ruleAttribute.chain, chain));
  return nftDump(nftMessage.getRule, table.family, filter);
}

export function nftDump(message: number, family: number, filter: readonly AttributeTree[]): NetlinkRequest {
  const flags = messageFlag.request | messageFlag.dump;
  return nfRequest({ subsystem: subsystem.nftables, message }, flags, family, filter);
}

/** @throws MalformedNetlink */
export function decodeTables(messages: readonly NetlinkMessage[]): NftTable[] {
  return collect(messages, nftMessage.newTable, (family, fields) => ({
    family,
    name: required(readString(fields, tableAttribute.name), 'table name'),
    handle: readBigEndian(fields, tableAttribute.handle, 8) ?? 0,
    flags: readBigEndian(fields, tableAttribute.flags, 4) ?? 0,
  }));
}

/** The chains, in the kernel's order; only those of `table` when given. @throws MalformedNetlink */
export function decodeChains(messages: readonly NetlinkMessage[], table?: TableRef): NftChain[] {
  const chains = collect(
    messages,
    nftMessage.newChain,
    (family, fields): NftChain =>
      present({
        table: { family, name: required(readString(fields, chainAttribute.table), 'table of a chain') },
        name: required(readString(fields, chainAttribute.name), 'chain name'),
        handle: readBigEndian(fields, chainAttribute.handle, 8) ?? 0,
        base: decodeHook(fields),
      }),
  );
  return chains.filter((chain) => table === undefined || sameTable(chain.table, table));
}

function decodeHook(chain: Fields): ChainHook | undefined {
  const fields = readNested(chain, chainAttribute.hook);
  if (fields === undefined) return undefined;
  return {
    hook: required(readBigEndian(fields, hookAttribute.number, 4), 'hook'),
    priority: required(readBytes(fields, hookAttribute.priority, 4), 'hook priority').readInt32BE(),
    type: readString(chain, chainAttribute.type) ?? '',
    policy: readBigEndian(chain, chainAttribute.policy, 4) === 0 ? 'drop' : 'accept', // NF_DROP, NF_ACCEPT
  };
}

/** @throws MalformedNetlink */
export function decodeSets(messages: readonly NetlinkMessage[]): NftSet[] {
  return collect(messages, nftMessage.newSet, (family, fields): NftSet => {
    const description = readNested(fields, setAttribute.description);
    const concat = description?.get(descriptionAttribute.concat);
    return present({
      table: { family, name: required(readString(fields, setAttribute.table), 'table of a set') },
      name: required(readString(fields, setAttribute.name), 'set name'),
      handle: readBigEndian(fields, setAttribute.handle, 8) ?? 0,
      flags: readBigEndian(fields, setAttribute.flags, 4) ?? 0,
      keyType: readBigEndian(fields, setAttribute.keyType, 4) ?? 0,
      keyLength: readBigEndian(fields, setAttribute.keyLength, 4) ?? 0,
      dataType: readBigEndian(fields, setAttribute.dataType, 4),
      dataLength: readBigEndian(fields, setAttribute.dataLength, 4),
      timeout: readBigEndian(fields, setAttribute.timeout, 8),
      size: description === undefined ? undefined : readBigEndian(description, descriptionAttribute.size, 4),
      fieldLengths: concat === undefined ? [] : parseAttributes(concat).map(({ value }) => fieldLength(value)),
    });
  });
}

function fieldLength(bytes: Buffer): number {
  return required(readBigEndian(indexAttributes(bytes), fieldLengthAttribute, 4), 'length of a concatenated field');
}

/** The rules in their order in each chain. @throws MalformedNetlink */
export function decodeRules(messages: readonly NetlinkMessage[]): NftRule[] {
  return collect(
    messages,
    nftMessage.newRule,
    (family, fields): NftRule =>
      present({
        table: { family, name: required(readString(fields, ruleAttribute.table), 'table of a rule') },
        chain: required(readString(fields, ruleAttribute.chain), 'chain of a rule'),
        handle: readBigEndian(fields, ruleAttribute.handle, 8) ?? 0,
        comment: readString(decodeUserdata(fields.get(ruleAttribute.userdata)), userdataType.comment),
        expressions: fields.get(ruleAttribute.expressions) ?? Buffer.alloc(0),
      }),
  );
}

/** What a notification of NFNLGRP_NFTABLES is about; undefined when it is none. @throws MalformedNetlink */
export function decodeNftablesEvent(message: NetlinkMessage): NftablesEvent | undefined {
  const type = nfMessageType(message, subsystem.nftables);
  if (type === undefined) return undefined;
  const family = nfFamily(message);
  const fields = indexAttributes(message.payload, nfHeaderLength);
  if (type === nftMessage.newGeneration) {
    return present({
      kind: 'generation' as const,
      gone: false,
      pid: readBigEndian(fields, generationAttribute.pid, 4),
    });
  }
  const known = eventKinds.get(type);
  if (known === undefined) return { kind: 'other', gone: false };
  // The table's name has number 1 in all of these.
  return { ...known, table: { family, name: required(readString(fields, tableAttribute.name), 'table name') } };
}

const eventKinds: ReadonlyMap<number, Pick<NftablesEvent, 'kind' | 'gone'>> = new Map([
  [nftMessage.newTable, { kind: 'table', gone: false }],
  [nftMessage.delTable, { kind: 'table', gone: true }],
  [nftMessage.newChain, { kind: 'chain', gone: false }],
  [nftMessage.delChain, { kind: 'chain', gone: true }],
  [nftMessage.newRule, { kind: 'rule', gone: false }],
  [nftMessage.delRule, { kind: 'rule', gone: true }],
  [nftMessage.newSet, { kind: 'set', gone: false }],
  [nftMessage.delSet, { kind: 'set', gone: true }],
  [nftMessage.newElement, { kind: 'element', gone: false }],
  [nftMessage.delElement, { kind: 'element', gone: true }],
]);

/** The kinds of user data nft stores: comment 0 is a rule's and an element's, flags 1 an element's. */
export const userdataType = { comment: 0, elementFlags: 1 } as const;

/** nft's own notes in user data: type, length (one byte each), value, without padding. @throws MalformedNetlink */
export function decodeUserdata(bytes: Buffer = Buffer.alloc(0)): Fields {
  const values = new Map<number, Buffer>();
  let at = 0;
  while (at < bytes.length) {
    const end = at + 2 + (bytes[at + 1] ?? bytes.length);
    if (end > bytes.length) throw new MalformedNetlink(`user data cut off at ${at}`);
    values.set(bytes.readUInt8(at), bytes.subarray(at + 2, end));
    at = end;
  }
  return values;
}

export function sameTable(one: TableRef, other: TableRef): boolean {
  return one.family === other.family && one.name === other.name;
}

function collect<T>(
  messages: readonly NetlinkMessage[],
  type: number,
  decode: (family: number, fields: Fields) => T,
): T[] {
  return messages
    .filter((message) => nfMessageType(message, subsystem.nftables) === type)
    .map((message) => decode(nfFamily(message), indexAttributes(message.payload, nfHeaderLength)));
}
