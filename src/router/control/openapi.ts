// /openapi.json: the control API described from what its routes declare (OpenAPI 3.1).
import { z } from 'zod';
import type { Permission } from '../../model/roles.ts';
import type { Declaration } from './http.ts';

type Route = Declaration & { readonly method: string; readonly path: string };
type Json = Readonly<Record<string, unknown>>;

const needed: Readonly<Record<Permission, string>> = {
  summary: 'Needs no sign-in.',
  open: 'Needs no sign-in, but a secret of its own.',
  console: 'For root on the box alone.',
  see: 'For every member.',
  metrics: 'For every member.',
  account: 'For every member, about the own account, signed in by a session.',
  lease: 'For developers about themselves, and for admins.',
  device: 'For developers about their own, and for admins.',
  server: 'For admins of the application.',
  rule: 'For admins of the application.',
  member: 'For admins; nobody gives more than he has.',
  name: 'For admins.',
  configure: 'For owners.',
  own: 'For owners, signed in by a session.',
};

const problem: Json = {
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['path', 'message'],
      properties: {
        path: { type: 'string', description: 'The field that is wrong; empty: none in particular.' },
        message: { type: 'string', description: 'For people: what is wrong and what to do.' },
      },
    },
  },
};

const refusals: readonly (readonly [status: string, description: string])[] = [
  ['400', 'Something that was sent is wrong; nothing was changed.'],
  ['401', 'Nobody is signed in.'],
  ['403', 'Not allowed; with the path `password`: give it again first.'],
  ['404', 'There is no such thing.'],
  ['409', 'It contradicts what is there.'],
  ['429', 'Too many attempts; `Retry-After` says when.'],
  ['503', 'Nothing can be saved.'],
];

const saving: readonly Json[] = [
  {
    ...{ name: 'If-Match', in: 'header', schema: { type: 'string' } },
    description: 'Refuse the change unless the configuration is at this revision.',
  },
  {
    ...{ name: 'Prefer', in: 'header', schema: { type: 'string' } },
    description:
      '`wait=N`: answer when the machine agrees, after N seconds at the latest; `X-Applied` says whether it does.',
  },
];

export function describeApi(routes: readonly Route[]): Json {
  const paths = Map.groupBy(routes, ({ path }) => template(path));
  return {
    openapi: '3.1.0',
    info: {
      title: 'APN Router control API',
      version: '1',
      description: 'Through the gateway every path begins with /api. A change needs the header `X-APN: 1`.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/api' }],
    paths: Object.fromEntries(
      [...paths].map(([path, some]) => [
        path,
        Object.fromEntries(some.map((route) => [route.method.toLowerCase(), operation(route)])),
      ]),
    ),
    components: {
      schemas: { Problem: problem },
      securitySchemes: {
        session: { type: 'apiKey', in: 'cookie', name: '__Host-apn' },
        token: { type: 'http', scheme: 'bearer' },
      },
    },
  };
}

/** `/leases/:lease{.+}` is `/leases/{lease}` there. */
function template(path: string): string {
  return path.replace(/:(\w+)(\{[^}]*\})?/g, '{$1}');
}

function operation({ method, path, permission, title, fresh, body, answer, media, query }: Route): Json {
  const own = [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    ...{ name, in: 'path', required: true, schema: { type: 'string' } },
    description: 'Id, or a name that only one has.',
  }));
  const asked = Object.entries(query ?? {}).map(([name, description]) => ({
    ...{ name, in: 'query', schema: { type: 'string' }, description },
  }));
  const changes = method !== 'GET' && permission !== 'open';
  const shape = answer === undefined ? {} : content(schemaOf(answer, 'output'));
  const done = { description: 'Done.', ...(media === undefined ? shape : content({ type: 'string' }, media)) };
  return {
    summary: title,
    description: `${needed[permission]}${fresh === true ? ' The password must have been given a moment ago.' : ''}`,
    operationId: `${method.toLowerCase()}${path.replace(/\{[^}]*\}/g, '').replace(/\W+(\w?)/g, (_, next: string) => next.toUpperCase())}`,
    tags: [path.split('/')[1]],
    'x-permission': permission,
    security: permission === 'summary' || permission === 'open' ? [] : [{ session: [] }, { token: [] }],
    ...(own.length + asked.length === 0 && !changes
      ? {}
      : { parameters: [...own, ...asked, ...(changes ? saving : [])] }),
    ...(body === undefined ? {} : { requestBody: { required: true, ...content(schemaOf(body, 'input')) } }),
    responses: {
      '2XX': done,
      ...Object.fromEntries(
        refusals.map(([status, description]) => [
          status,
          { description, ...content({ $ref: '#/components/schemas/Problem' }) },
        ]),
      ),
    },
  };
}

function content(schema: Json, media = 'application/json'): Json {
  return { content: { [media]: { schema } } };
}

/** Values that our own parsers make are text on the wire. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return rest;
}
