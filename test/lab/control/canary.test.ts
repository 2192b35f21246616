// Canaries: after everything that handles a secret was done for real, no secret is found where none belongs.
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TOTP } from 'otpauth';
import { expect, test } from 'vitest';
import { uplinkFiles } from '../../support/lab/hosted.ts';
import { hostFolder, labFolder } from '../../support/lab/place.ts';
import { sharedLab } from '../../support/lab/shared.ts';
import { readState } from '../../support/lab/state.ts';
import { control, restoring } from '../clients.ts';

const lab = sharedLab();
const undo = restoring();
const gateway = 'https://192.168.66.1';

/** Who carries which secret; the text as people see it. */
const canaries = new Map<string, string>();

interface Answer {
  readonly status: number;
  readonly headers: string;
  // biome-ignore lint/suspicious/noExplicitAny: every route has its own answer, and tests say what they expect
  readonly body: any;
}

/** Through the real gateway, from the LAN. A bearer's text and bodies go by standard input: a command line is no secret. */
async function web(method: string, path: string, bearer: string | null, body?: unknown): Promise<Answer> {
  const config = [
    `url = "${gateway}/api${path}"`,
    `request = "${method}"`,
    ...['header = "x-apn: 1"', 'header = "content-type: application/json"', `header = "origin: ${gateway}"`],
    ...(bearer === null ? [] : [`header = "cookie: __Host-apn=${bearer}"`]),
    ...(body === undefined ? [] : [`data = ${JSON.stringify(JSON.stringify(body))}`]),
  ];
  const curl = ['curl', '-sk', '-D', '-', '--max-time', '60', '-K', '-'];
  const text = await lab.output('desk', curl, { input: config.join('\n') });
  const end = text.search(/\r?\n\r?\n/);
  const [headers, answer] = [text.slice(0, end), text.slice(end).trim()];
  const status = Number(/^HTTP\/\S+ (\d+)/.exec(headers)?.[1]);
  return { status, headers, body: /^content-type: application\/json/im.test(headers) ? JSON.parse(answer) : answer };
}

async function ok(answer: Promise<Answer>): Promise<Answer> {
  const got = await answer;
  if (got.status >= 300 || Number.isNaN(got.status)) throw new Error(`${got.status} ${JSON.stringify(got.body)}`);
  return got;
}

const cookieOf = ({ headers }: Answer) => /^set-cookie: __Host-apn=([^;]+)/im.exec(headers)?.[1] ?? '';

async function keyPair(host: string, who: string): Promise<string> {
  const secret = await lab.output(host, ['wg', 'genkey']);
  canaries.set(`private key of ${who}`, secret);
  return lab.output(host, ['wg', 'pubkey'], { input: secret });
}

/** Signs in, makes everything that has a secret, and leaves it there until the test is over. */
async function useEverything(): Promise<{ readonly session: string; readonly backup: Buffer }> {
  const { ownerName, ownerPassword } = readState(lab.name) ?? {};
  if (ownerName == null || ownerPassword == null) throw new Error('the lab has no owner');
  canaries.set("the owner's password", ownerPassword);
  await web('POST', '/session', null, { name: ownerName, password: `wrong-${ownerPassword}` });
  const first = await ok(web('POST', '/session', null, { name: ownerName, password: ownerPassword }));
  const session = cookieOf(first);
  expect(session).toMatch(/^apn_session_/);
  canaries.set('session', session);

  const token = await ok(web('POST', '/account/tokens', session, { name: 'canary', scope: 'read' }));
  canaries.set('API token', token.body.token);
  undo(() => control(lab, 'DELETE', `/tokens/${token.body.id}`));
  const totp = await ok(web('POST', '/account/totp', session, {}));
  canaries.set('TOTP seed', totp.body.secret);
  const code = new TOTP({ secret: totp.body.secret }).generate();
  const recovery = await ok(web('POST', '/account/totp/confirm', session, { code }));
  for (const [i, one] of recovery.body.recoveryCodes.entries()) canaries.set(`recovery code ${i}`, one);
  undo(() => control(lab, 'POST', `/members/${ownerName}/password-reset`, { password: ownerPassword, totpOff: true }));

  const member = await ok(web('POST', '/members', session, { name: 'Canary', role: 'viewer' }));
  undo(() => control(lab, 'DELETE', '/members/canary'));
  const invite = await ok(web('POST', `/members/${member.body.id}/invite`, session, {}));
  canaries.set('invitation', invite.body.secret);
  const own = `chosen-${randomBytes(9).toString('base64url')}`;
  canaries.set("the member's password", own);
  await ok(web('POST', '/invitations/take', null, { secret: invite.body.secret, password: own }));

  const device = { member: 'Canary', label: 'laptop', publicKey: await keyPair('desk', 'a device') };
  const made = await ok(web('POST', '/devices', session, device));
  canaries.set('preshared key', made.body.presharedKey);
  undo(() => control(lab, 'DELETE', '/devices/canary%2Flaptop'));
  const handover = await ok(web('POST', '/handovers', session, { device: 'canary/phone' }));
  const secret = String(handover.body.path).split('#')[1] ?? '';
  canaries.set('hand-over', secret);
  const taken = await ok(web('POST', '/handovers/take', null, { secret, publicKey: await keyPair('desk', 'a phone') }));
  canaries.set('preshared key of the hand-over', taken.body.presharedKey);
  undo(() => control(lab, 'DELETE', '/devices/canary%2Fphone'));
  const again = await ok(
    web('POST', '/devices/canary%2Flaptop/rotate', session, { publicKey: await keyPair('desk', 'a rotated device') }),
  );
  canaries.set('rotated preshared key', again.body.presharedKey);

  const file = readFileSync(uplinkFiles(lab.name).file, 'utf8');
  for (const [, what, key] of file.matchAll(/(PrivateKey|PresharedKey) = (\S+)/g)) {
    canaries.set(`the uplink's ${what} ${canaries.size}`, key ?? '');
  }
  await ok(web('POST', '/uplinks', session, { label: 'canary', file, access: { lan: 'nothing' } }));
  undo(() => control(lab, 'DELETE', '/uplinks/canary'));

  const passphrase = `open ${randomBytes(12).toString('base64url')}`;
  canaries.set("the backup's passphrase", passphrase);
  const backup = await ok(web('POST', '/backup', session, { passphrase }));
  canaries.set("the hub's private key", await lab.output('hub', ['wg', 'show', 'apn0', 'private-key']));
  return { session, backup: Buffer.from(backup.body.file, 'base64') };
}

