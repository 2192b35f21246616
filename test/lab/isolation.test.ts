// Nobody is somebody else: borrowed addresses and ports, ways around the tunnel, IPv6. Nothing passes, nothing leaks.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Capture } from '../support/lab/capture.ts';
import {
  arp,
  echoRequest,
  ethernet,
  icmp,
  inject,
  injector,
  ip,
  macOf,
  type Ports,
  TCP,
  tcp,
  udp,
} from '../support/lab/frames.ts';
import { poll } from '../support/lab/lab.ts';
import { sharedLab } from '../support/lab/shared.ts';
import {
  connect,
  control,
  echo,
  flowing,
  HUB,
  keep,
  LAPTOP,
  lastTime,
  page,
  reaches,
  restoring,
  revokeAll,
} from './clients.ts';

const lab = sharedLab();
const undo = restoring();
const STRANGER = '203.0.113.66';
const WEB_WAN = '203.0.113.10';
const [HUB_LAN, HUB_APN] = ['192.168.66.1', '172.16.0.1'];
const [WEB, DB, LEDGER, LAPTOP_APN, TV_APN] = [
  '172.16.10.10',
  '172.16.10.11',
  '172.16.11.20',
  '172.16.1.1',
  '172.16.2.11',
];
/** In every packet that must not arrive, and in no other of the lab. */
const MARK = 40_404;
const marked = (from: string, to: string, more: Partial<Ports> = {}): Ports => ({
  from,
  to,
  sport: MARK,
  dport: 7,
  ...more,
});

/** Not empty: an echo service takes an empty one for the end. */
const datagram = (ports: Ports, payload: readonly number[] = [0x61, 0x62, 0x63, 0x0a]) => udp(ports, payload);

let mac: { hubLan: string; hubWan: string; guest: string; tv: string; stranger: string };
let address: { tv: string; guest: string };
let wan: Capture;

const firstAddress = async (host: string): Promise<string> =>
  /inet (\S+)\//.exec(await lab.output(host, ['ip', '-4', '-o', 'addr', 'show', 'dev', 'eth0']))?.[1] ?? '';

beforeAll(async () => {
  mac = {
    hubLan: await macOf(lab, 'hub', 'br-lan'),
    hubWan: await macOf(lab, 'hub', 'wan0'),
    guest: await macOf(lab, 'guest', 'eth0'),
    tv: await macOf(lab, 'tv', 'eth0'),
    stranger: await macOf(lab, 'stranger', 'eth0'),
  };
  await poll(() => firstAddress('guest'), { what: "the guest's address" });
  address = { tv: await firstAddress('tv'), guest: await firstAddress('guest') };
  // The other end of the hub's WAN cable, for the whole of this file.
  wan = await lab.capture('internet', 'hub', `ether src ${mac.hubWan} and (net 192.168.66.0/24 or net 172.16.0.0/16)`);
});

afterAll(async () => {
  await wan.stop();
  // What the guest asked of the stranger would let the stranger answer for minutes.
  await lab.exec('hub', ['conntrack', '-D', '-d', STRANGER]);
});

/** Counts marked packets at several places at once, and what they drew. */
async function watch(...places: readonly (readonly [host: string, device: string, filter?: string])[]) {
  const captures = await Promise.all(
    places.map(([host, device, filter = `port ${MARK}`]) => lab.capture(host, device, filter)),
  );
  undo(() => Promise.all(captures.map((capture) => capture.stop())));
  return captures;
}

/** Waits until what was sent before must have arrived: a ping sent after it has been answered. */
const settled = (host: string, to: string) => reaches(lab, host, to);

test('the capture of the WAN wire would see a LAN address, an APN address and an ARP question about one', async () => {
  const spoof = [datagram(marked(address.tv, STRANGER)), datagram(marked(HUB, WEB))].map((packet) =>
    ethernet(mac.stranger, mac.hubWan, packet),
  );
  const question = arp(1, { mac: mac.hubWan, address: HUB_LAN }, { mac: '00:00:00:00:00:00', address: STRANGER });
  await inject(lab, 'hub', 'wan0', [...spoof, ethernet('ff:ff:ff:ff:ff:ff', mac.hubWan, question, 'arp')]);
  await poll(() => wan.count() === 3, { what: 'the three packets' });
  wan.clear();
});

