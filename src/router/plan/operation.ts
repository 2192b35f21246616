// A change is a value: one union of everything the drivers can be told to do, and a line about each.
import type { DhcpOperation } from './dhcp.ts';
import type { FirewallOperation } from './firewall.ts';
import type { NetworkOperation } from './network.ts';
import type { WireguardOperation } from './wireguard.ts';
import type { ZoneOperation } from './zone.ts';

export type Operation = FirewallOperation | NetworkOperation | WireguardOperation | DhcpOperation | ZoneOperation;

/** One line for logs. Never a secret. */
export function describe(operation: Operation): string {
  switch (operation.kind) {
    case 'firewall.load':
      return `load the ruleset (${operation.why})`;
    case 'firewall.elements':
      return operation.changes.map(({ set, add, remove }) => `${set} +${add.length} -${remove.length}`).join(', ');
    case 'firewall.cut':
      return `forget flows of ${operation.flows.length} lost rights`;
    case 'network.set-parameter':
      return `set ${operation.path} to ${operation.value}`;
    case 'network.delete-link':
      return `delete link ${operation.name}`;
    case 'network.create-link':
      return `create ${operation.link.kind} ${operation.link.name}`;
    case 'network.set-link':
      return `set link ${operation.name}${operation.mtu === undefined ? '' : ` mtu ${operation.mtu}`}${operation.up ? ' up' : ''}`;
    case 'network.set-master':
      return operation.master === null ? `take ${operation.name} out` : `join ${operation.name} to ${operation.master}`;
    case 'network.add-address':
    case 'network.delete-address': {
      const { link, address, length } = operation.address;
      return `${operation.kind === 'network.add-address' ? 'add' : 'delete'} address ${address}/${length} on ${link}`;
    }
    case 'network.add-route':
    case 'network.delete-route': {
      const { destination, link } = operation.route;
      const verb = operation.kind === 'network.add-route' ? 'add' : 'delete';
      return link === null ? `${verb} unreachable route ${destination}` : `${verb} route ${destination} by ${link}`;
    }
    case 'network.set-neighbour':
    case 'network.delete-neighbour':
      return `${operation.kind === 'network.set-neighbour' ? 'pin' : 'release'} neighbour ${operation.neighbour.address}`;
    case 'wireguard.remove-peers':
      return `remove ${operation.peers.length} peers from ${operation.device}`;
    case 'wireguard.configure':
      return `configure ${operation.device} on port ${operation.listenPort}`;
    case 'wireguard.set-peers':
      return `set ${operation.peers.length} peers of ${operation.device}`;
    case 'dhcp.stop':
      return 'stop dnsmasq';
    case 'dhcp.write-hosts':
      return `write the DHCP hosts${operation.reload ? ' and have them read' : ''}`;
    case 'dhcp.start':
      return `start dnsmasq (${operation.fingerprint})`;
    case 'zone.write':
      return `write zone ${operation.zone.serial}`;
  }
}
