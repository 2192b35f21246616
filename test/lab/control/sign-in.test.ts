// Claiming and signing in as people do it: from a machine on the LAN, through the real gateway, with a stock client.
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { TOTP } from 'otpauth';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { seedFile } from '../../support/lab/hub.ts';
import { type Lab, poll, SLOWNESS } from '../../support/lab/lab.ts';
import { sharedLab } from '../../support/lab/shared.ts';
import { readState } from '../../support/lab/state.ts';
import { startLab } from '../../support/lab/up.ts';
import { control, restoring } from '../clients.ts';

const origin = 'https://192.168.66.1';
const password = randomBytes(9).toString('base64url');
const newPassword = randomBytes(9).toString('base64url');

interface Answer {
  /** 0: there was no answer. */
  readonly status: number;
  readonly headers: string;
  // biome-ignore lint/suspicious/noExplicitAny: every route has its own answer, and tests say what they expect
  readonly body: any;
}

interface Asking {
  /** File of cookies on the host: read, and written. */
  readonly jar?: string;
  readonly token?: string;
  /** Header lines in place of those our own page sends. */
  readonly headers?: readonly string[];
  readonly host?: string;
}

const ours = ['content-type: application/json', 'x-apn: 1', `origin: ${origin}`];

async function ask(lab: Lab, method: string, path: string, body?: unknown, asking: Asking = {}): Promise<Answer> {
  const { jar, token, headers = ours, host = 'desk' } = asking;
  const lines = [
    `url = "${host === 'stranger' ? 'https://203.0.113.1' : origin}/api${path}"`,
    `request = "${method}"`,
    ...[...headers, ...(token === undefined ? [] : [`authorization: Bearer ${token}`])].map(
      (line) => `header = "${line}"`,
    ),
    ...(jar === undefined ? [] : [`cookie = "${jar}"`, `cookie-jar = "${jar}"`]),
    ...(body === undefined ? [] : [`data = ${JSON.stringify(JSON.stringify(body))}`]),
  ];
  // Nothing is what the stranger is to get: that is not waited for as long.
  const limit = String((host === 'stranger' ? 2 : 5) * SLOWNESS);
  const curl = ['curl', '-sk', '-D', '-', '--max-time', limit, '-K', '-'];
  const { stdout } = await lab.exec(host, curl, { input: lines.join('\n') });
  const end = stdout.search(/\r?\n\r?\n/);
  const [head, text] = [stdout.slice(0, Math.max(0, end)), stdout.slice(end).trim()];
  const json = /^content-type: application\/json/im.test(head);
  return {
    status: Number(/^HTTP\/\S+ (\d+)/.exec(head)?.[1] ?? 0),
    headers: head,
    body: json ? JSON.parse(text) : text,
  };
}

const cookieLine = ({ headers }: Answer) => /^set-cookie: (.*)$/im.exec(headers)?.[1] ?? '';
let jars = 0;
const newJar = () => `/run/jar${++jars}`;

