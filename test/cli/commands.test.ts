// The command line as data: words and options in, one request of the control API out, and answers as people read them.
import { describe, expect, it } from 'vitest';
import { InvalidInput } from '../../src/model/errors.ts';
import { accessOf, endpointOf, fields, one, pair, parseArguments } from '../../src/router/cli/arguments.ts';
import { commands } from '../../src/router/cli/commands.ts';
import { addedPeer, duration, lease, object, status, table } from '../../src/router/cli/show.ts';
import { createApp } from '../../src/router/control/app.ts';
import { makeControl } from '../support/control.ts';

function request(name: string, ...line: string[]) {
  const command = commands.find((each) => each.name === name);
  if (command === undefined) throw new Error(`no command ${name}`);
  return command.request(parseArguments(line));
}

describe('parseArguments', () => {
  it('tells words from options, in any order', () => {
    const args = parseArguments([
      'a',
      '--for',
      '24h',
      'b',
      '--json',
      '--note=x=y',
      'c',
      '--access',
      'a=b',
      '--access=c=d',
    ]);
    expect(args.words).toEqual(['a', 'b', 'c']);
    expect(one(args, '--for')).toBe('24h');
    expect(one(args, '--json')).toBe('yes');
    expect(one(args, '--note')).toBe('x=y');
    expect(args.options.get('--access')).toEqual(['a=b', 'c=d']);
    expect(one(args, '--access')).toBe('c=d');
    expect(fields(args, { '--for': 'for', '--reason': 'reason' })).toEqual({ for: '24h' });
  });

  it('takes negative numbers and lone dashes as words', () => {
    expect(parseArguments(['-1', '-', '--']).words).toEqual(['-1', '-', '--']);
  });

  it('names an option without its value', () => {
    expect(() => parseArguments(['lease', '--for'])).toThrow(expect.objectContaining({ path: '--for' }));
  });
});

describe('small grammars', () => {
  it.each([
    ['none', null],
    ['hub.example.net', { host: 'hub.example.net' }],
    ['hub.example.net:1234', { host: 'hub.example.net', port: 1234 }],
    ['203.0.113.1:1', { host: '203.0.113.1', port: 1 }],
    ['[2001:db8::1]:51820', { host: '2001:db8::1', port: 51820 }],
    ['[2001:db8::1]', { host: '2001:db8::1' }],
    ['2001:db8::1', { host: '2001:db8::1' }],
  ])('endpoint %s', (text, endpoint) => expect(endpointOf(text)).toEqual(endpoint));

  it('access', () => {
    expect(['nothing', 'everything', 'default', 'shop', 'shop,books,'].map(accessOf)).toEqual([
      'nothing',
      'everything',
      'default',
      ['shop'],
      ['shop', 'books'],
    ]);
  });

  it('pairs', () => {
    expect(pair('shop/web', 'A server')).toEqual(['shop', 'web']);
    for (const bad of ['web', '/web', 'shop/', 'a/b/c', '']) expect(() => pair(bad, 'A server')).toThrow(InvalidInput);
  });
});

