// Leases and rules: UDP 51820 opens for exactly the address and the time that was granted, seen on the wires.
import { beforeEach, describe, expect, test } from 'vitest';
import { ApnError, type Lab, poll, SLOWNESS } from '../support/lab/lab.ts';
import { sharedLab } from '../support/lab/shared.ts';
import {
  connect,
  constantPing,
  control,
  echo,
  flowing,
  freshTunnel,
  grant,
  HUB,
  keep,
  LAPTOP,
  lastTime,
  longestGap,
  note,
  page,
  passed,
  reaches,
  restoring,
  revoke,
  revokeAll,
  times,
} from './clients.ts';

const lab = sharedLab();
const undo = restoring();
const WEB = '172.16.10.10';
const DEVICE = '172.16.1.1';
/** Milliseconds without a packet that are no gap in a stream of one every 50; an emulated machine stutters. */
const GAP = SLOWNESS === 1 ? 500 : 1500;

beforeEach(() => {
  undo(() => revokeAll(lab));
});

/** Everything of the tunnel that arrives at the laptop, and everything of the laptop that arrives at the server. */
async function receivers(lab: Lab) {
  const outer = await lab.capture('laptop', 'eth0', `ip src host ${HUB}`);
  const inner = await lab.capture('web', 'wg0', `src host ${DEVICE}`);
  undo(() => Promise.all([outer.stop(), inner.stop()]));
  return { outer, inner };
}

test('a stock client that keeps trying is refused without an answer, and works within 8 s of the lease', async () => {
  const { outer } = await receivers(lab);
  const asked = await lab.capture('laptop', 'eth0', `udp dst port 51820 and dst host ${HUB}`);
  undo(() => asked.stop());
  await freshTunnel(lab, 'laptop');
  await poll(() => asked.count() >= 1, { what: 'the first try' });
  await freshTunnel(lab, 'laptop');
  const replies = keep(lab, 'laptop', `exec ping -n -D -i 0.1 ${WEB}`, undo);
  await poll(() => asked.count() >= 2, { what: 'the second try' });
  expect(outer.count()).toBe(0);

  const lease = await lab.apn('lease', 'add', LAPTOP, '--for', '10m', '--member', 'Anna', '--reason', 'on the road');
  const granted = Date.parse(lease.grantedAt);
  const first = await poll(() => /^\[(\d+\.\d+)\] \d+ bytes from/m.exec(replies.stdout())?.[1], {
    within: 20_000,
    what: 'the first reply',
  });
  const took = Number(first) * 1000 - granted;
  note(`lease to first reply of a client that retries: ${Math.round(took)} ms`);
  expect(took).toBeLessThanOrEqual(8000);
  expect(await page(lab, 'laptop', 'http://web.shop.apn/')).toBe('web\nyou are 172.16.1.1 (laptop.anna.team.apn)');
});

/** Traffic as constant as can be, started from both ends, the hub's own included. */
async function constantTraffic(lab: Lab) {
  const { outer, inner } = await receivers(lab);
  constantPing(lab, 'laptop', WEB, undo);
  constantPing(lab, 'hub', DEVICE, undo);
  keep(lab, 'laptop', `exec 3<>/dev/udp/${WEB}/7; while :; do echo stream >&3; sleep 0.05; done`, undo);
  await flowing(outer, 'packets at the laptop');
  await flowing(inner, 'packets of the laptop at the server');
  return { outer, inner };
}

/** Both directions ran until the end, and stopped within a second of it for good. */
async function stoppedAt(end: number, { outer, inner }: Awaited<ReturnType<typeof receivers>>, what: string) {
  await passed(end + 1500);
  for (const [where, capture] of [
    ['laptop', outer],
    ['server', inner],
  ] as const) {
    const last = lastTime(capture);
    note(`${what}: last packet at the ${where} ${Math.round(last - end)} ms after the end`);
    expect(last, where).toBeLessThanOrEqual(end + 1000);
    // The traffic was there until then: how long an answer takes is no part of the promise.
    expect(last, where).toBeGreaterThan(end - 1000 * SLOWNESS);
  }
}

