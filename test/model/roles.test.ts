// Who may do what: every permission against every kind of asker, and what nobody gives, takes or becomes.
import { describe, expect, it } from 'vitest';
import type { Config, Member, Role } from '../../src/model/config.ts';
import {
  atLeast,
  claimed,
  grantProblem,
  inviteProblem,
  may,
  mayAnywhere,
  type Permission,
  type Principal,
  permissions,
  reaches,
  roleIn,
  type Scope,
  tokenScopes,
} from '../../src/model/roles.ts';
import { exampleConfig, label } from '../support/builders.ts';

const person = (id: string, role: Role, access: Record<string, Role> = {}, disabled = false): Member => ({
  ...{ id, name: id, label: label(id), role, access, leasePolicy: 'ask', travelUntil: null, disabled },
});

/** Two applications, shop1 and books1, and one person of each kind. */
const people: readonly Member[] = [
  person('owner1', 'owner'),
  person('owner2', 'owner'),
  person('admin1', 'admin'),
  person('admin2', 'admin'),
  person('shopkeeper', 'viewer', { shop1: 'admin' }),
  person('developer', 'developer'),
  person('shopdeveloper', 'viewer', { shop1: 'developer' }),
  person('viewer1', 'viewer'),
  person('halfadmin', 'admin', { books1: 'viewer' }),
  person('disabled1', 'owner', {}, true),
];
const config: Config = exampleConfig({ members: people, devices: [] });
const as = (id: string, more: object = {}): Principal => ({ kind: 'member', id, ...more });
const found = (id: string): Member => people.find((one) => one.id === id) as Member;

describe('roles', () => {
  it('are in an order, and nobody has none', () => {
    expect(atLeast('admin', 'developer')).toBe(true);
    expect(atLeast('developer', 'admin')).toBe(false);
    expect(atLeast(null, 'viewer')).toBe(false);
  });

  it('of an application count before the one for everything', () => {
    expect(roleIn(found('shopkeeper'), 'shop1')).toBe('admin');
    expect(roleIn(found('shopkeeper'), 'books1')).toBe('viewer');
    expect(roleIn(found('halfadmin'), 'books1')).toBe('viewer');
    expect(roleIn(found('disabled1'), 'shop1')).toBeNull();
    expect(roleIn(person('x', 'viewer'), 'constructor')).toBe('viewer');
    expect(reaches(found('shopdeveloper'), 'shop1')).toBe(true);
    expect(reaches(found('shopdeveloper'), 'books1')).toBe(false);
  });

  it('begin with the first owner', () => {
    expect(claimed(config)).toBe(true);
    expect(claimed({ members: [] })).toBe(false);
  });
});

/** Everybody who may do something to something, by name. */
function allowed(permission: Permission, scope: Scope): readonly string[] {
  return people.filter(({ id }) => may(as(id), permission, scope, config)).map(({ id }) => id);
}

const owners = ['owner1', 'owner2'];
const admins = [...owners, 'admin1', 'admin2'];
const enabled = people.filter(({ disabled }) => !disabled).map(({ id }) => id);

describe('may', () => {
  it.each<[Permission, Scope, readonly string[]]>([
    ['see', {}, enabled],
    ['metrics', {}, enabled],
    ['account', {}, enabled],
    ['server', {}, [...admins, 'halfadmin']],
    ['server', { application: 'shop1' }, [...admins, 'shopkeeper', 'halfadmin']],
    ['server', { application: 'books1' }, admins],
    ['rule', { application: 'shop1' }, [...admins, 'shopkeeper', 'halfadmin']],
    ['rule', { anywhere: true }, [...admins, 'shopkeeper', 'halfadmin']],
    ['member', { anywhere: true }, [...admins, 'shopkeeper', 'halfadmin']],
    ['name', {}, [...admins, 'halfadmin']],
    ['configure', {}, owners],
    ['own', {}, owners],
    ['device', {}, [...admins, 'halfadmin']],
    ['device', { member: 'shopdeveloper' }, [...admins, 'shopdeveloper', 'halfadmin']],
    ['device', { member: 'viewer1' }, [...admins, 'halfadmin']],
    ['lease', { member: 'developer' }, [...admins, 'developer', 'halfadmin']],
    ['lease', { anywhere: true }, [...admins, 'shopkeeper', 'developer', 'shopdeveloper', 'halfadmin']],
    ['console', {}, []],
    ['summary', {}, people.map(({ id }) => id)],
    ['open', {}, people.map(({ id }) => id)],
  ])('%s in %j: %j', (permission, scope, expected) => {
    expect(new Set(allowed(permission, scope))).toEqual(new Set(expected));
  });

  it('is asked of nobody, of the console, and of somebody who is gone', () => {
    const gone = as('gone');
    for (const permission of permissions) {
      const free = permission === 'summary' || permission === 'open';
      expect(may({ kind: 'anonymous' }, permission, {}, config)).toBe(free);
      expect(may(gone, permission, {}, config)).toBe(free);
      expect(may({ kind: 'console' }, permission, {}, config)).toBe(permission !== 'account');
    }
  });

  it('is no more for a token than its scope says', () => {
    const scopes = (permission: Permission) =>
      tokenScopes.filter((token) => may(as('owner1', { token }), permission, {}, config));
    expect(scopes('see')).toEqual(['read', 'lease', 'manage']);
    expect(scopes('metrics')).toEqual(['manage', 'metrics']);
    expect(scopes('lease')).toEqual(['lease', 'manage']);
    expect(scopes('configure')).toEqual(['manage']);
    expect(scopes('account')).toEqual([]);
    expect(scopes('own')).toEqual([]);
    expect(may(as('viewer1', { token: 'manage' }), 'configure', {}, config)).toBe(false);
  });

  it('is never yes where there is no place for it', () => {
    for (const permission of permissions) {
      for (const { id } of people) {
        const scopes: readonly Scope[] = [
          ...[{}, { anywhere: true as const }, { application: 'shop1' }, { application: 'books1' }],
          ...people.map((one) => ({ member: one.id })),
        ];
        const somewhere = scopes.some((scope) => may(as(id), permission, scope, config));
        expect([permission, id, mayAnywhere(as(id), permission, config)]).toEqual([permission, id, somewhere]);
      }
    }
  });
});

