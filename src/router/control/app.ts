// The control API: every route, under one table of errors.
import { Hono } from 'hono';
import { z } from 'zod';
import { NotFound } from '../../model/errors.ts';
import type { Principal } from '../../model/roles.ts';
import { account } from './account.ts';
import { applications } from './applications.ts';
import { audit } from './audit.ts';
import { backup, restore } from './backup.ts';
import { config } from './config.ts';
import { confirm } from './confirm.ts';
import { devices } from './devices.ts';
import { explanations } from './explain.ts';
import { handovers } from './handover.ts';
import { history } from './history.ts';
import { declarations, errorAnswer, needs } from './http.ts';
import { invites, memberInvites } from './invites.ts';
import { join } from './join.ts';
import { knocks } from './knocks.ts';
import { lan } from './lan.ts';
import { leases } from './leases.ts';
import { members } from './members.ts';
import { metrics } from './metrics.ts';
import { names } from './names.ts';
import { network } from './network.ts';
import { describeApi } from './openapi.ts';
import { principalOf } from './principal.ts';
import { renewals } from './renewals.ts';
import { rules } from './rules.ts';
import { servers } from './servers.ts';
import type { Env, Services } from './services.ts';
import { session } from './session.ts';
import { setup } from './setup.ts';
import { status } from './status.ts';
import { tokens } from './tokens.ts';
import { uplinks } from './uplinks.ts';

/** @param principal Who speaks through the socket that the app is served on; `web`: each request says it by a ticket. */
export function createApp(services: Services, principal: Principal | 'web', log: (line: string) => void) {
  const app = new Hono<Env>()
    .route('/', status)
    .route('/network', network)
    .route('/applications', applications)
    .route('/servers', servers)
    .route('/members', members)
    .route('/members', memberInvites)
    .route('/invitations', invites)
    .route('/session', session)
    .route('/account', account)
    .route('/tokens', tokens)
    .route('/setup', setup)
    .route('/devices', devices)
    .route('/lan', lan)
    .route('/leases', renewals)
    .route('/leases', leases)
    .route('/audit', audit)
    .route('/explain', explanations)
    .route('/metrics', metrics)
    .route('/knocks', knocks)
    .route('/rules', rules)
    .route('/names', names)
    .route('/uplinks', uplinks)
    .route('/config', config)
    .route('/handovers', handovers)
    .route('/join', join)
    .route('/backup', backup)
    .route('/restore', restore)
    .route('/history', history)
    .route('/confirm', confirm);
  app.get(
    '/openapi.json',
    needs('summary', { title: 'This description.', answer: z.looseObject({ openapi: z.string() }) }),
    (c) => c.json(describeApi(declarations(app))),
  );
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
