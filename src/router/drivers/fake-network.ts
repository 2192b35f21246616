// Links, addresses, routes, neighbours and kernel parameters in memory, with the kernel's side effects.
import { type Address, contains, prefixOf } from '../../model/address.ts';
import {
  bridge,
  type LinkAddress,
  type Neighbour,
  type NetworkOperation,
  type ObservedLink,
  type ObservedNetwork,
  parameterPaths,
  type Route,
} from '../plan/network.ts';
import type { Fake } from './fake.ts';

export class FakeNetwork implements Fake<'network'> {
  readonly links = new Map<string, ObservedLink>();
  addresses: readonly LinkAddress[] = [];
  routes: readonly Route[] = [];
  neighbours: readonly Neighbour[] = [];
  readonly parameters = new Map<string, string>();
  /** Told of WireGuard devices that come and go. */
  onLink: (name: string, there: boolean) => void = () => {};

  constructor(ports: readonly string[] = []) {
    for (const name of ports) this.links.set(name, { name, kind: null, up: false, mtu: 1500, master: null });
    for (const path of parameterPaths) if (deviceOf(path) === null) this.parameters.set(path, '');
  }

  observe(): ObservedNetwork {
    return {
      links: [...this.links.values()],
      addresses: this.addresses.filter(({ link }) => own(link)),
      routes: this.routes,
      neighbours: this.neighbours.filter(({ link }) => link === bridge),
      parameters: new Map(this.parameters),
    };
  }

  /** Puts a link there, as if something else had done it. */
  add(link: ObservedLink): void {
    this.links.set(link.name, link);
    for (const path of parameterPaths) if (deviceOf(path) === link.name) this.parameters.set(path, '');
  }

  apply(operation: NetworkOperation): void {
    switch (operation.kind) {
      case 'network.create-link': {
        const { name, kind } = operation.link;
        refuseIf(this.links.has(name), `EEXIST: ${name}`);
        this.add({ name, kind, up: false, mtu: kind === 'wireguard' ? 1420 : 1500, master: null });
        if (kind === 'wireguard') this.onLink(name, true);
        return;
      }
      case 'network.delete-link':
        this.#deleteLink(operation.name);
        return;
      case 'network.set-link': {
        const link = this.#link(operation.name);
        this.links.set(link.name, { ...link, up: operation.up ?? link.up, mtu: operation.mtu ?? link.mtu });
        return;
      }
      case 'network.set-master': {
        const link = this.#link(operation.name);
        if (operation.master !== null) this.#link(operation.master);
        this.links.set(link.name, { ...link, master: operation.master });
        return;
      }
      case 'network.set-parameter':
        refuseIf(!this.parameters.has(operation.path), `ENOENT: ${operation.path}`);
        this.parameters.set(operation.path, operation.value);
        return;
      case 'network.add-address':
        this.#link(operation.address.link);
        refuseIf(has(this.addresses, operation.address), 'EEXIST: address');
        this.addresses = [...this.addresses, operation.address];
        return;
      case 'network.delete-address':
        this.#deleteAddress(operation.address);
        return;
      case 'network.add-route':
        this.#refuseRoute(operation.route);
        this.routes = [...this.routes, operation.route];
        return;
      case 'network.delete-route':
        refuseIf(!has(this.routes, operation.route), 'ESRCH: route');
        this.routes = without(this.routes, operation.route);
        return;
      case 'network.set-neighbour': {
        const { neighbour } = operation;
        refuseIf(!this.#link(neighbour.link).up, 'ENETDOWN: neighbour');
        const others = this.neighbours.filter(({ link, address }) => !sameEntry({ link, address }, neighbour));
        this.neighbours = [...others, neighbour];
        return;
      }
      case 'network.delete-neighbour':
        refuseIf(!has(this.neighbours, operation.neighbour), 'ENOENT: neighbour');
        this.neighbours = without(this.neighbours, operation.neighbour);
    }
  }

  /** One route for a destination and metric, whatever it leads to; a way out needs a link that is up. */
  #refuseRoute({ destination, metric, link }: Route): void {
    if (link !== null) refuseIf(!this.#link(link).up, 'ENETDOWN: route');
    const twin = this.routes.some((one) => one.destination === destination && one.metric === metric);
    refuseIf(twin, 'EEXIST: route');
  }

  #link(name: string): ObservedLink {
    const link = this.links.get(name);
    if (link === undefined) throw new Error(`ENODEV: ${name}`);
    return link;
  }

  /** Takes with it what is on the link, and lets its ports go. */
  #deleteLink(name: string): void {
    const { kind } = this.#link(name);
    this.links.delete(name);
    for (const [port, link] of this.links) if (link.master === name) this.links.set(port, { ...link, master: null });
    this.addresses = this.addresses.filter(({ link }) => link !== name);
    this.neighbours = this.neighbours.filter(({ link }) => link !== name);
    this.routes = this.routes.filter(({ link }) => link !== name);
    for (const path of this.parameters.keys()) if (deviceOf(path) === name) this.parameters.delete(path);
    if (kind === 'wireguard') this.onLink(name, false);
  }

  /** The first address of a subnet takes the later ones with it, unless they are promoted (inet_del_ifa of the kernel). */
  #deleteAddress(gone: LinkAddress): void {
    refuseIf(!has(this.addresses, gone), 'EADDRNOTAVAIL: address');
    const peers = this.addresses.filter(
      (one) => one.link === gone.link && one.length === gone.length && sameSubnet(one, gone),
    );
    const primary = peers[0] !== undefined && sameEntry(peers[0], gone);
    const promote = this.parameters.get('net/ipv4/conf/all/promote_secondaries') === '1';
    this.addresses =
      primary && !promote ? this.addresses.filter((one) => !peers.includes(one)) : without(this.addresses, gone);
  }
}

function own(name: string): boolean {
  return name === bridge || /^apn\d+$/.test(name);
}

/** The device a parameter belongs to; null: it is there always. */
function deviceOf(path: string): string | null {
  const device = /^net\/ipv[46]\/conf\/([^/]+)\//.exec(path)?.[1] ?? 'all';
  return device === 'all' || device === 'default' ? null : device;
}

function sameSubnet(one: LinkAddress, other: LinkAddress): boolean {
  return contains(prefixOf(one.address, one.length), other.address);
}

function sameEntry(one: { link: string; address: Address }, other: { link: string; address: Address }): boolean {
  return one.link === other.link && one.address === other.address;
}

function has<T>(list: readonly T[], wanted: T): boolean {
  return list.some((one) => JSON.stringify(one) === JSON.stringify(wanted));
}

function without<T>(list: readonly T[], gone: T): readonly T[] {
  return list.filter((one) => JSON.stringify(one) !== JSON.stringify(gone));
}

function refuseIf(condition: boolean, message: string): void {
  if (condition) throw new Error(message);
}
