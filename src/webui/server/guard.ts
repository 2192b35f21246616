// Pure checks before anything is routed: which Host values are ours, and which API requests a foreign page could forge.
import type { IncomingHttpHeaders } from 'node:http';
import { isIPv6 } from 'node:net';
import type { Refusal } from './headers.ts';

/** A name or address people may type. `port` is null when it follows the port the connection came in on. */
export interface HostEntry {
  readonly name: string;
  readonly port: number | null;
}

const AUTHORITY = /^(\[[0-9a-f:.]{2,45}\]|[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?)(?::([1-9][0-9]{0,4}))?$/;

/** Splits `name[:port]` or `[address]:port`; null when it is anything else. */
export function parseHost(text: string): HostEntry | null {
  const match = AUTHORITY.exec(text.toLowerCase());
  if (match === null) return null;
  const name = match[1]!;
  if (name.startsWith('[') && !isIPv6(name.slice(1, -1))) return null;
  const port = match[2] === undefined ? null : Number(match[2]);
  return port !== null && port > 65_535 ? null : { name, port };
}

/** The Host value of an address, as browsers write it: IPv6 shortened and in brackets. */
export function hostOfAddress(address: string): HostEntry {
  return { name: isIPv6(address) ? new URL(`http://[${address}]`).hostname : address, port: null };
}

/**
 * The entry a Host header names exactly, or null: a page whose name was rebound to our address, or a missing, doubled or
 * malformed header. `localPort` is the port of the connection, `defaultPort` the one a browser leaves out.
 */
export function matchHost(
  entries: readonly HostEntry[],
  header: readonly string[] | undefined,
  localPort: number,
  defaultPort: number,
): HostEntry | null {
  if (header === undefined || header.length !== 1) return null;
  const asked = parseHost(header[0]!);
  if (asked === null) return null;
  const port = asked.port ?? defaultPort;
  return entries.find((entry) => entry.name === asked.name && (entry.port ?? localPort) === port) ?? null;
}

/** `https://name[:port]` as a browser writes an origin. */
export function originOf(entry: HostEntry, localPort: number): string {
  const port = entry.port ?? localPort;
  return `https://${entry.name}${port === 443 ? '' : `:${port}`}`;
}

const READS = new Set(['GET', 'HEAD']);
const WRITES = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);
export const API_METHODS = [...READS, ...WRITES].join(', ');

/**
 * Why a request to the API is refused, or null. A read must not come from another site (it would hold our streams
 * open). A write must be JSON, carry `X-APN: 1` (both force a preflight, which nobody answers) and prove by Origin or
 * Sec-Fetch-Site that our own page sent it; where both are there, both must agree. An API token proves it as well.
 */
export function refuseForged(method: string, headers: IncomingHttpHeaders, origin: string): Refusal | null {
  const site = headers['sec-fetch-site'];
  const isToken = credentialOf(headers).kind === 'token';
  if (READS.has(method)) {
    if (isToken || site === undefined || site === 'same-origin' || site === 'none') return null;
    return { status: 403, message: 'Another site may not read from this one.' };
  }
  if (!WRITES.has(method)) {
    return { status: 405, message: 'This method is not used here.', headers: { Allow: API_METHODS } };
  }
  if (!/^application\/json(?:\s*;\s*charset=utf-8)?$/i.test(headers['content-type'] ?? '')) {
    return { status: 415, message: 'A change must be sent as application/json.' };
  }
  if (isToken) return null;
  if (headers['x-apn'] !== '1') return { status: 403, message: 'A change must carry the header X-APN: 1.' };
  const sameSite = site === undefined || site === 'same-origin';
  const sameOrigin = headers.origin === undefined || headers.origin === origin;
  if (!sameSite || !sameOrigin || (site === undefined && headers.origin === undefined)) {
    return { status: 403, message: 'A change must come from a page of this host.' };
  }
  return null;
}

/** Who a request is from, as far as it says: an API token of its own, a session in the browser's cookie, or nobody. */
export interface Credential {
  readonly kind: 'token' | 'cookie' | 'none';
  /** Of `Authorization`, upstream. */
  readonly authorization: string | null;
}

/** The browser takes `__Host-` cookies from this host over HTTPS alone, and scripts never see an HttpOnly one. */
export const COOKIE = '__Host-apn';

/**
 * A page of another site cannot send `Authorization` (it needs a preflight, which nobody answers), so a request that has
 * it and no cookie of ours is not forged. A cookie that is there twice counts as none.
 */
export function credentialOf(headers: IncomingHttpHeaders): Credential {
  const cookies = (headers.cookie ?? '').split(';').flatMap((part) => {
    const [name, value] = part.trim().split(/=(.*)/s);
    return name === COOKIE && value !== undefined ? [value] : [];
  });
  const bearer = /^Bearer [\w-]{1,200}$/.test(headers.authorization ?? '');
  if (bearer) return { kind: cookies.length === 0 ? 'token' : 'cookie', authorization: headers.authorization ?? null };
  const [text = ''] = cookies;
  if (cookies.length !== 1 || !/^[\w-]{1,200}$/.test(text)) return { kind: 'none', authorization: null };
  return { kind: 'cookie', authorization: `Bearer ${text}` };
}

/** What the router says of the session, as a cookie; null when it says nothing that can be understood. */
export function cookieOf(header: string | undefined): string | null {
  const match = /^([\w-]{0,200}); max-age=(\d{1,9})$/.exec(header ?? '');
  if (match === null) return null;
  return `${COOKIE}=${match[1]}; Path=/; Max-Age=${match[2]}; Secure; HttpOnly; SameSite=Strict`;
}

const API_TARGET = /^\/api((?:\/(?:[\w.~:@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)+)(\?[\w.~:@!$&'()*+,;=%/?-]*)?$/;

/** Programs look for these at the top. */
const AT_THE_TOP = new Set(['/metrics', '/openapi.json']);

/** Whether a target is the router's to answer, once `apiTarget` has understood it. */
export function isApi(url: string): boolean {
  return AT_THE_TOP.has(url) || /^\/api(?:[/?]|$)/.test(url);
}

/** `/api/servers?x=1` → `/servers?x=1`; null when the target is anything a router could read in two ways. */
export function apiTarget(url: string): string | null {
  if (AT_THE_TOP.has(url)) return url;
  const match = API_TARGET.exec(url);
  if (match === null) return null;
  for (const segment of match[1]!.slice(1).split('/')) {
    if (/^(?:\.|%2e){1,2}$/i.test(segment)) return null;
  }
  return match[1]! + (match[2] ?? '');
}
