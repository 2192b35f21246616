// Bad input is refused whole, with the field by name, and nothing changes: not the store, not the firewall, not the tunnel.
import { createHash, randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CONTROL_SOCKET } from '../support/lab/hub.ts';
import { hostFolder } from '../support/lab/place.ts';
import { sharedLab } from '../support/lab/shared.ts';
import { withoutMeters } from './clients.ts';

const lab = sharedLab();
const KEY = randomBytes(32).toString('base64');
/** Two bits that belong to no byte: the same 32 bytes, spelled differently. */
const stray = `${KEY.slice(0, 42)}${'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'.charAt(
  ('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'.indexOf(KEY.charAt(42)) & 60) + 1,
)}=`;
const LOW_ORDER = Buffer.from('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800', 'hex').toString(
  'base64',
);

let hubKey: string;
let webKey: string;

/**
 * Every row that somebody's request could have made, everything in the firewall, every peer. Counters, handshakes, times
 * left and who knocked meanwhile are not part of it.
 */
async function everything() {
  const store = new DatabaseSync(join(hostFolder(lab.name, 'hub'), 'state/router.db'), { readOnly: true });
  const hash = createHash('sha256');
  try {
    const tables = store.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all();
    for (const { name } of tables) {
      if (name === 'knock' || name === 'sqlite_sequence') continue;
      const own = name === 'audit' ? "WHERE kind IN ('act', 'lease') AND actor NOT IN ('router', 'knock')" : '';
      for (const row of store.prepare(`SELECT * FROM "${name}" ${own}`).all()) {
        hash.update(
          JSON.stringify(row, (_, value) => (value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value)),
        );
      }
    }
  } finally {
    store.close();
  }
  const script = `nft -a -s list ruleset | ${withoutMeters} | sed -E 's/ (timeout|expires) [0-9a-z]+//g'
ip -o addr show | sed 's/valid_lft.*//'; ip route; ip neigh show nud permanent
wg show all dump | cut -f 1,2,3,5,9 | sort; cat /run/apn/dhcp/dnsmasq*.conf /run/apn/dhcp/dnsmasq.hosts; cat /run/apn/zone.json`;
  return { store: hash.digest('hex'), kernel: await lab.output('hub', ['bash', '-c', script]) };
}

let before: Awaited<ReturnType<typeof everything>>;

beforeAll(async () => {
  hubKey = await lab.output('hub', ['wg', 'show', 'apn0', 'public-key']);
  webKey = await lab.output('web', ['wg', 'show', 'wg0', 'public-key']);
  before = await everything();
});

interface Answer {
  /** The request, for whoever reads a failure. */
  readonly asked: string;
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: every route has its own answer, and tests say what they expect
  readonly body: any;
}

/** One request as it is, well-formed or not. */
function ask(
  method: string,
  path: string,
  text?: string | Buffer,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const asked = `${method} ${path} ${text?.toString().slice(0, 200) ?? ''}`;
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        socketPath: lab.path('hub', CONTROL_SOCKET),
        method,
        path,
        headers: { 'content-type': 'application/json', ...headers },
      },
      (incoming) => {
        let answer = '';
        incoming.setEncoding('utf8').on('data', (part: string) => {
          answer += part;
        });
        incoming.once('end', () => {
          try {
            resolve({ asked, status: incoming.statusCode ?? 0, body: answer === '' ? null : JSON.parse(answer) });
          } catch {
            resolve({ asked, status: incoming.statusCode ?? 0, body: answer });
          }
        });
      },
    );
    outgoing.once('error', reject);
    outgoing.end(text);
  });
}

