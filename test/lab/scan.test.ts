// A stranger on the Internet who tries everything hears nothing: no port, no error, no echo; and leaves nothing behind.
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Capture } from '../support/lab/capture.ts';
import { echoRequest, ethernet, icmp, inject, ip, macOf, TCP, tcp, udp } from '../support/lab/frames.ts';
import { poll, SLOWNESS } from '../support/lab/lab.ts';
import { hostFolder, labFolder } from '../support/lab/place.ts';
import { sharedLab } from '../support/lab/shared.ts';
import { connect, freshTunnel, grant, HUB, LAPTOP, reaches, restoring, revokeAll } from './clients.ts';

const lab = sharedLab();
const undo = restoring();
const STRANGER = '203.0.113.66';
const WEB = '203.0.113.10';
const v4 = { from: STRANGER, to: HUB } as const;
const v6 = { from: '2001:db8:113::66', to: '2001:db8:113::1' } as const;
const families = [
  ['IPv4', v4],
  ['IPv6', v6],
] as const;
const everyPort = Array.from({ length: 65_535 }, (_, index) => index + 1);
/** Neighbours have to find each other: solicitation and advertisement, router advertisement, MLD. */
const finding = 'not arp and not (icmp6 and (ip6[40] >= 133 and ip6[40] <= 136))';

let mac: { hub: string; web: string; stranger: string };
let answers: Capture;
/** A first packet of a stock client whose key nobody knows, as it was on the wire. */
let initiation: Buffer;

const send = (packets: readonly Uint8Array[]) =>
  inject(
    lab,
    'stranger',
    'eth0',
    packets.map((packet) => ethernet(mac.hub, mac.stranger, packet)),
  );
const received = async (): Promise<number> =>
  Number(await lab.output('hub', ['cat', '/sys/class/net/wan0/statistics/rx_packets']));

/** Whatever was still under way has arrived, and so has what it drew. */
async function quiet(): Promise<void> {
  await reaches(lab, 'web', '172.16.0.1');
  await poll(() => reaches(lab, 'stranger', WEB).then(() => true));
}

beforeAll(async () => {
  mac = {
    hub: await macOf(lab, 'hub', 'wan0'),
    web: await macOf(lab, 'web', 'eth0'),
    stranger: await macOf(lab, 'stranger', 'eth0'),
  };
  // What devices on the LAN asked of this address in other tests would let it answer them.
  await lab.exec('hub', ['conntrack', '-D', '-d', STRANGER]);
  // Neighbours know each other: a host keeps few packets back while it asks who has an address.
  await reaches(lab, 'stranger', WEB);
  answers = await lab.capture('stranger', 'eth0', `ether src ${mac.hub} and ${finding}`);
  initiation = await unknownClient();
});

afterAll(() => answers.stop());

beforeEach(() => answers.clear());

/** The UDP payload of a stock client's first packet: right in everything but that the hub does not know its key. */
async function unknownClient(): Promise<Buffer> {
  const hubKey = await lab.output('hub', ['wg', 'show', 'apn0', 'public-key']);
  const text = `[Interface]
PrivateKey = ${await lab.output('stranger', ['wg', 'genkey'])}
[Peer]
PublicKey = ${hubKey}
AllowedIPs = 172.16.0.0/16
Endpoint = ${HUB}:51820
PersistentKeepalive = 1
`;
  writeFileSync(join(hostFolder(lab.name, 'stranger'), 'wireguard/wg0.conf'), text, { mode: 0o600 });
  const sent = await lab.capture('stranger', 'eth0', 'udp dst port 51820', { args: ['-x'] });
  try {
    await lab.wireguardUp('stranger');
    // Headers of 28 bytes, then 148: 11 lines of 16 bytes.
    const dump = await poll(
      () => {
        const lines = sent.lines().filter((line) => line.startsWith('\t0x'));
        return lines.length >= 11 && lines.slice(0, 11);
      },
      { what: "the client's first packet" },
    );
    const hex = dump.map((line) => line.replace(/^\t0x\w+:/, '').replaceAll(' ', '')).join('');
    return Buffer.from(hex, 'hex').subarray(28);
  } finally {
    await sent.stop();
    await lab.wireguardDown('stranger');
  }
}

