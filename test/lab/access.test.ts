// Rights: roles, links and the hub's own services decide what passes, at once, and running flows are cut with the right.
import { beforeEach, describe, expect, test } from 'vitest';
import type { Capture } from '../support/lab/capture.ts';
import { poll, SLOWNESS } from '../support/lab/lab.ts';
import { sharedLab } from '../support/lab/shared.ts';
import {
  CARRIER,
  connect,
  constantPing,
  control,
  echo,
  flowing,
  freshTunnel,
  keep,
  LAPTOP,
  lastTime,
  note,
  page,
  passed,
  reaches,
  restoring,
  revokeAll,
} from './clients.ts';

const lab = sharedLab();
const undo = restoring();
const LEDGER = 'http://172.16.11.20/address';
const DEVICE = '172.16.1.1';

const anna = (change: object) => control(lab, 'PATCH', '/members/Anna', change);

/** Data that arrives, without the resets and acknowledgements of a flow's end. */
const data = (from: string) => `src host ${from} and (udp or (tcp and tcp[tcpflags] & tcp-push != 0))`;

/** Nothing arrived later than 2 s after the right was taken, though it flowed until then. */
async function cutAt(taken: number, captures: Readonly<Record<string, Capture>>): Promise<void> {
  await passed(taken + 2200);
  for (const [what, capture] of Object.entries(captures)) {
    note(`${what}: last packet ${Math.round(lastTime(capture) - taken)} ms after the right was taken`);
    expect(lastTime(capture), what).toBeLessThanOrEqual(taken + 2000);
    expect(lastTime(capture), what).toBeGreaterThan(taken - 1000);
  }
}

/** A line every 50 ms, sent by the client. */
const talk = (protocol: 'tcp' | 'udp', address: string, port: number) =>
  `exec 3<>/dev/${protocol}/${address}/${port}; cat <&3 >/dev/null & while echo line >&3; do sleep 0.05; done`;

