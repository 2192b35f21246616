// Signing in and out: what is told and what is not, backing off, the second factor, and when a session ends.
import { TOTP } from 'otpauth';
import { describe, expect, it } from 'vitest';
import { makeControl } from '../support/control.ts';
import { password, signedIn, withPeople } from '../support/people.ts';

describe('POST /session', () => {
  it('signs in by name and by label, and says who one is', async () => {
    const control = await withPeople();
    for (const name of ['Ben', 'ben', 'BEN', ' Ben ']) {
      const { status, body, headers } = await control.web('POST', '/session', { name, password });
      expect([name, status, body.member]).toEqual([
        name,
        201,
        { id: control.ids.ben, name: 'Ben', label: 'ben', role: 'owner', access: {} },
      ]);
      const text = /^(apn_session_[\w-]{43}); max-age=2592000$/.exec(headers.get('x-apn-session') ?? '')?.[1] ?? '';
      expect(JSON.stringify(body)).not.toContain(text);
      const session = await control.web('GET', '/session', undefined, { authorization: `Bearer ${text}` });
      expect(session.body).toMatchObject({ kind: 'member', member: { name: 'Ben' }, token: null, fresh: true });
      expect(session.body.may).toContain('own');
      expect(session.body.may).not.toContain('console');
    }
  });

  it('tells a guesser the same whatever is wrong', async () => {
    const control = await withPeople();
    await control.call('POST', '/members', { name: 'Nobody Yet' });
    await control.call('PATCH', '/members/anna', { disabled: true });
    const answers = [];
    for (const [name, given] of [
      ['Ben', 'not the password'],
      ['Nobody Yet', 'not the password'],
      ['Anna', password],
      ['Who Knows', password],
      [control.ids.ben, password],
    ]) {
      const { status, body } = await control.web('POST', '/session', { name, password: given });
      answers.push([status, body]);
    }
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(answers[0]).toEqual([401, { error: { path: '', message: expect.any(String) } }]);
  });

  it('compares passwords as letters, not as bytes', async () => {
    const control = await withPeople();
    await control.call('POST', '/members/ben/password-reset', { password: 'fünf grüne Äpfel' });
    const typed = 'fünf grüne Äpfel'.normalize('NFD');
    expect((await control.web('POST', '/session', { name: 'Ben', password: typed })).status).toBe(201);
  });

  it('makes the hash anew when its cost has changed', async () => {
    const control = await withPeople();
    const { Passwords } = await import('../../src/router/control/passwords.ts');
    control.services.passwords = new Passwords({ memory: 16, passes: 1, parallelism: 1 });
    const stored = () => Buffer.from(control.store.secret(control.ids.ben, 'credentials') ?? []).toString();
    expect(stored()).toContain('m=8,');
    expect((await control.web('POST', '/session', { name: 'Ben', password })).status).toBe(201);
    expect(stored()).toContain('m=16,');
    expect((await control.web('POST', '/session', { name: 'Ben', password })).status).toBe(201);
  });
});

