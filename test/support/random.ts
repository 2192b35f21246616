// Random valid configurations, leases and DHCP bindings over few names and addresses, so that two have much in common.
import fc from 'fast-check';
import type { Binding } from '../../src/model/access.ts';
import {
  type Address,
  contains,
  hostPrefix,
  isHost,
  networkAddress,
  nth,
  type Prefix,
  parseAddress,
  parsePrefix,
  prefixOf,
} from '../../src/model/address.ts';
import { deviceRange, identityRange } from '../../src/model/addressing.ts';
import {
  type Access,
  type Application,
  type Config,
  type Device,
  initialConfig,
  type Lan,
  type LanDevice,
  type Member,
  type Role,
  type Rule,
  roles,
  type Server,
  type Uplink,
} from '../../src/model/config.ts';
import type { Clock, Lease } from '../../src/model/lease.ts';
import { domainName, label, lease, mac, publicKey } from './builders.ts';

const applicationIds = ['app0', 'app1', 'app2'] as const;
const networks = ['172.16.0.0/16', '10.20.0.0/20'].map(parsePrefix);
const lans = ['192.168.66.0/24', '192.168.67.0/25'].map(parsePrefix);

const anyAccess = fc.oneof(
  fc.constantFrom('nothing' as const, 'everything' as const),
  fc.subarray([...applicationIds]),
) as fc.Arbitrary<Access>;

const anyLan = fc.record({
  range: fc.constantFrom(...lans),
  hub: fc.integer({ min: 1, max: 3 }),
  wan: fc.constantFrom('wan0', 'wan1'),
  ports: fc.subarray(['lan0', 'lan1', 'lan2']),
  topology: fc.constantFrom('router' as const, 'beside' as const),
  dhcp: fc.boolean(),
  defaultAccess: anyAccess,
});

const anyMember = fc.record({
  role: fc.constantFrom(...roles),
  access: fc.dictionary(fc.constantFrom(...applicationIds), fc.constantFrom(...roles), { maxKeys: 2 }),
  disabled: fc.boolean(),
});

const unique = <T>(one: fc.Arbitrary<T>, by: (one: T) => unknown, maxLength: number) =>
  fc.uniqueArray(one, { selector: by, maxLength });

/** Two at most. What is behind one can be behind the other in another configuration; some of it is in the APN's range. */
const anyUplinks = fc.array(
  fc.record({
    device: fc.integer({ min: 1, max: 3 }),
    host: fc.integer({ min: 2, max: 4 }),
    mtu: fc.constantFrom(1280, 1420),
    peers: unique(
      fc.record({
        key: fc.integer({ min: 30, max: 35 }),
        psk: fc.option(fc.constantFrom('psk1', 'psk2', 'lost')),
        at: fc.constantFrom('203.0.113.80', '203.0.113.81', 'vpn.example.net', 'gone.example.net'),
        keepalive: fc.constantFrom(0, 25),
        named: fc.boolean(),
        reach: fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 3 }),
      }),
      ({ key }) => key,
      3,
    ),
    domains: fc.subarray(['corp.example.net', 'apn', 'internal'] as const),
    lan: fc.oneof(fc.constantFrom('nothing' as const, 'everyone' as const), fc.array(fc.nat(4), { maxLength: 2 })),
    members: fc.subarray([0, 1, 2]),
    applications: fc.subarray([...applicationIds]),
  }),
  { maxLength: 2 },
);

const psk = fc.option(fc.constantFrom('psk1', 'psk2', 'lost'));

/** Sources of rules and leases that overlap, touch and repeat. */
export const anySource: fc.Arbitrary<Prefix> = fc
  .oneof(
    fc
      .tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 26, max: 32 }))
      .map(([n, length]) => ({ text: `203.0.113.${n}`, length })),
    fc
      .tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 60, max: 128 }))
      .map(([n, length]) => ({ text: `2001:db8:0:${n}::${n}`, length })),
  )
  .map(({ text, length }) => prefixOf(parseAddress(text), length));

