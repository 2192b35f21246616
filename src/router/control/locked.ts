// The control API while the store cannot be opened: whatever is asked, the answer is what is wrong and what to do.
import { Hono } from 'hono';
import type { StoreUnavailable } from '../store/errors.ts';

export function createLockedApp(problem: () => StoreUnavailable): Hono {
  const app = new Hono();
  app.all('*', (c) => {
    const { message, remedy } = problem();
    return c.json({ error: { path: '', message: `${message} ${remedy}` } }, 503);
  });
  return app;
}
