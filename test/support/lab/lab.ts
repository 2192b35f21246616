// A running lab as the tests use it: run commands on hosts, watch wires, end and restart programs.
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { Capture } from './capture.ts';
import { takeDown } from './down.ts';
import { rebootHub, routerReady } from './hub.ts';
import { enter, hostEnvironment } from './namespace.ts';
import { checkLabName, labFolder, logFile } from './place.ts';
import { endAll, labProcesses, programs, signal } from './process.ts';
import { poll, type Result, type RunOptions, run, statusOf } from './run.ts';
import { type LabState, readState } from './state.ts';

export { poll, SLOWNESS } from './run.ts';

/** A refusal by the `apn` command; `status` is 2 invalid, 3 conflict, 4 not found, 1 anything else. */
export class ApnError extends Error {
  readonly status: number;
  readonly path: string | null;

  constructor(args: readonly string[], result: Result) {
    let path: string | null = null;
    let message = result.stderr.trim();
    try {
      const { error } = JSON.parse(result.stderr) as { error: { path?: string; message: string } };
      path = error.path ?? null;
      message = error.message;
    } catch {
      // Not JSON: an accident of the program itself, told as it came.
    }
    super(`apn ${args.join(' ')}: ${message}`);
    this.status = result.status;
    this.path = path;
  }
}

/** A program that a test left running on a host. */
export interface Background {
  readonly pid: number;
  stdout(): string;
  stderr(): string;
  readonly ended: Promise<number>;
  /** Sends the signal, waits for the end, and kills what does not end within 5 s. */
  stop(name?: NodeJS.Signals): Promise<Result>;
}

export class Lab {
  readonly name: string;
  readonly folder: string;
  readonly port: number;
  readonly #holders: ReadonlyMap<string, number>;
  readonly #background = new Set<Background>();
  readonly #captures = new Set<Capture>();

  constructor(state: Pick<LabState, 'name' | 'port' | 'holders'>) {
    this.name = checkLabName(state.name);
    this.folder = labFolder(this.name);
    this.port = state.port;
    this.#holders = new Map(Object.entries(state.holders));
  }

  /** Where this machine's browser finds the web UI. */
  get ui(): string {
    return `https://localhost:${this.port}`;
  }

  holder(host: string): number {
    const pid = this.#holders.get(host);
    if (pid === undefined) throw new Error(`the lab has no host ${JSON.stringify(host)}`);
    return pid;
  }

  /** A path of a host as this process can open it. */
  path(host: string, path: string): string {
    return `/proc/${this.holder(host)}/root${path}`;
  }

  logHint(host: string, program: string): string {
    return `(see ${logFile(this.name, host, program)})`;
  }

  /** Runs a command on a host, in `/`, to its end. Never throws on its status. */
  exec(host: string, argv: readonly string[], options: RunOptions = {}): Promise<Result> {
    const env = { ...hostEnvironment(this.name, host), ...options.env };
    return run(enter(this.holder(host), argv), { ...options, env });
  }

  /** Standard output, trimmed, of a command that has to succeed. */
  async output(host: string, argv: readonly string[], options: RunOptions = {}): Promise<string> {
    const result = await this.exec(host, argv, options);
    if (result.status !== 0) {
      throw new Error(
        `${host}: ${argv.join(' ')}: status ${result.status}\n${result.stderr}${result.stdout}`.trimEnd(),
      );
    }
    return result.stdout.trim();
  }

