// The keeper of knocks over a real store: who is named, who is let in, what counts once, and what is bounded.
import { randomBytes } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { KnockKeeper } from '../../src/router/knock/keeper.ts';
import { largest, unknownPerSource } from '../../src/router/knock/list.ts';
import { StoreUnavailable } from '../../src/router/store/errors.ts';
import { ip, udp } from '../support/lab/frames.ts';
import { makeKeyPair } from './initiator.ts';
import { cafe, hotel, type Knocking, makeKnocking } from './knocking.ts';

const audit = async (control: Knocking, event: string) =>
  control.store.audit({ limit: 1000 }).filter((one) => one.event === event);
const leases = ({ store }: Knocking) => store.snapshot.leases.map(({ source, grantedBy }) => `${source} ${grantedBy}`);
const kinds = ({ knocks }: Knocking) => knocks.list().map(({ kind }) => kind);

/** Another keeper over the same store, as after a restart; what was not written is lost. */
function restarted(control: Knocking): Knocking {
  const knocks = new KnockKeeper({
    ...{ store: control.store, hubPrivateKey: control.store.snapshot.hubPrivateKey },
    ...{ hubPublicKey: control.services.hubPublicKey, clock: control.services.clock },
    ...{ newId: control.services.newId, wake: control.services.wake, changed: () => {}, renewPeer: () => {} },
    log: (line) => control.log.push(line),
    lastHandshake: async (key) => control.peers.get(key)?.lastHandshake ?? null,
  });
  return {
    ...control,
    knocks,
    refuse: async (packet) => {
      knocks.refused(packet);
      await new Promise((resolve) => setImmediate(resolve));
    },
    listed: (id) => knocks.list().find((one) => one.id === id || one.peer === id),
  };
}

const device = ({ store }: Knocking, label: string) =>
  store.snapshot.config.devices.find((one) => one.label === label)?.id ?? '';
const server = ({ store }: Knocking) => store.snapshot.config.servers[0]?.id ?? '';

