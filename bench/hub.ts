// A hub to measure: the lab's hosts and cables, our programs started by the bench itself, and as many peers as asked for.
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { x25519 } from '@noble/curves/ed25519.js';
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

  router(flags: readonly string[] = []): Background {
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

  /** A LAN, applications of 200 servers each, every tenth server with a preshared key. */
  async enrol(peers: number): Promise<void> {
    await this.call('PATCH', '/network', { endpoint: { host: '203.0.113.1' } });
    await this.call('PATCH', '/lan', { wan: 'wan0', ports: ['lan0', 'lan1', 'lan2'], address: '192.168.66.1/24' });
    for (let n = 0; n < peers; n++) {
      const application = `app${Math.floor(n / 200)}`;
      if (n % 200 === 0) await this.call('POST', '/applications', { label: application }, '');
      const publicKey = x25519.getPublicKey(randomBytes(32)).toBase64();
      const server = { application, label: `server${n}`, publicKey, presharedKey: n % 10 === 0 };
      await this.call('POST', '/servers', server, '');
    }
    await this.applied();
  }
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

/** CPU time of a process, user and system, all threads. Milliseconds, in steps of the kernel's 10. */
export function cpuMilliseconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
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
