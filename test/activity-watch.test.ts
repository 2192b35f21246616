// The watch over a real store and a tunnel that is made up: what is written down, what ends, when it looks.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { device, parse } from '../src/model/config.ts';
import type { PublicKey } from '../src/model/key.ts';
import type { Clock, Lease } from '../src/model/lease.ts';
import type { Peer } from '../src/router/activity/peers.ts';
import { Watch, type WatchOptions } from '../src/router/activity/watch.ts';
import { Conditions } from '../src/router/conditions.ts';
import { LeaseKeeper } from '../src/router/leases.ts';
import type { Store } from '../src/router/store/store.ts';
import { address } from './support/builders.ts';
import { console_, leaseAt, noon, publicKey, withMember } from './support/saving.ts';
import { openStore, temporaryFolder } from './support/store.ts';

const minute = 60_000;
const [key, other] = [publicKey(), publicKey()];

class Hub {
  clock: Clock = { ...noon };
  readonly store: Store = openStore(temporaryFolder(), () => this.clock.wall);
  readonly keeper = new LeaseKeeper(this.store, new Conditions(Date.now, () => {}), this.clock);
  readonly peers = new Map<PublicKey, Peer>();
  up = true;
  looks = 0;
  written = true;
  readonly log: string[] = [];
  readonly endings: string[] = [];
  readonly options: WatchOptions = {
    store: this.store,
    clock: () => this.clock,
    tunnel: async () => {
      this.looks++;
      return { up: this.up, peers: new Map(this.peers) };
    },
    leased: () => [],
    end: (leases, why) => this.written && this.keeper.end(leases, this.clock, 'lease ended by roaming', why),
    onEnding: ({ lease, left }) => this.endings.push(`${lease.id} ${left / minute}`),
    log: (line) => this.log.push(line),
  };
  readonly watch = new Watch(this.options);

  constructor() {
    this.store.save(console_, (transaction) => {
      const config = withMember(withMember(transaction.config, 'olga'), 'anna', 'developer');
      const made = [key, other].map((publicKey, i) =>
        parse(device, {
          ...{ id: `device${i}`, member: 'anna', label: i === 0 ? 'laptop' : 'phone', publicKey },
          ...{ address: `172.16.1.${i + 1}`, presharedKey: null },
        }),
      );
      transaction.put({ ...config, devices: made } as typeof config);
    });
  }

  grant(id: string, source: string, more: Partial<Lease> = {}): void {
    const made = leaseAt(this.clock, id, 24 * 60 * minute, { source: `${source}/32` as Lease['source'], ...more });
    this.store.save(console_, (transaction) => transaction.putLease(made));
  }

  at(from: string, which = key): void {
    this.peers.set(which, { endpoint: { address: address(from) }, lastHandshake: this.clock.wall });
  }

  /** Time passes, and the watch looks. */
  async pass(milliseconds = 10_000): Promise<number> {
    this.clock = { ...this.clock, wall: this.clock.wall + milliseconds, boot: this.clock.boot + milliseconds };
    return this.watch.look();
  }

  live(): readonly string[] {
    return this.store.snapshot.leases.map(({ id }) => id);
  }

  said(kind: 'handshake' | 'lease' | 'denied'): readonly string[] {
    return this.store.audit({ kind, limit: 50 }).map(({ actor, event }) => `${actor} ${event}`);
  }
}

describe('roaming', () => {
  it("ends the member's lease for the old address, and says so", async () => {
    const hub = new Hub();
    hub.grant('old', '203.0.113.50', { member: 'anna' });
    hub.grant('new', '198.51.100.9', { member: 'anna' });
    hub.grant('somebody', '203.0.113.50', { member: null });
    hub.at('203.0.113.50');
    await hub.pass();
    hub.at('198.51.100.9');
    await hub.pass();
    expect(hub.live().toSorted()).toEqual(['new', 'somebody']);
    expect(hub.store.endedLeases(1)).toMatchObject([{ id: 'old', end: { how: 'revoked', at: hub.clock.wall } }]);
    const [entry] = hub.store.audit({ kind: 'lease', limit: 1 });
    expect(entry).toMatchObject({
      ...{ actor: 'router', event: 'lease ended by roaming' },
      body: { id: 'old', source: '203.0.113.50/32', member: 'anna', device: 'laptop', to: '198.51.100.9' },
    });
    expect(hub.said('handshake')).toEqual(['anna moved']);
  });

  it('a move between two looks of which nobody saw the first ends nothing: a start says how things are', async () => {
    const hub = new Hub();
    hub.grant('old', '203.0.113.50', { member: 'anna' });
    hub.at('198.51.100.9');
    await hub.pass();
    await hub.pass();
    expect(hub.live()).toEqual(['old']);
  });

  it('coming home is a move too', async () => {
    const hub = new Hub();
    hub.grant('hotel', '203.0.113.50', { member: 'anna' });
    hub.at('203.0.113.50');
    await hub.pass();
    hub.at('192.168.66.30');
    await hub.pass();
    expect(hub.live()).toEqual([]);
  });

  it('away from where the device was not since the grant ends nothing: the lease is for what comes', async () => {
    const hub = new Hub();
    hub.at('203.0.113.50');
    await hub.pass();
    await hub.pass(5 * minute);
    hub.grant('for home', '203.0.113.50', { member: 'anna' });
    hub.at('198.51.100.9');
    await hub.pass();
    await hub.pass();
    expect(hub.live()).toEqual(['for home']);
  });

  it('is tried again while it cannot be written down', async () => {
    const hub = new Hub();
    hub.grant('old', '203.0.113.50', { member: 'anna' });
    hub.at('203.0.113.50');
    await hub.pass();
    hub.written = false;
    hub.at('198.51.100.9');
    await hub.pass();
    await hub.pass();
    expect(hub.live()).toEqual(['old']);
    hub.written = true;
    await hub.pass();
    expect(hub.live()).toEqual([]);
  });

  it('waits for the last of several devices', async () => {
    const hub = new Hub();
    hub.grant('old', '203.0.113.50', { member: 'anna' });
    hub.at('203.0.113.50');
    hub.at('203.0.113.50', other);
    await hub.pass();
    hub.at('198.51.100.9');
    await hub.pass();
    expect(hub.live()).toEqual(['old']);
    hub.at('198.51.100.9', other);
    await hub.pass();
    expect(hub.live()).toEqual([]);
  });

  it('a server moves without losing anything but its place in the log', async () => {
    const hub = new Hub();
    const server = publicKey();
    hub.at('203.0.113.50', server);
    await hub.pass();
    hub.at('198.51.100.9', server);
    await hub.pass();
    expect(hub.said('handshake')).toEqual([]);
  });
});