/** Small valid configurations over a few names, addresses and keys, so that two of them have much in common. */
export const anyConfig: fc.Arbitrary<Config> = fc
  .record({
    range: fc.constantFrom(...networks),
    lan: fc.option(anyLan, { freq: 5 }),
    applications: fc.array(fc.subarray([0, 1, 2]), { maxLength: 3 }),
    servers: unique(
      fc.record({ application: fc.nat(2), host: fc.integer({ min: 1, max: 6 }), key: fc.nat(9), psk }),
      ({ key }) => key,
      6,
    ),
    members: fc.array(anyMember, { maxLength: 3 }),
    /** Nobody owns it yet. */
    unclaimed: fc.nat(11).map((n) => n === 0),
    devices: unique(
      fc.record({
        member: fc.nat(2),
        host: fc.integer({ min: 1, max: 6 }),
        key: fc.integer({ min: 10, max: 16 }),
        psk,
      }),
      ({ key }) => key,
      5,
    ),
    lanDevices: unique(
      fc.record({
        mac: fc.nat(6),
        host: fc.integer({ min: 10, max: 16 }),
        identity: fc.integer({ min: 1, max: 9 }),
        access: fc.oneof(fc.constant('default' as const), anyAccess),
      }),
      ({ mac }) => mac,
      5,
    ),
    rules: fc.array(anySource, { maxLength: 5 }),
    uplinks: anyUplinks,
    names: fc.subarray(['files', 'a.shared', '*.wild'] as const),
  })
  .map((parts) => {
    const network = { ...initialConfig.network, range: parts.range };
    const applications: readonly Application[] = parts.applications.map((links, i, { length }) => ({
      id: applicationIds[i] as string,
      label: label(`app${i}`),
      range: prefixOf(nth(parts.range, (10 + i) * 256), 24),
      links: links.filter((to) => to !== i && to < length).map((to) => applicationIds[to] as string),
    }));
    const known = (id: string) => applications.some((one) => one.id === id);
    const knownAccess = (access: Access) => (typeof access === 'string' ? access : access.filter(known));
    const servers: readonly Server[] = onePerAddress(
      parts.servers.flatMap(({ application, host, key, psk: presharedKeyId }) => {
        const of = applications[application];
        return of === undefined
          ? []
          : [
              {
                id: `server${key}`,
                application: of.id,
                label: label(`s${key}`),
                address: nth(of.range, host),
                publicKey: publicKey(key),
                presharedKey: presharedKeyId,
                keepalive: 25,
                follow: false,
              },
            ];
      }),
    );
    const owned: readonly Member[] = [
      {
        id: 'owner1',
        name: 'Olga',
        label: label('olga'),
        role: 'owner' as Role,
        access: {},
        leasePolicy: 'ask' as const,
        travelUntil: null,
        disabled: false,
      },
      ...parts.members.map((one, i) => ({
        ...one,
        id: `member${i}`,
        name: `Member ${i}`,
        label: label(`member${i}`),
        leasePolicy: 'ask' as const,
        travelUntil: null,
        access: Object.fromEntries(Object.entries(one.access).filter(([id]) => known(id))),
      })),
    ];
    const members = parts.unclaimed ? [] : owned;
    const devices: readonly Device[] = onePerAddress(
      parts.devices.flatMap(({ member, host, key, psk: presharedKeyId }) => {
        const of = members[member];
        return of === undefined
          ? []
          : [
              {
                id: `device${key}`,
                member: of.id,
                label: label(`d${key}`),
                address: nth(deviceRange(network), host),
                publicKey: publicKey(key),
                presharedKey: presharedKeyId,
                keepalive: 25,
              },
            ];
      }),
    );
    const lan: Lan | null =
      parts.lan === null
        ? null
        : {
            topology: parts.lan.topology,
            wan: parts.lan.wan,
            ports: parts.lan.ports,
            address: nth(parts.lan.range, parts.lan.hub),
            range: parts.lan.range,
            dhcp: parts.lan.dhcp ? { from: nth(parts.lan.range, 20), to: nth(parts.lan.range, 40) } : null,
            defaultAccess: knownAccess(parts.lan.defaultAccess),
          };
    const lanDevices: readonly LanDevice[] =
      lan === null
        ? []
        : onePerIdentity(
            onePerAddress(
              parts.lanDevices.map((one) => ({
                id: `landevice${one.mac}`,
                label: label(`l${one.mac}`),
                mac: mac(`02:00:00:00:66:0${one.mac}`),
                address: nth(lan.range, one.host),
                identity: nth(identityRange(network), one.identity),
                access: knownAccess(one.access as Access) as LanDevice['access'],
              })),
            ),
          );
    const rules: readonly Rule[] = parts.rules.map((source, i) => ({ id: `rule${i}`, source, note: '', server: null }));
    const names = parts.names.map((text, i) => ({
      id: `name${i}`,
      name: domainName(text),
      type: 'A' as const,
      address: networkAddress(parts.range),
    }));
    const uplinks = uplinksOf(parts.uplinks, parts.range, { applications, lanDevices, members });
    return {
      ...initialConfig,
      network,
      lan,
      applications,
      servers,
      members,
      devices,
      lanDevices,
      rules,
      names,
      uplinks,
    };
  });

