// WireGuard files: what a hosted network hands out is read whole, anything else is refused with its line, and never echoed.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InvalidInput } from '../../src/model/errors.ts';
import { longestFile, mostPeers, parseWireguardFile, placeOf } from '../../src/model/wireguard-file.ts';
import { publicKey } from '../support/builders.ts';

const privateKey = 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=';
const preshared = '/UwcSPg38hW/D9Y3tcS1FOV0K1wuURMbS0sesJEP5ak=';
const [first, second] = [publicKey(1), publicKey(2)];

const good = `# Handed out by example.net
[Interface]
PrivateKey = ${privateKey}
Address = 10.9.0.2/32
DNS = 10.9.0.53, corp.example.net
MTU = 1380

# DB 1
[Peer]
PublicKey = ${first}
PresharedKey = ${preshared}
AllowedIPs = 10.9.0.10/32, 10.9.0.53/32
Endpoint = 203.0.113.80:51820
PersistentKeepalive = 25

[Peer]
PublicKey = ${second}
AllowedIPs = 10.9.0.11
Endpoint = [2001:db8::80]:51821
`;

/** The error a text is refused with. */
function refusal(text: string): InvalidInput {
  try {
    parseWireguardFile(text);
  } catch (error) {
    if (error instanceof InvalidInput) return error;
    throw error;
  }
  throw new Error('It was taken.');
}

const at = (text: string) => refusal(text).path;
const change = (from: string | RegExp, to: string) => good.replace(from, () => to);

describe('a good file', () => {
  const file = parseWireguardFile(good);

  it('is read whole', () => {
    expect(file.privateKey.reveal().toBase64()).toBe(privateKey);
    expect(file).toMatchObject({
      ...{ address: '10.9.0.2', mtu: 1380, dns: { servers: ['10.9.0.53'], domains: ['corp.example.net'] } },
      peers: [
        {
          ...{ publicKey: first, endpoint: { host: '203.0.113.80', port: 51820 }, keepalive: 25, label: 'db-1' },
          allowedIps: ['10.9.0.10/32', '10.9.0.53/32'],
        },
        {
          ...{ publicKey: second, presharedKey: null, keepalive: 0, label: null },
          ...{ endpoint: { host: '2001:db8::80', port: 51821 }, allowedIps: ['10.9.0.11/32'] },
        },
      ],
    });
    expect(file.peers[0]?.presharedKey?.reveal().toBase64()).toBe(preshared);
    expect(JSON.stringify(file)).not.toContain(privateKey);
  });

  it('knows the lines of its fields', () => {
    const places = ['publicKey', 'address', 'mtu', 'dns.servers.0', 'peers.0.allowedIps.1', 'peers.1', 'peers.1.label'];
    expect(places.map((field) => placeOf(file, field))).toEqual([
      ...[
        'file:3 PrivateKey',
        'file:4 Address',
        'file:6 MTU',
        'file:5 DNS',
        'file:12 AllowedIPs',
        'file:16',
        'file:16',
      ],
    ]);
    expect([placeOf(file, 'peers.0.endpoint.host'), placeOf(file, 'label')]).toEqual(['file:13 Endpoint', 'file']);
  });

  it('may have been written on Windows, with any case, lists on several lines, and comments behind values', () => {
    const crlf = parseWireguardFile(`\ufeff${good.replaceAll('\n', '\r\n')}`);
    expect({ ...crlf, privateKey: null }).toEqual({ ...file, privateKey: null });
    const odd = good
      .replace('[Interface]', '[INTERFACE]')
      .replace('AllowedIPs = 10.9.0.10/32, 10.9.0.53/32', 'allowedips=10.9.0.10/32 # one\nAllowedIPs\t= 10.9.0.53/32')
      .replace('PersistentKeepalive = 25', 'PersistentKeepalive = off');
    expect(parseWireguardFile(odd).peers[0]).toMatchObject({
      ...{ allowedIps: ['10.9.0.10/32', '10.9.0.53/32'], keepalive: 0 },
    });
    expect(parseWireguardFile(change('MTU = 1380\n', '')).mtu).toBe(null);
    expect(parseWireguardFile(change('Address = 10.9.0.2/32', 'Address = 10.9.0.2')).address).toBe('10.9.0.2');
    expect(parseWireguardFile(change('203.0.113.80', 'VPN.example.net')).peers[0]?.endpoint.host).toBe(
      'vpn.example.net',
    );
    expect(parseWireguardFile(change(/DNS.*\n/, '')).dns).toEqual({ servers: [], domains: [] });
  });
});

