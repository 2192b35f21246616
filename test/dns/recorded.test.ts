// Queries as `dig` of BIND 9.18 sent them with odd options, the reply each got, and what dig made of that reply.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { answer, type Transport } from '../../src/dns/answer.ts';
import { compile } from '../../src/dns/tree.ts';
import { sample, sources } from './sample.ts';

interface Recording {
  /** Arguments. */
  readonly dig: string;
  readonly transport: Transport;
  /** Hexadecimal; the reply may be `relay`. */
  readonly query: string;
  readonly reply: string;
  /** Status, flags, answers and authorities, EDNS version, flags and size, as dig printed them. */
  readonly seen: string;
  readonly records: readonly string[];
}

const recordings = JSON.parse(
  readFileSync(new URL('recorded/dig.json', import.meta.url), 'utf8'),
) as readonly Recording[];
const table = compile(sample);
const edns = ', EDNS 0 1232';

test.each(recordings)('$dig: $seen', ({ transport, query, reply }) => {
  const made = answer(table, sources.tv, Buffer.from(query, 'hex'), transport);
  expect(typeof made === 'string' ? made : made.toString('hex')).toBe(reply);
});

// What RFC 6891 and RFC 8906 §8 ask for, written down apart from the recording.
test.each([
  ['web.shop.apn', `NOERROR, qr aa rd ra, 1 0${edns}`],
  ['web.shop.apn AAAA', `NOERROR, qr aa rd ra, 0 1${edns}`],
  ['web.apn TYPE1000', `NOERROR, qr aa rd ra, 0 1${edns}`],
  ['WeB.sHoP.aPn +noedns +nocookie', 'NOERROR, qr aa rd ra, 1 0'],
  ['web.apn +edns=1 +noednsnegotiation', `BADVERS, qr rd ra, 0 0${edns}`],
  ['web.apn +edns=100 +noednsnegotiation +ednsopt=100', `BADVERS, qr rd ra, 0 0${edns}`],
  ['web.apn +ednsopt=100:aabb', `NOERROR, qr aa rd ra, 1 0${edns}`],
  ['web.apn +ednsflags=0x80', `NOERROR, qr aa rd ra, 1 0${edns}`],
  ['web.apn +dnssec +cdflag', 'NOERROR, qr aa rd ra cd, 1 0, EDNS 0 do 1232'],
  ['web.apn +zflag', `NOERROR, qr aa rd ra, 1 0${edns}`],
  ['web.apn +adflag +norecurse', `NOERROR, qr aa ra, 1 0${edns}`],
  ['web.apn +opcode=15 +norecurse', 'NOTIMP, qr ra, 0 0'],
  ['web.apn +header-only +norecurse', 'FORMERR, qr ra, 0 0'],
  ['web.apn ANY', `NOERROR, qr aa rd ra, 1 0${edns}`],
  ['apn AXFR', 'transfer failed'],
  ['apn IXFR=3', 'transfer failed'],
  ['version.bind CH TXT', `REFUSED, qr rd ra, 0 0${edns}`],
])('dig saw for %s: %s', (dig, seen) => {
  expect(recordings.find((recording) => recording.dig === dig)?.seen).toBe(seen);
});

test('dig read the records', () => {
  const found = (dig: string) => recordings.find((recording) => recording.dig === dig)?.records;
  expect(found('WeB.sHoP.aPn +noedns +nocookie')).toEqual(['WeB.sHoP.aPn. 30 IN A 172.16.10.10']);
  expect(found('www.apn')).toEqual(['www.apn. 30 IN CNAME web.shop.apn.', 'web.shop.apn. 30 IN A 172.16.10.10']);
  expect(found('-x 172.16.99.99')).toEqual([
    '16.172.in-addr.arpa. 30 IN SOA ns.apn. hostmaster.apn. 7 3600 600 86400 30',
  ]);
});
