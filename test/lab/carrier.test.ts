// Behind a carrier's NAT: the phone is leased by the carrier's address, and who shares that address gets nothing by it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Lab, poll } from '../support/lab/lab.ts';
import { hostFolder } from '../support/lab/place.ts';
import { sharedLab } from '../support/lab/shared.ts';
import { CARRIER, connect, control, freshTunnel, HUB, page, reaches, restoring, revokeAll } from './clients.ts';

const lab = sharedLab();
const undo = restoring();
const FROM_HUB = `ip src host ${HUB}`;
const toHub = (host: string) => lab.capture(host, 'eth0', `udp dst port 51820 and dst host ${HUB}`);

test('the phone works with a lease for the address of its carrier, and is refused without', async () => {
  const answers = await lab.capture('phone', 'eth0', FROM_HUB);
  const asked = await toHub('phone');
  undo(() => Promise.all([answers.stop(), asked.stop()]));
  await freshTunnel(lab, 'phone');
  await poll(() => asked.count() >= 1, { what: 'a handshake of the phone' });
  await freshTunnel(lab, 'phone');
  await poll(() => asked.count() >= 2, { within: 15_000, what: 'two handshakes of the phone' });
  expect(answers.count()).toBe(0);

  undo(() => revokeAll(lab));
  await connect(lab, 'phone', CARRIER);
  expect(await page(lab, 'phone', 'http://web.shop.apn/')).toBe('web\nyou are 172.16.1.2 (phone.anna.team.apn)');
  const devices = (await control(lab, 'GET', '/devices')) as { label: string; endpoint: string }[];
  expect(devices.find(({ label }) => label === 'phone')?.endpoint).toMatch(/^203\.0\.113\.70:/);
});

interface Tunnel {
  readonly publicKey: string;
  readonly up: () => Promise<void>;
}

/** A stock client with a key of this run, as anybody who knows the hub's public key could set it up. */
async function tunnel(lab: Lab, host: string, address: string): Promise<Tunnel> {
  const secret = await lab.output(host, ['wg', 'genkey']);
  const publicKey = await lab.output(host, ['wg', 'pubkey'], { input: secret });
  const { hubPublicKey } = await control(lab, 'GET', '/status');
  const lines = [
    ...['[Interface]', `PrivateKey = ${secret}`, `Address = ${address}/32`],
    ...['[Peer]', `PublicKey = ${hubPublicKey}`, 'AllowedIPs = 172.16.0.0/16'],
    ...[`Endpoint = ${HUB}:51820`, 'PersistentKeepalive = 5'],
  ];
  const file = join(hostFolder(lab.name, host), 'wireguard/wg0.conf');
  return {
    publicKey,
    up: () => {
      writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 });
      return lab.wireguardUp(host);
    },
  };
}

test('a neighbour with the same leased address and no key, or one nobody knows, gets no answer', async () => {
  undo(() => revokeAll(lab));
  await connect(lab, 'phone', CARRIER);
  const answers = await lab.capture('neighbour', 'eth0', FROM_HUB);
  const arrived = await lab.capture('hub', 'wan0', `udp dst port 51820 and src host ${CARRIER} and udp[4:2] == 156`);
  undo(() => Promise.all([answers.stop(), arrived.stop()]));

  const junk =
    'for size in 1 4 12 32 92 148 300; do head -c $size /dev/urandom >/dev/udp/203.0.113.1/51820; done; ' +
    "(printf '\\1\\0\\0\\0'; head -c 144 /dev/urandom) | cat >/dev/udp/203.0.113.1/51820";
  await lab.output('neighbour', ['bash', '-c', junk]);

  const stranger = await tunnel(lab, 'neighbour', '172.16.1.77');
  undo(() => lab.wireguardDown('neighbour'));
  const before = arrived.count();
  await stranger.up();
  await poll(() => arrived.count() > before, { what: 'a handshake to arrive at the hub' });
  await freshTunnel(lab, 'neighbour');
  await poll(() => arrived.count() >= before + 2, { within: 20_000, what: 'two handshakes to arrive at the hub' });
  expect(answers.count()).toBe(0);
  // The phone goes on meanwhile, so the address is open.
  expect(await page(lab, 'phone', 'http://web.shop.apn/address')).toBe('172.16.1.2');

  // The same client, once its key is enrolled and nothing else has changed.
  await control(lab, 'POST', '/devices', {
    member: 'Anna',
    label: 'spare',
    publicKey: stranger.publicKey,
    address: '172.16.1.77',
    presharedKey: false,
  });
  undo(() => control(lab, 'DELETE', '/devices/spare'));
  await freshTunnel(lab, 'neighbour');
  await reaches(lab, 'neighbour', '172.16.0.1');
  expect(answers.count()).toBeGreaterThan(0);
});
