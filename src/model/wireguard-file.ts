// Reads a WireGuard configuration file (wg-quick(8) syntax) as a hosted network hands it out: whole, or not at all, with the line named.
import { type Address, type Prefix, parseAddress, parseSource, prefixLength, shorten } from './address.ts';
import { endpointHost, parse } from './config.ts';
import { InvalidInput } from './errors.ts';
import { decodeKey, type PresharedKey, type PrivateKey, type PublicKey, parsePublicKey, Secret } from './key.ts';
import { type Label, parseLabel, parseSearchDomain } from './name.ts';
import { type Entry, readSections, type Section, title } from './wireguard-sections.ts';

/** More than any network that hands out one file lists; a kernel message of peers holds about as many. */
export const mostPeers = 1000;
/** Characters: a thousand peers with every field and a comment take a quarter of it. */
export const longestFile = 1024 * 1024;
const mostServers = 4;
const mostDomains = 16;

export interface FilePeer {
  readonly publicKey: PublicKey;
  readonly presharedKey: PresharedKey | null;
  readonly endpoint: { readonly host: string; readonly port: number };
  readonly allowedIps: readonly Prefix[];
  /** Seconds; 0: off. */
  readonly keepalive: number;
  /** Made of the comment above or inside it; null: there is none that makes a name. */
  readonly label: Label | null;
}

export interface WireguardFile {
  readonly privateKey: PrivateKey;
  readonly address: Address;
  readonly mtu: number | null;
  readonly dns: { readonly servers: readonly Address[]; readonly domains: readonly string[] };
  readonly peers: readonly FilePeer[];
  /** Field of an uplink (`peers.3.endpoint`) → where it is in the file (`12 Endpoint`). */
  readonly places: ReadonlyMap<string, string>;
}

/** @throws InvalidInput with a path such as `file:12 PostUp`. Never with a key in its message. */
export function parseWireguardFile(text: string): WireguardFile {
  if (text.length > longestFile) throw new InvalidInput('file', `A file has at most ${longestFile} characters.`);
  const plain = text.startsWith('\ufeff') ? text.slice(1) : text;
  if (plain.trim() === '') throw new InvalidInput('file', 'The file is empty.');
  const all = readSections(plain.split(/\r?\n/));
  const [face, second] = all.filter(({ kind }) => kind === 'interface');
  if (face === undefined) throw new InvalidInput('file', 'There is no [Interface] section.');
  if (second !== undefined) throw new InvalidInput(`file:${second.line}`, 'There is a second [Interface] section.');
  const peers = all.filter(({ kind }) => kind === 'peer');
  if (peers.length === 0) throw new InvalidInput('file', 'There is no [Peer] section: nothing could be reached.');
  const tooMany = peers[mostPeers];
  if (tooMany !== undefined) throw new InvalidInput(`file:${tooMany.line}`, `There are more than ${mostPeers} peers.`);
  const places = new Map<string, string>();
  const labels = distinctLabels(peers.map(({ comment }) => comment?.label ?? null));
  const file = {
    ...readInterface(face, places),
    peers: peers.map((peer, i) => readPeer(peer, i, labels[i] ?? null, places)),
  };
  const seen = new Set<PublicKey>();
  for (const [i, { publicKey }] of file.peers.entries()) {
    if (seen.has(publicKey)) {
      throw new InvalidInput(`file:${places.get(`peers.${i}.publicKey`)}`, 'This public key is used twice.');
    }
    seen.add(publicKey);
  }
  return { ...file, places };
}

/** Where a field of an uplink is in the file it came from: `file:12 Endpoint`, or `file` when no line is to blame. */
export function placeOf({ places }: Pick<WireguardFile, 'places'>, field: string): string {
  for (let at = field; at !== ''; at = at.includes('.') ? at.slice(0, at.lastIndexOf('.')) : '') {
    const place = places.get(at);
    if (place !== undefined) return `file:${place}`;
  }
  return 'file';
}

/** The first keeps its label, others of the same get a number. */
function distinctLabels(labels: readonly (Label | null)[]): readonly (Label | null)[] {
  const used = new Set<string>(labels.filter((one) => one !== null));
  const seen = new Set<string>();
  return labels.map((label) => {
    if (label === null || !seen.has(label)) {
      if (label !== null) seen.add(label);
      return label;
    }
    for (let n = 2; ; n++) {
      const next = `${label.slice(0, 58).replace(/-+$/, '')}-${n}`;
      if (used.has(next)) continue;
      used.add(next);
      return parseLabel(next);
    }
  });
}

/** Reads one value; an error of it names its line and field. */
function value<T>(name: string, line: number, read: () => T): T {
  try {
    return read();
  } catch (error) {
    // What is quoted may be a key in the wrong place.
    throw new InvalidInput(`file:${line} ${name}`, (error as Error).message.replace(/[A-Za-z0-9+/]{30,}=*/g, '…'));
  }
}

function required(section: Section, name: string): Entry {
  const entry = section.entries.get(name);
  if (entry === undefined) {
    throw new InvalidInput(`file:${section.line} ${name}`, `[${title(section)}] has no ${name}.`);
  }
  return entry;
}

/** The one value of a key that stands once. */
function single<T>(section: Section, name: string, read: (text: string) => T): T | null {
  const entry = section.entries.get(name);
  return entry === undefined ? null : value(name, entry.line, () => read(entry.values[0]!.text));
}

