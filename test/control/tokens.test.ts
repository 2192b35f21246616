// API tokens: what each scope may, how they end, and that they work while the second factor is on.
import { TOTP } from 'otpauth';
import { describe, expect, it } from 'vitest';
import { bearer, signedIn, withPeople } from '../support/people.ts';

async function withTokens(name = 'Ben') {
  const control = await withPeople();
  const member = await signedIn(control, name);
  const make = async (scope: string, more: object = {}) => {
    const { status, body } = await member('POST', '/account/tokens', { name: scope, scope, ...more });
    if (status !== 201) throw new Error(JSON.stringify(body));
    return { id: body.id as string, ask: bearer(control, body.token), text: body.token as string };
  };
  return { control, member, make };
}

describe('a token', () => {
  it('is shown once, listed without its text, and works until it is ended', async () => {
    const { control, member, make } = await withTokens();
    const { id, ask, text } = await make('read');
    expect(text).toMatch(/^apn_token_[\w-]{43}$/);
    expect((await ask('GET', '/servers')).status).toBe(200);
    const { body } = await member('GET', '/account/tokens');
    expect(body).toEqual([
      {
        ...{ id, name: 'read', scope: 'read', member: 'Ben', createdAt: '2023-11-14T22:13:20.000Z' },
        ...{ expiresAt: '2024-02-12T22:13:20.000Z', lastUsed: '2023-11-14T22:13:20.000Z' },
      },
    ]);
    expect(JSON.stringify((await control.call('GET', '/tokens')).body)).not.toContain(text.slice(10));
    expect((await member('DELETE', `/account/tokens/${id}`)).status).toBe(200);
    expect((await ask('GET', '/servers')).status).toBe(401);
    expect((await member('DELETE', `/account/tokens/${id}`)).status).toBe(404);
  });

  it.each([
    ['read', [200, 403, 403, 403]],
    ['lease', [200, 201, 403, 403]],
    ['manage', [200, 201, 201, 403]],
    ['metrics', [403, 403, 403, 403]],
  ])('to %s does no more than that', async (scope, expected) => {
    const { make } = await withTokens();
    const { ask } = await make(scope);
    const seen = [
      await ask('GET', '/servers'),
      await ask('POST', '/leases', { source: '203.0.113.7' }),
      await ask('POST', '/applications', { label: 'more' }),
      await ask('GET', '/tokens'),
    ];
    expect(seen.map(({ status }) => status)).toEqual(expected);
    // One's own account is for those who sit before it.
    for (const [method, path, body] of [
      ['GET', '/account'],
      ['POST', '/account/tokens', { name: 'more', scope: 'read' }],
      ['POST', '/account/totp'],
      ['POST', '/session/confirm', { password: 'x' }],
      ['POST', '/members/anna/invite', {}],
    ] as const) {
      expect([path, (await ask(method, path, body)).status]).toEqual([path, 403]);
    }
  });

  it('does no more than its member may at that moment', async () => {
    const { control, make } = await withTokens('Anna');
    const { ask } = await make('manage');
    const lease = { source: '203.0.113.7' };
    expect((await ask('POST', '/applications', { label: 'more' })).status).toBe(403);
    expect((await ask('POST', '/leases', lease)).status).toBe(201);
    await control.call('PATCH', '/members/anna', { access: { shop: 'viewer' } });
    expect((await ask('POST', '/leases', { source: '203.0.113.8' })).status).toBe(403);
    expect((await ask('GET', '/servers')).status).toBe(200);
    await control.call('PATCH', '/members/anna', { disabled: true });
    expect((await ask('GET', '/servers')).status).toBe(403);
    expect((await ask('GET', '/session')).body).toMatchObject({ kind: 'anonymous', member: null, token: null });
    await control.call('PATCH', '/members/anna', { disabled: false });
    expect((await ask('GET', '/servers')).status).toBe(200);
    await control.call('DELETE', '/members/anna');
    expect((await ask('GET', '/servers')).status).toBe(401);
  });

  it('works while the second factor is on, and without a code', async () => {
    const { control, member, make } = await withTokens();
    const { ask } = await make('read');
    const { secret } = (await member('POST', '/account/totp')).body;
    const code = TOTP.generate({ secret: new TOTP({ secret }).secret, timestamp: control.clock.wall });
    await member('POST', '/account/totp/confirm', { code });
    expect((await ask('GET', '/servers')).status).toBe(200);
  });

  it('ends with its time, which is a year at most', async () => {
    const { control, member, make } = await withTokens();
    const { ask } = await make('read', { days: 1 });
    control.clock.wall += 24 * 3600_000 - 1;
    expect((await ask('GET', '/servers')).status).toBe(200);
    control.clock.wall += 1;
    expect((await ask('GET', '/servers')).status).toBe(401);
    await member('POST', '/session/confirm', { password: 'correct horse battery' });
    for (const days of [0, 367, 1.5]) {
      const { status, body } = await member('POST', '/account/tokens', { name: 'long', scope: 'read', days });
      expect([status, body.error.path]).toEqual([400, 'days']);
    }
  });

  it('has a name of its own, and each member has twenty at most', async () => {
    const { member, make } = await withTokens();
    await make('read');
    expect((await member('POST', '/account/tokens', { name: 'read', scope: 'read' })).body.error.path).toBe('name');
    for (let i = 1; i < 20; i++) await make('read', { name: `read ${i}` });
    expect((await member('POST', '/account/tokens', { name: 'one more', scope: 'read' })).status).toBe(409);
  });

  it('of others is not ended by members, but by owners', async () => {
    const { control, member, make } = await withTokens('Anna');
    const { id, ask } = await make('read');
    const ben = await signedIn(control, 'Ben');
    expect((await ben('DELETE', `/account/tokens/${id}`)).status).toBe(404);
    expect((await member('DELETE', `/tokens/${id}`)).status).toBe(403);
    expect((await ben('GET', '/tokens')).body).toMatchObject([{ id, member: 'Anna' }]);
    expect((await ben('DELETE', '/tokens/read')).status).toBe(200);
    expect((await ask('GET', '/servers')).status).toBe(401);
  });

  it('is made for a member on the console', async () => {
    const control = await withPeople();
    const { status, body } = await control.call('POST', '/tokens', { member: 'anna', name: 'ci', scope: 'lease' });
    expect([status, body.member]).toEqual([201, 'Anna']);
    expect((await bearer(control, body.token)('GET', '/session')).body).toMatchObject({ token: 'lease', fresh: false });
    const ben = await signedIn(control, 'Ben');
    expect((await ben('POST', '/tokens', { member: 'anna', name: 'mine', scope: 'lease' })).status).toBe(403);
  });

  it('that is none, or something else, is nobody', async () => {
    const { control, make } = await withTokens();
    const { text } = await make('read');
    for (const wrong of [
      '',
      'x',
      text.slice(0, -1),
      `${text}x`,
      text.replace('token', 'session'),
      text.toUpperCase(),
    ]) {
      expect((await bearer(control, wrong)('GET', '/servers')).status).toBe(401);
    }
    for (const authorization of [text, `Basic ${text}`, `bearer ${text}`, `Bearer  ${text}`]) {
      expect((await control.web('GET', '/servers', undefined, { authorization })).status).toBe(401);
    }
  });
});
