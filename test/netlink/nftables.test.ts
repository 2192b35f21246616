// nftables' codec against what nft sent and was answered: structure, elements, intervals, transactions.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AttributeTree,
  be32,
  encodePayload,
  MalformedNetlink,
  parseAttributes,
  text,
} from '../../src/router/netlink/attribute.ts';
import {
  concatKey,
  decodeElements,
  elementAt,
  encodeDumpElements,
  encodeGetElements,
  encodeSetChanges,
  intervalElements,
  pairIntervals,
  prefixRange,
  type SetChange,
  type SetElement,
} from '../../src/router/netlink/elements.ts';
import type { NetlinkMessage, NetlinkRequest } from '../../src/router/netlink/message.ts';
import {
  decodeChains,
  decodeGeneration,
  decodeNftablesEvent,
  decodeRules,
  decodeSets,
  decodeTables,
  decodeUserdata,
  encodeDumpChains,
  encodeDumpRules,
  encodeDumpSets,
  encodeDumpTables,
  encodeGetGeneration,
  netfilterHook,
  setFlag,
} from '../../src/router/netlink/nftables.ts';
import { hex, ipv4, readRecording, tree } from './recorded.ts';

const recorded = readRecording('nftables');
const table = { family: 1, name: 'apn' };
const ofElements = ['3', '3.1', '3.1.1', '3.1.2', '3.1.10'];
const setId = 4; // NFTA_SET_ELEM_LIST_SET_ID: nft numbers the sets of a transaction, we name them only

// The element message of a recorded transaction, between its begin and end.
function sentBy(name: string): NetlinkMessage {
  const transaction = recorded(name).sent.find((messages) => messages.length === 3);
  return transaction![1]!;
}

function shown({ type, payload }: NetlinkRequest): unknown {
  // nft counts up the elements of a list (1, 2, 3, …), which the kernel does not look at.
  const attributes = parseAttributes(payload, 4)
    .filter((one) => one.type !== setId)
    .map((one) =>
      one.type === 3 ? [3, parseAttributes(one.value).map((item) => tree(item.value, 0, ['1', '2', '10']))] : one,
    );
  return { type, header: Buffer.from(payload).toString('hex', 0, 4), attributes };
}

function compare(name: string, change: SetChange): void {
  const parts = encodeSetChanges(table, [change]);
  expect(parts.map(shown)).toEqual([shown(sentBy(name))]);
}

const tcpAccess = {
  key: concatKey([ipv4('172.16.1.2'), ipv4('172.16.10.0'), hex('06'), hex('0050')]),
  keyEnd: concatKey([ipv4('172.16.1.2'), ipv4('172.16.10.255'), hex('06'), hex('0050')]),
};
const udpAccess = {
  key: concatKey([ipv4('172.16.1.3'), ipv4('172.16.11.7'), hex('11'), hex('03e8')]),
  keyEnd: concatKey([ipv4('172.16.1.9'), ipv4('172.16.11.7'), hex('11'), hex('07d0')]),
};
const television = { key: ipv4('192.168.66.20'), data: ipv4('172.16.2.1') };
const printer = { key: ipv4('192.168.66.21'), data: ipv4('172.16.2.2') };
const six = hex('20010db8000000000000000000000007');

