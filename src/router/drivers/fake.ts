// Every driver in memory: the same operations as in production, done on pretended things that are as strict as the kernel.
import type { PublicKey } from '../../model/key.ts';
import type { Zone } from '../../model/zone.ts';
import type { DhcpOperation, ObservedDhcp } from '../plan/dhcp.ts';
import { fingerprint } from '../plan/fingerprint.ts';
import type { PartName, Parts } from '../plan/plan.ts';
import type { ObservedPeer, ObservedWireguard, Peer, WireguardDevice, WireguardOperation } from '../plan/wireguard.ts';
import type { ZoneOperation } from '../plan/zone.ts';
import type { Driver } from './driver.ts';
import { FakeFirewall } from './fake-firewall.ts';
import { FakeNetwork } from './fake-network.ts';

/** One pretended thing outside. A refused operation changes nothing. */
export interface Fake<Name extends PartName> {
  observe(): Parts[Name]['observed'];
  /** @throws Error as the real thing would refuse. */
  apply(operation: Parts[Name]['operation']): void;
}

/** Stands where a real driver stands: at the `Driver` interface. */
export class FakeDriver<Name extends PartName> implements Driver<Name> {
  readonly thing: Fake<Name>;
  /** What was applied, refused ones left out. */
  readonly applied: Parts[Name]['operation'][] = [];
  /** Refuses the operations it is true for; `index` counts all that were asked for. */
  refuse: (operation: Parts[Name]['operation'], index: number) => boolean = () => false;
  #asked = 0;

  constructor(thing: Fake<Name>) {
    this.thing = thing;
  }

  async observe(): Promise<Parts[Name]['observed']> {
    return this.thing.observe();
  }

  async apply(operation: Parts[Name]['operation']): Promise<void> {
    const index = this.#asked++;
    if (this.refuse(operation, index)) throw new Error(`told to refuse ${operation.kind}`);
    this.thing.apply(operation);
    this.applied.push(operation);
  }

  close(): void {}
}

export interface FakeDrivers {
  readonly firewall: FakeDriver<'firewall'>;
  readonly network: FakeDriver<'network'>;
  readonly wireguard: FakeDriver<'wireguard'>;
  readonly dhcp: FakeDriver<'dhcp'>;
  readonly zone: FakeDriver<'zone'>;
}

/**
 * A machine of its own: a device that the network driver makes is there for the tunnel driver.
 * @param now Monotonic clock, milliseconds.
 */
export function createFakeDrivers(now: () => number = () => 0, ports: readonly string[] = []): FakeDrivers {
  const wireguard = new FakeWireguard();
  const network = new FakeNetwork(ports);
  network.onLink = (name, there) => {
    if (there) wireguard.create(name);
    else wireguard.delete(name);
  };
  return {
    firewall: new FakeDriver<'firewall'>(new FakeFirewall(now)),
    network: new FakeDriver<'network'>(network),
    wireguard: new FakeDriver<'wireguard'>(wireguard),
    dhcp: new FakeDriver<'dhcp'>(new FakeDhcp()),
    zone: new FakeDriver<'zone'>(new FakeZone()),
  };
}

interface TunnelDevice {
  privateKey: WireguardDevice['privateKey'] | null;
  listenPort: number;
  readonly peers: Map<PublicKey, ObservedPeer>;
}

export class FakeWireguard implements Fake<'wireguard'> {
  readonly #devices = new Map<string, TunnelDevice>();

  create(name: string): void {
    this.#devices.set(name, { privateKey: null, listenPort: 0, peers: new Map() });
  }

  delete(name: string): void {
    this.#devices.delete(name);
  }

  /** Puts a peer there, as if something else had done it. */
  set(device: string, peer: ObservedPeer): void {
    this.#device(device).peers.set(peer.publicKey, peer);
  }

  observe(): ObservedWireguard {
    return [...this.#devices].map(([name, { peers, ...rest }]) => ({ name, ...rest, peers: new Map(peers) }));
  }

  apply(operation: WireguardOperation): void {
    const device = this.#device(operation.device);
    switch (operation.kind) {
      case 'wireguard.configure':
        device.privateKey = operation.privateKey;
        device.listenPort = operation.listenPort === 0 ? ephemeralPort : operation.listenPort;
        return;
      case 'wireguard.remove-peers':
        for (const key of operation.peers) device.peers.delete(key);
        return;
      case 'wireguard.set-peers':
        for (const peer of operation.peers) setPeer(device, peer);
    }
  }

  #device(name: string): TunnelDevice {
    const device = this.#devices.get(name);
    if (device === undefined) throw new Error(`ENODEV: ${name}`);
    return device;
  }
}

/** What the kernel might choose. */
const ephemeralPort = 40_123;

const silent = { endpoint: null, configured: null, lastHandshake: null, rxBytes: 0, txBytes: 0 } as const;

/** An allowed IP has one peer: giving it to another takes it away from the first. */
function setPeer({ peers }: TunnelDevice, wanted: Peer): void {
  for (const [key, peer] of peers) {
    const allowedIps = peer.allowedIps.filter((one) => !wanted.allowedIps.includes(one));
    peers.set(key, { ...peer, allowedIps });
  }
  const before = peers.get(wanted.publicKey) ?? silent;
  // Where it is stays as it is, unless it is told.
  const { endpoint, configured } = wanted.endpoint === null ? before : { ...wanted, configured: wanted.endpoint };
  peers.set(wanted.publicKey, { ...before, ...wanted, endpoint, configured });
}

export class FakeDhcp implements Fake<'dhcp'> {
  /** Configuration and hosts as the running dnsmasq has read them. */
  running: { readonly configuration: string; readonly hosts: string | null } | null = null;
  hosts: string | null = null;

  observe(): ObservedDhcp {
    return { running: this.running === null ? null : fingerprint(this.running.configuration), hosts: this.hosts };
  }

  apply(operation: DhcpOperation): void {
    switch (operation.kind) {
      case 'dhcp.stop':
        this.running = null;
        return;
      case 'dhcp.write-hosts':
        this.hosts = operation.hosts;
        if (operation.reload && this.running !== null) this.running = { ...this.running, hosts: operation.hosts };
        return;
      case 'dhcp.start':
        if (this.running !== null) throw new Error('EADDRINUSE: another dnsmasq runs');
        this.running = { configuration: operation.configuration, hosts: this.hosts };
    }
  }
}

export class FakeZone implements Fake<'zone'> {
  zone: Zone | null = null;

  observe(): Zone | null {
    return this.zone;
  }

  apply({ zone }: ZoneOperation): void {
    this.zone = zone;
  }
}
