// A netlink socket that listens to what the kernel announces, and says when it may have missed something.
import { constants } from 'node:os';
import type { ErrnoException, RawNetlinkSocket } from 'netlink';
import { NetlinkError, type NetlinkMessage, parseMessages } from './message.ts';
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
  let raw = listen();
  let drops = 0;
  let closed = false;

  function listen(): RawNetlinkSocket {
    const socket = openRaw(protocol);
    for (const group of groups) socket.addMembership(group);
    socket.on('message', (bytes, from) => {
      if (from.port !== 0 || closed) return;
      outside(() => parseMessages(bytes).forEach(onMessage));
    });
    socket.on(
      'error',
      (error: ErrnoException) => socket === raw && !closed && again(new NetlinkError(error.errno, 'subscription')),
    );
    return socket;
  }

  function again(error: Error): void {
    raw.close();
    outside(() => {
      raw = listen();
      drops = 0;
      onLost(error);
    });
  }

  const watch = setInterval(() => {
    const now = countDrops(raw, protocol);
    if (now === drops) return;
    drops = now;
    onLost(new NetlinkError(constants.errno.ENOBUFS, 'notifications lost'));
  }, 1_000);

  return {
    close: () => {
      if (closed) return;
      closed = true;
      clearInterval(watch);
      raw.close();
    },
  };
}

// An exception must not reach the native part, which would end the process without a word: it is thrown on the next tick.
function outside(work: () => void): void {
  try {
    work();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}