describe('port shadowing', () => {
  test.each([
    ['a leased member', 'laptop', LAPTOP],
    ['a server with a rule', 'web', WEB_WAN],
  ])('a guest that sends from port 51820 gets nothing of %s, and is never taken for the hub', async (_, host, to) => {
    const port = Number(await lab.output(host, ['wg', 'show', 'wg0', 'listen-port']));
    const [stolen, arrived] = await watch(
      ['guest', 'eth0', `udp and src host ${to} and greater 90`],
      [host, 'eth0', `udp and src host ${HUB} and dst port ${port} and udp[4:2] = 85`],
    );
    // The port is free for whoever comes first.
    await lab.exec('hub', ['conntrack', '-D', '-p', 'udp', '--dport', '51820']);
    await lab.exec('hub', ['conntrack', '-D', '-p', 'udp', '-d', to]);
    // 77 bytes of payload: no length of WireGuard's. It began before the member came.
    const guest = injector(lab, 'guest', 'eth0', [
      ethernet(mac.hubLan, mac.guest, udp({ from: address.guest, to, sport: 51820, dport: port }, new Uint8Array(77))),
    ]);
    const timer = setInterval(guest.send, 20);
    undo(async () => {
      clearInterval(timer);
      await guest.close();
    });
    await flowing(arrived as Capture, "the guest's packets");
    undo(() => revokeAll(lab));
    if (host === 'laptop') await connect(lab, 'laptop', LAPTOP);
    await lab.output(host, ['ping', '-n', '-q', '-c', '50', '-i', '0.02', HUB_APN]);
    await flowing(arrived as Capture, "the guest's packets, still");
    const sources = arrived?.lines().map((line) => Number(/IP [\d.]+\.(\d+) >/.exec(line)?.[1])) ?? [];
    expect(sources.length).toBeGreaterThan(10);
    for (const source of new Set(sources)) {
      expect(source).toBeGreaterThanOrEqual(20_000);
      expect(source).toBeLessThanOrEqual(51_000);
    }
    expect(stolen?.lines()).toEqual([]);
  });
});

