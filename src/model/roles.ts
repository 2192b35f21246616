// What a role may do: the one place where it is decided.
import type { Config, Member, Role } from './config.ts';

const ranks: readonly Role[] = ['viewer', 'developer', 'admin', 'owner'];

/** Whether the router has an owner; until then it forwards nothing. */
export function claimed({ members }: Pick<Config, 'members'>): boolean {
  return members.length > 0;
}

/** Whether the role is this one or does more. */
export function atLeast(role: Role | null, wanted: Role): boolean {
  return role !== null && ranks.indexOf(role) >= ranks.indexOf(wanted);
}

/** The member's role for one application: its entry there, else the role for everything. Nobody when disabled. */
export function roleIn(member: Member, applicationId: string): Role | null {
  if (member.disabled) return null;
  return new Map(Object.entries(member.access)).get(applicationId) ?? member.role;
}

/** Whether own devices reach the application's servers: every role that does more than look. */
export function reaches(member: Member, applicationId: string): boolean {
  return atLeast(roleIn(member, applicationId), 'developer');
}

/** What an API token may be used for: reading, reading and leases, everything its member may, or metrics alone. */
export const tokenScopes = ['read', 'lease', 'manage', 'metrics'] as const;
export type TokenScope = (typeof tokenScopes)[number];

/** Who asks: the console (root on the box), a member, or nobody. */
export type Principal =
  | { readonly kind: 'console' }
  | {
      readonly kind: 'member';
      readonly id: string;
      /** Absent: signed in by a session. */
      readonly token?: TokenScope;
      /** The session or token that the request came with. */
      readonly ticket?: string;
      /** The password was given a moment ago. */
      readonly fresh?: boolean;
    }
  | { readonly kind: 'anonymous' };

/** What a request is about. Absent fields: it is about everything. */
export interface Scope {
  /** Id of the application that the object belongs to. */
  readonly application?: string;
  /** Id of the member it belongs to. */
  readonly member?: string;
  /** Whoever may do it to something may go on; the rest is decided by `grantProblem`. */
  readonly anywhere?: true;
}

interface Demand {
  /** The role that may do it: in the application of the scope where there is one, else for everything. */
  readonly role: Role;
  /** The role, in any application, that may do it to what is one's own. */
  readonly own?: Role;
  /** API tokens that may be used for it; none: a session is needed. */
  readonly tokens: readonly TokenScope[];
}

const change: readonly TokenScope[] = ['manage'];

const demands = {
  /** Reading. */
  see: { role: 'viewer', tokens: ['read', 'lease', 'manage'] },
  metrics: { role: 'viewer', tokens: ['metrics', 'manage'] },
  /** One's own account: password, second factor, sessions, tokens. */
  account: { role: 'viewer', tokens: [] },
  lease: { role: 'admin', own: 'developer', tokens: ['lease', 'manage'] },
  device: { role: 'admin', own: 'developer', tokens: change },
  server: { role: 'admin', tokens: change },
  rule: { role: 'admin', tokens: change },
  member: { role: 'admin', tokens: change },
  /** LAN devices and extra names. */
  name: { role: 'admin', tokens: change },
  /** Applications, network, LAN, uplinks, the box itself. */
  configure: { role: 'owner', tokens: change },
  /** Tokens do not reach what could take the whole network over. */
  own: { role: 'owner', tokens: [] },
} as const satisfies Readonly<Record<string, Demand>>;

/**
 * What a request needs. `summary` is what anybody on the LAN may see: counts and state, no names. `open` needs no
 * sign-in, because the route asks for a secret of its own. `console` is root on the box alone.
 */
export type Permission = 'summary' | 'open' | 'console' | keyof typeof demands;

export const permissions: readonly Permission[] = [
  ...(['summary', 'open', 'console'] as const),
  ...(Object.keys(demands) as (keyof typeof demands)[]),
];

/** Decides against the configuration as it is now, never against a copy kept with a session. */
export function may(principal: Principal, permission: Permission, scope: Scope, config: Config): boolean {
  return decide(principal, permission, config, (member, { role, own }) => {
    if (scope.anywhere === true) return somewhere(member, own ?? role);
    if (own !== undefined && scope.member === member.id && somewhere(member, own)) return true;
    return atLeast(scope.application === undefined ? member.role : roleIn(member, scope.application), role);
  });
}

