// How an uplink is shown: never with a private or preshared key.
import { z } from 'zod';
import { endpointText } from '../../model/client.ts';
import type { Config, Uplink } from '../../model/config.ts';
import {
  addressOf,
  notes,
  relayedDomains,
  type UplinkDifference,
  type UplinkPeer,
  uplinkDevice,
} from '../../model/uplink.ts';
import { livePeer } from './peers.ts';
import type { LiveTunnel } from './services.ts';

const peerSummary = z.strictObject({
  publicKey: z.string(),
  label: z.string().nullable(),
  /** What its name answers with: its first single address. */
  address: z.string().nullable(),
  /** What members' devices find under its name: only the APN's range goes into their tunnels. */
  alias: z.string().nullable(),
  allowedIps: z.array(z.string()),
  endpoint: z.string(),
  keepalive: z.int(),
  hasPresharedKey: z.boolean(),
});
const summaryAnswer = z.strictObject({
  publicKey: z.string(),
  address: z.string(),
  mtu: z.int(),
  /** `relayed`: the domains that its servers are really asked about. */
  dns: z.strictObject({ servers: z.array(z.string()), domains: z.array(z.string()), relayed: z.array(z.string()) }),
  /** What of the file may surprise. */
  notes: z.array(z.string()),
  peers: z.array(peerSummary),
});
const livePeerAnswer = peerSummary.extend({
  fqdn: z.string().nullable(),
  connected: z.boolean(),
  /** Where it is now. */
  calledAt: z.string().nullable(),
  lastHandshake: z.string().nullable(),
  rxBytes: z.int(),
  txBytes: z.int(),
});

export const answer = summaryAnswer.extend({
  id: z.string(),
  label: z.string(),
  device: z.string(),
  access: z.strictObject({
    lan: z.union([z.enum(['nothing', 'everyone']), z.array(z.string())]),
    members: z.array(z.string()),
    applications: z.array(z.string()),
  }),
  /** Peers with a session. */
  connected: z.int(),
  peers: z.array(livePeerAnswer),
});

export const preview = summaryAnswer.extend({
  /** Null: it was not compared. */
  difference: z
    .strictObject({
      fields: z.array(z.enum(['address', 'mtu', 'dns', 'privateKey'])),
      added: z.array(peerSummary),
      removed: z.array(peerSummary),
      changed: z.array(z.strictObject({ peer: peerSummary, fields: z.array(z.string()) })),
      /** How many peers stay as they are. */
      unchanged: z.int(),
    })
    .nullable(),
});

function peerView({ publicKey, label, allowedIps, endpoint, keepalive, presharedKey, alias }: UplinkPeer) {
  return {
    publicKey,
    label,
    address: addressOf({ allowedIps }),
    alias,
    allowedIps,
    endpoint: endpointText(endpoint),
    keepalive,
    hasPresharedKey: presharedKey !== null,
  };
}

/** What a file says. */
export function summary({ network }: Config, one: Uplink) {
  const { publicKey, address, mtu, dns } = one;
  return {
    ...{ publicKey, address, mtu },
    dns: { ...dns, relayed: relayedDomains(one, network) },
    notes: notes(one, network),
    peers: one.peers.map(peerView),
  };
}

export function differenceView({ fields, added, removed, changed, unchanged }: UplinkDifference) {
  return {
    fields,
    added: added.map(peerView),
    removed: removed.map(peerView),
    changed: changed.map(({ peer, fields: which }) => ({ peer: peerView(peer), fields: which })),
    unchanged,
  };
}

export function view(config: Config, one: Uplink, tunnel: LiveTunnel, wall: number) {
  const device = uplinkDevice(one);
  const peers = tunnel.devices.get(device) ?? new Map();
  const seen = one.peers.map((peer) => {
    const { endpoint: calledAt, ...live } = livePeer({ peers }, peer, wall);
    const fqdn = peer.label === null ? null : `${peer.label}.${one.label}.${config.network.domain}`;
    return { ...peerView(peer), fqdn, calledAt, ...live };
  });
  const named = (ids: readonly string[], list: readonly { readonly id: string; readonly label: string }[]) =>
    ids.map((id) => list.find((each) => each.id === id)?.label ?? id);
  const { lan, members, applications } = one.access;
  return {
    ...{ id: one.id, label: one.label, device },
    ...summary(config, one),
    access: {
      lan: typeof lan === 'string' ? lan : named(lan, config.lanDevices),
      members: named(members, config.members),
      applications: named(applications, config.applications),
    },
    connected: seen.filter(({ connected }) => connected).length,
    peers: seen,
  };
}
