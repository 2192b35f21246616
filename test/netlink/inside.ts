// What the live tests do with our codecs inside their network namespace: `node inside.ts SCENARIO`, the result as one line of JSON.
import { execFileSync } from 'node:child_process';
import {
  type ConntrackEntry,
  decodeEntries,
  encodeDeleteEntry,
  encodeDumpEntries,
} from '../../src/router/netlink/conntrack.ts';
import {
  concatKey,
  decodeElements,
  elementAt,
  encodeDumpElements,
  encodeGetElements,
  encodeSetChanges,
  intervalElements,
  pairIntervals,
  prefixRange,
  type SetChange,
} from '../../src/router/netlink/elements.ts';
import type { NetlinkError } from '../../src/router/netlink/message.ts';
import type { LogPacket } from '../../src/router/netlink/nflog.ts';
import { netfilterFamily } from '../../src/router/netlink/nfnetlink.ts';
import {
  decodeChains,
  decodeNftablesEvent,
  decodeRules,
  decodeSets,
  decodeTables,
  encodeDumpChains,
  encodeDumpRules,
  encodeDumpSets,
  encodeDumpTables,
} from '../../src/router/netlink/nftables.ts';
import {
  encodeAddAddress,
  encodeAddRoute,
  encodeChangeLink,
  encodeCreateLink,
  encodeDeleteAddress,
  encodeDeleteLink,
  encodeDeleteNeighbour,
  encodeDeleteRoute,
  encodeDumpAddresses,
  encodeDumpLinks,
  encodeDumpNeighbours,
  encodeDumpRoutes,
  encodeReplaceNeighbour,
  encodeReplaceRoute,
} from '../../src/router/netlink/route.ts';
import {
  decodeAddresses,
  decodeLinks,
  decodeNeighbours,
  decodeRouteMessage,
  decodeRoutes,
} from '../../src/router/netlink/route-read.ts';
import { type BatchError, openNetfilter, openRoute, openWireguard } from '../../src/router/netlink/socket.ts';
import { netfilterGroup, readLog, routeGroup, subscribe } from '../../src/router/netlink/subscription.ts';
import { decodeDevice, encodeGetDevice, encodeSetDevice, type PeerChange } from '../../src/router/netlink/wireguard.ts';
import { hex, ipv4 } from './recorded.ts';

const table = { family: netfilterFamily.inet, name: 'apn' };
const mac = hex('020000000020');
const four = (text: string, cidr: number) => ({ family: 4, bytes: ipv4(text), cidr }) as const;
const six = (text: string, cidr: number) => ({ family: 6, bytes: hex(text.padEnd(32, '0')), cidr }) as const;
const unreachable = { destination: four('172.16.0.0', 16), type: 'unreachable', protocol: 66, metric: 9000 } as const;
const unreachable6 = { ...unreachable, destination: six('fd000016', 48) };

const setChanges: readonly SetChange[] = [
  {
    action: 'add',
    set: 'leases',
    elements: [
      { key: ipv4('203.0.113.7'), timeout: 86_400_000, comment: 'phone' },
      { key: ipv4('203.0.113.8'), timeout: 60_000 },
    ],
  },
  {
    action: 'add',
    set: 'prefixes',
    elements: [
      four('198.51.100.0', 24),
      four('255.255.255.0', 24),
      four('0.0.0.0', 8),
      four('198.51.101.0', 24),
    ].flatMap((prefix, index) => {
      const { first, last } = prefixRange(prefix);
      return intervalElements(first, last, index === 0 ? { timeout: 3_600_000 } : {});
    }),
  },
  {
    action: 'add',
    set: 'access',
    elements: [
      {
        key: concatKey([ipv4('172.16.1.2'), ipv4('172.16.10.0'), hex('06'), hex('0050')]),
        keyEnd: concatKey([ipv4('172.16.1.2'), ipv4('172.16.10.255'), hex('06'), hex('0050')]),
      },
    ],
  },
  { action: 'add', set: 'bindings', elements: [{ key: concatKey([mac, ipv4('192.168.66.20')]) }] },
  { action: 'add', set: 'identities', elements: [{ key: ipv4('192.168.66.20'), data: ipv4('172.16.2.1') }] },
];

function errorOf(error: unknown): object {
  const { name, code, errno, message, failures } = error as Omit<NetlinkError, 'name'> & BatchError;
  return {
    name,
    code,
    errno,
    message,
    failures: (failures as BatchError['failures'] | undefined)?.map((one) => ({
      part: one.part,
      code: one.error.code,
    })),
  };
}

