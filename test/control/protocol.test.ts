// What all routes share: who may call them, strict bodies, revisions, waiting for the machine, errors, and the event stream.
import { Hono } from 'hono';
import { describe, expect, it } from 'vitest';
import type { Principal } from '../../src/model/roles.ts';
import { declarations, needs } from '../../src/router/control/http.ts';
import type { Env } from '../../src/router/control/services.ts';
import { StoreUnavailable } from '../../src/router/store/errors.ts';
import { makeControl } from '../support/control.ts';
import { poll } from '../support/lab/run.ts';
import { publicKey, withMember } from '../support/saving.ts';

const anonymous: Principal = { kind: 'anonymous' };

describe('permissions', () => {
  it('every route declares one', () => {
    const { routes } = makeControl().app();
    expect(routes.filter(({ method }) => method !== 'ALL').length).toBeGreaterThan(35);
  });

  it.each([
    ['a bare handler', (app: Hono<Env>) => app.get('/open', (c) => c.text('hello'))],
    [
      'a handler before its permission',
      (app: Hono<Env>) => app.post('/open', async (_, next) => next(), needs('see', { title: 'A page.' })),
    ],
    ['a handler for all methods', (app: Hono<Env>) => app.all('/open', (c) => c.text('hello'))],
    [
      'one in a sub-app',
      (app: Hono<Env>) =>
        app.route(
          '/sub',
          new Hono<Env>().delete('/:id', (c) => c.text('hello')),
        ),
    ],
  ])('%s without one stops the start', (_, add) => {
    const app = new Hono<Env>().get('/good', needs('see', { title: 'A page.' }), (c) => c.text('hello'));
    expect(() => declarations(app)).not.toThrow();
    add(app);
    expect(() => declarations(app)).toThrow('does not declare its permission');
  });

  it('a stranger reads counts and states, may show a secret, and nothing else is answered or saved', async () => {
    const control = makeControl();
    await control.call('POST', '/members', { name: 'Ben', role: 'owner' });
    const { app } = control;
    const allowed: string[] = [];
    for (const { method, path } of app().routes.filter((route) => route.method !== 'ALL')) {
      const url = path.replace(/:(\w+)(\{[^}]*\})?/g, 'web');
      const init = {
        method,
        headers: { 'content-type': 'application/json' },
        ...(method === 'GET' ? {} : { body: '{}' }),
      };
      const response = await app(anonymous).request(url, init);
      if (response.status === 401)
        expect(await response.json()).toEqual({ error: { path: '', message: 'Sign in first.' } });
      else allowed.push(`${method} ${url} ${response.status}`);
      if (response.headers.get('content-type')?.startsWith('text/event-stream')) await response.body?.cancel();
    }
    expect(new Set(allowed)).toEqual(
      new Set([
        ...['GET /summary 200', 'GET /events 200', 'GET /setup 200', 'GET /handovers/web 200', 'GET /openapi.json 200'],
        // Nobody is signed in or out by nothing.
        ...['GET /session 200', 'DELETE /session 200', 'POST /session 400'],
        // Each asks for a secret, which is missing here; and an owner is there already.
        ...['POST /invitations/look 400', 'POST /invitations/take 400', 'POST /handovers/take 400'],
        'POST /setup/claim 409',
        // For devices in the tunnel, known by their address.
        'POST /leases/renew 403',
      ]),
    );
    expect(control.store.snapshot.revision).toBe(1);
    expect((await control.as(anonymous, 'GET', '/nothing')).status).toBe(404);
  });

  it('the summary tells a stranger no names, addresses or keys', async () => {
    const control = makeControl();
    await control.call('POST', '/applications', { label: 'canaryapp' });
    const key = publicKey();
    await control.call('POST', '/servers', { application: 'canaryapp', label: 'canaryserver', publicKey: key });
    await control.call('POST', '/members', { name: 'Canary', role: 'owner' });
    await control.call('POST', '/leases', { source: '203.0.113.7' });
    const { body } = await control.as(anonymous, 'GET', '/summary');
    expect(body).toMatchObject({
      ...{
        hostName: 'apn-router',
        state: 'up',
        revision: 4,
        appliedRevision: 4,
        tunnel: { up: true, listenPort: 51820 },
      },
      counts: { applications: 1, servers: 1, serversConnected: 0, devices: 0, leases: 1, rules: 0, lanDevices: 0 },
    });
    const text = JSON.stringify(body).toLowerCase();
    for (const secret of ['canary', '203.0.113', '172.16', key.toLowerCase()]) expect(text).not.toContain(secret);
  });

  it('a member reads and an owner changes, as the configuration is at that moment', async () => {
    const control = makeControl();
    control.store.save({ actor: 'test', summary: '' }, (transaction) =>
      transaction.put(withMember(withMember(transaction.config, 'olga'), 'anna', 'developer')),
    );
    const [olga, anna] = ['olga', 'anna'].map((id): Principal => ({ kind: 'member', id }));
    const add = (principal: Principal | undefined, label: string) =>
      control.as(principal ?? anonymous, 'POST', '/applications', { label });
    expect((await control.as(anna ?? anonymous, 'GET', '/servers')).status).toBe(200);
    expect((await add(anna, 'one')).status).toBe(403);
    expect((await add(olga, 'two')).status).toBe(201);
    expect((await control.as(anna ?? anonymous, 'PATCH', '/members/anna', { role: 'owner' })).status).toBe(403);
    await control.call('PATCH', '/members/anna', { role: 'owner' });
    expect((await add(anna, 'three')).status).toBe(201);
    await control.call('PATCH', '/members/olga', { disabled: true });
    expect((await add(olga, 'four')).status).toBe(403);
    expect((await control.as(olga ?? anonymous, 'GET', '/servers')).status).toBe(403);
    // What anybody may read, they may as well.
    expect((await control.as({ kind: 'member', id: 'nobody' }, 'GET', '/summary')).status).toBe(200);
    expect((await control.as({ kind: 'member', id: 'nobody' }, 'GET', '/servers')).status).toBe(403);
  });

  it('50 conflicting changes at once never leave zero owners', async () => {
    const control = makeControl();
    for (const name of ['olga', 'otto']) await control.call('POST', '/members', { name, role: 'owner' });
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        control.call(
          'PATCH',
          `/members/${i % 2 === 0 ? 'olga' : 'otto'}`,
          i % 3 === 0 ? { disabled: true } : { role: 'viewer' },
        ),
      ),
    );
    const owners = control.store.snapshot.config.members.filter(({ role, disabled }) => role === 'owner' && !disabled);
    expect(owners).toHaveLength(1);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 400]));
  });
});

