// Where things live inside the APN: the hub's own address and the blocks that addresses are handed out from.
import {
  type Address,
  contains,
  hostPrefix,
  isHost,
  networkAddress,
  nth,
  overlapFinder,
  overlaps,
  type Prefix,
  prefixLength,
  prefixOf,
  rangeOf,
  toNumber,
} from './address.ts';
import type { Config, Network, Uplink } from './config.ts';
import { Conflict } from './errors.ts';

/** The hub is the first address of the range (172.16.0.1). */
export function hubAddress(network: Network): Address {
  return nth(network.range, 1);
}

/** The n-th block of `length` in the network's range. */
function block(network: Network, index: number, length: number): Prefix {
  const size = 2 ** (32 - length);
  return prefixOf(nth(network.range, index * size), length);
}

/** Length of the blocks the range is divided into: /24 in the usual /16, smaller ones in a smaller range. */
export function blockLength(network: Network): number {
  return Math.max(24, Math.min(28, prefixLength(network.range) + 4));
}

/** Block 0 is the hub's, 1 the members' devices', 2 the LAN identities', 3 to 9 what is behind uplinks. */
export function deviceRange(network: Network): Prefix {
  return block(network, 1, blockLength(network));
}

export function identityRange(network: Network): Prefix {
  return block(network, 2, blockLength(network));
}

/** Where aliases of what is behind uplinks are handed out from. */
export function aliasRanges(network: Network): readonly Prefix[] {
  const blocks = Array.from({ length: firstApplicationBlock - firstAliasBlock }, (_, i) => firstAliasBlock + i);
  return blocks.map((index) => block(network, index, blockLength(network)));
}

const firstAliasBlock = 3;
/** The first block for applications in a /16 is 172.16.10.0/24: room for kinds of blocks to come. */
const firstApplicationBlock = 10;

/** @throws Conflict when every block is taken. */
export function freeApplicationRange(config: Config): Prefix {
  const length = blockLength(config.network);
  const blocks = 2 ** (length - prefixLength(config.network.range));
  const isReserved = overlapFinder(config.uplinks.flatMap(({ address, peers }) => [address, ...behind(peers)]));
  for (let index = firstApplicationBlock; index < blocks; index++) {
    const candidate = block(config.network, index, length);
    if (config.applications.some(({ range }) => overlaps(range, candidate))) continue;
    if (!isReserved(candidate)) return candidate;
  }
  throw new Conflict('range', 'Every block of the network is in use by an application.');
}

function behind(peers: Uplink['peers']): readonly Prefix[] {
  return peers.flatMap(({ allowedIps, alias }) => (alias === null ? allowedIps : [...allowedIps, hostPrefix(alias)]));
}

/** Every address in use inside the APN, with a word for what holds it. */
export function takenAddresses(config: Config): Map<Address, string> {
  const taken = new Map<Address, string>([[hubAddress(config.network), 'the hub']]);
  for (const server of config.servers) taken.set(server.address, `server ${server.label}`);
  for (const device of config.devices) taken.set(device.address, `device ${device.label}`);
  for (const device of config.lanDevices) taken.set(device.identity, `LAN device ${device.label}`);
  for (const { label, address, peers } of config.uplinks) {
    taken.set(address, `uplink ${label}`);
    // Of the APN's range an uplink has single addresses only.
    for (const prefix of behind(peers)) if (isHost(prefix)) taken.set(networkAddress(prefix), `uplink ${label}`);
  }
  return taken;
}

/**
 * The first free address from the tenth on: the low ones stay for people who like to choose.
 * @param kept Addresses promised to somebody who is still to come.
 * @throws Conflict when there is none.
 */
export function freeAddress(config: Config, within: Prefix, kept: ReadonlySet<Address> = new Set()): Address {
  const taken = takenAddresses(config);
  const size = Number(rangeOf(within).last - rangeOf(within).first);
  for (const start of [10, 1]) {
    for (let n = start; n < size; n++) {
      const candidate = nth(within, n);
      if (!taken.has(candidate) && !kept.has(candidate)) return candidate;
    }
  }
  throw new Conflict('address', `Every address of ${within} is in use.`);
}

/** A free fixed LAN address: outside the part that DHCP hands out by itself, else inside it. */
export function freeLanAddress(config: Config): Address {
  const lan = config.lan;
  if (lan === null) throw new Conflict('address', 'There is no LAN yet.');
  const taken = new Set<Address>([lan.address, ...config.lanDevices.map(({ address }) => address)]);
  const size = Number(rangeOf(lan.range).last - rangeOf(lan.range).first);
  const candidates = Array.from({ length: Math.max(0, size - 1) }, (_, i) => nth(lan.range, i + 1));
  const free = (address: Address) => !taken.has(address);
  const found = candidates.find((address) => free(address) && !inPool(address)) ?? candidates.find(free);
  if (found === undefined) throw new Conflict('address', `Every address of ${lan.range} is in use.`);
  return found;

  function inPool(address: Address): boolean {
    const pool = lan?.dhcp;
    if (pool == null) return false;
    return toNumber(pool.from) <= toNumber(address) && toNumber(address) <= toNumber(pool.to);
  }
}

/** Whether the address can be given to a machine: inside, and neither the network's nor the broadcast address. */
export function assignable(within: Prefix, address: Address): boolean {
  const range = rangeOf(within);
  const number = toNumber(address);
  if (!contains(within, address)) return false;
  return prefixLength(within) > 30 || (number !== range.first && number !== range.last);
}
