// The network driver: links, addresses, routes and neighbours over rtnetlink, kernel parameters through /proc/sys.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { type Address, fromBytes, networkAddress, type Prefix, prefixLength, toBytes } from '../../model/address.ts';
import type { IpPrefix } from '../netlink/address.ts';
import { NetlinkError } from '../netlink/message.ts';
import {
  encodeAddAddress,
  encodeAddRoute,
  encodeChangeLink,
  encodeCreateLink,
  encodeDeleteAddress,
  encodeDeleteLink,
  encodeDeleteNeighbour,
  encodeDeleteRoute,
  encodeDumpAddresses,
  encodeDumpLinks,
  encodeDumpNeighbours,
  encodeDumpRoutes,
  encodeReplaceNeighbour,
  type Link,
  type RouteChange,
} from '../netlink/route.ts';
import { decodeAddresses, decodeLinks, decodeNeighbours, decodeRoutes } from '../netlink/route-read.ts';
import { type NetlinkSocket, openRoute } from '../netlink/socket.ts';
import {
  bridge,
  type LinkAddress,
  type Neighbour,
  type NetworkOperation,
  type ObservedLink,
  type ObservedNetwork,
  parameterPaths,
  type Route,
  routeProtocol,
} from '../plan/network.ts';
import type { Driver } from './driver.ts';
import { userspaceSocket } from './userspace.ts';

const linkLocalScope = 253;
const notSupported = 95; // EOPNOTSUPP: the kernel has no such kind of device

export function createNetworkDriver(): Driver<'network'> {
  const socket = openRoute();
  return {
    observe: () => observe(socket),
    apply: (operation) => apply(socket, operation),
    close: () => socket.close(),
  };
}

async function observe(socket: NetlinkSocket): Promise<ObservedNetwork> {
  const links = decodeLinks(await socket.request(encodeDumpLinks()));
  const names = new Map(links.map(({ index, name }) => [index, name]));
  const own = new Set(links.filter(({ name }) => name === bridge || /^apn\d+$/.test(name)).map(({ index }) => index));
  const addresses = decodeAddresses(await socket.request(encodeDumpAddresses()));
  const routes = decodeRoutes(await socket.request(encodeDumpRoutes()));
  const neighbours = decodeNeighbours(await socket.request(encodeDumpNeighbours()));
  return {
    links: links.map((link) => observedLink(link, names)),
    addresses: addresses
      .filter(({ index, scope }) => own.has(index) && scope !== linkLocalScope)
      .map(({ index, bytes, cidr }) => ({ link: names.get(index) ?? '', address: text(bytes), length: cidr })),
    routes: routes
      .filter(({ protocol, type }) => protocol === routeProtocol && (type === 'unreachable' || type === 'unicast'))
      .map(({ destination, metric, oif, type }) => ({
        destination: `${text(destination.bytes)}/${destination.cidr}` as Prefix,
        metric,
        link: type === 'unreachable' ? null : (names.get(oif ?? 0) ?? ''),
      })),
    neighbours: neighbours
      .filter(({ index, permanent, address }) => permanent && names.get(index) === bridge && address !== undefined)
      .map(({ bytes, address }) => ({ link: bridge, address: text(bytes), mac: mac(address ?? Buffer.alloc(0)) })),
    parameters: new Map(
      parameterPaths.flatMap((path) => {
        const value = parameter(path);
        return value === null ? [] : [[path, value] as const];
      }),
    ),
  };
}

function observedLink({ name, kind, up, mtu, master, type }: Link, names: ReadonlyMap<number, string>): ObservedLink {
  const userspace = kind === 'tun' && existsSync(userspaceSocket(name));
  const none = 65534; // ARPHRD_NONE: a tun device says its kind only on newer kernels
  const isWireguard = userspace || (kind === undefined && type === none && existsSync(userspaceSocket(name)));
  return {
    name,
    kind: isWireguard ? 'wireguard' : (kind ?? null),
    up,
    mtu,
    master: master === undefined ? null : (names.get(master) ?? null),
  };
}

function text(bytes: Uint8Array): Address {
  return fromBytes(Uint8Array.from(bytes));
}

