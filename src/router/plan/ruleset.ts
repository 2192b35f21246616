// The ruleset: sets, chains and rules of the one table `inet apn` as nft text, for one configuration. DESIGN §5.
import type { Address, Prefix } from '../../model/address.ts';
import { hubAddress } from '../../model/addressing.ts';
import { type Config, listenPort } from '../../model/config.ts';
import { uplinkDevice } from '../../model/uplink.ts';
import { fingerprint } from './fingerprint.ts';
import { copying, initiation, logGroup, meterBounds, meters } from './knock.ts';
import { bridge } from './network.ts';
import { hubDevice } from './wireguard.ts';

export const table = 'apn';

/** One set or map. Its elements are no part of it. */
export interface SetDeclaration {
  readonly name: string;
  readonly type: string;
  readonly interval: boolean;
  readonly timeout: boolean;
  /** Type of a map's values; null: a set. */
  readonly data: string | null;
  /** Bytes of a key, each field of a concatenation padded to 4. */
  readonly keyLength: number;
}

function set(
  name: string,
  type: string,
  keyLength: number,
  flags: { interval?: true; timeout?: true; data?: string } = {},
): SetDeclaration {
  const { interval = false, timeout = false, data = null } = flags;
  return { name, type, interval, timeout, data, keyLength };
}

export const sets: readonly SetDeclaration[] = [
  // Who may use UDP 51820 from the WAN. Exact leases apart from blocks: an interval set refuses an address inside a block.
  set('rule4', 'ipv4_addr', 4, { interval: true }),
  set('rule6', 'ipv6_addr', 16, { interval: true }),
  set('lease4', 'ipv4_addr', 4, { timeout: true }),
  set('lease6', 'ipv6_addr', 16, { timeout: true }),
  set('lease4_net', 'ipv4_addr', 4, { interval: true, timeout: true }),
  set('lease6_net', 'ipv6_addr', 16, { interval: true, timeout: true }),
  // Original source . original destination of every flow that may be forwarded inside.
  set('access', 'ipv4_addr . ipv4_addr', 8, { interval: true }),
  // LAN addresses and the devices they belong to right now.
  set('bindings', 'ether_addr . ipv4_addr', 12),
  // Tunnel addresses that may open the web pages: members' devices.
  set('members', 'ipv4_addr', 4),
  // LAN addresses that may go out to the Internet.
  set('internet', 'ipv4_addr', 4, { interval: true }),
  // What belongs to uplinks: nothing from or to there passes the WAN.
  set('uplinks', 'ipv4_addr', 4, { interval: true }),
  // Address in the APN → what it stands for behind an uplink.
  set('alias', 'ipv4_addr', 4, { data: 'ipv4_addr' }),
  // LAN address → its APN address.
  set('identity', 'ipv4_addr', 4, { data: 'ipv4_addr' }),
];

export interface BaseChain {
  readonly type: 'filter' | 'nat';
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';
  /** Number on the hook; lower runs first. */
  readonly priority: number;
  readonly policy: 'accept' | 'drop';
}

export interface Rule {
  /** `name fingerprint`: how the rule is known again in the kernel. */
  readonly comment: string;
  readonly text: string;
}

export interface Chain {
  readonly name: string;
  /** Null: only jumped to. */
  readonly base: BaseChain | null;
  readonly rules: readonly Rule[];
}

// Priorities of include/uapi/linux/netfilter_ipv4.h.
const raw = -300;
const mangle = -150;
const dstnat = -100;
const filter = 0;
const srcnat = 100;
/** After source NAT (100) and its helpers: what is seen here is what leaves. */
const last = 300;

/**
 * The beginning of a packet, enough for addresses and ports: of whoever began, and not of every broadcast on the LAN.
 * Never more than people read.
 */
const noted = [
  'meta pkttype host ct direction original limit rate 20/second burst 60 packets',
  `log group ${logGroup.denied} snaplen 64 queue-threshold 1`,
].join(' ');
const refuse = ['meta l4proto tcp reject with tcp reset', 'reject with icmpx admin-prohibited'] as const;
/** Refused with an answer, and told to the router. */
const refusing = [noted, ...refuse];

