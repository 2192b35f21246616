// Machines that join by themselves: the script and the cloud-init snippet run for real, links are used, keys change.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { poll, SLOWNESS } from '../../support/lab/lab.ts';
import { hostFolder, labFolder } from '../../support/lab/place.ts';
import { sharedLab } from '../../support/lab/shared.ts';
import {
  connect,
  constantPing,
  control,
  echo,
  flowing,
  freshTunnel,
  HUB,
  keep,
  LAPTOP,
  lastTime,
  note,
  page,
  passed,
  reaches,
  restoring,
  revokeAll,
} from '../clients.ts';

const lab = sharedLab();
const undo = restoring();
const PUBLIC = '203.0.113.66';
const PUBLIC6 = '2001:db8:113::66';

const shell = (host: string, script: string, input?: string) =>
  lab.exec(host, ['sh', '-c', script], input === undefined ? {} : { input });
const file = (host: string, path: string) => readFileSync(lab.path(host, path), 'utf8');

/** Every byte the hub has written down, and every log of the lab. */
function written(): string {
  const folders = [hostFolder(lab.name, 'hub'), join(labFolder(lab.name), 'log')];
  const files = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1')),
  );
  return files.join('\n');
}

/** Makes `stranger` a machine where the scripts may install what they bring, and leaves nothing of it. */
async function freshMachine(): Promise<void> {
  await lab.output('stranger', ['mount', '-t', 'tmpfs', 'none', '/usr/local/sbin']);
  undo(async () => {
    if ((await lab.exec('stranger', ['ip', 'link', 'show', 'dev', 'apn'])).status === 0) {
      await lab.output('stranger', ['wg-quick', 'down', 'apn']);
      await poll(() => lab.pid('wireguard-go', 'stranger') === undefined, { every: 20, what: 'wireguard-go to end' });
    }
    await lab.exec('stranger', ['nft', 'delete', 'table', 'inet', 'apn_server']);
    await shell('stranger', 'rm -rf /etc/wireguard/apn* /run/apn-* /run/answer');
    await lab.output('stranger', ['umount', '/usr/local/sbin']);
  });
}

async function place(text: string): Promise<void> {
  const { status } = await shell('stranger', 'cat >/run/apn-join', text);
  expect(status).toBe(0);
}

const serve = (...services: readonly string[]) =>
  keep(lab, 'stranger', `${services.map((one) => `socat ${one} &`).join(' ')} wait`, undo);

/** Something behind `stranger` that it publishes on a port of its own, as containers are. */
async function container(): Promise<void> {
  const inner = keep(lab, 'stranger', 'exec unshare -n sleep infinity', undo);
  const enter = ['nsenter', '-t', String(inner.pid), '-n', '--'];
  const apart = async () => !(await lab.output('stranger', [...enter, 'ip', '-o', 'link'])).includes('eth0');
  await poll(apart, { what: 'a namespace of its own' });
  const steps = [
    `ip link add c0 type veth peer name c1 netns ${inner.pid}`,
    'ip address add 10.9.0.1/24 dev c0; ip link set c0 up; echo 1 >/proc/sys/net/ipv4/ip_forward',
    `${enter.join(' ')} sh -c 'ip address add 10.9.0.2/24 dev c1; ip link set c1 up; ip route add default via 10.9.0.1'`,
    "nft add table ip published; nft 'add chain ip published in { type nat hook prerouting priority -100; }'",
    'nft add rule ip published in iifname eth0 tcp dport 8080 dnat to 10.9.0.2:80',
  ];
  undo(() => shell('stranger', 'nft delete table ip published; echo 0 >/proc/sys/net/ipv4/ip_forward; ip link del c0'));
  for (const step of steps) await lab.output('stranger', ['sh', '-c', `set -e; ${step}`]);
  keep(lab, 'stranger', `exec ${enter.join(' ')} socat TCP-LISTEN:80,fork,reuseaddr EXEC:'lab-http inner'`, undo);
}