describe('under constant traffic from both ends', () => {
  beforeEach(async () => {
    await connect(lab, 'laptop', LAPTOP);
  });

  test('it stops within a second when the lease expires; ending one of two grants leaves the other without a gap', async () => {
    const wires = await constantTraffic(lab);
    const [long] = await control(lab, 'GET', '/leases');
    const start = Date.now();
    const short = await grant(lab, LAPTOP, '4s');
    await revoke(lab, long.id);
    const end = Date.parse(short.expiresAt);
    expect(await control(lab, 'GET', '/leases')).toMatchObject([{ id: short.id, state: 'active' }]);
    await stoppedAt(end, wires, 'expiry');
    expect(longestGap(wires.inner.lines(), start, end)).toBeLessThan(GAP);
    expect(longestGap(wires.outer.lines(), start, end)).toBeLessThan(GAP);
    expect(await lab.apn('lease', 'ls')).toEqual([]);
  });

  test('it stops within a second when the lease is revoked', async () => {
    const wires = await constantTraffic(lab);
    const asked = Date.now();
    await revoke(lab, LAPTOP);
    await stoppedAt(asked, wires, 'revocation');
  });

  test('it stops within a second when the lease expires while the router is stopped', async () => {
    const wires = await constantTraffic(lab);
    const [long] = await control(lab, 'GET', '/leases');
    const short = await grant(lab, LAPTOP, '4s');
    await revoke(lab, long.id);
    lab.kill('router', 'SIGSTOP');
    undo(() => lab.kill('router', 'SIGCONT'));
    await stoppedAt(Date.parse(short.expiresAt), wires, 'expiry, router stopped');
  });

  test('a renewal goes on without a gap past the first end, and the longest grant wins', async () => {
    const wires = await constantTraffic(lab);
    const [long] = await control(lab, 'GET', '/leases');
    const first = await grant(lab, LAPTOP, '2s');
    await revoke(lab, long.id);
    const start = Date.now();
    const second = await grant(lab, LAPTOP, '10m');
    await grant(lab, LAPTOP, '1s');
    const until = Date.parse(first.expiresAt) + 1000;
    await passed(until);
    for (const wire of [wires.outer, wires.inner]) expect(longestGap(wire.lines(), start, until)).toBeLessThan(GAP);
    const live = (await lab.apn('lease', 'ls')) as { id: string; remainingSeconds: number }[];
    expect(live.map(({ id }) => id)).toEqual([second.id]);
    expect(live[0]?.remainingSeconds).toBeGreaterThan(590);
  });
});

/** Sends from the laptop's port a handshake at once; whether the tunnel came up. */
async function connects(lab: Lab): Promise<boolean> {
  await freshTunnel(lab, 'laptop');
  const replies = await lab.capture('laptop', 'eth0', `udp src port 51820`);
  try {
    return (
      (await poll(() => echo(lab, 'laptop', '172.16.0.1'), { within: 3000, every: 10, what: 'an echo' }).catch(
        () => false,
      )) || replies.count() > 0
    );
  } finally {
    await replies.stop();
  }
}

describe('prefixes', () => {
  test('a prefix opens for all its addresses, an address inside it and a prefix around it stand beside it', async () => {
    const stops = await lab.capture('laptop', 'eth0', `ip src host ${HUB}`);
    undo(() => stops.stop());
    const inside = await grant(lab, '203.0.113.48/29');
    expect(inside.source).toBe('203.0.113.48/29');
    await freshTunnel(lab, 'laptop');
    await reaches(lab, 'laptop', '172.16.0.1');

    // Each is the only one left in its turn; the laptop works under all of them.
    const exact = await grant(lab, LAPTOP);
    await revoke(lab, '203.0.113.48/29');
    expect(await echo(lab, 'laptop', WEB)).toBe(true);
    const around = await grant(lab, '203.0.113.32/27');
    const nested = await grant(lab, '203.0.113.50/31');
    await revoke(lab, exact.id);
    expect(await echo(lab, 'laptop', WEB)).toBe(true);
    await revoke(lab, nested.id);
    expect(await echo(lab, 'laptop', WEB)).toBe(true);
    // An address inside a leased prefix has no lease of its own to end.
    await expect(revoke(lab, LAPTOP)).rejects.toThrow(/203\.0\.113\.32\/27/);
    await revoke(lab, around.id);
    expect(await echo(lab, 'laptop', WEB)).toBe(false);
    // The neighbouring prefix does not help.
    await grant(lab, '203.0.113.40/29');
    expect(await echo(lab, 'laptop', WEB)).toBe(false);
    await grant(lab, '203.0.113.50/32');
    expect(await echo(lab, 'laptop', WEB)).toBe(true);
  });

  test('ending the longer of two nested leases leaves the shorter its own end', async () => {
    const { outer, inner } = await receivers(lab);
    const wide = await grant(lab, '203.0.113.0/25');
    await freshTunnel(lab, 'laptop');
    await reaches(lab, 'laptop', WEB);
    constantPing(lab, 'laptop', WEB, undo);
    constantPing(lab, 'hub', DEVICE, undo);
    await flowing(inner, 'pings');
    const narrow = await grant(lab, '203.0.113.48/29', '3s');
    await revoke(lab, wide.id);
    await stoppedAt(Date.parse(narrow.expiresAt), { outer, inner }, 'expiry of a nested prefix');
  });
});

