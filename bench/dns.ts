// CPU per answered query: our DNS program, dnsmasq and unbound with the same 1,000 names, each on one core, in turn.
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encode } from 'dns-packet';
import type { Zone } from '../src/model/zone.ts';
import type { Row } from './hub.ts';

const names = 1000;
const rounds = 5;
/** Milliseconds of load per server and round. */
const span = 1500;
/** Queries under way. The servers still idle now and then, as the load has one core too: what counts is CPU time spent. */
const window = 128;

interface Rival {
  readonly name: string;
  readonly port: number;
  readonly command: readonly string[];
}

interface Load {
  readonly answered: number;
  readonly wrong: number;
}

/** DESIGN §11: CPU per query of dnsmasq ÷ ours. */
export async function run(): Promise<{ title: string; rows: Row[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'apn-bench-dns-'));
  const children: ChildProcess[] = [];
  try {
    const rivals = prepare(folder);
    const microseconds = new Map<string, number[]>();
    for (const { command } of rivals) children.push(start(['taskset', '-c', '0', ...command]));
    for (const { port, name } of rivals) await ready(port, name);
    for (let round = -1; round < rounds; round++) {
      for (const [index, { name, port }] of rivals.entries()) {
        const pid = children[index]?.pid ?? 0;
        const before = cpuNanoseconds(pid);
        const { answered, wrong } = await load(port);
        const spent = cpuNanoseconds(pid) - before;
        if (answered === 0 || wrong > 0) throw new Error(`${name}: ${answered} answers, ${wrong} of them wrong`);
        // The first round warms caches and compilers.
        if (round >= 0) microseconds.set(name, [...(microseconds.get(name) ?? []), spent / answered / 1000]);
      }
    }
    const cost = (name: string) => median(microseconds.get(name) ?? []);
    const rows: Row[] = rivals.map(({ name }) => ({ name: `${name}, CPU per query`, value: cost(name), unit: 'µs' }));
    rows.push(
      { name: 'efficiency, dnsmasq = 1', value: cost('dnsmasq') / cost('ours'), unit: '', target: '≥ 0.45' },
      { name: 'efficiency, unbound = 1', value: cost('unbound') / cost('ours'), unit: '' },
    );
    return { title: '.apn names: CPU per query on one core', rows };
  } finally {
    for (const child of children) await stop(child);
    rmSync(folder, { recursive: true, force: true });
  }
}

function prepare(folder: string): Rival[] {
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const hosts = Array.from({ length: names }, (_, i) => ({
    ...{ name: `s${i}.shop`, application: 'shop', lan: null },
    address: `172.16.${10 + (i >> 8)}.${i & 255}`,
  }));
  const zone: Zone = {
    ...{ version: 1, serial: 1, domain: 'apn', listen: ['127.0.0.1'], relay: { address: '127.0.0.1', port: 1 } },
    ...{ reverse: ['172.16.0.0/16'], hosts, extra: [] },
    clients: [
      {
        ...{ source: '127.0.0.0/8', side: 'tunnel', application: null, hub: '172.16.0.1' },
        ...{ reach: ['172.16.0.0/16'], reachedBy: [] },
      },
    ],
  };
  const addresses = hosts.map(({ name, address }) => `${address} ${name}.apn\n`).join('');
  const local = hosts.map(({ name, address }) => `  local-data: "${name}.apn. 30 IN A ${address}"\n`).join('');
  const unbound = [
    'server:\n  interface: 127.0.0.1@15363\n  num-threads: 1\n  do-daemonize: no\n  username: ""\n  chroot: ""\n',
    `  pidfile: "${folder}/unbound.pid"\n  directory: "${folder}"\n  use-syslog: no\n  local-zone: "apn." static\n`,
    `${local}remote-control:\n  control-enable: no\n`,
  ].join('');
  const built = new URL('../dist/dns.js', import.meta.url).pathname;
  const ours = existsSync(built) ? built : new URL('../src/dns/main.ts', import.meta.url).pathname;
  return [
    {
      ...{ name: 'ours', port: 15_361 },
      command: [process.execPath, ours, '--zone', file('zone.json', JSON.stringify(zone)), '--port', '15361'],
    },
    {
      ...{ name: 'dnsmasq', port: 15_362 },
      command: [
        ...['dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--local-ttl=30'],
        ...['--local=/apn/', '--listen-address=127.0.0.1', '--bind-interfaces', '--port=15362', '--user=root'],
        ...[`--addn-hosts=${file('hosts', addresses)}`, '--pid-file'],
      ],
    },
    { name: 'unbound', port: 15_363, command: ['unbound', '-d', '-c', file('unbound.conf', unbound)] },
  ];
}

function start(command: readonly string[]): ChildProcess {
  const [program = '', ...rest] = command;
  return spawn(program, rest, { stdio: 'ignore' });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

function query(index: number): Buffer {
  const additionals = [{ type: 'OPT', name: '.', udpPayloadSize: 1232 } as never];
  const questions = [{ type: 'A' as const, name: `s${index}.shop.apn` }];
  return encode({ type: 'query', id: index, flags: 0x0100, questions, additionals });
}

async function ready(port: number, name: string): Promise<void> {
  const socket = createSocket('udp4');
  socket.on('error', () => {});
  const deadline = performance.now() + 10_000;
  let answers = 0;
  socket.on('message', () => answers++);
  while (answers === 0) {
    if (performance.now() > deadline) throw new Error(`${name} does not answer`);
    socket.send(query(0), port, '127.0.0.1');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  socket.close();
}

/** All threads; the kernel counts them in nanoseconds. */
function cpuNanoseconds(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  const times = threads.map((id) => Number(readFileSync(`/proc/${pid}/task/${id}/schedstat`, 'utf8').split(' ')[0]));
  return times.reduce((sum, time) => sum + time, 0);
}

/** From a process of its own on the other core, so that it costs the server nothing but its queries. */
async function load(port: number): Promise<Load> {
  const self = new URL(import.meta.url).pathname;
  const child = spawn('taskset', ['-c', '1', process.execPath, self, 'load', String(port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (data: Buffer) => {
    text += data.toString();
  });
  await once(child, 'close');
  return JSON.parse(text) as Load;
}

/** The load itself: keeps `window` queries under way, counts answers with exactly one record. */
function generate(port: number): void {
  const queries = Array.from({ length: names }, (_, i) => query(i));
  const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
  let next = 0;
  let answered = 0;
  let wrong = 0;
  let last = performance.now();
  const send = () => socket.send(queries[next++ % names] ?? Buffer.alloc(0));
  socket.on('message', (reply) => {
    answered++;
    if (reply[7] !== 1 || ((reply[3] ?? 0) & 15) !== 0) wrong++;
    last = performance.now();
    send();
  });
  socket.connect(port, '127.0.0.1', () => {
    for (let i = 0; i < window; i++) send();
  });
  // Lost queries would shrink the window until nothing moves.
  const refill = setInterval(() => {
    if (performance.now() - last > 50) for (let i = 0; i < window; i++) send();
  }, 50);
  setTimeout(() => {
    clearInterval(refill);
    socket.close();
    process.stdout.write(JSON.stringify({ answered, wrong } satisfies Load));
  }, span);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  if (process.argv[2] === 'load') generate(Number(process.argv[3]));
  else {
    const { title, rows } = await run();
    process.stdout.write(`${title}\n`);
    for (const { name, value, unit, target } of rows) {
      process.stdout.write(
        `  ${name}: ${value.toFixed(2)} ${unit}${target === undefined ? '' : ` (target ${target})`}\n`,
      );
    }
  }
}
