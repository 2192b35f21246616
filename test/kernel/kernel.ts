// Fetches the distribution's kernel package once into .vm/kernel/ and reads its modules.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';

export interface Kernel {
  readonly image: string;
  readonly modules: string;
}

/** Packages that depend on the current kernel: Debian, then Ubuntu. */
const META = ['linux-image-amd64', 'linux-image-virtual', 'linux-image-generic'] as const;

/** What nothing here needs: more than half of the modules' size. */
const UNUSED = [
  'sound',
  'arch/x86/kvm',
  ...['gpu', 'media', 'infiniband', 'iio', 'scsi', 'staging', 'usb', 'hwmon', 'input', 'isdn', 'mtd', 'video'].map(
    (name) => `drivers/${name}`,
  ),
  'drivers/net/ethernet',
  'drivers/net/wireless',
];

/** The kernel in `cache`/kernel, fetched when it is not there. `required` are modules it must have. */
export function kernel(cache: string, required: readonly string[]): Kernel {
  const home = join(cache, 'kernel');
  if (!existsSync(join(home, 'ready'))) fetchKernel(cache, home, required);
  const release = readdirSync(join(home, 'lib/modules'))[0]!;
  const image = join(home, 'vmlinux');
  return {
    image: existsSync(image) ? image : join(home, 'vmlinuz'),
    modules: join(home, 'lib/modules', release),
  };
}

function fetchKernel(cache: string, home: string, required: readonly string[]): void {
  if (process.arch !== 'x64') throw new Error('the virtual machine is made for x86-64 hosts only');
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, 'fetch-'));
  try {
    const packages = kernelPackages();
    for (const name of packages) download(work, name);
    let missing = absent(modulesFolder(work), required);
    const extra = packages[0]!.replace(/^linux-image-(unsigned-)?/, 'linux-modules-extra-');
    if (missing.length > 0 && depends(extra) !== undefined) {
      download(work, extra);
      missing = absent(modulesFolder(work), required);
    }
    if (missing.length > 0) throw new Error(`${packages.join(', ')} lacks the modules ${missing.join(', ')}`);
    arrange(work);
    renameOnce(join(work, 'kernel'), home);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function kernelPackages(): readonly string[] {
  const known = (): string | undefined => META.find((name) => depends(name) !== undefined);
  let found = known();
  if (found === undefined) {
    update();
    found = known();
  }
  if (found === undefined) throw new Error(`apt knows none of ${META.join(', ')}; run apt-get update as root`);
  const names = new Set<string>();
  const walk = (name: string): void => {
    if (names.has(name)) return;
    if (/^linux-(image|modules)-\D*\d+\.\d+/.test(name)) names.add(name);
    for (const next of depends(name) ?? []) if (/^linux-(image|modules)-/.test(next)) walk(next);
  };
  walk(found);
  if (names.size === 0) throw new Error(`${found} depends on no kernel package`);
  return [...names]; // the image first, then the modules it depends on
}

/** Names a package depends on (first of each alternative); undefined when apt does not know it. */
function depends(name: string): readonly string[] | undefined {
  const shown = spawnSync('apt-cache', ['show', '--no-all-versions', name], { encoding: 'utf8' });
  if (shown.error) throw new Error(`apt-cache: ${shown.error.message} (Debian or Ubuntu is needed)`);
  if (shown.status !== 0 || !/^Package: /m.test(shown.stdout)) return undefined;
  const field = /^Depends: (.*)$/m.exec(shown.stdout)?.[1] ?? '';
  return field.split(/,\s*/).map((item) => /^[^\s:(|]*/.exec(item)![0]);
}

function update(): void {
  if (process.getuid?.() === 0) spawnSync('apt-get', ['update'], { stdio: 'ignore' });
}

function download(work: string, name: string): void {
  const before = new Set(readdirSync(work));
  const options = { cwd: work, encoding: 'utf8' } as const;
  let run = spawnSync('apt-get', ['download', name], options);
  if (run.status !== 0) {
    update(); // an old list names versions the archive no longer has
    run = spawnSync('apt-get', ['download', name], options);
  }
  const file = readdirSync(work).find((item) => item.endsWith('.deb') && !before.has(item));
  if (file === undefined) throw new Error(`apt-get download ${name}: ${run.stderr.trim()}`);
  must('dpkg', ['-x', join(work, file), join(work, 'tree')]);
  rmSync(join(work, file));
}

/** Moves image and modules to work/kernel, decompresses the image, writes the module index. */
function arrange(work: string): void {
  const kernel = join(work, 'kernel');
  const modules = modulesFolder(work);
  const release = readdirSync(modules)[0]!;
  mkdirSync(join(kernel, 'lib/modules'), { recursive: true });
  for (const unused of UNUSED) rmSync(join(modules, release, 'kernel', unused), { recursive: true, force: true });
  renameSync(join(modules, release), join(kernel, 'lib/modules', release));
  renameSync(join(work, 'tree/boot', `vmlinuz-${release}`), join(kernel, 'vmlinuz'));
  const image = decompressed(join(kernel, 'vmlinuz'));
  if (image !== undefined) writeFileSync(join(kernel, 'vmlinux'), image);
  // With an index, the host's modprobe loads in the guest whatever the kernel asks for.
  must('depmod', ['-b', kernel, release]);
  writeFileSync(join(kernel, 'ready'), `${release}\n`);
}

/** The ELF kernel inside a bzImage (Documentation/arch/x86/boot.rst), which spares the guest 3 s of decompressing. */
function decompressed(file: string): Buffer | undefined {
  const image = readFileSync(file);
  const start = (image.readUInt8(0x1f1) + 1) * 512 + image.readUInt32LE(0x248);
  // The last four bytes are the length after decompression, not part of the stream.
  const payload = image.subarray(start, start + image.readUInt32LE(0x24c) - 4);
  const kernel = decompress(payload);
  return kernel?.subarray(0, 4).toString('latin1') === '\x7fELF' ? kernel : undefined;
}

function decompress(bytes: Buffer): Buffer | undefined {
  if (bytes.readUInt32LE(0) === 0xfd2fb528) return zstdDecompressSync(bytes);
  if (bytes.toString('latin1', 1, 5) !== '7zXZ') return undefined;
  const run = spawnSync('xz', ['-dc'], { input: bytes, maxBuffer: 512 * 1024 * 1024 });
  return run.status === 0 ? run.stdout : undefined;
}

function modulesFolder(work: string): string {
  const merged = join(work, 'tree/usr/lib/modules');
  return existsSync(merged) ? merged : join(work, 'tree/lib/modules');
}

function absent(modules: string, required: readonly string[]): readonly string[] {
  const release = readdirSync(modules)[0]!;
  const known = moduleFiles(join(modules, release));
  const builtIn = builtInModules(join(modules, release));
  return required.filter((name) => !known.has(name) && !builtIn.has(name));
}

/** Name (with underscores) to file. */
function moduleFiles(folder: string): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const name = moduleName(path);
    if (name !== undefined) files.set(name, join(folder, path));
  }
  return files;
}