describe('wrong passwords', () => {
  const guess = (
    control: Awaited<ReturnType<typeof withPeople>>,
    from: string,
    name = 'Ben',
    given = 'wrong password',
  ) => control.web('POST', '/session', { name, password: given }, { 'x-apn-client': from });

  it('cost nothing five times, then ever more', async () => {
    const control = await withPeople();
    const seen = [];
    for (let i = 0; i < 12; i++) {
      const { status, headers } = await guess(control, '192.168.66.20');
      const wait = Number(headers.get('retry-after'));
      seen.push(status === 401 ? 'looked at' : wait);
      if (status === 429) control.clock.boot += wait * 1000;
    }
    expect(seen).toEqual([...Array(5).fill('looked at'), 1, 'looked at', 2, 'looked at', 4, 'looked at', 8]);
    // The right one is not looked at either, as long as it lasts.
    control.clock.boot += 7000 - 8000;
    expect((await guess(control, '192.168.66.20', 'Ben', password)).status).toBe(429);
    control.clock.boot += 8000;
    expect((await guess(control, '192.168.66.20', 'Ben', password)).status).toBe(201);
    expect((await guess(control, '192.168.66.20')).status).toBe(401);
  });

  it('never take longer than a quarter of an hour, and are forgotten', async () => {
    const control = await withPeople();
    let longest = 0;
    for (let i = 0; i < 60; i++) {
      const { status, headers } = await guess(control, '192.168.66.20');
      if (status !== 429) continue;
      longest = Math.max(longest, Number(headers.get('retry-after')));
      control.clock.boot += Number(headers.get('retry-after')) * 1000;
    }
    expect(longest).toBe(900);
    control.clock.boot += 3600_000;
    for (let i = 0; i < 5; i++) expect((await guess(control, '192.168.66.20')).status).toBe(401);
  });

  it('of others do not shut anybody out, even of a hundred addresses', async () => {
    const control = await withPeople();
    for (let host = 10; host < 110; host++) {
      for (let i = 0; i < 6; i++) await guess(control, `192.168.66.${host}`);
    }
    expect((await guess(control, '192.168.66.10', 'Ben', password)).status).toBe(429);
    expect((await guess(control, '192.168.66.200', 'Ben', password)).status).toBe(201);
    // Under siege one wrong one is free, not five.
    expect((await guess(control, '192.168.66.201')).status).toBe(401);
    expect((await guess(control, '192.168.66.201')).status).toBe(429);
  });

  it('for many names from one address are slowed down too, for names that nobody has as well', async () => {
    const control = await withPeople();
    const statuses = [];
    for (let i = 0; i < 25; i++) statuses.push((await guess(control, '192.168.66.20', `name ${i}`)).status);
    expect(statuses.slice(0, 20)).toEqual(Array(20).fill(401));
    expect(statuses.slice(20)).toEqual(Array(5).fill(429));
    expect((await guess(control, '192.168.66.21', 'name 1')).status).toBe(401);
  });

  it('of one IPv6 network count together', async () => {
    const control = await withPeople();
    for (let i = 0; i < 5; i++) await guess(control, `2001:db8:0:1::${i}`);
    expect((await guess(control, '2001:db8:0:1:ffff::1')).status).toBe(429);
    expect((await guess(control, '2001:db8:0:2::1')).status).toBe(401);
  });

  it('at one moment are counted before they are looked at', async () => {
    const control = await withPeople();
    const answers = await Promise.all(Array.from({ length: 50 }, () => guess(control, '192.168.66.20')));
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(5);
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(45);
  });

  it('are written down without what was typed', async () => {
    const control = await withPeople();
    await guess(control, '192.168.66.20', 'hunter2 my password', 'x');
    await guess(control, '192.168.66.20', 'Ben', 'another secret');
    const { body } = await control.call('GET', '/audit');
    const text = JSON.stringify(body);
    expect(text).toContain('sign-in refused');
    expect(text).toContain('192.168.66.20');
    for (const typed of ['hunter2', 'another secret']) expect(text).not.toContain(typed);
  });
});

