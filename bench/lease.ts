// From the request for a lease on the control socket to the first handshake packet of its source behind the firewall.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { poll } from '../test/support/lab/lab.ts';
import { enter } from '../test/support/lab/namespace.ts';
import { type Bench, type Hub, quantile, runAlone, withHub } from './hub.ts';

const grants = 200;
/** Not counted: compilers warm up, and the first packet of an nflog reader may wait for the kernel's timer of 1 s. */
const warmup = 5;
const peers = 20;
/** Milliseconds between two packets of the knocking source. */
const spacing = 0.2;
const source = (n: number) => `198.51.100.${n}`;

/**
 * A chain after ours sees what ours has let pass, and copies it at once to a reader in the same namespace. Nothing of
 * ours is changed or asked: what is measured is a packet that would now be handed to WireGuard.
 */
const witness = `table inet witness {
  chain input {
    type filter hook input priority 300; policy accept;
    ip saddr 198.51.100.0/24 udp dport 51820 log group 77 snaplen 64 queue-threshold 1
  }
}
`;

export function run(): Promise<Bench> {
  return withHub('lcle', async (hub) => {
    const { lab } = hub;
    hub.prepare(peers);
    const router = hub.router();
    await poll(() => hub.call('GET', '/summary'), { within: 20_000, what: 'the router' });
    await hub.applied();
    await lab.output('hub', ['nft', '-f', '-'], { input: witness });
    const addresses = Array.from({ length: warmup + grants }, (_, i) => `addr add ${source(i + 1)}/32 dev eth0`).join(
      '\n',
    );
    await lab.output('stranger', ['ip', '-batch', '-'], { input: addresses });
    const seen = await watch(hub);
    const sender = knocker(hub);
    const passed: number[] = [];
    const answers: number[] = [];
    for (let n = 1; n <= warmup + grants; n++) {
      await sender.from(source(n));
      // Not in step with anything the router does by itself; and packets are under way by then.
      await pause(20 + Math.random() * 40);
      if (seen.has(source(n))) throw new Error(`${source(n)} passed without a lease`);
      const asked = wallNow();
      await hub.call('POST', '/leases', { source: source(n), for: '1h' });
      const answered = wallNow();
      const first = await poll(() => seen.get(source(n)), {
        within: 5_000,
        every: 1,
        what: `a packet from ${source(n)}`,
      });
      if (n > warmup) {
        passed.push(first - asked);
        answers.push(answered - asked);
      }
      // As many live ones as a busy day has.
      if (n > 20) await hub.call('DELETE', `/leases/${source(n - 20)}`);
    }
    await sender.stop();
    await router.stop();
    return {
      title: `lease API → first handshake packet past the firewall, ${grants} grants, a packet every ${spacing} ms`,
      rows: [
        { name: 'first packet, median', value: quantile(passed, 0.5), unit: 'ms' },
        { name: 'first packet, p99', value: quantile(passed, 0.99), unit: 'ms', target: '≤ 20' },
        { name: 'first packet, worst', value: Math.max(...passed), unit: 'ms' },
        { name: 'answer “in the kernel”, median', value: quantile(answers, 0.5), unit: 'ms' },
        { name: 'answer “in the kernel”, p99', value: quantile(answers, 0.99), unit: 'ms' },
      ],
    };
  });
}

/** Milliseconds since 1970 with fractions, by a clock that all processes share. */
function wallNow(): number {
  return performance.timeOrigin + performance.now();
}

/** First sight of each source, as the reader on the hub stamped it. */
async function watch({ lab }: Hub): Promise<ReadonlyMap<string, number>> {
  const seen = new Map<string, number>();
  const [program = '', ...args] = enter(lab.holder('hub'), [process.execPath, join(import.meta.dirname, 'witness.ts')]);
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.unref();
  const ready = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const [address = '', at] = line.split(' ');
    if (address === 'ready') ready.resolve();
    else seen.set(address, Number(at));
  });
  await ready.promise;
  return seen;
}

/** A program on `stranger` that sends from one source after the other, as it is told. */
function knocker({ lab }: Hub) {
  const [program = '', ...args] = enter(lab.holder('stranger'), [process.execPath, import.meta.filename, 'knock']);
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    /** Resolves when packets from there are under way. */
    from: async (address: string) => {
      child.stdin.write(`${address}\n`);
      if ((await lines.next()).value !== address) throw new Error('the sender has ended');
    },
    stop: async () => {
      const ended = once(child, 'close');
      child.stdin.end();
      await ended;
    },
  };
}

/** As long as a handshake initiation and of its type; whose it is does not matter to the firewall. */
function knock(): void {
  const packet = Buffer.concat([Buffer.from([1, 0, 0, 0]), randomBytes(144)]);
  let socket: Socket | null = null;
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  const send = () => {
    // Timers know whole milliseconds only, and going round without sleep would take a core from the router.
    Atomics.wait(sleeper, 0, 0, spacing);
    socket?.send(packet, 51820, '203.0.113.1');
    loop = setImmediate(send);
  };
  let loop = setImmediate(send);
  const commands = createInterface({ input: process.stdin });
  commands.on('line', (address) => {
    socket?.close();
    socket = null;
    const fresh = createSocket('udp4');
    // A refusal that comes back (there is none) must not end the sender.
    fresh.on('error', () => {});
    fresh.bind(0, address, () => {
      socket = fresh;
      process.stdout.write(`${address}\n`);
    });
  });
  commands.once('close', () => {
    clearImmediate(loop);
    socket?.close();
  });
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

if (process.argv[2] === 'knock') knock();
else await runAlone(import.meta.filename, run);