describe('a guest with an address that is not its own', () => {
  const from = (source: string, packets: (source: string) => Uint8Array[]) =>
    inject(
      lab,
      'guest',
      'eth0',
      packets(source).map((packet) => ethernet(mac.hubLan, mac.guest, packet)),
    );
  const attempts = (source: string): Uint8Array[] => [
    datagram(marked(source, WEB)),
    tcp(marked(source, WEB, { dport: 80 }), TCP.syn),
    datagram(marked(source, LEDGER)),
    datagram(marked(source, STRANGER)),
    tcp(marked(source, STRANGER, { dport: 80 }), TCP.syn),
    datagram(
      marked(source, HUB_LAN, { dport: 53 }),
      [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 97, 112, 110, 0, 0, 1, 0, 1],
    ),
    tcp(marked(source, HUB_LAN, { dport: 443 }), TCP.syn),
    tcp(marked(source, HUB_APN, { dport: 443 }), TCP.syn),
  ];

  test.each([
    ["a member's", LAPTOP_APN],
    ["a server's", WEB],
    ["another server's", DB],
    ["the hub's in the APN", HUB_APN],
    ["the television's in the APN", TV_APN],
    ["the hub's on the LAN", HUB_LAN],
    ["a stranger's", STRANGER],
    ["the hub's on the WAN", HUB],
    ['no', '0.0.0.0'],
    ['a loopback', '127.0.0.1'],
  ])('%s address: nothing arrives anywhere, and nobody hears of it', async (_, source) => {
    const captures = await watch(
      ['web', 'wg0'],
      ['ledger', 'wg0'],
      ['internet', 'hub'],
      ['guest', 'eth0', `port ${MARK} and not ether src ${mac.guest}`],
    );
    await from(source, attempts);
    await from(source, () => [echoRequest({ from: source, to: WEB }), echoRequest({ from: source, to: HUB_LAN })]);
    await settled('guest', HUB_LAN);
    await settled('tv', WEB);
    expect(captures.flatMap((capture) => capture.lines())).toEqual([]);
    // The same packets with its own address are heard of: the hub answers, the Internet is reached.
    await from(address.guest, attempts);
    await poll(() => captures.slice(2).every((capture) => capture.count() >= 2), { what: "the guest's own packets" });
    expect(captures.slice(0, 2).flatMap((capture) => capture.lines())).toEqual([]);
  });

  test("the television's address, while it is on: its flow goes on, and the guest gets none of it", async () => {
    const replies = await lab.capture('tv', 'eth0', `icmp[icmptype] == icmp-echoreply and src host ${WEB}`);
    const [web, stolen, cut] = await watch(
      ['web', 'wg0'],
      [
        'guest',
        'eth0',
        `(dst host ${address.tv} and ether dst ${mac.guest}) or (src host ${WEB} and not ether src ${mac.guest})`,
      ],
      ['tv', 'eth0', 'tcp[tcpflags] & tcp-rst != 0 or icmp[icmptype] == icmp-unreach'],
    );
    undo(() => replies.stop());
    // A connection that the guest would like to cut by getting refused in its name.
    const stream = keep(lab, 'tv', `exec curl -sN --local-port 41000 http://${WEB}/stream`, undo);
    const ping = keep(lab, 'tv', `exec ping -n -i 0.02 ${WEB}`, undo);
    await flowing(replies, 'the answers to the television');
    await poll(() => stream.stdout().length > 0, { what: 'the stream' });
    const broadcast = 'ff:ff:ff:ff:ff:ff';
    const [own, hub] = [
      { mac: mac.guest, address: address.tv },
      { mac: mac.hubLan, address: HUB_LAN },
    ];
    for (let round = 0; round < 20; round++) {
      await inject(lab, 'guest', 'eth0', [
        ethernet(broadcast, mac.guest, arp(1, own, { ...own, mac: '00:00:00:00:00:00' }), 'arp'),
        ethernet(mac.hubLan, mac.guest, arp(2, own, hub), 'arp'),
        ...[...attempts(address.tv), tcp({ from: address.tv, to: WEB, sport: 41_000, dport: 80 }, TCP.ack)].map(
          (packet) => ethernet(mac.hubLan, mac.guest, packet),
        ),
      ]);
    }
    const before = stream.stdout().length;
    await poll(() => stream.stdout().length > before, { what: 'the stream to go on' });
    const { stdout } = await ping.stop('SIGINT');
    const lost = Number(/(\d+) packets transmitted/.exec(stdout)?.[1]) - Number(/(\d+) received/.exec(stdout)?.[1]);
    // The last one may still be on its way.
    expect(lost).toBeLessThanOrEqual(1);
    expect(web?.lines()).toEqual([]);
    expect(stolen?.lines()).toEqual([]);
    expect(cut?.lines().filter((line) => !line.includes(String(MARK)) && line.includes('41000'))).toEqual([]);
    // From the television's own MAC address they arrive.
    await inject(lab, 'tv', 'eth0', [ethernet(mac.hubLan, mac.tv, datagram(marked(address.tv, WEB)))]);
    await poll(() => web?.lines().some((line) => line.includes(`${TV_APN}.${MARK} > ${WEB}`)), { what: 'the packet' });
  });

  test("the television's address, while it is off: neither by address alone nor by announcing it", async () => {
    await lab.output('tv', ['ip', 'link', 'set', 'eth0', 'down']);
    undo(async () => {
      await lab.output('tv', [
        'sh',
        '-c',
        `ip link set eth0 up; ip route replace default via ${HUB_LAN} dev eth0 proto dhcp`,
      ]);
      await reaches(lab, 'tv', WEB);
    });
    const [web, internet, answers] = await watch(
      ['web', 'wg0'],
      ['internet', 'hub'],
      ['guest', 'eth0', `dst host ${address.tv} and ether dst ${mac.guest}`],
    );
    await lab.output('guest', ['ip', 'addr', 'add', `${address.tv}/24`, 'dev', 'eth0']);
    undo(() => lab.output('guest', ['ip', 'addr', 'del', `${address.tv}/24`, 'dev', 'eth0']));
    const hub = { mac: mac.hubLan, address: HUB_LAN };
    await inject(lab, 'guest', 'eth0', [
      ethernet(mac.hubLan, mac.guest, arp(2, { mac: mac.guest, address: address.tv }, hub), 'arp'),
      ethernet(mac.hubLan, mac.guest, arp(1, { mac: mac.guest, address: address.tv }, hub), 'arp'),
    ]);
    await from(address.tv, attempts);
    // A stock client with the address, in the ordinary way.
    const curl = ['curl', '-s', '--interface', address.tv, '--max-time', '1', `http://${WEB}/address`];
    expect((await lab.exec('guest', curl)).status).not.toBe(0);
    // What the hub itself has for the television does not go to the guest.
    await lab.exec('hub', ['ping', '-n', '-q', '-c', '3', '-i', '0.05', '-W', '1', address.tv]);
    await settled('guest', HUB_LAN);
    expect(web?.lines()).toEqual([]);
    expect(internet?.lines()).toEqual([]);
    // The answer to its question who has the hub's address is no packet of ours.
    expect(answers?.lines().filter((line) => !line.includes('ARP'))).toEqual([]);
    expect(await echo(lab, 'hub', address.guest)).toBe(true);
  });
});

