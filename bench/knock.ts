// A flood at the closed port: what 20,000 datagrams a second cost the router, and how soon a real client is named meanwhile.
import { randomBytes } from 'node:crypto';
import { initiation, keyPairOf, makeKeyPair, tai } from '../test/knock/initiator.ts';
import { ethernet, inject, injector, macOf, udp } from '../test/support/lab/frames.ts';
import { poll } from '../test/support/lab/lab.ts';
import { type Bench, cpu, type Row, runAlone, withHub } from './hub.ts';

const peers = 20;
const rate = 20_000;
/** Milliseconds between two writes of the sender, and of one flood. */
const every = 20;
const length = 5000;
const knocksEach = 20;
/** Writes until the same datagrams come again: more made-up sources than the firewall counts apart. */
const portions = 16;
const hubWan = '203.0.113.1';
const stranger = '203.0.113.66';

export function run(): Promise<Bench> {
  return withHub('lckn', async (hub) => {
    const { lab } = hub;
    hub.prepare(peers);
    const router = hub.router();
    await poll(() => hub.call('GET', '/summary'), { within: 20_000, what: 'the router' });
    await hub.applied();
    const { hubPublicKey } = await hub.call('GET', '/status');
    const hubKey = Buffer.from(hubPublicKey, 'base64');
    const phone = keyPairOf(randomBytes(32));
    const publicKey = Buffer.from(phone.publicKey).toString('base64');
    await hub.call('POST', '/devices', { member: 'ben', label: 'phone', publicKey, presharedKey: false });
    const mac = { hub: await macOf(lab, 'hub', 'wan0'), stranger: await macOf(lab, 'stranger', 'eth0') };
    const frame = (from: string, payload: Uint8Array) =>
      ethernet(mac.hub, mac.stranger, udp({ from, to: hubWan, sport: 40_000, dport: 51820 }, payload));
    const junk = () => Buffer.concat([Buffer.from([1, 0, 0, 0]), randomBytes(144)]);
    const anywhere = () => `${1 + Math.floor(Math.random() * 99)}.${randomBytes(2).join('.')}.7`;
    const real = Array.from({ length: 50 }, () =>
      initiation({ hub: hubKey, from: makeKeyPair(), timestamp: tai(Date.now()) }),
    );

    /** Milliseconds from a knock of the phone to its name on the list. */
    const named = async (n: number): Promise<number> => {
      const source = `198.51.100.${n + 1}`;
      const message = initiation({ hub: hubKey, from: phone, timestamp: tai(Date.now()) });
      await inject(lab, 'stranger', 'eth0', [frame(source, message)]);
      const start = performance.now();
      const listed = async () =>
        ((await hub.call('GET', '/knocks')) as { source: string; kind: string }[]).some(
          (one) => one.kind === 'device' && one.source === source,
        );
      await poll(listed, { within: 2000, every: 1, what: 'the phone' }).catch(() => null);
      return (await listed()) ? performance.now() - start : Number.NaN;
    };

    const rows: Row[] = [];
    let n = 0;
    const floods: readonly (readonly [string, (() => Buffer) | null])[] = [
      ['no flood', null],
      ['like handshakes, one source', () => frame(stranger, junk())],
      ['like handshakes, made-up sources', () => frame(anywhere(), junk())],
      ['real handshakes of unknown keys, made-up sources', () => frame(anywhere(), real[n++ % real.length] as Buffer)],
    ];
    for (const [name, make] of floods) {
      const senders = Array.from({ length: make === null ? 0 : portions }, () =>
        injector(
          lab,
          'stranger',
          'eth0',
          Array.from({ length: (rate * every) / 1000 }, make ?? (() => Buffer.alloc(0))),
        ),
      );
      let turn = 0;
      const timer = setInterval(() => senders[turn++ % senders.length]?.send(), every);
      const before = cpu(router.pid);
      const start = performance.now();
      await new Promise((resolve) => setTimeout(resolve, length));
      const after = cpu(router.pid);
      const used = (after.user + after.system - before.user - before.system) / (performance.now() - start);
      rows.push({ name: `${name}: CPU`, value: used * 100, unit: '%', ...(make === null ? {} : { target: '≤ 10' }) });
      const times: number[] = [];
      for (let i = 0; i < knocksEach; i++) times.push(await named(rows.length * 20 + i));
      clearInterval(timer);
      for (const sender of senders) await sender.close();
      const heard = times.filter((time) => !Number.isNaN(time));
      rows.push({ name: `${name}: knocks named, of ${knocksEach}`, value: heard.length, unit: '' });
      // The next flood finds the limits rested.
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
    await router.stop();
    return { title: `${rate} datagrams/s at UDP 51820, ${peers} peers`, rows };
  });
}

await runAlone(import.meta.filename, run);