describe('a session', () => {
  it('ends with signing out, and that with another one does not', async () => {
    const control = await withPeople();
    const [first, second] = [await signedIn(control, 'Ben'), await signedIn(control, 'Ben')];
    expect((await first('GET', '/servers')).status).toBe(200);
    const out = await first('DELETE', '/session');
    expect([out.status, out.body, out.headers.get('x-apn-session')]).toEqual([200, { ended: true }, '; max-age=0']);
    expect((await first('GET', '/servers')).status).toBe(401);
    expect((await second('GET', '/servers')).status).toBe(200);
    expect((await first('DELETE', '/session')).body).toEqual({ ended: false });
  });

  it('ends a week after its last use, and a month after its beginning', async () => {
    const control = await withPeople();
    const day = 24 * 3600_000;
    const [used, unused] = [await signedIn(control, 'Ben'), await signedIn(control, 'Ben')];
    for (let i = 0; i < 5; i++) {
      control.clock.wall += 6 * day - 1000;
      expect((await used('GET', '/servers')).status).toBe(200);
    }
    expect((await unused('GET', '/servers')).status).toBe(401);
    control.clock.wall += day;
    expect((await used('GET', '/servers')).status).toBe(401);
  });

  it.each([
    ['another role', { role: 'admin' }],
    ['a role in an application', { access: { shop: 'viewer' } }],
    ['being disabled', { disabled: true }],
  ])('ends at once with %s', async (_, change) => {
    const control = await withPeople();
    const anna = await signedIn(control, 'Anna');
    expect((await anna('GET', '/servers')).status).toBe(200);
    expect((await control.call('PATCH', '/members/anna', change)).status).toBe(200);
    expect((await anna('GET', '/servers')).status).toBe(401);
  });

  it('stays with another name, and ends when the member is removed', async () => {
    const control = await withPeople();
    const anna = await signedIn(control, 'Anna');
    await control.call('PATCH', '/members/anna', { name: 'Anna Lee' });
    expect((await anna('GET', '/session')).body.member.name).toBe('Anna Lee');
    await control.call('DELETE', '/members/anna');
    expect((await anna('GET', '/session')).body).toMatchObject({ kind: 'anonymous', member: null, fresh: false });
  });

  it('is one of twenty at most', async () => {
    const control = await withPeople();
    const first = await signedIn(control, 'Ben');
    for (let i = 0; i < 20; i++) await signedIn(control, 'Ben');
    expect((await first('GET', '/servers')).status).toBe(401);
    expect(control.store.tickets.list('session', control.ids.ben)).toHaveLength(20);
  });

  it('asks for the password again for what is dangerous', async () => {
    const control = await withPeople();
    const ben = await signedIn(control, 'Ben');
    control.clock.wall += 11 * 60_000;
    const make = () => ben('POST', '/account/tokens', { name: 'backup', scope: 'read' });
    expect(await make()).toMatchObject({ status: 403, body: { error: { path: 'password' } } });
    expect((await ben('POST', '/session/confirm', { password: 'not this one' })).status).toBe(401);
    expect((await make()).status).toBe(403);
    expect(await ben('POST', '/session/confirm', { password })).toMatchObject({ status: 200, body: { fresh: true } });
    expect((await make()).status).toBe(201);
  });

  it('signs in while the disk cannot be written', async () => {
    const control = await withPeople();
    Object.defineProperty(control.store, 'readOnly', { value: new Error('read-only file system') });
    const ben = await signedIn(control, 'Ben');
    expect((await ben('GET', '/servers')).status).toBe(200);
    expect((await ben('POST', '/account/password', { old: password, new: 'eleven blue whales' })).status).toBe(503);
  });
});

