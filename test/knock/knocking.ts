// A control API whose members and servers can knock: keys, the packets they send, and what the list then shows.
import type { Knock } from '../../src/model/knock.ts';
import { type Control, makeControl } from '../support/control.ts';
import { udp } from '../support/lab/frames.ts';
import { initiation, type KeyPair, makeKeyPair, tai } from './initiator.ts';

export const hotel = '198.51.100.7';
export const cafe = '198.51.100.99';

export interface Knocking extends Control {
  readonly keys: Readonly<Record<'phone' | 'laptop' | 'tablet' | 'web', KeyPair>>;
  /** The packet of a handshake as the firewall copies it; now and from the hotel unless it is said. */
  packet(from: KeyPair, options?: { readonly source?: string; readonly wall?: number }): Buffer;
  /** It is refused, and all that follows from it has been done. */
  refuse(packet: Uint8Array): Promise<void>;
  listed(id: string | null): Knock | undefined;
  patch(path: string, body: unknown): Promise<unknown>;
}

/** Anna (developer of shop) with a phone and a laptop, Ben who only looks with a tablet, and the server web.shop. */
export async function makeKnocking(): Promise<Knocking> {
  const control = makeControl();
  const keys = { phone: makeKeyPair(), laptop: makeKeyPair(), tablet: makeKeyPair(), web: makeKeyPair() };
  const text = (pair: KeyPair) => Buffer.from(pair.publicKey).toString('base64');
  const post = async (path: string, body: unknown) => {
    const answer = await control.call('POST', path, body);
    if (answer.status !== 201) throw new Error(`POST ${path}: ${JSON.stringify(answer.body)}`);
  };
  await post('/applications', { label: 'shop', range: '172.16.10.0/24' });
  await post('/members', { name: 'Olga', role: 'owner' });
  await post('/members', { name: 'Anna', access: { shop: 'developer' } });
  await post('/members', { name: 'Ben', role: 'viewer' });
  for (const [member, label] of [
    ['anna', 'phone'],
    ['anna', 'laptop'],
    ['ben', 'tablet'],
  ] as const) {
    await post('/devices', { member, label, publicKey: text(keys[label]), presharedKey: false });
  }
  const source = '203.0.113.10';
  await post('/servers', { application: 'shop', label: 'web', publicKey: text(keys.web), presharedKey: false, source });
  const hub = Buffer.from(control.services.hubPublicKey, 'base64');
  return {
    ...control,
    keys,
    packet: (from, { source: address = hotel, wall = control.clock.wall } = {}) => {
      const message = initiation({ hub, from, timestamp: tai(wall) });
      const to = address.includes(':') ? '2001:db8:113::1' : '203.0.113.1';
      return udp({ from: address, to, sport: 40_000, dport: 51820 }, message);
    },
    refuse: async (packet) => {
      control.knocks.refused(packet);
      // What is done by itself waits for the tunnel's answer.
      await new Promise((resolve) => setImmediate(resolve));
    },
    listed: (id) => control.knocks.list().find((one) => one.id === id || one.peer === id),
    patch: async (path, body) => {
      const answer = await control.call('PATCH', path, body);
      if (answer.status !== 200) throw new Error(`PATCH ${path}: ${JSON.stringify(answer.body)}`);
      return answer.body;
    },
  };
}