describe('element changes are those of nft', () => {
  it('single keys with a timeout and a comment', () => {
    compare('addSingle', {
      action: 'add',
      set: 'leases',
      elements: [
        { key: ipv4('203.0.113.7'), timeout: 86_400_000 },
        { key: ipv4('203.0.113.8'), timeout: 30_000 },
      ],
    });
    compare('addSingle6', {
      action: 'add',
      set: 'leases6',
      elements: [{ key: six, timeout: 90_000, comment: 'phone' }],
    });
    compare('deleteSingle', { action: 'delete', set: 'leases', elements: [{ key: ipv4('203.0.113.8') }] });
  });

  it('intervals: start and end elements', () => {
    const { first, last } = prefixRange({ family: 4, bytes: ipv4('198.51.100.77'), cidr: 24 });
    const five = intervalElements(ipv4('192.0.2.1'), ipv4('192.0.2.5'));
    // nft puts an end at 0.0.0.0 before the first interval of an empty set; lookups do not need it.
    const nftsOwn: SetElement = { key: ipv4('0.0.0.0'), intervalEnd: true };
    compare('addInterval', {
      action: 'add',
      set: 'prefixes',
      elements: [nftsOwn, ...five, ...intervalElements(first, last, { timeout: 3_600_000 })],
    });
    compare('deleteInterval', { action: 'delete', set: 'prefixes', elements: five });
    const top = prefixRange({ family: 4, bytes: ipv4('255.255.255.0'), cidr: 24 });
    compare('addIntervalTop', { action: 'add', set: 'prefixes', elements: intervalElements(top.first, top.last) });
  });

  it('concatenations, with intervals in them and without', () => {
    compare('addConcat', { action: 'add', set: 'access', elements: [tcpAccess, udpAccess] });
    compare('deleteConcat', { action: 'delete', set: 'access', elements: [tcpAccess] });
    const key = concatKey([hex('020000000001'), ipv4('192.168.66.20')]);
    compare('addBinding', { action: 'add', set: 'bindings', elements: [{ key }] });
  });

  it('maps', () => {
    compare('addMap', { action: 'add', set: 'identities', elements: [television, printer] });
    compare('deleteMap', { action: 'delete', set: 'identities', elements: [{ key: printer.key }] });
  });

  it('and ask for an acknowledgement; only an addition may create', () => {
    const parts = encodeSetChanges(table, [
      { action: 'add', set: 'a', elements: [television] },
      { action: 'delete', set: 'b', elements: [television] },
      { action: 'delete', set: 'c', elements: [] },
      { action: 'flush', set: 'd', elements: [] },
    ]);
    expect(parts.map(({ type, flags, change, first, count }) => [type, flags, change, first, count])).toEqual([
      [0xa0c, 0x405, 0, 0, 1],
      [0xa0e, 0x005, 1, 0, 1],
      [0xa0e, 0x005, 3, 0, 0],
    ]);
    // A deletion without a list is of every element (nf_tables_delsetelem of the kernel).
    expect(Buffer.from(parts[2]?.payload ?? []).includes('d\0')).toBe(true);
    expect(parts[2]?.payload.length).toBeLessThan(40);
  });
});

const anyElement: fc.Arbitrary<SetElement> = fc.record(
  {
    key: bytes(),
    keyEnd: bytes(),
    data: bytes(),
    intervalEnd: fc.constant(true),
    openInterval: fc.constant(true),
    timeout: fc.nat(),
    comment: fc.string({ maxLength: 40, unit: 'grapheme-ascii' }),
  },
  { requiredKeys: ['key'] },
);

function bytes(): fc.Arbitrary<Buffer> {
  return fc.uint8Array({ minLength: 1, maxLength: 32 }).map((array) => Buffer.from(array));
}

function asMessage(request: NetlinkRequest): NetlinkMessage {
  return { ...request, sequence: 1, port: 0, payload: Buffer.from(request.payload) };
}

describe('many elements', () => {
  it('come back in their order, whatever the limit', () => {
    fc.assert(
      fc.property(fc.array(anyElement, { maxLength: 30 }), fc.integer({ min: 1, max: 2_000 }), (elements, limit) => {
        const parts = encodeSetChanges(table, [{ action: 'add', set: 's', elements }], limit);
        expect(decodeElements(parts.map(asMessage))).toEqual(elements);
        let next = 0;
        for (const { first, count } of parts) {
          expect(first).toBe(next);
          next += count;
        }
        expect(next).toBe(elements.length);
      }),
    );
  });

  it('are cut into lists under 64 KiB, even when asked for more', () => {
    const elements = Array.from({ length: 10_000 }, (_, index) => ({
      key: Buffer.from([10, 1, index >> 8, index & 255]),
    }));
    const parts = encodeSetChanges(table, [{ action: 'add', set: 's', elements }], 1_000_000);
    expect(parts.length).toBe(3);
    expect(decodeElements(parts.map(asMessage))).toEqual(elements);
    expect(encodeSetChanges(table, [{ action: 'add', set: 's', elements }]).length).toBe(10);
  });
});