describe('from the WAN', () => {
  const inside = () => [address.tv, HUB_LAN, HUB_APN, WEB, LAPTOP_APN, TV_APN];
  const places = () =>
    watch(
      ['tv', 'eth0'],
      ['guest', 'eth0'],
      ['web', 'wg0'],
      ['ledger', 'wg0'],
      ['stranger', 'eth0', `ether src ${mac.hubWan} and not arp`],
    );
  const send = (packets: readonly Uint8Array[]) =>
    inject(
      lab,
      'stranger',
      'eth0',
      packets.map((packet) => ethernet(mac.hubWan, mac.stranger, packet)),
    );
  const calm = async (captures: readonly Capture[]) => {
    await settled('tv', WEB);
    expect(captures.flatMap((capture) => capture.lines())).toEqual([]);
  };

  test('packets with LAN and APN sources do not pass and draw no answer', async () => {
    const captures = await places();
    await send(
      inside().flatMap((source) =>
        [HUB, ...inside()].flatMap((to) => [
          datagram(marked(source, to)),
          datagram(marked(source, to, { dport: 53 })),
          datagram(marked(source, to, { dport: 51820 })),
          tcp(marked(source, to, { dport: 443 }), TCP.syn),
          tcp(marked(source, to, { dport: 80 }), TCP.syn | TCP.ack),
        ]),
      ),
    );
    await calm(captures);
    // The television's own, from where it lives, arrive.
    await inject(lab, 'tv', 'eth0', [ethernet(mac.hubLan, mac.tv, datagram(marked(address.tv, WEB)))]);
    await poll(() => captures[2]?.count() === 2, { what: "the television's packet and its echo" });
  });

  test('the hub is no gateway for strangers, whatever the time to live', async () => {
    const captures = await places();
    const targets = [...inside(), '192.168.66.255', '172.16.255.255', '8.8.8.8', WEB_WAN];
    await send(
      [1, 2, 64].flatMap((ttl) =>
        targets.flatMap((to) => [
          datagram(marked(STRANGER, to, { ttl })),
          tcp(marked(STRANGER, to, { ttl, dport: 80 }), TCP.syn),
          tcp(marked(STRANGER, to, { ttl, dport: 80 }), TCP.ack),
          echoRequest({ from: STRANGER, to, ttl }),
          ip({ from: STRANGER, to, ttl }, 47, [0, 0, 8, 0]),
        ]),
      ),
    );
    await calm(captures);
    for (const range of ['192.168.66.0/24', '172.16.0.0/16']) {
      await lab.output('stranger', ['ip', 'route', 'add', range, 'via', HUB]);
      undo(() => lab.output('stranger', ['ip', 'route', 'del', range]));
    }
    expect(
      await Promise.all(
        [`http://${WEB}/`, `http://${HUB_LAN}/`, `http://${HUB_APN}/`].map((url) => page(lab, 'stranger', url, 1)),
      ),
    ).toEqual([null, null, null]);
    expect(captures.flatMap((capture) => capture.lines())).toEqual([]);
    expect(await page(lab, 'tv', `http://${WEB}/address`)).toBe(TV_APN);
  });
});