test('the script makes a server of a machine, with the commands it prints and the answer of the hub', async () => {
  await freshMachine();
  const { text, address } = await lab.apn('join', 'shop/cache', '--firewall');
  await place(text);
  await lab.output('stranger', ['mkfifo', '/run/answer']);
  // Not `keep`: wireguard-go, which it starts, is to outlive it.
  const script = lab.spawn('stranger', ['sh', '-c', 'exec sh /run/apn-join <>/run/answer']);
  undo(() => script.stop('SIGKILL'));
  const asked = await poll(() => /apn (servers add .*)/.exec(script.stdout())?.[1], {
    within: 10_000,
    what: `the script to ask ${script.stderr()}`,
  });
  const words = asked.trim().split(' ');
  expect(words).toEqual(expect.arrayContaining(['servers', 'add', 'shop/cache', '--public-key', '--source', PUBLIC]));
  expect(await page(lab, 'tv', 'http://cache.shop.apn/address')).toBeNull();
  undo(() => lab.exec('hub', ['apn', 'servers', 'rm', 'cache.shop']));
  const said = await lab.output('hub', ['apn', ...words]);
  const answer = said.split('\n').at(-1) ?? '';
  expect(answer).toMatch(new RegExp(`^${address.replaceAll('.', '\\.')} [A-Za-z0-9+/]{43}=$`));
  await shell('stranger', 'cat >/run/answer', `${answer}\n`);
  expect(await script.ended, script.stdout() + script.stderr()).toBe(0);
  expect(script.stdout()).toContain(`Connected: this is cache.shop.apn, ${address}.`);

  serve(`TCP-LISTEN:80,fork,reuseaddr EXEC:'lab-http cache'`);
  const shown = 'cache\nyou are 172.16.2.11 (tv.lan.apn)';
  await poll(async () => (await page(lab, 'tv', 'http://cache.shop.apn/')) === shown, { what: 'tv to see the server' });

  // The key was made there, and is nowhere else.
  const key = file('stranger', '/etc/wireguard/apn.key').trim();
  const conf = file('stranger', '/etc/wireguard/apn.conf');
  expect(conf).toContain(`PrivateKey = ${key}\n`);
  expect(conf).toContain(`PresharedKey = ${answer.split(' ')[1]}\n`);
  expect((await shell('stranger', 'stat -c %a /etc/wireguard/apn.conf /etc/wireguard/apn.key')).stdout).toBe(
    '600\n600\n',
  );
  const everything = written();
  expect(everything).not.toContain(key);
  expect(everything).not.toContain(Buffer.from(key, 'base64').toString('latin1'));
  expect(everything).not.toContain(answer.split(' ')[1]);
  expect(everything).toContain('cache');
});

// It waits for what takes seconds on a server.
const long = { timeout: 120_000 * Math.min(SLOWNESS, 3) };