describe('a knock', () => {
  it('of a device is listed by name and waits, again and again from wherever it came last', async () => {
    const control = await makeKnocking();
    await control.refuse(control.packet(control.keys.phone));
    const first = control.listed(device(control, 'phone'));
    expect(first).toMatchObject({ kind: 'device', source: hotel, port: 40_000, count: 1, outcome: 'ask' });
    control.clock.wall += 5000;
    control.clock.boot += 5000;
    await control.refuse(control.packet(control.keys.phone, { source: '2001:db8:7::9' }));
    expect(control.listed(device(control, 'phone'))).toMatchObject({
      ...{ source: '2001:db8:7::9', count: 2, firstSeen: first?.firstSeen, lastSeen: control.clock.wall },
    });
    expect(control.knocks.list()).toHaveLength(1);
    expect(leases(control)).toEqual([]);
  });

  it('of a member with the policy auto is a lease at once, by the way every lease goes', async () => {
    const control = await makeKnocking();
    await control.patch('/members/anna', { leasePolicy: 'auto' });
    control.woken.length = 0;
    await control.refuse(control.packet(control.keys.phone));
    expect(leases(control)).toEqual(['198.51.100.7/32 knock']);
    expect(control.woken).toEqual(['leases']);
    expect(control.knocks.list()).toEqual([]);
    const [granted] = await audit(control, 'lease granted');
    control.knocks.close();
    expect(await audit(control, 'lease refused')).toEqual([]);
    expect(granted).toMatchObject({ actor: 'knock', body: { source: '198.51.100.7/32', reason: 'knocked' } });
    // One that was refused a moment before the kernel knew changes nothing.
    control.clock.wall += 1000;
    await control.refuse(control.packet(control.keys.phone));
    expect(leases(control)).toHaveLength(1);
    expect(control.knocks.list()).toEqual([]);
  });

  it('is let in three times for one member, and listed the fourth', async () => {
    const control = await makeKnocking();
    await control.patch('/members/anna', { leasePolicy: 'auto' });
    for (const n of [1, 2, 3, 4]) {
      control.clock.wall += 1000;
      await control.refuse(control.packet(control.keys.laptop, { source: `198.51.100.${n}` }));
    }
    expect(leases(control)).toHaveLength(3);
    expect(control.listed(device(control, 'laptop'))).toMatchObject({ outcome: 'caps', source: '198.51.100.4' });
  });

  it('two at one moment do not make one more than three', async () => {
    const control = await makeKnocking();
    await control.patch('/members/anna', { leasePolicy: 'auto' });
    for (const n of [1, 2]) {
      control.clock.wall += 1000;
      await control.refuse(control.packet(control.keys.laptop, { source: `198.51.100.${n}` }));
    }
    control.knocks.refused(control.packet(control.keys.phone, { source: '198.51.100.8' }));
    control.clock.wall += 1000;
    await control.refuse(control.packet(control.keys.laptop, { source: '198.51.100.9' }));
    await vi.waitFor(() => expect(leases(control)).toHaveLength(3));
    await vi.waitFor(() => expect(control.knocks.list()).toMatchObject([{ outcome: 'caps' }]));
  });

  it('says why it does nothing', async () => {
    const control = await makeKnocking();
    const outcome = async (from: 'phone' | 'tablet', source = hotel) => {
      control.clock.wall += 1000;
      await control.refuse(control.packet(control.keys[from], { source }));
      return control.listed(device(control, from))?.outcome;
    };
    expect(await outcome('tablet')).toBe('powerless');
    await control.patch('/members/anna', { leasePolicy: 'never' });
    expect(await outcome('phone')).toBe('never');
    await control.patch('/members/anna', { leasePolicy: 'auto' });
    expect(await outcome('phone', '172.16.1.200')).toBe('source');
    await control.patch('/members/anna', { disabled: true });
    expect(await outcome('phone')).toBe('disabled');
    expect(leases(control)).toEqual([]);
  });

  it('of a server waits, or moves its rule where that is wished, and not to and fro', async () => {
    const control = await makeKnocking();
    await control.refuse(control.packet(control.keys.web));
    expect(control.listed(server(control))).toMatchObject({ kind: 'server', outcome: 'ask' });
    await control.patch('/servers/web.shop', { follow: true });
    const knock = async (source: string) => {
      control.clock.wall += 1000;
      control.clock.boot += 1000;
      await control.refuse(control.packet(control.keys.web, { source }));
    };
    await knock(hotel);
    const rules = () => control.store.snapshot.config.rules.map(({ source }) => source);
    expect(rules()).toEqual(['198.51.100.7/32']);
    expect(control.listed(server(control))).toBeUndefined();
    expect(await audit(control, 'rule moved')).toMatchObject([{ actor: 'knock' }]);
    await knock(cafe);
    expect(rules()).toEqual(['198.51.100.7/32']);
    expect(control.listed(server(control))).toMatchObject({ outcome: 'ask', source: cafe });
    control.clock.boot += 60_000;
    control.clock.wall += 60_000;
    await knock(cafe);
    expect(rules()).toEqual(['198.51.100.99/32']);
  });

  it('that is too old, or older than the last handshake, is for a person to decide', async () => {
    const control = await makeKnocking();
    await control.patch('/members/anna', { leasePolicy: 'auto' });
    const { wall } = control.clock;
    await control.refuse(control.packet(control.keys.phone, { wall: wall - 11 * 60_000 }));
    expect(control.listed(device(control, 'phone'))).toMatchObject({ outcome: 'late' });
    const key = control.store.snapshot.config.devices.find(({ label }) => label === 'phone')?.publicKey;
    if (key === undefined) throw new Error('no phone');
    control.peers.set(key, { endpoint: null, lastHandshake: wall - 5000, rxBytes: 0, txBytes: 0 });
    await control.refuse(control.packet(control.keys.phone, { wall: wall - 6000 }));
    expect(control.listed(device(control, 'phone'))).toMatchObject({ outcome: 'late', count: 2 });
    expect(leases(control)).toEqual([]);
    // The hub's own clock may be wrong: it is not asked then.
    control.clock.synchronised = false;
    await control.refuse(control.packet(control.keys.phone, { wall: wall - 5500 }));
    expect(leases(control)).toHaveLength(1);
  });

  it('is written down before anything is done for it; where that fails nothing is', async () => {
    const control = await makeKnocking();
    await control.patch('/members/anna', { leasePolicy: 'auto' });
    const full = vi.spyOn(control.store, 'putKnockTimestamps').mockImplementation(() => {
      throw new StoreUnavailable('store-write', 'full', { remedy: '' });
    });
    const packet = control.packet(control.keys.phone);
    await control.refuse(packet);
    expect(leases(control)).toEqual([]);
    expect(control.listed(device(control, 'phone'))).toMatchObject({ outcome: 'unsaved' });
    full.mockRestore();
    // It is not lost: the next one is let in, and then neither counts again, before or after a restart.
    control.clock.wall += 1000;
    const next = control.packet(control.keys.phone);
    await control.refuse(next);
    expect(leases(control)).toHaveLength(1);
    const again = restarted(control);
    await control.call('DELETE', `/leases/${hotel}`);
    for (const one of [packet, next]) await again.refuse(one);
    expect(leases(control)).toEqual([]);
    expect(again.knocks.list()).toEqual([]);
  });
});