describe('names from comments', () => {
  const labels = (...heads: readonly string[]) => {
    const text = heads.map(
      (head, i) => `${head.replace('KEY', publicKey(i + 1))}\nEndpoint = 192.0.2.1:1\nAllowedIPs = 10.9.0.${i}`,
    );
    const face = `[Interface]\nPrivateKey = ${privateKey}\nAddress = 10.9.1.1`;
    return parseWireguardFile([face, ...text].join('\n')).peers.map(({ label }) => label);
  };

  it('stand above a peer, in it, beside its header or beside a setting', () => {
    expect(
      labels(
        ...['# Web Server\n[Peer]\nPublicKey = KEY', '\n[Peer]\n### Tür ###\nPublicKey = KEY'],
        ...['[Peer] # Files\nPublicKey = KEY', '[Peer]\nPublicKey = KEY # mail'],
      ),
    ).toEqual(['web-server', 'tur', 'files', 'mail']);
  });

  it('may be named so, and are no settings that were commented out', () => {
    expect(
      labels(
        ...['# Name = db\n[Peer]\nPublicKey = KEY', '# PostUp = iptables\n[Peer]\nPublicKey = KEY'],
        ...[
          '[Peer]\n# Endpoint: 192.0.2.9:1\nPublicKey = KEY',
          '# Host: cache\n# PresharedKey = none\n[Peer]\nPublicKey = KEY',
        ],
      ),
    ).toEqual(['db', null, null, 'cache']);
  });

  it('are there once each', () => {
    expect(
      labels(
        ...['# db\n[Peer]\nPublicKey = KEY', '# DB\n[Peer]\nPublicKey = KEY', '# db-2\n[Peer]\nPublicKey = KEY'],
        ...['# db\n[Peer]\nPublicKey = KEY', '# ???\n[Peer]\nPublicKey = KEY'],
      ),
    ).toEqual(['db', 'db-3', 'db-2', 'db-4', null]);
    const long = 'x'.repeat(80);
    expect(labels(`# ${long}\n[Peer]\nPublicKey = KEY`, `# ${long}\n[Peer]\nPublicKey = KEY`)).toEqual([
      ...['x'.repeat(63), `${'x'.repeat(58)}-2`],
    ]);
  });
});