type UplinkParts = typeof anyUplinks extends fc.Arbitrary<infer T> ? T : never;

/** Whoever comes first has a device number, and what is behind it. */
function uplinksOf(
  all: UplinkParts,
  range: Prefix,
  { applications, lanDevices, members }: Pick<Config, 'applications' | 'lanDevices' | 'members'>,
): readonly Uplink[] {
  const taken = new Set<string>();
  const first = <T>(list: readonly T[], key: (one: T) => string) =>
    list.filter((one) => {
      const isNew = !taken.has(key(one));
      taken.add(key(one));
      return isNew;
    });
  return first(all, ({ device: n }) => `device ${n}`).flatMap((one, i): Uplink[] => {
    const domains = first(one.domains, (text) => `domain ${text}`);
    const peers = one.peers.flatMap((peer) => {
      const reach = first(peer.reach, (n) => `behind ${n}`);
      const allowedIps = reach.map((n) =>
        n < 4 ? hostPrefix(nth(range, 5 * 256 + n)) : parsePrefix(`10.9.${n}.0/${20 + n}`),
      );
      if (allowedIps.length === 0) return [];
      return [
        {
          publicKey: publicKey(peer.key),
          presharedKey: peer.psk,
          endpoint: { host: peer.at, port: 51820 },
          allowedIps,
          keepalive: peer.keepalive,
          label: peer.named ? label(`p${peer.key}`) : null,
          alias: aliasOf(allowedIps, range, one.device),
        },
      ];
    });
    if (peers.length === 0) return [];
    return [
      {
        id: `uplink${one.device}`,
        label: label(`up${one.device}`),
        device: one.device,
        publicKey: publicKey(20 + one.device),
        address: parseAddress(`10.8.${i}.${one.host}`),
        mtu: one.mtu,
        dns: { servers: domains.length === 0 ? [] : [networkAddress(peers[0]!.allowedIps[0]!)], domains },
        peers,
        access: {
          lan: typeof one.lan === 'string' ? one.lan : one.lan.flatMap((n) => lanDevices[n]?.id ?? []),
          members: one.members.flatMap((n) => members[n]?.id ?? []),
          applications: one.applications.filter((id) => applications.some((each) => each.id === id)),
        },
      },
    ];
  });
}

/** As the control API would: the first single address decides; host number 12 of block 10.9 is the only one outside. */
function aliasOf(allowedIps: readonly Prefix[], range: Prefix, device: number): Address | null {
  const host = allowedIps.find(isHost);
  return host === undefined || contains(range, networkAddress(host)) ? null : nth(range, 3 * 256 + device);
}

function onePerAddress<T extends { readonly address: Address }>(list: readonly T[]): readonly T[] {
  return [...new Map(list.map((one) => [one.address, one])).values()];
}

function onePerIdentity<T extends { readonly identity: Address }>(list: readonly T[]): readonly T[] {
  return [...new Map(list.map((one) => [one.identity, one])).values()];
}

/** What DHCP may have handed out: known and unknown devices, addresses that are fixed for others, of another LAN too. */
export const anyLeased: fc.Arbitrary<readonly Binding[]> = fc.array(
  fc.record({
    mac: fc.nat(9).map((n) => `02:00:00:00:66:0${n}`),
    address: fc.tuple(fc.constantFrom(...lans), fc.integer({ min: 1, max: 30 })).map(([range, n]) => nth(range, n)),
  }),
  { maxLength: 6 },
);

/** Leases of this boot at one moment, some over, some withdrawn. */
export function anyLeases(now: Clock): fc.Arbitrary<readonly Lease[]> {
  const one = fc.record({
    source: anySource,
    left: fc.integer({ min: -5, max: 20 }).map((n) => n * 10_000),
    revoked: fc.boolean(),
  });
  return fc.array(one, { maxLength: 8 }).map((all) =>
    all.map(({ source, left, revoked }, i) =>
      lease(
        source,
        {
          id: `lease${i}`,
          deadline: now.boot + left,
          expiresAt: now.wall + left,
          remaining: Math.max(0, left),
          end: revoked && i % 3 === 0 ? { at: now.wall, how: 'revoked' } : null,
        },
        now,
      ),
    ),
  );
}