function builtInModules(folder: string): ReadonlySet<string> {
  const lines = readFileSync(join(folder, 'modules.builtin'), 'utf8').split('\n');
  return new Set(lines.flatMap((line) => moduleName(line) ?? []));
}

function moduleName(path: string): string | undefined {
  return /([^/]+)\.ko(\.xz|\.zst)?$/.exec(path)?.[1]?.replaceAll('-', '_');
}

/** The named modules and all they need, uncompressed, each after what it depends on; absent ones are left out. */
export function moduleClosure(folder: string, names: readonly string[]): ReadonlyMap<string, Buffer> {
  const files = moduleFiles(folder);
  const closure = new Map<string, Buffer>();
  const visit = (name: string): void => {
    const file = files.get(name);
    if (file === undefined || closure.has(name)) return;
    const raw = readFileSync(file);
    const data = file.endsWith('.ko') ? raw : decompress(raw);
    if (data === undefined) throw new Error(`cannot decompress ${file}`);
    const needs = /\0depends=([^\0]*)\0/.exec(data.toString('latin1'))?.[1] ?? '';
    for (const need of needs.split(',')) visit(need.replaceAll('-', '_'));
    closure.set(name, data);
  };
  for (const name of names) visit(name);
  return closure;
}

/** Another run may have been quicker: its result is as good. */
function renameOnce(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!existsSync(join(to, 'ready'))) throw error;
  }
}

function must(program: string, args: readonly string[]): void {
  const run = spawnSync(program, args, { encoding: 'utf8' });
  if (run.error) throw new Error(`${program}: ${run.error.message}`);
  if (run.status !== 0) throw new Error(`${program} failed: ${run.stderr.trim()}`);
}