describe('a router without an owner', () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await startLab({ name: `s${process.pid}`, empty: true });
    const address = ['ip', '-4', '-br', 'addr', 'show', 'eth0'];
    await poll(async () => (await lab.output('desk', address)).includes('192.168.66.'), {
      within: 30_000,
      what: 'desk to get an address',
    });
  });
  afterAll(() => lab.stop());

  test('gives addresses and its page, and forwards nothing', async () => {
    expect(await lab.output('desk', ['dig', '+short', 'hub.apn', '@192.168.66.1'])).toBe('192.168.66.1');
    const foreign = await lab.output('desk', ['dig', 'example.net', '@192.168.66.1']);
    expect(foreign).toContain('status: SERVFAIL');
    const open = (url: string) => lab.exec('desk', ['curl', '-sk', '--max-time', String(2 * SLOWNESS), url]);
    expect((await open('http://203.0.113.53/')).status).not.toBe(0);
    expect((await open('https://192.168.66.1/')).stdout).toMatch(/<!doctype html>/i);
    expect((await ask(lab, 'GET', '/setup')).body).toMatchObject({ claimed: false, fromHere: true, codeNeeded: false });
    expect((await ask(lab, 'GET', '/servers')).status).toBe(401);
  });

  test('is claimed once, from the LAN and not from the WAN, by one of many', async () => {
    expect((await ask(lab, 'GET', '/setup', undefined, { host: 'stranger' })).status).toBe(0);
    expect((await ask(lab, 'GET', '/setup')).status).toBe(200);
    const claim = (name: string, asking: Asking = {}) => ask(lab, 'POST', '/setup/claim', { name, password }, asking);
    const jar = newJar();
    expect((await claim('Ben', { host: 'stranger' })).status).toBe(0);
    // Another page cannot do it for somebody who looks at it.
    for (const headers of [
      [...ours.slice(0, 2), 'origin: https://example.net'],
      [...ours, 'sec-fetch-site: cross-site'],
      [ours[0] ?? '', `origin: ${origin}`],
    ]) {
      expect((await claim('Mallory', { headers })).status).toBe(403);
    }
    const answers = await Promise.all(
      ['Ben', 'Olga', 'Otto', 'Ines'].map((name) => claim(name, { jar: `${jar}-${name}` })),
    );
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 409, 409, 409]);
    const winner = answers.find(({ status }) => status === 201)?.body.member.name;
    expect((await claim('Late')).status).toBe(409);
    const { members } = { members: await control(lab, 'GET', '/members') };
    expect(members).toMatchObject([{ name: winner, role: 'owner', signIn: 'password' }]);
    // The winner is signed in, the others are not.
    expect((await ask(lab, 'GET', '/session', undefined, { jar: `${jar}-${winner}` })).body.member.name).toBe(winner);
    const loser = ['Ben', 'Olga', 'Otto', 'Ines'].find((name) => name !== winner);
    expect((await ask(lab, 'GET', '/session', undefined, { jar: `${jar}-${loser}` })).body.member).toBeNull();
    // From now on it forwards: the LAN gets out.
    await poll(
      async () =>
        (await lab.exec('desk', ['curl', '-s', '--max-time', String(2 * SLOWNESS), 'http://203.0.113.53/address']))
          .status === 0,
      { within: 20_000, what: 'desk to reach the Internet' },
    );
  });

  test('with a set-up file is claimed with its code alone', async () => {
    const seed = { claimCode: 'plum 7788 kiwi', hostName: 'office', ownerName: 'Ben' };
    writeFileSync(seedFile(lab.name), JSON.stringify(seed));
    await lab.rebootHub({ blank: true });
    const answers = async () => {
      // The new router knows nobody: whoever is on the LAN asks for an address again.
      lab.kill('udhcpc', 'SIGUSR1', 'desk');
      return (await ask(lab, 'GET', '/setup')).status === 200;
    };
    await poll(answers, { within: 30_000, every: 500, what: 'the page' });
    expect((await ask(lab, 'GET', '/setup')).body).toMatchObject({
      hostName: 'office',
      ownerName: 'Ben',
      codeNeeded: true,
    });
    const claim = (code?: string) => ask(lab, 'POST', '/setup/claim', { password, ...(code ? { code } : {}) });
    expect((await claim()).body.error.path).toBe('code');
    for (let i = 0; i < 5; i++) expect((await claim(`plum ${i}`)).status).toBe(401);
    const slowed = await claim('plum 7788 kiwi');
    expect([slowed.status, /^retry-after: \d+/im.test(slowed.headers)]).toEqual([429, true]);
    const { body } = await poll(
      async () => {
        const answer = await claim('PLUM-7788-KIWI');
        return answer.status === 201 && answer;
      },
      { within: 20_000, every: 1000, what: 'the claim' },
    );
    expect(body.member).toMatchObject({ name: 'Ben', role: 'owner' });
  });
});

