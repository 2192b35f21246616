// A netlink socket that listens to what the kernel announces, and says when it may have missed something.
import { constants } from 'node:os';
import type { ErrnoException, RawNetlinkSocket } from 'netlink';
import {
  encodeMessage,
  messageType,
  NetlinkError,
  type NetlinkMessage,
  type NetlinkRequest,
  parseErrno,
  parseError,
  parseMessages,
} from './message.ts';
import { decodeLogPacket, encodeBind, encodeCopyMode, type LogPacket } from './nflog.ts';
import { countDrops, openRaw, type Protocol } from './raw.ts';

/** RTNLGRP_*: what a route subscription can hear. */
export const routeGroup = {
  link: 1, // RTNLGRP_LINK
  neighbour: 3, // RTNLGRP_NEIGH
  ipv4Address: 5, // RTNLGRP_IPV4_IFADDR
  ipv4Route: 7, // RTNLGRP_IPV4_ROUTE
  ipv6Address: 9, // RTNLGRP_IPV6_IFADDR
  ipv6Route: 11, // RTNLGRP_IPV6_ROUTE
} as const;

/** NFNLGRP_*: what a netfilter subscription can hear. */
export const netfilterGroup = { nftables: 7 /* NFNLGRP_NFTABLES */ } as const;

export type Subscription = { close(): void };

/**
 * Hears what the kernel announces in `groups`. `onLost` is called when announcements may have been missed (more came than the
 * buffer holds, noticed within a second; or the socket had to be made again): observe everything anew then.
 */
export function subscribe(
  protocol: Protocol,
  groups: readonly number[],
  onMessage: (message: NetlinkMessage) => void,
  onLost: (error: Error) => void,
): Subscription {
  let raw: RawNetlinkSocket | undefined = listen();
  let drops = 0;

  function listen(): RawNetlinkSocket {
    const socket = openRaw(protocol);
    for (const group of groups) socket.addMembership(group);
    // Listeners run outside the native callback: an exception there would end the process without a word.
    const later = (work: () => void) => setImmediate(() => socket === raw && work());
    socket.on('message', (bytes, from) => {
      // Any process may send to our port; the kernel's is 0.
      if (from.port === 0) later(() => parseMessages(bytes).forEach(onMessage));
    });
    socket.on('error', (error: ErrnoException) => later(() => restart(new NetlinkError(error.errno, 'subscription'))));
    return socket;
  }

  function restart(reason: Error): void {
    raw?.close();
    raw = undefined;
    drops = 0;
    try {
      raw = listen();
    } catch {
      return; // and again in a second
    }
    onLost(reason);
  }

  const watch = setInterval(() => {
    if (raw === undefined) {
      restart(new NetlinkError(constants.errno.ENOBUFS, 'notifications lost'));
      return;
    }
    const now = countDrops(raw, protocol);
    if (now === drops) return;
    drops = now;
    onLost(new NetlinkError(constants.errno.ENOBUFS, 'notifications lost'));
  }, 1_000);

  return {
    close: () => {
      clearInterval(watch);
      raw?.close();
      raw = undefined;
    },
  };
}

/** Milliseconds until a group that could not be had is asked for again: its last reader may be about to end. */
const logRetry = 1000;

/**
 * Reads what rules with `log group N` copy, as the only reader of these groups in the namespace. `onState` is told null
 * when all groups are ours, and what is wrong when they are not; it is tried again every second. More copies than the
 * buffer holds are lost without a word.
 * @param length Bytes of each packet that are wanted, from its IP header on.
 */
export function readLog(
  groups: readonly number[],
  length: number,
  onPacket: (packet: LogPacket) => void,
  onState: (problem: Error | null) => void,
): Subscription {
  let raw: RawNetlinkSocket | undefined;
  let timer: NodeJS.Timeout | undefined;

  function open(): void {
    try {
      raw = listen();
    } catch (error) {
      fail(error instanceof Error ? error : new Error(String(error)));
    }
  }

  function listen(): RawNetlinkSocket {
    const socket = openRaw('netfilter');
    const requests = groups.flatMap((group): NetlinkRequest[] => [encodeBind(group), encodeCopyMode(group, length)]);
    let open = requests.length;
    // Listeners run outside the native callback: an exception there would end the process without a word.
    const later = (work: () => void) => setImmediate(() => socket === raw && work());
    const read = (message: NetlinkMessage) => {
      if (message.type === messageType.error) {
        if (parseErrno(message) !== 0) fail(parseError(message, 'reading the firewall log'));
        else if (--open === 0) onState(null);
        return;
      }
      const packet = decodeLogPacket(message);
      if (packet !== null) onPacket(packet);
    };
    socket.on('message', (bytes, from) => {
      // Any process may send to our port; the kernel's is 0.
      if (from.port === 0) later(() => parseMessages(bytes).forEach(read));
    });
    socket.on('error', (error: ErrnoException) => later(() => fail(new NetlinkError(error.errno, 'firewall log'))));
    for (const [index, request] of requests.entries()) {
      socket.send(encodeMessage({ ...request, sequence: index + 1, port: socket.address().port }));
    }
    return socket;
  }

  function fail(error: Error): void {
    raw?.close();
    raw = undefined;
    clearTimeout(timer);
    timer = setTimeout(open, logRetry);
    onState(error);
  }

  open();
  return {
    close: () => {
      clearTimeout(timer);
      raw?.close();
      raw = undefined;
    },
  };
}
