// One's own account: password, sessions and second factor; links to a first password, and resets on the console.
import { describe, expect, it } from 'vitest';
import { password, signedIn, withPeople } from '../support/people.ts';

describe('POST /account/password', () => {
  it('takes the new one, and ends every other session', async () => {
    const control = await withPeople();
    const [here, there] = [await signedIn(control, 'Anna'), await signedIn(control, 'Anna')];
    expect((await here('POST', '/account/password', { old: 'something else', new: 'eleven blue whales' })).status).toBe(
      401,
    );
    expect((await there('GET', '/servers')).status).toBe(200);
    const { status, body } = await here('POST', '/account/password', { old: password, new: 'eleven blue whales' });
    expect([status, body]).toEqual([200, { changed: true }]);
    expect((await here('GET', '/servers')).status).toBe(200);
    expect((await there('GET', '/servers')).status).toBe(401);
    await expect(signedIn(control, 'Anna')).rejects.toThrow('not signed in');
    await signedIn(control, 'Anna', 'eleven blue whales');
  });

  it('counts wrong old ones like wrong ones elsewhere', async () => {
    const control = await withPeople();
    const anna = await signedIn(control, 'Anna');
    const wrong = () => anna('POST', '/account/password', { old: 'something else', new: 'eleven blue whales' });
    for (let i = 0; i < 5; i++) expect((await wrong()).status).toBe(401);
    expect((await wrong()).status).toBe(429);
    expect((await control.web('POST', '/session', { name: 'Anna', password })).status).toBe(429);
  });

  it.each([
    ['short', 'too short'],
    ['x'.repeat(201), 'too long'],
    ['1234567890', 'a sequence'],
    ['0123456789', 'a sequence'],
    ['aaaaaaaaaaaa', 'one letter'],
    ['Password2024!', 'a known one'],
    ['qwertyuiop', 'a known one'],
    ['Anna Lee 12', 'her name'],
    ['annalee-2026', 'no name, but allowed', true],
    ['apn-router-1', "the box's name"],
    ['ÄÖÜäöüßéèê', 'ten letters of any kind', true],
    ['correct horse', 'fine', true],
  ])('judges %s: %s', async (given, _, fine = false) => {
    const control = await withPeople();
    await control.call('PATCH', '/members/anna', { name: 'Anna Lee' });
    const anna = await signedIn(control, 'Anna Lee');
    const { status, body } = await anna('POST', '/account/password', { old: password, new: given });
    if (fine) expect(status).toBe(200);
    else expect([status, body.error.path]).toEqual([400, 'new']);
  });
});

describe('/account/sessions', () => {
  it('are listed and ended, and nobody ends those of others', async () => {
    const control = await withPeople();
    const [anna, ben] = [await signedIn(control, 'Anna'), await signedIn(control, 'Ben')];
    const other = await signedIn(control, 'Anna');
    const { body } = await anna('GET', '/account/sessions');
    expect(body.map(({ current }: { current: boolean }) => current)).toEqual([true, false]);
    expect(body[1]).toMatchObject({ from: '192.168.66.20', createdAt: '2023-11-14T22:13:20.000Z' });
    expect((await ben('DELETE', `/account/sessions/${body[1].id}`)).status).toBe(404);
    expect((await other('GET', '/account')).status).toBe(200);
    expect((await anna('DELETE', `/account/sessions/${body[1].id}`)).status).toBe(200);
    expect((await other('GET', '/account')).status).toBe(401);
    expect((await anna('DELETE', `/account/sessions/${body[1].id}`)).status).toBe(404);
  });
});

