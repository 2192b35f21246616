// /openapi.json: describes every route there is, and holds together.
import { beforeEach, describe, expect, it } from 'vitest';
import { makeControl } from '../support/control.ts';

interface Operation {
  readonly summary: string;
  readonly operationId: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: {
    readonly content: Readonly<Record<string, { readonly schema: Readonly<Record<string, unknown>> }>>;
  };
  readonly responses: Readonly<Record<string, unknown>>;
}

interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

let document: Document;
let routes: readonly string[];

beforeEach(async () => {
  const control = makeControl();
  document = (await control.as({ kind: 'anonymous' }, 'GET', '/openapi.json')).body;
  routes = control
    .app()
    .routes.filter(({ method }) => method !== 'ALL')
    .map(({ method, path }) => `${method} ${path}`);
});

function operations(): (Operation & { path: string; method: string })[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ ...operation, path, method: method.toUpperCase() })),
  );
}

describe('the description', () => {
  it('holds every route once', () => {
    expect(document.openapi).toBe('3.1.0');
    const described = operations().map(({ method, path }) => `${method} ${path}`);
    const templates = routes.map((route) => route.replace(/:(\w+)(\{[^}]*\})?/g, '{$1}'));
    expect(new Set(described)).toEqual(new Set(templates));
    expect(new Set(described).size).toBe(described.length);
    const ids = operations().map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('has a sentence for each, and every part of the path', () => {
    for (const { path, summary, parameters = [] } of operations()) {
      expect(summary).toMatch(/^[A-Z/].*[.?]$/);
      const inPath = parameters.filter((one) => one.in === 'path').map(({ name }) => name);
      expect(inPath).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name));
    }
  });

  it('says what a change takes: fields, not anything', () => {
    const bodies = operations().filter(({ requestBody }) => requestBody !== undefined);
    expect(bodies.length).toBeGreaterThan(10);
    for (const { path, requestBody } of bodies) {
      const schema = requestBody?.content['application/json']?.schema ?? {};
      const shapes = (schema['oneOf'] ?? schema['anyOf'] ?? [schema]) as {
        properties?: object;
        additionalProperties?: unknown;
      }[];
      for (const shape of shapes) {
        expect([path, Object.keys(shape.properties ?? {}).length > 0, shape.additionalProperties]).toEqual([
          path,
          true,
          false,
        ]);
      }
    }
  });

  it('says what every route answers', () => {
    const without = operations().filter(({ responses }) => !('content' in (responses['2XX'] as object)));
    expect(without.map(({ method, path }) => `${method} ${path}`)).toEqual([]);
  });

  it('names nothing that is not in it', () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path]) => path ?? '');
    for (const path of new Set(references)) {
      const found = path.split('/').reduce<unknown>((at, part) => (at as Record<string, unknown>)?.[part], document);
      expect([path, found !== undefined]).toEqual([path, true]);
    }
  });
});
