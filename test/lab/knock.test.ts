// The knock: a refused stock client is named, let in by policy or by one click, and nothing recorded or made up gets in.
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { initiation, keyPairOf, makeKeyPair, tai } from '../knock/initiator.ts';
import { ethernet, inject, injector, macOf, udp } from '../support/lab/frames.ts';
import { poll, SLOWNESS } from '../support/lab/lab.ts';
import { hostFolder } from '../support/lab/place.ts';
import { sharedLab } from '../support/lab/shared.ts';
import {
  CARRIER,
  connect,
  control,
  freshTunnel,
  HUB,
  LAPTOP,
  note,
  passed,
  reaches,
  restoring,
  revoke,
  revokeAll,
} from './clients.ts';

const lab = sharedLab();
const undo = restoring();
const STRANGER = '203.0.113.66';
const LEDGER = '203.0.113.20';
/** On the same wire, and nobody is there. */
const ELSEWHERE = '203.0.113.199';

interface Knock {
  readonly id: string;
  readonly kind: string;
  readonly name: string | null;
  readonly source: string;
  readonly outcome: string;
  readonly count: number;
  readonly clockAhead: boolean;
  readonly publicKey: string | null;
}

let mac: { hub: string; stranger: string };

const knocks = (): Promise<Knock[]> => control(lab, 'GET', '/knocks');
const byText = (one: string, other: string): number => one.localeCompare(other);
const named = async (name: string) => (await knocks()).find((one) => one.name === name);
const leases = (): Promise<{ id: string; source: string; grantedBy: string }[]> => control(lab, 'GET', '/leases');
const sources = async () => (await leases()).map(({ source }) => source).toSorted(byText);
const forgetAll = async () => {
  for (const { id } of await knocks()) await control(lab, 'DELETE', `/knocks/${id}`).catch(() => {});
};

function policy(leasePolicy: 'ask' | 'auto' | 'never'): Promise<unknown> {
  undo(() => control(lab, 'PATCH', '/members/anna', { leasePolicy: 'ask' }));
  return control(lab, 'PATCH', '/members/anna', { leasePolicy });
}

beforeAll(async () => {
  mac = { hub: await macOf(lab, 'hub', 'wan0'), stranger: await macOf(lab, 'stranger', 'eth0') };
});

/** The client looks for the hub where it is not. */
const elsewhere = (host: string) => freshTunnel(lab, host, `${STRANGER}:51820`);

beforeEach(async () => {
  undo(() => revokeAll(lab));
  undo(() => forgetAll());
  // A client that was connected before goes on knocking.
  for (const host of ['laptop', 'phone']) {
    undo(() => freshTunnel(lab, host));
    await elsewhere(host);
  }
  await revokeAll(lab);
  await forgetAll();
});

/** Payloads on their way to the hub as if from that address. */
const datagram = (from: string, payload: Uint8Array) =>
  ethernet(mac.hub, mac.stranger, udp({ from, to: HUB, sport: 40_000, dport: 51820 }, payload));
const send = (from: string, ...payloads: readonly Uint8Array[]) =>
  inject(
    lab,
    'stranger',
    'eth0',
    payloads.map((payload) => datagram(from, payload)),
  );

/** UDP payloads of 148 bytes that tcpdump -x has printed. */
function initiations(lines: readonly string[]): Buffer[] {
  const packets: string[] = [];
  for (const line of lines) {
    if (!line.startsWith('\t0x')) packets.push('');
    else packets[packets.length - 1] += line.replace(/^\t0x\w+:/, '').replaceAll(' ', '');
  }
  return packets.map((hex) => Buffer.from(hex, 'hex').subarray(28, 28 + 148)).filter(({ length }) => length === 148);
}

/** What the laptop's stock client sends to the hub while something is done. */
async function recorded(during: () => Promise<unknown>, to = HUB): Promise<Buffer[]> {
  const filter = `udp dst port 51820 and dst host ${to} and udp[4:2] = 156`;
  const capture = await lab.capture('laptop', 'eth0', filter, { args: ['-x'] });
  try {
    await during();
    await poll(() => initiations(capture.lines()).length > 0, { what: "the client's first message" });
    return initiations(capture.lines());
  } finally {
    await capture.stop();
  }
}

