// Reading the zone file: every field is checked, unknown fields are refused, and an error names the field.
import { type Address, parseAddress, parsePrefix, prefixLength, shorten } from '../model/address.ts';
import { InvalidInput } from '../model/errors.ts';
import { reservedLabels } from '../model/name.ts';
import type { Zone, ZoneClient, ZoneExtra, ZoneHost, ZoneRelay } from '../model/zone.ts';

/**
 * @throws InvalidInput naming the field. Written by hand, not with the schema library: that would cost this program
 * about 9 MB of memory for one type.
 */
export function parseZone(text: string): Zone {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InvalidInput('', 'The zone file is not JSON.');
  }
  const known = new Set<string>();
  const prefix = (of: unknown, path: string): string => {
    // A thousand clients name the same few prefixes: check each text once, and keep one copy of it.
    if (typeof of === 'string' && known.has(of)) return of;
    const parsed = at(path, () => parsePrefix(string(of, path)));
    if (parsed !== of) throw new InvalidInput(path, `${shorten(String(of))} is not canonical: ${parsed}.`);
    known.add(parsed);
    return parsed;
  };
  const zone = record(value, '', [
    ...['version', 'serial', 'domain', 'listen', 'relay', 'reverse', 'hosts', 'extra', 'clients'],
    // A router of before it was there writes none.
    ...(hasRelays(value) ? ['relays'] : []),
  ]);
  if (zone.version !== 1) throw new InvalidInput('version', 'Only version 1 is understood.');
  const relay = zone.relay === null ? null : record(zone.relay, 'relay', ['address', 'port']);
  const result: Zone = {
    version: 1,
    serial: integer(zone.serial, 'serial', 0, 2 ** 32 - 1),
    domain: name(zone.domain, 'domain', 'label'),
    listen: list(zone.listen, 'listen', address),
    relay:
      relay === null
        ? null
        : { address: address(relay.address, 'relay.address'), port: integer(relay.port, 'relay.port', 1, 65535) },
    reverse: list(zone.reverse, 'reverse', (of, path) => {
      const found = prefix(of, path);
      // Wider ones would take over the reverse names of the Internet.
      const least = found.includes(':') ? 16 : 8;
      if (prefixLength(found as never) < least) throw new InvalidInput(path, `${found} is too wide.`);
      return found;
    }),
    ...(hasRelays(zone) ? { relays: list(zone.relays, 'relays', foreign) } : {}),
    hosts: list(zone.hosts, 'hosts', host),
    extra: list(zone.extra, 'extra', extra),
    clients: list(zone.clients, 'clients', (of, path) => client(of, path, prefix)),
  };
  if (result.domain.length > 50) throw new InvalidInput('domain', 'Too long.');
  if (reservedLabels.includes(result.domain)) throw new InvalidInput('domain', `${result.domain} is reserved.`);
  const kinds = new Map<string, ZoneExtra['type']>();
  for (const [index, { name: text, type }] of result.extra.entries()) {
    // RFC 1034 §3.6.2: where a CNAME is, nothing else is.
    if (kinds.has(text) && (type === 'CNAME' || kinds.get(text) === 'CNAME')) {
      throw new InvalidInput(`extra[${index}].name`, `${text} is given twice.`);
    }
    kinds.set(text, type);
  }
  const domains = new Set<string>();
  for (const [index, { domain }] of (result.relays ?? []).entries()) {
    if (domains.has(domain)) throw new InvalidInput(`relays[${index}].domain`, `${domain} is given twice.`);
    domains.add(domain);
    if (domain === result.domain || domain.endsWith(`.${result.domain}`)) {
      throw new InvalidInput(`relays[${index}].domain`, `${domain} is ours.`);
    }
  }
  const sources = new Set<string>();
  for (const [index, { source }] of result.clients.entries()) {
    if (sources.has(source)) throw new InvalidInput(`clients[${index}].source`, `${source} is given twice.`);
    sources.add(source);
  }
  return result;
}

function hasRelays(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'relays');
}

function foreign(value: unknown, path: string): ZoneRelay {
  const fields = record(value, path, ['domain', 'servers']);
  const servers = list(fields.servers, `${path}.servers`, address4);
  if (servers.length < 1 || servers.length > 4) throw new InvalidInput(`${path}.servers`, 'Must be one to four.');
  return { domain: name(fields.domain, `${path}.domain`), servers };
}

