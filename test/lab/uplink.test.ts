// A hosted APN as an uplink: the LAN and chosen members reach its servers under its one address, and nothing comes back in.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { uplinkFiles } from '../support/lab/hosted.ts';
import { HOSTED_CRM, HOSTED_DNS, HOSTED_DOMAIN, HOSTED_US, HOSTED_WIKI } from '../support/lab/hosts.ts';
import { poll, SLOWNESS } from '../support/lab/lab.ts';
import { labFolder } from '../support/lab/place.ts';
import { sharedLab } from '../support/lab/shared.ts';
import { connect, control, echo, keep, LAPTOP, page, restoring, revokeAll } from './clients.ts';

const lab = sharedLab();
const undo = restoring();
const files = uplinkFiles(lab.name);
const text = (file: string) => readFileSync(file, 'utf8');
const crm = `http://${HOSTED_CRM}/address`;
const wiki = `http://${HOSTED_WIKI}/address`;

beforeAll(async () => {
  await control(lab, 'DELETE', '/uplinks/hosted').catch(() => {});
});

/** Imports the hosted network until the test's end. */
async function imported(access: object) {
  const made = await control(lab, 'POST', '/uplinks', { label: 'hosted', file: text(files.file), access });
  undo(() => control(lab, 'DELETE', '/uplinks/hosted'));
  return made;
}

const opens = (host: string, url: string) =>
  poll(async () => (await page(lab, host, url)) === HOSTED_US, { within: 15_000, what: `${host} to open ${url}` });

async function status(host: string, name: string): Promise<string> {
  const asked = await lab.output(host, ['dig', '+tries=1', '+time=8', name]);
  return /status: (\w+)/.exec(asked)?.[1] ?? '';
}

/** Public key → a column of `wg show apn1`. */
async function shown(what: 'endpoints' | 'latest-handshakes' | 'persistent-keepalive'): Promise<Map<string, string>> {
  const lines = await lab.output('hub', ['wg', 'show', 'apn1', what]);
  return new Map(lines.split('\n').map((line) => line.split('\t') as [string, string]));
}

test('an approved LAN device opens hosted servers by address and name; the others do not until they are approved', async () => {
  const made = await imported({ lan: ['tv'] });
  const secrets = [...text(files.file).matchAll(/(?:PrivateKey|PresharedKey) = (\S+)/g)].map(([, key]) => key ?? '');
  expect(secrets.filter((key) => JSON.stringify(made).includes(key))).toEqual([]);
  expect(made.peers.map(({ fqdn }: { fqdn: string }) => fqdn)).toEqual(['crm.hosted.apn', 'wiki.hosted.apn']);
  await opens('tv', crm);
  await opens('tv', wiki);
  expect(await page(lab, 'tv', 'http://crm.hosted.apn/address')).toBe(HOSTED_US);
  expect(await page(lab, 'tv', 'http://wiki.hosted.apn/')).toMatch(/^hosted2\nyou are 10\.77\.0\.2 /);
  expect(await lab.output('tv', ['dig', '+short', '-x', HOSTED_WIKI])).toBe('wiki.hosted.apn.');
  for (const host of ['printer', 'guest']) {
    expect(await page(lab, host, crm)).toBe(null);
    expect(await status(host, 'crm.hosted.apn')).toBe('NXDOMAIN');
  }
  await control(lab, 'PATCH', '/uplinks/hosted', { access: { lan: ['tv', 'printer'] } });
  await opens('printer', crm);
  expect(await page(lab, 'guest', crm)).toBe(null);
  await control(lab, 'PATCH', '/uplinks/hosted', { access: { lan: 'everyone' } });
  await opens('guest', crm);
  expect(await lab.output('guest', ['dig', '+short', 'crm.hosted.apn'])).toBe(HOSTED_CRM);
});