/** A stock client's message to this hub that the hub has never heard: the client looks for it where it is not. */
async function unheard(): Promise<Buffer> {
  const [message] = await recorded(() => elsewhere('laptop'), STRANGER);
  if (message === undefined) throw new Error('nothing was recorded');
  return message;
}

/** Sent in portions that the limit for all takes whole, each from addresses of its own: the router looks at every one. */
async function sendEach(payloads: readonly Uint8Array[]): Promise<void> {
  const from = (n: number) => `198.18.${n >> 8}.${n & 255}`;
  for (let start = 0; start < payloads.length; start += 100) {
    const began = Date.now();
    const frames = payloads.slice(start, start + 100).map((payload, i) => datagram(from(start + i), payload));
    const marker = randomBytes(148);
    marker.set([1, 0, 0, 0]);
    const last = `198.19.${start >> 8}.${start & 255}`;
    await inject(lab, 'stranger', 'eth0', [...frames, datagram(last, marker)]);
    await poll(async () => (await knocks()).some(({ source }) => source === last), {
      every: 50,
      what: `message ${start + 100} to be looked at`,
    });
    // 100 a second, and 200 at once.
    await passed(began + 1100);
  }
}

describe('a stock client without a lease', () => {
  test.each([
    ['laptop', LAPTOP],
    ['phone', CARRIER],
  ])('%s is named within 2 s of its first packet, with a preshared key as without', async (host, source) => {
    const asked = await lab.capture(host, 'eth0', `udp dst port 51820 and dst host ${HUB}`);
    undo(() => asked.stop());
    await freshTunnel(lab, host);
    await poll(() => asked.count() > 0, { every: 10, what: 'its first packet' });
    const first = Number(asked.lines()[0]?.split(' ')[0]) * 1000;
    const knock = await poll(() => named(`${host}.anna`), { every: 20, what: 'its name on the list' });
    note(`first packet of ${host} to its name: ${Math.round(Date.now() - first)} ms`);
    expect(Date.now() - first).toBeLessThanOrEqual(2000 * SLOWNESS);
    expect(knock).toMatchObject({ kind: 'device', source, outcome: 'ask', clockAhead: false });
    expect(await leases()).toEqual([]);

    // One click, by name as by id, and it is off the list.
    const lease = await lab.apn('knocks', 'lease', `anna/${host}`, '--for', '10m');
    expect(lease).toMatchObject({ source, member: 'Anna', state: 'active' });
    await reaches(lab, host, '172.16.0.1');
    expect(await named(`${host}.anna`)).toBeUndefined();
  });

  test('of a member with the policy auto is connected within 10 s; in the name of the knock', async () => {
    await policy('auto');
    const start = Date.now();
    await freshTunnel(lab, 'laptop');
    await reaches(lab, 'laptop', '172.16.10.10');
    note(`auto: connected after ${Date.now() - start} ms`);
    expect(Date.now() - start).toBeLessThanOrEqual(10_000 * SLOWNESS);
    expect(await leases()).toEqual([expect.objectContaining({ source: LAPTOP, member: 'Anna', grantedBy: 'knock' })]);
    expect(await named('laptop.anna')).toBeUndefined();
  });

  test('of a member on the road is let in for no longer than that', async () => {
    undo(() => control(lab, 'PATCH', '/members/anna', { travel: null }));
    await lab.apn('members', 'set', 'anna', '--travel', '1h');
    await freshTunnel(lab, 'laptop');
    const [lease] = await poll(async () => (await leases()).length > 0 && (await lab.apn('lease', 'ls')), {
      what: 'the lease',
    });
    expect(lease).toMatchObject({ source: LAPTOP, grantedBy: 'knock' });
    expect(lease.remainingSeconds).toBeLessThanOrEqual(3600);
    expect(lease.remainingSeconds).toBeGreaterThan(3500);
  });

  test('of a member with the policy never is listed and never let in', async () => {
    await policy('never');
    await freshTunnel(lab, 'laptop');
    await poll(async () => ((await named('laptop.anna'))?.count ?? 0) >= 2, { within: 15_000, what: 'two knocks' });
    expect(await named('laptop.anna')).toMatchObject({ outcome: 'never' });
    expect(await leases()).toEqual([]);
  });
});

