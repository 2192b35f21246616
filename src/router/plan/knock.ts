// How handshake initiations are copied to the router: the knock of those refused, the timestamps of those accepted. DESIGN §6.
import type { SetDeclaration } from './ruleset.ts';

/** Groups of nflog; each has one reader. `denied` is for what LAN and tunnel are refused. */
export const logGroup = { refused: 51820, accepted: 51821, denied: 51822 } as const;

/** Bytes of a packet that are copied: an initiation with the longest IPv4 header, or IPv6. */
export const logLength = 256;

/** WireGuard §5.4.2: 148 bytes that begin with the type 1 and three zeros, in a datagram with 8 bytes of UDP header. */
export const initiation = 'udp length 156 @th,64,32 0x01000000';

/**
 * Sources that sent an initiation of late, filled by the kernel alone. When a flood of made-up sources has filled them,
 * the limit for all holds. The kernel refuses to add a set that is there with another size: that needs another name.
 */
export const meters: readonly SetDeclaration[] = [
  meter('knocking4', 'ipv4_addr', 4),
  meter('knocking6', 'ipv6_addr', 16),
];

/** What a meter's declaration says beyond its type and flags. */
export const meterBounds = 'size 4096; timeout 30s;';

function meter(name: string, type: string, keyLength: number): SetDeclaration {
  return { name, type, interval: false, timeout: true, data: null, keyLength };
}

/** A retry comes every 5 s, and several devices may share an address. IPv6 sources are counted by their /64. */
const perSource = 'limit rate over 2/second burst 10 packets';

/** What the router looks at in a second: at most this of each kind, however many send. */
const inAll = 'limit rate 100/second burst 200 packets';

/** Copies within the limits; every packet ends with the verdict. */
export function copying(kind: 'refused' | 'accepted', verdict: string): readonly string[] {
  const copy = `log group ${logGroup[kind]} snaplen ${logLength} queue-threshold 1`;
  return [
    `add @knocking4 { ip saddr ${perSource} } ${verdict}`,
    `add @knocking6 { ip6 saddr & ffff:ffff:ffff:ffff:: ${perSource} } ${verdict}`,
    `${inAll} ${copy}`,
    verdict,
  ];
}
