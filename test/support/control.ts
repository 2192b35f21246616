// The control API over a real store, with everything outside of it imitated: no sockets, no kernel.
import type { Address } from '../../src/model/address.ts';
import type { PublicKey } from '../../src/model/key.ts';
import type { Clock } from '../../src/model/lease.ts';
import type { Principal } from '../../src/model/roles.ts';
import { Conditions } from '../../src/router/conditions.ts';
import { createApp } from '../../src/router/control/app.ts';
import type { LivePeer, Saved, Services } from '../../src/router/control/services.ts';
import type { Store } from '../../src/router/store/store.ts';
import { noon, publicKeyOf } from './saving.ts';
import { openStore, temporaryFolder } from './store.ts';

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: every route has its own answer, and tests say what they expect
  readonly body: any;
  readonly headers: Headers;
}

export interface Control {
  readonly store: Store;
  readonly conditions: Conditions;
  readonly clock: { -readonly [K in keyof Clock]: Clock[K] };
  readonly peers: Map<PublicKey, LivePeer>;
  readonly leased: { mac: string; address: Address; hostName: string }[];
  /** What was saved and waited for, in order. */
  readonly woken: Saved[];
  readonly waits: number[];
  readonly log: string[];
  /** What `X-Applied` will say. */
  applied: boolean;
  readonly services: { -readonly [K in keyof Services]: Services[K] };
  app(principal?: Principal): ReturnType<typeof createApp>;
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  as(principal: Principal, method: string, path: string, body?: unknown): Promise<Answer>;
}

export async function answerOf(response: Response): Promise<Answer> {
  const text = await response.text();
  return { status: response.status, body: text === '' ? null : JSON.parse(text), headers: response.headers };
}

export function makeControl(): Control {
  const store = openStore(temporaryFolder());
  const log: string[] = [];
  const conditions = new Conditions(
    () => noon.wall,
    (line) => log.push(line),
  );
  const listeners = new Set<() => void>();
  const clock = { ...noon };
  let ids = 0;
  const control: Control = {
    ...{ store, conditions, clock, log, applied: true, peers: new Map(), leased: [], woken: [], waits: [] },
    services: {
      ...{ store, conditions, hubPublicKey: publicKeyOf(store.snapshot.hubPrivateKey), startedAt: noon.wall },
      clock: () => ({ ...clock }),
      newId: () => `id${String(++ids).padStart(6, '0')}`,
      newPresharedKey: () => new Uint8Array(32).fill(9),
      wake: (what) => {
        control.woken.push(what);
        for (const listener of listeners) listener();
      },
      appliedRevision: () => store.snapshot.revision,
      applied: async (_, timeout) => {
        control.waits.push(timeout);
        return control.applied;
      },
      tunnel: async () => ({ up: true, peers: control.peers }),
      leased: () => control.leased as ReturnType<Services['leased']>,
      onChange: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    app: (principal = { kind: 'console' }) => createApp(control.services, principal, (line) => log.push(line)),
    call: (method, path, body, headers = {}) => send(control.app(), method, path, body, headers),
    as: (principal, method, path, body) => send(control.app(principal), method, path, body, {}),
  };
  conditions.onChange(() => {
    for (const listener of listeners) listener();
  });
  return control;
}

async function send(
  app: ReturnType<typeof createApp>,
  method: string,
  path: string,
  body: unknown,
  headers: Record<string, string>,
): Promise<Answer> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return answerOf(await app.request(path, { method, headers, ...(body === undefined ? {} : { body: text }) }));
}