describe('what was recorded or changed on its way', () => {
  test('each of 1,184 messages with one bit changed gives nothing, and the message itself then does', async () => {
    await policy('auto');
    const message = await unheard();
    await connect(lab, 'phone', CARRIER);
    const pid = lab.pid('router');
    const flipped = Array.from({ length: message.length * 8 }, (_, bit) => {
      const copy = Buffer.from(message);
      copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      return copy;
    });
    await sendEach(flipped);
    expect(await sources()).toEqual([CARRIER]);
    expect((await knocks()).filter(({ kind }) => kind !== 'unreadable')).toEqual([]);
    expect(lab.pid('router')).toBe(pid);
    await reaches(lab, 'phone', '172.16.10.10');

    await send(LAPTOP, message);
    await poll(async () => (await sources()).includes(LAPTOP), { what: 'the unchanged message to be let in' });
  });

  test('every length from 0 to 1500 and junk give nothing', async () => {
    await policy('auto');
    const pid = lab.pid('router');
    const lengths = Array.from({ length: 1501 }, (_, length) => randomBytes(length));
    for (const one of lengths) one.set([1, 0, 0, 0].slice(0, one.length));
    await inject(
      lab,
      'stranger',
      'eth0',
      lengths.filter(({ length }) => length <= 1472).map((one) => datagram(STRANGER, one)),
    );
    await sendEach(Array.from({ length: 200 }, () => Buffer.concat([Buffer.from([1, 0, 0, 0]), randomBytes(144)])));
    expect(await leases()).toEqual([]);
    expect((await knocks()).every(({ kind }) => kind === 'unreadable')).toBe(true);
    expect(lab.pid('router')).toBe(pid);
  });

  test('replays of a refused and of an accepted message, from the same and from another address, before and after a restart', async () => {
    // Refused while the policy was to ask, then let in: recorded on the way both times.
    const refused = await recorded(() => freshTunnel(lab, 'laptop'));
    await poll(() => named('laptop.anna'), { what: 'the refused message' });
    await policy('auto');
    const accepted = await recorded(async () => {
      await control(lab, 'POST', '/leases', { source: LAPTOP, member: 'anna', for: '10m' });
      await freshTunnel(lab, 'laptop');
      await reaches(lab, 'laptop', '172.16.0.1');
    });
    const messages = [...refused, ...accepted];
    // The victim's own lease is the phone's; the laptop's ends, so that its address is shut again.
    await connect(lab, 'phone', CARRIER);
    await elsewhere('laptop');
    await revoke(lab, LAPTOP);
    await forgetAll();
    const nothing = async (when: string) => {
      for (const from of [LAPTOP, ELSEWHERE]) await send(from, ...messages);
      // Later messages are looked at later.
      await sendEach([randomBytes(148)]);
      expect(await sources(), when).toEqual([CARRIER]);
      expect(
        (await knocks()).filter(({ kind }) => kind !== 'unreadable'),
        when,
      ).toEqual([]);
    };
    await nothing('before a restart');
    await lab.restartRouter();
    await nothing('after a restart');
    await reaches(lab, 'phone', '172.16.10.10');

    // The same way in works for a message that is new.
    const { hubPublicKey } = await control(lab, 'GET', '/status');
    const fresh = initiation({
      hub: Buffer.from(hubPublicKey, 'base64'),
      from: laptopKeys(),
      timestamp: tai(Date.now()),
    });
    await send(ELSEWHERE, fresh);
    await poll(async () => (await sources()).includes(ELSEWHERE), { what: 'a new message to be let in' });
  });

  test('a message that was accepted while the router was not listening is no use later', async () => {
    await policy('auto');
    await connect(lab, 'laptop', LAPTOP);
    lab.kill('router', 'SIGSTOP');
    const stopped = lab.pid('router');
    const accepted = await recorded(async () => {
      await freshTunnel(lab, 'laptop');
      await reaches(lab, 'laptop', '172.16.0.1');
    });
    // Dies without having read what it was told.
    lab.kill('router', 'SIGKILL');
    await poll(() => ![undefined, stopped].includes(lab.pid('router')), { what: 'a new router' });
    await poll(
      () =>
        knocks().then(
          () => true,
          () => false,
        ),
      { what: 'the router to answer' },
    );
    await send(ELSEWHERE, ...accepted);
    await poll(async () => (await named('laptop.anna'))?.outcome === 'late', { what: 'the message to be judged' });
    expect(await sources()).toEqual([LAPTOP]);
  });
});

