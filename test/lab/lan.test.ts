// Televisions and guests: devices with no VPN client reach what they were given, under an APN address of their own.
import { expect, test } from 'vitest';
import { poll, SLOWNESS } from '../support/lab/lab.ts';
import { sharedLab } from '../support/lab/shared.ts';
import { control, page, restoring } from './clients.ts';

const lab = sharedLab();
const undo = restoring();
const GUEST = '02:66:00:00:00:14';

test('the television opens pages by full and short name; the server sees the television itself and knows its name', async () => {
  const seen = 'web\nyou are 172.16.2.11 (tv.lan.apn)';
  expect(await page(lab, 'tv', 'http://web.shop.apn/')).toBe(seen);
  expect(await page(lab, 'tv', 'http://web.apn/')).toBe(seen);
  expect(await page(lab, 'printer', 'http://web.apn/address')).toBe('172.16.2.12');
  expect(await page(lab, 'tv', 'http://ledger.books.apn/address')).toBe('172.16.2.11');
});

test('the television reads an SSH banner and gets its words back from the database', async () => {
  const ssh = 'exec 3<>/dev/tcp/web.shop.apn/22; read -t 5 -r line <&3; echo "$line"';
  expect(await lab.output('tv', ['bash', '-c', ssh])).toMatch(/^SSH-2\.0-/);
  const tcp = 'exec 3<>/dev/tcp/db.shop.apn/5432; echo words >&3; read -t 5 -r line <&3; echo "$line"';
  expect(await lab.output('tv', ['bash', '-c', tcp])).toBe('words');
});

test('DHCP names the hub as router and resolver and the search domain, and no classless routes, even when asked', async () => {
  const capture = await lab.capture('printer', 'eth0', 'udp src port 67', { args: ['-vvv', '-s', '0'] });
  undo(() => capture.stop());
  const ask = ['udhcpc', '-f', '-q', '-n', '-i', 'eth0', '-s', '/bin/true'];
  await lab.output('printer', [...ask, ...['3', '6', '15', '119', '121', '249'].flatMap((option) => ['-O', option])]);
  const answers = await poll(
    () => {
      const text = capture.lines().join('\n');
      return /DHCP-Message.*ACK/.test(text) && /Domain-Name \(15\)/.test(text) && text;
    },
    { what: 'a DHCP acknowledgement on the wire' },
  );
  await capture.stop();
  expect(answers).toMatch(/\(3\), length 4: 192\.168\.66\.1/);
  expect(answers).toMatch(/\(6\), length 4: 192\.168\.66\.1/);
  expect(answers).toMatch(/\(15\), length 3: "apn"/);
  expect(answers).toMatch(/\(119\), length 5: /);
  expect(answers).not.toMatch(/\((121|249|33)\), length/);
});

test('an unknown device has the Internet and nothing of the APN, until it is given access, and only for so long', async () => {
  const WEB = 'http://172.16.10.10/address';
  const LEDGER = 'http://172.16.11.20/address';
  const both = () => Promise.all([page(lab, 'guest', WEB), page(lab, 'guest', LEDGER)]);
  expect(await page(lab, 'guest', 'http://example.net/address')).toBe('203.0.113.1');
  expect(await page(lab, 'guest', 'http://web.shop.apn/')).toBeNull();
  expect(await both()).toEqual([null, null]);

  const added = await lab.apn('lan', 'add', 'guest', '--mac', GUEST, '--access', 'everything');
  undo(() => lab.exec('hub', ['apn', 'lan', 'rm', 'guest']));
  expect(added.identity).toMatch(/^172\.16\.2\.\d+$/);
  expect(await both()).toEqual([added.identity, added.identity]);
  await poll(
    async () => (await page(lab, 'guest', 'http://web.shop.apn/')) === `web\nyou are ${added.identity} (guest.lan.apn)`,
    {
      what: 'the names of the APN',
    },
  );

  await lab.apn('lan', 'edit', 'guest', '--access', 'shop');
  expect(await both()).toEqual([added.identity, null]);
  await lab.apn('lan', 'edit', 'guest', '--access', 'nothing');
  expect(await both()).toEqual([null, null]);
  await lab.apn('lan', 'edit', 'guest', '--access', 'books');
  expect(await both()).toEqual([null, added.identity]);
  await lab.apn('lan', 'rm', 'guest');
  expect(await both()).toEqual([null, null]);
  expect(await page(lab, 'guest', 'http://example.net/address')).toBe('203.0.113.1');
});

test('what the LAN may do by default goes for unknown devices, under the address of the hub', async () => {
  expect(await page(lab, 'guest', 'http://172.16.10.10/address')).toBeNull();
  await control(lab, 'PATCH', '/lan', { defaultAccess: ['shop'] });
  undo(() => control(lab, 'PATCH', '/lan', { defaultAccess: 'nothing' }));
  expect(await page(lab, 'guest', 'http://172.16.10.10/address')).toBe('172.16.0.1');
  expect(await page(lab, 'guest', 'http://172.16.11.20/address')).toBeNull();
  await control(lab, 'PATCH', '/lan', { defaultAccess: 'nothing' });
  expect(await page(lab, 'guest', 'http://172.16.10.10/address')).toBeNull();
});

test('a device that was refused is told so at once and does not wait', async () => {
  const { stdout } = await lab.exec('guest', [
    ...['curl', '-s', '-o', '/dev/null', '-w', '%{errormsg} %{time_total}'],
    ...['--max-time', String(3 * SLOWNESS), 'http://172.16.10.10/'],
  ]);
  expect(stdout).toMatch(/Couldn't connect|refused|Failed to connect/i);
  expect(Number(stdout.trim().split(' ').at(-1))).toBeLessThan(1 * SLOWNESS);
});