describe('the second factor', () => {
  async function withTotp() {
    const control = await withPeople();
    const ben = await signedIn(control, 'Ben');
    const { body } = await ben('POST', '/account/totp');
    const code = (offset = 0) =>
      TOTP.generate({
        secret: (new TOTP({ secret: body.secret }) as TOTP).secret,
        timestamp: control.clock.wall + offset,
      });
    const confirmed = await ben('POST', '/account/totp/confirm', { code: code() });
    expect(confirmed.status).toBe(200);
    control.clock.wall += 60_000;
    const sign = (more: object, from = '192.168.66.20') =>
      control.web('POST', '/session', { name: 'Ben', password, ...more }, { 'x-apn-client': from });
    return { control, ben, code, sign, secret: body.secret as string, codes: confirmed.body.recoveryCodes as string[] };
  }

  it('is off until a code of it was given, and then wanted', async () => {
    const control = await withPeople();
    const ben = await signedIn(control, 'Ben');
    const made = await ben('POST', '/account/totp');
    expect(made.body.uri).toMatch(/^otpauth:\/\/totp\/apn-router:Ben\?/);
    expect((await control.web('POST', '/session', { name: 'Ben', password })).status).toBe(201);
    expect(await ben('POST', '/account/totp/confirm', { code: '000000' })).toMatchObject({
      status: 400,
      body: { error: { path: 'code' } },
    });
    const { sign, code } = await withTotp();
    expect(await sign({})).toMatchObject({ status: 401, body: { error: { path: 'code' } } });
    expect(await sign({ code: '123 456' })).toMatchObject({ status: 401, body: { error: { path: 'code' } } });
    expect((await sign({ code: code() })).status).toBe(201);
  });

  it('is asked for only when the password is right', async () => {
    const { control, code } = await withTotp();
    const { status, body } = await control.web('POST', '/session', {
      name: 'Ben',
      password: 'wrong one',
      code: code(),
    });
    expect([status, body.error.path]).toEqual([401, '']);
  });

  it('takes codes of the half minutes around, each once, and none before the last', async () => {
    const { code, sign } = await withTotp();
    expect((await sign({ code: code(-60_000) })).status).toBe(401);
    expect((await sign({ code: code(60_000) })).status).toBe(401);
    expect((await sign({ code: code(30_000) })).status).toBe(201);
    expect((await sign({ code: code(30_000) })).status).toBe(401);
    expect((await sign({ code: code() })).status).toBe(401);
  });

  it('of 50 uses of one code at one moment takes one', async () => {
    const { code, sign, codes } = await withTotp();
    for (const [round, one] of [code(), codes[0]].entries()) {
      const answers = await Promise.all(
        Array.from({ length: 50 }, async (_, i) => {
          // A place in the queue for each, and an address of its own: only the code decides.
          for (;;) {
            const answer = await sign({ code: one }, `192.168.${round}.${100 + i}`);
            if (answer.status !== 429) return answer.status;
            await new Promise((next) => setTimeout(next, 1));
          }
        }),
      );
      expect(answers.filter((status) => status === 201)).toHaveLength(1);
      expect(answers.filter((status) => status === 401)).toHaveLength(49);
    }
  });

  it('is replaced by each recovery code once, however it is typed', async () => {
    const { sign, codes, ben } = await withTotp();
    expect(codes).toHaveLength(10);
    expect(new Set(codes).size).toBe(10);
    expect((await sign({ code: codes[3]?.toUpperCase().replaceAll('-', ' ') })).status).toBe(201);
    expect((await sign({ code: codes[3] })).status).toBe(401);
    expect((await ben('GET', '/account')).body).toMatchObject({ totp: true, recoveryCodesLeft: 9 });
  });

  it('cannot be guessed by asking for it in between', async () => {
    const { sign } = await withTotp();
    const seen = [];
    for (let i = 0; i < 8; i++) {
      seen.push((await sign({ code: String(i).padStart(6, '0') })).status);
      seen.push((await sign({})).status);
    }
    expect(seen.filter((status) => status === 429).length).toBeGreaterThan(4);
  });

  it('is taken away by its owner, or on the console', async () => {
    const { control, ben, sign } = await withTotp();
    expect((await ben('POST', '/account/totp')).status).toBe(409);
    expect((await ben('DELETE', '/account/totp')).body).toEqual({ on: false });
    expect((await sign({})).status).toBe(201);
    const again = await withTotp();
    const reset = await again.control.call('POST', '/members/ben/password-reset', { password, totpOff: true });
    expect(reset.body).toMatchObject({ name: 'Ben', totp: false });
    expect((await again.sign({})).status).toBe(201);
    expect(control.log).toEqual([]);
  });

  it('is sealed: nothing of it, of the password or of a session is in the database as it is', async () => {
    const { control, secret, codes } = await withTotp();
    const { body } = await (await signedIn(control, 'Anna'))('POST', '/account/tokens', { name: 'x', scope: 'read' });
    const bytes = control.databaseBytes();
    for (const canary of [secret, codes[0] ?? '', body.token, password]) {
      expect(canary.length).toBeGreaterThan(9);
      expect(bytes.includes(canary)).toBe(false);
    }
    expect(bytes.includes('argon2id')).toBe(false);
  });
});

describe('GET /session', () => {
  it('says that nobody is signed in, and what the console is', async () => {
    const control = makeControl();
    expect((await control.as({ kind: 'anonymous' }, 'GET', '/session')).body).toEqual({
      ...{ kind: 'anonymous', member: null, token: null, fresh: false, may: ['summary', 'open'] },
    });
    expect((await control.call('GET', '/session')).body).toMatchObject({ kind: 'console', member: null });
    expect((await control.call('GET', '/account')).status).toBe(403);
  });
});