/** How much the hub's programs have written: logs, store and run folder. */
function written(): number {
  const size = (folder: string): number =>
    readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
      const path = join(folder, entry.name);
      return sum + (entry.isDirectory() ? size(path) : (statSync(path, { throwIfNoEntry: false })?.size ?? 0));
    }, 0);
  const logs = join(labFolder(lab.name), 'log');
  const ofHub = readdirSync(logs).filter((name) => name.startsWith('hub.'));
  const hub = hostFolder(lab.name, 'hub');
  return (
    ofHub.reduce((sum, name) => sum + statSync(join(logs, name)).size, 0) +
    size(join(hub, 'state')) +
    size(join(hub, 'run/apn'))
  );
}

const tracked = async (): Promise<string[]> =>
  (await lab.exec('hub', ['conntrack', '-L', '-s', STRANGER])).stdout.split('\n').filter((line) => line !== '');

test('this stranger does hear what answers: a server on the same wire', async () => {
  const heard = await lab.capture('stranger', 'eth0', `ether src ${mac.web} and tcp`);
  undo(() => heard.stop());
  const ports = everyPort.slice(0, 100);
  const to = { from: STRANGER, to: WEB };
  await inject(
    lab,
    'stranger',
    'eth0',
    ports.map((dport) => ethernet(mac.web, mac.stranger, tcp({ ...to, sport: 40_000, dport }, TCP.syn))),
  );
  await poll(() => heard.lines().filter((line) => /Flags \[(S|R)\.\]/.test(line)).length >= 100, {
    what: '100 answers',
  });
});

describe.each(families)('%s', (family, to) => {
  test('every TCP port, and the ways around a SYN', async () => {
    const before = await received();
    await send(everyPort.map((dport) => tcp({ ...to, sport: 40_000, dport }, TCP.syn)));
    const odd = [0, TCP.fin, TCP.ack, TCP.rst, TCP.syn | TCP.ack, TCP.fin | TCP.push | TCP.urgent, 63];
    const usual = [1, 22, 53, 80, 443, 5335, 8066, 51_820, 65_535];
    await send(odd.flatMap((flags) => usual.map((dport) => tcp({ ...to, sport: 53, dport }, flags))));
    await quiet();
    expect((await received()) - before).toBeGreaterThanOrEqual(everyPort.length);
    expect(answers.lines()).toEqual([]);
  });

  test('every UDP port, with nothing and with something in it, from ports that look like answers', async () => {
    const before = await received();
    const query = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 97, 112, 110, 0, 0, 6, 0, 1];
    await send(everyPort.map((dport) => udp({ ...to, sport: 40_000, dport }, query)));
    const replies = [53, 67, 123, 547, 51_820];
    await send(
      replies.flatMap((sport) => [53, 67, 68, 123, 546, 5335, 51_820].map((dport) => udp({ ...to, sport, dport }))),
    );
    await quiet();
    expect((await received()) - before).toBeGreaterThanOrEqual(everyPort.length);
    expect(answers.lines()).toEqual([]);
  });

  test('every protocol', async () => {
    const protocols = Array.from({ length: 256 }, (_, number) => number);
    await send(
      protocols.flatMap((number) => [
        ip(to, number),
        ip(to, number, new Uint8Array(24).fill(1)),
        ip({ ...to, ttl: 1 }, number),
      ]),
    );
    await quiet();
    expect(answers.lines()).toEqual([]);
    expect(family).toMatch(/IPv[46]/);
  });
});