/** Every chain. Sets are empty until they are filled, and an empty set allows nothing. */
export function compileChains(config: Config): readonly Chain[] {
  const { lan, network } = config;
  const wan = lan?.wan ?? null;
  const inside: readonly Prefix[] = lan === null ? [network.range] : [lan.range, network.range];
  const uplinks = config.uplinks.map(uplinkDevice);
  return [
    // Before connection tracking: the decision about 51820 must not depend on what was seen before.
    base('gate_in', { type: 'filter', hook: 'prerouting', priority: raw, policy: 'accept' }, [
      `udp dport ${listenPort} fib daddr type local jump wireguard_in`,
      // Let in from anybody, and so they must not fill the connection table.
      ...(wan === null
        ? []
        : [
            `iifname "${wan}" udp sport 67 udp dport 68 notrack`,
            `iifname "${wan}" udp sport 547 udp dport 546 notrack`,
          ]),
    ]),
    chain('wireguard_in', [
      `${initiation} goto initiation`,
      ...(wan === null ? [] : admitted(`iifname "${wan}"`, 'saddr', 'notrack accept')),
      // A member at home needs no lease.
      `iifname "${bridge}" notrack accept`,
      'drop',
    ]),
    // The same decision; what comes of it is copied to the router.
    chain('initiation', [
      ...(wan === null
        ? []
        : [
            ...admitted(`iifname "${wan}"`, 'saddr', 'goto initiation_accepted'),
            `iifname "${wan}" goto initiation_refused`,
          ]),
      `iifname "${bridge}" goto initiation_accepted`,
      'drop',
    ]),
    chain('initiation_accepted', copying('accepted', 'notrack accept')),
    chain('initiation_refused', copying('refused', 'drop')),
    base('gate_out', { type: 'filter', hook: 'output', priority: raw, policy: 'accept' }, [
      `udp sport ${listenPort} jump wireguard_out`,
    ]),
    chain('wireguard_out', [
      ...(wan === null ? [] : admitted(`oifname "${wan}"`, 'daddr', 'notrack accept')),
      `oifname { "${bridge}", "lo" } notrack accept`,
      'drop',
    ]),
    // What comes from the WAN for somebody else and is no reply ends here, before the kernel could answer it with ICMP.
    base('transit', { type: 'filter', hook: 'prerouting', priority: mangle, policy: 'accept' }, [
      ...(wan === null ? [] : [`iifname "${wan}" ct state { new, invalid, untracked } fib daddr type unicast drop`]),
    ]),
    base('dstnat', { type: 'nat', hook: 'prerouting', priority: dstnat, policy: 'accept' }, [
      ...(uplinks.length === 0 ? [] : [`iifname { "${bridge}", "${hubDevice}" } dnat ip to ip daddr map @alias`]),
    ]),
    base('input', { type: 'filter', hook: 'input', priority: filter, policy: 'drop' }, [
      'iifname "lo" accept',
      ...(wan === null ? [] : [`iifname "${wan}" goto input_wan`]),
      `iifname "${bridge}" goto input_lan`,
      `iifname "${hubDevice}" goto input_apn`,
      ...uplinks.map((name) => `iifname "${name}" goto input_uplink`),
    ]),
    chain('input_wan', inputFromWan),
    chain('input_lan', inputFromLan(lan?.range ?? null)),
    chain('input_apn', inputFromTunnel(hubAddress(network))),
    chain('input_uplink', inputFromUplink),
    base('clamp', { type: 'filter', hook: 'forward', priority: mangle, policy: 'accept' }, [
      'tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu',
    ]),
    base(
      'forward',
      { type: 'filter', hook: 'forward', priority: filter, policy: 'drop' },
      forward(wan, lan?.range ?? null, uplinks),
    ),
    base('srcnat', { type: 'nat', hook: 'postrouting', priority: srcnat, policy: 'accept' }, sourceNat(config, wan)),
    // What the kernel answers before our chains see it (bad options, fragments that never end) does not leave either.
    base('quiet', { type: 'filter', hook: 'output', priority: filter, policy: 'accept' }, [
      ...(wan === null
        ? []
        : [
            `oifname "${wan}" icmp type destination-unreachable icmp code frag-needed accept`,
            `oifname "${wan}" meta l4proto icmp icmp type != echo-request drop`,
            `oifname "${wan}" icmpv6 type { destination-unreachable, time-exceeded, parameter-problem, echo-reply } drop`,
          ]),
    ]),
    // Nothing of the inside leaves on the WAN, whatever happened before.
    base('leak', { type: 'filter', hook: 'postrouting', priority: last, policy: 'accept' }, [
      ...(wan === null
        ? []
        : [
            `oifname "${wan}" ip saddr { ${inside.join(', ')} } drop`,
            `oifname "${wan}" ip daddr { ${inside.join(', ')} } drop`,
            ...(uplinks.length === 0
              ? []
              : [`oifname "${wan}" ip saddr @uplinks drop`, `oifname "${wan}" ip daddr @uplinks drop`]),
          ]),
      // An uplink knows one address of us.
      ...config.uplinks.flatMap((one) => [
        `oifname "${uplinkDevice(one)}" meta nfproto ipv6 drop`,
        `oifname "${uplinkDevice(one)}" ip saddr != ${one.address} drop`,
      ]),
    ]),
  ];
}

