// Claiming a new router: once, from the LAN, with a code where the card says so; and what the first start makes.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Config } from '../../src/model/config.ts';
import { createFirstStart } from '../../src/router/first-start.ts';
import type { ObservedLink } from '../../src/router/plan/network.ts';
import { password, signedIn, throughGateway } from '../support/people.ts';

const link = (name: string, kind: string | null = null): ObservedLink => ({
  ...{ name, kind, up: true, mtu: 1500, master: null },
});

/** A router that was just started for the first time, with a set-up file if there is one. */
async function started(seed?: string, links: readonly ObservedLink[] = [link('zz0'), link('zz1'), link('zz2')]) {
  const control = throughGateway();
  const folder = mkdtempSync(join(tmpdir(), 'apn-seed-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const seedFile = join(folder, 'seed.json');
  if (seed !== undefined) writeFileSync(seedFile, seed);
  let present = links;
  const start = async () => {
    const first = createFirstStart({
      ...{ store: control.store, conditions: control.conditions, seedFile, newId: control.services.newId },
      links: async () => present,
      log: (line) => control.log.push(line),
    });
    control.services.setupProblem = () => first.problem();
    const saved = await first.look();
    return { first, saved };
  };
  const { first, saved } = await start();
  return {
    ...{ control, first, saved, start, seedFile },
    plug: (...more: readonly ObservedLink[]) => {
      present = [...present, ...more];
    },
    claim: (body: object = {}, from = '192.168.66.20') =>
      control.web('POST', '/setup/claim', { name: 'Ben', password, ...body }, { 'x-apn-client': from }),
  };
}

const lanOf = ({ lan }: Config) => lan;

describe('the first start', () => {
  it('makes a LAN of all ports but the first, and forwards nothing', async () => {
    const { control, saved } = await started();
    expect(saved).toBe(true);
    const { config, revision } = control.store.snapshot;
    expect(revision).toBe(1);
    expect(lanOf(config)).toEqual({
      ...{ topology: 'router', wan: 'zz0', ports: ['zz1', 'zz2'], defaultAccess: 'nothing' },
      ...{ address: '192.168.66.1', range: '192.168.66.0/24', dhcp: { from: '192.168.66.100', to: '192.168.66.199' } },
    });
    expect((await control.call('GET', '/summary')).body.state).toBe('unclaimed');
  });

  it('waits for ports, and says so', async () => {
    const { control, first, plug } = await started(undefined, [link('zz0'), link('lo'), link('zz7', 'bridge')]);
    expect(control.store.snapshot.config.lan).toBeNull();
    expect(control.conditions.list()).toMatchObject([{ code: 'no-lan-port' }]);
    const { revision } = control.store.snapshot;
    expect(await first.look()).toBe(false);
    expect(control.store.snapshot.revision).toBe(revision);
    plug(link('zz1'));
    expect(await first.look()).toBe(true);
    expect(lanOf(control.store.snapshot.config)?.ports).toEqual(['zz1']);
    expect(control.conditions.list()).toEqual([]);
  });

  it('leaves alone what somebody has set up', async () => {
    const { control, start } = await started();
    await control.call('PATCH', '/lan', { address: '192.168.77.1/24', dhcp: null });
    const { revision } = control.store.snapshot;
    expect((await start()).saved).toBe(false);
    expect(control.store.snapshot.revision).toBe(revision);
  });

  it('does nothing to a router from before there was one', async () => {
    const control = throughGateway();
    await control.call('POST', '/applications', { label: 'shop' });
    const first = createFirstStart({
      ...{ store: control.store, conditions: control.conditions, seedFile: undefined, newId: () => 'id00' },
      links: async () => [link('zz0'), link('zz1')],
      log: () => {},
    });
    expect(await first.look()).toBe(false);
    expect(control.store.snapshot.config.lan).toBeNull();
  });
});

describe('POST /setup/claim', () => {
  it('makes the first owner, who is signed in', async () => {
    const { control, claim } = await started();
    expect((await control.web('GET', '/setup')).body).toEqual({
      ...{ claimed: false, hostName: 'apn-router', codeNeeded: false, ownerName: null, fromHere: true, problem: null },
      lan: { address: '192.168.66.1', range: '192.168.66.0/24', ports: ['zz1', 'zz2'], wan: 'zz0' },
    });
    const { status, body, headers } = await claim();
    expect([status, body.member]).toMatchObject([201, { name: 'Ben', label: 'ben', role: 'owner' }]);
    expect(headers.get('x-apn-session')).toMatch(/^apn_session_/);
    expect((await control.web('GET', '/setup')).body).toEqual({ claimed: true, hostName: 'apn-router' });
    expect((await (await signedIn(control, 'Ben'))('GET', '/tokens')).status).toBe(200);
    expect((await claim({ name: 'Olga' })).status).toBe(409);
    // Also when everybody else is gone again: an owner stays.
    expect(control.store.snapshot.config.members).toHaveLength(1);
  });

  it.each([
    ['203.0.113.9', 403],
    ['172.16.1.1', 403],
    ['192.168.67.1', 403],
    ['::1', 403],
    ['192.168.66.77', 201],
  ])('from %s is answered %i', async (from, status) => {
    const { control, claim } = await started();
    expect((await control.web('GET', '/setup', undefined, { 'x-apn-client': from })).body.fromHere).toBe(
      status === 201,
    );
    expect((await claim({}, from)).status).toBe(status);
  });

  it('works on the console, and not without an address', async () => {
    const { control } = await started();
    const body = { name: 'Ben', password };
    const anonymous = await control.as({ kind: 'anonymous' }, 'POST', '/setup/claim', body);
    expect(anonymous.status).toBe(403);
    expect((await control.call('POST', '/setup/claim', body)).status).toBe(201);
  });

  it('of 50 at one moment has one winner', async () => {
    const { control, claim } = await started();
    const one = async (i: number): Promise<number> => {
      for (;;) {
        const { status } = await claim({ name: `Owner ${i}` }, `192.168.66.${50 + i}`);
        if (status !== 429) return status;
        await new Promise((next) => setTimeout(next, 1));
      }
    };
    const statuses = await Promise.all(Array.from({ length: 50 }, (_, i) => one(i)));
    expect(statuses.filter((status) => status === 201)).toHaveLength(1);
    expect(statuses.filter((status) => status === 409)).toHaveLength(49);
    expect(control.store.snapshot.config.members).toHaveLength(1);
    expect(control.store.tickets.list('session')).toHaveLength(1);
  });

  it.each([
    [{ password: 'short' }, 'password'],
    [{ password: 'apn-router 1' }, 'password'],
    [{ name: '' }, 'name'],
    [{ name: '東京' }, 'label'],
    [{ name: undefined }, 'name'],
    [{ role: 'owner' }, 'role'],
  ])('%j is refused at %s', async (body, path) => {
    const { control, claim } = await started();
    const { status, body: answer } = await claim(body);
    expect([status, answer.error.path]).toEqual([400, path]);
    expect(control.store.snapshot.config.members).toEqual([]);
  });
});

describe('a set-up file', () => {
  const seed = JSON.stringify({ claimCode: 'PLUM-7788-kiwi', hostName: 'office', ownerName: 'Ben' });

  it('sets a claim code, which is wanted then, and a name', async () => {
    const { control, claim } = await started(seed);
    expect((await control.web('GET', '/setup')).body).toMatchObject({
      hostName: 'office',
      codeNeeded: true,
      ownerName: 'Ben',
    });
    const bytes = control.databaseBytes().toString('latin1').toLowerCase();
    for (const canary of ['plum7788kiwi', 'plum-7788']) expect(bytes).not.toContain(canary);
    expect(await claim()).toMatchObject({ status: 401, body: { error: { path: 'code' } } });
    expect(await claim({ code: 'plum 7788 kiwis' })).toMatchObject({ status: 401, body: { error: { path: 'code' } } });
    const { status, body } = await claim({ code: ' plum7788 Kiwi', name: undefined });
    expect([status, body.member.name]).toEqual([201, 'Ben']);
    expect(control.store.tickets.list('claim')).toEqual([]);
  });

  it('slows down those who guess its code', async () => {
    const { claim } = await started(seed);
    const statuses = [];
    for (let i = 0; i < 8; i++) statuses.push((await claim({ code: `plum ${i}` })).status);
    expect(statuses).toEqual([401, 401, 401, 401, 401, 429, 429, 429]);
    expect((await claim({ code: 'plum7788kiwi' }, '192.168.66.99')).status).toBe(201);
  });

  it('is read once: not again at the next start, nor when it comes later', async () => {
    const { control, start, seedFile } = await started(seed);
    writeFileSync(seedFile, JSON.stringify({ claimCode: 'another code', hostName: 'other' }));
    expect((await start()).saved).toBe(false);
    expect(control.store.snapshot.config.system.hostName).toBe('office');
    expect(control.store.tickets.list('claim')).toHaveLength(1);
    const late = await started();
    writeFileSync(late.seedFile, seed);
    await late.start();
    expect((await late.control.web('GET', '/setup')).body).toMatchObject({ hostName: 'apn-router', codeNeeded: false });
  });

  it.each([
    ['', ''],
    ['{', ''],
    ['[]', ''],
    ['{"claimCode": "short-1"}', 'claimCode'],
    ['{"claimCode": 12345678}', 'claimCode'],
    ['{"hostName": "Office"}', 'hostName'],
    ['{"ownerName": " Ben"}', 'ownerName'],
    ['{"claimCode": "long enough", "claimCode": "long enough"}', 'claimCode'],
    ['{"claimCode": "long enough", "wifi": {"ssid": "x"}}', 'wifi'],
    ['{"claimCode": "long enough", "password": "x"}', 'password'],
  ])('%s is refused whole at “%s”, and nobody claims the router by accident', async (text, field) => {
    const { control, claim, start, seedFile, saved } = await started(text);
    expect(saved).toBe(true);
    expect(lanOf(control.store.snapshot.config)).not.toBeNull();
    expect(control.conditions.list()).toMatchObject([{ code: 'seed-refused', severity: 'error' }]);
    expect(control.conditions.list()[0]?.about).toMatch(field === '' ? /^\S/ : new RegExp(`^${field}: `));
    expect(control.store.snapshot.config.system.hostName).toBe('apn-router');
    expect((await control.web('GET', '/setup')).body.problem).toContain('wrong');
    expect((await claim()).status).toBe(403);
    // Mended, it counts at the next start.
    control.conditions.clear('seed-refused');
    writeFileSync(seedFile, seed);
    expect((await start()).saved).toBe(true);
    expect(control.conditions.list()).toEqual([]);
    expect((await claim()).body.error.path).toBe('code');
    expect((await claim({ code: 'plum7788kiwi' })).status).toBe(201);
  });

  it('that is wrong does not stop the console', async () => {
    const { control, first } = await started('{');
    expect((await control.call('POST', '/setup/claim', { name: 'Ben', password })).status).toBe(201);
    await first.look();
    expect([control.conditions.list(), first.problem()]).toEqual([[], null]);
  });
});
