// What a role may do: the one place where it is decided.
import type { Config, Member, Role } from './config.ts';

/** The member's role for one application: its entry there, else the role for everything. Nobody when disabled. */
export function roleIn(member: Member, applicationId: string): Role | null {
  if (member.disabled) return null;
  return new Map(Object.entries(member.access)).get(applicationId) ?? member.role;
}

/** Whether own devices reach the application's servers: every role that does more than look. */
export function reaches(member: Member, applicationId: string): boolean {
  const role = roleIn(member, applicationId);
  return role !== null && role !== 'viewer';
}

/** Who asks: the console (root on the box), a signed-in member, or nobody. */
export type Principal =
  | { readonly kind: 'console' }
  | { readonly kind: 'member'; readonly id: string }
  | { readonly kind: 'anonymous' };

/**
 * What a request needs. `summary` is what anybody on the LAN may see: counts and state, no names. `see` is reading,
 * `manage` is every change.
 */
export type Permission = 'summary' | 'see' | 'manage';

/** Decides against the configuration as it is now, never against a copy kept with a session. */
export function may(principal: Principal, permission: Permission, config: Config): boolean {
  if (principal.kind === 'console') return true;
  if (principal.kind === 'anonymous') return permission === 'summary';
  const member = config.members.find(({ id }) => id === principal.id);
  if (member === undefined || member.disabled) return false;
  return permission === 'summary' || permission === 'see' || member.role === 'owner';
}
