// Our netlink codecs and sockets against the running kernel: what we make is what `ip`, `nft`, `conntrack` and `wg` show, and back.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const namespace = `nlt-${process.pid}`;
const child = fileURLToPath(new URL('../netlink/inside.ts', import.meta.url));
// See vitest.config.ts for the emulated machine.
const emulated = process.env['VM'] === '1' ? ['--single-threaded'] : [];
const node = [process.execPath, '--disable-warning=ExperimentalWarning', ...emulated, '--expose-gc', child];

function inside(command: readonly string[], input = ''): string {
  return execFileSync('ip', ['netns', 'exec', namespace, ...command], { input, encoding: 'utf8', maxBuffer: 1e8 });
}

// biome-ignore lint/suspicious/noExplicitAny: whatever shape the scenario's JSON has
function scenario(name: string, prefix: readonly string[] = []): any {
  return JSON.parse(inside([...prefix, ...node, name]));
}

// biome-ignore lint/suspicious/noExplicitAny: the tools' own JSON
function json(line: string): any {
  return JSON.parse(inside(line.split(' ')) || '[]');
}

const byText = (one: string, other: string): number => one.localeCompare(other);

const ruleset = `table inet apn {
  set leases { type ipv4_addr; flags timeout; }
  set prefixes { type ipv4_addr; flags interval, timeout; }
  set access { type ipv4_addr . ipv4_addr . inet_proto . inet_service; flags interval; }
  set bindings { type ether_addr . ipv4_addr; }
  map identities { type ipv4_addr : ipv4_addr; }
  chain input { type filter hook input priority -10; policy drop; iif lo accept comment "own"; udp dport 51820 accept comment "wg in"; }
  chain helper { ip saddr @leases accept comment "lease"; ct state new counter; }
}
table inet foreign { chain input { counter comment "not ours"; }; }
`;