describe('a message that was seen', () => {
  it('refused or accepted counts for nothing, from anywhere, before and after a restart', async () => {
    const control = await makeKnocking();
    const refused = control.packet(control.keys.phone);
    await control.refuse(refused);
    control.clock.wall += 1000;
    const accepted = control.packet(control.keys.laptop);
    control.knocks.accepted(accepted);
    expect(control.listed(device(control, 'laptop'))).toBeUndefined();
    await control.patch('/members/anna', { leasePolicy: 'auto' });
    control.knocks.dismiss(control.knocks.list()[0]?.id ?? '');
    control.knocks.close();
    for (const each of [control, restarted(control)]) {
      for (const packet of [refused, accepted]) {
        await each.refuse(packet);
        // The same message in another packet: somebody else's address.
        await each.refuse(udp({ from: cafe, to: '203.0.113.1', sport: 1, dport: 51820 }, packet.subarray(28)));
      }
      expect(leases(each)).toEqual([]);
      expect(each.knocks.list()).toEqual([]);
    }
    control.clock.wall += 1000;
    await control.refuse(control.packet(control.keys.phone));
    expect(leases(control)).toHaveLength(1);
  });

  it('refused while somebody had to say so counts for nothing once the policy lets in, whatever happened between', async () => {
    const control = await makeKnocking();
    const packet = control.packet(control.keys.phone);
    await control.refuse(packet);
    expect(control.store.knockTimestamps().size).toBe(0);
    await control.patch('/members/anna', { leasePolicy: 'auto' });
    // The router is killed and starts again.
    const again = restarted(control);
    await again.refuse(packet);
    expect(leases(again)).toEqual([]);
    control.clock.wall += 1000;
    await again.refuse(control.packet(control.keys.phone));
    expect(leases(again)).toHaveLength(1);
  });

  it('accepted of a peer that is let in by itself is written at once: the router may be killed the next moment', async () => {
    const control = await makeKnocking();
    const written = vi.spyOn(control.store, 'putKnockTimestamps');
    control.knocks.accepted(control.packet(control.keys.phone));
    expect(written).not.toHaveBeenCalled();
    await control.patch('/members/anna', { leasePolicy: 'auto' });
    control.clock.wall += 1000;
    const packet = control.packet(control.keys.phone);
    control.knocks.accepted(packet);
    const again = restarted(control);
    await again.refuse(packet);
    expect(leases(again)).toEqual([]);
  });

  it('accepted takes the device off the list, where it came from there', async () => {
    const control = await makeKnocking();
    await control.refuse(control.packet(control.keys.phone));
    control.clock.wall += 1000;
    control.knocks.accepted(control.packet(control.keys.phone, { source: cafe }));
    expect(control.listed(device(control, 'phone'))).toBeDefined();
    control.clock.wall += 1000;
    control.knocks.accepted(control.packet(control.keys.phone));
    expect(control.listed(device(control, 'phone'))).toBeUndefined();
    // A copy, a stranger and what is no handshake change nothing.
    control.knocks.accepted(control.packet(control.keys.phone, { wall: control.clock.wall - 500 }));
    control.knocks.accepted(control.packet(makeKeyPair()));
    control.knocks.accepted(udp({ from: hotel, to: '203.0.113.1', sport: 1, dport: 51820 }, randomBytes(148)));
    control.knocks.accepted(ip({ from: hotel, to: '203.0.113.1' }, 6));
    expect(control.knocks.list()).toEqual([]);
  });

  it('of an old key says nothing of the new one', async () => {
    const control = await makeKnocking();
    await control.refuse(control.packet(control.keys.phone, { wall: control.clock.wall + 60_000 }));
    const pair = makeKeyPair();
    await control.patch('/devices/anna%2Fphone', { publicKey: Buffer.from(pair.publicKey).toString('base64') });
    await control.refuse(control.packet(pair));
    const named = control.knocks
      .list()
      .find(({ publicKey }) => publicKey === Buffer.from(pair.publicKey).toString('base64'));
    expect(named).toMatchObject({ kind: 'device', outcome: 'ask' });
  });
});