describe('a grant', () => {
  const problem = (who: Principal | string, before: Member | null, after: Member | null) =>
    grantProblem(typeof who === 'string' ? as(who) : who, before, after, config) !== null;
  const viewer = found('viewer1');

  it('is the console’s and the owners’ to make', () => {
    for (const who of [{ kind: 'console' } as const, 'owner1']) {
      expect(problem(who, null, person('new', 'owner'))).toBe(false);
      expect(problem(who, found('owner2'), null)).toBe(false);
      expect(problem(who, found('owner1'), { ...found('owner1'), role: 'viewer' })).toBe(false);
    }
    expect(problem('gone', null, person('new', 'viewer'))).toBe(true);
  });

  it('of an owner’s token makes, changes and removes no owner', () => {
    const token = as('owner1', { token: 'manage' });
    expect(problem(token, viewer, { ...viewer, role: 'admin' })).toBe(false);
    expect(problem(token, viewer, null)).toBe(false);
    expect(problem(token, viewer, { ...viewer, role: 'owner' })).toBe(true);
    expect(problem(token, viewer, { ...viewer, access: { shop1: 'owner' } })).toBe(true);
    expect(problem(token, found('owner2'), null)).toBe(true);
    expect(problem(token, null, person('new', 'owner'))).toBe(true);
  });

  it('of an admin stops at owners, and at himself', () => {
    expect(problem('admin1', viewer, { ...viewer, role: 'admin' })).toBe(false);
    expect(problem('admin1', found('admin2'), null)).toBe(false);
    expect(problem('admin1', null, person('new', 'admin', { shop1: 'developer' }))).toBe(false);
    expect(problem('admin1', viewer, { ...viewer, role: 'owner' })).toBe(true);
    expect(problem('admin1', viewer, { ...viewer, access: { shop1: 'owner' } })).toBe(true);
    expect(problem('admin1', found('owner1'), { ...found('owner1'), disabled: true })).toBe(true);
    expect(problem('admin1', found('owner1'), null)).toBe(true);
    expect(problem('admin1', found('admin1'), { ...found('admin1'), name: 'Other' })).toBe(true);
  });

  it('of an admin of one application is a role there', () => {
    const keeper = 'shopkeeper';
    expect(problem(keeper, viewer, { ...viewer, access: { shop1: 'developer' } })).toBe(false);
    expect(problem(keeper, found('shopdeveloper'), { ...found('shopdeveloper'), access: {} })).toBe(false);
    expect(problem(keeper, null, person('new', 'viewer', { shop1: 'admin' }))).toBe(false);
    expect(problem(keeper, null, person('new', 'developer'))).toBe(true);
    expect(problem(keeper, viewer, { ...viewer, access: { books1: 'developer' } })).toBe(true);
    expect(problem(keeper, viewer, { ...viewer, access: { shop1: 'developer' }, role: 'developer' })).toBe(true);
    expect(problem(keeper, viewer, { ...viewer, disabled: true })).toBe(true);
    expect(problem(keeper, viewer, null)).toBe(true);
    expect(problem(keeper, found('shopkeeper'), { ...found('shopkeeper'), access: { shop1: 'owner' } })).toBe(true);
  });
});

describe('a way to sign in', () => {
  const invited = (who: Principal, isNew: boolean) =>
    people.filter((one) => inviteProblem(who, one, isNew, config) === null).map(({ id }) => id);

  it('is given by those who may do all that it gives', () => {
    expect(invited({ kind: 'console' }, false)).toHaveLength(people.length);
    expect(invited(as('owner1'), false)).toHaveLength(people.length);
    expect(invited(as('gone'), true)).toEqual([]);
    const below = ['shopkeeper', 'developer', 'shopdeveloper', 'viewer1'];
    expect(invited(as('admin1'), false)).toEqual(['admin1', 'admin2', ...below, 'halfadmin']);
    // An admin who is none of books gives nobody away who may do more there.
    expect(invited(as('halfadmin'), false)).toEqual(['shopkeeper', 'shopdeveloper', 'viewer1', 'halfadmin']);
  });

  it('is given by an admin of an application to newcomers alone', () => {
    expect(invited(as('shopkeeper'), true)).toEqual(['shopkeeper', 'shopdeveloper', 'viewer1']);
    expect(invited(as('shopkeeper'), false)).toEqual([]);
  });

  it('of a disabled owner is still an owner’s', () => {
    expect(inviteProblem(as('admin1'), found('disabled1'), true, config)).toContain('may do more');
  });
});
