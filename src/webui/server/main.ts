// The web UI program: reads its arguments, makes sure of a certificate, and runs the gateway until it is told to stop.
import { isIP, isIPv6 } from 'node:net';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { startGateway } from './gateway.ts';
import type { HostEntry } from './guard.ts';
import { parseHost } from './guard.ts';
import { loadStatic } from './static.ts';
import { ensureIdentity, fits } from './tls.ts';

const USAGE = `webui --state DIR --socket PATH --listen ADDRESS[,ADDRESS…]
      [--port 443] [--http-port 80] [--host NAME[:PORT][,…]] [--app DIR]`;
const RENEWAL_CHECK = 10 * 60_000;

interface Arguments {
  readonly state: string;
  readonly socket: string;
  readonly app: string;
  readonly listen: readonly string[];
  readonly hosts: readonly HostEntry[];
  readonly port: number;
  readonly httpPort: number;
}

function readArguments(args: readonly string[]): Arguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      state: { type: 'string' },
      socket: { type: 'string' },
      app: { type: 'string', default: join(dirname(process.argv[1]!), 'webui') },
      listen: { type: 'string', multiple: true, default: [] },
      host: { type: 'string', multiple: true, default: [] },
      port: { type: 'string', default: '443' },
      'http-port': { type: 'string', default: '80' },
    },
  });
  const listen = [...new Set(split(values.listen))];
  if (values.state === undefined || values.socket === undefined || listen.length === 0) throw new Error(USAGE);
  for (const address of listen) {
    if (isIP(address) === 0) throw new Error(`--listen: ${address} is not an address`);
    // A wildcard would answer on WAN as well.
    if (address === '0.0.0.0' || (isIPv6(address) && /^[0:.]*$/.test(address))) {
      throw new Error('--listen: name the addresses, a wildcard is not taken');
    }
  }
  const hosts = ['hub.apn', ...split(values.host)].map((text) => {
    const entry = parseHost(text);
    if (entry === null) throw new Error(`--host: ${text} is not NAME or NAME:PORT`);
    return entry;
  });
  return {
    state: values.state,
    socket: values.socket,
    app: values.app,
    listen,
    hosts,
    port: readPort('--port', values.port),
    httpPort: readPort('--http-port', values['http-port']),
  };
}

function split(values: readonly string[]): readonly string[] {
  return values.flatMap((value) => value.split(',')).filter((value) => value !== '');
}

function readPort(option: string, text: string): number {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new Error(`${option}: ${text} is not a port`);
  return port;
}

function log(line: string): void {
  process.stderr.write(`webui: ${line}\n`);
}

function run(args: Arguments): void {
  const files = loadStatic(args.app);
  const bare = args.hosts.map((entry) => entry.name.replace(/^\[|\]$/g, ''));
  const names = [...new Set([...bare, ...args.listen])];
  const identity = (): string => {
    const { pem, made, unsaved } = ensureIdentity(args.state, names, Date.now());
    if (unsaved !== null) log(`the new certificate could not be kept: ${unsaved}`);
    else if (made) log(`made a certificate for ${names.join(', ')}`);
    return pem;
  };
  let pem = identity();
  const gateway = startGateway({
    listen: args.listen,
    port: args.port,
    httpPort: args.httpPort,
    hosts: args.hosts,
    socketPath: args.socket,
    files,
    pem,
    log,
    fatal: (error) => {
      log(error.message);
      process.exit(1);
    },
  });
  setInterval(() => {
    if (fits(pem, names, Date.now())) return;
    pem = identity();
    gateway.renew(pem);
  }, RENEWAL_CHECK).unref();
  const stop = (): void => {
    gateway.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.once('SIGTERM', stop).once('SIGINT', stop);
}

let parsed: Arguments | null = null;
try {
  parsed = readArguments(process.argv.slice(2));
} catch (error) {
  log((error as Error).message);
  process.exitCode = 2;
}
if (parsed !== null) {
  try {
    run(parsed);
  } catch (error) {
    // The page was not built, or the state folder cannot be read.
    log((error as Error).message);
    process.exitCode = 1;
  }
}