describe('a clock that is ahead', () => {
  const month = 30 * 24 * 3600_000;

  it('is shown, does nothing by itself, sticks, and can be forgotten', async () => {
    const control = await makeKnocking();
    await control.patch('/members/anna', { leasePolicy: 'auto' });
    const { wall } = control.clock;
    const ahead = control.packet(control.keys.phone, { wall: wall + month });
    await control.refuse(ahead);
    const phone = device(control, 'phone');
    expect(control.listed(phone)).toMatchObject({ clockAhead: true, outcome: 'clock', source: hotel });
    // Put right: it could as well be a copy, so the address on the list stays the one it had.
    await control.refuse(control.packet(control.keys.phone, { source: cafe }));
    expect(control.listed(phone)).toMatchObject({ clockAhead: true, outcome: 'stuck', source: hotel });
    control.knocks.dismiss(control.listed(phone)?.id ?? '');
    await control.refuse(control.packet(control.keys.phone, { source: cafe }));
    expect(control.listed(phone)).toMatchObject({ outcome: 'stuck', source: cafe });
    expect(leases(control)).toEqual([]);

    const key = control.listed(phone)?.publicKey;
    if (key == null) throw new Error('no key');
    control.knocks.forgetClock(key);
    expect(control.listed(phone)).toBeUndefined();
    const again = restarted(control);
    await again.refuse(ahead);
    expect(again.knocks.list()).toEqual([]);
    control.clock.wall += 1000;
    await again.refuse(control.packet(control.keys.phone));
    expect(leases(again)).toHaveLength(1);
  });

  it('of somebody who asks, or may not, says that too', async () => {
    const control = await makeKnocking();
    const wall = control.clock.wall + month;
    await control.refuse(control.packet(control.keys.phone, { wall }));
    expect(control.listed(device(control, 'phone'))).toMatchObject({ clockAhead: true, outcome: 'clock' });
    await control.refuse(control.packet(control.keys.tablet, { wall }));
    expect(control.listed(device(control, 'tablet'))).toMatchObject({ clockAhead: true, outcome: 'powerless' });
    const pair = makeKeyPair();
    await control.refuse(control.packet(pair, { wall }));
    expect(control.knocks.list().at(-1)).toMatchObject({ kind: 'unknown', clockAhead: true });
  });
});

