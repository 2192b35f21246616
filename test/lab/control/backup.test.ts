// A backup on a blank card: the same hub, to which the same servers and devices connect with the files they have.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { ApnError, poll } from '../../support/lab/lab.ts';
import { sharedLab } from '../../support/lab/shared.ts';
import { connect, control, freshTunnel, LAPTOP, page, revokeAll } from '../clients.ts';

const lab = sharedLab();
const passphrase = 'a passphrase that is long';
const file = '/run/hub.apnbackup';
const onDisk = lab.path('hub', file);

afterEach(async () => {
  rmSync(onDisk, { force: true });
  await revokeAll(lab);
});

async function apn(...words: string[]): Promise<Record<string, unknown>> {
  const argv = ['apn', '--json', ...words, '--passphrase-stdin'];
  const result = await lab.exec('hub', argv, { input: `${passphrase}\n`, timeout: 60_000 });
  if (result.status !== 0) throw new ApnError(words, result);
  return JSON.parse(result.stdout) as Record<string, unknown>;
}

/** As when the cable of the old box is pulled out and put into the new one. */
async function plugIn(host: string): Promise<void> {
  await lab.output(host, ['sh', '-c', 'kill -USR1 $(pidof udhcpc)']);
}

test('on a blank card the same servers and devices connect with unchanged files', async () => {
  const before = await control(lab, 'GET', '/network');
  const made = await apn('backup', file);
  const bytes = readFileSync(onDisk);
  expect(made).toEqual({ file, bytes: bytes.length, omitted: [] });
  expect(bytes.includes('laptop')).toBe(false);
  const files = await Promise.all(
    ['web', 'db', 'ledger', 'laptop'].map((host) => lab.output(host, ['cat', '/etc/wireguard/wg0.conf'])),
  );
  // It is not written over: it may be the only one.
  await expect(apn('backup', file)).rejects.toMatchObject({ status: 2, path: 'FILE' });

  await lab.rebootHub({ blank: true });
  // Whatever becomes of this test, the next one finds the hub it knows.
  try {
    const blank = await control(lab, 'GET', '/status');
    expect(blank).toMatchObject({ state: 'unclaimed', counts: { servers: 0, devices: 0 } });
    expect((await control(lab, 'GET', '/network')).hubPublicKey).not.toBe(before.hubPublicKey);
    expect(await page(lab, 'tv', 'http://172.16.10.10/', 1)).toBeNull();

    writeFileSync(onDisk, bytes);
    const wrong = Buffer.from(bytes);
    wrong[bytes.length - 40] = (wrong[bytes.length - 40] ?? 0) ^ 1;
    writeFileSync(`${onDisk}.wrong`, wrong);
    await expect(apn('restore', `${file}.wrong`)).rejects.toMatchObject({ status: 2, path: 'passphrase' });
    expect((await control(lab, 'GET', '/status')).state).toBe('unclaimed');
  } finally {
    rmSync(`${onDisk}.wrong`, { force: true });
    writeFileSync(onDisk, bytes);
    expect(await apn('restore', file)).toMatchObject({ ownPorts: false, applied: true });
  }

  expect(await control(lab, 'GET', '/network')).toEqual(before);
  const hosts = ['tv', 'printer', 'desk', 'guest'];
  await Promise.all([...hosts.map(plugIn), ...['web', 'db', 'ledger'].map((host) => freshTunnel(lab, host))]);
  await poll(async () => (await page(lab, 'tv', 'http://web.shop.apn/address')) === '172.16.2.11', {
    within: 30_000,
    what: 'the television to open the page of the restored hub',
  });
  await connect(lab, 'laptop', LAPTOP);
  expect(await page(lab, 'laptop', 'http://web.shop.apn/address')).toBe('172.16.1.1');
  const after = await Promise.all(
    ['web', 'db', 'ledger', 'laptop'].map((host) => lab.output(host, ['cat', '/etc/wireguard/wg0.conf'])),
  );
  expect(after).toEqual(files);
  expect((await control(lab, 'GET', '/audit?limit=50')).map(({ event }: { event: string }) => event)).toContain(
    'backup restored',
  );
});

test('on a router that is set up it replaces what was changed since', async () => {
  await apn('backup', file);
  await control(lab, 'POST', '/applications', { label: 'later' });
  const { revision } = await control(lab, 'GET', '/status');
  const answer = await apn('restore', file);
  expect(answer).toMatchObject({ revision: revision + 1, applied: true });
  const labels = (await control(lab, 'GET', '/applications')).map(({ label }: { label: string }) => label);
  expect(labels).not.toContain('later');
  await poll(async () => (await page(lab, 'tv', 'http://web.shop.apn/address')) === '172.16.2.11', {
    what: 'the television to go on',
  });
});