test('a chosen member reaches them through the tunnel, and the hosted side sees one address alone', async () => {
  const made = await imported({ lan: ['tv'] });
  undo(() => revokeAll(lab));
  await connect(lab, 'laptop', LAPTOP);
  // Only the APN's range goes into its tunnel: there the servers have addresses of their own.
  const byName = (host: string) => page(lab, host, 'http://crm.hosted.apn/address');
  const arrived = await lab.capture('hosted', 'wg0', 'ip');
  undo(() => arrived.stop());
  await opens('tv', crm);
  const alias = made.peers[0].alias;
  expect(alias).toMatch(/^172\.16\.3\.\d+$/);
  expect([await byName('laptop'), await page(lab, 'laptop', `http://${alias}/address`)]).toEqual([null, null]);
  await control(lab, 'PATCH', '/uplinks/hosted', { access: { members: ['Anna'] } });
  await poll(async () => (await byName('laptop')) === HOSTED_US, {
    within: 10_000,
    what: 'the laptop to open the page',
  });
  expect(await page(lab, 'laptop', `http://${alias}/address`)).toBe(HOSTED_US);
  // Nobody chose the servers of an application.
  expect([await byName('web'), await page(lab, 'web', `http://${alias}/address`)]).toEqual([null, null]);
  const sources = (await arrived.stop()).map((line) => / IP (\d+\.\d+\.\d+\.\d+)/.exec(line)?.[1]);
  expect(new Set(sources)).toEqual(new Set([HOSTED_US, HOSTED_CRM]));
});

test('names of its domain are asked of its DNS through the tunnel, of nobody else, and for nobody else', async () => {
  await imported({ lan: ['tv'] });
  const asked = await lab.capture('hub', 'wan0', 'port 53');
  undo(() => asked.stop());
  const name = `wiki.${HOSTED_DOMAIN}`;
  await poll(async () => (await lab.output('tv', ['dig', '+short', '+tries=1', '+time=3', name])) === HOSTED_WIKI, {
    ...{ within: 15_000, what: 'the name of the hosted network' },
  });
  expect(await lab.output('tv', ['dig', '+short', '+tcp', name])).toBe(HOSTED_WIKI);
  expect(await page(lab, 'tv', `http://${name}/address`)).toBe(HOSTED_US);
  expect(await status('tv', `nothing.${HOSTED_DOMAIN}`)).toBe('NXDOMAIN');
  expect(await status('printer', name)).toBe('NXDOMAIN');
  expect(asked.count()).toBe(0);
  // Every other name goes where it went before.
  expect(await lab.output('tv', ['dig', '+short', 'example.net'])).toBe('203.0.113.53');
  const log = (host: string) => readFileSync(join(labFolder(lab.name), `log/${host}.unbound.log`), 'utf8');
  expect(log('hosted')).toContain(`${HOSTED_US} ${name}. A IN`);
  expect(log('hosted')).not.toContain(' example.net. A IN');
  expect(log('resolver')).not.toContain(HOSTED_DOMAIN);
});

test('the newer file is applied while a page streams: the stream goes on, and so does the session', async () => {
  const made = await imported({ lan: ['tv'] });
  await opens('tv', crm);
  await opens('tv', wiki);
  const stream = keep(lab, 'tv', `exec curl -s -N http://${HOSTED_CRM}/stream`, undo);
  const lines = () => stream.stdout().split('\n').length;
  const grows = async (what: string) => {
    const before = lines();
    await poll(() => lines() > before + 5, { within: 5000, what });
  };
  await grows('the stream to begin');
  const [before, endpoints] = [await shown('latest-handshakes'), await shown('endpoints')];
  const preview = await control(lab, 'POST', '/uplinks/preview', { file: text(files.newer), uplink: 'hosted' });
  expect(preview.difference).toMatchObject({
    ...{ fields: [], added: [{ label: 'archive' }], removed: [], unchanged: 1 },
    changed: [{ peer: { label: 'wiki' }, fields: ['keepalive'] }],
  });
  const { difference } = await control(lab, 'PUT', '/uplinks/hosted/file', { file: text(files.newer) });
  expect(difference).toEqual(preview.difference);
  await grows('the stream to go on');
  const [after, now] = [await shown('latest-handshakes'), await shown('endpoints')];
  const keepalives = await shown('persistent-keepalive');
  const [crmKey, wikiKey] = made.peers.map(({ publicKey }: { publicKey: string }) => publicKey);
  for (const key of [crmKey, wikiKey]) {
    expect([after.get(key), now.get(key)]).toEqual([before.get(key), endpoints.get(key)]);
  }
  expect(now.size).toBe(3);
  expect(keepalives.get(wikiKey)).toBe('10');
  // The new one has a host name, which is looked up outside of the router.
  const archive = difference.added[0].publicKey;
  await poll(async () => (await shown('endpoints')).get(archive) === '203.0.113.53:51820', {
    ...{ within: 15_000, what: 'the address of a host name' },
  });
  // The same file again changes nothing at all.
  const again = await control(lab, 'PUT', '/uplinks/hosted/file', { file: text(files.newer) });
  expect(again.difference).toMatchObject({ added: [], removed: [], changed: [], unchanged: 3 });
  await lab.restartRouter();
  await grows('the stream to outlive the router');
  expect((await shown('latest-handshakes')).get(crmKey)).toBe(before.get(crmKey));
  await control(lab, 'PATCH', '/uplinks/hosted', { access: { lan: 'nothing' } });
  const count = lines();
  await poll(async () => (await lab.exec('tv', ['sleep', '1'])).status === 0);
  // What was under way may still have come; then it stands still.
  expect(lines() - count).toBeLessThan(5);
  const rest = lines();
  await poll(async () => (await lab.exec('tv', ['sleep', '1'])).status === 0);
  expect(lines()).toBe(rest);
});

