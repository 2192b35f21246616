// The shape of the source tree: who imports whom, what every file starts with, and where dangerous things may be.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');

interface Source {
  readonly path: string;
  readonly text: string;
  /** What it imports: paths below the root, or package names. */
  readonly imports: readonly { readonly target: string; readonly typesOnly: boolean }[];
}

function read(folder: string): readonly Source[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.tsx?$/.test(name))
    .map((name) => {
      const path = join(folder, name);
      const text = readFileSync(join(root, path), 'utf8');
      return { path, text, imports: importsOf(path, text) };
    });
}

function importsOf(path: string, text: string): Source['imports'] {
  const from =
    /^(?:import|export)\s+(type\s)?[^;'"]*?from\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]|^import\s+['"]([^'"]+)['"]/gm;
  return [...text.matchAll(from)].map((match) => {
    const written = match[2] ?? match[3] ?? match[4] ?? '';
    const target = written.startsWith('.') ? normalize(join(dirname(path), written)) : written;
    return { target, typesOnly: match[1] !== undefined };
  });
}

const sources = read('src');
const everything = [...sources, ...['test', 'bench', 'scripts'].flatMap(read)];

/** The part of the program a file belongs to: a folder below `src`, or below `src/router` and `src/webui`. */
function partOf(path: string): string {
  const [, first = '', second = '', third] = path.split('/');
  if (first !== 'router' && first !== 'webui') return first;
  return third === undefined ? `${first}/${basename(second, '.ts')}` : `${first}/${second}`;
}

