// What the router notices by itself: who comes, moves and goes, what is refused inside, and the end of leases drawing near.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Denials } from '../src/router/activity/denied.ts';
import { denialEntry, peerEntry } from '../src/router/activity/describe.ts';
import { Endings } from '../src/router/activity/endings.ts';
import { flowLength, readFlow } from '../src/router/activity/flow.ts';
import { Journal } from '../src/router/activity/journal.ts';
import { compare, leftBehind, type Peer, type Seen } from '../src/router/activity/peers.ts';
import { StoreUnavailable } from '../src/router/store/errors.ts';
import { address, clock, exampleConfig, hour, lease, publicKey, withChanged } from './support/builders.ts';

const now = clock();
const [home, hotel] = [address('203.0.113.50'), address('198.51.100.9')];
const laptop = publicKey(4);
const minute = 60_000;

const peer = (at: string | null, ago: number | null): Peer => ({
  endpoint: at === null ? null : { address: address(at) },
  lastHandshake: ago === null ? null : now.wall - ago,
});
const seen = (at: string | null, connected: boolean, ago: number | null = 10 * minute): Seen => ({
  address: at === null ? null : address(at),
  connected,
  last: connected ? now.wall - 1000 : null,
  lastHandshake: ago === null ? null : now.wall - ago,
});
const following = (before: Seen | undefined, present: Peer) =>
  compare(new Map(before === undefined ? [] : [[laptop, before]]), new Map([[laptop, present]]), now.wall);

describe('two looks at the tunnel', () => {
  it('the first tells nothing, and is what the next is compared with', () => {
    const peers = new Map([[laptop, peer(home, 1000)]]);
    const first = compare(null, peers, now.wall);
    expect(first.events).toEqual([]);
    expect(first.seen.get(laptop)).toEqual({
      ...{ address: home, connected: true, last: now.wall, lastHandshake: now.wall - 1000 },
    });
    expect(compare(first.seen, peers, now.wall).events).toEqual([]);
  });

  it('a first handshake, one after a silence, and none for three minutes', () => {
    expect(following(undefined, peer(home, 0)).events).toEqual([
      { kind: 'connected', key: laptop, at: home, silent: null },
    ]);
    expect(following(seen(home, false), peer(home, 0)).events).toEqual([
      { kind: 'connected', key: laptop, at: home, silent: 10 * minute },
    ]);
    expect(following(seen(home, true, 2 * minute), peer(home, 0)).events).toEqual([]);
    expect(following(seen(home, true), peer(home, 3 * minute - 1)).events).toEqual([]);
    expect(following(seen(home, true), peer(home, 3 * minute)).events).toEqual([
      { kind: 'disconnected', key: laptop, at: home },
    ]);
    expect(following(seen(home, false), peer(home, 3 * minute)).events).toEqual([]);
    expect(following(undefined, peer(null, null)).events).toEqual([]);
  });

  it('another endpoint is a move; a device that was made anew has forgotten its peers, and that is none', () => {
    const moved = { kind: 'moved', key: laptop, from: home, last: null, to: hotel };
    const used = { ...moved, last: now.wall - 1000 };
    expect(following(seen(home, true, 0), peer(hotel, 0)).events).toEqual([used]);
    // Since when it is somewhere is kept while it is silent there.
    const silent = following(seen(home, true, 0), peer(home, 5 * minute)).seen.get(laptop);
    expect(silent).toMatchObject({ connected: false, last: now.wall - 1000 });
    expect(following(seen(home, false), peer(hotel, 0)).events).toEqual([
      { kind: 'connected', key: laptop, at: hotel, silent: 10 * minute },
      moved,
    ]);
    const forgotten = following(seen(home, true), peer(null, null));
    expect(forgotten.events).toEqual([{ kind: 'disconnected', key: laptop, at: home }]);
    expect(forgotten.seen.get(laptop)?.address).toBe(home);
    expect(compare(forgotten.seen, new Map([[laptop, peer(hotel, 0)]]), now.wall).events).toContainEqual(used);
  });
});