describe('the log of handshakes', () => {
  it('has who came and who went, and nothing of a tunnel that does not answer', async () => {
    const hub = new Hub();
    await hub.pass();
    hub.at('203.0.113.50');
    await hub.pass();
    hub.up = false;
    hub.peers.clear();
    await hub.pass(4 * minute);
    expect(hub.said('handshake')).toEqual(['anna connected']);
    hub.up = true;
    hub.peers.set(key, { endpoint: { address: address('203.0.113.50') }, lastHandshake: hub.clock.wall - 4 * minute });
    await hub.pass();
    expect(hub.said('handshake')).toEqual(['anna disconnected', 'anna connected']);
  });
});

describe('how often it looks', () => {
  it("every ten seconds, every three while a member's lease lives, and in time for a warning", async () => {
    const hub = new Hub();
    expect(await hub.pass()).toBe(10_000);
    expect(hub.looks).toBe(1);
    expect(await hub.pass(4000)).toBe(6000);
    expect(hub.looks).toBe(1);
    hub.grant('one', '203.0.113.50', { member: null });
    expect(await hub.pass(6000)).toBe(10_000);
    hub.grant('two', '203.0.113.50', { member: 'anna' });
    expect(await hub.pass(3000)).toBe(3000);
    expect(hub.looks).toBe(3);
    hub.grant('short', '203.0.113.51', {
      ...{ member: 'anna', deadline: hub.clock.boot + 2000, expiresAt: hub.clock.wall + 2000, remaining: 2000 },
    });
    expect(await hub.pass(100)).toBe(1700);
    await hub.pass(1700);
    expect(hub.endings).toEqual([`short ${200 / minute}`]);
  });
});

describe('by itself', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const packet = (port: number) =>
    Uint8Array.from(
      Buffer.from(`4500003c0000400040060000ac100101ac100a0bc350${port.toString(16).padStart(4, '0')}`, 'hex'),
    );

  it('it writes down a refusal within seconds, and the rest when it is closed', async () => {
    const hub = new Hub();
    hub.watch.wake();
    await vi.advanceTimersByTimeAsync(100);
    expect(hub.looks).toBe(1);
    hub.watch.denied(packet(80));
    hub.watch.denied(packet(80));
    hub.watch.denied(Uint8Array.of(1, 2, 3));
    await vi.advanceTimersByTimeAsync(1900);
    expect(hub.said('denied')).toEqual([]);
    await vi.advanceTimersByTimeAsync(200);
    expect(hub.said('denied')).toEqual(['anna denied']);
    expect(hub.store.audit({ kind: 'denied', limit: 1 })[0]?.body).toMatchObject({
      ...{ source: 'laptop.anna.team', destinationAddress: '172.16.10.11', port: '80/tcp', packets: 2 },
    });
    hub.watch.denied(packet(81));
    hub.watch.close();
    expect(hub.said('denied')).toHaveLength(2);
    hub.watch.wake();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(hub.looks).toBe(1);
  });

  it('what is asked for while it is at work is not forgotten', async () => {
    const hub = new Hub();
    const { tunnel } = hub.options;
    const slow = Promise.withResolvers<void>();
    Object.assign(hub.options, {
      tunnel: async () => {
        await slow.promise;
        return tunnel();
      },
    });
    hub.watch.wake();
    await vi.advanceTimersByTimeAsync(10);
    hub.grant('short', '203.0.113.51', {
      ...{ member: 'anna', deadline: hub.clock.boot + 2000, expiresAt: hub.clock.wall + 2000, remaining: 2000 },
    });
    hub.watch.wake();
    slow.resolve();
    // The first look has seen no lease, and would look again in ten seconds.
    await vi.advanceTimersByTimeAsync(100);
    hub.clock = { ...hub.clock, boot: hub.clock.boot + 1850, wall: hub.clock.wall + 1850 };
    await vi.advanceTimersByTimeAsync(1900);
    expect(hub.endings).toHaveLength(1);
    hub.watch.close();
  });

  it('it goes on after an accident', async () => {
    const hub = new Hub();
    const { tunnel } = hub.options;
    Object.assign(hub.options, { tunnel: () => Promise.reject(new TypeError('a mistake')) });
    hub.watch.wake();
    await vi.advanceTimersByTimeAsync(100);
    expect(hub.log).toEqual([expect.stringContaining('a mistake')]);
    Object.assign(hub.options, { tunnel });
    hub.clock = { ...hub.clock, boot: hub.clock.boot + 10_000 };
    await vi.advanceTimersByTimeAsync(10_100);
    expect(hub.looks).toBe(1);
    hub.watch.close();
  });
});