describe('a request body', () => {
  const post = (text: string, headers: Record<string, string> = {}) => {
    const control = makeControl();
    return control.call('POST', '/applications', text, headers).then((answer) => ({ ...answer, control }));
  };

  it.each([
    ['{"__proto__": {"label": "x"}}', '__proto__'],
    ['{"label": "shop", "label": "books"}', 'label'],
    ['{"label": "shop", "l\\u0061bel": "books"}', 'label'],
    ['{"label": "shop", "range": {"a": 1, "a": 1}}', 'a'],
    ['{"constructor": 1, "label": "shop"}', 'constructor'],
    ['', 'label'],
    ['[]', ''],
    ['null', ''],
    ['"shop"', ''],
    ['{"label": "shop"', ''],
    ['{"label": "shop"} x', ''],
    ["{'label': 'shop'}", ''],
    ['{"label": NaN}', ''],
    ['\ufeff\ufeff{"label": "shop"}', ''],
  ])('%s is refused at %j', async (text, path) => {
    const { status, body, control } = await post(text);
    expect([status, body.error.path]).toEqual([400, path]);
    expect(control.store.snapshot.revision).toBe(0);
  });

  it('takes the same names in different objects, and names inside texts', async () => {
    const control = makeControl();
    const { status } = await control.call('PATCH', '/lan', {
      ...{ wan: 'wan0', ports: ['lan0'], address: '192.168.66.1/24' },
      dhcp: { from: '192.168.66.10', to: '192.168.66.20' },
    });
    expect(status).toBe(200);
    const reason = '{"__proto__": 1, "source": "a\\"b", "source": [[[';
    expect((await control.call('POST', '/leases', { source: '203.0.113.7', reason })).body.reason).toBe(reason);
  });

  it.each([
    ['nested 10,000 deep', `{"label": ${'['.repeat(10_000)}${']'.repeat(10_000)}}`],
    ['objects nested 10,000 deep', `${'{"label": '.repeat(10_000)}1${'}'.repeat(10_000)}`],
    ['of 1 MB', JSON.stringify({ label: 'x'.repeat(1024 * 1024) })],
    ['of 1 MB of spaces', `{"label": "shop"${' '.repeat(1024 * 1024)}}`],
    ['an open text full of backslashes', `"${'\\"'.repeat(120_000)}`],
    ['a text full of quotes', `{"a${'"'.repeat(200_000)}`],
    ['200 KB of open brackets', '['.repeat(200_000)],
    ['200 KB of names', `{${Array.from({ length: 15_000 }, (_, i) => `"n${i}": 1`).join(',')}}`],
  ])('%s is refused, and soon', async (_, text) => {
    const before = performance.now();
    const { status, body, control } = await post(text);
    expect(status).toBe(400);
    expect(JSON.stringify(body).length).toBeLessThan(500);
    expect(control.store.snapshot.revision).toBe(0);
    // A guard against time by the square of the length, which would be minutes.
    expect(performance.now() - before).toBeLessThan(2000);
  });

  it('is not read when its length says that it is too large', async () => {
    const { status, body } = await post('{"label": "shop"}', { 'content-length': '999999999' });
    expect([status, body.error.message]).toEqual([400, 'The request is too large.']);
  });

  it('without an end is given up at the limit', async () => {
    const control = makeControl();
    let sent = 0;
    const endless = new ReadableStream({
      pull(controller) {
        sent += 65_536;
        controller.enqueue(new Uint8Array(65_536).fill(0x20));
      },
    });
    const init = { method: 'POST', body: endless, duplex: 'half' } as RequestInit;
    const response = await control.app().request('/applications', init);
    expect(response.status).toBe(400);
    expect(sent).toBeLessThan(1024 * 1024);
  });
});

