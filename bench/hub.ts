// A hub to measure: the lab's hosts and cables, our programs started by the bench itself, and as many peers as asked for.
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { x25519 } from '@noble/curves/ed25519.js';
import type { Config } from '../src/model/config.ts';
import { Secret } from '../src/model/key.ts';
import { Store } from '../src/router/store/store.ts';
import { build } from '../test/support/lab/build.ts';
import { takeDown } from '../test/support/lab/down.ts';
import { type Background, type Lab, poll } from '../test/support/lab/lab.ts';
import { DIST, hostFolder } from '../test/support/lab/place.ts';
import { makeNetwork } from '../test/support/lab/up.ts';

export interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly target?: string;
}

export interface Bench {
  readonly title: string;
  readonly rows: readonly Row[];
}

const run = '/run/apn';
/** As the units of the image start the programs that only pass bytes on. */
const small = ['--max-semi-space-size=1', '--max-old-space-size=32'];
const env = { MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '131072' };

/** The hub of a lab with none of its programs running yet. */
export class Hub {
  readonly lab: Lab;
  readonly state: string;

  constructor(lab: Lab) {
    this.lab = lab;
    this.state = join(hostFolder(lab.name, 'hub'), 'state');
    mkdirSync(this.state, { recursive: true, mode: 0o700 });
    const timesync = join(hostFolder(lab.name, 'hub'), 'run/systemd/timesync');
    mkdirSync(timesync, { recursive: true });
  }

  get controlSocket(): string {
    return this.lab.path('hub', `${run}/control.sock`);
  }

  /** With CPU_PROFILE=FOLDER it leaves a profile there when it ends. */
  router(): Background {
    const folder = process.env['CPU_PROFILE'];
    const flags = folder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${folder}`];
    return this.lab.spawn('hub', ['node', ...flags, join(DIST, 'router.js'), '--state', this.state, '--run', run]);
  }

  dns(): Background {
    return this.lab.spawn('hub', ['node', ...small, join(DIST, 'dns.js'), '--zone', `${run}/zone.json`], { env });
  }

  webui(): Background {
    const folder = join(hostFolder(this.lab.name, 'hub'), 'webui');
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const listen = ['--listen', '192.168.66.1,172.16.0.1'];
    const program = [join(DIST, 'webui.js'), '--state', folder, '--socket', `${run}/web.sock`, ...listen];
    return this.lab.spawn('hub', ['node', ...small, ...program], { env });
  }

  /** A request of the control API. @throws Error unless it is answered with success. */
  // biome-ignore lint/suspicious/noExplicitAny: every route has its own answer
  call(method: string, path: string, body?: unknown, prefer = 'wait=30'): Promise<any> {
    const options = { socketPath: this.controlSocket, method, path, headers: { prefer } };
    return new Promise((resolve, reject) => {
      const outgoing = request(options, (incoming) => {
        let text = '';
        incoming.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        incoming.once('error', reject);
        incoming.once('end', () => {
          if (incoming.statusCode !== undefined && incoming.statusCode < 300) resolve(JSON.parse(text));
          else reject(new Error(`${method} ${path}: ${incoming.statusCode} ${text}`));
        });
      });
      outgoing.once('error', reject);
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  /** Resolves when the machine is what the configuration says. */
  async applied(): Promise<void> {
    const agrees = async () => {
      const { revision, appliedRevision } = await this.call('GET', '/summary');
      return appliedRevision === revision;
    };
    await poll(agrees, { within: 120_000, every: 5, what: 'the router to apply everything' });
  }

  /** Saves an owner, without whom a router forwards nothing, a LAN and applications of 200 servers each, every tenth server with a preshared key. Before the router starts. */
  prepare(peers: number): void {
    const publicKeyOf = (key: { reveal(): Uint8Array }) => x25519.getPublicKey(key.reveal()).toBase64();
    const makeHubKey = () => new Secret('private key', clamped(randomBytes(32)));
    const store = new Store({ folder: this.state, now: Date.now, makeHubKey, publicKeyOf });
    const lan = {
      ...{ topology: 'router', wan: 'wan0', ports: ['lan0', 'lan1', 'lan2'], address: '192.168.66.1' },
      ...{ range: '192.168.66.0/24', dhcp: { from: '192.168.66.100', to: '192.168.66.199' }, defaultAccess: 'nothing' },
    };
    const numbers = Array.from({ length: peers }, (_, n) => n);
    const applications = numbers
      .filter((n) => n % 200 === 0)
      .map((n) => ({ id: `app${n}x`, label: `app${n}`, range: `172.16.${10 + n / 200}.0/24`, links: [] }));
    store.save({ actor: 'bench', summary: `${peers} servers` }, (transaction) => {
      const servers = numbers.map((n) => {
        const presharedKey = n % 10 === 0 ? `psk${n}x` : null;
        if (presharedKey !== null)
          transaction.putPresharedKey(presharedKey, new Secret('preshared key', randomBytes(32)));
        const address = `172.16.${10 + Math.floor(n / 200)}.${10 + (n % 200)}`;
        const publicKey = x25519.getPublicKey(randomBytes(32)).toBase64();
        return {
          id: `server${n}`,
          application: `app${n - (n % 200)}x`,
          label: `server${n}`,
          address,
          publicKey,
          presharedKey,
        };
      });
      const members = [
        { id: 'owner1', name: 'Ben', label: 'ben', role: 'owner', access: {}, leasePolicy: 'ask', disabled: false },
      ];
      transaction.put({ ...transaction.config, members, lan, applications, servers } as unknown as Config);
    });
    store.close();
  }
}

/** As the kernel keeps private keys (RFC 7748 §5). */
function clamped(key: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(key);
  copy[0] = (copy[0] ?? 0) & 248;
  copy[31] = ((copy[31] ?? 0) & 127) | 64;
  return copy;
}

export async function withHub<T>(name: string, work: (hub: Hub) => Promise<T>): Promise<T> {
  await build();
  const lab = await makeNetwork(name);
  try {
    return await work(new Hub(lab));
  } finally {
    await lab.stop();
    await takeDown(name);
  }
}

/** CPU time of a process in milliseconds, all threads, in steps of the kernel's 10. */
export function cpu(pid: number): { readonly user: number; readonly system: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return { user: Number(fields[11]) * 10, system: Number(fields[12]) * 10 };
}

/** The p-th part of the values, in order: 0.5 is the median. */
export function quantile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(p * sorted.length) - 1)] ?? Number.NaN;
}

export function print({ title, rows }: Bench): void {
  const width = Math.max(...rows.map(({ name }) => name.length));
  process.stdout.write(`${title}\n`);
  for (const { name, value, unit, target } of rows) {
    const aim = target === undefined ? '' : `   target ${target}`;
    process.stdout.write(`  ${name.padEnd(width)}  ${value.toFixed(2).padStart(10)} ${unit.padEnd(6)}${aim}\n`);
  }
}

/** For a bench that is run alone. */
export async function runAlone(file: string, bench: () => Promise<Bench>): Promise<void> {
  if (process.argv[1] === file) print(await bench());
}
