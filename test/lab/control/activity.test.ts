// What the router notices and tells: renewals from inside, warnings, who connected, and what was refused inside, by name.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { poll, SLOWNESS } from '../../support/lab/lab.ts';
import { hostFolder } from '../../support/lab/place.ts';
import { sharedLab } from '../../support/lab/shared.ts';
import {
  connect,
  constantPing,
  control,
  flowing,
  grant,
  HUB,
  keep,
  LAPTOP,
  longestGap,
  page,
  passed,
  reaches,
  restoring,
  revokeAll,
} from '../clients.ts';

const lab = sharedLab();
const undo = restoring();
const HUB_INSIDE = '172.16.0.1';
const STRANGER = '203.0.113.66';

interface Entry {
  readonly at: string;
  readonly actor: string;
  readonly event: string;
  // biome-ignore lint/suspicious/noExplicitAny: every event has its own details, and tests say what they expect
  readonly details: any;
}

beforeEach(() => {
  undo(() => revokeAll(lab));
});

async function told(kind: string, since: number): Promise<readonly Entry[]> {
  const all = (await control(lab, 'GET', `/audit?kind=${kind}&limit=500`)) as readonly Entry[];
  return all.filter(({ at }) => Date.parse(at) >= since);
}

/** As the page of the hub asks; the status and the answer. */
async function renewFrom(host: string, hub: string): Promise<{ status: string; body: Record<string, unknown> }> {
  const headers = ['content-type: application/json', 'x-apn: 1', `origin: https://${hub}`];
  const text = await lab.output(host, [
    ...['curl', '-sk', '--max-time', String(5 * SLOWNESS), '-w', '\n%{http_code}'],
    ...headers.flatMap((header) => ['-H', header]),
    ...['-d', '{}', `https://${hub}/api/leases/renew`],
  ]);
  const [body = '', status = ''] = text.split('\n');
  return { status, body: JSON.parse(body) };
}

test('a device renews its own lease from inside the tunnel, and goes on past the first end without a gap', async () => {
  await connect(lab, 'laptop', LAPTOP);
  const short = await control(lab, 'POST', '/leases', { source: LAPTOP, for: `${8 * SLOWNESS}s`, member: 'Anna' });
  const [first] = (await control(lab, 'GET', '/leases')) as { id: string }[];
  await control(lab, 'DELETE', `/leases/${first?.id}`);
  const inner = await lab.capture('web', 'wg0', 'src host 172.16.1.1');
  undo(() => inner.stop());
  constantPing(lab, 'laptop', '172.16.10.10', undo);
  await flowing(inner, 'pings at the server');
  const start = Date.now();

  const { status, body } = await renewFrom('laptop', HUB_INSIDE);
  expect([status, body]).toEqual([
    '200',
    { renewed: [expect.objectContaining({ id: short.id, source: LAPTOP, member: 'Anna', grantedBy: 'Anna' })] },
  ]);
  const [lease] = await control(lab, 'GET', '/leases');
  expect(lease.remainingSeconds).toBeGreaterThan(86_000);
  expect(await told('lease', start)).toContainEqual(
    expect.objectContaining({
      actor: 'Anna',
      event: 'lease renewed',
      details: expect.objectContaining({ id: short.id }),
    }),
  );
  const until = Date.parse(short.expiresAt) + 2000;
  await passed(until);
  expect(longestGap(inner.lines(), start, until)).toBeLessThan(SLOWNESS === 1 ? 500 : 1500);
  expect(await page(lab, 'laptop', 'http://web.shop.apn/address')).toBe('172.16.1.1');

  // The LAN has pages too, but nothing there proves who asks.
  expect(await renewFrom('tv', '192.168.66.1')).toMatchObject({ status: '403' });
});

test('the command renews by address, and the kernel keeps to the new end', async () => {
  await grant(lab, LAPTOP, '1m');
  const { renewed } = await lab.apn('lease', 'renew', LAPTOP, '--for', '2h');
  expect(renewed).toMatchObject([{ source: LAPTOP, remainingSeconds: 7200, endingSoon: false }]);
  const set = await lab.output('hub', ['nft', 'list', 'set', 'inet', 'apn', 'lease4']);
  expect(set).toMatch(new RegExp(`${LAPTOP.replaceAll('.', '\\.')} timeout (1h59m5\\ds\\d*m?s?|2h)`));
});

