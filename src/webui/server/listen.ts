// One listening socket per address, tried again until the address exists.
import type { Server } from 'node:net';

const FIRST_DELAY = 250;
const LAST_DELAY = 5_000;
// Not there yet, held by a predecessor that is still ending, or a family the kernel has not set up.
const PASSING = new Set(['EADDRNOTAVAIL', 'EADDRINUSE', 'EAFNOSUPPORT', 'ENETDOWN']);

export interface ListenHooks {
  readonly log: (line: string) => void;
  /** An error that waiting does not mend, such as a port this user may not open. */
  readonly fatal: (error: Error) => void;
}

/** Starts `server` on one address; the function it gives stops the tries (it does not close the server). */
export function keepListening(server: Server, address: string, port: number, hooks: ListenHooks): () => void {
  let delay = FIRST_DELAY;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const shown = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  const attempt = (): void => {
    server.listen({ host: address, port, exclusive: true, ipv6Only: true });
  };
  server.on('listening', () => {
    delay = FIRST_DELAY;
    hooks.log(`listening on ${shown}`);
  });
  server.on('error', (error: NodeJS.ErrnoException) => {
    if (stopped) return;
    if (!PASSING.has(error.code ?? '')) {
      hooks.fatal(error);
      return;
    }
    // Said once per outage, not once per try.
    if (delay === FIRST_DELAY) hooks.log(`cannot listen on ${shown} yet (${error.code}), trying again`);
    timer = setTimeout(attempt, delay);
    delay = Math.min(delay * 2, LAST_DELAY);
  });
  attempt();
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