describe('revisions and waiting', () => {
  it('If-Match refuses a stale revision with 409 and takes the present one', async () => {
    const control = makeControl();
    const add = (label: string, match: string) =>
      control.call('POST', '/applications', { label }, { 'if-match': match });
    const first = await add('one', '"0"');
    expect([first.status, first.headers.get('x-revision')]).toEqual([201, '1']);
    for (const stale of ['"0"', '0', '"2"', 'W/"1"', 'rubbish']) {
      const { status, body } = await add('two', stale);
      expect([stale, status, body.error.path]).toEqual([stale, 409, 'revision']);
    }
    expect((await add('two', '1')).status).toBe(201);
    expect((await add('three', '*')).status).toBe(201);
    expect(control.store.snapshot.revision).toBe(3);
  });

  it('Prefer: wait says how long, at most 30 s; X-Applied says whether the machine agrees', async () => {
    const control = makeControl();
    const add = async (label: string, prefer?: string) => {
      const { headers } = await control.call(
        'POST',
        '/applications',
        { label },
        prefer === undefined ? {} : { prefer },
      );
      return [headers.get('x-applied'), control.waits.at(-1)];
    };
    expect(await add('one')).toEqual(['true', 0]);
    expect(await add('two', 'wait=5')).toEqual(['true', 5_000]);
    expect(await add('three', 'respond-async, wait=120')).toEqual(['true', 30_000]);
    expect(await add('four', 'await=5')).toEqual(['true', 0]);
    control.applied = false;
    expect(await add('five', 'wait=1')).toEqual(['false', 1_000]);
  });

  it('wakes for everything, and for leases alone after a lease', async () => {
    const control = makeControl();
    await control.call('POST', '/applications', { label: 'one' });
    await control.call('POST', '/leases', { source: '203.0.113.7' });
    await control.call('DELETE', '/leases/203.0.113.7');
    expect(control.woken).toEqual(['everything', 'leases', 'leases']);
  });
});