async function until(condition: () => boolean, seconds = 20): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('nothing happened in time');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function links() {
  const route = openRoute();
  return decodeLinks(await route.request(encodeDumpLinks())).map((link) => {
    route.close();
    return link;
  });
}

async function indexOf(name: string): Promise<number> {
  const link = (await links()).find((one) => one.name === name);
  if (link === undefined) throw new Error(`no link ${name}`);
  return link.index;
}

async function wireguardPeers(count: number): Promise<PeerChange[]> {
  return Array.from({ length: count }, (_, index) => {
    const publicKey = Buffer.alloc(32, 7);
    publicKey.writeUInt32BE(index);
    const presharedKey = Buffer.alloc(32, 9);
    presharedKey.writeUInt32BE(index);
    const many = index === 500 ? 3_000 : 1;
    return {
      publicKey,
      presharedKey,
      keepalive: index % 3 === 0 ? 25 : 0,
      replaceAllowedIps: true,
      endpoint: index % 2 === 0 ? { family: 4, bytes: ipv4('203.0.113.7'), port: 1000 + index } : undefined,
      allowedIps: [
        { family: 4, bytes: Buffer.from([10, 1, index >> 8, index & 255]), cidr: 32 },
        ...Array.from({ length: many }, (_, one) => ({
          family: 6 as const,
          bytes: Buffer.concat([
            hex('fd00'),
            Buffer.alloc(10),
            Buffer.from([index >> 8, index & 255, one >> 8, one & 255]),
          ]),
          cidr: 128,
        })),
      ],
    } satisfies PeerChange;
  });
}

