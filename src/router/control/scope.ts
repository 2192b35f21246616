// What the object of a request belongs to: asked before it is decided who may do it.
import type { Context } from 'hono';
import type { Config } from '../../model/config.ts';
import { may, type Scope } from '../../model/roles.ts';
import { findApplication, findDevice, findMember, findServer } from './find.ts';
import { field } from './http.ts';
import { findDamaged } from './peers.ts';
import type { Env } from './services.ts';

type At = (c: Context<Env>, config: Config) => Scope | Promise<Scope>;

/** The handler decides the rest. */
export const anywhere: At = () => ({ anywhere: true });

/** Of the field `application`. */
export const applicationScope: At = async (c, config) => {
  const reference = await field(c, 'application');
  return reference === null ? {} : { application: findApplication(config, reference, 'application').id };
};

/** Of the field `member`. */
export const memberScope: At = async (c, config) => {
  const reference = await field(c, 'member');
  return reference === null ? {} : { member: findMember(config, reference, 'member').id };
};

/** Of the server that the path names; one whose key is damaged can be in any application. */
export const serverScope: At = (c, config) => {
  const reference = c.req.param('server') ?? '';
  if (findDamaged(c.get('services'), 'servers', reference) !== undefined) return {};
  return { application: findServer(config, reference).application };
};

/** Of the device that the path names. */
export const deviceScope: At = (c, config) => {
  const reference = c.req.param('device') ?? '';
  if (findDamaged(c.get('services'), 'devices', reference) !== undefined) return {};
  return { member: findDevice(config, reference).member };
};

/** Of the server in the field `server`. */
export const fieldServerScope: At = async (c, config) => {
  const reference = await field(c, 'server');
  return reference === null ? {} : { application: findServer(config, reference, 'server').application };
};

/** Whom a lease is for: who may lease for everybody says so or not, everybody else leases for himself. */
export async function leaseFor(c: Context<Env>, config: Config): Promise<string | null> {
  const reference = await field(c, 'member');
  if (reference !== null) return findMember(config, reference, 'member').id;
  const principal = c.get('principal');
  return principal.kind !== 'member' || may(principal, 'lease', {}, config) ? null : principal.id;
}