describe('the list', () => {
  it('has unknown keys after the known and before what cannot be read, and none pushes out another kind', async () => {
    const control = await makeKnocking();
    await control.refuse(control.packet(control.keys.phone));
    for (let n = 0; n < largest.unreadable + 20; n++) {
      const junk = Buffer.concat([Buffer.from([1, 0, 0, 0]), randomBytes(144)]);
      await control.refuse(udp({ from: `192.0.2.${n}`, to: '203.0.113.1', sport: 1, dport: 51820 }, junk));
    }
    for (let n = 0; n < 30; n++) {
      control.clock.boot += 1000;
      await control.refuse(control.packet(makeKeyPair(), { source: `198.51.${n}.1` }));
    }
    expect(kinds(control)[0]).toBe('device');
    expect(
      kinds(control)
        .slice(1, 31)
        .every((kind) => kind === 'unknown'),
    ).toBe(true);
    expect(kinds(control).slice(31)).toEqual(Array(largest.unreadable).fill('unreadable'));
    expect(control.knocks.list()[31]?.source).toBe(`192.0.2.${largest.unreadable + 19}`);
    expect(leases(control)).toEqual([]);
  });

  it('holds so many unknown keys, so many of one address, and each message once', async () => {
    const control = await makeKnocking();
    const pair = makeKeyPair();
    const packet = control.packet(pair);
    await control.refuse(packet);
    control.clock.wall += 1000;
    await control.refuse(control.packet(pair));
    expect(control.knocks.list()).toMatchObject([{ kind: 'unknown', count: 2 }]);
    for (let n = 0; n < unknownPerSource + 3; n++) {
      control.clock.boot += 1000;
      await control.refuse(control.packet(makeKeyPair()));
    }
    expect(control.knocks.list()).toHaveLength(unknownPerSource);
    for (let n = 0; n < largest.unknown + 6; n++) {
      control.clock.boot += 1000;
      await control.refuse(control.packet(makeKeyPair(), { source: `198.51.${n}.1` }));
    }
    expect(control.knocks.list()).toHaveLength(largest.unknown);
  });

  it('an older message of an unknown key is a copy', async () => {
    const control = await makeKnocking();
    const pair = makeKeyPair();
    const old = control.packet(pair);
    control.clock.wall += 1000;
    await control.refuse(control.packet(pair));
    await control.refuse(old);
    expect(control.knocks.list()).toMatchObject([{ count: 1 }]);
  });

  it('opens few messages a second, and leaves those who were named before a share of their own', async () => {
    const control = await makeKnocking();
    await control.refuse(control.packet(control.keys.phone, { source: cafe }));
    for (let n = 0; n < 100; n++) await control.refuse(control.packet(makeKeyPair(), { source: `198.51.${n}.1` }));
    expect(kinds(control).filter((kind) => kind === 'unknown')).toHaveLength(19);
    control.clock.wall += 1000;
    await control.refuse(control.packet(control.keys.laptop));
    expect(control.listed(device(control, 'laptop'))).toBeUndefined();
    await control.refuse(control.packet(control.keys.laptop, { source: cafe }));
    expect(control.listed(device(control, 'laptop'))).toBeDefined();
  });

  it('tells the audit log of a refusal once in a while, and of unknown keys rarely', async () => {
    const control = await makeKnocking();
    for (let n = 0; n < 5; n++) {
      control.clock.wall += 5000;
      control.clock.boot += 5000;
      await control.refuse(control.packet(control.keys.phone));
    }
    for (let n = 0; n < 40; n++) {
      control.clock.boot += 1000;
      await control.refuse(control.packet(makeKeyPair(), { source: `198.51.${n}.1` }));
    }
    control.knocks.close();
    const told = await audit(control, 'lease refused');
    expect(told.filter(({ body }) => (body as { kind: string }).kind === 'device')).toHaveLength(1);
    expect(told.filter(({ body }) => (body as { kind: string }).kind === 'unknown')).toHaveLength(12);
    control.clock.boot += 11 * 60_000;
    control.clock.wall += 11 * 60_000;
    await control.refuse(control.packet(control.keys.phone));
    control.knocks.close();
    expect(await audit(control, 'lease refused')).toHaveLength(14);
  });

  it('is told of by a change, and an accident here ends nothing', async () => {
    const control = await makeKnocking();
    let changes = 0;
    control.services.onChange(() => changes++);
    await control.refuse(control.packet(control.keys.phone));
    expect(changes).toBe(1);
    control.knocks.dismiss('nothing');
    expect(changes).toBe(1);
    vi.spyOn(control.store, 'snapshot', 'get').mockImplementation(() => {
      throw new Error('an accident');
    });
    control.clock.wall += 1000;
    await control.refuse(control.packet(control.keys.phone));
    expect(control.log.join('\n')).toContain('knock: Error: an accident');
  });
});