const scenarios: Record<string, () => Promise<unknown>> = {
  async createNetwork() {
    const route = openRoute();
    await route.request(encodeCreateLink('br-lan', 'bridge', { up: true }));
    const [bridge, lan] = [await indexOf('br-lan'), await indexOf('lan0')];
    // A bridge's MTU follows its ports' until it was changed, which at creation does not count.
    await route.request(encodeChangeLink(bridge, { mtu: 1400 }));
    await route.request(encodeChangeLink(lan, { master: bridge, mtu: 1380, address: hex('020000000099'), up: true }));
    await route.request(encodeAddAddress({ ...four('192.168.66.1', 24), index: bridge }));
    await route.request(encodeAddAddress({ ...four('172.16.0.1', 32), index: bridge, noPrefixRoute: true }));
    await route.request(encodeAddAddress({ ...six('fd000066', 64), index: bridge, noDuplicateDetection: true }));
    const direct = { destination: four('172.16.10.0', 24), oif: bridge, protocol: 66, metric: 50 };
    await route.request(encodeAddRoute(direct));
    await route.request(encodeReplaceRoute({ ...direct, source: { family: 4, bytes: ipv4('192.168.66.1') } }));
    const gateway = { family: 4, bytes: ipv4('192.168.66.9') } as const;
    await route.request(encodeAddRoute({ destination: four('172.16.11.0', 24), oif: bridge, protocol: 66, gateway }));
    await route.request(encodeAddRoute({ destination: six('fd000017', 48), oif: bridge, protocol: 66, metric: 50 }));
    await route.request(encodeAddRoute(unreachable));
    await route.request(encodeAddRoute(unreachable6));
    await route.request(
      encodeReplaceNeighbour({ family: 4, bytes: ipv4('192.168.66.20'), index: bridge, address: mac }),
    );
    const refused = await route.request(encodeAddRoute(unreachable)).catch(errorOf);
    route.close();
    return { refused };
  },

  async readNetwork() {
    const route = openRoute();
    const result = {
      links: await links(),
      addresses: decodeAddresses(await route.request(encodeDumpAddresses())),
      routes: decodeRoutes(await route.request(encodeDumpRoutes())),
      neighbours: decodeNeighbours(await route.request(encodeDumpNeighbours())),
    };
    route.close();
    return result;
  },

  async removeNetwork() {
    const route = openRoute();
    const [bridge, lan] = [await indexOf('br-lan'), await indexOf('lan0')];
    await route.request(encodeDeleteNeighbour({ family: 4, bytes: ipv4('192.168.66.20'), index: bridge }));
    await route.request(encodeDeleteRoute(unreachable));
    await route.request(encodeDeleteRoute(unreachable6));
    await route.request(
      encodeDeleteRoute({ destination: four('172.16.10.0', 24), oif: bridge, protocol: 66, metric: 50 }),
    );
    const wrong = { destination: four('172.16.11.0', 24), oif: bridge, protocol: 67 };
    const missing = await route.request(encodeDeleteRoute(wrong)).catch(errorOf);
    await route.request(encodeDeleteRoute({ ...wrong, protocol: 66 }));
    await route.request(encodeDeleteAddress({ ...four('172.16.0.1', 32), index: bridge }));
    await route.request(encodeChangeLink(lan, { master: 0, up: false }));
    await route.request(encodeDeleteLink(bridge));
    route.close();
    return { missing };
  },

  async addElements() {
    const netfilter = openNetfilter();
    await netfilter.batch(encodeSetChanges(table, setChanges));
    netfilter.close();
  },

  async readElements() {
    const netfilter = openNetfilter();
    const read = async (set: string) => decodeElements(await netfilter.request(encodeDumpElements(table, set)));
    const one = { key: ipv4('203.0.113.7') };
    const result = {
      leases: await read('leases'),
      prefixes: pairIntervals(await read('prefixes')).map(({ first, last }) => ({ first, last })),
      access: await read('access'),
      bindings: await read('bindings'),
      identities: await read('identities'),
      one: decodeElements(await netfilter.request(encodeGetElements(table, 'leases', [one]))),
      none: await netfilter.request(encodeGetElements(table, 'leases', [{ key: ipv4('1.1.1.1') }])).catch(errorOf),
    };
    netfilter.close();
    return result;
  },

  async renewLease() {
    const netfilter = openNetfilter();
    const key = ipv4('203.0.113.8');
    const renewal: SetChange[] = [
      { action: 'add', set: 'leases', elements: [{ key, timeout: 1_000 }] },
      { action: 'delete', set: 'leases', elements: [{ key }] },
      { action: 'add', set: 'leases', elements: [{ key, timeout: 7_200_000 }] },
    ];
    await netfilter.batch(encodeSetChanges(table, renewal));
    netfilter.close();
  },

  async deleteElements() {
    const netfilter = openNetfilter();
    const wrong = [{ key: ipv4('203.0.113.7') }, { key: ipv4('1.1.1.1') }, { key: ipv4('1.1.1.2') }];
    const deletions = setChanges.map((change) => ({ ...change, action: 'delete' as const }));
    const parts = encodeSetChanges(table, [
      ...deletions.slice(1),
      { action: 'delete', set: 'leases', elements: wrong },
    ]);
    const error = await netfilter.batch(parts).catch((reason: BatchError) => reason);
    const offset = error?.failures[0]?.error.offset;
    const failed = { ...errorOf(error), element: offset === undefined ? undefined : elementAt(parts.at(-1)!, offset) };
    const rest = decodeElements(await netfilter.request(encodeDumpElements(table, 'leases'))).length;
    await netfilter.batch(encodeSetChanges(table, deletions));
    netfilter.close();
    return { failed, rest };
  },

  async manyElements() {
    const netfilter = openNetfilter();
    const elements = Array.from({ length: 20_000 }, (_, index) => ({
      key: Buffer.from([10, 9, index >> 8, index & 255]),
    }));
    await netfilter.batch(encodeSetChanges(table, [{ action: 'add', set: 'leases', elements }]));
    const added = decodeElements(await netfilter.request(encodeDumpElements(table, 'leases'))).length;
    await netfilter.batch(encodeSetChanges(table, [{ action: 'delete', set: 'leases', elements }]));
    const left = decodeElements(await netfilter.request(encodeDumpElements(table, 'leases'))).length;
    netfilter.close();
    return { added, left };
  },

  async readStructure() {
    const netfilter = openNetfilter();
    const result = {
      tables: decodeTables(await netfilter.request(encodeDumpTables(table.family))),
      chains: decodeChains(await netfilter.request(encodeDumpChains(table.family)), table),
      sets: decodeSets(await netfilter.request(encodeDumpSets(table))),
      rules: decodeRules(await netfilter.request(encodeDumpRules(table))),
      inputRules: decodeRules(await netfilter.request(encodeDumpRules(table, 'input'))).length,
    };
    netfilter.close();
    return result;
  },

  // Says READY, and then what it hears until everything expected was heard.
  async listen() {
    const heard = new Set<string>();
    const wanted = [
      'link',
      'link gone',
      'address',
      'address gone',
      'route',
      'route gone',
      'neighbour',
      'element',
      'generation',
    ];
    const lost = (error: Error): void => {
      heard.add(`lost ${error.message}`);
    };
    const route = subscribe(
      'route',
      Object.values(routeGroup),
      (message) => {
        const event = decodeRouteMessage(message);
        if (event !== undefined) heard.add(event.gone ? `${event.kind} gone` : event.kind);
      },
      lost,
    );
    const netfilter = subscribe(
      'netfilter',
      [netfilterGroup.nftables],
      (message) => {
        const event = decodeNftablesEvent(message);
        if (event !== undefined) heard.add(event.kind);
      },
      lost,
    );
    process.stdout.write('READY\n');
    await until(() => wanted.every((kind) => heard.has(kind))).catch(() => undefined);
    route.close();
    netfilter.close();
    netfilter.close();
    return [...heard];
  },

  // Far more announcements than any buffer holds, while nobody reads.
  async overflow() {
    let heard = 0;
    const lost: string[] = [];
    const subscription = subscribe(
      'route',
      [routeGroup.link],
      () => heard++,
      (error) => lost.push(error.message),
    );
    const changes = Array.from({ length: 15_000 }, (_, index) => `link set lo mtu ${20_000 + index}`).join('\n');
    execFileSync('ip', ['-batch', '-'], { input: changes });
    await until(() => lost.length > 0);
    const before = heard;
    execFileSync('ip', ['link', 'set', 'lo', 'mtu', '65536']);
    await until(() => heard > before);
    subscription.close();
    return { lost, complete: before >= 15_000 };
  },

  // Two groups by one reader, a second reader that takes over, and far more copies than any buffer holds.
  async firewallLog() {
    const rule = (port: number, more: string) => `udp dport ${port} log group ${port} ${more} queue-threshold 1`;
    const rules = [rule(5000, 'prefix "five thousand" snaplen 64'), rule(5001, 'snaplen 64')].join('\n');
    // Untracked, so that nothing of it is left for others.
    const chains = `chain own {
type filter hook output priority -300
udp dport { 5000, 5001 } notrack
}
chain input {
type filter hook input priority 0
${rules}
}`;
    execFileSync('nft', ['-f', '-'], { input: `table inet logged {\n${chains}\n}\n` });
    const send = (port: number, bytes: number, times: number): void => {
      const command = `head -c ${bytes * times} /dev/zero | socat -u -b ${bytes} - UDP-SENDTO:127.0.0.1:${port}`;
      execFileSync('bash', ['-c', command]);
    };
    const heard: LogPacket[] = [];
    const states: string[] = [];
    const state = (name: string) => (problem: Error | null) => states.push(`${name} ${problem?.message ?? 'reads'}`);
    const first = readLog([5000, 5001], 64, (packet) => heard.push(packet), state('first'));
    await until(() => states.includes('first reads'));
    send(5000, 10, 1);
    send(5001, 500, 1);
    await until(() => heard.length >= 2);
    const packets = heard.splice(0);
    send(5000, 100, 60_000);
    await until(() => heard.length > 0);
    const flooded = heard.length;
    const second = readLog([5000], 64, (packet) => heard.push(packet), state('second'));
    await until(() => states.some((text) => text.startsWith('second ')));
    send(5001, 10, 1);
    await until(() => heard.some(({ group }) => group === 5001));
    first.close();
    await until(() => states.includes('second reads'));
    const before = heard.length;
    send(5000, 10, 1);
    await until(() => heard.length > before);
    second.close();
    second.close();
    execFileSync('nft', ['delete', 'table', 'inet', 'logged']);
    return { packets, states, lost: flooded < 60_000 };
  },

  // A failing listener must show as an ordinary uncaught exception.
  async throwingListener() {
    const caught = new Promise<string>((resolve) =>
      process.once('uncaughtException', (error) => resolve(error.message)),
    );
    const subscription = subscribe(
      'route',
      [routeGroup.link],
      () => {
        throw new Error('listener broke');
      },
      () => undefined,
    );
    execFileSync('ip', ['link', 'set', 'lo', 'mtu', '65535']);
    const message = await caught;
    subscription.close();
    return message;
  },

  async closing() {
    const route = openRoute();
    const waiting = route.request(encodeDumpLinks()).catch(errorOf);
    await Promise.resolve();
    route.close();
    route.close();
    const [during, after] = [await waiting, await route.request(encodeDumpLinks()).catch(errorOf)];
    const impatient = openRoute({ timeout: 20 });
    // A control message is no request for a dump, and nobody answers it.
    const silent = await impatient.request({ type: 1, flags: 0x300, payload: Buffer.alloc(0) }).catch(errorOf);
    const next = (await impatient.request(encodeDumpLinks())).length;
    impatient.close();
    return { during, after, silent, next };
  },

  async manyRequests() {
    const [route, netfilter] = [openRoute(), openNetfilter()];
    const elements = [{ key: ipv4('10.8.8.8') }];
    const round = async (count: number): Promise<number> => {
      for (let index = 0; index < count; index++) {
        await route.request(encodeChangeLink(1, { mtu: 65_536 }));
        await netfilter.batch(
          encodeSetChanges(table, [
            { action: 'add', set: 'leases', elements },
            { action: 'delete', set: 'leases', elements },
          ]),
        );
      }
      globalThis.gc?.();
      return process.memoryUsage().rss;
    };
    // Emulation is slow, and memory is no different there: fewer rounds do.
    const scale = process.env.VM === '1' ? 20 : 1;
    const early = await round(20_000 / scale);
    const late = await round(40_000 / scale);
    route.close();
    netfilter.close();
    return { grownMegabytes: (late - early) / 1e6 };
  },

  async deleteConntrack() {
    const netfilter = openNetfilter();
    const mine = ({ original }: ConntrackEntry) => ipv4('172.16.1.2').equals(original.source);
    const entries = decodeEntries(await netfilter.request(encodeDumpEntries(4))).filter(mine);
    const wanted = entries.find(({ original }) => original.protocol === 17)!;
    const wrongId = await netfilter
      .request(encodeDeleteEntry({ ...wanted, id: (wanted.id! ^ 1) >>> 0 }))
      .catch(errorOf);
    await netfilter.request(encodeDeleteEntry(wanted));
    const again = await netfilter.request(encodeDeleteEntry({ original: wanted.original })).catch(errorOf);
    const left = decodeEntries(await netfilter.request(encodeDumpEntries())).filter(mine);
    netfilter.close();
    return { count: entries.length, wrongId, again, left };
  },

  async noRights() {
    const route = openRoute();
    const error = await route.request(encodeCreateLink('br-x', 'bridge')).catch(errorOf);
    route.close();
    const netfilter = openNetfilter();
    const batch = await netfilter.batch(encodeSetChanges(table, setChanges)).catch(errorOf);
    netfilter.close();
    return { error, batch };
  },

  async noWireguard() {
    return openWireguard().catch(errorOf);
  },

  async setWireguard() {
    const { socket, family } = await openWireguard();
    const privateKey = Buffer.alloc(32, 0x40);
    const peers = await wireguardPeers(1_000);
    const change = { device: 'apn0', privateKey, listenPort: 51820, fwmark: 7, peers };
    for (const request of encodeSetDevice(family, change)) await socket.request(request);
    const all = decodeDevice(await socket.request(encodeGetDevice(family, 'apn0')));
    socket.close();
    return { all, wanted: peers };
  },

  async changeWireguard() {
    const { socket, family } = await openWireguard();
    const all = await wireguardPeers(1_000);
    const peers: PeerChange[] = all.map(({ publicKey }, index) =>
      index < 990 ? { publicKey, remove: true } : { publicKey, presharedKey: Buffer.alloc(32), keepalive: 0 },
    );
    peers.push({ publicKey: Buffer.alloc(32, 0x33), keepalive: 5, updateOnly: true });
    for (const request of encodeSetDevice(family, { device: 'apn0', peers })) await socket.request(request);
    const missing = await socket.request(encodeGetDevice(family, 'nothere')).catch(errorOf);
    socket.close();
    return { missing };
  },

  async readWireguard() {
    const { socket, family } = await openWireguard();
    const device = decodeDevice(await socket.request(encodeGetDevice(family, 'wg9')));
    socket.close();
    return device;
  },
};

const scenario = scenarios[process.argv[2] ?? ''];
if (scenario === undefined) throw new Error(`no scenario ${process.argv[2]}`);
const asHex = (_: string, value: unknown): unknown => {
  const buffer = value as { readonly type?: unknown; readonly data?: readonly number[] } | null;
  return buffer?.type === 'Buffer' && buffer.data !== undefined ? Buffer.from(buffer.data).toString('hex') : value;
};
process.stdout.write(`${JSON.stringify((await scenario()) ?? null, asHex)}\n`);