/** Whether there can be a scope in which `may` says yes: asked before the object is looked for. */
export function mayAnywhere(principal: Principal, permission: Permission, config: Config): boolean {
  return decide(principal, permission, config, (member, { role, own }) => somewhere(member, own ?? role));
}

function decide(
  principal: Principal,
  permission: Permission,
  config: Config,
  allows: (member: Member, demand: Demand) => boolean,
): boolean {
  if (permission === 'summary' || permission === 'open') return true;
  if (principal.kind === 'console') return permission !== 'account';
  if (principal.kind === 'anonymous' || permission === 'console') return false;
  const member = config.members.find(({ id }) => id === principal.id);
  if (member === undefined || member.disabled) return false;
  const demand: Demand = demands[permission];
  if (principal.token !== undefined && !demand.tokens.includes(principal.token)) return false;
  return member.role === 'owner' || allows(member, demand);
}

function somewhere(member: Member, wanted: Role): boolean {
  return atLeast(member.role, wanted) || Object.values(member.access).some((role) => atLeast(role, wanted));
}

/**
 * Why the principal may not give the member a new way to sign in, or null. Whoever holds it is that member: so it is
 * for those who may do all that the member may, and an admin of some applications lets newcomers in, nobody else.
 */
export function inviteProblem(principal: Principal, member: Member, isNew: boolean, config: Config): string | null {
  if (principal.kind !== 'member') return null;
  const self = config.members.find(({ id }) => id === principal.id);
  if (self === undefined) return 'You may not do this.';
  if (self.role === 'owner') return null;
  const applications = config.applications.map(({ id }) => id);
  const more = (role: Role | null, than: Role | null) => than !== null && !atLeast(role, than);
  if (
    more(self.role, member.role) ||
    applications.some((id) => more(roleIn(self, id), new Map(Object.entries(member.access)).get(id) ?? member.role))
  ) {
    return `${member.name} may do more than you: somebody else has to do this.`;
  }
  if (!isNew && !atLeast(self.role, 'admin'))
    return 'Only an admin of everything does this to somebody who can sign in.';
  return null;
}

/**
 * Why the principal may not make `after` of `before` (null: a new member, or one that is removed), or null. Nobody gives
 * what he does not have, changes an owner without being one, or changes his own rights.
 */
export function grantProblem(
  principal: Principal,
  before: Member | null,
  after: Member | null,
  config: Config,
): string | null {
  if (principal.kind !== 'member') return null;
  const self = config.members.find(({ id }) => id === principal.id);
  if (self === undefined) return 'You may not do this.';
  const given = [after?.role, ...Object.values(after?.access ?? {})];
  if (self.role === 'owner') {
    if (principal.token === undefined || (before?.role !== 'owner' && !given.includes('owner'))) return null;
    return 'A token neither makes nor changes an owner: sign in.';
  }
  if (before?.role === 'owner') return 'Only an owner changes an owner.';
  if (given.includes('owner')) return 'Only an owner makes an owner.';
  if (before?.id === self.id) return 'You cannot change your own rights.';
  if (atLeast(self.role, 'admin')) return null;
  return applicationAdminProblem(self, before, after);
}

/** An admin of some applications changes people's roles there, and nothing else of theirs. */
function applicationAdminProblem(self: Member, before: Member | null, after: Member | null): string | null {
  if (after === null) return 'Only an admin of everything removes members.';
  const [old, now] = [new Map(Object.entries(before?.access ?? {})), new Map(Object.entries(after.access))];
  const touched = [...new Set([...old.keys(), ...now.keys()])].filter((id) => old.get(id) !== now.get(id));
  if (touched.some((id) => !atLeast(roleIn(self, id), 'admin'))) return 'You are no admin of that application.';
  if (before === null) return after.role === 'viewer' ? null : 'You give roles in your applications alone.';
  const rest = (one: Member) => JSON.stringify({ ...one, access: {} });
  return rest(before) === rest(after) ? null : 'You give roles in your applications alone.';
}
