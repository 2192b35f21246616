// What the guest starts from: module list, initramfs with the command in it, kernel parameters.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cpio, type Entry } from './cpio.ts';
import { moduleClosure } from './kernel.ts';

/** Without these the guest is of no use. */
export const REQUIRED = [
  ...['virtio_pci', 'virtio_console', '9pnet_virtio', '9p', 'overlay', 'tun', 'veth', 'bridge', 'dummy', 'wireguard'],
  ...['nf_tables', 'nft_ct', 'nft_fib_inet', 'nft_nat', 'nft_masq', 'nft_log', 'nft_limit', 'nft_reject_inet'],
  ...['nft_chain_nat', 'nfnetlink_log', 'nf_conntrack_netlink'],
] as const;

/** Loaded when the kernel has them; whatever else is asked for, the guest's modprobe finds. */
const WELCOME = ['crc32c_generic', 'virtio_rng', 'nft_redir', 'nft_hash', 'nft_flow_offload', 'sch_netem', 'macvlan'];

/** Environment of vm.ts that reaches the command. */
const PASSED = /^(PATH|HOME|TERM|LANG|LC_.*|CI|NO_COLOR|FORCE_COLOR|NODE_.*|VITEST.*|APN_.*|LAB.*)$/;

/**
 * Quick under emulation, weak in security: nothing here faces anyone. norandmaps is the one that counts: with every
 * program at the same address QEMU reuses its translations, and a process starts two to three times quicker.
 */
export const PARAMETERS = [
  'console=ttyS0 quiet panic=1 oops=panic reboot=t random.trust_cpu=on',
  'mitigations=off nokaslr norandmaps init_on_alloc=0 audit=0 apparmor=0 selinux=0',
].join(' ');

export interface Job {
  readonly command: readonly string[];
  readonly folder: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Folder of the host that the guest may write to, mounted at the same path. */
  readonly out: string | undefined;
}

export function initramfs(modulesFolder: string, job: Job): Buffer {
  const modules = moduleClosure(modulesFolder, [...WELCOME, ...REQUIRED]);
  const here = (name: string): Buffer => readFileSync(join(import.meta.dirname, name));
  const folders = ['bin', 'dev', 'host', 'job', 'layer', 'modules', 'proc', 'root', 'sys'];
  return cpio([
    ...folders.map((name): Entry => ({ name, kind: 'folder' })),
    file('bin/busybox', readFileSync(busybox()), 0o755),
    file('init', here('init.sh'), 0o755),
    file('job/main.sh', here('main.sh')),
    file('job/command.sh', Buffer.from(script(job))),
    file('modules/order', Buffer.from([...modules.keys()].map((name) => `${name}\n`).join(''))),
    ...[...modules].map(([name, data]) => file(`modules/${name}.ko`, data)),
  ]);
}

function file(name: string, data: Uint8Array, mode = 0o644): Entry {
  return { name, kind: 'file', mode, data };
}

/** The shell script that becomes the command. */
function script(job: Job): string {
  const variables = Object.entries(job.environment).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && PASSED.test(entry[0]),
  );
  return [
    '# The command of this run.',
    ...variables.map(([name, value]) => `export ${name}=${quote(value)}`),
    'export VM=1',
    ...(job.out === undefined
      ? []
      : [
          `export VM_OUT=${quote(job.out)}`,
          'mkdir -p "$VM_OUT"',
          'mount -t 9p -o trans=virtio,version=9p2000.L,msize=1048576 out "$VM_OUT" || exit 125',
        ]),
    `cd ${quote(job.folder)} || exit 125`,
    `exec ${job.command.map(quote).join(' ')}`,
    '',
  ].join('\n');
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function busybox(): string {
  for (const path of ['/bin/busybox', '/usr/bin/busybox']) {
    // A statically linked program has no interpreter; ldd says so by its status.
    if (existsSync(path) && spawnSync('ldd', [path], { stdio: 'ignore' }).status !== 0) return path;
  }
  throw new Error('busybox is missing or not static: install busybox-static');
}