/** A secret as it may be written: as it is, and the bytes that base64 or base32 text stands for, in every usual spelling. */
function spellings(secret: string): readonly Buffer[] {
  const texts = [secret, secret.replace(/^apn_[a-z]+_/, '')];
  const bytes = [...new Set(texts)].flatMap((text) => (text.length >= 40 ? [Buffer.from(text, 'base64')] : []));
  const spelled = [...texts, ...bytes.flatMap((one) => [one.toString('hex'), one.toString('base64url')])];
  return [...spelled.map((text) => Buffer.from(text)), ...bytes];
}

function found(where: string, content: Buffer): readonly string[] {
  return [...canaries]
    .filter(([, secret]) => spellings(secret).some((spelling) => content.includes(spelling)))
    .map(([whose]) => `${whose} in ${where}`);
}

function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true);
}

test('no secret is found in the database, its journal, the logs, an answer, the audit log or a backup', async () => {
  const { session, backup } = await useEverything();
  expect([...canaries.values()].filter((secret) => secret.length < 8)).toEqual([]);

  const hub = hostFolder(lab.name, 'hub');
  const files = [...filesBelow(join(hub, 'state')), ...filesBelow(join(hub, 'run')), ...filesBelow(join(hub, 'webui'))];
  const logs = filesBelow(join(labFolder(lab.name), 'log')).filter((path) => /hub/.test(path));
  expect(files.some((path) => path.endsWith('router.db'))).toBe(true);
  expect(files.some((path) => path.endsWith('router.db-wal'))).toBe(true);
  expect(logs.some((path) => /router/.test(path))).toBe(true);

  const description = await control(lab, 'GET', '/openapi.json');
  const routes = Object.entries<Record<string, unknown>>(description.paths).flatMap(([path, methods]) =>
    'get' in methods && !path.includes('{') && path !== '/events' ? [path] : [],
  );
  expect(routes).toEqual(expect.arrayContaining(['/audit', '/audit/export', '/history', '/devices', '/uplinks']));
  const answers = await Promise.all(
    [...routes, '/config/laptop.canary', '/uplinks/canary'].map(async (path): Promise<[string, Buffer]> => {
      const { body } = await web('GET', path, session);
      return [`the answer of ${path}`, Buffer.from(JSON.stringify(body))];
    }),
  );
  const places: [string, Buffer][] = [
    ...[...files, ...logs].map((path): [string, Buffer] => [
      path.slice(labFolder(lab.name).length),
      readFileSync(path),
    ]),
    ...answers,
    ['the backup', backup],
  ];
  expect(places.flatMap(([where, content]) => found(where, content))).toEqual([]);
  // The search does find what is there.
  const [whose, secret] = [...canaries].at(-1) ?? ['', ''];
  expect(found('a file', Buffer.from(`x${secret}x`))).toContain(`${whose} in a file`);
  expect(found('a file', Buffer.concat([Buffer.of(1), Buffer.from(secret, 'base64')]))).toContain(`${whose} in a file`);
});