beforeAll(() => {
  execFileSync('ip', ['netns', 'add', namespace]);
  inside(['ip', 'link', 'set', 'lo', 'up']);
  inside(['ip', 'link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'lan9']);
  inside(['nft', '-f', '-'], ruleset);
});

afterAll(() => {
  execFileSync('ip', ['netns', 'del', namespace]);
});

describe('links, addresses, routes and neighbours', () => {
  it('made by us are what ip shows', () => {
    expect(scenario('createNetwork').refused).toMatchObject({ name: 'NetlinkError', code: 'EEXIST' });
    const [bridge] = json('ip -d -j link show br-lan');
    expect(bridge).toMatchObject({ mtu: 1400, linkinfo: { info_kind: 'bridge' } });
    expect(bridge.flags).toContain('UP');
    expect(json('ip -j link show lan0')[0]).toMatchObject({
      master: 'br-lan',
      mtu: 1380,
      address: '02:00:00:00:00:99',
    });
    const addresses = json('ip -j address show br-lan')[0].addr_info;
    expect(addresses).toContainEqual(
      expect.objectContaining({ local: '192.168.66.1', prefixlen: 24, scope: 'global' }),
    );
    expect(addresses).toContainEqual(
      expect.objectContaining({ local: '172.16.0.1', prefixlen: 32, noprefixroute: true }),
    );
    expect(addresses).toContainEqual(expect.objectContaining({ local: 'fd00:66::', prefixlen: 64, nodad: true }));
    const routes = json('ip -j route show');
    expect(routes).toContainEqual(
      expect.objectContaining({
        dst: '172.16.10.0/24',
        dev: 'br-lan',
        protocol: '66',
        metric: 50,
        prefsrc: '192.168.66.1',
      }),
    );
    expect(routes).toContainEqual(
      expect.objectContaining({ dst: '172.16.11.0/24', gateway: '192.168.66.9', protocol: '66' }),
    );
    expect(routes).toContainEqual(expect.objectContaining({ type: 'unreachable', dst: '172.16.0.0/16', metric: 9000 }));
    const routes6 = json('ip -6 -j route show');
    expect(routes6).toContainEqual(expect.objectContaining({ dst: 'fd00:17::/48', dev: 'br-lan', metric: 50 }));
    expect(routes6).toContainEqual(expect.objectContaining({ type: 'unreachable', dst: 'fd00:16::/48', metric: 9000 }));
    expect(json('ip -j neigh show nud permanent')).toContainEqual(
      expect.objectContaining({ dst: '192.168.66.20', dev: 'br-lan', lladdr: '02:00:00:00:00:20' }),
    );
  });

  it('read by us are what ip shows', () => {
    const seen = scenario('readNetwork');
    const shown = json('ip -d -j link show');
    const macOf = (text: string) => text.replaceAll(':', '');
    expect(seen.links).toHaveLength(shown.length);
    for (const link of shown) {
      const ours = seen.links.find((one: { index: number }) => one.index === link.ifindex);
      expect(ours).toMatchObject({ name: link.ifname, mtu: link.mtu, address: macOf(link.address) });
      expect(ours.kind).toBe(link.linkinfo?.info_kind);
      expect(ours.up).toBe(link.flags.includes('UP'));
      expect(ours.carrier).toBe(link.flags.includes('LOWER_UP'));
      expect(ours.master).toBe(shown.find((one: { ifname: string }) => one.ifname === link.master)?.ifindex);
    }
    const count = json('ip -j address show').flatMap((link: { addr_info: unknown[] }) => link.addr_info).length;
    expect(seen.addresses).toHaveLength(count);
    const routes = [...json('ip -4 -j route show table all'), ...json('ip -6 -j route show table all')];
    expect(seen.routes).toHaveLength(routes.length);
    expect(seen.neighbours).toContainEqual(
      expect.objectContaining({ family: 4, bytes: 'c0a84214', permanent: true, address: '020000000020' }),
    );
  });

  it('removed by us are gone', () => {
    expect(scenario('removeNetwork').missing).toMatchObject({ code: 'ESRCH' });
    expect(json('ip -j link show').map((link: { ifname: string }) => link.ifname)).not.toContain('br-lan');
    expect(inside(['ip', 'route', 'show'])).toBe('');
    expect(inside(['ip', '-6', 'route', 'show'])).not.toContain('unreachable');
    expect(json('ip -j link show lan0')[0]).not.toHaveProperty('master');
  });
});

describe('nftables', () => {
  const elements = (kind: string, name: string) =>
    json(`nft -j list ${kind} inet apn ${name}`).nftables[1][kind].elem ?? [];

  it('elements added by us are what nft shows, in every kind of set', () => {
    scenario('addElements');
    expect(elements('set', 'leases')).toEqual(
      expect.arrayContaining([
        { elem: { val: '203.0.113.7', timeout: 86_400, expires: expect.any(Number), comment: 'phone' } },
        { elem: { val: '203.0.113.8', timeout: 60, expires: expect.any(Number) } },
      ]),
    );
    expect(elements('set', 'prefixes')).toEqual([
      { prefix: { addr: '0.0.0.0', len: 8 } },
      { elem: { val: { prefix: { addr: '198.51.100.0', len: 24 } }, timeout: 3600, expires: expect.any(Number) } },
      { prefix: { addr: '198.51.101.0', len: 24 } },
      { prefix: { addr: '255.255.255.0', len: 24 } },
    ]);
    expect(elements('set', 'access')).toEqual([
      { concat: ['172.16.1.2', { prefix: { addr: '172.16.10.0', len: 24 } }, 'tcp', 80] },
    ]);
    expect(elements('set', 'bindings')).toEqual([{ concat: ['02:00:00:00:00:20', '192.168.66.20'] }]);
    expect(elements('map', 'identities')).toEqual([['192.168.66.20', '172.16.2.1']]);
  });

  it('elements added by nft are read by us', () => {
    inside(['nft', 'add', 'element', 'inet', 'apn', 'prefixes', '{ 192.0.2.1-192.0.2.5 }']);
    const seen = scenario('readElements');
    expect(seen.leases.map(({ key }: { key: string }) => key).toSorted(byText)).toEqual(['cb007107', 'cb007108']);
    expect(seen.prefixes).toEqual([
      { first: '00000000', last: '00ffffff' },
      { first: 'c0000201', last: 'c0000205' },
      { first: 'c6336400', last: 'c63364ff' },
      { first: 'c6336500', last: 'c63365ff' },
      { first: 'ffffff00', last: 'ffffffff' },
    ]);
    expect(seen.access).toEqual([
      { key: 'ac100102ac100a000600000000500000', keyEnd: 'ac100102ac100aff0600000000500000' },
    ]);
    expect(seen.bindings).toEqual([{ key: '0200000000200000c0a84214' }]);
    expect(seen.identities).toEqual([{ key: 'c0a84214', data: 'ac100201' }]);
    expect(seen.one).toMatchObject([{ key: 'cb007107', timeout: 86_400_000, comment: 'phone' }]);
    expect(seen.none).toMatchObject({ code: 'ENOENT' });
    inside(['nft', 'delete', 'element', 'inet', 'apn', 'prefixes', '{ 192.0.2.1-192.0.2.5 }']);
  });

  it('a lease is renewed in one transaction', () => {
    scenario('renewLease');
    const lease = elements('set', 'leases').find(({ elem }: { elem: { val: string } }) => elem.val === '203.0.113.8');
    expect(lease.elem.timeout).toBe(7200);
    expect(lease.elem.expires).toBeGreaterThan(7100);
  });

  it('a transaction with one wrong part changes nothing and names the part; the right one deletes all', () => {
    const { failed, rest } = scenario('deleteElements');
    expect(failed).toMatchObject({ name: 'BatchError', failures: [{ part: 4, code: 'ENOENT' }], element: 1 });
    expect(rest).toBe(2);
    for (const name of ['leases', 'prefixes', 'access', 'bindings']) expect(elements('set', name)).toEqual([]);
    expect(elements('map', 'identities')).toEqual([]);
  });

  it('20,000 elements go in and out in one transaction each', () => {
    expect(scenario('manyElements')).toEqual({ added: 20_000, left: 0 });
  });

  it('tables, chains, sets and rules read by us are what nft shows', () => {
    const seen = scenario('readStructure');
    const shown = json('nft -j -a list table inet apn').nftables;
    // biome-ignore lint/suspicious/noExplicitAny: nft's own JSON
    const of = (kind: string): any[] =>
      shown.flatMap((one: Record<string, unknown>) => (kind in one ? [one[kind]] : []));
    expect(seen.tables.map(({ name, handle }: { name: string; handle: number }) => [name, handle])).toEqual([
      ['apn', of('table')[0].handle],
      ['foreign', expect.any(Number)],
    ]);
    expect(seen.chains.map(({ name, handle }: { name: string; handle: number }) => [name, handle])).toEqual(
      of('chain').map(({ name, handle }) => [name, handle]),
    );
    expect(seen.chains[0].base).toEqual({ hook: 1, priority: -10, type: 'filter', policy: 'drop' });
    const named = (list: { name: string; handle: number }[]) =>
      list.map(({ name, handle }) => `${name} ${handle}`).toSorted(byText);
    expect(named(seen.sets)).toEqual(named([...of('set'), ...of('map')]));
    expect(seen.rules.map(({ chain, handle, comment }: Record<string, unknown>) => [chain, handle, comment])).toEqual(
      of('rule').map(({ chain, handle, comment }) => [chain, handle, comment]),
    );
    expect(seen.inputRules).toBe(2);
  });
});

describe('notifications', () => {
  it('of every kind arrive', async () => {
    const listener = spawn('ip', ['netns', 'exec', namespace, ...node, 'listen'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines: string[] = [];
    for await (const line of createInterface({ input: listener.stdout })) {
      lines.push(line);
      if (line !== 'READY') continue;
      inside(['ip', 'link', 'add', 'v8', 'type', 'veth', 'peer', 'name', 'v9']);
      for (const port of ['v8', 'v9']) inside(['ip', 'link', 'set', port, 'up']);
      inside(['ip', 'address', 'add', '10.7.7.1/24', 'dev', 'v8']);
      inside(['ip', 'neigh', 'replace', '10.7.7.2', 'lladdr', '02:00:00:00:00:02', 'dev', 'v8']);
      inside(['ip', 'route', 'add', '10.8.8.0/24', 'dev', 'v8']);
      inside(['ip', 'route', 'del', '10.8.8.0/24', 'dev', 'v8']);
      inside(['ip', 'link', 'del', 'v8']);
      inside(['nft', 'add', 'element', 'inet', 'apn', 'leases', '{ 203.0.113.9 timeout 1h }']);
    }
    const heard = JSON.parse(lines[1]!) as string[];
    expect(heard).toEqual(
      expect.arrayContaining([
        ...['link', 'link gone', 'address', 'address gone', 'route', 'route gone', 'neighbour'],
        ...['element', 'generation'],
      ]),
    );
    expect(heard.filter((one) => one.startsWith('lost'))).toEqual([]);
  });

  it('that were too many are reported lost, and the listener lives on', () => {
    const { lost, complete } = scenario('overflow');
    expect(lost[0]).toContain('ENOBUFS');
    expect(complete).toBe(false);
  });

  it('of the firewall’s log are read by one reader, and more than can be read do not end it', () => {
    const { packets, states, lost } = scenario('firewallLog');
    expect(packets).toMatchObject([
      { group: 5000, protocol: 0x0800, hook: 1, prefix: 'five thousand', incoming: 1 },
      { group: 5001, protocol: 0x0800, hook: 1, prefix: '' },
    ]);
    expect(packets.map(({ payload }: { payload: string }) => payload.length / 2)).toEqual([38, 64]);
    expect(states[0]).toBe('first reads');
    expect(states[1]).toMatch(/^second .*\(EPERM\)$/);
    expect(states.at(-1)).toBe('second reads');
    expect(lost).toBe(true);
  });

  it('whose listener throws are an uncaught exception, not an aborted process', () => {
    expect(scenario('throwingListener')).toBe('listener broke');
  });
});

describe('sockets', () => {
  it('that are closed cancel, and those that got no answer go on with the next request', () => {
    expect(scenario('closing')).toEqual({
      during: expect.objectContaining({ code: 'ECANCELED' }),
      after: expect.objectContaining({ code: 'ECANCELED' }),
      silent: expect.objectContaining({ code: 'ETIMEDOUT' }),
      next: json('ip -j link show').length,
    });
  });

  it('keep their memory over a hundred thousand requests', { timeout: 600_000 }, () => {
    expect(scenario('manyRequests').grownMegabytes).toBeLessThan(30);
  });

  it('without rights are told so', () => {
    const denied = { code: 'EPERM' };
    const { error, batch } = scenario('noRights', ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin']);
    expect(error).toMatchObject(denied);
    expect(batch).toMatchObject({ name: 'BatchError', failures: [denied] });
  });
});

describe('connection tracking', () => {
  it('ends one entry, and only the very one', () => {
    const common = ['-s', '172.16.1.2', '-d', '172.16.10.3', '--sport', '1000', '--dport', '53', '-t', '600'];
    inside(['conntrack', '-I', '-p', 'udp', ...common]);
    inside(['conntrack', '-I', '-p', 'tcp', ...common, '--state', 'ESTABLISHED']);
    const { count, wrongId, again, left } = scenario('deleteConntrack');
    expect(count).toBe(2);
    expect(wrongId).toMatchObject({ code: 'ENOENT' });
    expect(again).toMatchObject({ code: 'ENOENT' });
    expect(left).toMatchObject([{ original: { protocol: 6, sourcePort: 1000, destinationPort: 53 } }]);
    expect(inside(['conntrack', '-L', '-o', 'extended'])).not.toContain('udp');
  });
});

// Asked of the running kernel, not assumed: a machine without the module skips these.
const probe = `nlt-probe-${process.pid}`;
const hasWireguard = spawnSync('ip', ['link', 'add', probe.slice(0, 15), 'type', 'wireguard']).status === 0;
if (hasWireguard) execFileSync('ip', ['link', 'del', probe.slice(0, 15)]);

describe.skipIf(hasWireguard)('without kernel WireGuard', () => {
  it('opening says ENOENT', () => {
    expect(scenario('noWireguard')).toMatchObject({ name: 'NetlinkError', code: 'ENOENT' });
  });
});

describe.skipIf(!hasWireguard)('kernel WireGuard (skipped where the kernel has none)', () => {
  // Keys of `wg show dump` by public key.
  const dump = (device: string) =>
    new Map(
      inside(['wg', 'show', device, 'dump'])
        .trim()
        .split('\n')
        .slice(1)
        .map((line) => line.split('\t'))
        .map((fields) => [fields[0]!, fields] as const),
    );
  const base64 = (text: string) => Buffer.from(text, 'hex').toString('base64');

  it('1,000 peers with preshared keys set by us are what wg shows, and what we read', () => {
    inside(['sh', '-c', 'ip link del apn0 2>/dev/null; ip link add apn0 type wireguard']);
    const { all, wanted } = scenario('setWireguard');
    const shown = dump('apn0');
    expect(shown.size).toBe(1000);
    expect(all).toMatchObject({ name: 'apn0', listenPort: 51820, fwmark: 7 });
    expect(all.peers).toHaveLength(1000);
    const read = new Map(all.peers.map((peer: { publicKey: string }) => [peer.publicKey, peer]));
    for (const peer of wanted) {
      const [, preshared, endpoint, allowed, , , , keepalive] = shown.get(base64(peer.publicKey))!;
      expect(preshared).toBe(base64(peer.presharedKey));
      expect(endpoint).toBe(peer.endpoint === undefined ? '(none)' : `203.0.113.7:${peer.endpoint.port}`);
      expect(keepalive).toBe(peer.keepalive === 0 ? 'off' : String(peer.keepalive));
      expect(allowed!.split(',')).toHaveLength(peer.allowedIps.length);
      const { publicKey, presharedKey, keepalive: seconds } = peer;
      expect(read.get(publicKey)).toMatchObject({ publicKey, presharedKey, keepalive: seconds });
      const sorted = (list: { bytes: string; cidr: number }[]) =>
        list.map(({ bytes, cidr }) => `${bytes}/${cidr}`).toSorted(byText);
      expect(sorted((read.get(publicKey) as typeof peer).allowedIps)).toEqual(sorted(peer.allowedIps));
    }
  });

  it('peers removed and changed by us are so in wg', () => {
    expect(scenario('changeWireguard').missing).toMatchObject({ code: 'ENODEV' });
    const shown = [...dump('apn0').values()];
    expect(shown).toHaveLength(10);
    for (const [, preshared, , allowed, , , , keepalive] of shown) {
      expect([preshared, keepalive]).toEqual(['(none)', 'off']);
      expect(allowed).not.toBe('(none)');
    }
  });

  it('a device made with wg is read by us', () => {
    inside(['ip', 'link', 'add', 'wg9', 'type', 'wireguard']);
    const privateKey = inside(['wg', 'genkey']).trim();
    const publicKey = inside(['wg', 'pubkey'], privateKey).trim();
    const [peer, bare] = [1, 2].map(() => inside(['wg', 'pubkey'], inside(['wg', 'genkey'])).trim());
    const presharedKey = inside(['wg', 'genpsk']).trim();
    const config = `[Interface]
PrivateKey = ${privateKey}
ListenPort = 4500
[Peer]
PublicKey = ${peer}
PresharedKey = ${presharedKey}
Endpoint = [fd00::1]:77
AllowedIPs = 10.0.0.0/8, fd00:1::/64
PersistentKeepalive = 25
[Peer]
PublicKey = ${bare}
`;
    const folder = mkdtempSync(join(tmpdir(), 'nlt-'));
    writeFileSync(join(folder, 'wg9.conf'), config);
    inside(['wg', 'setconf', 'wg9', join(folder, 'wg9.conf')]);
    rmSync(folder, { recursive: true });
    const hexOf = (text: string) => Buffer.from(text, 'base64').toString('hex');
    const device = scenario('readWireguard');
    expect(device).toMatchObject({
      privateKey: hexOf(privateKey),
      publicKey: hexOf(publicKey),
      listenPort: 4500,
      fwmark: 0,
    });
    const none = { rxBytes: 0, txBytes: 0 };
    expect(device.peers).toHaveLength(2);
    expect(device.peers).toContainEqual({
      ...none,
      publicKey: hexOf(peer!),
      presharedKey: hexOf(presharedKey),
      endpoint: { family: 6, bytes: 'fd000000000000000000000000000001', port: 77 },
      keepalive: 25,
      allowedIps: expect.arrayContaining([
        { family: 4, bytes: '0a000000', cidr: 8 },
        { family: 6, bytes: 'fd000001000000000000000000000000', cidr: 64 },
      ]),
    });
    expect(device.peers).toContainEqual({ ...none, publicKey: hexOf(bare!), keepalive: 0, allowedIps: [] });
  });
});