describe('signing in', () => {
  const lab = sharedLab();
  const undo = restoring();
  const { ownerName, ownerPassword } = readState(lab.name) ?? {};
  const owner = { name: ownerName ?? '', password: ownerPassword ?? '' };

  async function signIn(name: string, given: string, more: object = {}): Promise<string> {
    const jar = newJar();
    const answer = await ask(lab, 'POST', '/session', { name, password: given, ...more }, { jar });
    if (answer.status !== 201) throw new Error(`${name}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return jar;
  }

  /** Somebody new, who is gone again after the test. */
  async function somebody(rights: object): Promise<{ readonly name: string; readonly label: string }> {
    const label = `guest${randomBytes(4).toString('hex')}`;
    undo(() => control(lab, 'DELETE', `/members/${label}`));
    await control(lab, 'POST', '/members', { name: label, label, ...rights });
    await control(lab, 'POST', `/members/${label}/password-reset`, { password });
    return { name: label, label };
  }

  test('gives a cookie that only this host gets and no script sees, until one signs out', async () => {
    const jar = newJar();
    const answer = await ask(lab, 'POST', '/session', owner, { jar });
    expect(answer.status).toBe(201);
    expect(cookieLine(answer)).toMatch(
      /^__Host-apn=apn_session_[\w-]{43}; Path=\/; Max-Age=\d+; Secure; HttpOnly; SameSite=Strict$/,
    );
    expect(JSON.stringify(answer.body)).not.toContain('apn_session_');
    expect(answer.headers.replace(/^set-cookie:.*$/im, '')).not.toContain('apn_session_');
    expect((await ask(lab, 'GET', '/servers', undefined, { jar })).status).toBe(200);
    const copy = `/run/copy-${jar.slice(5)}`;
    await lab.output('desk', ['cp', jar, copy]);
    const out = await ask(lab, 'DELETE', '/session', undefined, { jar });
    expect([out.status, cookieLine(out)]).toEqual([
      200,
      '__Host-apn=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict',
    ]);
    // The cookie is gone, and a copy of it is of no use.
    expect((await ask(lab, 'GET', '/servers', undefined, { jar })).status).toBe(401);
    expect((await ask(lab, 'GET', '/servers', undefined, { jar: copy })).status).toBe(401);
  });

  test('a change comes from our own page, or with a token', async () => {
    const jar = await signIn(owner.name, owner.password);
    const made = await ask(
      lab,
      'POST',
      '/account/tokens',
      { name: randomBytes(4).toString('hex'), scope: 'lease' },
      { jar },
    );
    undo(() => control(lab, 'DELETE', `/tokens/${made.body.id}`));
    const lease = { source: '198.51.100.77', for: '1m' };
    undo(() => control(lab, 'DELETE', '/leases/198.51.100.77').catch(() => {}));
    for (const headers of [
      [...ours.slice(0, 2), 'origin: https://example.net'],
      [...ours.slice(0, 2)],
      [ours[0] ?? '', `origin: ${origin}`],
      ['content-type: text/plain', ...ours.slice(1)],
      [...ours, 'sec-fetch-site: same-site'],
    ]) {
      expect([403, 415]).toContain((await ask(lab, 'POST', '/leases', lease, { jar, headers })).status);
    }
    expect(await control(lab, 'GET', '/leases')).toEqual([]);
    expect((await ask(lab, 'POST', '/leases', lease, { jar })).status).toBe(201);
    const plain = { token: made.body.token as string, headers: ['content-type: application/json'] };
    expect((await ask(lab, 'DELETE', '/leases/198.51.100.77', undefined, plain)).status).toBe(200);
  });

  test('wrong passwords are slowed down where they come from, and the owner still gets in', async () => {
    const guest = await somebody({ role: 'viewer' });
    const guess = (host: string, given = 'not this one') =>
      ask(lab, 'POST', '/session', { name: guest.name, password: given }, { host });
    const seen = [];
    for (let i = 0; i < 6; i++) seen.push((await guess('desk')).status);
    expect(seen.slice(0, 5)).toEqual(Array(5).fill(401));
    // Emulated, the sixth may come after its second.
    if (SLOWNESS === 1) expect(seen[5]).toBe(429);
    for (let i = 0; i < 3; i++) {
      await poll(async () => (await guess('desk')).status === 401, { within: 60_000, what: 'the next guess' });
    }
    const slowed = await guess('desk', password);
    expect([slowed.status, Number(/^retry-after: (\d+)/im.exec(slowed.headers)?.[1]) > 0]).toEqual([429, true]);
    expect((await guess('tv', password)).status).toBe(201);
    const unknown = await ask(lab, 'POST', '/session', { name: 'nobody at all', password }, { host: 'printer' });
    const known = await ask(lab, 'POST', '/session', { name: guest.name, password: 'wrong' }, { host: 'printer' });
    expect([unknown.status, unknown.body]).toEqual([known.status, known.body]);
  });

  test('a role that is taken away ends the session at once, and a disabled member stays out', async () => {
    const guest = await somebody({ role: 'admin' });
    const jar = await signIn(guest.name, password);
    const rule = () => ask(lab, 'POST', '/rules', { source: '198.51.100.78/32' }, { jar });
    expect((await rule()).status).toBe(201);
    undo(() => control(lab, 'DELETE', `/rules/${encodeURIComponent('198.51.100.78/32')}`));
    await control(lab, 'PATCH', `/members/${guest.label}`, { role: 'viewer' });
    expect((await rule()).status).toBe(401);
    const again = await signIn(guest.name, password);
    expect((await ask(lab, 'GET', '/servers', undefined, { jar: again })).status).toBe(200);
    expect((await ask(lab, 'POST', '/rules', { source: '198.51.100.79/32' }, { jar: again })).status).toBe(403);
    await control(lab, 'PATCH', `/members/${guest.label}`, { disabled: true });
    expect((await ask(lab, 'GET', '/servers', undefined, { jar: again })).status).toBe(401);
    await expect(signIn(guest.name, password)).rejects.toThrow('401');
  });

  test('a token works while the second factor is on, and the password alone does not', async () => {
    const guest = await somebody({ role: 'viewer' });
    const jar = await signIn(guest.name, password);
    const made = await ask(lab, 'POST', '/account/tokens', { name: 'reader', scope: 'read' }, { jar });
    const token = { token: made.body.token as string, headers: [] };
    const { secret } = (await ask(lab, 'POST', '/account/totp', {}, { jar })).body;
    const code = () => new TOTP({ secret }).generate();
    const on = await ask(lab, 'POST', '/account/totp/confirm', { code: code() }, { jar });
    expect([on.status, on.body.recoveryCodes.length]).toEqual([200, 10]);
    await expect(signIn(guest.name, password)).rejects.toThrow('401');
    await signIn(guest.name, password, { code: on.body.recoveryCodes[0] });
    await expect(signIn(guest.name, password, { code: on.body.recoveryCodes[0] })).rejects.toThrow('401');
    expect((await ask(lab, 'GET', '/servers', undefined, token)).status).toBe(200);
    await control(lab, 'PATCH', `/members/${guest.label}`, { disabled: true });
    expect((await ask(lab, 'GET', '/servers', undefined, token)).status).toBe(403);
  });

  test('a lost password is made anew on the console: the old one and every session end', async () => {
    const guest = await somebody({ role: 'viewer' });
    const jar = await signIn(guest.name, password);
    const reset = await lab.apn('reset-password', guest.name);
    expect((await ask(lab, 'GET', '/servers', undefined, { jar })).status).toBe(401);
    await expect(signIn(guest.name, password)).rejects.toThrow('401');
    const take = () => ask(lab, 'POST', '/invitations/take', { secret: reset.secret, password: newPassword });
    const taken = await Promise.all(Array.from({ length: 5 }, take));
    expect(taken.filter(({ status }) => status === 201)).toHaveLength(1);
    await signIn(guest.name, newPassword);
    await lab.output('hub', ['apn', 'reset-password', guest.name, '--password-stdin'], { input: `${password}\n` });
    await signIn(guest.name, password);
  });

  test('outlives a restart of the router', async () => {
    const jar = await signIn(owner.name, owner.password);
    await lab.restartRouter();
    await poll(async () => (await ask(lab, 'GET', '/servers', undefined, { jar })).status === 200, {
      within: 20_000,
      what: 'the session to be known again',
    });
  });
});
