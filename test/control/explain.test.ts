// /explain: the answer about access, and whether the source is let in from outside at all.
import { describe, expect, it } from 'vitest';
import { parseAddress } from '../../src/model/address.ts';
import type { PublicKey } from '../../src/model/key.ts';
import { type Control, makeControl } from '../support/control.ts';
import { publicKey } from '../support/saving.ts';

async function ready(): Promise<{ control: Control; laptop: PublicKey }> {
  const control = makeControl();
  const laptop = publicKey();
  await control.call('PATCH', '/network', { endpoint: { host: '203.0.113.1' } });
  await control.call('PATCH', '/lan', { wan: 'wan0', ports: ['lan0'], address: '192.168.66.1/24' });
  await control.call('POST', '/members', { name: 'Olga', role: 'owner' });
  await control.call('POST', '/applications', { label: 'shop' });
  await control.call('POST', '/servers', {
    ...{ application: 'shop', label: 'web', publicKey: publicKey(), source: '203.0.113.10' },
  });
  await control.call('POST', '/devices', { member: 'olga', label: 'laptop', publicKey: laptop });
  return { control, laptop };
}

const door = async (control: Control, source: string, from?: string) => {
  const query = new URLSearchParams({
    source,
    destination: 'web',
    port: '80',
    ...(from === undefined ? {} : { from }),
  });
  return (await control.call('GET', `/explain?${query}`)).body.door;
};

describe('the door', () => {
  it('is asked for the address that is given', async () => {
    const { control } = await ready();
    await control.call('POST', '/leases', { source: '203.0.113.50', for: '1h' });
    expect(await door(control, 'laptop', '203.0.113.50')).toEqual({
      ...{ address: '203.0.113.50', open: true, by: 'lease', seconds: 3600 },
      message: 'laptop.olga.team is let in by a lease for 203.0.113.50.',
    });
    expect(await door(control, 'laptop', '203.0.113.51')).toEqual({
      ...{ address: '203.0.113.51', open: false, by: null, seconds: null },
      message: 'laptop.olga.team is refused: there is neither a lease nor a rule for 203.0.113.51.',
    });
    expect(await door(control, 'web.shop', '203.0.113.10')).toMatchObject({ open: true, by: 'rule', seconds: null });
    expect(await door(control, 'laptop', '192.168.66.30')).toMatchObject({ open: true, by: 'LAN', seconds: null });
    control.clock.boot += 3600_000;
    expect(await door(control, 'laptop', '203.0.113.50')).toMatchObject({ open: false });
  });

  it('else for where the source is now; nobody knows that of one that never came', async () => {
    const { control, laptop } = await ready();
    expect(await door(control, 'laptop')).toBeNull();
    const endpoint = { address: parseAddress('198.51.100.7'), port: 40_000 };
    control.peers.set(laptop, { endpoint, lastHandshake: null, rxBytes: 0, txBytes: 0 });
    expect(await door(control, 'laptop')).toMatchObject({ address: '198.51.100.7', open: false });
    await control.call('POST', '/leases', { source: '198.51.100.7' });
    expect(await door(control, 'laptop')).toMatchObject({ open: true, by: 'lease' });
  });

  it('is nothing that LAN devices and strangers have', async () => {
    const { control } = await ready();
    await control.call('POST', '/lan/devices', { label: 'tv', mac: '02:00:00:00:66:0a' });
    for (const source of ['tv', '192.0.2.1', 'hub']) expect(await door(control, source, '203.0.113.10')).toBeNull();
  });

  it('an address that is none is named', async () => {
    const { control } = await ready();
    const { status, body } = await control.call('GET', '/explain?source=laptop&destination=web&from=hotel');
    expect([status, body.error.path]).toEqual([400, 'from']);
  });
});