describe('commands', () => {
  it.each([
    [['status'], 'GET', '/status', undefined],
    [
      ['network set', '--range', '10.0.0.0/16', '--endpoint', '203.0.113.1:7'],
      'PATCH',
      '/network',
      { range: '10.0.0.0/16', endpoint: { host: '203.0.113.1', port: 7 } },
    ],
    [['network set', '--endpoint', 'none'], 'PATCH', '/network', { endpoint: null }],
    [
      ['apps add', 'shop', '--range', '172.16.10.0/24'],
      'POST',
      '/applications',
      { label: 'shop', range: '172.16.10.0/24' },
    ],
    [['apps rm', 'shop'], 'DELETE', '/applications/shop', undefined],
    [['apps link', 'shop', 'books'], 'POST', '/applications/shop/links', { to: 'books' }],
    [['apps unlink', 'shop', 'books'], 'DELETE', '/applications/shop/links/books', undefined],
    [
      ['servers add', 'shop/web', '--public-key', 'K', '--source', '203.0.113.10', '--preshared-key'],
      'POST',
      '/servers',
      { application: 'shop', label: 'web', publicKey: 'K', source: '203.0.113.10', presharedKey: true },
    ],
    [['servers set', 'shop/web', '--label', 'www'], 'PATCH', '/servers/shop%2Fweb', { label: 'www' }],
    [['servers rm', 'web.shop'], 'DELETE', '/servers/web.shop', undefined],
    [
      ['members add', 'Anna Lee', '--role', 'viewer', '--access', 'shop=developer', '--access', 'books=viewer'],
      'POST',
      '/members',
      { name: 'Anna Lee', role: 'viewer', access: { shop: 'developer', books: 'viewer' } },
    ],
    [
      ['members set', 'Anna Lee', '--access', 'shop=none', '--disabled', 'yes'],
      'PATCH',
      '/members/Anna%20Lee',
      { access: { shop: null }, disabled: true },
    ],
    [
      ['devices add', 'anna/laptop', '--public-key', 'K', '--address', '172.16.1.9'],
      'POST',
      '/devices',
      { member: 'anna', label: 'laptop', publicKey: 'K', address: '172.16.1.9' },
    ],
    [['devices rm', 'anna/laptop'], 'DELETE', '/devices/anna%2Flaptop', undefined],
    [
      ['lease add', '203.0.113.7/24', '--for', '10m', '--member', 'anna', '--reason', 'a b'],
      'POST',
      '/leases',
      { source: '203.0.113.7/24', for: '10m', member: 'anna', reason: 'a b' },
    ],
    [['lease rm', '203.0.113.0/24'], 'DELETE', '/leases/203.0.113.0%2F24', undefined],
    [['lease ls', '--all'], 'GET', '/leases?all=yes', undefined],
    [['lease ls'], 'GET', '/leases', undefined],
    [
      ['rule add', '198.51.100.0/24', '--note', 'office'],
      'POST',
      '/rules',
      { source: '198.51.100.0/24', note: 'office' },
    ],
    [['rule rm', '198.51.100.0/24'], 'DELETE', '/rules/198.51.100.0%2F24', undefined],
    [
      ['names add', 'files', 'a', '172.16.10.9'],
      'POST',
      '/names',
      { name: 'files', type: 'A', address: '172.16.10.9' },
    ],
    [
      ['names add', '*.docs', 'CNAME', 'web.shop'],
      'POST',
      '/names',
      { name: '*.docs', type: 'CNAME', target: 'web.shop' },
    ],
    [
      [
        'lan set',
        '--wan',
        'eth0',
        '--ports',
        'eth1,eth2',
        '--address',
        '192.168.66.1/24',
        '--dhcp',
        '192.168.66.9-192.168.66.20',
        '--default-access',
        'shop',
      ],
      'PATCH',
      '/lan',
      {
        wan: 'eth0',
        ports: ['eth1', 'eth2'],
        address: '192.168.66.1/24',
        dhcp: { from: '192.168.66.9', to: '192.168.66.20' },
        defaultAccess: ['shop'],
      },
    ],
    [
      ['lan set', '--dhcp', 'none', '--default-access', 'nothing'],
      'PATCH',
      '/lan',
      { dhcp: null, defaultAccess: 'nothing' },
    ],
    [
      ['lan add', 'tv', '--mac', '02:00:00:00:00:01', '--access', 'shop,books'],
      'POST',
      '/lan/devices',
      { label: 'tv', mac: '02:00:00:00:00:01', access: ['shop', 'books'] },
    ],
    [
      ['lan edit', 'tv', '--access', 'default', '--identity', '172.16.2.9'],
      'PATCH',
      '/lan/devices/tv',
      { access: 'default', identity: '172.16.2.9' },
    ],
    [['lan rm', 'tv'], 'DELETE', '/lan/devices/tv', undefined],
    [['config show', 'web.shop', '--no-dns'], 'GET', '/config/web.shop?dns=no', undefined],
    [
      ['explain', 'tv', 'web.shop', '80/tcp'],
      'GET',
      '/explain?source=tv&destination=web.shop&port=80%2Ftcp',
      undefined,
    ],
    [['knocks lease', 'phone.anna', '--for', '1h'], 'POST', '/knocks/phone.anna/lease', { for: '1h' }],
    [
      ['knocks enrol', '0f3a', '--device', 'anna/phone', '--admit', 'no'],
      'POST',
      '/knocks/0f3a/enrol',
      { as: 'device', member: 'anna', label: 'phone', admit: false },
    ],
    [
      ['knocks enrol', '0f3a', '--server', 'shop/web', '--address', '172.16.10.9'],
      'POST',
      '/knocks/0f3a/enrol',
      { as: 'server', application: 'shop', label: 'web', address: '172.16.10.9' },
    ],
    [['knocks rule', '2001:db8::1'], 'POST', '/knocks/2001%3Adb8%3A%3A1/rule', undefined],
    [['members set', 'Anna', '--travel', '7d'], 'PATCH', '/members/Anna', { access: {}, travel: '7d' }],
    [['members set', 'Anna', '--travel', 'off'], 'PATCH', '/members/Anna', { access: {}, travel: null }],
    [['servers set', 'web.shop', '--follow', 'yes'], 'PATCH', '/servers/web.shop', { follow: true }],
    [['servers rm', '../members/anna'], 'DELETE', '/servers/..%2Fmembers%2Fanna', undefined],
  ] as const)('%j', ([name, ...line], method, path, body) => {
    const made = request(name, ...line);
    expect({ ...made, body: made.body === undefined ? undefined : JSON.parse(JSON.stringify(made.body)) }).toEqual({
      method,
      path,
      body,
    });
  });

  it('say which word is missing', () => {
    for (const { name, usage } of commands) {
      const needed = /^[A-Z]/.test(usage);
      if (needed) expect(() => request(name), name).toThrow(InvalidInput);
      else expect(() => request(name), name).not.toThrow();
    }
    expect(() => request('members add', 'Anna', '--access', 'shop')).toThrow(
      expect.objectContaining({ path: '--access' }),
    );
  });

  it('each stand for a route that the control API has', () => {
    const { routes } = createApp(makeControl().services, { kind: 'console' }, () => {});
    const known = routes.map(
      ({ method, path }) => [method, new RegExp(`^${path.replace(/:\w+(\{[^}]*\})?/g, '[^/]+')}$`)] as const,
    );
    const words = ['a/b', 'CNAME', 'c'];
    const special: Readonly<Record<string, readonly string[]>> = {
      'names add': ['x', 'A', '1'],
      // Files are read by the command.
      ...{ 'uplinks add': ['x', import.meta.filename], 'uplinks preview': [import.meta.filename] },
      'uplinks update': ['x', import.meta.filename],
      'knocks enrol': ['x', '--device', 'a/b'],
    };
    for (const { name } of commands) {
      const { method, path } = request(name, ...(special[name] ?? words));
      const where = path.split('?')[0] ?? '';
      expect(
        known.some(([of, pattern]) => of === method && pattern.test(where)),
        `${method} ${path}`,
      ).toBe(true);
    }
  });
});

