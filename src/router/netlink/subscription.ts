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