it('the element a kernel error points at is found', () => {
  const elements = [television, printer, { key: ipv4('1.1.1.1') }, { key: ipv4('1.1.1.2') }];
  const parts = encodeSetChanges(table, [{ action: 'add', set: 's', elements }], 60);
  expect(parts.map(({ first, count }) => [first, count])).toEqual([
    [0, 2],
    [2, 2],
  ]);
  // Message header 16, netfilter header 4, table 8, set 8, list 4; then 28 bytes for each map element, 16 for a plain one.
  expect([40, 68, 96, 0].map((offset) => elementAt(parts[0]!, offset))).toEqual([0, 1, undefined, undefined]);
  expect([40, 56].map((offset) => elementAt(parts[1]!, offset))).toEqual([2, 3]);
});

describe('elements', () => {
  it('with time left are read from a dump', () => {
    const elements = decodeElements(recorded('dumpRuleset').received);
    const lease = elements.find(({ key }) => Buffer.compare(key, ipv4('203.0.113.7')) === 0);
    expect(lease?.timeout).toBe(86_400_000);
    expect(lease?.expiration).toBeGreaterThan(86_000_000);
    expect(lease?.expiration).toBeLessThanOrEqual(86_400_000);
    expect(elements.find(({ comment }) => comment === 'phone')).toMatchObject({ key: six, timeout: 90_000 });
  });

  it('of concatenations and maps are read from a dump', () => {
    expect(decodeElements(recorded('dumpConcat').received)).toEqual([udpAccess]);
    expect(decodeElements(recorded('dumpMap').received)).toEqual([television]);
  });

  it('of an interval set are paired to intervals, nft’s own end left out', () => {
    const intervals = pairIntervals(decodeElements(recorded('dumpInterval').received));
    expect(intervals.map(({ first, last }) => [first, last])).toEqual([
      [ipv4('198.51.100.0'), ipv4('198.51.100.255')],
      [ipv4('255.255.255.0'), ipv4('255.255.255.255')],
    ]);
    expect(intervals.map(({ element }) => [element.timeout, element.openInterval])).toEqual([
      [3_600_000, undefined],
      [undefined, true],
    ]);
  });

  it('of a verdict map have no data; a catch-all is left out', () => {
    const verdicts = decodeElements([asMessage(sentBy('addVerdict'))]);
    expect(verdicts).toEqual([{ key: ipv4('192.0.2.1') }, { key: ipv4('192.0.2.2') }]);
    const catchAll = element([be32(3, 2)]);
    expect(decodeElements([nft(12, [catchAll])])).toEqual([]);
  });

  it('of other messages are none', () => {
    expect(decodeElements([nft(9, []), nft(12, []), { ...nft(12, []), type: 0x10c }])).toEqual([]);
    expect(() => decodeElements([nft(12, [element([])])])).toThrow(/key/);
  });

  it('are asked for all together or one by one', () => {
    const dump = encodeDumpElements(table, 'leases');
    expect([dump.type, dump.flags]).toEqual([0xa0d, 0x301]);
    const sent = recorded('dumpRuleset')
      .sent.flat()
      .find(({ type }) => type === dump.type)!;
    expect(tree(dump.payload, 4, [])).toEqual(tree(sent.payload, 4, []).toReversed());
    const some = encodeGetElements(table, 'leases', [{ key: ipv4('203.0.113.7') }]);
    expect([some.type, some.flags]).toEqual([0xa0d, 0x5]);
    expect(tree(some.payload, 4, ofElements).at(-1)).toEqual([3, [[1, [[1, [[1, 'cb007107']]]]]]]);
  });
});

