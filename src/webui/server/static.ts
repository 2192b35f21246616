// The files of the app, read once at start and answered from memory: a path that is not in the table does not exist.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join } from 'node:path';
import { isRead, refuse, SECURITY_HEADERS } from './headers.ts';

type Encoding = 'br' | 'gzip' | 'identity';

interface Variant {
  readonly bytes: Buffer;
  readonly etag: string;
}

export interface StaticFile {
  readonly type: string;
  readonly immutable: boolean;
  readonly variants: Readonly<Partial<Record<Encoding, Variant>>> & { readonly identity: Variant };
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};
const SUFFIX: Readonly<Record<string, Encoding>> = { '.br': 'br', '.gz': 'gzip' };
// `assets/main-5KZ3QX7A.js`: the build puts a content hash in these names, so they never change.
const HASHED = /^\/assets\/[\w.-]+-[A-Z0-9]{8}\.\w+$/;

/** Reads the built app; `index.html` becomes `/`. Compressed forms lie beside each file as `.br` and `.gz`. */
export function loadStatic(folder: string): ReadonlyMap<string, StaticFile> {
  const files = new Map<string, StaticFile>();
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  for (const name of names) {
    const type = TYPES[extname(name)];
    if (type === undefined) continue;
    const path = name.slice(folder.length).replace(/^\/*/, '/');
    const variants: Partial<Record<Encoding, Variant>> & { identity: Variant } = { identity: readVariant(name) };
    for (const [suffix, encoding] of Object.entries(SUFFIX)) {
      if (names.includes(name + suffix)) variants[encoding] = readVariant(name + suffix);
    }
    files.set(path === '/index.html' ? '/' : path, { type, immutable: HASHED.test(path), variants });
  }
  return files;
}

function readVariant(name: string): Variant {
  const bytes = readFileSync(name);
  return { bytes, etag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"` };
}

/** The smallest form both sides have (RFC 9110 §12.5.3); identity when the header says nothing we can serve. */
export function pickEncoding(
  header: string | undefined,
  available: Readonly<Partial<Record<Encoding, unknown>>>,
): Encoding {
  const weights = new Map<string, number>();
  for (const part of (header ?? '').toLowerCase().split(',')) {
    const [name, ...parameters] = part.split(';').map((text) => text.trim());
    const q = parameters.find((text) => text.startsWith('q='));
    if (name) weights.set(name, q === undefined ? 1 : Number(q.slice(2)) || 0);
  }
  for (const encoding of ['br', 'gzip'] as const) {
    const weight = weights.get(encoding) ?? weights.get('*') ?? 0;
    if (weight > 0 && available[encoding] !== undefined) return encoding;
  }
  return 'identity';
}

/** True when If-None-Match names this tag (weak comparison, RFC 9110 §13.1.2). */
export function tagMatches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  return header.split(',').some((part) => part.trim() === '*' || part.trim().replace(/^W\//, '') === etag);
}

export function serveStatic(
  files: ReadonlyMap<string, StaticFile>,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const path = request.url!.split('?', 1)[0]!;
  const file = files.get(path);
  if (file === undefined) {
    refuse(request, response, { status: 404, message: 'There is no such page.' });
    return;
  }
  if (!isRead(request)) {
    refuse(request, response, { status: 405, message: 'This page can only be read.', headers: { Allow: 'GET, HEAD' } });
    return;
  }
  const encoding = pickEncoding(request.headers['accept-encoding'], file.variants);
  const variant = file.variants[encoding] ?? file.variants.identity;
  const headers: Record<string, string | number> = {
    ...SECURITY_HEADERS,
    'Cache-Control': file.immutable ? 'public, max-age=31536000, immutable' : 'no-cache',
    ETag: variant.etag,
    Vary: 'Accept-Encoding',
  };
  if (tagMatches(request.headers['if-none-match'], variant.etag)) {
    response.writeHead(304, headers).end();
    return;
  }
  headers['Content-Type'] = file.type;
  headers['Content-Length'] = variant.bytes.length;
  if (encoding !== 'identity') headers['Content-Encoding'] = encoding;
  response.writeHead(200, headers);
  response.end(request.method === 'HEAD' ? undefined : variant.bytes);
}