describe('is refused with its line and field', () => {
  it.each(['PostUp', 'PreUp', 'PreDown', 'PostDown', 'Table', 'SaveConfig', 'ListenPort', 'FwMark'])('%s', (name) => {
    const { path, message } = refusal(change('MTU = 1380', `${name} = x`));
    expect([path, message.startsWith(name)]).toEqual([`file:6 ${name}`, true]);
    // Any case, in a peer, and even with nothing to it.
    expect(at(change('PersistentKeepalive = 25', name.toUpperCase()))).toBe(`file:14 ${name.toUpperCase()}`);
  });

  it.each<readonly [string, string, string]>([
    ['an unknown setting', change('MTU = 1380', 'Colour = red'), 'file:6 Colour'],
    ['a setting called constructor', change('MTU = 1380', 'constructor = x'), 'file:6 constructor'],
    ['a peer’s setting in the interface', change('MTU = 1380', 'Endpoint = 192.0.2.1:1'), 'file:6 Endpoint'],
    ['an interface’s setting in a peer', change('PersistentKeepalive = 25', 'MTU = 1400'), 'file:14 MTU'],
    ['a setting twice', change('MTU = 1380', 'MTU = 1380\nMTU = 1380'), 'file:7 MTU'],
    ['a line that is nothing', change('MTU = 1380', 'hello'), 'file:6 hello'],
    ['a setting with no value', change('MTU = 1380', 'MTU ='), 'file:6 MTU'],
    ['a list with a hole', change('10.9.0.10/32, ', '10.9.0.10/32,, '), 'file:12 AllowedIPs'],
    ['a setting before the sections', `MTU = 1380\n${good}`, 'file:1'],
    ['another section', change('MTU = 1380', '[Device]'), 'file:6'],
    ['a second interface', `${good}[Interface]\n`, 'file:20'],
    ['no interface', good.slice(good.indexOf('# DB')), 'file'],
    ['no peer', good.slice(0, good.indexOf('# DB')), 'file'],
    ['no private key', change(/PrivateKey.*\n/, ''), 'file:2 PrivateKey'],
    ['no address', change(/Address.*\n/, ''), 'file:2 Address'],
    ['a peer with no key', change(/PublicKey.*\n/, ''), 'file:9 PublicKey'],
    ['a peer with no endpoint', change(/Endpoint.*\n/, ''), 'file:9 Endpoint'],
    ['a peer with no allowed IPs', change(/AllowedIPs.*\n/, ''), 'file:9 AllowedIPs'],
    ['a key of 43 characters', change(first, first.slice(1)), 'file:10 PublicKey'],
    ['a key of 45 characters', change(first, `A${first}`), 'file:10 PublicKey'],
    ['a key that is not canonical', change(first, first.replace('k=', 'l=')), 'file:10 PublicKey'],
    ['a key of zeros', change(first, `${'A'.repeat(43)}=`), 'file:10 PublicKey'],
    ['a point of low order', change(first, `AQ${'A'.repeat(41)}=`), 'file:10 PublicKey'],
    ['a key twice', change(second, first), 'file:17 PublicKey'],
    ['a broken private key', change(privateKey, privateKey.slice(4)), 'file:3 PrivateKey'],
    ['a broken preshared key', change(preshared, `${preshared}=`), 'file:11 PresharedKey'],
    ['two addresses', change('Address = 10.9.0.2/32', 'Address = 10.9.0.2/32, 10.9.0.3/32'), 'file:4 Address'],
    ['two addresses on two lines', change('MTU = 1380', 'Address = 10.9.0.3/32'), 'file:6 Address'],
    ['an address with its network', change('10.9.0.2/32', '10.9.0.2/24'), 'file:4 Address'],
    ['an IPv6 address', change('10.9.0.2/32', 'fd00::2/128'), 'file:4 Address'],
    ['an address with a zero in front', change('10.9.0.2/32', '010.9.0.2/32'), 'file:4 Address'],
    ['an MTU of 1279', change('1380', '1279'), 'file:6 MTU'],
    ['an MTU of 1501', change('1380', '1501'), 'file:6 MTU'],
    ['an MTU of 01400', change('1380', '01400'), 'file:6 MTU'],
    ['host bits', change('10.9.0.10/32', '10.9.0.10/24'), 'file:12 AllowedIPs'],
    ['a prefix of 33', change('10.9.0.10/32', '10.9.0.10/33'), 'file:12 AllowedIPs'],
    ['everything', change('10.9.0.10/32', '0.0.0.0/0'), 'file:12 AllowedIPs'],
    ['a half of everything', change('10.9.0.10/32', '0.0.0.0/1'), 'file:12 AllowedIPs'],
    ['IPv6', change('10.9.0.10/32', 'fd00::/64'), 'file:12 AllowedIPs'],
    ['port 0', change('203.0.113.80:51820', '203.0.113.80:0'), 'file:13 Endpoint'],
    ['port 65536', change('203.0.113.80:51820', '203.0.113.80:65536'), 'file:13 Endpoint'],
    ['no port', change('203.0.113.80:51820', '203.0.113.80'), 'file:13 Endpoint'],
    ['IPv6 without brackets', change('203.0.113.80:51820', '2001:db8::1:51820'), 'file:13 Endpoint'],
    ['IPv4 in brackets', change('203.0.113.80:51820', '[203.0.113.80]:51820'), 'file:13 Endpoint'],
    ['nothing in brackets', change('203.0.113.80:51820', '[]:51820'), 'file:13 Endpoint'],
    ['a host that is no name', change('203.0.113.80:51820', 'vpn_1.example.net:51820'), 'file:13 Endpoint'],
    ['a keepalive of 65536', change('Keepalive = 25', 'Keepalive = 65536'), 'file:14 PersistentKeepalive'],
    ['a keepalive of -1', change('Keepalive = 25', 'Keepalive = -1'), 'file:14 PersistentKeepalive'],
    ['an IPv6 DNS server', change('10.9.0.53,', 'fd00::53,'), 'file:5 DNS'],
    ['five DNS servers', change('10.9.0.53,', '10.9.0.1, 10.9.0.2, 10.9.0.3, 10.9.0.4, 10.9.0.5,'), 'file:5 DNS'],
    [
      'seventeen domains',
      change('corp.example.net', Array.from({ length: 17 }, (_, i) => `c${i}.example.net`).join(', ')),
      'file:5 DNS',
    ],
    ['a top-level domain', change('corp.example.net', 'net'), 'file:5 DNS'],
    ['a reverse domain', change('corp.example.net', '10.in-addr.arpa'), 'file:5 DNS'],
    ['a domain with a space', change('corp.example.net', 'corp example.net'), 'file:5 DNS'],
    ['a domain that is too long', change('corp.example.net', 'a.'.repeat(100).concat('net')), 'file:5 DNS'],
    ['NUL', change('MTU = 1380', 'MTU = 1380\0'), 'file:6'],
    ['UTF-16', Buffer.from(good, 'utf16le').toString('utf8'), 'file:1'],
    ['UTF-16 with its mark', Buffer.from(`\ufeff${good}`, 'utf16le').toString('utf8'), 'file:1'],
    ['a control character', change('MTU = 1380', 'MTU = 1380\u001b[2J'), 'file:6'],
    ['a carriage return alone', change('MTU = 1380\n', 'MTU = 1380\rPostUp = x\n'), 'file:6'],
    ['nothing', '', 'file'],
    ['spaces', ' \n \n', 'file'],
    ['too much', `${good}${'#'.repeat(longestFile)}`, 'file'],
  ])('%s', (_, text, path) => {
    const error = refusal(text);
    expect(error.path).toBe(path);
    expect(error.message).not.toBe('');
  });

  it('5,000 peers, in no time', () => {
    const peer = (n: number) =>
      `[Peer]\nPublicKey = ${publicKey(n)}\nAllowedIPs = 10.${n >> 8}.${n & 255}.1\nEndpoint = 192.0.2.1:1\n`;
    const text = good.slice(0, good.indexOf('# DB')) + Array.from({ length: 5000 }, (_, n) => peer(n)).join('');
    expect(refusal(text).message).toContain(String(mostPeers));
    const many = good.slice(0, good.indexOf('# DB')) + Array.from({ length: mostPeers }, (_, n) => peer(n)).join('');
    const start = performance.now();
    expect(parseWireguardFile(many).peers.length).toBe(mostPeers);
    expect(performance.now() - start).toBeLessThan(2000);
  });
});