function mac(bytes: Buffer): string {
  return bytes.toString('hex').replace(/(..)(?=.)/g, '$1:');
}

function parameter(path: string): string | null {
  try {
    return readFileSync(`/proc/sys/${path}`, 'utf8').trim();
  } catch {
    return null;
  }
}

async function apply(socket: NetlinkSocket, operation: NetworkOperation): Promise<void> {
  switch (operation.kind) {
    case 'network.set-parameter':
      writeFileSync(`/proc/sys/${operation.path}`, operation.value);
      return;
    case 'network.create-link':
      return createLink(socket, operation.link.name, operation.link.kind);
    case 'network.delete-link':
      await socket.request(encodeDeleteLink(await indexOf(socket, operation.name)));
      return;
    case 'network.set-link': {
      const { name, up, mtu } = operation;
      await socket.request(encodeChangeLink(await indexOf(socket, name), { up, mtu }));
      return;
    }
    case 'network.set-master': {
      const master = operation.master === null ? 0 : await indexOf(socket, operation.master);
      await socket.request(encodeChangeLink(await indexOf(socket, operation.name), { master }));
      return;
    }
    case 'network.add-address':
      return addAddress(socket, operation.address);
    case 'network.delete-address':
      await socket.request(
        encodeDeleteAddress({ index: await indexOf(socket, operation.address.link), ...wire(operation.address) }),
      );
      return;
    case 'network.add-route':
      await socket.request(encodeAddRoute(await routeChange(socket, operation.route)));
      return;
    case 'network.delete-route':
      await socket.request(encodeDeleteRoute(await routeChange(socket, operation.route)));
      return;
    case 'network.set-neighbour': {
      const { neighbour } = operation;
      const address = Buffer.from(neighbour.mac.replaceAll(':', ''), 'hex');
      await socket.request(encodeReplaceNeighbour({ ...(await neighbourRef(socket, neighbour)), address }));
      return;
    }
    case 'network.delete-neighbour':
      await socket.request(encodeDeleteNeighbour(await neighbourRef(socket, operation.neighbour)));
  }
}

async function createLink(socket: NetlinkSocket, name: string, kind: 'bridge' | 'wireguard'): Promise<void> {
  try {
    await socket.request(encodeCreateLink(name, kind));
  } catch (error) {
    if (kind !== 'wireguard' || !(error instanceof NetlinkError && error.errno === notSupported)) throw error;
    await startUserspace(name);
  }
}

/** wireguard-go goes to the background by itself, in a session of its own: it outlives the router. */
function startUserspace(name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('wireguard-go', [name], {
      detached: true,
      stdio: 'ignore',
      env: { ...process.env, LOG_LEVEL: 'error' },
    });
    child.once('error', (cause) => {
      reject(new Error('This kernel has no WireGuard, and wireguard-go is not installed.', { cause }));
    });
    child.once('exit', (status) =>
      status === 0 ? resolve() : reject(new Error(`wireguard-go ended with ${status}.`)),
    );
  });
}

async function addAddress(socket: NetlinkSocket, address: LinkAddress): Promise<void> {
  await socket.request(encodeAddAddress({ index: await indexOf(socket, address.link), ...wire(address) }));
}

function wire({ address, length }: { address: Address; length: number }): IpPrefix {
  const bytes = toBytes(address);
  return { family: bytes.length === 4 ? 4 : 6, bytes, cidr: length };
}

async function routeChange(socket: NetlinkSocket, { destination, metric, link }: Route): Promise<RouteChange> {
  const to = wire({ address: networkAddress(destination), length: prefixLength(destination) });
  const common = { destination: to, metric, protocol: routeProtocol };
  return link === null ? { ...common, type: 'unreachable' } : { ...common, oif: await indexOf(socket, link) };
}

async function neighbourRef(socket: NetlinkSocket, { link, address }: Neighbour) {
  const { family, bytes } = wire({ address, length: 0 });
  return { index: await indexOf(socket, link), family, bytes };
}

async function indexOf(socket: NetlinkSocket, name: string): Promise<number> {
  const link = decodeLinks(await socket.request(encodeDumpLinks())).find((each) => each.name === name);
  if (link === undefined) throw new Error(`There is no network device ${name}.`);
  return link.index;
}