/** Rules, then live leases; `notrack`, so that neither the hub nor a peer makes the other's packets a reply. */
function admitted(where: string, end: 'saddr' | 'daddr', verdict: string): readonly string[] {
  return ['rule', 'lease'].flatMap((kind) => [
    `${where} ip ${end} @${kind}4 ${verdict}`,
    `${where} ip6 ${end} @${kind}6 ${verdict}`,
    ...(kind === 'lease'
      ? [`${where} ip ${end} @lease4_net ${verdict}`, `${where} ip6 ${end} @lease6_net ${verdict}`]
      : []),
  ]);
}

/** RFC 4890 §4.4 for a host, and nothing that draws an answer to somebody off the link. */
const inputFromWan: readonly string[] = [
  // The gate has let it in.
  `udp dport ${listenPort} ct state untracked accept`,
  'icmp type destination-unreachable icmp code frag-needed accept',
  'icmpv6 type packet-too-big accept',
  'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } ip6 hoplimit 255 accept',
  'udp sport 67 udp dport 68 accept',
  'ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept',
  // Replies to what the hub itself asked.
  'ct state { established, related } accept',
];

const inputFromLan = (range: Prefix | null): readonly string[] => [
  `udp dport ${listenPort} ct state untracked accept`,
  'udp sport 68 udp dport 67 accept',
  'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept',
  'ct state invalid drop',
  ...unbound('', range),
  'ip6 saddr != fe80::/10 drop',
  'meta nfproto ipv6 reject with icmpx admin-prohibited',
  'ct state { established, related } accept',
  'udp dport 53 accept',
  'tcp dport { 53, 80, 443 } accept',
  'icmp type echo-request accept',
  ...refusing,
];

/** The hub is reached at its address in the APN alone: its LAN address is part of the LAN. */
const inputFromTunnel = (hub: Address): readonly string[] => [
  'ct state invalid drop',
  'ct state { established, related } ct direction reply accept',
  ...rejecting(`ip daddr != ${hub}`),
  'udp dport 53 accept',
  'tcp dport 53 accept',
  'icmp type echo-request accept',
  'ct state related accept',
  'ip saddr @members tcp dport { 80, 443 } accept',
  ...refusing,
];

/** Replies to what the hub itself asked there: names. */
const inputFromUplink: readonly string[] = [
  'ct state invalid drop',
  'ct state { established, related } ct direction reply accept',
  'drop',
];

/**
 * The original source and destination of the flow decide for both directions, so a right that is taken away stops a
 * running flow with its next packet. Where a source may come from is not part of the key: a peer can only send from its
 * own address, the LAN only from its bindings, and both ranges are apart.
 */
function forward(wan: string | null, range: Prefix | null, uplinks: readonly string[]): readonly string[] {
  const allowed = 'ct original ip saddr . ct original ip daddr @access accept';
  const uplink = `{ ${uplinks.map((name) => `"${name}"`).join(', ')} }`;
  return [
    'meta nfproto ipv6 reject with icmpx admin-prohibited',
    'ct state invalid drop',
    ...unbound(`iifname "${bridge}" `, range),
    `iifname { "${bridge}", "${hubDevice}" } oifname { "${bridge}", "${hubDevice}" } ${allowed}`,
    // An uplink is called and never calls; what it sends unasked is not answered.
    ...(uplinks.length === 0
      ? []
      : [
          `iifname { "${bridge}", "${hubDevice}" } oifname ${uplink} ct direction original ${allowed}`,
          `iifname ${uplink} oifname { "${bridge}", "${hubDevice}" } ct direction reply ${allowed}`,
          `iifname ${uplink} drop`,
        ]),
    ...(wan === null
      ? []
      : [
          `iifname "${bridge}" oifname "${wan}" ct direction original ip saddr @internet accept`,
          `iifname "${bridge}" oifname "${wan}" ct direction reply drop`,
          `iifname "${wan}" oifname "${bridge}" ct direction reply ct original ip saddr @internet accept`,
          `iifname "${wan}" drop`,
        ]),
    ...refusing,
  ];
}

