// Answers as bytes: what follows the question, made once with dns-packet and sent many times.
import { encode } from 'dns-packet';

/** Seconds, of positive and negative answers alike: rights change at once, so nothing may be remembered for long. */
export const ttl = 30;

export type Data = { readonly type: 'A' | 'AAAA' | 'CNAME' | 'NS' | 'PTR'; readonly data: string };

/** Everything after the question; names in it may point into the question (RFC 1035 §4.1.4), so it fits only that one. */
export interface Prebuilt {
  /** AA (0x0400) and RCODE, in the header's second 16 bits. */
  readonly flags: number;
  readonly answers: number;
  readonly authorities: number;
  readonly tail: Uint8Array;
}

export const authoritative = 0x0400;
export const rcode = { noError: 0, formErr: 1, servFail: 2, nxDomain: 3, notImp: 4, refused: 5 } as const;

const headerLength = 12;

/** A compression pointer to the byte of the question's name that is `offset` bytes in. */
export function pointer(offset: number): Buffer {
  return Buffer.from([0xc0, headerLength + offset]);
}

/** One record without its owner name: type, class, TTL, length, data. */
export function encodeBody(record: Data): Buffer {
  return afterOwner(encode({ type: 'response', answers: [{ name: '.', ttl, class: 'IN', ...record } as never] }));
}

export function encodeSoa(domain: string, serial: number): Buffer {
  const data = {
    ...{ mname: `ns.${domain}`, rname: `hostmaster.${domain}`, serial },
    ...{ refresh: 3600, retry: 600, expire: 86_400, minimum: ttl },
  };
  return afterOwner(encode({ type: 'response', answers: [{ name: '.', type: 'SOA', ttl, class: 'IN', data }] }));
}

/** The owner was the root: one byte. */
function afterOwner(packet: Buffer): Buffer {
  return packet.subarray(headerLength + 1);
}
