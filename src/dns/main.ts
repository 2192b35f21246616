// The DNS program: `node src/dns/main.ts --zone FILE [--port N]`.
import { parseArgs } from 'node:util';
import { InvalidInput } from '../model/errors.ts';
import { Server } from './server.ts';
import { compile, degrade, type Table } from './tree.ts';
import { watchFile } from './watch.ts';
import { parseZone } from './zone.ts';

const lookInterval = 2000;

function log(line: string): void {
  process.stderr.write(`apn-dns: ${line}\n`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { zone: { type: 'string' }, port: { type: 'string', default: '53' } } });
  const port = Number(values.port);
  if (values.zone === undefined || !Number.isInteger(port) || port < 1 || port > 65535) {
    log('usage: --zone FILE [--port N]');
    process.exitCode = 2;
    return;
  }
  const server = new Server({ port, log });
  let standby = degrade(null);
  const file = watchFile(values.zone, lookInterval, (text) => {
    const table = text instanceof Error ? text : read(text);
    if (table instanceof Error) {
      log(`no zone, names of the domain are SERVFAIL: ${describe(table)}`);
      server.use(standby);
    } else {
      standby = degrade(table);
      server.use(table);
      log(`zone ${table.serial}`);
    }
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      file.close();
      server.close();
    });
  }
  await server.tried();
  log(`ready on ${server.bound.join(' ') || 'no address yet'}`);
}

function read(text: string): Table | Error {
  try {
    return compile(parseZone(text));
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function describe(error: Error): string {
  return error instanceof InvalidInput && error.path !== '' ? `${error.path}: ${error.message}` : error.message;
}

await main();
