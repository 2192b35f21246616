// Serves the control API on a unix socket.
import { chmodSync, renameSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { getRequestListener } from '@hono/node-server';

type FetchCallback = Parameters<typeof getRequestListener>[0];

/** What is served: Hono's applications are such. */
export interface Application {
  readonly fetch: FetchCallback;
}

/**
 * Listens under a name of its own first and moves the socket into place, so that a client either reaches the new
 * program or the old one, and permissions are right from the first moment.
 * @param mode File permissions: who may speak.
 */
export function listen(app: Application, path: string, mode: number): Promise<Server> {
  const server = createServer({ maxHeaderSize: 16_384, requestTimeout: 60_000 }, getRequestListener(app.fetch));
  const temporary = `${path}.${process.pid}`;
  rmSync(temporary, { force: true });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(temporary, () => {
      chmodSync(temporary, mode);
      renameSync(temporary, path);
      resolve(server);
    });
  });
}