describe('leases left behind', () => {
  const config = exampleConfig();
  const [device] = config.devices;
  const phone = { ...device!, id: 'phone1', label: device!.label, publicKey: publicKey(5) };
  const both = { ...config, devices: [device!, phone] };
  const own = (source: string, changes = {}) => lease(source, { member: 'anna1', ...changes }, now);
  const move = { device: device!, from: home, last: now.wall, to: hotel };
  const ended = (leases: readonly ReturnType<typeof own>[], present = new Map(), of = config) =>
    leftBehind(move, of, leases, present, now).map(({ source }) => source);

  it("are the member's own for the old address alone", () => {
    const nobody = lease('203.0.113.50/32', { id: 'n' });
    const bens = lease('203.0.113.50/32', { id: 'b', member: 'olga1' });
    const over = own('203.0.113.50/32', { id: 'o', end: { at: now.wall, how: 'revoked' } });
    const leases = [own('203.0.113.50/32'), own('198.51.100.9/32'), own('203.0.113.51/32'), nobody, bens, over];
    expect(ended(leases)).toEqual(['203.0.113.50/32']);
  });

  it('a prefix that holds the new address as well goes on', () => {
    expect(ended([own('203.0.113.0/24'), own('0.0.0.0/0')])).toEqual(['203.0.113.0/24']);
  });

  it("stay while another of the member's devices comes from there", () => {
    const leases = [own('203.0.113.50/32')];
    expect(ended(leases, new Map([[phone.publicKey, seen(home, true)]]), both)).toEqual([]);
    for (const other of [seen(home, false), seen(hotel, true), seen(null, true)])
      expect(ended(leases, new Map([[phone.publicKey, other]]), both)).toHaveLength(1);
    expect(ended(leases, new Map(), both)).toHaveLength(1);
    const bens = { ...both, devices: [device!, { ...phone, member: 'olga1' }] };
    expect(ended(leases, new Map([[phone.publicKey, seen(home, true)]]), bens)).toHaveLength(1);
  });

  it('one that was granted since the device was there last is for what comes', () => {
    const old = own('203.0.113.50/32');
    const at = (last: number | null) => leftBehind({ ...move, last }, config, [old], new Map(), now);
    expect([at(now.wall), at(now.wall - 1), at(null)].map(({ length }) => length)).toEqual([1, 0, 0]);
  });

  it('nobody knows yet what is left of one that waits for the time: it is not ended', () => {
    const waiting = own('203.0.113.50/32', { bootId: 'boot-0' });
    expect(leftBehind(move, config, [waiting], new Map(), { ...now, synchronised: false })).toEqual([]);
  });
});

describe('a refused packet', () => {
  const packet = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  const [ends, ports] = ['c0a8420a ac100a0b', 'c350 1538'];
  const tcp = packet(`4500003c 00004000 40060000 ${ends} ${ports} 00000000`);

  it('says whence, whereto and what for', () => {
    const flow = { source: '192.168.66.10', destination: '172.16.10.11' };
    expect(readFlow(tcp)).toEqual({ ...flow, port: '5432/tcp' });
    expect(readFlow(packet(`4500001c 00000000 40110000 ${ends} ${ports}`))).toEqual({ ...flow, port: '5432/udp' });
    expect(readFlow(packet(`45000054 00004000 40010000 ${ends} 08000000`))).toEqual({ ...flow, port: 'icmp' });
    expect(readFlow(packet(`45000054 00004000 402f0000 ${ends} 08000000`))).toEqual({ ...flow, port: '47' });
    // The second half of a fragmented datagram has no ports.
    expect(readFlow(packet(`4500001c 00000001 40110000 ${ends} ${ports}`))).toEqual({ ...flow, port: 'udp' });
    expect(readFlow(tcp.subarray(0, 22))).toEqual({ ...flow, port: 'tcp' });
  });

  it('with the longest header is read from what is copied', () => {
    const options = '00'.repeat(40);
    const longest = packet(`4f000064 00004000 40060000 ${ends} ${options} ${ports} 00000000`);
    expect(readFlow(longest.subarray(0, flowLength))).toMatchObject({ port: '5432/tcp' });
  });

  it('of any length and content is read or passed over, never an accident', () => {
    for (let length = 0; length < 20; length++) expect(readFlow(tcp.subarray(0, length))).toBeNull();
    expect(readFlow(packet(`6${'0'.repeat(79)}`))).toBeNull();
    expect(readFlow(packet(`4400003c 00004000 40060000 ${ends}`))).toBeNull();
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => void readFlow(bytes)));
  });
});

