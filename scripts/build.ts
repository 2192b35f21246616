// Bundles the programs into dist/: one file each, so that they start fast and need no node_modules but the native ones.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { buildApp } from './build-app.ts';

const root = join(import.meta.dirname, '..');
const out = join(root, 'dist');

mkdirSync(out, { recursive: true });
await build({
  absWorkingDir: root,
  entryPoints: {
    router: 'src/router/main.ts',
    apn: 'src/router/cli/main.ts',
    dns: 'src/dns/main.ts',
    webui: 'src/webui/server/main.ts',
  },
  outdir: out,
  bundle: true,
  splitting: false,
  platform: 'node',
  target: 'node26',
  format: 'esm',
  // Loads a native add-on from its own folder.
  external: ['netlink'],
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  sourcemap: 'linked',
  legalComments: 'none',
  logLevel: 'warning',
});
rmSync(join(out, 'webui'), { recursive: true, force: true });
await buildApp(join(out, 'webui'));