describe("a member's device", () => {
  beforeEach(async () => {
    undo(() => revokeAll(lab));
    await connect(lab, 'laptop', LAPTOP);
  });

  test('reaches the application of its role and no other, until that role is given, and only as long', async () => {
    expect(await page(lab, 'laptop', 'http://web.shop.apn/')).toBe('web\nyou are 172.16.1.1 (laptop.anna.team.apn)');
    expect(await page(lab, 'laptop', LEDGER)).toBeNull();
    await lab.apn('members', 'set', 'Anna', '--access', 'books=developer');
    undo(() => anna({ access: { books: null } }));
    expect(await page(lab, 'laptop', LEDGER)).toBe(DEVICE);
    await lab.apn('members', 'set', 'Anna', '--access', 'books=viewer');
    expect(await page(lab, 'laptop', LEDGER)).toBeNull();
    await anna({ access: { books: 'admin' } });
    expect(await page(lab, 'laptop', LEDGER)).toBe(DEVICE);
    await lab.apn('members', 'set', 'Anna', '--access', 'books=none');
    expect(await page(lab, 'laptop', LEDGER)).toBeNull();
    // A role for everything stands where no entry says otherwise.
    await anna({ role: 'developer' });
    undo(() => anna({ role: 'viewer' }));
    expect(await page(lab, 'laptop', LEDGER)).toBe(DEVICE);
    await anna({ role: 'viewer' });
    expect(await page(lab, 'laptop', LEDGER)).toBeNull();
    expect(await page(lab, 'laptop', 'http://web.shop.apn/address')).toBe(DEVICE);
  });

  test('a role taken away cuts running TCP and UDP flows within 2 s, both directions of data', async () => {
    const clock = 'while true; do date; sleep 0.05; done';
    keep(lab, 'web', `exec socat -T 60 UDP-LISTEN:7007,fork,reuseaddr SYSTEM:'${clock}'`, undo);
    const captures = {
      'TCP stream of the server': await lab.capture('laptop', 'wg0', `${data('172.16.10.10')} and tcp port 80`),
      'UDP stream of the server': await lab.capture('laptop', 'wg0', `${data('172.16.10.10')} and udp port 7007`),
      'TCP words of the client': await lab.capture('db', 'wg0', `${data(DEVICE)} and tcp port 5432`),
      'TCP echo of the server': await lab.capture('laptop', 'wg0', `${data('172.16.10.11')} and tcp port 5432`),
      'UDP words of the client': await lab.capture('db', 'wg0', `${data(DEVICE)} and udp port 7`),
    };
    undo(() => Promise.all(Object.values(captures).map((capture) => capture.stop())));
    const stream = keep(lab, 'laptop', 'exec curl -sN http://172.16.10.10/stream', undo);
    keep(lab, 'laptop', '(echo start; sleep 100) | socat - UDP:172.16.10.10:7007 >/dev/null', undo);
    keep(lab, 'laptop', talk('tcp', '172.16.10.11', 5432), undo);
    keep(lab, 'laptop', talk('udp', '172.16.10.11', 7), undo);
    for (const [what, capture] of Object.entries(captures)) await flowing(capture, what);

    const taken = Date.now();
    undo(() => anna({ access: { shop: 'developer' } }));
    await anna({ access: { shop: null } });
    await cutAt(taken, captures);
    expect(stream.stdout().split('\n').length).toBeGreaterThan(3);
    // The tunnel itself is up: it was the right that went.
    expect(await echo(lab, 'laptop', '172.16.0.1')).toBe(true);
    await anna({ access: { shop: 'developer' } });
    expect(await page(lab, 'laptop', 'http://web.shop.apn/address')).toBe(DEVICE);
  });

  test('a disabled member is silenced within 2 s, and back when enabled', async () => {
    const capture = await lab.capture('web', 'wg0', `src host ${DEVICE}`);
    const replies = await lab.capture('laptop', 'wg0', 'icmp[icmptype] == icmp-echoreply');
    undo(() => Promise.all([capture.stop(), replies.stop()]));
    constantPing(lab, 'laptop', '172.16.10.10', undo);
    constantPing(lab, 'laptop', '172.16.0.1', undo);
    await flowing(capture, 'pings at the server');
    const taken = Date.now();
    undo(() => anna({ disabled: false }));
    await anna({ disabled: true });
    await cutAt(taken, {
      'disabled member at the server': capture,
      'disabled member, replies of hub and server': replies,
    });
    await anna({ disabled: false });
    await freshTunnel(lab, 'laptop');
    await reaches(lab, 'laptop', '172.16.10.10');
  });

  test('a removed device is silenced within 2 s, and its key is nobody again', async () => {
    undo(() => revokeAll(lab));
    await connect(lab, 'phone', CARRIER);
    const phone = (await control(lab, 'GET', '/devices')).find(({ label }: { label: string }) => label === 'phone');
    const capture = await lab.capture('phone', 'eth0', 'udp src port 51820');
    const inner = await lab.capture('web', 'wg0', 'src host 172.16.1.2');
    undo(() => Promise.all([capture.stop(), inner.stop()]));
    constantPing(lab, 'phone', '172.16.10.10', undo);
    await flowing(inner, 'pings at the server');
    const taken = Date.now();
    await control(lab, 'DELETE', '/devices/phone');
    const back = {
      ...{ member: 'Anna', label: 'phone', publicKey: phone.publicKey, address: '172.16.1.2', presharedKey: false },
    };
    undo(() => control(lab, 'POST', '/devices', back));
    await freshTunnel(lab, 'phone');
    await cutAt(taken, { 'removed device, answers': capture, 'removed device at the server': inner });
    await control(lab, 'POST', '/devices', back);
    undo(() => control(lab, 'DELETE', '/devices/phone'));
    await freshTunnel(lab, 'phone');
    await reaches(lab, 'phone', '172.16.10.10');
  });
});