describe('answers for people', () => {
  it('tables are as wide as what is in them', () => {
    const text = table(['name', 'lastSeen', 'on', 'links'])([
      { name: 'web', lastSeen: null, on: true, links: ['a', 'b'] },
      { name: 'a-longer-name', lastSeen: 7, on: false, links: [] },
    ]);
    expect(text.split('\n')).toEqual([
      'NAME           LAST SEEN  ON   LINKS',
      'web            -          yes  a,b',
      'a-longer-name  7          no   -',
    ]);
    expect(table(['name'])([])).toBe('None.');
  });

  it('objects are a line a field', () => {
    expect(object({ id: 'x', access: { shop: 'viewer' }, empty: {}, dhcp: { from: '1', to: null } })).toBe(
      'id      x\naccess  shop=viewer\nempty   -\ndhcp    from=1,to=-',
    );
    expect(object(null)).toBe('Not set up yet.');
  });

  it.each([
    [0, '0 s'],
    [59, '59 s'],
    [60, '1 min'],
    [3_661, '1 h 1 min'],
    [86_400, '1 d'],
    [90_061, '1 d 1 h'],
  ])('%d seconds are %s', (seconds, text) => expect(duration(seconds)).toBe(text));

  it('say what was done', () => {
    expect(lease({ source: '203.0.113.7', remainingSeconds: 600, id: 'x', state: 'active' })).toBe(
      'UDP 51820 is open for 203.0.113.7 for 10 min (lease x).',
    );
    expect(addedPeer({ name: 'web.shop', address: '172.16.10.10', config: '[Interface]\n' })).toMatch(
      /\n\n\[Interface\]$/,
    );
    const counts = {
      servers: 2,
      serversConnected: 1,
      devices: 0,
      devicesConnected: 0,
      lanDevices: 3,
      leases: 1,
      rules: 2,
      applications: 1,
    };
    const conditions = [{ severity: 'error', title: 'It broke.', remedy: 'Mend it.' }];
    const of = {
      hostName: 'box',
      state: 'fault',
      revision: 3,
      appliedRevision: 2,
      uptimeSeconds: 61,
      tunnel: { up: true, listenPort: 51820 },
      counts,
      conditions,
    };
    expect(status(of)).toContain('box is fault, revision 3 (applied: 2), running for 1 min 1 s');
    expect(status(of)).toContain('servers   1 of 2 connected');
    expect(status(of)).toContain('error: It broke. Mend it.');
  });
});