test('an IPv6 source is leased by its /64, and only IPv6 opens by it', async () => {
  const outer6 = await lab.capture('laptop', 'eth0', 'ip6 and udp src port 51820');
  undo(() => outer6.stop());
  undo(() => freshTunnel(lab, 'laptop'));
  const overIpv6 = () => freshTunnel(lab, 'laptop', '[2001:db8:113::1]:51820');
  // Refused over IPv6 without any lease, and with one for the IPv4 address.
  const asked = await lab.capture('laptop', 'eth0', 'ip6 and udp dst port 51820');
  undo(() => asked.stop());
  await grant(lab, LAPTOP);
  await overIpv6();
  await poll(() => asked.count() > 0, { within: 10_000, what: 'a handshake over IPv6' });
  expect(await echo(lab, 'laptop', WEB)).toBe(false);
  expect(outer6.count()).toBe(0);

  const lease = await lab.apn('lease', 'add', '2001:db8:113:0:1234::1', '--for', '10m');
  expect(lease.source).toBe('2001:db8:113::/64');
  await revoke(lab, LAPTOP);
  await overIpv6();
  await reaches(lab, 'laptop', WEB);
  expect(outer6.count()).toBeGreaterThan(0);
  expect(await page(lab, 'laptop', 'http://web.shop.apn/address')).toBe(DEVICE);

  const before = Date.now();
  await revoke(lab, '2001:db8:113::99');
  expect(await echo(lab, 'laptop', WEB)).toBe(false);
  expect(lastTime(outer6)).toBeLessThanOrEqual(before + 1000);

  // An exact IPv6 address, when asked for.
  expect((await grant(lab, '2001:db8:113::50/128')).source).toBe('2001:db8:113::50');
  await overIpv6();
  await reaches(lab, 'laptop', WEB);
});

test('a lease opens UDP 51820 and nothing else', async () => {
  await connect(lab, 'laptop', LAPTOP);
  const answers = await lab.capture('laptop', 'eth0', `ip src host ${HUB} and not udp src port 51820`);
  undo(() => answers.stop());
  const arrived = await lab.capture('hub', 'wan0', `ip src host ${LAPTOP} and not udp dst port 51820`);
  undo(() => arrived.stop());
  const knock =
    `for port in 22 53 80 443 51820 51821; do (timeout ${SLOWNESS * 0.5} bash -c "</dev/tcp/${HUB}/$port") & done; ` +
    `for port in 53 67 68 123 5353 51819 51821; do echo x >/dev/udp/${HUB}/$port; done; ping -c 2 -i 0.1 -W ${SLOWNESS} ${HUB}; wait`;
  await lab.exec('laptop', ['bash', '-c', knock]);
  await poll(() => arrived.count() >= 15, { what: 'the knocks to arrive' });
  expect(answers.count()).toBe(0);
  // 51820 itself goes on.
  expect(await echo(lab, 'laptop', WEB)).toBe(true);
});

test('a rule opens for good, and closes within a second', async () => {
  const { outer, inner } = await receivers(lab);
  const rule = await lab.apn('rule', 'add', '203.0.113.50/32', '--note', 'office');
  undo(() => lab.exec('hub', ['apn', 'rule', 'rm', '203.0.113.50']));
  expect(await lab.apn('rule', 'ls')).toContainEqual(expect.objectContaining({ id: rule.id, note: 'office' }));
  await freshTunnel(lab, 'laptop');
  await reaches(lab, 'laptop', WEB);
  constantPing(lab, 'laptop', WEB, undo);
  constantPing(lab, 'hub', DEVICE, undo);
  await flowing(inner, 'pings');
  await control(lab, 'DELETE', `/rules/${rule.id}`);
  await stoppedAt(Date.now(), { outer, inner }, 'rule removed');

  // As a prefix, and together with a lease that outlives it.
  await control(lab, 'POST', '/rules', { source: '203.0.113.48/28' });
  expect(await connects(lab)).toBe(true);
  await grant(lab, LAPTOP);
  await control(lab, 'DELETE', `/rules/${encodeURIComponent('203.0.113.48/28')}`);
  expect(await echo(lab, 'laptop', WEB)).toBe(true);
  expect(times(outer.lines()).length).toBeGreaterThan(0);
});

