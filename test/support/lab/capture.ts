// Counts packets on a wire of the lab with tcpdump.
import { type ChildProcess, spawn } from 'node:child_process';
import { SLOWNESS } from './run.ts';

/** A running tcpdump. What it saw so far is text, one packet a line, `-tt -nn` style. */
export class Capture {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #text = '';

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = new Promise((resolve) => child.once('close', () => resolve()));
    child.stdout?.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString();
    });
  }

  /** Resolves when tcpdump really captures: a packet sent after that is seen. */
  static async start(
    enter: readonly string[],
    device: string,
    filter: string,
    args: readonly string[],
  ): Promise<Capture> {
    // The buffer has room for as many packets of the full length: the shorter that is, the longer a burst may be.
    const options = ['-nn', '-tt', '-l', '-U', '--immediate-mode', '-s', '512', '-B', '8192', '-Z', 'root'];
    const tcpdump = ['tcpdump', '-i', device, ...options, ...args, ...(filter === '' ? [] : [filter])];
    const [program = '', ...rest] = [...enter, ...tcpdump];
    const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
    const capture = new Capture(child);
    await new Promise<void>((resolve, reject) => {
      let said = '';
      const deadline = setTimeout(() => reject(new Error(`tcpdump did not start: ${said}`)), 10_000 * SLOWNESS);
      child.stderr?.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        // Printed once the socket is open and bound.
        if (/listening on/.test(said)) {
          clearTimeout(deadline);
          resolve();
        }
      });
      child.once('error', reject);
      child.once('close', () => reject(new Error(`tcpdump -i ${device} ${filter}: ${said.trim()}`)));
    });
    return capture;
  }

  lines(): string[] {
    return this.#text.split('\n').filter((line) => line !== '');
  }

  count(): number {
    return this.lines().length;
  }

  /** Forgets what was seen so far. */
  clear(): void {
    this.#text = '';
  }

  /** Ends it, after what the kernel had already queued was printed. */
  async stop(): Promise<string[]> {
    this.#child.kill('SIGINT');
    await this.#ended;
    return this.lines();
  }
}