describe('errors', () => {
  it('an accident is a 500 with a number that the log knows, and no details', async () => {
    const control = makeControl();
    control.services.tunnel = async () => {
      throw new Error('the inside story');
    };
    const { status, body } = await control.call('GET', '/servers');
    expect(status).toBe(500);
    const id = /[0-9a-f-]{36}/.exec(body.error.message)?.[0] ?? '';
    expect(JSON.stringify(body)).not.toContain('inside story');
    expect(control.log.some((line) => line.includes(id) && line.includes('inside story'))).toBe(true);
  });

  it('a store that cannot write is a 503 with what to do', async () => {
    const control = makeControl();
    control.store.save = () => {
      throw new StoreUnavailable('store-write', 'It could not be written.', { remedy: 'Make room.' });
    };
    const { status, body } = await control.call('POST', '/applications', { label: 'one' });
    expect([status, body]).toEqual([503, { error: { path: '', message: 'It could not be written. Make room.' } }]);
  });

  it.each([
    ['GET', '/nothing'],
    ['PUT', '/applications'],
    ['POST', '/summary'],
    ['GET', '/../etc/passwd'],
    ['GET', '/%00'],
    ['DELETE', '/leases/'],
  ])('%s %s is a 404 as JSON', async (method, path) => {
    const { status, body } = await makeControl().call(method, path);
    expect([status, body]).toEqual([404, { error: { path: '', message: expect.any(String) } }]);
  });

  it('hostile text in a path comes back short and harmless', async () => {
    const control = makeControl();
    const { status, body } = await control.call(
      'DELETE',
      `/servers/${encodeURIComponent(`\x1b[31m${'é'.repeat(5000)}`)}`,
    );
    expect(status).toBe(404);
    expect(body.error.message).toMatch(/^[\x20-\x7e“”]{1,120}$/);
  });
});

describe('/status and /summary', () => {
  it('say what state the router is in', async () => {
    const control = makeControl();
    const state = async () => (await control.call('GET', '/summary')).body.state;
    expect(await state()).toBe('unclaimed');
    await control.call('POST', '/members', { name: 'Olga', role: 'owner' });
    expect(await state()).toBe('up');
    control.services.appliedRevision = () => 0;
    expect(await state()).toBe('starting');
    control.conditions.raise({ code: 'x', severity: 'warning', title: 'T', remedy: 'R' });
    expect(await state()).toBe('starting');
    control.conditions.raise({ code: 'y', severity: 'error', title: 'T', remedy: 'R' });
    expect(await state()).toBe('fault');
    const { body } = await control.call('GET', '/status');
    expect(body).toMatchObject({ hubPublicKey: control.services.hubPublicKey, network: { domain: 'apn' } });
    expect(body.conditions).toEqual([
      { code: 'y', severity: 'error', title: 'T', remedy: 'R', since: '2023-11-14T22:13:20.000Z' },
      { code: 'x', severity: 'warning', title: 'T', remedy: 'R', since: '2023-11-14T22:13:20.000Z' },
    ]);
  });
});

describe('/events', () => {
  it('sends the summary at once and after changes, and lets go when the reader does', async () => {
    const control = makeControl();
    let listening = 0;
    const { onChange } = control.services;
    control.services.onChange = (listener) => {
      listening++;
      const stop = onChange(listener);
      return () => {
        listening--;
        stop();
      };
    };
    const response = await control.app({ kind: 'anonymous' }).request('/events');
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const next = async () => {
      const { value } = await reader.read();
      const text = new TextDecoder().decode(value);
      expect(text).toMatch(/^event: summary\ndata: \{.*\}\n\n$/);
      return JSON.parse(text.split('\n')[1]?.slice(6) ?? '').counts.applications as number;
    };
    expect(await next()).toBe(0);
    expect(listening).toBe(1);
    // Several changes in a burst are one event.
    for (const label of ['one', 'two', 'three']) await control.call('POST', '/applications', { label });
    expect(await next()).toBe(3);
    await reader.cancel();
    await poll(() => listening === 0, { what: 'the stream to let go' });
  });
});
