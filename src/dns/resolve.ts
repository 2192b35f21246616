// One name and type, seen by one client: the standard algorithm (RFC 1034 §4.3.2) on the names that exist for it.
import type { Address } from '../model/address.ts';
import { parentName, type WireName, wireName } from './names.ts';
import { authoritative, type Data, encodeBody, type Prebuilt, pointer, rcode } from './records.ts';
import type { Entry, Machine, Node, Table } from './tree.ts';
import { holds, type View } from './view.ts';

const anyType = 255;
const soaType = 6;
const cnameType = 5;
const typeNumber: Record<Data['type'], number> = { A: 1, NS: 2, CNAME: 5, PTR: 12, AAAA: 28 };
/** A chain of CNAMEs is followed this far; a longer one, or a circle, does not exist. */
const longestChain = 8;
/** An answer of more addresses would not help anyone, and must fit 65,535 bytes. */
const mostRecords = 100;

/** What is at a name in the end: data, after the aliases that lead to it. */
interface Found {
  /** Targets of the CNAMEs followed, in order. */
  readonly aliases: readonly string[];
  readonly data: readonly Data[];
}

/** @param zone the apex of the zone that holds the name */
export function resolve(table: Table, view: View, name: WireName, zone: WireName, type: number): Prebuilt {
  const soa = Buffer.concat([pointer(name.length - zone.length), table.soa]);
  const node = match(table, view, name, zone);
  if (node === null) return negative(rcode.nxDomain, soa);
  if (name === zone && (type === soaType || type === anyType)) return positive([soa]);
  const answers: Buffer[] = [];
  let owner = pointer(0);
  const found = at(view, node);
  for (const target of found?.aliases ?? []) {
    answers.push(Buffer.concat([owner, encodeBody({ type: 'CNAME', data: target })]));
    if (type === cnameType || type === anyType) return positive(answers);
    owner = Buffer.from(wireName(target), 'latin1');
  }
  const here: readonly Data[] = [
    ...(found?.data ?? []),
    ...(name === zone ? [{ type: 'NS', data: `ns.${table.domain}` } as const] : []),
  ];
  // ANY gets one of the record sets (RFC 8482 §4.1).
  const wanted = type === anyType ? typeNumber[here[0]?.type ?? 'A'] : type;
  const matching = here.filter((data) => typeNumber[data.type] === wanted).slice(0, mostRecords);
  for (const data of matching) answers.push(Buffer.concat([owner, encodeBody(data)]));
  return matching.length > 0 ? positive(answers) : negative(rcode.noError, soa, answers);
}

function positive(answers: readonly Buffer[]): Prebuilt {
  return { flags: authoritative, answers: answers.length, authorities: 0, tail: Buffer.concat(answers) };
}

function negative(code: number, soa: Buffer, answers: readonly Buffer[] = []): Prebuilt {
  const tail = Buffer.concat([...answers, soa]);
  return { flags: authoritative | code, answers: answers.length, authorities: 1, tail };
}

/** The name's node if the name exists for this client, else the wildcard below its closest encloser (RFC 4592). */
function match(table: Table, view: View, name: WireName, zone: WireName): Node | null {
  const isThere = (node: Node | undefined, at: WireName) => node !== undefined && (at === zone || exists(view, node));
  const exact = table.nodes.get(name);
  if (exact !== undefined && isThere(exact, name)) return exact;
  if (name === zone) return null;
  let encloser = parentName(name);
  while (encloser !== zone && !isThere(table.nodes.get(encloser), encloser)) encloser = parentName(encloser);
  const wildcard = table.nodes.get(`\x01*${encloser}`);
  return wildcard !== undefined && exists(view, wildcard) ? wildcard : null;
}

/** Something visible is at the name or below it: an empty non-terminal exists (RFC 8020). */
function exists(view: View, node: Node): boolean {
  return isHere(view, node) || node.children.some((child) => exists(view, child));
}

/** The same as `at(…) !== null`, cheap for the common kinds: an empty non-terminal may hold a thousand machines. */
function isHere(view: View, node: Node): boolean {
  for (const entry of node.entries) {
    if (entry.kind === 'alias' || entry.kind === 'short') return at(view, node) !== null;
    if (isOpen(view, entry)) return true;
  }
  return false;
}

function isOpen(view: View, entry: Exclude<Entry, { kind: 'alias' | 'short' }>): boolean {
  switch (entry.kind) {
    case 'hub':
    case 'fixed':
      return true;
    case 'host':
      return reaches(view, entry.machine);
    case 'address':
      return holds(view.reach, entry.number) || entry.address === view.hub;
    case 'pointer':
      return (!entry.lanOnly || view.side === 'lan') && either(view, entry.machine);
  }
}

/** What is at a name for this client. Of several claims the first counts: hub, machine, extra address, alias, short name. */
function at(view: View, node: Node): Found | null {
  const aliases: string[] = [];
  let here: Node | null = node;
  while (here !== null && aliases.length <= longestChain) {
    const data = direct(view, here);
    if (data.length > 0) return { aliases, data };
    const alias: Entry | undefined = here.entries.find((entry) => entry.kind === 'alias');
    if (alias?.kind !== 'alias') {
      const short = shortName(view, here);
      if (short !== null) return { aliases, data: short };
      break;
    }
    aliases.push(alias.target);
    here = alias.node;
  }
  // The alias leads nowhere that this client may see: for it the alias does not exist.
  const short = shortName(view, node);
  return short === null ? null : { aliases: [], data: short };
}

function direct(view: View, node: Node): Data[] {
  const machines = new Set<Address>();
  const extras = new Set<Address>();
  const pointers = new Set<string>();
  for (const entry of node.entries) {
    if (entry.kind === 'alias' || entry.kind === 'short' || !isOpen(view, entry)) continue;
    if (entry.kind === 'hub') machines.add(view.hub);
    else if (entry.kind === 'host') machines.add(told(view, entry.machine));
    else if (entry.kind === 'address') extras.add(entry.address);
    else pointers.add(entry.kind === 'fixed' ? entry.data.data : entry.machine.name);
  }
  const addresses = machines.size > 0 ? machines : extras;
  return [
    ...[...pointers].map((data) => ({ type: 'PTR', data }) as const),
    ...[...addresses].map((data) => ({ type: data.includes(':') ? 'AAAA' : 'A', data }) as const),
  ];
}

/** Its own application's machine, else the only one it may reach; two of them are told apart by the long name. */
function shortName(view: View, node: Node): Data[] | null {
  let only: Machine | null = null;
  let several = false;
  for (const entry of node.entries) {
    if (entry.kind !== 'short' || !reaches(view, entry.machine)) continue;
    if (entry.machine.application === view.application) return address(view, entry.machine);
    several ||= only !== null;
    only = entry.machine;
  }
  return several || only === null ? null : address(view, only);
}

function address(view: View, machine: Machine): Data[] {
  return [{ type: 'A', data: told(view, machine) }];
}

function told(view: View, machine: Machine): Address {
  return view.side === 'lan' && machine.lan !== null ? machine.lan.address : machine.address;
}

function reaches(view: View, machine: Machine): boolean {
  return holds(view.reach, machine.number) || (onLan(view, machine) && holds(view.reach, machine.lan?.number ?? -1));
}

function either(view: View, machine: Machine): boolean {
  if (reaches(view, machine) || holds(view.reachedBy, machine.number)) return true;
  return onLan(view, machine) && holds(view.reachedBy, machine.lan?.number ?? -1);
}

function onLan(view: View, machine: Machine): boolean {
  return view.side === 'lan' && machine.lan !== null;
}
