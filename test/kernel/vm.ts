// Runs a command in a virtual machine whose kernel has WireGuard: node test/kernel/vm.ts [--timeout 20m] [--out DIR] [--] CMD ARGS…
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Writable } from 'node:stream';
import { parseArgs } from 'node:util';
import { initramfs, PARAMETERS, REQUIRED } from './guest.ts';
import { type Kernel, kernel } from './kernel.ts';

const REPOSITORY = resolve(import.meta.dirname, '../..');
const TIMED_OUT = 124;
const VM_FAILED = 125;
const USAGE = 'usage: node test/kernel/vm.ts [--timeout 20m] [--out DIR] [--accel tcg|kvm] [--] CMD ARGS…';

interface Options {
  readonly command: readonly string[];
  readonly timeout: number; // milliseconds
  readonly out: string | undefined;
  readonly accel: 'tcg' | 'kvm';
}

function options(args: readonly string[]): Options {
  // Options end at the first word that is none: the command's own are not ours.
  const end = args.findIndex((arg, index) => !arg.startsWith('--') && !takesValue(args[index - 1]));
  const stop = args[end - 1] === '--' ? end - 1 : end;
  const { values } = parseArgs({
    args: args.slice(0, end === -1 ? args.length : stop),
    options: { timeout: { type: 'string' }, out: { type: 'string' }, accel: { type: 'string' } },
  });
  const { out, accel = 'tcg', timeout = '20m' } = values;
  const duration = /^(\d+)([smh])$/.exec(timeout);
  if (end === -1 || duration === null || (accel !== 'tcg' && accel !== 'kvm')) throw new Error(USAGE);
  const unit = { s: 1_000, m: 60_000, h: 3_600_000 }[duration[2] as 's' | 'm' | 'h'];
  return {
    command: args.slice(end),
    timeout: Number(duration[1]) * unit,
    out: out === undefined ? undefined : resolve(out),
    accel,
  };
}

function takesValue(arg: string | undefined): boolean {
  return arg === '--timeout' || arg === '--out' || arg === '--accel';
}

function qemuArguments(folder: string, image: string, options: Options): readonly string[] {
  const share = (tag: string, path: string, readonly: string): string =>
    `local,path=${comma(path)},mount_tag=${tag},security_model=none,multidevs=remap${readonly}`;
  const port = (name: string, nr: number): readonly string[] => [
    ...['-chardev', `socket,id=${name},path=${comma(join(folder, name))}`],
    ...['-device', `virtserialport,chardev=${name},nr=${nr}`],
  ];
  return [
    ...['-machine', 'q35', '-smp', '2', '-m', '3G', '-no-reboot', '-nodefaults', '-no-user-config'],
    // Measured about 10 % quicker than -cpu max, and the guest then takes the tsc as its clock instead of the slow hpet.
    ...(options.accel === 'kvm'
      ? ['-accel', 'kvm', '-cpu', 'host']
      : ['-accel', 'tcg,thread=multi', '-cpu', 'Nehalem']),
    ...['-display', 'none', '-rtc', 'base=utc', '-serial', `file:${join(folder, 'serial')}`],
    ...['-kernel', image, '-initrd', join(folder, 'initramfs')],
    ...['-append', `${PARAMETERS} repository=${REPOSITORY}`],
    ...['-virtfs', share('host', '/', ',readonly=on'), '-device', 'virtio-rng-pci', '-device', 'virtio-serial-pci'],
    ...(options.out === undefined ? [] : ['-virtfs', share('out', options.out, '')]),
    ...[...port('stdout', 1), ...port('stderr', 2), ...port('control', 3)],
  ];
}

/** QEMU reads two commas as one. */
function comma(path: string): string {
  return path.replaceAll(',', ',,');
}

/** Listens at `path` for the one connection QEMU makes; `done` when it has closed. */
function port(path: string, receive: Writable | ((text: string) => void)): { server: Server; done: Promise<void> } {
  const { promise, resolve: done } = Promise.withResolvers<void>();
  const server = createServer((socket) => {
    server.close();
    socket.on('error', () => undefined);
    socket.on('close', () => done());
    if (typeof receive === 'function') socket.setEncoding('utf8').on('data', (text) => receive(String(text)));
    else socket.pipe(receive, { end: false });
  });
  server.listen(path);
  return { server, done: promise };
}

async function run(options: Options, { image, modules }: Kernel): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'apn-vm-'));
  let qemu: ChildProcess | undefined;
  let ended: { readonly status: number; readonly why: string } | undefined;
  const end = (status: number, why: string): void => {
    ended ??= { status, why };
    qemu?.kill('SIGKILL');
  };
  const onSignal = (signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP'): void => end(128 + constants.signals[signal], signal);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  const timer = setTimeout(() => end(TIMED_OUT, `timed out after ${options.timeout / 1000} s`), options.timeout);
  try {
    if (options.out !== undefined) mkdirSync(options.out, { recursive: true });
    const { command, out } = options;
    const job = { command, out, folder: REPOSITORY, environment: process.env };
    writeFileSync(join(folder, 'initramfs'), initramfs(modules, job));
    let said = '';
    const ports = [
      port(join(folder, 'stdout'), process.stdout),
      port(join(folder, 'stderr'), process.stderr),
      port(join(folder, 'control'), (text) => {
        said += text;
      }),
    ];
    await Promise.all(ports.map(({ server }) => new Promise((ready) => server.once('listening', ready))));
    // pdeathsig: QEMU ends even when this process is killed.
    const args = ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...qemuArguments(folder, image, options)];
    const child = spawn('setpriv', args, { stdio: ['ignore', 'ignore', 'inherit'] });
    qemu = child;
    if (ended !== undefined) child.kill('SIGKILL'); // a signal came before there was a process
    await new Promise((exited) => child.on('exit', exited).on('error', exited));
    // Ports that QEMU never opened stay silent; the others may still hold output.
    for (const { server, done } of ports) {
      if (server.listening) server.close();
      else await done;
    }
    const status = /^exit (\d+)$/m.exec(said)?.[1];
    if (ended === undefined && status !== undefined) return Number(status);
    const why =
      ended?.why ?? (said.includes('running') ? 'the guest stopped before the command did' : 'it did not start');
    console.error(`vm: ${why}; the guest's console ends with:\n${tail(join(folder, 'serial'), 25)}`);
    return ended?.status ?? VM_FAILED;
  } finally {
    clearTimeout(timer);
    rmSync(folder, { recursive: true, force: true });
  }
}

function tail(file: string, lines: number): string {
  try {
    return readFileSync(file, 'latin1').trimEnd().split(/\r?\n/).slice(-lines).join('\n');
  } catch {
    return '(nothing)';
  }
}

try {
  const given = options(process.argv.slice(2));
  process.exitCode = await run(given, kernel(join(REPOSITORY, '.vm'), REQUIRED));
} catch (error) {
  console.error(`vm: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = VM_FAILED;
}