test('a server that sends through its tunnel from addresses of others reaches nobody', async () => {
  const filter = { db: `src port ${MARK}`, tv: `port ${MARK}` };
  const [db, ledger, tv, web] = await watch(
    ['db', 'wg0', filter.db],
    ['ledger', 'wg0', filter.db],
    ['tv', 'eth0', filter.tv],
    ['web', 'wg0', `dst port ${MARK}`],
  );
  // Whoever owns a server also lets it route more into the tunnel than its file says.
  const peer = await lab.output('web', ['wg', 'show', 'wg0', 'peers']);
  const route = (prefixes: string) => lab.output('web', ['wg', 'set', 'wg0', 'peer', peer, 'allowed-ips', prefixes]);
  undo(() => route('172.16.0.0/16'));
  await route('172.16.0.0/16,192.168.66.0/24');
  const sources = [
    DB,
    LEDGER,
    HUB_APN,
    LAPTOP_APN,
    TV_APN,
    address.tv,
    HUB_LAN,
    '192.168.66.77',
    STRANGER,
    '172.16.200.1',
  ];
  await inject(
    lab,
    'web',
    'wg0',
    sources.flatMap((from) => [
      ...[DB, LEDGER, HUB_APN, address.tv].map((to) => datagram(marked(from, to))),
      datagram(
        marked(from, HUB_APN, { dport: 53 }),
        [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 97, 112, 110, 0, 0, 1, 0, 1],
      ),
      tcp(marked(from, HUB_APN, { dport: 443 }), TCP.syn),
    ]),
  );
  await settled('web', DB);
  expect([db, ledger, tv, web].flatMap((capture) => capture?.lines() ?? [])).toEqual([]);
  // From its own address it reaches its neighbour, and still neither other applications nor the LAN.
  await inject(
    lab,
    'web',
    'wg0',
    [DB, LEDGER, address.tv].map((to) => datagram(marked(WEB, to))),
  );
  await poll(() => db?.count() === 1 && (web?.count() ?? 0) >= 1, { what: 'the packet from its own address' });
  expect([ledger, tv].flatMap((capture) => capture?.lines() ?? [])).toEqual([]);
});

test('with the tunnel gone, what the LAN sends to the APN stays at home', async () => {
  const asked = await lab.capture('hub', 'br-lan', `icmp and dst host ${WEB}`);
  undo(() => asked.stop());
  keep(lab, 'tv', `exec ping -n -q -i 0.02 ${WEB}`, undo);
  keep(lab, 'desk', `while :; do curl -s --max-time 1 http://${WEB}/ >/dev/null; sleep 0.05; done`, undo);
  undo(async () => {
    if (lab.pid('router') !== undefined) lab.kill('router', 'SIGCONT');
    await poll(() => echo(lab, 'hub', HUB_APN), { what: 'apn0 to come back' });
    // Nobody told the clients that their sessions are gone.
    for (const host of ['web', 'db', 'ledger'])
      await lab.output(host, ['bash', '-c', 'wg setconf wg0 <(wg-quick strip wg0)']);
    await Promise.all(['web', 'db', 'ledger'].map((host) => reaches(lab, host, HUB_APN)));
  });
  lab.kill('router', 'SIGSTOP');
  await lab.output('hub', ['ip', 'link', 'del', 'apn0']);
  const gone = Date.now();
  await poll(() => lastTime(asked) > gone + 1000, { what: 'a second of traffic without a tunnel' });
  expect(wan.lines()).toEqual([]);
  lab.kill('router', 'SIGCONT');
  await poll(async () => (await lab.exec('hub', ['ip', 'addr', 'show', 'dev', 'apn0'])).stdout.includes(HUB_APN), {
    what: 'apn0',
  });
  await lab.output('web', ['bash', '-c', 'wg setconf wg0 <(wg-quick strip wg0)']);
  await reaches(lab, 'tv', WEB);
});