function host(value: unknown, path: string): ZoneHost {
  const fields = record(value, path, ['name', 'address', 'application', 'lan']);
  return {
    name: name(fields.name, `${path}.name`),
    address: address4(fields.address, `${path}.address`),
    application: fields.application === null ? null : name(fields.application, `${path}.application`, 'label'),
    lan: fields.lan === null ? null : address4(fields.lan, `${path}.lan`),
  };
}

function extra(value: unknown, path: string): ZoneExtra {
  const type = typeof value === 'object' && value !== null && 'type' in value ? value.type : undefined;
  if (type !== 'A' && type !== 'CNAME') throw new InvalidInput(`${path}.type`, 'Only A and CNAME are known.');
  const fields = record(value, path, ['name', 'type', type === 'A' ? 'address' : 'target']);
  const text = string(fields.name, `${path}.name`);
  ownerName(text, `${path}.name`);
  if (reservedLabels.includes(text)) throw new InvalidInput(`${path}.name`, `${text} is reserved.`);
  return type === 'A'
    ? { name: text, type, address: address4(fields.address, `${path}.address`) }
    : { name: text, type, target: ownerName(fields.target, `${path}.target`) };
}

/** A name, or `*.` and a name. */
function ownerName(value: unknown, path: string): string {
  const text = string(value, path);
  name(text.startsWith('*.') ? text.slice(2) : text, path);
  return text;
}

function client(value: unknown, path: string, prefix: (of: unknown, path: string) => string): ZoneClient {
  const fields = record(value, path, ['source', 'side', 'application', 'hub', 'reach', 'reachedBy']);
  const { side } = fields;
  if (side !== 'lan' && side !== 'tunnel') throw new InvalidInput(`${path}.side`, 'Must be lan or tunnel.');
  return {
    source: prefix(fields.source, `${path}.source`),
    side,
    application: fields.application === null ? null : name(fields.application, `${path}.application`, 'label'),
    hub: address(fields.hub, `${path}.hub`),
    reach: list(fields.reach, `${path}.reach`, prefix),
    reachedBy: list(fields.reachedBy, `${path}.reachedBy`, prefix),
  };
}

function record(value: unknown, path: string, keys: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidInput(path, 'Must be an object.');
  }
  const below = path === '' ? '' : `${path}.`;
  for (const key of Object.keys(value)) {
    if (!keys.includes(key)) throw new InvalidInput(`${below}${shorten(key)}`, 'Unknown field.');
  }
  for (const key of keys) if (!Object.hasOwn(value, key)) throw new InvalidInput(`${below}${key}`, 'Missing.');
  return value as Record<string, unknown>;
}

function list<T>(value: unknown, path: string, item: (value: unknown, path: string) => T): readonly T[] {
  if (!Array.isArray(value)) throw new InvalidInput(path, 'Must be a list.');
  return value.map((entry, index) => item(entry, `${path}[${index}]`));
}

function string(value: unknown, path: string): string {
  if (typeof value !== 'string') throw new InvalidInput(path, 'Must be text.');
  return value;
}

function integer(value: unknown, path: string, least: number, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw new InvalidInput(path, `Must be a whole number from ${least} to ${most}.`);
  }
  return value;
}

function address(value: unknown, path: string): Address {
  const text = string(value, path);
  const parsed = at(path, () => parseAddress(text));
  if (parsed !== text) throw new InvalidInput(path, `${shorten(text)} is not canonical: ${parsed}.`);
  return parsed;
}

function address4(value: unknown, path: string): Address {
  const found = address(value, path);
  if (found.includes(':')) throw new InvalidInput(path, `${found} is not an IPv4 address.`);
  return found;
}

/** Labels of letters, digits and inner hyphens (RFC 1123 §2.1). With the domain, of at most 50, it fits 255 bytes. */
function name(value: unknown, path: string, most: 'label' | 'name' = 'name'): string {
  const text = string(value, path);
  const parts = text.split('.');
  const fits = most === 'label' ? parts.length === 1 : text.length <= 200;
  if (!fits || !parts.every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label))) {
    throw new InvalidInput(path, `“${shorten(text)}” is not a name.`);
  }
  return text;
}

function at<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw error instanceof InvalidInput ? error.under(path) : error;
  }
}