test('nothing comes in: not to the hub, not to the LAN, not to a member, not even an answer', async () => {
  await imported({ lan: ['tv'] });
  undo(() => revokeAll(lab));
  await connect(lab, 'laptop', LAPTOP);
  await opens('tv', crm);
  const tv = (await lab.output('tv', ['ip', '-4', '-o', 'addr', 'show', 'eth0'])).match(/inet (\S+)\//)?.[1] ?? '';
  const inside = ['172.16.0.1', '172.16.1.1', '172.16.2.11', '172.16.10.10', '192.168.66.1', tv, '203.0.113.1'];
  const us = await lab.output('hosted', ['wg', 'show', 'wg0', 'peers']);
  // A hosted side that was broken into routes all of us into its tunnel.
  await lab.output('hosted', [
    'wg',
    'set',
    'wg0',
    'peer',
    us,
    'allowed-ips',
    `${HOSTED_US}/32,172.16.0.0/16,192.168.66.0/24`,
  ]);
  for (const range of ['172.16.0.0/16', '192.168.66.0/24']) {
    await lab.output('hosted', ['ip', 'route', 'add', range, 'dev', 'wg0', 'src', HOSTED_CRM]);
    undo(() => lab.exec('hosted', ['ip', 'route', 'del', range]));
  }
  const replies = await lab.capture('hosted', 'wg0', `dst host ${HOSTED_CRM}`);
  const wires = [
    await lab.capture('tv', 'eth0', `src net 10.77.0.0/24`),
    await lab.capture('laptop', 'wg0', 'src net 10.77.0.0/24'),
    await lab.capture('hub', 'br-lan', 'src net 10.77.0.0/24'),
  ];
  for (const capture of [replies, ...wires]) undo(() => capture.stop());
  for (const address of [HOSTED_US, ...inside.filter((one) => one !== '203.0.113.1')]) {
    const knocks = [53, 80, 443, 22].map((port) => `timeout 0.5 bash -c '</dev/tcp/${address}/${port}' 2>/dev/null &`);
    await lab.exec('hosted', ['bash', '-c', `${knocks.join(' ')} ping -c 1 -W 1 ${address}; wait`]);
  }
  expect([replies.count(), ...wires.map((one) => one.count())]).toEqual([0, 0, 0, 0]);
  expect((await lab.exec('hosted', ['dig', '+tries=1', '+time=1', `@${HOSTED_US}`, 'example.net'])).status).not.toBe(0);
  expect(replies.count()).toBe(0);
  // The same wires carry what was allowed.
  await opens('tv', crm);
  expect(replies.count()).toBeGreaterThan(0);
  expect(wires[0]?.count()).toBeGreaterThan(0);
});

test(
  'without its tunnel nothing of it leaves on the WAN, and its names are answered with a failure',
  async () => {
    await imported({ lan: ['tv'] });
    await opens('tv', crm);
    const filter = 'net 10.77.0.0/24 or (src net 192.168.66.0/24) or port 53';
    const leaked = await lab.capture('hub', 'wan0', filter);
    undo(() => leaked.stop());
    undo(() => lab.kill('router', 'SIGCONT'));
    await lab.kill('router', 'SIGSTOP');
    await lab.output('hub', ['ip', 'link', 'del', 'apn1']);
    expect(await page(lab, 'tv', crm)).toBe(null);
    expect(await echo(lab, 'tv', HOSTED_DNS)).toBe(false);
    expect(await echo(lab, 'hub', HOSTED_CRM)).toBe(false);
    expect(await status('tv', `crm.${HOSTED_DOMAIN}`)).toBe('SERVFAIL');
    expect(leaked.count()).toBe(0);
    await lab.kill('router', 'SIGCONT');
    await opens('tv', crm);
    expect(leaked.count()).toBe(0);
  },
  60_000 * SLOWNESS,
);
