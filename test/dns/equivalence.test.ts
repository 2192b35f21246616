// The program against the slow reference: random zones, every kind of name, each asked twice (made, then kept).
import { encode } from 'dns-packet';
import { expect, test } from 'vitest';
import { answer } from '../../src/dns/answer.ts';
import { compile } from '../../src/dns/tree.ts';
import { parseZone } from '../../src/dns/zone.ts';
import { clientOf, expect as expected } from './reference.ts';
import { randomName, randomNumbers, randomZone, read } from './sample.ts';

const types = ['A', 'A', 'A', 'AAAA', 'PTR', 'CNAME', 'SOA', 'NS', 'ANY', 'TXT'] as const;

test('random zones and questions are answered as the reference says', () => {
  const random = randomNumbers(20_260);
  const seen = new Map<string, number>();
  for (let round = 0; round < 400; round++) {
    const zone = randomZone(random);
    const table = compile(parseZone(JSON.stringify(zone)));
    for (let i = 0; i < 60; i++) {
      const source = ['172.16.10.1', '172.16.1.2', '192.168.66.3', '172.16.11.0'][random(4)] ?? '';
      const own = [...zone.extra, ...zone.hosts].map((entry) => `${entry.name.replace('*', 'q')}.apn`);
      const name = (random(2) === 0 ? own[random(own.length)] : undefined) ?? randomName(random);
      const type = types[random(types.length)] ?? 'A';
      const client = clientOf(zone, source);
      const packet = encode({ type: 'query', id: i, questions: [{ name, type: type as 'A' }] });
      if (type === 'ANY') packet.writeUInt16BE(255, packet.length - 4);
      for (const attempt of ['made', 'kept']) {
        const bytes = answer(table, source, packet, 'udp');
        if (typeof bytes === 'string') throw new Error(`${name}: ${bytes}`);
        const reply = read(bytes);
        const label = `round ${round}: ${attempt} ${source} ${name} ${type} ${JSON.stringify(zone)}`;
        if (client === null) {
          expect(reply.rcode, label).toBe('REFUSED');
          continue;
        }
        const wanted = expected(zone, client, name, type);
        const found = {
          ...{ rcode: reply.rcode, answers: new Set(reply.answers) },
          soa: reply.authorities[0]?.replace(/ SOA$/, '') ?? null,
        };
        expect(found, label).toEqual({ ...wanted, answers: new Set(wanted.answers) });
        expect(reply.aa, label).toBe(true);
        const kind = `${wanted.rcode} ${wanted.answers.length > 1 ? 'several' : wanted.answers.length}`;
        seen.set(kind, (seen.get(kind) ?? 0) + 1);
      }
    }
  }
  // Otherwise the zones are too poor to prove anything.
  for (const kind of ['NOERROR 0', 'NOERROR 1', 'NOERROR several', 'NXDOMAIN 0']) {
    expect(seen.get(kind), kind).toBeGreaterThan(200);
  }
});
