// The web page as people on the LAN and members open it, from the wire to the router and back, and as nobody else can.
import { request } from 'node:https';
import { expect, test } from 'vitest';
import { poll, SLOWNESS } from '../../support/lab/lab.ts';
import { sharedLab } from '../../support/lab/shared.ts';
import { connect, control, grant, keep, LAPTOP, note, restoring, revoke, revokeAll } from '../clients.ts';

const lab = sharedLab();
const undo = restoring();

interface Page {
  readonly code: string;
  readonly body: string;
}

/** What curl got; code 000 when there was no connection. */
async function open(host: string, url: string, ...options: readonly string[]): Promise<Page> {
  const curl = ['curl', '-sk', '--max-time', String(3 * SLOWNESS), '-w', '\n%{http_code}', ...options, url];
  const { stdout } = await lab.exec(host, curl);
  const at = stdout.lastIndexOf('\n');
  return { code: stdout.slice(at + 1), body: stdout.slice(0, at) };
}

test('the television shows the page and live figures from the router', async () => {
  const { code, body } = await open('tv', 'https://192.168.66.1/');
  expect(code).toBe('200');
  expect(body).toMatch(/<!doctype html>/i);
  const script = /src="(\/[^"]+\.js)"/.exec(body)?.[1];
  expect((await open('tv', `https://192.168.66.1${script}`)).code).toBe('200');

  const summary = async () => JSON.parse((await open('tv', 'https://192.168.66.1/api/summary')).body);
  const before = await summary();
  expect(before).toMatchObject({ state: 'up', tunnel: { up: true }, counts: { servers: 3, leases: 0 } });
  undo(() => revokeAll(lab));
  await grant(lab, '198.51.100.40');
  expect((await summary()).counts.leases).toBe(1);
  await revokeAll(lab);
  expect((await summary()).counts.leases).toBe(0);
  // People type names, and forget the s.
  expect((await open('tv', 'https://hub.apn/')).code).toBe('200');
  expect((await open('tv', 'http://hub.apn/')).code).toMatch(/^30[1278]$/);
});

test('nobody sees names or addresses before signing in, and nobody changes anything', async () => {
  for (const path of ['status', 'servers', 'members', 'devices', 'lan/devices', 'leases', 'rules', 'config/web']) {
    expect((await open('tv', `https://192.168.66.1/api/${path}`)).code, path).toMatch(/^40[134]$/);
  }
  const json = ['-H', 'content-type: application/json', '-H', 'x-apn: 1', '-H', 'origin: https://192.168.66.1'];
  const body = ['-d', '{"source":"198.51.100.41"}'];
  expect((await open('tv', 'https://192.168.66.1/api/leases', ...json, ...body)).code).toMatch(/^40[13]$/);
  expect(await control(lab, 'GET', '/leases')).toEqual([]);
});

test('a member opens it through the tunnel; a server, the Internet and a leased address do not', async () => {
  undo(() => revokeAll(lab));
  await connect(lab, 'laptop', LAPTOP);
  const summary = await open('laptop', 'https://hub.apn/api/summary');
  expect(summary.code).toBe('200');
  expect(JSON.parse(summary.body).counts.leases).toBe(1);
  expect((await open('laptop', 'https://172.16.0.1/')).code).toBe('200');
  for (const url of ['https://hub.apn/', 'https://172.16.0.1/', 'http://172.16.0.1/']) {
    expect((await open('web', url)).code, url).toBe('000');
  }
  const fromOutside = ['stranger', 'laptop'].map((host) => open(host, 'https://203.0.113.1/', '-m', '1'));
  expect((await Promise.all(fromOutside)).map(({ code }) => code)).toEqual(['000', '000']);
});

test('this machine’s browser opens it by way of the LAN', async () => {
  const { status, text } = await new Promise<{ status: number | undefined; text: string }>((resolve, reject) => {
    const outgoing = request(`${lab.ui}/api/summary`, { rejectUnauthorized: false }, (incoming) => {
      let text = '';
      incoming.on('data', (part: Buffer) => {
        text += part.toString();
      });
      incoming.once('end', () => resolve({ status: incoming.statusCode, text }));
    });
    outgoing.once('error', reject);
    outgoing.end();
  });
  expect(status).toBe(200);
  expect(JSON.parse(text).state).toBe('up');
});

test('another Host than its own is not answered', async () => {
  for (const host of [
    'evil.example',
    '192.168.66.1.evil.example',
    'hub.apn:8443',
    'web.shop.apn',
    '192.168.66.2',
    'localhost',
  ]) {
    for (const path of ['', 'api/summary']) {
      const { code, body } = await open('tv', `https://192.168.66.1/${path}`, '-H', `Host: ${host}`);
      expect(code, host).toBe('421');
      expect(body).not.toContain('apn-router');
    }
  }
  expect((await open('tv', 'https://192.168.66.1/api/summary', '-H', 'Host: hub.apn')).code).toBe('200');
});

test('an open page hears of a lease and of its end within 3 s', async () => {
  undo(() => revokeAll(lab));
  const stream = keep(lab, 'tv', 'exec curl -skN https://192.168.66.1/api/events', undo);
  const counts = () =>
    [...stream.stdout().matchAll(/^data: (\{.*\})$/gm)].map(([, data]) => JSON.parse(data ?? '').counts.leases);
  await poll(() => counts().at(-1) === 0, { what: 'the first event' });
  for (const [change, leases] of [
    [() => grant(lab, '198.51.100.42'), 1],
    [() => revoke(lab, '198.51.100.42'), 0],
  ] as const) {
    const changed = Date.now();
    await change();
    await poll(() => counts().at(-1) === leases, { every: 10, what: 'the change in the stream' });
    note(`event stream: change heard after ${Date.now() - changed} ms`);
    expect(Date.now() - changed).toBeLessThanOrEqual(3000);
  }
});

test('the gateway comes back by itself after a kill, with the same certificate', async () => {
  const fingerprint = () =>
    lab.output('tv', [
      ...[
        'bash',
        '-c',
        'openssl s_client -connect 192.168.66.1:443 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256',
      ],
    ]);
  const before = await fingerprint();
  await lab.restart('webui');
  await poll(async () => (await open('tv', 'https://192.168.66.1/')).code === '200', { what: 'the page' });
  expect(await fingerprint()).toBe(before);
});
