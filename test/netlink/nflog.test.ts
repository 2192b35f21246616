// The firewall's log over netlink: requests byte for byte, copies read, and nothing senseless taken for one.
import { describe, expect, it } from 'vitest';
import { be32, encodePayload, MalformedNetlink, text } from '../../src/router/netlink/attribute.ts';
import { encodeMessage, type NetlinkMessage, parseMessages } from '../../src/router/netlink/message.ts';
import { decodeLogPacket, encodeBind, encodeCopyMode } from '../../src/router/netlink/nflog.ts';
import { hex } from './recorded.ts';

const packetType = 0x0400; // NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET

function message(payload: Uint8Array, type = packetType): NetlinkMessage {
  const [one] = parseMessages(encodeMessage({ type, flags: 0, payload, sequence: 0, port: 0 }));
  if (one === undefined) throw new Error('no message');
  return one;
}

/** Family IPv4, version 0, group 51820. */
const header = hex('02 00 ca 6c');
const packetHeader = { type: 1, value: hex('0800 00 00') };

describe('asking for a group', () => {
  it('names it in the header and binds it, with an acknowledgement', () => {
    const { type, flags, payload } = encodeBind(51820);
    expect(type).toBe(0x0401);
    expect(flags).toBe(0x5);
    expect(Buffer.from(payload).toString('hex')).toBe('0000ca6c' + '0500010001000000');
  });

  it('has packets copied so far, each at once', () => {
    const { type, payload } = encodeCopyMode(1, 256);
    expect(type).toBe(0x0401);
    expect(Buffer.from(payload).toString('hex')).toBe(
      '00000001' + // group
        '0a00020000000100' + // mode: 256 bytes …
        '02000000' + // … of the packet
        '08000300' + // buffer of 16 KiB
        '00004000' +
        '0800040000000001' + // 1/100 s
        '0800050000000001', // after one packet
    );
  });
});

describe('a copy', () => {
  const bytes = hex('45 00 00 1c');

  it('is read with everything that comes with it', () => {
    const payload = encodePayload(header, [
      packetHeader,
      text(10, 'denied'),
      be32(2, 7),
      be32(4, 3),
      be32(5, 4),
      { type: 9, value: bytes },
    ]);
    expect(decodeLogPacket(message(payload))).toEqual({
      ...{ group: 51820, protocol: 0x0800, hook: 0, prefix: 'denied', mark: 7, incoming: 3, outgoing: 4 },
      payload: bytes,
    });
  });

  it('may have little', () => {
    const payload = encodePayload(header, [packetHeader]);
    expect(decodeLogPacket(message(payload))).toEqual({
      ...{ group: 51820, protocol: 0x0800, hook: 0, prefix: '', payload: Buffer.alloc(0) },
    });
  });

  it('is not what other messages hold', () => {
    expect(decodeLogPacket(message(encodePayload(header, [packetHeader]), 0x0401))).toBeNull();
    expect(decodeLogPacket(message(encodePayload(header, [packetHeader]), 0x0a00))).toBeNull();
  });

  it('without its headers, or with one cut off, is refused', () => {
    const wrong = [
      hex('02 00'),
      encodePayload(header, []),
      encodePayload(header, [{ type: 1, value: hex('0800') }]),
      encodePayload(header, [packetHeader, { type: 4, value: hex('01') }]),
    ];
    for (const payload of wrong) expect(() => decodeLogPacket(message(payload))).toThrow(MalformedNetlink);
  });
});