describe('servers', () => {
  test('reach each other inside an application', async () => {
    expect(await page(lab, 'db', 'http://web.shop.apn/')).toBe('web\nyou are 172.16.10.11 (db.shop.apn)');
    const tcp = 'exec 3<>/dev/tcp/db.apn/5432; echo words >&3; read -t 5 -r line <&3; echo "$line"';
    expect(await lab.output('web', ['bash', '-c', tcp])).toBe('words');
  });

  test('reach a linked application, in the direction of the link, until it is unlinked under a running flow', async () => {
    expect(await page(lab, 'web', LEDGER)).toBeNull();
    await lab.apn('apps', 'link', 'shop', 'books');
    undo(() => lab.exec('hub', ['apn', 'apps', 'unlink', 'shop', 'books']));
    expect(await page(lab, 'web', LEDGER)).toBe('172.16.10.10');
    expect(await page(lab, 'ledger', 'http://172.16.10.10/address')).toBeNull();

    const captures = {
      'TCP stream of the linked server': await lab.capture('web', 'wg0', `${data('172.16.11.20')} and tcp`),
      'UDP echo of the linked server': await lab.capture('web', 'wg0', `${data('172.16.11.20')} and udp`),
      'UDP words to the linked server': await lab.capture('ledger', 'wg0', `${data('172.16.10.10')} and udp`),
    };
    undo(() => Promise.all(Object.values(captures).map((capture) => capture.stop())));
    keep(lab, 'web', 'exec curl -sN http://172.16.11.20/stream', undo);
    keep(lab, 'web', talk('udp', '172.16.11.20', 7), undo);
    for (const [what, capture] of Object.entries(captures)) await flowing(capture, what);
    const taken = Date.now();
    await control(lab, 'DELETE', '/applications/shop/links/books');
    await cutAt(taken, captures);
    expect(await page(lab, 'web', LEDGER)).toBeNull();
  });
});

interface Target {
  readonly host: string;
  readonly address: string;
  /** `80/tcp`; the port answers when packets get there. */
  readonly port: string;
}

const TARGETS: readonly Target[] = [
  { host: 'web', address: '172.16.10.10', port: '80/tcp' },
  { host: 'web', address: '172.16.10.10', port: '22/tcp' },
  { host: 'web', address: '172.16.10.10', port: '7/udp' },
  { host: 'db', address: '172.16.10.11', port: '5432/tcp' },
  { host: 'db', address: '172.16.10.11', port: '7/udp' },
  { host: 'ledger', address: '172.16.11.20', port: '80/tcp' },
  { host: 'ledger', address: '172.16.11.20', port: '7/udp' },
  { host: 'laptop', address: '172.16.1.1', port: '8080/tcp' },
  { host: 'laptop', address: '172.16.1.1', port: '8080/udp' },
  { host: 'phone', address: '172.16.1.2', port: '8080/tcp' },
  { host: 'tv', address: '172.16.2.11', port: '8080/tcp' },
  { host: 'tv', address: '172.16.2.11', port: '8080/udp' },
  { host: 'hub', address: '172.16.0.1', port: '443/tcp' },
  { host: 'hub', address: '172.16.0.1', port: '80/tcp' },
  { host: 'hub', address: '172.16.0.1', port: '53/tcp' },
  { host: 'hub', address: '172.16.0.1', port: '53/udp' },
];
const SOURCES = ['tv', 'guest', 'web', 'db', 'ledger', 'laptop', 'phone'] as const;

/** Tries all of them at once from one host; a line `ADDRESS PORT` for each that answered. */
async function answering(host: string, targets: readonly Pick<Target, 'address' | 'port'>[]): Promise<Set<string>> {
  const wait = 2 * SLOWNESS;
  // A question for the address of hub.apn.
  const question = String.raw`\12\34\1\0\0\1\0\0\0\0\0\0\3hub\3apn\0\0\1\0\1`;
  const lines = targets.map(({ address, port }) => {
    const [number, protocol] = port.split('/');
    const device = `/dev/${protocol}/${address}/${number}`;
    // The echo service loses datagrams while it takes in another client, so three tries.
    const words = `printf '${number === '53' ? question : 'x'}' >&3; read -r -N 1 -t ${0.4 * SLOWNESS} -u 3 && exit 0`;
    const attempt =
      protocol === 'tcp' ? `: <>${device}` : `exec 3<>${device}; for i in 1 2 3; do ${words}; done; exit 1`;
    return `(timeout ${wait} bash -c "${attempt}" 2>/dev/null && echo ${address} ${port}) &`;
  });
  const text = await lab.output(host, ['bash', '-c', `${lines.join('\n')}\nwait`]);
  return new Set(text.split('\n'));
}