/**
 * Borrowed addresses. A refusal goes to the address a packet claims: nothing is said to addresses that are not on the
 * LAN, nor in a flow that is somebody's, which it would cut. A device with an address of its own choice sees an error.
 */
function unbound(where: string, range: Prefix | null): readonly string[] {
  const borrowed = `${where}ether saddr . ip saddr != @bindings`;
  return [
    ...(range === null ? [] : [`${where}ip saddr != ${range} drop`]),
    `${borrowed} ct state != new drop`,
    ...rejecting(borrowed),
  ];
}

function rejecting(match: string): readonly string[] {
  return refusing.map((verdict) => `${match} ${verdict}`);
}

/** LAN devices appear under their own APN address, unknown ones under the hub's; all of us behind an uplink's one address. */
function sourceNat({ lan, network, uplinks }: Config, wan: string | null): readonly string[] {
  const hub: Address = hubAddress(network);
  return [
    ...uplinks.map((one) => `oifname "${uplinkDevice(one)}" snat ip to ${one.address}`),
    ...(lan === null
      ? []
      : [
          `oifname "${hubDevice}" ip saddr ${lan.range} snat ip to ip saddr map @identity`,
          `oifname "${hubDevice}" ip saddr ${lan.range} snat ip to ${hub}`,
          // A LAN device's source port 51820 must not become ours: replies from members would go to it (port shadowing).
          `oifname "${wan}" ip saddr ${lan.range} meta l4proto { tcp, udp } masquerade to :20000-51000`,
          `oifname "${wan}" ip saddr ${lan.range} masquerade`,
        ]),
  ];
}

function base(name: string, base: BaseChain, rules: readonly string[]): Chain {
  return { ...chain(name, rules), base };
}

function chain(name: string, rules: readonly string[]): Chain {
  return {
    name,
    base: null,
    rules: rules.map((text, i) => ({ text, comment: `${name} ${i + 1} ${fingerprint(text)}` })),
  };
}

const hookNumbers = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;

/** NF_INET_* of include/uapi/linux/netfilter.h. */
export function hookNumber(hook: BaseChain['hook']): number {
  return hookNumbers[hook];
}

/** Declares the table, every set and the given chains; harmless where they are there. */
export function declarations(chains: readonly Chain[]): readonly string[] {
  return [
    `add table inet ${table}`,
    ...sets.map(({ name, type, interval, timeout, data }) => {
      const flags = [...(interval ? ['interval'] : []), ...(timeout ? ['timeout'] : [])];
      const noun = data === null ? 'set' : 'map';
      const of = data === null ? type : `${type} : ${data}`;
      return `add ${noun} inet ${table} ${name} { type ${of};${flags.length === 0 ? '' : ` flags ${flags.join(',')};`} }`;
    }),
    ...meters.map(
      ({ name, type }) => `add set inet ${table} ${name} { type ${type}; flags dynamic,timeout; ${meterBounds} }`,
    ),
    ...chains.map(({ name, base: hook }) =>
      hook === null
        ? `add chain inet ${table} ${name}`
        : `add chain inet ${table} ${name} { type ${hook.type} hook ${hook.hook} priority ${hook.priority}; policy ${hook.policy}; }`,
    ),
  ];
}

/** Empties the chains and fills them again. */
export function refill(chains: readonly Chain[]): readonly string[] {
  return [
    ...chains.map(({ name }) => `flush chain inet ${table} ${name}`),
    ...chains.flatMap(({ name, rules }) =>
      rules.map(({ text, comment }) => `add rule inet ${table} ${name} ${text} comment "${comment}"`),
    ),
  ];
}