test('whoever may see leases is warned before one ends; others learn nothing', async () => {
  const listen = (socket: string) => keep(lab, 'hub', `exec curl -sN --unix-socket ${socket} http://hub/events`, undo);
  const console_ = listen('/run/apn/control.sock');
  const stranger = listen('/run/apn/web.sock');
  await poll(() => [console_, stranger].every((one) => one.stdout().includes('event: summary')), {
    what: 'the streams',
  });
  const lease = await control(lab, 'POST', '/leases', { source: STRANGER, for: '20s', member: 'Anna' });
  const data = await poll(() => /event: lease-ending\ndata: (.+)/.exec(console_.stdout())?.[1], {
    within: 25_000,
    what: 'the warning',
  });
  expect(JSON.parse(String(data))).toEqual({ id: lease.id, source: STRANGER, member: 'Anna', minutes: 1 });
  // It comes in time to do something about it.
  expect(Date.now()).toBeLessThan(Date.parse(lease.expiresAt));
  await poll(() => stranger.stdout().split('event: summary').length > 3, { what: 'the stranger to hear of something' });
  expect(stranger.stdout()).not.toContain('lease-ending');
  expect(stranger.stdout()).not.toContain(STRANGER);
});

test('a device that connects for the first time is in the log, with the address it came from', async () => {
  const since = Date.now();
  const secret = await lab.output('stranger', ['wg', 'genkey']);
  const publicKey = await lab.output('stranger', ['wg', 'pubkey'], { input: secret });
  const device = { member: 'Anna', label: 'tablet', publicKey, presharedKey: false };
  const { address } = await control(lab, 'POST', '/devices', device);
  undo(() => control(lab, 'DELETE', '/devices/tablet'));
  const { hubPublicKey } = await control(lab, 'GET', '/status');
  const lines = [
    ...['[Interface]', `PrivateKey = ${secret}`, `Address = ${address}/32`],
    ...['[Peer]', `PublicKey = ${hubPublicKey}`, 'AllowedIPs = 172.16.0.0/16', `Endpoint = ${HUB}:51820`],
  ];
  writeFileSync(join(hostFolder(lab.name, 'stranger'), 'wireguard/wg0.conf'), `${lines.join('\n')}\n`, { mode: 0o600 });
  await grant(lab, STRANGER);
  undo(() => lab.wireguardDown('stranger'));
  await lab.wireguardUp('stranger');
  await reaches(lab, 'stranger', HUB_INSIDE);
  const connected = await poll(
    async () => (await told('handshake', since)).find(({ details }) => details.peer === 'tablet.anna.team'),
    { within: 20_000, what: 'the entry' },
  );
  expect(connected).toMatchObject({
    ...{ actor: 'Anna', event: 'connected' },
    details: { member: 'Anna', address: STRANGER, first: true },
  });
});

/** The address that DHCP gave. */
const lanAddress = (host: string) =>
  lab.output(host, ['sh', '-c', "ip -4 -br addr show dev eth0 | awk '{print $3}' | cut -d/ -f1"]);