test(
  'its firewall closes the public ports after SSH through the APN, opens them again, and stays when confirmed',
  long,
  async () => {
    await freshMachine();
    const { text, address } = await lab.apn('join', 'shop/cache', '--firewall');
    await place(text);
    await lab.output('stranger', ['sh', '/run/apn-join', '--unattended']);
    const key = await lab.output('stranger', ['wg', 'show', 'apn', 'public-key']);
    undo(() => lab.exec('hub', ['apn', 'servers', 'rm', 'cache.shop']));
    await lab.apn('servers', 'add', 'shop/cache', '--no-preshared-key', '--public-key', key, '--source', PUBLIC);
    await reaches(lab, 'tv', address);
    serve(
      "TCP-LISTEN:80,fork,reuseaddr EXEC:'lab-http cache'",
      'TCP-LISTEN:22,fork,reuseaddr EXEC:lab-ssh',
      'TCP-LISTEN:5432,fork,reuseaddr PIPE',
      'UDP-LISTEN:7,fork,reuseaddr PIPE',
      "TCP6-LISTEN:80,fork,reuseaddr,ipv6only=1 EXEC:'lab-http cache'",
    );
    await container();
    const open = async () => (await page(lab, 'ledger', `http://${PUBLIC}/address`, 1)) === '203.0.113.20';
    const udp = async () =>
      (await shell('ledger', `echo hello | timeout 1 socat -T 0.5 - UDP:${PUBLIC}:7`)).stdout === 'hello\n';
    const open6 = async () => (await page(lab, 'ledger', `http://[${PUBLIC6}]/address`, 1)) !== null;
    const passedOn = async () => (await page(lab, 'ledger', `http://${PUBLIC}:8080/address`, 1)) === '203.0.113.20';
    const ports = () => Promise.all([open(), open6(), udp(), passedOn()]);
    const [allOpen, allShut] = [true, false].map((each) => [each, each, each, each]);
    const inside = async () => (await page(lab, 'tv', 'http://cache.shop.apn/address')) === '172.16.2.11';
    const firewall = (...words: readonly string[]) => lab.exec('stranger', ['apn-firewall', ...words]);
    await poll(async () => (await ports()).every(Boolean) && (await inside()), { what: 'all ports to be open' });

    // Nobody has logged in through the APN yet.
    const early = await firewall('close');
    expect([early.status, early.stderr]).toEqual([1, expect.stringContaining(`ssh ${address}`)]);
    expect(await open()).toBe(true);
    const outside = keep(lab, 'ledger', `sleep infinity | socat - TCP:${PUBLIC}:22`, undo);
    await poll(() => outside.stdout().includes('SSH-2.0'), { what: 'SSH from outside' });
    expect((await firewall('close')).status).toBe(1);
    const session = keep(lab, 'tv', `sleep infinity | socat - TCP:${address}:22`, undo);
    await poll(() => session.stdout().includes('SSH-2.0'), { what: 'SSH through the APN' });

    // Connections from before go on, whoever speaks first.
    const stream = keep(lab, 'ledger', `exec curl -sN http://${PUBLIC}/stream`, undo);
    await poll(() => stream.stdout().length > 0, { what: 'a stream' });
    await lab.output('ledger', ['mkfifo', '/run/talk']);
    undo(() => shell('ledger', 'rm -f /run/talk'));
    const talk = keep(lab, 'ledger', `exec socat - TCP:${PUBLIC}:5432 <>/run/talk`, undo);
    const says = async (word: string) => {
      await shell('ledger', 'cat >/run/talk', `${word}\n`);
      await poll(() => talk.stdout().includes(word), { what: `the echo of ${word}` });
    };
    await says('before');

    const seconds = 5 * SLOWNESS;
    const closed = Date.now();
    const { status, stdout, stderr } = await firewall('close', '--for', String(seconds));
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('apn-firewall confirm');
    const streamed = stream.stdout().length;
    expect(await ports()).toEqual(allShut);
    expect(await inside()).toBe(true);
    await says('after');
    await poll(() => stream.stdout().length > streamed, { what: 'the stream to go on' });
    expect((await firewall('status')).stdout).toMatch(/^closed, \d/);
    expect(Date.now() - closed).toBeLessThan(seconds * 1000);
    await poll(open, { within: seconds * 1000 + 5000, what: 'the ports to open again' });
    expect(Date.now() - closed).toBeGreaterThanOrEqual(seconds * 1000 - 100);
    expect(await ports()).toEqual(allOpen);
    expect((await firewall('confirm')).status).toBe(1);
    expect((await firewall('status')).stdout).toBe('open\n');

    const short = 2 * SLOWNESS;
    expect((await firewall('close', '--for', String(short))).status).toBe(0);
    const again = Date.now();
    expect((await firewall('confirm')).status).toBe(0);
    expect((await firewall('status')).stdout).toBe('closed, for good\n');
    await passed(again + short * 1000 + 1000);
    expect(await ports()).toEqual(allShut);
    // Only ports are closed: what tells a host of its way goes on.
    expect(await Promise.all([inside(), echo(lab, 'ledger', PUBLIC), echo(lab, 'ledger', PUBLIC6)])).toEqual([
      true,
      true,
      true,
    ]);
    // The tunnel comes up again behind it, and from another port.
    await lab.output('stranger', ['wg-quick', 'down', 'apn']);
    await poll(() => lab.pid('wireguard-go', 'stranger') === undefined, { every: 20, what: 'wireguard-go to end' });
    await lab.output('stranger', ['wg-quick', 'up', 'apn']);
    await poll(inside, { within: 15_000, what: 'the way in to work' });
    // What stands in the file is what holds after a restart.
    await lab.output('stranger', ['nft', 'delete', 'table', 'inet', 'apn_server']);
    expect(await open()).toBe(true);
    await lab.output('stranger', ['nft', '-f', '/etc/wireguard/apn-firewall.nft']);
    expect(await Promise.all([open(), inside()])).toEqual([false, true]);
    expect((await firewall('open')).stdout).toBe('The public ports are open.\n');
    expect(await ports()).toEqual(allOpen);

    // A session says by itself that it came through the APN; an interface that is kept stays open.
    process.kill(-session.pid, 'SIGKILL');
    const env = { SSH_CONNECTION: `172.16.2.11 50000 ${address} 22` };
    const kept = ['apn-firewall', 'close', '--for', String(seconds), '--keep', 'eth0'];
    expect((await lab.exec('stranger', kept, { env })).status).toBe(0);
    expect(await Promise.all([open(), open6(), udp()])).toEqual([true, true, true]);
    expect((await firewall('open')).status).toBe(0);
    for (const bad of [['--for', '0'], ['--for', '-1'], ['--keep', 'a"b'], ['--for'], ['--colour', 'red']]) {
      const { status, stderr } = await firewall('close', ...bad);
      expect([bad, status, stderr]).toEqual([bad, 1, expect.stringMatching(/^apn-firewall: /)]);
    }
  },
);