function readInterface(face: Section, places: Map<string, string>): Omit<WireguardFile, 'peers' | 'places'> {
  const key = required(face, 'PrivateKey');
  places.set('publicKey', `${key.line} PrivateKey`);
  const address = required(face, 'Address');
  places.set('address', `${address.line} Address`);
  const mtu = face.entries.get('MTU');
  if (mtu !== undefined) places.set('mtu', `${mtu.line} MTU`);
  const servers: Address[] = [];
  const domains: string[] = [];
  for (const { text, line } of face.entries.get('DNS')?.values ?? []) {
    value('DNS', line, () => {
      const isAddress = /^[\d.]+$|:/.test(text);
      if (isAddress) servers.push(ipv4(parseAddress(text)));
      else domains.push(parseSearchDomain(text.toLowerCase()));
      if (servers.length > mostServers) throw new InvalidInput('', `There are more than ${mostServers} DNS servers.`);
      if (domains.length > mostDomains) throw new InvalidInput('', `There are more than ${mostDomains} domains.`);
      places.set(isAddress ? `dns.servers.${servers.length - 1}` : `dns.domains.${domains.length - 1}`, `${line} DNS`);
    });
  }
  return {
    privateKey: value(
      'PrivateKey',
      key.line,
      () => new Secret('private key', decodeKey(key.values[0]!.text, 'private key')),
    ),
    address: ownAddress(address),
    mtu: single(face, 'MTU', readMtu),
    dns: { servers, domains },
  };
}

function ipv4<T extends string>(parsed: T): T {
  if (parsed.includes(':')) throw new InvalidInput('', `${parsed} is IPv6: the hub uses IPv4 alone on its inside.`);
  return parsed;
}

/** The network hands out one address, and the hub has one place for it. */
function ownAddress({ values }: Entry): Address {
  const [first, second] = values.map(({ text, line }) =>
    value('Address', line, () => {
      const slash = text.indexOf('/');
      const address = ipv4(parseAddress(slash < 0 ? text : text.slice(0, slash)));
      if (slash >= 0 && text.slice(slash) !== '/32') {
        throw new InvalidInput('', `${shorten(text)} is more than one address: write ${address}/32.`);
      }
      return { address, line };
    }),
  );
  if (second !== undefined) throw new InvalidInput(`file:${second.line} Address`, 'An uplink has exactly one address.');
  return first!.address;
}

function readMtu(text: string): number {
  const mtu = /^[1-9]\d{3}$/.test(text) ? Number(text) : 0;
  if (mtu < 1280 || mtu > 1500) throw new InvalidInput('', 'An MTU is a number from 1280 to 1500.');
  return mtu;
}

function readPeer(section: Section, index: number, label: Label | null, places: Map<string, string>): FilePeer {
  const place = (field: string, line: number, name: string) =>
    places.set(`peers.${index}${field}`, name === '' ? `${line}` : `${line} ${name}`);
  place('', section.line, '');
  const key = required(section, 'PublicKey');
  const endpoint = required(section, 'Endpoint');
  const allowed = required(section, 'AllowedIPs');
  place('.publicKey', key.line, 'PublicKey');
  place('.endpoint', endpoint.line, 'Endpoint');
  if (section.comment !== null) place('.label', section.comment.line, '');
  const allowedIps = allowed.values.map(({ text, line }, i) => {
    place(`.allowedIps.${i}`, line, 'AllowedIPs');
    return value('AllowedIPs', line, () => allowedPrefix(text));
  });
  return {
    publicKey: value('PublicKey', key.line, () => parsePublicKey(key.values[0]!.text)),
    presharedKey: single(
      section,
      'PresharedKey',
      (text) => new Secret('preshared key', decodeKey(text, 'preshared key')),
    ),
    endpoint: value('Endpoint', endpoint.line, () => parseEndpoint(endpoint.values[0]!.text)),
    allowedIps,
    keepalive: single(section, 'PersistentKeepalive', readKeepalive) ?? 0,
    label,
  };
}

function allowedPrefix(text: string): Prefix {
  const prefix = ipv4(parseSource(text));
  if (prefixLength(prefix) === 0) {
    throw new InvalidInput('', `${prefix} would send everything into the uplink: name the addresses of its servers.`);
  }
  if (prefixLength(prefix) < 8) throw new InvalidInput('', `${prefix} is too wide: at least /8.`);
  return prefix;
}

function readKeepalive(text: string): number {
  const seconds = text.toLowerCase() === 'off' ? 0 : /^(0|[1-9]\d{0,4})$/.test(text) ? Number(text) : 65_536;
  if (seconds > 65_535) throw new InvalidInput('', 'A keepalive is a number of seconds up to 65535, or “off”.');
  return seconds;
}

/** `host:port`; an IPv6 address stands in brackets. */
function parseEndpoint(text: string): FilePeer['endpoint'] {
  const match = /^(?:\[([^\]]*)\]|([^[\]:]+)):(\d{1,5})$/.exec(text);
  if (match === null) {
    const bare = text.split(':').length > 2 && !text.startsWith('[');
    throw new InvalidInput(
      '',
      bare ? 'An IPv6 address stands in brackets: [2001:db8::1]:51820.' : `“${shorten(text)}” is not HOST:PORT.`,
    );
  }
  const port = Number(match[3]);
  if (port < 1 || port > 65_535) throw new InvalidInput('', 'A port is a number from 1 to 65535.');
  const bracketed = match[1];
  const host = bracketed === undefined ? parse(endpointHost, match[2]!.toLowerCase()) : parseAddress(bracketed);
  if (bracketed !== undefined && !host.includes(':')) throw new InvalidInput('', 'Only IPv6 addresses have brackets.');
  return { host, port };
}