describe('intervals', () => {
  const address = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((array) => Buffer.from(array));
  const number = (key: Uint8Array): number => Buffer.from(key).readUInt32BE();

  it('come back from their elements in any order, touching ones and the last one too', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.oneof(address, fc.constantFrom(ipv4('0.0.0.0'), ipv4('255.255.255.255'))), {
          selector: number,
        }),
        (cuts) => {
          const sorted = cuts.toSorted((one, other) => number(one) - number(other));
          // Every two neighbouring cuts are an interval that ends where the next begins.
          const ranges = sorted.map((first, index) => {
            const next = sorted[index + 1];
            const last = Buffer.alloc(4, 0xff);
            if (next !== undefined) last.writeUInt32BE(number(next) - 1);
            return { first, last };
          });
          const elements = ranges.flatMap(({ first, last }) => intervalElements(first, last)).toReversed();
          expect(pairIntervals(elements).map(({ first, last }) => ({ first, last }))).toEqual(ranges);
        },
      ),
    );
  });

  it('of prefixes reach from the first to the last address', () => {
    const range = (text: string, cidr: number) => prefixRange({ family: 4, bytes: ipv4(text), cidr });
    expect(range('10.1.2.3', 32)).toEqual({ first: ipv4('10.1.2.3'), last: ipv4('10.1.2.3') });
    expect(range('10.1.2.3', 0)).toEqual({ first: ipv4('0.0.0.0'), last: ipv4('255.255.255.255') });
    expect(range('10.1.2.3', 20)).toEqual({ first: ipv4('10.1.0.0'), last: ipv4('10.1.15.255') });
    expect(prefixRange({ family: 6, bytes: six, cidr: 64 }).last.toString('hex')).toBe(
      '20010db800000000ffffffffffffffff',
    );
  });

  it('carry over where a byte is full', () => {
    expect(intervalElements(ipv4('10.0.0.0'), ipv4('10.0.255.255'))[1]?.key).toEqual(ipv4('10.1.0.0'));
    expect(pairIntervals([{ key: ipv4('10.0.0.0') }, { key: ipv4('11.0.0.0'), intervalEnd: true }])[0]?.last).toEqual(
      ipv4('10.255.255.255'),
    );
  });
});