/** STYLE.md's arrows: what each part may import of the others, packages and `node:` modules that decide its nature. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  model: [],
  'router/plan': ['model'],
  'router/netlink': [],
  'router/drivers': ['model', 'router/plan', 'router/netlink', 'router/files'],
  'router/store': ['model', 'router/files'],
  'router/control': ['model', 'router/store', 'router/conditions'],
  'router/cli': ['model'],
  'router/files': [],
  'router/clock': ['model'],
  'router/conditions': [],
  'router/first-start': ['model', 'router/store', 'router/plan', 'router/control', 'router/conditions'],
  'router/knock': ['model', 'router/plan', 'router/netlink', 'router/store', 'router/conditions'],
  'router/confirm': ['model', 'router/store', 'router/conditions'],
  'router/last-seen': ['model', 'router/plan', 'router/files'],
  'router/leases': ['model', 'router/store', 'router/conditions'],
  'router/activity': ['model', 'router/store', 'router/conditions', 'router/netlink', 'router/plan'],
  'router/endpoint-finder': ['model', 'router/store', 'router/conditions', 'router/drivers'],
  'router/open-store': ['model', 'router/control', 'router/store', 'router/conditions', 'router/shut'],
  'router/reconcile': ['router/plan', 'router/drivers', 'router/conditions'],
  'router/shut': ['model', 'router/plan', 'router/drivers', 'router/clock', 'router/conditions'],
  dns: ['model'],
  'webui/app': ['model'],
  'webui/server': [],
};

describe('imports', () => {
  it('are seen by this test', () => {
    const main = sources.find(({ path }) => path === 'src/router/main.ts');
    expect(main?.imports).toContainEqual({ target: 'src/router/clock.ts', typesOnly: false });
    const builders = everything.find(({ path }) => path === 'test/support/builders.ts');
    expect(builders?.imports.some(({ target, typesOnly }) => target === 'src/model/lease.ts' && typesOnly)).toBe(true);
  });

  it('go in the directions of STYLE.md', () => {
    const wrong = sources.flatMap(({ path, imports }) => {
      const part = partOf(path);
      if (part === 'router/main') return [];
      return imports
        .filter(({ target }) => target.startsWith('src/'))
        .filter(({ target, typesOnly }) => {
          const other = partOf(target);
          // Clients of the control API may share its types.
          const apiTypes = typesOnly && other === 'router/control' && ['webui/app', 'router/cli'].includes(part);
          return other !== part && !apiTypes && !(allowed[part] ?? []).includes(other);
        })
        .map(({ target }) => `${path} imports ${target}`);
    });
    expect(wrong).toEqual([]);
  });

  it('know every part there is', () => {
    const parts = new Set(sources.map(({ path }) => partOf(path)));
    expect([...parts].filter((part) => part !== 'router/main' && allowed[part] === undefined)).toEqual([]);
  });

  it('of the model are the schema library and IP arithmetic alone; of the planner nothing', () => {
    const packages = (part: string) =>
      sources
        .filter(({ path }) => partOf(path) === part)
        .flatMap(({ imports }) => imports.map(({ target }) => target))
        .filter((target) => !target.startsWith('src/'));
    expect(packages('model').filter((name) => !['zod', 'ipaddr.js'].includes(name))).toEqual([]);
    expect(packages('router/plan')).toEqual([]);
  });

  it('are not of tests, and tests’ fakes are not of the program', () => {
    const wrong = sources.filter(({ imports }) => imports.some(({ target }) => /^(test|bench|scripts)\//.test(target)));
    expect(wrong.map(({ path }) => path)).toEqual([]);
    const users = sources.filter(
      ({ path, imports }) => !/drivers\/fake/.test(path) && imports.some(({ target }) => /drivers\/fake/.test(target)),
    );
    expect(users.map(({ path }) => path)).toEqual([]);
  });
});

describe('dangerous things are in few places', () => {
  const holding = (what: RegExp) => sources.filter(({ text }) => what.test(text)).map(({ path }) => path);

  it('programs are started by two drivers', () => {
    // `network` starts wireguard-go, which outlives the router; everything else goes through `run`.
    expect(holding(/child_process/).toSorted()).toEqual(['src/router/drivers/network.ts', 'src/router/drivers/run.ts']);
    expect(holding(/(?<![.\w])(exec|execSync|execFileSync)\(|shell:\s*true/)).toEqual([]);
  });

  it('the planner and the model have no clock, no chance, no promises and no input or output', () => {
    const pure = sources.filter(({ path }) => ['model', 'router/plan'].includes(partOf(path)));
    const impure =
      /\b(Date\.now|new Date\(\)|performance\.now|Math\.random|randomBytes|async |await |setTimeout|console\.|process\.)/;
    expect(pure.filter(({ text }) => impure.test(text)).map(({ path }) => path)).toEqual([]);
  });

  it('secrets are revealed to the kernel and the sealed store alone', () => {
    expect(holding(/\.reveal\(\)/).toSorted()).toEqual([
      'src/model/key.ts',
      'src/router/drivers/userspace.ts',
      'src/router/drivers/wireguard.ts',
      // Opens handshakes with the hub's private key.
      'src/router/knock/handshake.ts',
      'src/router/open-store.ts',
      'src/router/store/secrets.ts',
      'src/router/store/store.ts',
      'src/router/store/tickets.ts',
    ]);
  });

  it('secrets are never written as JSON or into a log line', () => {
    const lines = sources.flatMap(({ path, text }) => text.split('\n').map((line) => ({ path, line })));
    const leaking = lines.filter(
      ({ line }) => /reveal\(\)/.test(line) && /JSON|\blog\(|console|describe\(|\.json\(/.test(line),
    );
    expect(leaking).toEqual([]);
  });

  it('no page sets HTML from text', () => {
    expect(holding(/dangerouslySetInnerHTML|\.innerHTML\b|\beval\(|new Function\(/)).toEqual([]);
  });
});

describe('files', () => {
  it('start with a sentence that says what they are', () => {
    // It may go on over a second line; a program's interpreter line comes before it.
    const sentence = /^(#!.*\n)?\/\/ \S.*(\n\/\/ .*)*[.:!?](\n| .*\n)/;
    const without = everything.filter(({ text }) => !sentence.test(text));
    expect(without.map(({ path }) => path)).toEqual([]);
  });

  it('are named after what they hold', () => {
    const vague = everything.filter(({ path }) =>
      /(^|\/)(utils?|lib|helpers?|common|misc|index)(\/|\.tsx?$)/.test(path),
    );
    expect(vague.map(({ path }) => path)).toEqual([]);
  });

  it('are no barrels and have no default exports and no enums', () => {
    const reexport = sources.filter(({ text }) => /^export \* from/m.test(text));
    const defaults = sources.filter(({ text }) => /^export default/m.test(text));
    const enums = sources.filter(({ text }) => /^(export )?(const )?enum /m.test(text));
    expect([...reexport, ...defaults, ...enums].map(({ path }) => path)).toEqual([]);
  });

  it('stay short', () => {
    const lengths = sources.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }));
    const long = lengths.filter(({ lines }) => lines > 300);
    // Above 300 lines there may be a second idea in it; above 400 there is.
    if (long.length > 0)
      console.info(`over 300 lines: ${long.map(({ path, lines }) => `${path} ${lines}`).join(', ')}`);
    expect(long.filter(({ lines }) => lines > 400)).toEqual([]);
    expect(long.length).toBeLessThan(lengths.length / 10);
  });
});