/** Refused with the field by name and words for people, and nothing else has changed. */
async function refused(answer: Promise<Answer>, field: string | RegExp, ...statuses: number[]): Promise<void> {
  const { asked, status: got, body } = await answer;
  const error = {
    path: typeof field === 'string' ? field : expect.stringMatching(field),
    message: expect.stringMatching(/\S/),
  };
  const expected = statuses.length === 0 ? [400] : statuses;
  expect({ asked, status: expected.includes(got) ? expected : got, body }).toEqual({
    asked,
    status: expected,
    body: { error },
  });
  expect(body.error.message).not.toMatch(/undefined|\[object|at \w+ \(|log knows/);
  expect(body.error.message.length).toBeLessThan(400);
}

const post = (path: string, body: unknown) => ask('POST', path, JSON.stringify(body));
const patch = (path: string, body: unknown) => ask('PATCH', path, JSON.stringify(body));
const server = (more: object) => post('/servers', { application: 'shop', label: 'new', publicKey: KEY, ...more });
const application = (more: object) => post('/applications', { label: 'new', range: '172.16.20.0/24', ...more });
const lease = (source: unknown, more: object = {}) => post('/leases', { source, ...more });
const lanDevice = (more: object) => post('/lan/devices', { label: 'new', mac: '02:66:00:00:00:99', ...more });

describe('over the control socket', () => {
  test('keys', async () => {
    const keys = () => [
      KEY.slice(1),
      `${KEY}A`,
      `A${KEY}`,
      KEY.slice(0, 43),
      stray,
      KEY.replace('=', 'A'),
      KEY.replace('=', ' '),
      `${KEY.slice(0, 20)}-_${KEY.slice(22)}`,
      `${KEY.slice(0, 20)}\0${KEY.slice(21)}`,
      `${KEY}\n`,
      Buffer.alloc(32).toString('base64'),
      Buffer.from([1, ...new Uint8Array(31)]).toString('base64'),
      Buffer.from([...new Uint8Array(31), 128]).toString('base64'),
      LOW_ORDER,
      hubKey,
      webKey,
      '',
      randomBytes(32).toString('hex'),
    ];
    for (const publicKey of keys()) {
      await refused(server({ publicKey }), 'publicKey');
      await refused(post('/devices', { member: 'Anna', label: 'new', publicKey }), 'publicKey');
      await refused(patch('/servers/shop%2Fdb', { publicKey }), 'publicKey');
    }
    for (const publicKey of [null, 1, [KEY], { key: KEY }, true]) await refused(server({ publicKey }), 'publicKey');
  });

  test('addresses of servers, devices and LAN devices', async () => {
    const wrong = [
      '172.16.10.0',
      '172.16.10.255',
      '172.16.11.5',
      '172.16.10.010',
      '172.16.10',
      '172.16.10.5/24',
      '172.16.10.256',
      '::1',
      'fd00::5',
      '0xac100a05',
      '2886732293',
      '',
      ' 172.16.10.5',
      '１７２.16.10.5',
      '172.16.10.10',
    ];
    for (const address of wrong) await refused(server({ address }), 'address');
    for (const address of ['172.16.0.1', '172.16.10.5', '10.0.0.5', '172.16.1.1']) {
      await refused(post('/devices', { member: 'Anna', label: 'new', publicKey: KEY, address }), 'address');
    }
    for (const address of [
      '192.168.66.1',
      '192.168.66.0',
      '192.168.66.255',
      '192.168.67.5',
      '172.16.2.5',
      '192.168.66.2',
    ])
      await refused(lanDevice({ address }), 'address');
    for (const identity of ['192.168.66.5', '172.16.0.1', '172.16.10.5', '172.16.2.0', '172.16.2.11'])
      await refused(lanDevice({ identity }), 'identity');
    for (const mac of [
      '',
      '02:66:00:00:00',
      '02:66:00:00:00:0g',
      '01:00:5e:00:00:01',
      'ff:ff:ff:ff:ff:ff',
      '00:00:00:00:00:00',
      '02:66:00:00:00:11',
      '026600000099',
    ])
      await refused(lanDevice({ mac }), 'mac');
  });

  test('ranges', async () => {
    const wrong = [
      '10.0.0.1/33',
      '172.16.20.0/33',
      '172.16.20.0/-1',
      '172.16.20.0/024',
      '172.16.020.0/24',
      '172.16.20.1/24',
      '0.0.0.0/0',
      '172.16.0.0/16',
      '172.16.20.0',
      '172.16.20.0/',
      '/24',
      '10.9.0.0/24',
      '192.168.66.0/24',
      '203.0.113.0/24',
      '172.16.10.0/24',
      '172.16.10.128/25',
      '172.16.8.0/21',
      '172.16.0.0/24',
      '172.16.1.0/24',
      '172.16.2.0/25',
      '172.16.20.0/31',
      '172.16.20.0/32',
      'fd00::/64',
      '127.0.0.0/8',
      '224.0.0.0/4',
      '172.16.20.0/24 ',
      '172.16.20.0/24\n',
      '',
    ];
    for (const range of wrong) await refused(application({ range }), 'range');
    for (const range of [
      '0.0.0.0/0',
      '192.168.0.0/16',
      '192.168.66.0/24',
      '8.0.0.0/16',
      '172.16.0.1/16',
      '172.16.0.0/8',
      '172.16.0.0/30',
      'fd00::/16',
      '10.0.0.0/23',
    ]) {
      // A right one is refused as well, while there are servers in the old one.
      await refused(patch('/network', { range }), /^(range|applications\..*range)$/, 400, 409);
    }
    for (const address of [
      '192.168.66.1',
      '192.168.66.0/24',
      '192.168.66.255/24',
      '192.168.66.1/33',
      '192.168.66.1/8',
      '192.168.66.1/30',
      '203.0.113.1/24',
      '172.16.0.1/24',
      '127.0.0.1/24',
      '0.0.0.0/0',
      'fd00::1/64',
    ]) {
      await refused(patch('/lan', { address }), /^(address|range|network\.range|dhcp\..*|lanDevices\..*address)$/);
    }
  });

  test('endpoints, ports and names of network ports', async () => {
    for (const host of [
      '',
      '0.0.0.0',
      '127.0.0.1',
      '224.0.0.1',
      '172.16.0.1',
      '203.0.113.01',
      '203.0.113.1.',
      '2001:db8::1%eth0',
      'exa mple',
      '-a.example',
      'a..example',
      `${'a'.repeat(64)}.example`,
      'xn--80ak6aa92e.com',
      'аpple.com',
      '[2001:db8::1]',
      'hub:51820',
      '::ffff:203.0.113.1',
      'a;reboot',
      '$(id)',
    ]) {
      await refused(patch('/network', { endpoint: { host, port: 51820 } }), 'endpoint.host');
    }
    for (const port of [0, -1, 65_536, 1.5, '51820', null, 1e9])
      await refused(patch('/network', { endpoint: { host: 'vpn.example.net', port } }), 'endpoint.port');
    for (const wan of ['', 'wan0; reboot', '../wan0', 'a'.repeat(16), 'wan0"', 'br-lan', 'apn0', 'lo', 'lan0', 'wan 0'])
      await refused(patch('/lan', { wan }), /^(wan|ports)$/);
    for (const ports of [['lan0', 'lan0'], ['wan0'], ['lan0', 'apn0'], ['br-lan'], [''], ['lan0\n']])
      await refused(patch('/lan', { ports }), /^ports/);
    for (const dhcp of [
      { from: '192.168.66.100' },
      { from: '192.168.66.200', to: '192.168.66.100' },
      { from: '192.168.67.1', to: '192.168.67.9' },
      { from: '192.168.66.1', to: '192.168.66.9' },
      { from: '', to: '' },
    ])
      await refused(patch('/lan', { dhcp }), /^dhcp/);
  });

  test('leases and rules', async () => {
    const sources = [
      '0.0.0.0',
      '0.0.0.0/0',
      '::',
      '::/0',
      '127.0.0.1',
      '::1',
      '224.0.0.1',
      '255.255.255.255',
      '240.0.0.1',
      '169.254.1.1',
      'fe80::1',
      'ff02::1',
      '192.168.66.20',
      '192.168.0.0/16',
      '172.16.1.1',
      '172.16.0.0/12',
      '203.0.113.1',
      '203.0.113.07',
      '010.0.0.1',
      '203.0.113.50/33',
      '203.0.113.50/24',
      '203.0.113.0/7',
      '2001:db8::/12',
      '2001:db8::1/129',
      '2001:db8:::1',
      '::ffff:203.0.113.50',
      '203.0.113',
      '203.0.113.50.1',
      '0xcb007132',
      '3405803826',
      'example.net',
      '203.0.113.50 ',
      '203.0.113.50\n',
      '203.0.113.50\0',
      '٢٠٣.0.113.50',
      '',
      '203.0.113.50,203.0.113.66',
      'x'.repeat(10_000),
    ];
    for (const source of sources) {
      await refused(lease(source), 'source');
      await refused(post('/rules', { source }), 'source');
    }
    for (const source of [null, 5, ['203.0.113.50'], {}, true]) await refused(lease(source), 'source');
    for (const duration of [
      '0',
      '0s',
      '-1',
      '-1s',
      '1',
      '1.5h',
      'NaN',
      'Infinity',
      '1e3s',
      '',
      ' 1h',
      '1h ',
      '1H',
      '31d',
      '9999999d',
      '99999999999999s',
      '1h1m',
      '٣h',
      null,
      60,
      -1,
      0,
    ]) {
      await refused(lease('203.0.113.50', { for: duration }), 'for');
    }
    await refused(lease('203.0.113.50', { member: 'Nobody' }), 'member', 404);
    await refused(lease('203.0.113.50', { reason: 'x'.repeat(201) }), 'reason');
    await refused(lease('203.0.113.50', { duration: '1h' }), 'duration');
    await refused(lease('203.0.113.50', { id: 'mine' }), 'id');
    await refused(post('/rules', { source: '203.0.113.50', server: 'nobody' }), /^(server)?$/, 404);
    await refused(ask('DELETE', '/leases/203.0.113.50'), '', 404);
    await refused(ask('DELETE', '/rules/0.0.0.0%2F0'), '', 404);
  });

  test('names: labels, look-alikes, spaces, reserved ones', async () => {
    const labels = [
      '',
      ' ',
      'Shop',
      'sh op',
      'shop ',
      '-shop',
      'shop-',
      'sh_op',
      'shоp',
      'ｓhop',
      'shop\u200b',
      'xn--shp-hyb',
      'a'.repeat(64),
      'sh.op',
      'shop\n',
      'shop\0',
      '../shop',
      '"; flush ruleset',
      '*',
    ];
    for (const label of labels) {
      await refused(application({ label }), 'label');
      await refused(server({ label }), 'label');
      await refused(lanDevice({ label }), 'label');
    }
    for (const label of ['hub', 'lan', 'wpad', 'localhost', 'ns', 'shop', 'books'])
      await refused(application({ label }), 'label');
    for (const label of ['hub', 'wpad', 'localhost', 'ns', 'lan', 'tv']) await refused(lanDevice({ label }), 'label');
    await refused(server({ label: 'web' }), 'label');
    // Cyrillic А and е, full width, invisible, turned around, with more spaces: all of them would be read as Anna.
    for (const name of [
      'anna',
      'ANNA',
      'Ａnna',
      'An\u00adna',
      'Anna\u200d',
      'Anna ',
      ' Anna',
      'An  na',
      '\u202eannA',
      'Anna\u0301\u0301\n',
      '',
      'x'.repeat(61),
    ]) {
      await refused(post('/members', { name, role: 'viewer' }), /^(name|label)$/);
    }
    for (const name of ['Аnna', 'Annа', 'Αnna'])
      await refused(post('/members', { name, role: 'viewer' }), /^(name|label)$/);
    await refused(post('/members', { name: 'Carl', role: 'emperor' }), 'role');
    await refused(post('/members', { name: 'Carl', access: { shop: 'emperor' } }), /^access/);
    await refused(post('/members', { name: 'Carl', access: { nothing: 'viewer' } }), 'access.nothing', 404);
    await refused(patch('/members/Ben', { role: 'viewer' }), 'role');
    await refused(patch('/members/Ben', { disabled: true }), 'role');
    await refused(ask('DELETE', '/members/Ben'), /role$/);
    for (const name of [
      'hub',
      'wpad',
      '*.localhost',
      'shop',
      'web.shop',
      'a..b',
      '',
      '*',
      '*.*',
      'a.*',
      '.',
      'x.hub',
      'аpp',
    ]) {
      await refused(post('/names', { name, type: 'A', address: '172.16.10.10' }), 'name');
    }
    await refused(post('/names', { name: 'self', type: 'CNAME', target: 'self' }), 'target');
  });

  test('JSON that is not what it seems', async () => {
    const send = (text: string | Buffer, headers = {}) => ask('POST', '/leases', text, headers);
    const deep = (open: string, close: string, depth: number) => open.repeat(depth) + close.repeat(depth);
    await refused(send('{"source":"203.0.113.50","__proto__":{"for":"1h"}}'), '__proto__');
    await refused(send('{"source":"203.0.113.50","\\u005f_proto__":{"for":"1h"}}'), '__proto__');
    await refused(send('{"source":"203.0.113.50","constructor":{"prototype":{}}}'), 'constructor');
    await refused(send('{"source":"203.0.113.50","source":"203.0.113.66"}'), 'source');
    await refused(send('{"source":"203.0.113.50","sourc\\u0065":"203.0.113.66"}'), 'source');
    await refused(send(deep('[', ']', 10_000)), '');
    await refused(send(`{"source":${deep('[', ']', 10_000)}}`), '');
    await refused(send(deep('{"a":', '}', 10_000).replace('}', '1}')), '');
    await refused(send('['.repeat(200_000)), '');
    for (const text of [
      '{',
      '{}}',
      'null',
      '[]',
      '"203.0.113.50"',
      '5',
      'true',
      "{'source':'203.0.113.50'}",
      '{"source":"203.0.113.50",}',
      '\ufeff{"source":"203.0.113.50"',
      '\0',
      'source=203.0.113.50',
    ]) {
      await refused(send(text), /^$/);
    }
    await refused(send('{}'), 'source');
    await refused(send(''), 'source');
    await refused(send(Buffer.from('{"source":"203.0.113.50"}', 'utf16le')), '');
    await refused(send(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])), /./);
    await refused(send(`{"source":"203.0.113.50","reason":"${'x'.repeat(300_000)}"}`), '');
    await refused(send(Buffer.alloc(4 * 1024 * 1024, 0x20), { 'transfer-encoding': 'chunked' }), '').catch(
      (error: NodeJS.ErrnoException) => {
        // Hanging up in the middle of such a body is an answer too.
        expect(['EPIPE', 'ECONNRESET']).toContain(error.code);
      },
    );
    await refused(patch('/servers/shop%2Fweb', { application: 'books' }), 'application');
    await refused(patch('/servers/shop%2Fweb', { id: 'other' }), 'id');
    await refused(patch('/servers/nobody', {}), '', 404);
    await refused(ask('POST', '/nowhere', '{}'), '', 404);
    await refused(ask('PUT', '/leases', '{}'), '', 404);
    await refused(post('/applications/shop/links', { to: 'nowhere' }), /^(to)?$/, 404);
    await refused(ask('POST', '/leases', '{"source":"203.0.113.50"}', { 'if-match': '"0"' }), 'revision', 409);
  });

  afterAll(async () => {
    expect(await everything()).toEqual(before);
  });
});

