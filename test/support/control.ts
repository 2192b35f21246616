// The control API over a real store, with everything outside of it imitated: no sockets, no kernel.
import type { Address, Prefix } from '../../src/model/address.ts';
import type { PublicKey } from '../../src/model/key.ts';
import type { Clock } from '../../src/model/lease.ts';
import type { Principal } from '../../src/model/roles.ts';
import { Conditions } from '../../src/router/conditions.ts';
import { Announcements } from '../../src/router/control/announcements.ts';
import { createApp } from '../../src/router/control/app.ts';
import { Attempts } from '../../src/router/control/attempts.ts';
import { aboutOf } from '../../src/router/control/http.ts';
import { Passwords } from '../../src/router/control/passwords.ts';
import type { LivePeer, Saved, Services } from '../../src/router/control/services.ts';
import { KnockKeeper } from '../../src/router/knock/keeper.ts';
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
  /** What the port towards the Internet has. */
  readonly wan: { address: Address; range: Prefix }[];
  restarts: number;
  /** What was saved and waited for, in order. */
  readonly woken: Saved[];
  readonly waits: number[];
  readonly log: string[];
  /** What `X-Applied` will say. */
  applied: boolean;
  readonly knocks: KnockKeeper;
  readonly services: { -readonly [K in keyof Services]: Services[K] };
  app(principal?: Principal | 'web'): ReturnType<typeof createApp>;
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  as(principal: Principal, method: string, path: string, body?: unknown): Promise<Answer>;
}

export async function answerOf(response: Response): Promise<Answer> {
  const text = await response.text();
  const json = /^application\/json\b/.test(response.headers.get('content-type') ?? '');
  return {
    status: response.status,
    body: text === '' ? null : json ? JSON.parse(text) : text,
    headers: response.headers,
  };
}

export function makeControl(folder: string = temporaryFolder()): Control {
  const clock = { ...noon };
  const store = openStore(folder, () => clock.wall);
  const log: string[] = [];
  const conditions = new Conditions(
    () => noon.wall,
    (line) => log.push(line),
  );
  const listeners = new Set<() => void>();
  let ids = 0;
  const tellAll = () => {
    for (const listener of listeners) listener();
  };
  const knocks = new KnockKeeper({
    ...{ store, hubPrivateKey: store.snapshot.hubPrivateKey, hubPublicKey: publicKeyOf(store.snapshot.hubPrivateKey) },
    clock: () => ({ ...clock }),
    newId: () => control.services.newId(),
    wake: (what) => control.services.wake(what),
    changed: tellAll,
    renewPeer: () => {},
    log: (line) => log.push(line),
    lastHandshake: async (publicKey) => control.peers.get(publicKey)?.lastHandshake ?? null,
  });
  const control: Control = {
    ...{
      store,
      conditions,
      clock,
      knocks,
      log,
      applied: true,
      peers: new Map(),
      leased: [],
      wan: [],
      restarts: 0,
      woken: [],
      waits: [],
    },
    services: {
      ...{ store, conditions, hubPublicKey: publicKeyOf(store.snapshot.hubPrivateKey), startedAt: noon.wall },
      clock: () => ({ ...clock }),
      newId: () => `id${String(++ids).padStart(6, '0')}`,
      newPresharedKey: () => new Uint8Array(32).fill(9),
      // As cheap as argon2 can be.
      passwords: new Passwords({ memory: 8, passes: 1, parallelism: 1 }),
      attempts: new Attempts(() => clock.boot),
      setupProblem: () => null,
      ports: async () => ['wan0', 'lan0', 'lan1', 'lan2'],
      restart: () => {
        control.restarts += 1;
      },
      wake: (what) => {
        control.woken.push(what);
        if (what === 'everything') knocks.write();
        tellAll();
      },
      appliedRevision: () => store.snapshot.revision,
      applied: async (_, timeout) => {
        control.waits.push(timeout);
        return control.applied;
      },
      knocks,
      tunnel: async () => ({ up: true, peers: control.peers, devices: new Map([['apn1', control.peers]]) }),
      publicKeyOf,
      portAddresses: () => control.wan,
      leased: () => control.leased as ReturnType<Services['leased']>,
      onChange: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      announcements: new Announcements(),
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
  const request = new Request(`http://localhost${path}`, {
    ...{ method, headers },
    ...(body === undefined ? {} : { body: text }),
  });
  const answer = await answerOf(await app.fetch(request));
  const described = aboutOf(request)?.answer;
  if (answer.status < 300 && described !== undefined) {
    const { error } = described.safeParse(answer.body);
    if (error !== undefined) throw new Error(`${method} ${path} does not answer as described: ${error.message}`);
  }
  return answer;
}