const laptopKeys = () => keysOf('laptop');

function keysOf(host: string) {
  const file = readFileSync(join(hostFolder(lab.name, host), 'wireguard/wg0.conf'), 'utf8');
  return keyPairOf(Buffer.from(/^PrivateKey\s*=\s*(\S+)$/m.exec(file)?.[1] ?? '', 'base64'));
}

test('a device whose clock is ahead is shown as such, and its clock can be forgotten', async () => {
  await policy('auto');
  const { hubPublicKey } = await control(lab, 'GET', '/status');
  const hub = Buffer.from(hubPublicKey, 'base64');
  const knock = (wall: number) => send(LAPTOP, initiation({ hub, from: laptopKeys(), timestamp: tai(wall) }));
  const day = 24 * 3600_000;
  undo(() => lab.apn('knocks', 'forget-clock', 'anna/laptop'));
  await knock(Date.now() + 30 * day);
  await poll(() => named('laptop.anna'), { what: 'the knock' });
  expect(await named('laptop.anna')).toMatchObject({ clockAhead: true, outcome: 'clock' });
  await knock(Date.now());
  await poll(async () => (await named('laptop.anna'))?.outcome === 'stuck', { what: 'the knock with the right time' });
  expect(await leases()).toEqual([]);
  await expect(lab.apn('knocks', 'lease', 'anna/laptop')).rejects.toMatchObject({ status: 3 });
  await lab.apn('knocks', 'forget-clock', 'anna/laptop');
  expect(await named('laptop.anna')).toBeUndefined();
  await knock(Date.now() + 20 * day);
  await knock(Date.now());
  await poll(async () => (await sources()).includes(LAPTOP), { what: 'the lease' });
});

test('forgetting a clock reaches the tunnel too, which remembers the wrong time as well', async () => {
  const { hubPublicKey } = await control(lab, 'GET', '/status');
  const from = laptopKeys();
  const timestamp = tai(Date.now() + 24 * 3600_000);
  undo(() => lab.apn('knocks', 'forget-clock', 'anna/laptop'));
  await control(lab, 'POST', '/leases', { source: LAPTOP, for: '10m' });
  const answers = await lab.capture('hub', 'wan0', `udp src port 51820 and dst host ${LAPTOP}`);
  undo(() => answers.stop());
  await send(LAPTOP, initiation({ hub: Buffer.from(hubPublicKey, 'base64'), from, timestamp }));
  await poll(() => answers.count() > 0, { what: 'the tunnel to take the wrong time' });
  answers.clear();

  const asked = await lab.capture('hub', 'wan0', `udp dst port 51820 and src host ${LAPTOP}`);
  undo(() => asked.stop());
  await freshTunnel(lab, 'laptop');
  await poll(() => asked.count() >= 2, { within: 15_000, what: 'two handshakes with the right time' });
  expect(answers.count()).toBe(0);
  await lab.apn('knocks', 'forget-clock', 'anna/laptop');
  await reaches(lab, 'laptop', '172.16.0.1');
});

