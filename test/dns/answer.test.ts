// What each kind of client is told, and the names that never leave the box.
import { encode } from 'dns-packet';
import { describe, expect, test } from 'vitest';
import { answer } from '../../src/dns/answer.ts';
import { compile, degrade } from '../../src/dns/tree.ts';
import { parseZone } from '../../src/dns/zone.ts';
import { ask, outcome, question, read, sample, sources } from './sample.ts';

const table = compile(parseZone(JSON.stringify(sample)));
const { tv, web, ledger, laptop, guest } = sources;

/** `172.16.10.10`, `NODATA`, `NXDOMAIN`: an answer in a word. */
function told(source: string, name: string, type = 'A'): string {
  const reply = ask(table, source, name, type);
  if (reply.rcode !== 'NOERROR') return reply.rcode;
  return reply.answers.map((line) => line.split(' ')[2]).join(' ') || 'NODATA';
}

describe('names', () => {
  test.each([
    [tv, 'web.shop.apn', '172.16.10.10'],
    [web, 'web.shop.apn', '172.16.10.10'],
    [guest, 'web.shop.apn', 'NXDOMAIN'],
    [ledger, 'web.shop.apn', 'NXDOMAIN'],
    [ledger, 'db.shop.apn', '172.16.10.11'],
    [tv, 'hub.apn', '192.168.66.1'],
    [web, 'hub.apn', '172.16.0.1'],
    [web, 'ns.apn', '172.16.0.1'],
    [tv, 'tv.lan.apn', '192.168.66.100'],
    [laptop, 'tv.lan.apn', '172.16.2.2'],
    [web, 'tv.lan.apn', 'NXDOMAIN'],
  ])('%s asks %s: %s', (source, name, wanted) => expect(told(source, name)).toBe(wanted));

  test.each([
    ['only one in reach', tv, 'db.apn', '172.16.10.11'],
    ['two applications share it', laptop, 'db.apn', 'NXDOMAIN'],
    ['own application first', ledger, 'db.apn', '172.16.11.11'],
    ['not in reach', web, 'ledger.apn', 'NXDOMAIN'],
    ['members have none', laptop, 'laptop.apn', 'NXDOMAIN'],
    ['LAN devices have none', tv, 'tv.apn', 'NXDOMAIN'],
  ])('short name: %s', (_, source, name, wanted) => expect(told(source, name)).toBe(wanted));

  test.each([
    ['an application', tv, 'shop.apn', 'NODATA'],
    ['an application out of sight', guest, 'shop.apn', 'NXDOMAIN'],
    ['the LAN', tv, 'lan.apn', 'NODATA'],
    ['the domain', tv, 'apn', 'NODATA'],
    ['a wildcard’s parent', tv, 'dev.shop.apn', 'NODATA'],
    ['part of a reverse name', tv, '10.16.172.in-addr.arpa', 'NODATA'],
  ])('empty non-terminal: %s', (_, source, name, wanted) => expect(told(source, name)).toBe(wanted));

  test.each([
    [tv, 'www.apn', 'web.shop.apn 172.16.10.10'],
    [ledger, 'www.apn', 'NXDOMAIN'],
    [tv, 'account.apn', 'NXDOMAIN'],
    [laptop, 'account.apn', 'ledger.books.apn 172.16.11.20'],
    [tv, 'x.dev.shop.apn', '172.16.10.10'],
    [tv, 'y.x.dev.shop.apn', '172.16.10.10'],
    [guest, 'x.dev.shop.apn', 'NXDOMAIN'],
    [tv, 'preview.apn', 'x.dev.shop.apn 172.16.10.10'],
    [tv, 'round.apn', 'NXDOMAIN'],
    [tv, 'files.shop.apn', '172.16.10.11'],
  ])('extra: %s asks %s: %s', (source, name, wanted) => expect(told(source, name)).toBe(wanted));

  test('an alias without the type asked for comes with the SOA', () => {
    const reply = ask(table, tv, 'www.apn', 'AAAA');
    expect(reply).toMatchObject({
      rcode: 'NOERROR',
      answers: ['www.apn CNAME web.shop.apn'],
      authorities: ['apn SOA'],
    });
  });
});

