// Records what `ip`, `nft` and `conntrack` say to the kernel, and its answers, as hex text for the codec tests (run as root, by hand).
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

type Exchange = { readonly command: string; readonly sent: string[]; readonly received: string[] };

const namespace = `nlt-record-${process.pid}`;
const folder = mkdtempSync(join(tmpdir(), 'nlt-record-'));
const recorded = new URL('./recorded/', import.meta.url);

function inside(command: readonly string[], input = ''): string {
  return execFileSync('ip', ['netns', 'exec', namespace, ...command], { input, encoding: 'utf8' });
}

// strace decodes netlink itself, so the bytes come from its separate hex dump of every read and write.
function record(command: readonly string[], input = ''): Exchange {
  const log = join(folder, 'strace');
  const calls = ['-e', 'trace=sendto,sendmsg,recvmsg,recvfrom', '-e', 'read=all', '-e', 'write=all'];
  const run = spawnSync('ip', ['netns', 'exec', namespace, 'strace', ...calls, '-o', log, ...command], { input });
  if (run.status !== 0) throw new Error(`${command.join(' ')}: ${run.stderr.toString()}`);
  const sent: string[] = [];
  const received: string[] = [];
  let target: string[] | undefined;
  let open = false;
  for (const line of readFileSync(log, 'utf8').split('\n')) {
    const bytes = /^ \| [0-9a-f]+ {2}((?:[0-9a-f]{2} {1,2})+)/.exec(line)?.[1]?.replaceAll(' ', '');
    if (bytes !== undefined) {
      if (target === undefined) continue;
      if (open) target[target.length - 1] += bytes;
      else target.push(bytes);
      open = true;
    } else if (!line.startsWith(' *')) {
      open = false;
      target = line.includes('MSG_PEEK') ? undefined : /^(sendto|sendmsg)\(/.test(line) ? sent : received;
    }
  }
  return { command: [...command, ...(input === '' ? [] : [`<<< ${input}`])].join(' '), sent, received };
}

function save(name: string, exchanges: Record<string, Exchange>): void {
  writeFileSync(new URL(`${name}.json`, recorded), `${JSON.stringify(exchanges, null, 2)}\n`);
}

const ruleset = `table inet apn {
  set leases { type ipv4_addr; flags timeout; }
  set leases6 { type ipv6_addr; flags timeout; }
  set prefixes { type ipv4_addr; flags interval, timeout; }
  set access { type ipv4_addr . ipv4_addr . inet_proto . inet_service; flags interval; }
  set bindings { type ether_addr . ipv4_addr; }
  map identities { type ipv4_addr : ipv4_addr; }
  map verdicts { type ipv4_addr : verdict; }
  chain input { type filter hook input priority filter; policy drop; udp dport 51820 accept comment "wg in"; }
  chain raw { type filter hook prerouting priority raw; policy accept; }
  chain helper { counter; ip saddr @leases accept comment "lease"; }
}
table ip other { chain c { }; set s { type ipv4_addr; }; }
`;

const elementCommands: Record<string, string> = {
  addSingle: 'add element inet apn leases { 203.0.113.7 timeout 24h, 203.0.113.8 timeout 30s }',
  addSingle6: 'add element inet apn leases6 { 2001:db8::7 timeout 90s comment "phone" }',
  deleteSingle: 'delete element inet apn leases { 203.0.113.8 }',
  addInterval: 'add element inet apn prefixes { 198.51.100.0/24 timeout 1h, 192.0.2.1-192.0.2.5 }',
  addIntervalTop: 'add element inet apn prefixes { 255.255.255.0/24 }',
  deleteInterval: 'delete element inet apn prefixes { 192.0.2.1-192.0.2.5 }',
  addConcat:
    'add element inet apn access { 172.16.1.2 . 172.16.10.0/24 . tcp . 80, 172.16.1.3-172.16.1.9 . 172.16.11.7 . udp . 1000-2000 }',
  deleteConcat: 'delete element inet apn access { 172.16.1.2 . 172.16.10.0/24 . tcp . 80 }',
  addBinding: 'add element inet apn bindings { 02:00:00:00:00:01 . 192.168.66.20 }',
  addMap: 'add element inet apn identities { 192.168.66.20 : 172.16.2.1, 192.168.66.21 : 172.16.2.2 }',
  deleteMap: 'delete element inet apn identities { 192.168.66.21 }',
  addVerdict: 'add element inet apn verdicts { 192.0.2.1 : drop, 192.0.2.2 : jump helper }',
};

const routeCommands: Record<string, string> = {
  createBridge: 'ip link add br-lan type bridge',
  createVeth: 'ip link add lan0 type veth peer name lan9',
  createSecond: 'ip link add v0 type veth peer name v1',
  up: 'ip link set br-lan up',
  down: 'ip link set lan0 down',
  portUp: 'ip link set lan0 up',
  vethUp: 'ip link set v0 up',
  mtu: 'ip link set lan0 mtu 1420',
  address: 'ip link set lan0 address 02:00:00:00:00:99',
  master: 'ip link set lan0 master br-lan',
  noMaster: 'ip link set lan0 nomaster',
  addAddress4: 'ip address add 192.168.66.1/24 dev br-lan',
  addAddress6: 'ip address add fd00:66::1/64 dev br-lan nodad',
  addAddressPlain: 'ip address add 172.16.0.1/32 dev v0 noprefixroute',
  deleteAddress4: 'ip address del 172.16.0.1/32 dev v0',
  addRoute: 'ip route add 172.16.10.0/24 dev br-lan proto 66 metric 50',
  addGateway: 'ip route add 172.16.11.0/24 via 192.168.66.9 dev br-lan proto 66',
  replaceRoute: 'ip route replace 172.16.10.0/24 dev br-lan proto 66 metric 50 src 192.168.66.1',
  addUnreachable: 'ip route add unreachable 172.16.0.0/16 proto 66 metric 9000',
  addUnreachable6: 'ip -6 route add unreachable fd00:16::/48 proto 66 metric 9000',
  addRoute6: 'ip -6 route add fd00:17::/48 dev br-lan proto 66 metric 50',
  deleteRoute: 'ip route del 172.16.10.0/24 dev br-lan proto 66 metric 50',
  replaceNeighbour: 'ip neigh replace 192.168.66.20 lladdr 02:00:00:00:00:20 dev br-lan nud permanent',
  replaceNeighbour6: 'ip neigh replace fd00:66::20 lladdr 02:00:00:00:00:20 dev br-lan nud permanent',
  dumpLinks: 'ip -d link show',
  dumpAddresses: 'ip address show',
  dumpRoutes: 'ip route show table all',
  dumpRoutes6: 'ip -6 route show table all',
  dumpNeighbours: 'ip neigh show nud all',
  deleteNeighbour: 'ip neigh del 192.168.66.20 dev br-lan',
  deleteLink: 'ip link del v0',
};

execFileSync('ip', ['netns', 'add', namespace]);
try {
  inside(['ip', 'link', 'set', 'lo', 'up']);
  save(
    'route',
    Object.fromEntries(Object.entries(routeCommands).map(([name, line]) => [name, record(line.split(' '))])),
  );

  inside(['nft', '-f', '-'], ruleset);
  const changes = Object.entries(elementCommands).map(([name, line]) => [name, record(['nft', '-f', '-'], line)]);
  save('nftables', {
    ...Object.fromEntries(changes),
    dumpRuleset: record(['nft', 'list', 'ruleset']),
    dumpInterval: record(['nft', 'list', 'set', 'inet', 'apn', 'prefixes']),
    dumpConcat: record(['nft', 'list', 'set', 'inet', 'apn', 'access']),
    dumpMap: record(['nft', 'list', 'map', 'inet', 'apn', 'identities']),
  });

  // Conntrack only tracks where a rule asks for it, hence the ct match; -I makes entries without any traffic.
  inside(['nft', '-f', '-'], 'table inet watch { chain c { type filter hook output priority 0; ct state new; }; }');
  const tcp = ['-p', 'tcp', '--sport', '40000', '--dport', '80', '--state', 'ESTABLISHED', '-u', 'SEEN_REPLY'];
  const udp = ['-p', 'udp', '--sport', '51820', '--dport', '53', '-m', '7'];
  const udp6 = ['-p', 'udp', '--sport', '1000', '--dport', '53'];
  const icmp = ['-p', 'icmp', '--icmp-type', '8', '--icmp-code', '0', '--icmp-id', '77'];
  const icmp6 = ['-p', 'icmpv6', '--icmpv6-type', '128', '--icmpv6-code', '0', '--icmpv6-id', '78'];
  const pair = ['-s', '172.16.1.2', '-d', '172.16.10.3'];
  const pair6 = ['-s', 'fd00::2', '-d', 'fd00::3'];
  inside(['conntrack', '-I', ...pair, ...tcp, '-t', '600']);
  inside(['conntrack', '-I', ...pair, ...udp, '-t', '600']);
  inside(['conntrack', '-I', ...pair, ...icmp, '-t', '600']);
  inside(['conntrack', '-I', ...pair6, ...udp6, '-t', '600']);
  inside(['conntrack', '-I', ...pair6, ...icmp6, '-t', '600']);
  inside([
    'conntrack',
    '-I',
    ...pair,
    '-p',
    'tcp',
    '--sport',
    '1',
    '--dport',
    '2',
    '--state',
    'NONE',
    '-w',
    '5',
    '-t',
    '600',
  ]);
  save('conntrack', {
    dump: record(['conntrack', '-L']),
    dump6: record(['conntrack', '-L', '-f', 'ipv6']),
    deleteUdp: record(['conntrack', '-D', ...pair, ...udp.slice(0, 6)]),
    deleteIcmp: record(['conntrack', '-D', ...pair, ...icmp]),
  });
} finally {
  execFileSync('ip', ['netns', 'del', namespace]);
  rmSync(folder, { recursive: true });
}