describe('a key that nobody has', () => {
  /** A stock client that made its own key, as a person far away would set it up. */
  async function newcomer(address: string): Promise<string> {
    const secret = await lab.output('stranger', ['wg', 'genkey']);
    const { hubPublicKey } = await control(lab, 'GET', '/status');
    const text = `[Interface]\nPrivateKey = ${secret}\nAddress = ${address}/32\n[Peer]\nPublicKey = ${hubPublicKey}\nAllowedIPs = 172.16.0.0/16\nEndpoint = ${HUB}:51820\nPersistentKeepalive = 5\n`;
    writeFileSync(join(hostFolder(lab.name, 'stranger'), 'wireguard/wg0.conf'), text, { mode: 0o600 });
    undo(() => lab.wireguardDown('stranger'));
    await lab.wireguardUp('stranger');
    return lab.output('stranger', ['wg', 'show', 'wg0', 'public-key']);
  }

  const digest = (key: string) => lab.output('hub', ['bash', '-c', `base64 -d <<< ${key} | sha256sum | cut -c1-16`]);

  test('is listed by its fingerprint, and one click makes it a device that connects', async () => {
    const key = await newcomer('172.16.1.77');
    const id = await digest(key);
    const knock = await poll(async () => (await knocks()).find((one) => one.id === id), { what: 'the fingerprint' });
    expect(knock).toMatchObject({ kind: 'unknown', name: null, source: STRANGER, publicKey: key, outcome: 'unknown' });
    undo(() => control(lab, 'DELETE', '/devices/tablet'));
    const made = await lab.apn('knocks', 'enrol', id, '--device', 'anna/tablet', '--address', '172.16.1.77');
    expect(made).toMatchObject({ name: 'tablet.anna.team', address: '172.16.1.77', hasPresharedKey: false });
    await reaches(lab, 'stranger', '172.16.0.1');
    expect((await knocks()).filter(({ kind }) => kind === 'unknown')).toEqual([]);
    await expect(lab.apn('knocks', 'enrol', id, '--device', 'anna/again')).rejects.toMatchObject({ status: 4 });
  });

  test('becomes a server with a rule in one click', async () => {
    const id = await digest(await newcomer('172.16.10.77'));
    await poll(async () => (await knocks()).some((one) => one.id === id), { what: 'the fingerprint' });
    undo(() => control(lab, 'DELETE', '/servers/queue.shop'));
    await lab.apn('knocks', 'enrol', id, '--server', 'shop/queue', '--address', '172.16.10.77');
    await reaches(lab, 'stranger', '172.16.10.10');
    const rules = await lab.apn('rule', 'ls');
    expect(rules).toContainEqual(expect.objectContaining({ source: STRANGER, server: 'queue.shop' }));
  });
});

const rulesOfLedger = async () =>
  (await control(lab, 'GET', '/rules')).filter((one: { server: string }) => one.server === 'ledger.books');

describe('a server at a new address', () => {
  /** As if it had moved: its rule is for somewhere else. */
  async function moved(): Promise<void> {
    const rule = (await control(lab, 'GET', '/rules')).find((one: { server: string }) => one.server === 'ledger.books');
    await control(lab, 'DELETE', `/rules/${rule.id}`);
    const old = await control(lab, 'POST', '/rules', {
      source: ELSEWHERE,
      server: 'ledger.books',
      note: 'rented',
    });
    undo(async () => {
      for (const one of await control(lab, 'GET', '/rules')) {
        if (one.server === 'ledger.books') await control(lab, 'DELETE', `/rules/${one.id}`);
      }
      await control(lab, 'POST', '/rules', { source: LEDGER, server: 'ledger.books', note: rule.note });
      await reaches(lab, 'ledger', '172.16.0.1');
    });
    expect(old.source).toBe(ELSEWHERE);
    await freshTunnel(lab, 'ledger');
  }

  test('is listed by name, and one click makes that its rule', async () => {
    await moved();
    const knock = await poll(() => named('ledger.books'), { what: 'the server' });
    expect(knock).toMatchObject({ kind: 'server', source: LEDGER, outcome: 'ask' });
    await lab.apn('knocks', 'rule', 'ledger.books');
    await reaches(lab, 'ledger', '172.16.0.1');
    expect(await rulesOfLedger()).toEqual([expect.objectContaining({ source: LEDGER, note: 'rented' })]);
  });

  test('is followed where that is wished', async () => {
    undo(() => control(lab, 'PATCH', '/servers/ledger.books', { follow: false }));
    await lab.apn('servers', 'set', 'ledger.books', '--follow', 'yes');
    await moved();
    await reaches(lab, 'ledger', '172.16.0.1');
    expect(await rulesOfLedger()).toEqual([expect.objectContaining({ source: LEDGER, note: 'rented' })]);
  });
});