describe('a link to a first password', () => {
  const invite = async (control: Awaited<ReturnType<typeof withPeople>>, name = 'Carla') => {
    await control.call('POST', '/members', { name });
    const { status, body } = await control.call('POST', `/members/${name.toLowerCase()}/invite`, {});
    expect([status, body.name]).toEqual([201, name]);
    expect(body.path).toBe(`/welcome#${body.secret}`);
    return body.secret as string;
  };

  it('is looked at as often as one likes, taken once, and signs in', async () => {
    const control = await withPeople();
    const secret = await invite(control);
    for (let i = 0; i < 3; i++) {
      const { body } = await control.web('POST', '/invitations/look', { secret });
      expect(body).toMatchObject({ name: 'Carla', hostName: 'apn-router' });
    }
    const weak = await control.web('POST', '/invitations/take', { secret, password: 'short' });
    expect([weak.status, weak.body.error.path]).toEqual([400, 'password']);
    const { status, body, headers } = await control.web('POST', '/invitations/take', { secret, password });
    expect([status, body]).toEqual([201, { name: 'Carla', signedIn: true }]);
    expect(headers.get('x-apn-session')).toMatch(/^apn_session_/);
    for (const path of ['/invitations/look', '/invitations/take']) {
      const again = await control.web('POST', path, { secret, ...(path.endsWith('take') ? { password } : {}) });
      expect([again.status, again.body.error.path]).toEqual([404, 'secret']);
    }
    await signedIn(control, 'Carla');
  });

  it('of 50 uses at one moment takes one', async () => {
    const control = await withPeople();
    const secret = await invite(control);
    const use = async (i: number): Promise<number> => {
      for (;;) {
        const { status } = await control.web('POST', '/invitations/take', { secret, password: `${password} ${i}` });
        if (status !== 429) return status;
        await new Promise((next) => setTimeout(next, 1));
      }
    };
    const statuses = await Promise.all(Array.from({ length: 50 }, (_, i) => use(i)));
    expect(statuses.filter((status) => status === 201)).toHaveLength(1);
    expect(statuses.every((status) => [201, 404, 409].includes(status))).toBe(true);
    expect(control.store.tickets.list('session').length).toBe(1);
  });

  it('ends with its time, with a newer one, with other rights, and with the member', async () => {
    const control = await withPeople();
    const works = async (secret: string) => (await control.web('POST', '/invitations/look', { secret })).status === 200;
    const first = await invite(control);
    const second = (await control.call('POST', '/members/carla/invite', { for: '1h' })).body.secret;
    expect([await works(first), await works(second)]).toEqual([false, true]);
    control.clock.wall += 3600_000;
    expect(await works(second)).toBe(false);
    const third = (await control.call('POST', '/members/carla/invite', {})).body.secret;
    await control.call('PATCH', '/members/carla', { role: 'owner' });
    expect(await works(third)).toBe(false);
    const fourth = (await control.call('POST', '/members/carla/invite', {})).body.secret;
    expect(await works(fourth)).toBe(true);
    await control.call('PATCH', '/members/carla', { disabled: true });
    expect(await works(fourth)).toBe(false);
    expect((await control.call('POST', '/members/carla/invite', {})).status).toBe(409);
    await control.call('PATCH', '/members/carla', { disabled: false });
    const fifth = (await control.call('POST', '/members/carla/invite', {})).body.secret;
    await control.call('DELETE', '/members/carla');
    expect(await works(fifth)).toBe(false);
  });

  it('is made by those who may do all that the member may, with the password at hand', async () => {
    const control = await withPeople();
    for (const [name, rights] of [
      ['Adam', { role: 'admin' }],
      ['Shopkeeper', { access: { shop: 'admin' } }],
    ] as const) {
      await control.call('POST', '/members', { name, ...rights });
      await control.call('POST', `/members/${name.toLowerCase()}/password-reset`, { password });
    }
    await control.call('POST', '/members', { name: 'New' });
    const [adam, keeper, anna, ben] = [
      await signedIn(control, 'Adam'),
      await signedIn(control, 'Shopkeeper'),
      await signedIn(control, 'Anna'),
      await signedIn(control, 'Ben'),
    ];
    const statuses = async (ask: typeof adam) => {
      const seen = [];
      for (const name of ['ben', 'adam', 'shopkeeper', 'anna', 'new']) {
        seen.push((await ask('POST', `/members/${name}/invite`, {})).status);
      }
      return seen;
    };
    expect(await statuses(adam)).toEqual([403, 201, 201, 201, 201]);
    expect(await statuses(keeper)).toEqual([403, 403, 403, 403, 201]);
    expect(await statuses(anna)).toEqual([403, 403, 403, 403, 403]);
    expect(await statuses(ben)).toEqual([201, 201, 201, 201, 201]);
    control.clock.wall += 11 * 60_000;
    expect(await ben('POST', '/members/new/invite', {})).toMatchObject({
      status: 403,
      body: { error: { path: 'password' } },
    });
  });
});