  /** Starts a command on a host and leaves it running; `stop` of the lab ends it too. */
  spawn(host: string, argv: readonly string[], options: Pick<RunOptions, 'input' | 'env'> = {}): Background {
    const [program = '', ...args] = enter(this.holder(host), argv);
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...hostEnvironment(this.name, host), ...options.env },
    });
    const pid = child.pid;
    if (pid === undefined) throw new Error(`${host}: ${argv.join(' ')} could not be started`);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.stdin.on('error', () => {});
    if (options.input !== undefined) child.stdin.end(options.input);
    const ended = new Promise<number>((resolve) => {
      child.once('close', (code, name) => {
        this.#background.delete(background);
        resolve(statusOf(code, name));
      });
    });
    const background: Background = {
      pid,
      stdout: () => stdout,
      stderr: () => stderr,
      ended,
      stop: async (name = 'SIGTERM') => {
        child.stdin.destroy();
        child.kill(name);
        const deadline = setTimeout(() => child.kill('SIGKILL'), 5_000);
        const status = await ended;
        clearTimeout(deadline);
        return { status, stdout, stderr };
      },
    };
    this.#background.add(background);
    return background;
  }

  /** Starts a program of the lab itself on a host: it outlives this process, and its output goes to the lab's log. */
  start(host: string, name: string, argv: readonly string[]): void {
    this.#detach(enter(this.holder(host), argv), logFile(this.name, host, name), {
      env: hostEnvironment(this.name, host),
      cwd: '/',
    });
  }

  /** The same in this machine's own namespaces. */
  startHere(name: string, cwd: string, argv: readonly string[]): void {
    this.#detach(argv, logFile(this.name, 'here', name), { env: {}, cwd });
  }

  #detach(argv: readonly string[], log: string, place: { env: Record<string, string>; cwd: string }): void {
    const [program = '', ...args] = argv;
    const output = openSync(log, 'a');
    const env = { ...process.env, ...place.env };
    const child = spawn(program, args, { detached: true, stdio: ['ignore', output, output], env, cwd: place.cwd });
    child.on('error', () => {
      // Found by whoever waits for the program to answer.
    });
    child.unref();
    closeSync(output);
  }

  /** The answer of an `apn` command on the hub; a refusal is an `ApnError`. */
  // biome-ignore lint/suspicious/noExplicitAny: every command has its own answer, and tests say what they expect
  async apn(...args: readonly string[]): Promise<any> {
    const result = await this.exec('hub', ['apn', '--json', ...args]);
    if (result.status !== 0) throw new ApnError(args, result);
    return result.stdout.trim() === '' ? null : JSON.parse(result.stdout);
  }

  /** Many `apn` commands in one process, in order; their answers. The first refusal is an `ApnError`. */
  async apnBatch(commands: readonly (readonly string[])[]): Promise<unknown[]> {
    const lines = commands.map((words) => `${words.map((word) => `"${word}"`).join(' ')}\n`);
    const result = await this.exec('hub', ['apn', 'batch'], { input: lines.join(''), timeout: 60_000 });
    const answers = result.stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line): unknown => JSON.parse(line));
    for (const [index, command] of commands.entries()) {
      const answer = answers[index] as { error?: object } | undefined;
      if (answer === undefined) throw new ApnError(command, result);
      if (answer?.error)
        throw new ApnError(command, { status: result.status, stdout: '', stderr: JSON.stringify(answer) });
    }
    return answers;
  }

  /** Captures on a host's device with a tcpdump filter; resolves once it sees every packet. */
  async capture(
    host: string,
    device: string,
    filter: string,
    options: { args?: readonly string[] } = {},
  ): Promise<Capture> {
    const capture = await Capture.start(enter(this.holder(host), []), device, filter, options.args ?? []);
    this.#captures.add(capture);
    return capture;
  }

  /** The pid of a program as `status` names it, if it runs now. */
  pid(program: string, host = 'hub'): number | undefined {
    return programs(this.name, [host]).find((found) => found.name === program)?.pid;
  }

  /** Sends a signal to a program; its pid. */
  kill(program: string, name: NodeJS.Signals = 'SIGKILL', host = 'hub'): number {
    const pid = this.pid(program, host);
    if (pid === undefined || !signal(pid, name)) throw new Error(`${program} does not run on ${host}`);
    return pid;
  }

  /** Kills one of the hub's programs and waits until its restart loop has a new one running. */
  async restart(program: 'router' | 'dns' | 'webui' | 'unbound'): Promise<void> {
    const before = this.kill(program);
    await poll(
      () => {
        const now = this.pid(program);
        return now !== undefined && now !== before;
      },
      { every: 20, what: `${program} to come back` },
    );
    if (program === 'router') await routerReady(this);
  }

  restartRouter(): Promise<void> {
    return this.restart('router');
  }

  /** A power cut at the hub and the boot after it, with or without a synchronised clock, or with a new card. */
  rebootHub(options: { synchronized?: boolean; blank?: boolean } = {}): Promise<void> {
    return rebootHub(this, options.synchronized ?? true, options.blank ?? false);
  }

  /** Brings up a stock client's tunnel from the host's own configuration file. */
  async wireguardUp(host: string): Promise<void> {
    await this.output(host, ['wg-quick', 'up', 'wg0']);
  }

  async wireguardDown(host: string): Promise<void> {
    await this.output(host, ['wg-quick', 'down', 'wg0']);
    // wireguard-go ends a moment after its device, and its socket would be in the next one's way.
    await poll(() => this.pid('wireguard-go', host) === undefined, {
      every: 20,
      what: `wireguard-go on ${host} to end`,
    });
  }

  /** Ends everything and removes the lab. */
  async stop(): Promise<void> {
    await Promise.all([...this.#background].map((background) => background.stop('SIGKILL')));
    await Promise.all([...this.#captures].map((capture) => capture.stop()));
    await takeDown(this.name);
  }

  /** Ends programs of one host by name and waits until they are gone (for programs without a restart loop). */
  async end(program: string, host: string): Promise<void> {
    await endAll(() => labProcesses(this.name, [host]).filter((found) => found.name === program));
  }
}

/** A lab that already runs. */
export function attachLab(name: string): Lab {
  const state = readState(checkLabName(name));
  if (!state) throw new Error(`lab ${name} is not running; start it with LAB=${name} scripts/lab.sh up`);
  return new Lab(state);
}
