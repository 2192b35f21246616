// Addresses of the host names among the endpoints of uplinks, for whoever compiles; a name without one is a condition.
import { type Address, isLiteral, overlapFinder } from '../model/address.ts';
import { destinations } from '../model/uplink.ts';
import { callProblem } from '../model/uplink-rules.ts';
import type { Conditions } from './conditions.ts';
import { EndpointHosts } from './drivers/endpoint-hosts.ts';
import { lookUp } from './drivers/lookup.ts';
import type { Store } from './store/store.ts';

/** @param changed Called when an address is new or another one. */
export function endpointFinder(
  store: Store,
  conditions: Conditions,
  changed: () => void,
): () => ReadonlyMap<string, Address> {
  const hosts = new EndpointHosts({
    lookUp,
    isAllowed: (address) => {
      const { config } = store.snapshot;
      return callProblem(config, address, overlapFinder(config.uplinks.flatMap(destinations))) === null;
    },
    changed,
    missing: (names) =>
      conditions.set(names.length > 0, {
        ...{ code: 'uplink-host', severity: 'warning', about: names.join(', ') },
        title: 'A server of an uplink has a host name whose address is not known.',
        remedy: 'It is looked up again; check the name, and that the Internet is there.',
      }),
  });
  return () => {
    const endpoints = store.snapshot.config.uplinks.flatMap(({ peers }) => peers.map(({ endpoint }) => endpoint.host));
    return hosts.found(endpoints.filter((host) => !isLiteral(host)));
  };
}
