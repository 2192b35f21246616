// Reads what test/netlink/record.ts recorded, and turns bytes into comparable trees.
import { readFileSync } from 'node:fs';
import { type Attribute, parseAttributes } from '../../src/router/netlink/attribute.ts';
import { messageType, type NetlinkMessage, parseMessages } from '../../src/router/netlink/message.ts';

type Exchange = { readonly command: string; readonly sent: readonly string[]; readonly received: readonly string[] };

export type Recording = {
  /** The messages of each datagram sent. */
  readonly sent: readonly NetlinkMessage[][];
  /** All messages received, without acknowledgements and ends of dumps. */
  readonly received: readonly NetlinkMessage[];
  /** The bytes of each datagram received. */
  readonly datagrams: readonly Buffer[];
};

export function readRecording(file: string): (name: string) => Recording {
  const all = JSON.parse(readFileSync(new URL(`./recorded/${file}.json`, import.meta.url), 'utf8')) as Record<
    string,
    Exchange
  >;
  return (name) => {
    const exchange = all[name];
    if (exchange === undefined) throw new Error(`nothing recorded as ${name}`);
    const datagrams = exchange.received.map((hex) => Buffer.from(hex, 'hex'));
    return {
      sent: exchange.sent.map((hex) => parseMessages(withoutRest(Buffer.from(hex, 'hex')))),
      received: datagrams
        .flatMap((bytes) => parseMessages(bytes))
        .filter(({ type }) => type !== messageType.error && type !== messageType.done),
      datagrams,
    };
  };
}

// `ip` sends more of its buffer than the request in it; what follows is zeros.
function withoutRest(bytes: Buffer): Buffer {
  const length = bytes.readUInt32LE(0);
  return bytes.subarray(length).some((byte) => byte !== 0) ? bytes : bytes.subarray(0, length);
}

/** Attributes as `type: hex`, in order, those of `nested` (types by depth: 'a.b') opened up. */
export function tree(bytes: Uint8Array, start: number, nested: readonly string[], path = ''): unknown[] {
  return parseAttributes(bytes, start).map(({ type, value }: Attribute) => {
    const here = path === '' ? `${type}` : `${path}.${type}`;
    return nested.includes(here) ? [type, tree(value, 0, nested, here)] : [type, value.toString('hex')];
  });
}

export function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex');
}

/** An IPv4 address in the usual notation. */
export function ipv4(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}