test('a machine that cloud-init set up knocks, and one click makes it the server it is meant to be', async () => {
  await freshMachine();
  const { text, address } = await lab.apn('join', 'shop/cache', '--as', 'cloud-init', '--keepalive', '5');
  const script = text.split('    content: |\n')[1]?.split(/^runcmd:/m)[0] ?? '';
  await place(script.replace(/^ {6}/gm, ''));
  const said = await lab.output('stranger', ['sh', '/run/apn-join', '--unattended']);
  const fingerprint = /Its fingerprint: (\S+)/.exec(said)?.[1];
  await shell('stranger', 'ping -c 1 -W 1 172.16.0.1');
  interface Refused {
    readonly id: string;
    readonly kind: string;
    readonly source: string;
  }
  const found = await poll(
    async () => ((await control(lab, 'GET', '/knocks')) as Refused[]).find(({ id }) => id === fingerprint),
    { within: 10_000, what: `the knock of ${fingerprint}` },
  );
  expect(found).toMatchObject({ kind: 'unknown', source: PUBLIC });
  undo(() => lab.exec('hub', ['apn', 'servers', 'rm', 'cache.shop']));
  const body = { as: 'server', application: 'shop', label: 'cache' };
  const enrolled = await control(lab, 'POST', `/knocks/${fingerprint}/enrol`, body);
  expect(enrolled).toMatchObject({ address, hasPresharedKey: false });
  await reaches(lab, 'tv', address);
});

const json = ['-H', 'content-type: application/json', '-H', 'x-apn: 1', '-H', 'origin: https://hub.apn'];
const curl = ['curl', '-sk', '--max-time', String(10 * SLOWNESS), '-w', '\n%{http_code}'];

test('a link is used once, on the LAN alone, by whoever makes the key', async () => {
  undo(() => lab.exec('hub', ['apn', 'devices', 'rm', 'anna/tablet']));
  const made = await lab.apn('handover', 'add', 'anna/tablet', '--for', '10m');
  const secret = made.path.split('#')[1];
  // A previewer looks at it in every way it knows.
  for (const options of [[], ['-I'], ['-H', 'accept: text/html']]) {
    await lab.exec('desk', [...curl, ...options, `https://hub.apn/get/${made.id}`]);
    const api = await lab.exec('desk', [...curl, ...options, `https://hub.apn/api/handovers/${made.id}`]);
    expect(api.stdout).toMatch(/200$/);
  }
  const secretKey = await lab.output('desk', ['wg', 'genkey']);
  const publicKey = await lab.output('desk', ['wg', 'pubkey'], { input: secretKey });
  const body = JSON.stringify({ secret, publicKey });
  const take = (host: string, url = 'https://hub.apn/api/handovers/take') =>
    lab.exec(host, [...curl, ...json, '--data-binary', '@-', url], { input: body });
  expect((await take('stranger', `https://${HUB}/api/handovers/take`)).stdout).toMatch(/000$/);
  const forged = ['-H', 'content-type: application/json', '-H', 'origin: https://example.net'];
  const crossed = await lab.exec(
    'desk',
    [...curl, ...forged, '--data-binary', '@-', 'https://hub.apn/api/handovers/take'],
    { input: body },
  );
  expect(crossed.stdout).toMatch(/40[0-9]$/);

  // Fifty at once, in ten programs.
  await lab.output('desk', ['mkdir', '/run/taken']);
  undo(() => lab.exec('desk', ['rm', '-r', '/run/taken']));
  const many = Array.from({ length: 10 }, (_, program) => [
    ...[...curl, '-Z', ...json, '--data-binary', body],
    ...Array.from({ length: 5 }, (__, n) => ['-o', `/run/taken/${program}.${n}`, 'https://hub.apn/api/handovers/take']),
  ]);
  const answers = await Promise.all(many.map((argv) => lab.exec('desk', argv.flat())));
  const codes = answers.flatMap(({ stdout }) => stdout.match(/\d{3}/g) ?? []);
  expect(codes).toHaveLength(50);
  expect(codes.filter((code) => code === '201')).toHaveLength(1);
  const answer = JSON.parse((await shell('desk', 'grep -h publicKey /run/taken/*')).stdout);
  expect(answer).toMatchObject({ name: 'tablet.anna.team', publicKey, address: made.address });
  expect((await take('desk')).stdout).toMatch(/404$/);

  // A member at home: the file works on the machine that made the key.
  const config = answer.config.replace(/^DNS.*\n/m, '').replace(/^PrivateKey.*$/m, () => `PrivateKey = ${secretKey}`);
  writeFileSync(join(hostFolder(lab.name, 'desk'), 'wireguard/wg0.conf'), config, { mode: 0o600 });
  await lab.wireguardUp('desk');
  undo(() => lab.wireguardDown('desk'));
  const shown = `web\nyou are ${made.address} (tablet.anna.team.apn)`;
  await poll(async () => (await page(lab, 'desk', 'http://172.16.10.10/')) === shown, { what: 'the new device' });
  expect(written()).not.toContain(secretKey);
  expect(written()).not.toContain(secret);
});