describe('POST /members/:member/password-reset', () => {
  it('is for the console alone', async () => {
    const control = await withPeople();
    const ben = await signedIn(control, 'Ben');
    expect((await ben('POST', '/members/anna/password-reset', { password: 'eleven blue whales' })).status).toBe(403);
  });

  it('ends the old password and every session at once, and makes a link', async () => {
    const control = await withPeople();
    const anna = await signedIn(control, 'Anna');
    const { status, body } = await control.call('POST', '/members/anna/password-reset', {});
    expect([status, body]).toMatchObject([200, { name: 'Anna', totp: false, path: `/welcome#${body.secret}` }]);
    expect((await anna('GET', '/servers')).status).toBe(401);
    await expect(signedIn(control, 'Anna')).rejects.toThrow('not signed in');
    await control.web('POST', '/invitations/take', { secret: body.secret, password: 'eleven blue whales' });
    await signedIn(control, 'Anna', 'eleven blue whales');
  });

  it('refuses a bad password and changes nothing', async () => {
    const control = await withPeople();
    const anna = await signedIn(control, 'Anna');
    const { status, body } = await control.call('POST', '/members/anna/password-reset', { password: 'anna' });
    expect([status, body.error.path]).toEqual([400, 'password']);
    expect((await anna('GET', '/servers')).status).toBe(200);
    expect((await control.call('POST', '/members/nobody/password-reset', {})).status).toBe(404);
  });

  it('mends what is damaged: damaged credentials let nobody in', async () => {
    const control = await withPeople();
    control.damage('credentials', control.ids.anna);
    expect((await control.web('POST', '/session', { name: 'Anna', password })).status).toBe(401);
    const { body } = await control.call('GET', '/members');
    expect(body.map(({ signIn }: { signIn: string }) => signIn)).toEqual(['password', 'damaged']);
    expect((await control.call('POST', '/members/anna/password-reset', { password })).status).toBe(200);
    await signedIn(control, 'Anna');
  });
});

describe('GET /members', () => {
  it('shows how somebody signs in to admins, and to himself', async () => {
    const control = await withPeople();
    await control.call('POST', '/members/anna/invite', {});
    const ben = (await (await signedIn(control, 'Ben'))('GET', '/members')).body;
    expect(ben[1]).toMatchObject({ signIn: 'password', invited: true, totp: false, lastSignIn: null });
    const anna = (await (await signedIn(control, 'Anna'))('GET', '/members')).body;
    expect(anna[1]).toMatchObject({ signIn: 'password', lastSignIn: '2023-11-14T22:13:20.000Z' });
    for (const field of ['signIn', 'invited', 'totp', 'lastSignIn']) expect(anna[0]).not.toHaveProperty(field);
  });
});

describe('owners', () => {
  it('are never none, whatever 50 owners ask at one moment', async () => {
    const control = await withPeople();
    await control.call('POST', '/members', { name: 'Olga', role: 'owner' });
    await control.call('POST', '/members/olga/password-reset', { password });
    const [ben, olga] = [await signedIn(control, 'Ben'), await signedIn(control, 'Olga')];
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        (i % 2 === 0 ? ben : olga)('PATCH', `/members/${i % 4 < 2 ? 'olga' : 'ben'}`, { role: 'viewer' }),
      ),
    );
    const owners = control.store.snapshot.config.members.filter(({ role, disabled }) => role === 'owner' && !disabled);
    expect(owners).toHaveLength(1);
    // The same again is no harm; the last owner stays, and whoever is one no more may not, or is signed out.
    expect(answers.every(({ status }) => [200, 400, 401, 403].includes(status))).toBe(true);
    expect(answers.some(({ status }) => status === 200)).toBe(true);
  });

  it('are changed with the password at hand, and not by tokens', async () => {
    const control = await withPeople();
    const ben = await signedIn(control, 'Ben');
    const { body } = await ben('POST', '/account/tokens', { name: 'manage', scope: 'manage' });
    const token = (method: string, path: string, given: unknown) =>
      control.web(method, path, given, { authorization: `Bearer ${body.token}` });
    expect((await token('PATCH', '/members/anna', { role: 'admin' })).status).toBe(200);
    expect((await token('PATCH', '/members/anna', { role: 'owner' })).status).toBe(403);
    expect((await token('POST', '/members', { name: 'Mine', role: 'owner' })).status).toBe(403);
    expect((await token('DELETE', '/members/ben', undefined)).status).toBe(403);
    control.clock.wall += 11 * 60_000;
    expect((await ben('PATCH', '/members/anna', { role: 'owner' })).body.error.path).toBe('password');
    await ben('POST', '/session/confirm', { password });
    expect((await ben('PATCH', '/members/anna', { role: 'owner' })).status).toBe(200);
  });
});