test('what is refused inside is written down with names, once a minute; what is allowed is not', async () => {
  await connect(lab, 'laptop', LAPTOP);
  const since = Date.now();
  const guest = await lanAddress('guest');
  // Ports that no other test has tried: a flow that was refused a moment ago is told of with the next minute.
  const [first, second, third, fourth] = [0, 1, 2, 3].map((n) => 20_000 + 4 * Math.floor(Math.random() * 5000) + n);
  const wanted = [
    { source: guest, destination: 'web.shop', port: `${first}/tcp` },
    { source: 'printer.lan', destination: 'hub', port: `${second}/tcp` },
    { source: 'laptop.anna.team', destination: 'ledger.books', port: `${third}/tcp` },
    { source: 'web.shop', destination: 'laptop.anna.team', port: `${fourth}/udp` },
  ];
  expect(await page(lab, 'tv', 'http://172.16.10.10/')).not.toBeNull();
  const entries = await poll(
    async () => {
      await Promise.all([
        page(lab, 'guest', `http://172.16.10.10:${first}/`),
        page(lab, 'printer', `http://192.168.66.1:${second}/`),
        ...[1, 2, 3].map(() => page(lab, 'laptop', `http://172.16.11.20:${third}/`)),
        lab.exec('web', ['bash', '-c', `echo x >/dev/udp/172.16.1.1/${fourth}`]),
      ]);
      const all = await told('denied', since);
      const found = wanted.map((one) =>
        all.filter(({ details }) => Object.entries(one).every(([field, value]) => details[field] === value)),
      );
      return found.every((some) => some.length > 0) ? found : null;
    },
    // Whoever was refused more than fifty things in tests before has no lines of his own until that is over.
    { within: 100_000 / SLOWNESS, every: 1000, what: 'the four refusals' },
  );
  const minutes = Math.ceil((Date.now() - since) / 60_000);
  for (const some of entries ?? []) expect(some.length).toBeLessThanOrEqual(1 + minutes);
  expect(entries?.[2]?.[0]).toMatchObject({ actor: 'Anna', event: 'denied' });
  expect(entries?.[2]?.[0]?.details.packets).toBeGreaterThanOrEqual(3);
  expect(entries?.[0]?.[0]?.details).toMatchObject({ sourceAddress: guest, destinationAddress: '172.16.10.10' });
  const sources = (await told('denied', since)).filter(({ details }) => details.port === '80/tcp');
  expect(sources.map(({ details }) => details.source)).not.toContain('tv.lan');
  const lines = await lab.output('hub', ['apn', 'audit', 'export', '--kind', 'denied']);
  expect(
    lines
      .split('\n')
      .map((line) => JSON.parse(line))
      .at(-1),
  ).toMatchObject({ kind: 'denied' });
});

test('a scan of two thousand ports is few lines in the log', async () => {
  const since = Date.now();
  const ports = Array.from({ length: 2000 }, (_, i) => i + 10_000);
  const lines = ports.map((port) => `(: <>/dev/tcp/172.16.10.10/${port}) 2>/dev/null`);
  await lab.output('guest', ['bash', '-c', `${lines.join('\n')}\ntrue`], { timeout: 60_000 * SLOWNESS });
  const guest = await lanAddress('guest');
  const scanned = async () => (await told('denied', since)).filter(({ details }) => details.source === guest);
  await poll(async () => (await scanned()).length > 0, { within: 70_000, what: 'an entry' });
  await passed(Date.now() + 3000);
  // Fifty of their own and one for the rest, each of them twice when a minute ends meanwhile.
  expect((await scanned()).length).toBeLessThanOrEqual(102);
});

test('the figures have every peer, and a token for figures reads them through the gateway, and nothing else', async () => {
  await connect(lab, 'laptop', LAPTOP);
  const text = await lab.output('hub', ['apn', 'metrics']);
  for (const peer of ['web.shop', 'db.shop', 'ledger.books', 'laptop.anna.team']) {
    expect(text).toMatch(new RegExp(`^apn_peer_connected\\{.*peer="${peer}"\\} 1$`, 'm'));
  }
  const request = { member: 'Anna', name: 'figures', scope: 'metrics', days: 1 };
  const { id, token } = await control(lab, 'POST', '/tokens', request);
  undo(() => control(lab, 'DELETE', `/tokens/${id}`));
  const read = async (host: string, path: string, more: readonly string[]) => {
    const limit = ['--max-time', String(5 * SLOWNESS)];
    const curl = ['curl', '-sk', ...limit, '-w', '\n%{http_code}', ...more, `https://${path}`];
    const lines = (await lab.output(host, curl)).split('\n');
    return { status: lines.pop(), text: lines.join('\n') };
  };
  const bearer = ['-H', `authorization: Bearer ${token}`];
  for (const [host, hub] of [
    ['desk', '192.168.66.1'],
    ['laptop', HUB_INSIDE],
  ] as const) {
    expect(await read(host, `${hub}/api/metrics`, bearer)).toMatchObject({
      ...{ status: '200', text: expect.stringContaining('apn_peer_connected{') },
    });
    expect(await read(host, `${hub}/api/metrics`, [])).toMatchObject({ status: '401' });
    expect(await read(host, `${hub}/api/status`, bearer)).toMatchObject({ status: '403' });
  }
});