test('a new key silences the old one at once, and works', async () => {
  undo(() => revokeAll(lab));
  await connect(lab, 'laptop', LAPTOP);
  const path = join(hostFolder(lab.name, 'laptop'), 'wireguard/wg0.conf');
  const before = readFileSync(path, 'utf8');
  const oldSecret = /^PrivateKey = (.*)$/m.exec(before)?.[1] ?? '';
  const oldKey = await lab.output('laptop', ['wg', 'pubkey'], { input: oldSecret });
  const use = async (secret: string, config: string) => {
    writeFileSync(
      path,
      config.replace(/^PrivateKey.*$/m, () => `PrivateKey = ${secret}`),
      { mode: 0o600 },
    );
    await freshTunnel(lab, 'laptop');
  };
  undo(async () => {
    const back = await control(lab, 'POST', '/devices/laptop/rotate', { publicKey: oldKey }).catch(() => null);
    if (back !== null) await use(oldSecret, back.config);
  });

  const answers = await lab.capture('laptop', 'eth0', `ip src host ${HUB}`);
  const inner = await lab.capture('web', 'wg0', 'src host 172.16.1.1');
  const asked = await lab.capture('hub', 'wan0', `src host ${LAPTOP} and udp dst port 51820`);
  undo(() => Promise.all([answers.stop(), inner.stop(), asked.stop()]));
  const ping = constantPing(lab, 'laptop', '172.16.10.10', undo);
  await flowing(inner, 'pings at the server');
  const secret = await lab.output('laptop', ['wg', 'genkey']);
  const publicKey = await lab.output('laptop', ['wg', 'pubkey'], { input: secret });
  const rotated = Date.now();
  const made = await control(lab, 'POST', '/devices/laptop/rotate', { publicKey });
  await passed(rotated + 2200);
  for (const [where, wire] of Object.entries({ 'at the server': inner, 'at itself': answers })) {
    note(`rotated key: last packet ${where} ${Math.round(lastTime(wire) - rotated)} ms after the rotation`);
    expect(lastTime(wire), where).toBeLessThanOrEqual(rotated + 2000);
    expect(lastTime(wire), where).toBeGreaterThan(rotated - 1000);
  }
  // A new try of the old key is not answered either, though its address is still leased.
  const silent = answers.count();
  await freshTunnel(lab, 'laptop');
  const heard = asked.count();
  await poll(() => asked.count() > heard, { within: 10_000, what: 'another try of the old key' });
  expect(await echo(lab, 'laptop', '172.16.0.1')).toBe(false);
  expect(answers.count()).toBe(silent);
  await ping.stop('SIGKILL');

  expect(made.presharedKey).not.toBeNull();
  await use(secret, made.config);
  await reaches(lab, 'laptop', '172.16.10.10');
  expect(
    (await control(lab, 'GET', '/devices')).find(({ label }: { label: string }) => label === 'laptop').publicKey,
  ).toBe(publicKey);
  expect(written()).not.toContain(secret);
});