test('stateless packets of the LAN never leave with a LAN source', async () => {
  const [internet] = await watch(['internet', 'hub', `ether src ${mac.hubWan} and dst host ${STRANGER}`]);
  const flags = [
    TCP.rst,
    TCP.fin,
    TCP.syn | TCP.ack,
    TCP.ack,
    TCP.rst | TCP.ack,
    TCP.fin | TCP.push | TCP.urgent,
    0,
    63,
  ];
  const to = { from: address.guest, to: STRANGER };
  const quoted = datagram(marked(STRANGER, address.guest)).subarray(0, 28);
  await inject(
    lab,
    'guest',
    'eth0',
    [
      ...flags.map((flag, index) => tcp({ ...to, sport: 30_000 + index, dport: 80 }, flag)),
      ...[0, 3, 11, 12, 14, 42].map((type) => icmp(to, type, 0, [0, 0, 0, 0, ...quoted])),
      ...[2, 4, 41, 47, 50, 51, 132, 253].map((protocol) => ip(to, protocol, new Uint8Array(16))),
      ip({ ...to, fragment: { offset: 1480, more: false } }, 17, new Uint8Array(32)),
      udp({ ...to, sport: 51_820, dport: 51_820 }),
    ].map((packet) => ethernet(mac.hubLan, mac.guest, packet)),
  );
  await inject(lab, 'guest', 'eth0', [
    ethernet(mac.hubLan, mac.guest, tcp({ ...to, sport: 31_000, dport: 80 }, TCP.syn)),
  ]);
  await poll(() => internet?.lines().some((line) => line.includes('Flags [S]') && line.includes(`IP ${HUB}.`)), {
    what: 'a plain SYN',
  });
  expect(wan.lines()).toEqual([]);
});

test('IPv6 goes nowhere: not from the LAN to the WAN or the APN, not from the WAN to the LAN', async () => {
  const HUB6 =
    /inet6 (fe80::\S+)\//.exec(await lab.output('hub', ['ip', '-6', '-o', 'addr', 'show', 'dev', 'br-lan']))?.[1] ?? '';
  const [outside, local] = ['2001:db8:113::66', ['2001:db8:66::5', 'fd00:66::5']] as const;
  for (const own of local) {
    await lab.output('tv', ['ip', 'addr', 'add', `${own}/64`, 'dev', 'eth0', 'nodad']);
    undo(() => lab.output('tv', ['ip', 'addr', 'del', `${own}/64`, 'dev', 'eth0']));
  }
  await lab.output('tv', ['ip', '-6', 'route', 'add', 'default', 'via', HUB6, 'dev', 'eth0']);
  undo(() => lab.exec('tv', ['ip', '-6', 'route', 'del', 'default']));
  const noise = 'not (icmp6 and (ip6[40] = 143 or ip6[40] >= 133 and ip6[40] <= 136))';
  const [wire, tv, stranger] = await watch(
    ['internet', 'hub', `ip6 and ether src ${mac.hubWan} and ${noise}`],
    ['tv', 'eth0', `ip6 and ether src ${mac.hubLan} and (src net 2001:db8:113::/64 or port ${MARK})`],
    ['stranger', 'eth0', `ip6 and ether src ${mac.hubWan} and ${noise}`],
  );
  for (const own of [...local, outside]) {
    await inject(
      lab,
      'tv',
      'eth0',
      [outside, '2001:db8:113::1', '2001:db8:113::10', '64:ff9b::ac10:a0a'].flatMap((to) =>
        [
          datagram(marked(own, to)),
          tcp(marked(own, to, { dport: 80 }), TCP.syn),
          tcp(marked(own, to, { dport: 80 }), TCP.rst),
          echoRequest({ from: own, to }),
        ].map((packet) => ethernet(mac.hubLan, mac.tv, packet)),
      ),
    );
  }
  await lab.exec('tv', ['curl', '-s', '--max-time', '1', `http://[${outside}]/`]);
  await inject(
    lab,
    'stranger',
    'eth0',
    [...local, HUB6, 'ff02::1'].flatMap((to) =>
      [
        datagram(marked(outside, to)),
        datagram(marked(outside, to, { dport: 53 })),
        tcp(marked(outside, to, { dport: 443 }), TCP.syn),
        echoRequest({ from: outside, to }),
      ].map((packet) => ethernet(mac.hubWan, mac.stranger, packet)),
    ),
  );
  await settled('tv', WEB);
  expect([wire, tv, stranger].flatMap((capture) => capture?.lines() ?? [])).toEqual([]);
  // The wires do carry IPv6, and the hub has it for itself.
  await lab.output('hub', ['ping', '-6', '-n', '-q', '-c', '1', outside]);
  await lab.output('tv', ['ping', '-6', '-n', '-q', '-c', '1', '-I', 'eth0', `fe80::66:ff:fe00:14`]);
  await poll(() => wire?.count() === 1, { what: "the hub's own echo request" });
});

test('in all of this, nothing from or to the inside was on the WAN wire', async () => {
  await control(lab, 'GET', '/status');
  await settled('tv', WEB);
  expect(wan.lines()).toEqual([]);
});