it('never says a key, wherever it stands', () => {
  const broken = [
    ...[`[Interface]\n${privateKey}`, `[Interface]\nPrivateKey ${privateKey}`, `${privateKey}\n`, `[${privateKey}]\n`],
    ...[change(`PrivateKey = ${privateKey}`, `PrivateKey = ${privateKey}x`), change(preshared, preshared.slice(1))],
    ...[
      change(`PrivateKey = ${privateKey}`, `Private = ${privateKey}`),
      change('10.9.0.2/32', `10.9.0.2/32\n${preshared}`),
    ],
  ];
  for (const field of ['Address', 'DNS', 'MTU', 'AllowedIPs', 'Endpoint', 'PersistentKeepalive']) {
    broken.push(good.replace(new RegExp(`${field} = .*`), () => `${field} = ${privateKey}`));
  }
  for (const text of broken) {
    const { path, message } = refusal(text);
    for (const key of [privateKey, preshared]) {
      expect(`${path} ${message}`).not.toContain(key.slice(4, 24));
    }
  }
});

it('takes a text or refuses it, and nothing else, whatever is changed in it', () => {
  const lines = good.split('\n');
  const anyText = fc
    .array(
      fc.record({
        at: fc.nat(lines.length),
        what: fc.oneof(fc.constantFrom(...lines), fc.string(), fc.constant(null)),
      }),
      {
        maxLength: 4,
      },
    )
    .map((edits) => {
      const text = [...lines];
      for (const { at: n, what } of edits) text.splice(n, what === null ? 1 : 0, ...(what === null ? [] : [what]));
      return text.join('\n');
    });
  fc.assert(
    fc.property(anyText, (text) => {
      try {
        parseWireguardFile(text);
      } catch (error) {
        expect(error).toBeInstanceOf(InvalidInput);
        expect((error as InvalidInput).path).toMatch(/^file(:\d+( [A-Za-z]{1,30})?)?$/);
      }
    }),
    { numRuns: 3000 },
  );
});