describe('a flood', () => {
  /** CPU time of the router in milliseconds, in steps of the kernel's 10. */
  function cpu(): number {
    const stat = readFileSync(`/proc/${lab.pid('router')}/stat`, 'utf8').replace(/^.*\) /s, '');
    const fields = stat.split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }

  const hubKey = async () => Buffer.from((await control(lab, 'GET', '/status')).hubPublicKey, 'base64');
  const junk = (length: number) => randomBytes(length);
  const handshake = () => Buffer.concat([Buffer.from([1, 0, 0, 0]), randomBytes(144)]);
  const anywhere = () => `${1 + Math.floor(Math.random() * 99)}.${randomBytes(2).join('.')}.7`;

  test.each([
    ['junk of all lengths', async () => () => datagram(STRANGER, junk(Math.floor(Math.random() * 300)))],
    ['what looks like handshakes, from one address', async () => () => datagram(STRANGER, handshake())],
    ['what looks like handshakes, from made-up addresses', async () => () => datagram(anywhere(), handshake())],
    [
      'handshakes of unknown keys, from made-up addresses',
      async () => {
        const hub = await hubKey();
        const some = Array.from({ length: 50 }, () =>
          initiation({ hub, from: makeKeyPair(), timestamp: tai(Date.now()) }),
        );
        return () => datagram(anywhere(), some[Math.floor(Math.random() * some.length)] as Buffer);
      },
    ],
  ])('of %s, 20,000 a second, costs the router little; who was named stays', async (what, prepare) => {
    await policy('never');
    await freshTunnel(lab, 'laptop');
    await poll(() => named('laptop.anna'), { what: 'the laptop on the list' });
    const frame = await prepare();
    const every = 20; // milliseconds
    const frames = Array.from({ length: (20_000 / 1000) * every }, frame);
    const source = injector(lab, 'stranger', 'eth0', frames);
    undo(() => source.close());
    const before = cpu();
    const arrived = async () => Number(await lab.output('hub', ['cat', '/sys/class/net/wan0/statistics/rx_packets']));
    const packets = await arrived();
    const start = Date.now();
    const timer = setInterval(() => source.send(), every);
    undo(() => clearInterval(timer));
    await passed(start + 4000);
    clearInterval(timer);
    const seconds = (Date.now() - start) / 1000;
    const used = (cpu() - before) / 1000 / seconds;
    const rate = ((await arrived()) - packets) / seconds;
    note(`flood of ${what}: ${Math.round(rate)} packets/s, router ${(used * 100).toFixed(1)} % CPU`);
    // What the router looks at in a second is bounded by the kernel, however slow the machine is.
    if (SLOWNESS === 1) {
      expect(rate).toBeGreaterThan(10_000);
      expect(used).toBeLessThanOrEqual(0.1);
    }
    expect(await named('laptop.anna')).toMatchObject({ source: LAPTOP, outcome: 'never' });
    expect(await leases()).toEqual([]);
    expect((await knocks()).length).toBeLessThanOrEqual(1024 + 64 + 32);
  });

  test('from one address does not keep others from being named', async () => {
    const source = injector(
      lab,
      'stranger',
      'eth0',
      Array.from({ length: 200 }, () => datagram(STRANGER, handshake())),
    );
    undo(() => source.close());
    const timer = setInterval(() => source.send(), 10);
    undo(() => clearInterval(timer));
    await poll(async () => (await knocks()).some(({ kind }) => kind === 'unreadable'), { what: 'the flood' });
    const asked = Date.now();
    await freshTunnel(lab, 'laptop');
    await poll(() => named('laptop.anna'), { what: 'the laptop on the list' });
    note(`named under a flood after ${Date.now() - asked} ms`);
  });
});

test('who is at home knocks on no door: the LAN needs no lease, and what is heard there counts as seen', async () => {
  undo(() => control(lab, 'PATCH', '/servers/ledger.books', { follow: false }));
  await control(lab, 'PATCH', '/servers/ledger.books', { follow: true });
  // The tunnel takes the server to be where it was heard last; its own packets say the truth again.
  undo(() => reaches(lab, 'ledger', '172.16.0.1'));
  const { hubPublicKey } = await control(lab, 'GET', '/status');
  const hub = Buffer.from(hubPublicKey, 'base64');
  const message = () => initiation({ hub, from: keysOf('ledger'), timestamp: tai(Date.now()) });
  const heard = message();
  writeFileSync(lab.path('desk', '/run/knock'), heard);
  await lab.output('desk', ['socat', '-u', 'OPEN:/run/knock,rdonly', 'UDP-DATAGRAM:192.168.66.1:51820']);
  await sendEach([handshakeOf(1)]);
  await send(ELSEWHERE, heard);
  await sendEach([handshakeOf(2)]);
  expect(await rulesOfLedger()).toEqual([expect.objectContaining({ source: LEDGER })]);
  expect((await knocks()).filter(({ kind }) => kind !== 'unreadable')).toEqual([]);
});

const handshakeOf = (n: number) => Buffer.concat([Buffer.from([1, 0, 0, 0]), Buffer.alloc(144, n)]);
