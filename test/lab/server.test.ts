// A new server: everybody who may reach it does so by name with no change at any client; a removed one is silent at once.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { poll } from '../support/lab/lab.ts';
import { hostFolder } from '../support/lab/place.ts';
import { sharedLab } from '../support/lab/shared.ts';
import {
  connect,
  constantPing,
  control,
  flowing,
  freshTunnel,
  HUB,
  keep,
  LAPTOP,
  lastTime,
  note,
  page,
  passed,
  restoring,
  revokeAll,
} from './clients.ts';

const lab = sharedLab();
const undo = restoring();
const CACHE = '172.16.10.40';
const SECRET = /^PrivateKey\s*=.*$/m;

beforeEach(async () => {
  undo(() => revokeAll(lab));
  await connect(lab, 'laptop', LAPTOP);
});

test.each([false, true])(
  'a new server is there for everybody by name, and its removal silences it; preshared key: %s',
  async (presharedKey) => {
    const clients = () =>
      Promise.all(
        ['tv', 'laptop'].map((host) =>
          lab.output(host, ['sh', '-c', 'cat /etc/resolv.conf; ip route; wg show wg0 allowed-ips 2>/dev/null || :']),
        ),
      );
    const before = await clients();
    expect(await page(lab, 'tv', 'http://cache.shop.apn/address')).toBeNull();

    const secret = await lab.output('stranger', ['wg', 'genkey']);
    const publicKey = await lab.output('stranger', ['wg', 'pubkey'], { input: secret });
    const options = ['--public-key', publicKey, '--address', CACHE, '--source', '203.0.113.66'];
    const added = await lab.apn(
      'servers',
      'add',
      'shop/cache',
      ...options,
      ...(presharedKey ? [] : ['--no-preshared-key']),
    );
    undo(() => lab.exec('hub', ['apn', 'servers', 'rm', 'cache.shop']));
    expect(added.presharedKey === null).toBe(!presharedKey);
    expect(added.config.includes('PresharedKey')).toBe(presharedKey);
    const file = join(hostFolder(lab.name, 'stranger'), 'wireguard/wg0.conf');
    writeFileSync(
      file,
      added.config.replace(SECRET, () => `PrivateKey = ${secret}`),
      { mode: 0o600 },
    );
    keep(
      lab,
      'stranger',
      'exec socat TCP-LISTEN:80,fork,reuseaddr,bind=172.16.10.40,ip-freebind EXEC:"lab-http cache"',
      undo,
    );
    await lab.wireguardUp('stranger');
    undo(() => lab.wireguardDown('stranger'));

    const seen = (host: string, url: string, text: string) =>
      poll(async () => (await page(lab, host, url)) === text, { within: 15_000, what: `${host} to open ${url}` });
    await seen('tv', 'http://cache.shop.apn/', 'cache\nyou are 172.16.2.11 (tv.lan.apn)');
    await seen('tv', 'http://cache.apn/address', '172.16.2.11');
    await seen('laptop', 'http://cache.shop.apn/', 'cache\nyou are 172.16.1.1 (laptop.anna.team.apn)');
    await seen('db', 'http://cache.apn/address', '172.16.10.11');
    expect(await page(lab, 'ledger', `http://${CACHE}/address`)).toBeNull();
    expect(await clients()).toEqual(before);

    const outer = await lab.capture('stranger', 'eth0', `ip src host ${HUB}`);
    const inner = await lab.capture('web', 'wg0', `src host ${CACHE}`);
    undo(() => Promise.all([outer.stop(), inner.stop()]));
    constantPing(lab, 'tv', CACHE, undo);
    constantPing(lab, 'hub', CACHE, undo);
    constantPing(lab, 'stranger', '172.16.10.10', undo);
    await flowing(outer, 'packets at the new server');
    await flowing(inner, 'packets of the new server');
    const removed = Date.now();
    await control(lab, 'DELETE', '/servers/cache.shop');
    await passed(removed + 2200);
    for (const [where, wire] of Object.entries({ 'at itself': outer, 'at its neighbour': inner })) {
      note(`removed server: last packet ${where} ${Math.round(lastTime(wire) - removed)} ms after its removal`);
      expect(lastTime(wire), where).toBeLessThanOrEqual(removed + 2000);
      expect(lastTime(wire), where).toBeGreaterThan(removed - 1000);
    }

    // Neither a new try nor a new router lets it in, with its source open or not.
    if (presharedKey) await lab.restartRouter();
    await control(lab, 'POST', '/rules', { source: '203.0.113.66/32' });
    undo(() => lab.exec('hub', ['apn', 'rule', 'rm', '203.0.113.66']));
    const asked = await lab.capture('hub', 'wan0', 'src host 203.0.113.66 and udp dst port 51820');
    undo(() => asked.stop());
    const silent = outer.count();
    await freshTunnel(lab, 'stranger');
    await poll(() => asked.count() > 0, { within: 10_000, what: 'a handshake of the removed server' });
    expect(await page(lab, 'tv', `http://${CACHE}/address`, 1)).toBeNull();
    expect(outer.count()).toBe(silent);
    expect((await lab.exec('tv', ['dig', '+short', 'cache.shop.apn'])).stdout).toBe('');
  },
);
