// Network edits that nobody confirms come back, also when the router or the machine starts anew in between.
import { expect, test } from 'vitest';
import { poll, SLOWNESS } from '../../support/lab/lab.ts';
import { sharedLab } from '../../support/lab/shared.ts';
import { control, echo, freshTunnel, page, restoring } from '../clients.ts';

const lab = sharedLab();
const undo = restoring();
const hub = '192.168.66.1';
const other = '192.168.66.250';

const lan = () => control(lab, 'GET', '/lan');
const waiting = () => control(lab, 'GET', '/confirm');
const addresses = async (): Promise<string[]> => {
  const [shown] = JSON.parse(await lab.output('hub', ['ip', '-j', '-4', 'addr', 'show', 'dev', 'br-lan']));
  return shown.addr_info.map(({ local }: { local: string }) => local);
};

/** Whatever becomes of the test: nothing waits, and the LAN is as it was. */
async function keepLan(): Promise<void> {
  const { address, range, ports } = await lan();
  undo(async () => {
    if ((await waiting()) !== null) await control(lab, 'DELETE', '/confirm');
    await control(lab, 'PATCH', '/lan', { ports, address: `${address}/${range.split('/')[1]}`, confirm: 0 });
    await control(lab, 'GET', '/lan');
  });
}

test('an address that nobody confirms comes back by itself', async () => {
  await keepLan();
  expect(await echo(lab, 'desk', hub)).toBe(true);
  const { confirm } = await control(lab, 'PATCH', '/lan', { address: `${other}/24`, confirm: 5 * SLOWNESS });
  expect(confirm.secondsLeft).toBeGreaterThan(0);
  await poll(() => echo(lab, 'desk', other), { what: 'the new address' });
  expect(await addresses()).toEqual([other]);
  await poll(() => echo(lab, 'desk', hub), { within: 15_000, what: 'the old address' });
  expect(await addresses()).toEqual([hub]);
  expect(await waiting()).toBeNull();
  expect((await control(lab, 'GET', '/history?limit=1'))[0]).toMatchObject({
    actor: 'router',
    summary: 'undone: LAN changed',
  });
});

test('a port that was taken away comes back, and what hangs on it', async () => {
  await keepLan();
  const open = () => page(lab, 'tv', 'http://web.shop.apn/address', 1);
  expect(await open()).toBe('172.16.2.11');
  const { ports } = await lan();
  const rest = ports.filter((port: string) => port !== 'lan0');
  await control(lab, 'PATCH', '/lan', { ports: rest, confirm: 6 * SLOWNESS });
  await poll(async () => (await open()) === null, { what: 'the television to be cut off' });
  await poll(async () => (await open()) === '172.16.2.11', { within: 20_000, what: 'the television to be back' });
  expect((await lan()).ports.toSorted()).toEqual(ports.toSorted());
});

test('what is confirmed stays', async () => {
  await keepLan();
  await lab.apn('lan', 'set', '--address', `${other}/24`, '--confirm', String(5 * SLOWNESS));
  await poll(() => echo(lab, 'desk', other), { what: 'the new address' });
  const end = performance.now() + 5000 * SLOWNESS + 1000;
  await lab.apn('confirm');
  expect(await lab.apn('confirm', 'show')).toBeNull();
  await poll(() => performance.now() > end, { within: 7000, what: 'the time to be over' });
  expect((await lan()).address).toBe(other);
  expect(await addresses()).toEqual([other]);
});

test('a router that is killed meanwhile undoes it in time', async () => {
  await keepLan();
  await control(lab, 'PATCH', '/lan', { address: `${other}/24`, confirm: 8 * SLOWNESS });
  await lab.restartRouter();
  expect(await waiting()).toMatchObject({ yours: true, by: 'console' });
  await poll(() => echo(lab, 'desk', hub), { within: 20_000, what: 'the old address' });
  expect((await lan()).address).toBe(hub);
});

test('a machine whose power was cut meanwhile starts with what was before', async () => {
  await keepLan();
  await control(lab, 'PATCH', '/lan', { address: `${other}/24`, confirm: 600 });
  await control(lab, 'POST', '/applications', { label: 'meanwhile' });
  undo(() => control(lab, 'DELETE', '/applications/meanwhile'));
  await lab.rebootHub();
  expect(await waiting()).toBeNull();
  expect((await lan()).address).toBe(hub);
  await poll(() => echo(lab, 'desk', hub), { what: 'the old address' });
  const labels = (await control(lab, 'GET', '/applications')).map(({ label }: { label: string }) => label);
  expect(labels).toContain('meanwhile');
  await Promise.all(['web', 'db', 'ledger'].map((host) => freshTunnel(lab, host)));
  await poll(async () => (await page(lab, 'tv', 'http://web.shop.apn/address')) === '172.16.2.11', {
    within: 20_000,
    what: 'the television to open the page again',
  });
});