describe('refusals', () => {
  const flow = (n: number, port = '80/tcp') => ({
    source: address(`192.168.66.${n}`),
    destination: address('172.16.10.10'),
    port,
  });

  it('are told soon, then once a minute with what has come meanwhile, and no more when it is over', () => {
    const denials = new Denials();
    expect([denials.fresh, denials.take(0)]).toEqual([false, []]);
    for (const at of [0, 500, 900]) denials.add(flow(1), at);
    expect(denials.fresh).toBe(true);
    expect(denials.take(2000)).toEqual([{ ...flow(1), count: 3, first: 0, last: 900 }]);
    expect(denials.fresh).toBe(false);
    denials.add(flow(1), 3000);
    denials.add(flow(1), 4000);
    expect([denials.fresh, denials.take(5000)]).toEqual([false, []]);
    expect(denials.take(minute)).toEqual([{ ...flow(1), count: 2, first: 3000, last: 4000 }]);
    expect(denials.take(2 * minute - 1)).toEqual([]);
    expect(denials.take(2 * minute)).toEqual([]);
    denials.add(flow(1), 2 * minute + 1);
    expect(denials.take(2 * minute + 2)).toEqual([
      { ...flow(1), count: 1, first: 2 * minute + 1, last: 2 * minute + 1 },
    ]);
  });

  it('of one that tries everything are few entries, and nobody else is pushed out', () => {
    const denials = new Denials();
    for (let port = 1; port <= 5000; port++) denials.add(flow(1, `${port}/tcp`), 0);
    denials.add(flow(2), 0);
    const told = denials.take(1);
    expect(told).toHaveLength(52);
    expect(told.find(({ destination }) => destination === null)).toMatchObject({ port: null, count: 4950 });
    expect(told.at(-1)).toMatchObject({ source: '192.168.66.2', count: 1 });
  });

  it('of made-up sources without number are bounded too, and forgotten again', () => {
    const denials = new Denials();
    for (let i = 0; i < 5000; i++) {
      denials.add({ ...flow(1), source: address(`10.0.${i >> 8}.${i & 255}`) }, 0);
    }
    expect(denials.take(1).length).toBeLessThanOrEqual(1000);
    denials.take(minute + 1);
    denials.add(flow(3), minute + 2);
    expect(denials.take(minute + 3)).toHaveLength(1);
  });

  it('are all counted, whenever somebody looks', () => {
    const step = fc.record({
      of: fc.integer({ min: 1, max: 3 }),
      pause: fc.integer({ min: 0, max: 40_000 }),
      look: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const denials = new Denials();
        let at = 0;
        let counted = 0;
        const take = () => {
          for (const { count } of denials.take(at)) counted += count;
        };
        for (const { of, pause, look } of steps) {
          at += pause;
          denials.add(flow(of), at);
          if (look) take();
        }
        at += 2 * minute;
        take();
        expect(counted).toBe(steps.length);
      }),
    );
  });
});

describe('the end of a lease', () => {
  it('is said once at each mark, and again when a renewed one comes there', () => {
    const endings = new Endings();
    const one = lease('203.0.113.50/32', {}, now);
    const said: number[] = [];
    const pass = (left: number, what = one) => {
      const at = { ...now, boot: what.deadline - left };
      const { endings: found, next } = endings.look([what], at);
      for (const ending of found) said.push(ending.left / minute);
      return next / minute;
    };
    expect(pass(24 * hour)).toBe(23 * 60);
    expect(pass(hour + 1)).toBeCloseTo(0);
    expect(pass(hour)).toBe(50);
    pass(59 * minute);
    pass(9 * minute);
    expect(pass(minute)).toBe(Number.POSITIVE_INFINITY);
    pass(0);
    expect(said).toEqual([60, 9]);
    pass(24 * hour);
    pass(30 * minute);
    expect(said).toEqual([60, 9, 30]);
  });

  it('is not said of what is found near its end after a start, nor of what waits for the time', () => {
    const endings = new Endings();
    const one = lease('203.0.113.50/32', {}, now);
    const near = { ...now, boot: one.deadline - minute };
    expect(endings.look([one], near).endings).toEqual([]);
    expect(endings.look([one], near).endings).toEqual([]);
    const waiting = { ...near, bootId: 'boot-2', synchronised: false };
    expect(endings.look([one], waiting)).toEqual({ endings: [], next: Number.POSITIVE_INFINITY });
  });
});