describe('structure', () => {
  const dump = recorded('dumpRuleset').received;

  it('of tables', () => {
    expect(decodeTables(dump)).toMatchObject([
      { family: 1, name: 'apn', flags: 0 },
      { family: 2, name: 'other', flags: 0 },
    ]);
  });

  it('of chains: base chains with their hook, others without; narrowed to a table here', () => {
    const chains = decodeChains(dump);
    expect(chains.map(({ name, base }) => [name, base])).toEqual([
      ['input', { hook: netfilterHook.input, priority: 0, type: 'filter', policy: 'drop' }],
      ['raw', { hook: netfilterHook.prerouting, priority: -300, type: 'filter', policy: 'accept' }],
      ['helper', undefined],
      ['c', undefined],
    ]);
    expect(decodeChains(dump, table).map(({ name }) => name)).toEqual(['input', 'raw', 'helper']);
    expect(decodeChains(dump, { family: 2, name: 'apn' })).toEqual([]);
  });

  it('of sets and maps', () => {
    const sets = decodeSets(dump).filter((set) => set.table.name === 'apn');
    const seen = [...new Map(sets.map((set) => [set.name, set])).values()];
    expect(
      seen.map(({ name, flags, keyLength, dataLength, fieldLengths }) => ({
        name,
        flags,
        keyLength,
        dataLength,
        fieldLengths,
      })),
    ).toEqual([
      { name: 'leases', flags: setFlag.timeout, keyLength: 4, dataLength: undefined, fieldLengths: [] },
      { name: 'leases6', flags: setFlag.timeout, keyLength: 16, dataLength: undefined, fieldLengths: [] },
      {
        name: 'prefixes',
        flags: setFlag.interval | setFlag.timeout,
        keyLength: 4,
        dataLength: undefined,
        fieldLengths: [],
      },
      {
        name: 'access',
        flags: setFlag.interval | setFlag.concat,
        keyLength: 16,
        dataLength: undefined,
        fieldLengths: [4, 4, 1, 2],
      },
      { name: 'bindings', flags: 0, keyLength: 12, dataLength: undefined, fieldLengths: [] },
      { name: 'identities', flags: setFlag.map, keyLength: 4, dataLength: 4, fieldLengths: [] },
      { name: 'verdicts', flags: setFlag.map, keyLength: 4, dataLength: expect.any(Number), fieldLengths: [] },
    ]);
  });

  it('of rules, with their comments', () => {
    const rules = decodeRules(dump).map(({ chain, comment, expressions }) => [chain, comment, expressions.length > 0]);
    expect(rules).toEqual([
      ['input', 'wg in', true],
      ['helper', undefined, true],
      ['helper', 'lease', true],
    ]);
  });

  it('is asked for as nft does', () => {
    const sent = recorded('dumpRuleset').sent.flat();
    const asks = (request: NetlinkRequest) =>
      sent.some(
        (one) => one.type === request.type && one.flags === request.flags && shownPlain(one) === shownPlain(request),
      );
    expect(asks(encodeDumpTables())).toBe(true);
    expect(asks(encodeDumpChains())).toBe(true);
    expect(encodeDumpTables(1).payload[0]).toBe(1);
    expect(encodeDumpChains(1).payload[0]).toBe(1);
    expect(tree(encodeDumpSets(table).payload, 4, [])).toEqual([[1, '61706e00']]);
    expect(tree(encodeDumpRules(table).payload, 4, [])).toEqual([[1, '61706e00']]);
    expect(tree(encodeDumpRules(table, 'input').payload, 4, [])).toEqual([
      [1, '61706e00'],
      [2, '696e70757400'],
    ]);
  });

  it('with next to nothing in it has defaults; without a name it is refused', () => {
    const named = [text(1, 'apn'), text(2, 'x'), text(3, 'x')];
    expect(decodeTables([nft(0, [text(1, 'apn')])])).toEqual([{ family: 1, name: 'apn', handle: 0, flags: 0 }]);
    expect(decodeSets([nft(9, [text(1, 'apn'), text(2, 'x')])])).toEqual([
      { table, name: 'x', handle: 0, flags: 0, keyType: 0, keyLength: 0, fieldLengths: [] },
    ]);
    expect(decodeRules([nft(6, [text(1, 'apn'), text(2, 'x')])])).toEqual([
      { table, chain: 'x', handle: 0, expressions: Buffer.alloc(0) },
    ]);
    expect(decodeChains([nft(3, [text(1, 'apn'), text(3, 'x')])])).toEqual([{ table, name: 'x', handle: 0 }]);
    const hook = { type: 4, value: [be32(1, 1), be32(2, 0)] };
    expect(decodeChains([nft(3, [text(1, 'apn'), text(3, 'x'), hook])])[0]?.base?.type).toBe('');
    for (const decode of [decodeTables, decodeSets, decodeRules, decodeChains]) {
      const type = decode === decodeTables ? 0 : decode === decodeSets ? 9 : decode === decodeRules ? 6 : 3;
      expect(() => decode([nft(type, [])])).toThrow(MalformedNetlink);
      expect(() => decode([nft(type, named.slice(decode === decodeTables ? 1 : 0, 1))])).toThrow(MalformedNetlink);
      expect(() => decode([{ ...nft(type, []), payload: hex('01') }])).toThrow(MalformedNetlink);
    }
  });
});

