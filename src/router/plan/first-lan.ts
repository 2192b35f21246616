// The LAN of a new router: which port is the way out, which are the LAN, and a range that nothing else here uses.
import { type Address, fromNumber, nth, overlaps, type Prefix, parsePrefix, prefixOf } from '../../model/address.ts';
import type { Lan, Network } from '../../model/config.ts';
import type { ObservedLink } from './network.ts';

/** A line of the kernel's IPv4 table. */
export interface MainRoute {
  readonly device: string;
  readonly destination: Prefix;
  readonly metric: number;
}

const everything = parsePrefix('0.0.0.0/0');

/**
 * `/proc/net/route`: a line of titles, then `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, numbers as hex
 * of the machine's byte order, which is little-endian on everything this runs on.
 */
export function parseMainRoutes(text: string): readonly MainRoute[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [device, destination, , , , , metric, mask] = line.split('\t');
      if (device === undefined || destination === undefined || mask === undefined) return [];
      const length = [...hostOrder(mask).toString(2)].filter((bit) => bit === '1').length;
      const address = fromNumber(4, hostOrder(destination));
      return [{ device, destination: prefixOf(address, length), metric: Number(metric) }];
    });
}

function hostOrder(hex: string): bigint {
  return BigInt(`0x${hex.match(/../g)!.toReversed().join('')}`);
}

/** Network ports with a cable in mind: `veth` is one of a namespace. Wi-Fi is no port. */
export function portsOf(links: readonly ObservedLink[], isWireless: (name: string) => boolean): readonly string[] {
  return links
    .filter(({ name, kind }) => name !== 'lo' && (kind === null || kind === 'veth') && !isWireless(name))
    .map(({ name }) => name)
    .toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }));
}

/** Null: with one port there is no LAN to make. */
export function firstLan(
  ports: readonly string[],
  routes: readonly MainRoute[],
  { range: network }: Pick<Network, 'range'>,
): Lan | null {
  const ways = routes.filter(({ destination, device }) => destination === everything && ports.includes(device));
  const [way] = ways.toSorted((a, b) => a.metric - b.metric);
  const wan = way?.device ?? ports.find((name) => name === 'wan0') ?? ports[0];
  const others = ports.filter((name) => name !== wan);
  if (wan === undefined || others.length === 0) return null;
  const taken = [network, ...routes.map(({ destination }) => destination).filter((one) => one !== everything)];
  const range = candidates.find((one) => !taken.some((other) => overlaps(one, other)));
  if (range === undefined) return null;
  const at = (n: number): Address => nth(range, n);
  return {
    ...{ topology: 'router', wan, ports: others, address: at(1), range, defaultAccess: 'nothing' },
    dhcp: { from: at(100), to: at(199) },
  };
}

/** Seldom used elsewhere; the second block for a machine that lives in the midst of the first. */
const candidates: readonly Prefix[] = [
  ...Array.from({ length: 60 }, (_, i) => parsePrefix(`192.168.${66 + i}.0/24`)),
  ...Array.from({ length: 60 }, (_, i) => parsePrefix(`10.66.${66 + i}.0/24`)),
];