describe('everybody to everybody', () => {
  beforeEach(async () => {
    undo(() => revokeAll(lab));
    await Promise.all([connect(lab, 'laptop', LAPTOP), connect(lab, 'phone', CARRIER)]);
    for (const host of ['laptop', 'phone', 'tv']) {
      keep(lab, host, 'exec socat TCP-LISTEN:8080,fork,reuseaddr PIPE', undo);
      keep(lab, host, 'exec socat -T 9 UDP-LISTEN:8080,fork,reuseaddr PIPE', undo);
    }
  });

  test.each([false, true])('`explain` says what really happens, with the applications linked: %s', async (linked) => {
    if (linked) {
      await control(lab, 'POST', '/applications/shop/links', { to: 'books' });
      undo(() => control(lab, 'DELETE', '/applications/shop/links/books'));
    }
    const guest = await lab.output('guest', [
      'sh',
      '-c',
      "ip -4 -br addr show dev eth0 | awk '{print $3}' | cut -d/ -f1",
    ]);
    const different: string[] = [];
    let allowed = 0;
    await Promise.all(
      SOURCES.map(async (source) => {
        const targets = TARGETS.filter(({ host }) => host !== source);
        const really = await answering(source, targets);
        for (const { address, port } of targets) {
          const query = new URLSearchParams({
            source: source === 'guest' ? guest : source,
            destination: address,
            port,
          });
          const said = await control(lab, 'GET', `/explain?${query}`);
          const passed = really.has(`${address} ${port}`);
          if (passed) allowed += 1;
          if (said.allowed !== passed)
            different.push(`${source} → ${address} ${port}: ${passed}, but: ${said.message}`);
        }
      }),
    );
    expect(different).toEqual([]);
    // Six of tv and of each peer inside one application, and what everybody may ask of the hub.
    expect(allowed).toBeGreaterThan(40);
  });

  test('what answers inside its own network cannot be reached by a server: LAN, devices, pages, the Internet', async () => {
    const lan = await lab.output('tv', ['sh', '-c', "ip -4 -br addr show dev eth0 | awk '{print $3}' | cut -d/ -f1"]);
    const targets = [
      { address: lan, port: '8080/tcp' },
      { address: '172.16.2.11', port: '8080/tcp' },
      { address: '172.16.1.1', port: '8080/tcp' },
      { address: '192.168.66.1', port: '443/tcp' },
      { address: '192.168.66.1', port: '53/udp' },
      { address: '172.16.0.1', port: '443/tcp' },
      { address: '203.0.113.53', port: '80/tcp' },
    ];
    // The server routes everything but the tunnel's own packets into the tunnel, as one that was broken into would.
    const routes = [`${lan}/32`, '192.168.66.1/32', '203.0.113.53/32'];
    const peer = '"$(wg show wg0 peers)"';
    const opened = routes.map((route) => `ip route add ${route} dev wg0`).join(' && ');
    undo(() => lab.exec('web', ['sh', '-c', routes.map((route) => `ip route del ${route} dev wg0`).join(';')]));
    undo(() => lab.output('web', ['sh', '-c', `wg set wg0 peer ${peer} allowed-ips 172.16.0.0/16`]));
    const wide = ['172.16.0.0/16', ...routes].join(',');
    await lab.output('web', ['sh', '-c', `wg set wg0 peer ${peer} allowed-ips ${wide} && ${opened}`]);

    const arrived = await lab.capture('hub', 'apn0', 'src host 172.16.10.10 and (tcp[tcpflags] & tcp-syn != 0 or udp)');
    const leaked = await lab.capture('hub', 'wan0', 'host 203.0.113.53 and tcp port 80');
    const onLan = await lab.capture('tv', 'eth0', 'port 8080');
    const atDevice = await lab.capture('laptop', 'wg0', 'port 8080');
    const all = [arrived, leaked, onLan, atDevice];
    undo(() => Promise.all(all.map((capture) => capture.stop())));
    expect([...(await answering('web', targets))].filter((line) => line !== '')).toEqual([]);
    await poll(() => arrived.count() >= targets.length, { what: 'the attempts to arrive at the hub' });
    expect([leaked.count(), onLan.count(), atDevice.count()]).toEqual([0, 0, 0]);

    // The same ports answer those who may.
    const near = await answering('printer', [targets[0]!, targets[3]!, targets[6]!]);
    expect(near.size).toBe(3);
    expect((await answering('laptop', [{ address: '172.16.0.1', port: '443/tcp' }])).has('172.16.0.1 443/tcp')).toBe(
      true,
    );
  });
});