describe('notifications', () => {
  it('name the table and what happened to what', () => {
    const kinds = [0, 2, 3, 5, 6, 8, 9, 11, 12, 14].map((type) => decodeNftablesEvent(nft(type, [text(1, 'apn')])));
    expect(kinds.map((event) => [event?.kind, event?.gone])).toEqual(
      ['table', 'chain', 'rule', 'set', 'element'].flatMap((kind) => [
        [kind, false],
        [kind, true],
      ]),
    );
    expect(new Set(kinds.map((event) => JSON.stringify(event?.table)))).toEqual(new Set([JSON.stringify(table)]));
  });

  it('are numbered: the request is what nft sends, the number is in the answer', () => {
    const { sent, received } = recorded('dumpRuleset');
    const asked = sent.flat().find(({ type }) => type === 0xa10);
    expect(encodeGetGeneration()).toMatchObject({ type: 0xa10, flags: 0 });
    expect(encodeGetGeneration().payload).toEqual(asked?.payload);
    const answer = received.filter(({ type }) => type === 0xa0f);
    expect(decodeGeneration(answer)).toBe(answer[0]?.payload.readUInt32BE(8));
    expect(decodeGeneration(answer)).toBeGreaterThan(0);
    expect(() => decodeGeneration([])).toThrow(MalformedNetlink);
    expect(() => decodeGeneration([nft(15, [])])).toThrow(MalformedNetlink);
  });

  it('of a transaction’s end say who made it', () => {
    const generation = recorded('dumpRuleset').received.find(({ type }) => type === 0xa0f);
    expect(decodeNftablesEvent(generation!)).toEqual({ kind: 'generation', gone: false, pid: expect.any(Number) });
    expect(decodeNftablesEvent(nft(15, []))).toEqual({ kind: 'generation', gone: false });
  });

  it('of anything else are other, or nothing', () => {
    expect(decodeNftablesEvent(nft(18, []))).toEqual({ kind: 'other', gone: false });
    expect(decodeNftablesEvent({ ...nft(0, []), type: 0x100 })).toBeUndefined();
  });
});

describe('mangled messages', () => {
  const samples = recorded('dumpRuleset').received;

  it('are a value or MalformedNetlink', () => {
    const attempt = (message: NetlinkMessage): void => {
      for (const decode of [decodeTables, decodeChains, decodeSets, decodeRules, decodeElements]) {
        try {
          decode([message]);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedNetlink);
        }
      }
    };
    for (const message of samples) {
      for (let length = 0; length < message.payload.length; length += 1) {
        attempt({ ...message, payload: message.payload.subarray(0, length) });
      }
      const flips = fc.array(fc.tuple(fc.nat(message.payload.length - 1), fc.nat(255)), { maxLength: 6 });
      fc.assert(
        fc.property(flips, (list) => {
          const payload = Buffer.from(message.payload);
          for (const [at, value] of list) payload[at] = value;
          attempt({ ...message, payload });
        }),
        { numRuns: 100 },
      );
    }
  });

  it('user data that is cut off is refused', () => {
    expect(() => decodeUserdata(hex('00'))).toThrow(MalformedNetlink);
    expect(() => decodeUserdata(hex('000361'))).toThrow(MalformedNetlink);
    expect(decodeUserdata(hex('0002610001 00'))).toEqual(
      new Map([
        [0, hex('6100')],
        [1, hex('')],
      ]),
    );
  });
});

function nft(message: number, attributes: readonly AttributeTree[]): NetlinkMessage {
  const payload = encodePayload(hex('01000000'), attributes);
  return { type: 0xa00 | message, flags: 0, sequence: 0, port: 0, payload };
}

function element(attributes: readonly AttributeTree[]): AttributeTree {
  return { type: 3, value: [{ type: 1, value: attributes }] };
}

function shownPlain({ payload }: NetlinkRequest): string {
  return JSON.stringify([payload[0], tree(payload, 4, [])]);
}