describe('reverse names', () => {
  const ptr = (source: string, address: string) =>
    told(source, `${address.split('.').reverse().join('.')}.in-addr.arpa`, 'PTR');
  test.each([
    ['it reaches the server', tv, '172.16.10.10', 'web.shop.apn'],
    ['the laptop reaches it', web, '172.16.1.2', 'laptop.anna.team.apn'],
    ['neither way', web, '172.16.11.20', 'NXDOMAIN'],
    ['no such machine', tv, '172.16.10.99', 'NXDOMAIN'],
    ['LAN address from the LAN', tv, '192.168.66.100', 'tv.lan.apn'],
    ['LAN address from the tunnel', laptop, '192.168.66.100', 'NXDOMAIN'],
    ['identity from the tunnel', laptop, '172.16.2.2', 'tv.lan.apn'],
    ['the hub', tv, '172.16.0.1', 'hub.apn'],
    ['loopback', tv, '127.0.0.1', 'localhost'],
    ['someone else’s private network', tv, '10.1.2.3', 'NXDOMAIN'],
    ['shared address space', tv, '100.127.0.1', 'NXDOMAIN'],
  ])('%s', (_, source, address, wanted) => expect(ptr(source, address)).toBe(wanted));

  test('the SOA of a negative answer is the reverse zone’s', () => {
    expect(ask(table, tv, '9.9.16.172.in-addr.arpa', 'PTR').authorities).toEqual(['16.172.in-addr.arpa SOA']);
    expect(ask(table, tv, '9.66.168.192.in-addr.arpa', 'PTR').authorities).toEqual(['168.192.in-addr.arpa SOA']);
  });

  test('an APN range outside the private ones is ours too', () => {
    const other = compile({ ...sample, reverse: ['44.8.0.0/14'] });
    expect(outcome(answer(other, tv, question('1.0.11.44.in-addr.arpa', 'PTR'), 'udp'))).toBe('NXDOMAIN');
    expect(outcome(answer(other, tv, question('1.0.12.44.in-addr.arpa', 'PTR'), 'udp'))).toBe('relay');
  });
});

describe('what leaves the box', () => {
  test.each([
    ['example.net', 'relay'],
    ['www.apn.example.net', 'relay'],
    ['1.1.1.1.in-addr.arpa', 'relay'],
    ['172.in-addr.arpa', 'relay'],
    ['application-dns.net', 'relay'],
    ['apn', 'NOERROR'],
    ['nothing.apn', 'NXDOMAIN'],
    ['printer', 'NXDOMAIN'],
    ['com', 'NXDOMAIN'],
    ['use-application-dns.net', 'NXDOMAIN'],
    ['x.use-application-dns.net', 'NXDOMAIN'],
    ['localhost', 'NOERROR'],
    ['5.0.168.192.in-addr.arpa', 'NXDOMAIN'],
    ['1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa', 'NXDOMAIN'],
    ['8.b.d.0.1.0.0.2.ip6.arpa', 'NOERROR'],
    ['9.b.d.0.1.0.0.2.ip6.arpa', 'relay'],
  ])('%s: %s', (name, wanted) => {
    expect(outcome(answer(table, tv, question(name), 'udp'))).toBe(wanted);
    expect(outcome(answer(table, tv, question(name.toUpperCase()), 'tcp'))).toBe(wanted);
  });

  test('nothing is answered to or relayed for a source that is no client', () => {
    for (const name of ['web.shop.apn', 'example.net', 'localhost', 'printer']) {
      for (const source of ['203.0.113.66', '2001:db8::1', 'fe80::1%lan0']) {
        expect(outcome(answer(table, source, question(name), 'udp'))).toBe('REFUSED');
      }
    }
  });

  test('the most specific IPv6 prefix counts, whatever the interface', () => {
    const [lan] = sample.clients;
    const more = { ...lan!, source: 'fe80::/10' };
    const own = { ...lan!, source: 'fe80::7/128', reach: ['172.16.10.0/24'] };
    const six = compile({ ...sample, clients: [more, own] });
    expect(ask(six, 'fe80::7%br-lan', 'web.shop.apn').rcode).toBe('NOERROR');
    expect(ask(six, 'fe80::8%br-lan', 'web.shop.apn').rcode).toBe('NXDOMAIN');
  });

  test.each([
    ['after a good zone', degrade(table)],
    ['from the start', degrade(null)],
  ])('without a zone, %s, own names are SERVFAIL and stay here', (_, broken) => {
    const kind = (name: string, type = 'A') => outcome(answer(broken, tv, question(name, type), 'udp'));
    for (const name of ['web.shop.apn', 'nothing.apn', 'apn', 'hub.apn', '10.10.16.172.in-addr.arpa']) {
      expect(kind(name), name).toBe('SERVFAIL');
    }
    expect(kind('1.66.168.192.in-addr.arpa', 'PTR')).toBe('SERVFAIL');
    expect(kind('printer')).toBe('NXDOMAIN');
    expect(kind('localhost')).toBe('NOERROR');
    expect(kind('example.net')).toBe('relay');
  });

  test('a broken zone answers nobody it did not know', () => {
    expect(outcome(answer(degrade(table), '203.0.113.66', question('example.net'), 'udp'))).toBe('REFUSED');
  });
});

