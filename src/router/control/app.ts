// The control API: every route, under one table of errors.
import { Hono } from 'hono';
import { NotFound } from '../../model/errors.ts';
import type { Principal } from '../../model/roles.ts';
import { applications } from './applications.ts';
import { config } from './config.ts';
import { devices } from './devices.ts';
import { declarations, errorAnswer } from './http.ts';
import { lan } from './lan.ts';
import { leases } from './leases.ts';
import { members } from './members.ts';
import { names } from './names.ts';
import { network } from './network.ts';
import { principalOf } from './principal.ts';
import { rules } from './rules.ts';
import { servers } from './servers.ts';
import type { Env, Services } from './services.ts';
import { status } from './status.ts';

/** @param principal Who speaks through the socket that the app is served on; `web`: each request says it by a ticket. */
export function createApp(services: Services, principal: Principal | 'web', log: (line: string) => void) {
  const app = new Hono<Env>()
    .route('/', status)
    .route('/network', network)
    .route('/applications', applications)
    .route('/servers', servers)
    .route('/members', members)
    .route('/devices', devices)
    .route('/lan', lan)
    .route('/leases', leases)
    .route('/rules', rules)
    .route('/names', names)
    .route('/config', config);
  declarations(app);
  const outer = new Hono<Env>();
  outer.use('*', async (c, next) => {
    c.set('services', services);
    c.set('principal', principal === 'web' ? principalOf(c, services) : principal);
    await next();
  });
  outer.onError((error, c) => errorAnswer(error, c, log));
  outer.notFound((c) => errorAnswer(new NotFound('', 'There is no such page.'), c, log));
  outer.route('/', app);
  return outer;
}

/** For Hono's inferred client. */
export type ControlApi = ReturnType<typeof createApp>;
