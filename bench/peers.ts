// 1,000 new peers on the kernel's WireGuard: our driver beside `wg setconf`, in turn, in the virtual machine of ring 3.
import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hostPrefix, nth, parsePrefix } from '../src/model/address.ts';
import { encodeKey, type PublicKey, Secret } from '../src/model/key.ts';
import { createWireguardDriver } from '../src/router/drivers/wireguard.ts';
import type { Peer } from '../src/router/plan/wireguard.ts';
import type { Row } from './hub.ts';

const peers = 1000;
const rounds = 7;
const range = parsePrefix('172.16.0.0/16');

/** DESIGN §11: our time ÷ the time of `wg setconf`. */
export async function run(): Promise<{ title: string; rows: Row[] }> {
  const title = `apply ${peers} new peers, kernel WireGuard`;
  if (hasKernelWireguard()) return { title, rows: await measure() };
  const root = join(import.meta.dirname, '..');
  const vm = [
    join(root, 'test/kernel/vm.ts'),
    '--timeout',
    '5m',
    '--',
    process.execPath,
    import.meta.filename,
    '--json',
  ];
  return { title, rows: JSON.parse(execFileSync(process.execPath, vm, { encoding: 'utf8' })) as Row[] };
}

function hasKernelWireguard(): boolean {
  const made = spawnSync('ip', ['link', 'add', 'bench0', 'type', 'wireguard']).status === 0;
  if (made) execFileSync('ip', ['link', 'del', 'bench0']);
  return made;
}

async function measure(): Promise<Row[]> {
  const wanted = Array.from({ length: peers }, (_, i) => peer(i));
  const folder = mkdtempSync(join(tmpdir(), 'apn-bench-peers-'));
  const file = join(folder, 'peers.conf');
  writeFileSync(file, configuration(wanted));
  const ours: number[] = [];
  const wg: number[] = [];
  const driver = createWireguardDriver(join(folder, 'endpoints.json'));
  for (let round = -1; round < rounds; round++) {
    const one = await timed((device) => driver.apply({ kind: 'wireguard.set-peers', device, peers: wanted }));
    const other = await timed(async (device) => {
      execFileSync('wg', ['setconf', device, file]);
    });
    // The first round warms caches and compilers.
    if (round < 0) continue;
    ours.push(one);
    wg.push(other);
  }
  driver.close();
  rmSync(folder, { recursive: true });
  return [
    { name: 'ours', value: median(ours), unit: 'ms' },
    { name: 'wg setconf', value: median(wg), unit: 'ms' },
    {
      name: 'ours ÷ wg setconf',
      value: median(ours.map((time, i) => time / (wg[i] ?? Number.NaN))),
      unit: '',
      target: '≤ 1.2',
    },
  ];
}

let devices = 0;

/** Milliseconds on a fresh device; the peers are counted afterwards. */
async function timed(apply: (device: string) => Promise<void>): Promise<number> {
  const device = `bench${++devices}`;
  execFileSync('ip', ['link', 'add', device, 'type', 'wireguard']);
  const started = performance.now();
  await apply(device);
  const time = performance.now() - started;
  const count = execFileSync('wg', ['show', device, 'peers'], { encoding: 'utf8' }).trim().split('\n').length;
  // Deleting waits for every peer, half a minute in the virtual machine, which ends with the measurement anyway.
  if (process.env['VM'] !== '1') execFileSync('ip', ['link', 'del', device]);
  if (count !== peers) throw new Error(`${count} of ${peers} peers were set.`);
  return time;
}

function peer(index: number): Peer {
  const { publicKey } = generateKeyPairSync('x25519');
  const der = publicKey.export({ format: 'der', type: 'spki' });
  return {
    publicKey: encodeKey(der.subarray(der.length - 32)) as PublicKey,
    presharedKey: new Secret('preshared key', randomBytes(32)),
    allowedIps: [hostPrefix(nth(range, 256 + index))],
    keepalive: 0,
    endpoint: null,
  };
}

function configuration(wanted: readonly Peer[]): string {
  return wanted
    .map(({ publicKey, presharedKey, allowedIps }) => {
      const key = encodeKey(presharedKey?.reveal() ?? new Uint8Array(32));
      return `[Peer]\nPublicKey = ${publicKey}\nPresharedKey = ${key}\nAllowedIPs = ${allowedIps.join(', ')}\n`;
    })
    .join('');
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

if (import.meta.main) {
  const { title, rows } = await run();
  if (process.argv.includes('--json')) process.stdout.write(JSON.stringify(rows));
  else {
    process.stdout.write(`${title}\n`);
    for (const { name, value, unit, target } of rows) {
      process.stdout.write(
        `  ${name.padEnd(22)} ${value.toFixed(2)} ${unit}${target === undefined ? '' : `   target ${target}`}\n`,
      );
    }
  }
}