describe('form', () => {
  test('records live 30 seconds, negative answers too', () => {
    expect(ask(table, tv, 'web.apn').packet.answers).toMatchObject([{ ttl: 30, class: 'IN' }]);
    const [soa] = ask(table, tv, 'nothing.apn').packet.authorities ?? [];
    expect(soa).toMatchObject({ ttl: 30, data: { mname: 'ns.apn', serial: 7, minimum: 30 } });
  });

  test('the domain has SOA and NS', () => {
    expect(ask(table, tv, 'apn', 'SOA')).toMatchObject({ aa: true, answers: ['apn SOA'] });
    expect(ask(table, tv, 'apn', 'NS')).toMatchObject({ aa: true, answers: ['apn NS ns.apn'] });
  });

  test('id, RD and the case of the question come back', () => {
    for (const attempt of ['made', 'kept']) {
      const query = question('wEb.ShoP.aPn');
      const reply = answer(table, tv, query, 'udp') as Buffer;
      expect(reply.subarray(12, query.length), attempt).toEqual(query.subarray(12));
      expect(read(reply).packet).toMatchObject({ id: 0x1234, flag_rd: true, flag_ra: true, flag_aa: true });
      query.writeUInt16BE(0, 2);
      expect(read(answer(table, tv, query, 'udp') as Buffer).packet).toMatchObject({ flag_rd: false });
    }
  });

  test('what does not fit is cut off, not sent in fragments', () => {
    const extra = Array.from({ length: 90 }, (_, i) => ({
      name: 'many',
      type: 'A' as const,
      address: `172.16.10.${i}`,
    }));
    const large = compile({ ...sample, extra });
    const size = (udpPayloadSize: number | null, transport: 'udp' | 'tcp' = 'udp') => {
      const additionals = udpPayloadSize === null ? [] : [{ type: 'OPT', name: '.', udpPayloadSize } as never];
      const bytes = answer(large, tv, question('many.apn', 'A', { additionals }), transport) as Buffer;
      const { tc, answers } = read(bytes);
      expect(bytes.length).toBeLessThanOrEqual(transport === 'tcp' ? 65535 : Math.min(1232, udpPayloadSize ?? 512));
      return tc ? 'cut' : answers.length;
    };
    expect([size(null), size(600), size(1232), size(4096)]).toEqual(['cut', 'cut', 'cut', 'cut']);
    expect(size(null, 'tcp')).toBe(90);
    const few = compile({ ...sample, extra: extra.slice(0, 60) });
    const opt = { type: 'OPT', name: '.', udpPayloadSize: 1232 } as never;
    const reply = answer(few, tv, question('many.apn', 'A', { additionals: [opt] }), 'udp') as Buffer;
    expect(read(reply)).toMatchObject({ tc: false, answers: { length: 60 } });
  });

  test('a table’s answers do not outlive it', () => {
    expect(ask(table, tv, 'web.apn').answers).toEqual(['web.apn A 172.16.10.10']);
    const moved = sample.hosts.map((host) => (host.name === 'web.shop' ? { ...host, address: '172.16.10.12' } : host));
    expect(ask(compile({ ...sample, hosts: moved }), tv, 'web.apn').answers).toEqual(['web.apn A 172.16.10.12']);
  });

  test('any number of wildcard names leaves a bounded table', () => {
    const own = compile(sample);
    for (let i = 0; i < 20_000; i++) ask(own, tv, `n${i}.dev.shop.apn`);
    const kept = own.sources?.views.reduce((sum, view) => sum + view.answers.size, 0);
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThanOrEqual(8193);
  });

  test('a thousand servers and two hundred devices are compiled quickly and look-ups stay cheap', () => {
    const hosts = Array.from({ length: 1000 }, (_, i) => ({
      ...{ name: `s${i}.app${i % 20}`, application: `app${i % 20}`, lan: null },
      address: `172.16.${10 + (i % 20)}.${10 + Math.floor(i / 20)}`,
    }));
    const clients = hosts.map(({ address, application }, i) => ({
      ...{ source: `${address}/32`, side: 'tunnel' as const, application, hub: '172.16.0.1' },
      reach: [`172.16.${10 + (i % 20)}.0/24`],
      reachedBy: Array.from({ length: 200 }, (_value, k) => `172.16.1.${k}/32`),
    }));
    const text = JSON.stringify({ ...sample, hosts, clients });
    const begun = performance.now();
    const big = compile(parseZone(text));
    expect(performance.now() - begun).toBeLessThan(1500);
    expect(big.sources?.views.length).toBe(20);
    expect(ask(big, '172.16.10.10', 's20.apn').answers).toEqual(['s20.apn A 172.16.10.11']);
  });
});

test('DNS classes other than IN, transfers and other opcodes', () => {
  const change = (offset: number, value: number, type = 'A') => {
    const query = encode({ type: 'query', id: 1, questions: [{ name: 'web.apn', type: type as 'A' }] });
    query[offset] = value;
    return outcome(answer(table, tv, query, 'tcp'));
  };
  expect(change(query0('web.apn') + 3, 3)).toBe('REFUSED');
  expect(change(query0('web.apn') + 1, 252)).toBe('REFUSED');
  expect(change(query0('web.apn') + 1, 251)).toBe('REFUSED');
  for (let opcode = 1; opcode < 16; opcode++) expect(change(2, opcode << 3)).toBe('NOTIMP');
  expect(change(2, 0x80)).toBe('drop');
});

/** Offset of the type in a query for this name. */
function query0(name: string): number {
  return 12 + name.length + 2;
}
