// Builds the page of the web UI: one script and one style with their hash in the name, each also compressed ahead of time.
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const APP = join(dirname(fileURLToPath(import.meta.url)), '../src/webui/app');

/** Writes the app into `outDir`, which is emptied first. The same sources give the same bytes. */
export async function buildApp(outDir: string): Promise<void> {
  await rm(outDir, { recursive: true, force: true });
  const result = await build({
    absWorkingDir: APP,
    entryPoints: [join(APP, 'main.tsx'), join(APP, 'style.css')],
    outdir: join(outDir, 'assets'),
    entryNames: '[name]-[hash]',
    bundle: true,
    minify: true,
    format: 'esm',
    target: ['es2023', 'chrome123', 'firefox120', 'safari17.5'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning',
  });
  const outputs = Object.entries(result.metafile.outputs);
  const urlOf = (entry: string): string => {
    const found = outputs.find(([, output]) => basename(output.entryPoint ?? '') === entry);
    if (found === undefined) throw new Error(`nothing was built from ${entry}`);
    return `/assets/${basename(found[0])}`;
  };
  const page = await readFile(join(APP, 'index.html'), 'utf8');
  const filled = page.replace('{{script}}', urlOf('main.tsx')).replace('{{style}}', urlOf('style.css'));
  await mkdir(outDir, { recursive: true });
  await writeFile(join(outDir, 'index.html'), filled.replace(/\n\s*/g, '\n'));
  await writeFile(join(outDir, 'icon.svg'), await readFile(join(APP, 'icon.svg')));
  for (const name of await readdir(outDir, { recursive: true })) {
    if (/\.(?:html|js|css|svg)$/.test(name)) await compress(join(outDir, name));
  }
}

/** Puts `.br` and `.gz` beside a file, where they are smaller. */
async function compress(file: string): Promise<void> {
  const bytes = await readFile(file);
  const brotli = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } });
  const gzip = gzipSync(bytes, { level: 9 });
  if (brotli.length < bytes.length) await writeFile(`${file}.br`, brotli);
  if (gzip.length < bytes.length) await writeFile(`${file}.gz`, gzip);
}