describe('entries', () => {
  const config = exampleConfig();

  it('of a device are by its member, of a server by the router, of a stranger none', () => {
    expect(peerEntry(config, { kind: 'moved', key: laptop, from: home, last: null, to: hotel })).toEqual({
      actor: 'anna1',
      event: 'moved',
      body: { peer: 'laptop.anna.team', member: 'anna1', from: home, to: hotel },
    });
    expect(peerEntry(config, { kind: 'connected', key: publicKey(1), at: home, silent: 200_400 })).toEqual({
      actor: 'router',
      event: 'connected',
      body: { peer: 'web.shop', address: home, silentSeconds: 200 },
    });
    expect(peerEntry(config, { kind: 'connected', key: laptop, at: home, silent: null })?.body).toMatchObject({
      first: true,
    });
    expect(peerEntry(config, { kind: 'disconnected', key: laptop, at: null })?.body).toMatchObject({ address: null });
    expect(peerEntry(config, { kind: 'disconnected', key: publicKey(99), at: null })).toBeNull();
  });

  it('of refusals have the names of machines, of LAN devices by every address they have', () => {
    const before = [
      { mac: '02:00:00:00:66:0a', address: address('192.168.66.150') },
      { mac: '02:00:00:00:66:99', address: address('192.168.66.151') },
    ];
    const named = (source: string, destination: string | null) => {
      const denial = { source: address(source), destination: destination === null ? null : address(destination) };
      const entry = denialEntry(config, before, { ...denial, port: '80/tcp', count: 2, first: 0, last: 60_000 });
      return [entry.actor, entry.body['source'], entry.body['destination']];
    };
    expect(named('172.16.1.10', '172.16.11.20')).toEqual(['anna1', 'laptop.anna.team', 'ledger.books']);
    expect(named('192.168.66.10', '192.168.66.1')).toEqual(['router', 'tv.lan', 'hub']);
    expect(named('192.168.66.150', '172.16.0.1')).toEqual(['router', 'tv.lan', 'hub']);
    expect(named('192.168.66.151', null)).toEqual(['router', '192.168.66.151', null]);
    expect(named('172.16.10.10', '172.16.2.10')).toEqual(['router', 'web.shop', 'tv.lan']);
    expect(named('172.16.10.10', '192.0.2.1')).toEqual(['router', 'web.shop', '192.0.2.1']);
    expect(named('172.16.1.10', '192.168.66.1')).toEqual(['anna1', 'laptop.anna.team', 'hub']);
    const bare = withChanged('lanDevices', 0, {}, exampleConfig({ lan: null, lanDevices: [] }));
    const denial = { source: home, destination: hotel, port: null, count: 1, first: 0, last: 0 };
    expect(denialEntry(bare, [], denial).body).toMatchObject({ source: home, destination: hotel });
  });
});

describe('the journal', () => {
  it('keeps what the disk does not take, up to a bound, and writes it later; other accidents are not hidden', () => {
    const written: number[] = [];
    let full = true;
    const journal = new Journal((_, entries) => {
      if (full) throw new StoreUnavailable('store-write', 'The disk is full.', { remedy: '', cause: null });
      written.push(...entries.map(({ body }) => Number(body['n'])));
    });
    for (let n = 0; n < 600; n++) journal.add('denied', [{ actor: 'router', event: 'denied', body: { n } }]);
    journal.add('denied', []);
    journal.flush();
    full = false;
    journal.flush();
    journal.flush();
    expect(written).toEqual(Array.from({ length: 500 }, (_, i) => i + 100));
    const broken = new Journal(() => {
      throw new TypeError('a mistake');
    });
    broken.add('denied', [{ actor: 'router', event: 'denied', body: {} }]);
    expect(() => broken.flush()).toThrow('a mistake');
  });
});