test('ICMP of every type: echo, timestamp, mask, router solicitation, and errors about packets never sent', async () => {
  const quoted = udp({ from: HUB, to: STRANGER, sport: 51_820, dport: 9 });
  await send([
    echoRequest(v4),
    echoRequest(v6),
    echoRequest({ ...v6, to: 'ff02::1' }),
    echoRequest({ ...v4, to: '203.0.113.255' }),
    echoRequest({ ...v4, to: '255.255.255.255' }),
    ...Array.from({ length: 256 }, (_, type) => icmp(v4, type, 0, [0, 0, 0, 0, ...quoted])),
    ...Array.from({ length: 256 }, (_, type) => type)
      .filter((type) => type < 133 || type > 137)
      .map((type) => icmp(v6, type, 0, new Uint8Array(24))),
  ]);
  await quiet();
  expect(answers.lines()).toEqual([]);
});

test('options the kernel objects to, source routes, and fragments that never end', async () => {
  const limits = ['net.ipv4.ipfrag_time', 'net.ipv6.ip6frag_time'];
  // The kernel complains about an unfinished packet when it gives up, after 30 and 60 s.
  await lab.output('hub', ['sysctl', '-w', ...limits.map((name) => `${name}=1`)]);
  undo(() => lab.output('hub', ['sysctl', '-w', `${limits[0]}=30`, `${limits[1]}=60`]));
  const ports = { sport: 40_000, dport: 53 };
  const inside = [192, 168, 66, 2] as const;
  const options = [
    [131, 7, 4, ...inside, 0],
    [137, 7, 4, ...inside, 0],
    [7, 7, 4, 0, 0, 0, 0, 0],
    [68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    [148, 4, 0, 0],
    // Wrong lengths and pointers.
    [131, 1, 9, 9],
    [7, 3, 3, 0],
    [68, 40, 5, 0],
    [7, 255, 4, 0],
  ];
  await send([
    ...options.flatMap((each) => [
      udp({ ...v4, ...ports, options: each }),
      tcp({ ...v4, ...ports, options: each }, TCP.syn),
      udp({ ...v4, to: '192.168.66.2', ...ports, options: each }),
    ]),
    ...[1, 6, 17, 47].flatMap((protocol) => [
      ip({ ...v4, fragment: { offset: 0, more: true } }, protocol, new Uint8Array(64)),
      ip({ ...v4, fragment: { offset: 64, more: false } }, protocol + 100, new Uint8Array(64)),
    ]),
    // Hop-by-hop and destination options of kinds 0x9e and 0xde ask for an error; routing headers; fragments.
    ...[0x1e, 0x5e, 0x9e, 0xde].flatMap((kind) =>
      [0, 60].flatMap((header) =>
        [v6, { ...v6, to: 'ff02::1' }].map((to) => ip(to, header, [59, 0, kind, 4, 0, 0, 0, 0])),
      ),
    ),
    ip(v6, 43, [59, 2, 0, 1, 0, 0, 0, 0, ...new Uint8Array(16).fill(1)]),
    ip(v6, 43, [59, 0, 77, 1, 0, 0, 0, 0]),
    ip(v6, 44, [17, 0, 0, 1, 0, 0, 0, 9, ...new Uint8Array(64)]),
    ip(v6, 44, [17, 0, 0, 1, 0, 0, 0, 8, ...new Uint8Array(61)]),
    ip(v6, 44, [58, 0, 0, 1, 0, 0, 0, 7, 128, 0, ...new Uint8Array(62)]),
  ]);
  // Long enough for the timers of fragments, which run a second, to end.
  const until = performance.now() + 1500 * SLOWNESS;
  await poll(() => performance.now() > until, { what: 'the fragments to be given up' });
  await quiet();
  expect(answers.lines()).toEqual([]);
});

test('100,000 datagrams to UDP 51820 draw nothing and leave nothing: no connection, no line, no row', async () => {
  const [before, writtenBefore] = [await received(), written()];
  const connections = async () =>
    Number(await lab.output('hub', ['cat', '/proc/sys/net/netfilter/nf_conntrack_count']));
  const connectionsBefore = await connections();
  const port = (index: number) => ({ sport: 1024 + (index % 60_000), dport: 51_820 });
  const looking = (type: number, length: number): Buffer => {
    const message = Buffer.alloc(length);
    crypto.getRandomValues(message);
    message.set([type, 0, 0, 0]);
    return message;
  };
  const kinds = [
    initiation,
    initiation.fill(0, 4, 8),
    looking(1, 148),
    looking(2, 92),
    looking(3, 64),
    looking(4, 128),
    looking(0, 148),
    new Uint8Array(0),
    new Uint8Array(1),
  ];
  const batch = Array.from({ length: 10_000 }, (_, index) =>
    udp({ ...v4, ...port(index) }, kinds[index % kinds.length] ?? []),
  );
  for (let round = 0; round < 9; round++) await send(batch);
  await send(
    Array.from({ length: 10_000 }, (_, index) => udp({ ...v6, ...port(index) }, kinds[index % kinds.length] ?? [])),
  );
  await quiet();
  expect((await received()) - before).toBeGreaterThanOrEqual(100_000);
  expect(answers.lines()).toEqual([]);
  expect(await tracked()).toEqual([]);
  expect((await connections()) - connectionsBefore).toBeLessThan(100);
  // The hub has a life of its own and writes a page now and then; a line for each datagram would be megabytes.
  expect(written() - writtenBefore).toBeLessThan(40_000);
});

test('an address with a lease but without a key hears no more than that', async () => {
  undo(() => revokeAll(lab));
  const lease = await grant(lab, STRANGER);
  await grant(lab, v6.from);
  const odd = [22, 53, 67, 80, 123, 443, 500, 5335, 51_819, 51_821];
  for (const [, to] of families) {
    await send(everyPort.slice(0, 2048).map((dport) => tcp({ ...to, sport: 40_000, dport }, TCP.syn)));
    await send(
      odd.flatMap((dport) => [
        tcp({ ...to, sport: 51_820, dport }, TCP.syn),
        udp({ ...to, sport: 51_820, dport }, [1]),
      ]),
    );
    await send([tcp({ ...to, sport: 40_000, dport: 51_820 }, TCP.syn), echoRequest(to)]);
    const junk = [initiation, ...[0, 1, 32, 92, 148].map((length) => new Uint8Array(length).fill(1))];
    await send(
      Array.from({ length: 600 }, (_, index) =>
        udp({ ...to, sport: 40_000 + index, dport: 51_820 }, junk[index % junk.length] ?? []),
      ),
    );
  }
  await quiet();
  // Under load WireGuard may answer a right first packet with a cookie: that is WireGuard's.
  expect(answers.lines().filter((line) => !/\.51820 > .* length 64$/.test(line))).toEqual([]);
  expect(await tracked()).toEqual([]);
  expect(lease.state).toBe('active');
});

test('with a key and without a lease nothing either; with both the port answers', async () => {
  undo(() => revokeAll(lab));
  const heard = await lab.capture('laptop', 'eth0', `ether src ${mac.hub} and not arp and not icmp6`);
  const asked = await lab.capture('laptop', 'eth0', `udp and dst host ${HUB} and dst port 51820`);
  undo(() => Promise.all([heard.stop(), asked.stop()]));
  await freshTunnel(lab, 'laptop');
  await lab.exec('laptop', ['ping', '-n', '-q', '-c', '1', '-W', '1', '172.16.0.1']);
  await poll(() => asked.count() > 0, { what: "the client's first packet" });
  await quiet();
  expect(heard.lines()).toEqual([]);
  await connect(lab, 'laptop', LAPTOP);
  await poll(() => heard.lines().some((line) => line.includes(`${HUB}.51820 > ${LAPTOP}`)), {
    what: "the hub's answer",
  });
});