describe('by the apn command', () => {
  const lines: readonly (readonly [line: string, path: string])[] = [
    [`servers add shop/new --public-key ${KEY.slice(1)}`, 'publicKey'],
    [`servers add shop/new --public-key ${KEY}A`, 'publicKey'],
    [`servers add shop/new --public-key ${stray}`, 'publicKey'],
    [`servers add shop/new --public-key ${LOW_ORDER}`, 'publicKey'],
    [`servers add shop/new --public-key ${KEY} --address 172.16.11.9`, 'address'],
    [`servers add shop/new --public-key ${KEY} --source 0.0.0.0/0`, 'source'],
    [`servers add shop/new --public-key ${KEY} --source 203.0.113.07`, 'source'],
    [`servers add shop/hub/x --public-key ${KEY}`, ''],
    ['servers add shop/new', 'publicKey'],
    [`servers add shop/new --public-key ${KEY} --adress 172.16.10.9`, '--adress'],
    [`devices add Anna/New --public-key ${KEY}`, 'label'],
    ['apps add new --range 10.0.0.1/33', 'range'],
    ['apps add new --range 172.16.10.0/25', 'range'],
    ['apps add hub', 'label'],
    ['lease add 0.0.0.0', 'source'],
    ['lease add 224.0.0.1', 'source'],
    ['lease add 192.168.66.20', 'source'],
    ['lease add 203.0.113.07', 'source'],
    ['lease add 203.0.113.50 --for 0', 'for'],
    ['lease add 203.0.113.50 --for -1', 'for'],
    ['lease add 203.0.113.50 --for NaN', 'for'],
    ['lease add 203.0.113.50 --for', '--for'],
    ['lease add', ''],
    ['rule add 0.0.0.0/0', 'source'],
    ['network set --range 10.0.0.1/33', 'range'],
    ['network set --endpoint vpn.example.net:0', 'endpoint.port'],
    ['network set --endpoint 2001:db8::1:51820:x', 'endpoint.host'],
    ['lan set --address 192.168.66.1', 'address'],
    ['lan set --wan lan0', 'ports'],
    ['lan add new --mac ff:ff:ff:ff:ff:ff', 'mac'],
    ['members add "An  na"', 'name'],
    ['members set Ben --role viewer', 'role'],
    ['names add wpad A 172.16.10.10', 'name'],
    ['names add x AAAA fd00::1', 'type'],
    ['explain tv web 0', 'port'],
    ['leases', ''],
    ['lease frobnicate', ''],
  ];

  test('each line is refused as invalid, by the name of the field', async () => {
    const { status, stdout } = await lab.exec('hub', ['apn', 'batch'], {
      input: lines.map(([line]) => `${line}\n`).join(''),
    });
    const answers = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { error?: { code: number; path: string; message: string } });
    expect(status).toBe(2);
    expect(answers).toHaveLength(lines.length);
    for (const [index, [line, path]] of lines.entries()) {
      expect({ line, ...answers[index]?.error }).toEqual({ line, code: 2, path, message: expect.stringMatching(/\S/) });
    }
  });

  test('the exit status is 2, and standard error says which field in JSON or in words', async () => {
    const argv = ['lease', 'add', '203.0.113.07'];
    const json = await lab.exec('hub', ['apn', '--json', ...argv]);
    expect(json).toMatchObject({ status: 2, stdout: '' });
    expect(JSON.parse(json.stderr)).toEqual({
      error: { path: 'source', message: expect.stringContaining('203.0.113.07') },
    });
    const words = await lab.exec('hub', ['apn', ...argv]);
    expect(words).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining('source: ') });
  });

  afterAll(async () => {
    expect(await everything()).toEqual(before);
  });
});

test('what is right is taken, through the same two doors', async () => {
  const { status, body } = await lease('203.0.113.50', { for: '1h', reason: 'Anna’s hotel' });
  expect({ status, body }).toMatchObject({ status: 201, body: { source: '203.0.113.50', state: 'active' } });
  expect(await everything()).not.toEqual(before);
  await lab.apn('lease', 'rm', body.id);
  expect((await everything()).kernel).toBe(before.kernel);
});
