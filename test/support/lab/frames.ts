// Packets as bytes that no well-behaved program would send, and a way to put them on a wire of the lab.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { Lab } from './lab.ts';
import { enter } from './namespace.ts';

export const TCP = { fin: 1, syn: 2, rst: 4, push: 8, ack: 16, urgent: 32 } as const;

const bytes = (...parts: readonly (Uint8Array | readonly number[])[]): Buffer =>
  Buffer.concat(parts.map((part) => Uint8Array.from(part)));
const short = (value: number): number[] => [(value >> 8) & 255, value & 255];
const long = (value: number): number[] => [...short(Math.floor(value / 65_536)), ...short(value % 65_536)];

function mac(text: string): number[] {
  return text.split(':').map((octet) => Number.parseInt(octet, 16));
}

/** 4 or 16 bytes. */
function address(text: string): number[] {
  if (!text.includes(':')) return text.split('.').map(Number);
  const groups = (part: string | undefined): number[] =>
    part ? part.split(':').flatMap((group) => short(Number.parseInt(group, 16))) : [];
  const [head, tail] = text.split('::').map(groups);
  return [...(head ?? []), ...Array<number>(16 - (head?.length ?? 0) - (tail?.length ?? 0)).fill(0), ...(tail ?? [])];
}

/** RFC 1071. */
function checksum(data: Uint8Array): number[] {
  let sum = 0;
  for (let i = 0; i < data.length; i += 2) sum += ((data[i] ?? 0) << 8) | (data[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return short(~sum);
}

export interface Internet {
  readonly from: string;
  readonly to: string;
  readonly ttl?: number;
  /** IPv4 options, a multiple of 4 bytes. */
  readonly options?: readonly number[];
  /** Offset in bytes and whether more follow, for an IPv4 fragment. */
  readonly fragment?: { readonly offset: number; readonly more: boolean };
}

/** An IPv4 or IPv6 packet (RFC 791, RFC 8200), by the family of its addresses. */
export function ip(header: Internet, protocol: number, payload: Uint8Array | readonly number[] = []): Buffer {
  const [from, to] = [address(header.from), address(header.to)];
  const ttl = header.ttl ?? 64;
  if (from.length === 16) return bytes([0x60, 0, 0, 0], short(payload.length), [protocol, ttl], from, to, payload);
  const options = header.options ?? [];
  const { offset, more } = header.fragment ?? { offset: 0, more: false };
  const head = (sum: readonly number[]): Buffer =>
    bytes(
      [0x45 + options.length / 4, 0, ...short(20 + options.length + payload.length), 0x5a, 0x5a],
      short(offset / 8 + (more ? 0x2000 : 0)),
      [ttl, protocol, ...sum],
      from,
      to,
      options,
    );
  return bytes(head(checksum(head([0, 0]))), payload);
}

/** The checksum of TCP, UDP and ICMPv6 covers the addresses too. */
function covered({ from, to }: Internet, protocol: number, segment: Uint8Array): number[] {
  const pseudo = [...address(from), ...address(to), ...long(segment.length), 0, 0, 0, protocol];
  return checksum(bytes(pseudo, segment));
}

export interface Ports extends Internet {
  readonly sport: number;
  readonly dport: number;
}

export function udp(header: Ports, payload: Uint8Array | readonly number[] = []): Buffer {
  const segment = (sum: readonly number[]): Buffer =>
    bytes(short(header.sport), short(header.dport), short(8 + payload.length), sum, payload);
  return ip(header, 17, segment(covered(header, 17, segment([0, 0]))));
}

/** @param flags Sum of `TCP`. */
export function tcp(header: Ports, flags: number): Buffer {
  const segment = (sum: readonly number[]): Buffer =>
    bytes(short(header.sport), short(header.dport), long(1), long(1), [0x50, flags], short(1024), sum, [0, 0]);
  return ip(header, 6, segment(covered(header, 6, segment([0, 0]))));
}

/** ICMP or ICMPv6, by the family. @param rest What follows type, code and checksum. */
export function icmp(header: Internet, type: number, code: number, rest: Uint8Array | readonly number[]): Buffer {
  const six = header.from.includes(':');
  const message = (sum: readonly number[]): Buffer => bytes([type, code], sum, rest);
  const sum = six ? covered(header, 58, message([0, 0])) : checksum(message([0, 0]));
  return ip(header, six ? 58 : 1, message(sum));
}

export const echoRequest = (header: Internet): Buffer =>
  icmp(header, header.from.includes(':') ? 128 : 8, 0, [0x77, 0x77, 0, 1, ...Array<number>(16).fill(0x61)]);

/** Says unasked that an IPv4 address is at a MAC address (RFC 826). @param operation 1 request, 2 reply. */
export function arp(
  operation: 1 | 2,
  owner: { mac: string; address: string },
  asked: { mac: string; address: string },
) {
  return bytes(
    [0, 1, 8, 0, 6, 4, 0, operation],
    mac(owner.mac),
    address(owner.address),
    mac(asked.mac),
    address(asked.address),
  );
}

/** The packet in an Ethernet frame; its type follows from its first byte, ARP has to be named. */
export function ethernet(to: string, from: string, packet: Uint8Array, type?: 'arp'): Buffer {
  const number = type === 'arp' ? 0x0806 : (packet[0] ?? 0) >> 4 === 6 ? 0x86dd : 0x0800;
  return bytes(mac(to), mac(from), short(number), packet);
}

/** Brings all to one length: a receiver goes by the lengths inside and passes over what follows. */
function padded(packets: readonly Uint8Array[]): { size: number; data: Buffer } {
  const size = Math.max(60, ...packets.map(({ length }) => length));
  const data = Buffer.alloc(size * packets.length);
  for (const [index, packet] of packets.entries()) data.set(packet, index * size);
  return { size, data };
}

/** Sends frames (or bare packets through a tunnel device) as they are, one after the other as fast as it goes. */
export async function inject(lab: Lab, host: string, device: string, packets: readonly Uint8Array[]): Promise<void> {
  const { size, data } = padded(packets);
  writeFileSync(lab.path(host, '/run/frames'), data);
  const argv = ['socat', '-u', '-b', String(size), 'OPEN:/run/frames,rdonly', `INTERFACE:${device}`];
  await lab.output(host, argv, { timeout: 60_000 });
}

export interface Injector {
  send(): void;
  close(): Promise<void>;
}

/** Sends the same few frames with every call. */
export function injector(lab: Lab, host: string, device: string, packets: readonly Uint8Array[]): Injector {
  const { size, data } = padded(packets);
  const [program = '', ...args] = enter(lab.holder(host), [
    'socat',
    '-u',
    '-b',
    String(size),
    '-',
    `INTERFACE:${device}`,
  ]);
  const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'inherit'] });
  const ended = new Promise((resolve) => child.once('close', resolve));
  child.stdin.on('error', () => {});
  return {
    send: () => {
      // One write is one packet each only while everything fits into the socket's buffer.
      if (child.stdin.writableLength === 0) child.stdin.write(data);
    },
    close: async () => {
      child.stdin.destroy();
      child.kill();
      await ended;
    },
  };
}

export async function macOf(lab: Lab, host: string, device: string): Promise<string> {
  return lab.output(host, ['cat', `/sys/class/net/${device}/address`]);
}
