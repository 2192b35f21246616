// Lays the lab's cables: bridges, veth pairs, addresses, default routes, and the carrier's NAT.
import { BRIDGES, type Cable, type Host, wanPort } from './hosts.ts';
import { namespaceOf } from './process.ts';
import { must } from './run.ts';

/** Many subscribers behind one address, as a mobile carrier does it: nothing new comes in. */
const CARRIER_NAT = `
table inet carrier {
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "br0" oifname "wan0" accept
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "wan0" masquerade
  }
}
`;

/** `ip -batch` lines for one host; the hub's LAN ports stay bare: the bridge over them is the router's. */
function addresses({ name, wan }: Host, cables: readonly Cable[]): string[] {
  const lines: string[] = [];
  const bridge = BRIDGES.find((entry) => entry.host === name);
  const ports = cables.flatMap((cable) => [cable.from, cable.to]).filter(([host]) => host === name);
  if (bridge) {
    lines.push('link add br0 type bridge mcast_snooping 0');
    for (const [, port] of ports) if (port !== wanPort(name)) lines.push(`link set dev ${port} master br0`);
    if (bridge.address) lines.push(`addr add ${bridge.address} dev br0`);
    if (bridge.ipv6) lines.push(`addr add ${bridge.ipv6} dev br0 nodad`);
    lines.push('link set br0 up');
  }
  for (const [, port] of ports) lines.push(`link set dev ${port} up`);
  if (wan) {
    const port = wanPort(name);
    lines.push(`addr add ${wan.address} dev ${port}`, `route add default via ${wan.gateway} dev ${port}`);
    if (wan.ipv6) {
      lines.push(`addr add ${wan.ipv6} dev ${port} nodad`, `route add default via 2001:db8:113::254 dev ${port}`);
    }
  }
  return lines;
}

export async function layCables(lab: string, hosts: readonly Host[], cables: readonly Cable[]): Promise<void> {
  const links = cables.map(({ from, to, mac }) => {
    const near = `${from[1]} netns ${namespaceOf(lab, from[0])}`;
    const far = `${to[1]} netns ${namespaceOf(lab, to[0])}`;
    return `link add ${near} ${mac ? `address ${mac} ` : ''}type veth peer name ${far}\n`;
  });
  await must(['ip', '-batch', '-'], { input: links.join('') });
  await Promise.all(
    hosts.map((host) => {
      const lines = addresses(host, cables).map((line) => `${line}\n`);
      return must(['ip', '-n', namespaceOf(lab, host.name), '-batch', '-'], { input: lines.join('') });
    }),
  );
  await must(['nsenter', `--net=/run/netns/${namespaceOf(lab, 'carrier')}`, 'nft', '-f', '-'], { input: CARRIER_NAT });
}

/** Takes the names away; the kernel removes devices and routes with the last process. */
export async function removeNamespaces(lab: string, names: readonly string[]): Promise<void> {
  const batch = names.map((host) => `netns del ${namespaceOf(lab, host)}\n`).join('');
  if (batch !== '') await must(['ip', '-batch', '-'], { input: batch });
}