describe('the command', () => {
  const refusal = (...args: string[]) =>
    lab.apn(...args).then(
      () => null,
      (error: ApnError) => (error instanceof ApnError ? { status: error.status, path: error.path } : error),
    );

  test('answers in the promised shape', async () => {
    const lease = await lab.apn(
      ...['lease', 'add', '198.51.100.7', '--for', '30s', '--member', 'Anna', '--reason', 'hotel'],
    );
    expect(Object.keys(lease)).toEqual(
      expect.arrayContaining(['id', 'source', 'grantedAt', 'expiresAt', 'remainingSeconds', 'state']),
    );
    expect(lease).toMatchObject({ source: '198.51.100.7', member: 'Anna', reason: 'hotel', state: 'active' });
    expect(Date.parse(lease.expiresAt) - Date.parse(lease.grantedAt)).toBe(30_000);
    expect(lease.remainingSeconds).toBeGreaterThanOrEqual(29);
    expect(lease.remainingSeconds).toBeLessThanOrEqual(30);
    const [listed] = await lab.apn('lease', 'ls');
    expect(listed).toMatchObject({ id: lease.id, source: lease.source, expiresAt: lease.expiresAt, state: 'active' });
    const whole = await grant(lab, '198.51.100.8', '24h');
    expect(whole.remainingSeconds).toBeGreaterThanOrEqual(86_399);
    await lab.apn('lease', 'rm', whole.id);
    const short = await grant(lab, '198.51.100.9', '1s');
    await passed(Date.parse(short.expiresAt) + 200);
    const all = (await lab.apn('lease', 'ls', '--all')) as { id: string; state: string; remainingSeconds: number }[];
    const state = (id: string) => all.find((one) => one.id === id);
    expect(state(lease.id)).toMatchObject({ state: 'active' });
    expect(state(whole.id)).toMatchObject({ state: 'revoked', remainingSeconds: 0 });
    expect(state(short.id)).toMatchObject({ state: 'expired', remainingSeconds: 0 });
    expect(((await lab.apn('lease', 'ls')) as { id: string }[]).map(({ id }) => id)).toEqual([lease.id]);
  });

  test('refuses what is invalid, in conflict or not there with the promised status and field, and opens nothing', async () => {
    const wrong: readonly (readonly [words: string, code: number, path: string])[] = [
      ...[
        '203.0.113.07',
        '0.0.0.0',
        '224.0.0.1',
        '127.0.0.1',
        '192.168.66.9',
        '172.16.10.10',
        '10.0.0.1/33',
        '10.0.0.1/8',
        '0.0.0.0/0',
        HUB,
        'web',
        '::',
        'ff02::1',
        'fe80::1',
      ].map((source) => [`lease add ${source}`, 2, 'source'] as const),
      ...['0', '0s', '-1s', 'NaN', '1', '31d', '1.5h'].map(
        (duration) => [`lease add ${LAPTOP} --for ${duration}`, 2, 'for'] as const,
      ),
      [`lease add ${LAPTOP} --colour red`, 2, '--colour'],
      [`lease rm ${LAPTOP}`, 4, ''],
      ['lease rm nosuchlease', 4, ''],
      ['rule rm 198.51.100.9', 4, ''],
      ['rule add 203.0.113.050', 2, 'source'],
      ['rule add 10.0.0.1/8', 2, 'source'],
      ['lease lend', 2, ''],
    ];
    const input = wrong.map(([words]) => `${words}\n`).join('');
    const { stdout } = await lab.exec('hub', ['apn', 'batch'], { input });
    const answers = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).error);
    for (const [index, [words, code, path]] of wrong.entries()) {
      expect({ words, code: answers[index]?.code, path: answers[index]?.path }).toEqual({ words, code, path });
    }
    expect(await control(lab, 'GET', '/leases')).toEqual([]);

    for (const last of [1, 2, 3]) {
      await control(lab, 'POST', '/leases', { source: `198.51.100.${last}`, for: '10m', member: 'Anna' });
    }
    expect(await refusal('lease', 'add', '203.0.113.07')).toEqual({ status: 2, path: 'source' });
    expect(await refusal('lease', 'add', '198.51.100.4', '--member', 'Anna')).toEqual({ status: 3, path: 'member' });
    expect((await refusal('lease', 'rm', LAPTOP))?.status).toBe(4);
    await revoke(lab, '198.51.100.2');
    expect(await refusal('lease', 'add', '198.51.100.4', '--member', 'Anna')).toBeNull();
  });
});
