// Network edits that are undone unless they are confirmed: by whom, in which time, through restarts and beside other edits.
import { describe, expect, it } from 'vitest';
import { ConfirmKeeper, confirmTimer } from '../../src/router/confirm.ts';
import type { Control } from '../support/control.ts';
import { bearer, type People, signedIn, withPeople } from '../support/people.ts';
import { noon, publicKey } from '../support/saving.ts';

async function owned(): Promise<People> {
  const control = await withPeople();
  const { status } = await control.call('PATCH', '/lan', {
    ...{ wan: 'wan0', ports: ['lan0'], address: '192.168.66.1/24', dhcp: null },
  });
  expect(status).toBe(200);
  return control;
}

const lanAddress = ({ store }: Control) => store.snapshot.config.lan?.address;
/** The keeper looks as the router's does. */
const look = (control: Control) => new ConfirmKeeper(control.store, control.conditions).tick({ ...control.clock });

describe('a network edit', () => {
  it('through the gateway waits 90 s, is undone then, and can be made again', async () => {
    const control = await owned();
    const ben = await signedIn(control, 'ben');
    const { body } = await ben('PATCH', '/lan', { address: '192.168.77.1/24' });
    expect(body).toMatchObject({ address: '192.168.77.1', confirm: { secondsLeft: 90 } });
    expect((await ben('GET', '/confirm')).body).toMatchObject({
      summary: 'LAN changed',
      by: 'Ben',
      yours: true,
      secondsLeft: 90,
    });
    expect((await control.call('GET', '/summary')).body.confirm).toEqual({ secondsLeft: 90 });
    expect(look(control)).toEqual({ undone: false, next: 90_000 });
    control.clock.boot += 89_999;
    expect((await ben('GET', '/confirm')).body.secondsLeft).toBe(1);
    expect(look(control)).toEqual({ undone: false, next: 1 });
    expect(lanAddress(control)).toBe('192.168.77.1');
    control.clock.boot += 1;
    expect(look(control)).toEqual({ undone: true, next: null });
    expect(lanAddress(control)).toBe('192.168.66.1');
    expect((await ben('GET', '/confirm')).body).toBeNull();
    expect((await control.call('GET', '/status')).body.confirm).toBeNull();
    expect((await control.call('GET', '/history?limit=1')).body[0]).toMatchObject({
      actor: 'router',
      summary: 'undone: LAN changed',
    });
    expect((await ben('PATCH', '/lan', { address: '192.168.77.1/24' })).status).toBe(200);
  });

  it('stays when the same session confirms it, and nobody else can', async () => {
    const control = await owned();
    const [ben, elsewhere] = [await signedIn(control, 'ben'), await signedIn(control, 'ben')];
    const { id } = (await ben('PATCH', '/lan', { address: '192.168.77.1/24' })).body.confirm;
    expect((await elsewhere('POST', '/confirm', { id })).status).toBe(403);
    expect((await elsewhere('GET', '/confirm')).body.yours).toBe(false);
    expect((await control.call('POST', '/confirm', { id })).status).toBe(403);
    expect((await control.web('POST', '/confirm', { id })).status).toBe(401);
    expect((await ben('POST', '/confirm', { id: 'another' })).status).toBe(409);
    expect((await ben('POST', '/confirm', { id })).status).toBe(200);
    expect((await ben('POST', '/confirm', { id })).status).toBe(404);
    control.clock.boot += 1e6;
    expect(look(control)).toEqual({ undone: false, next: null });
    expect(lanAddress(control)).toBe('192.168.77.1');
  });

  it('is confirmed by the token that made it', async () => {
    const control = await owned();
    const issue = (id: string) =>
      bearer(
        control,
        control.store.tickets.issue('token', {
          ...{ id, owner: control.ids.ben, body: { scope: 'manage', name: id }, expiresAt: noon.wall + 1e9 },
        }),
      );
    const [one, other] = [issue('one'), issue('other')];
    expect((await one('PATCH', '/network', { range: '172.16.0.0/16' })).body.confirm).toBeNull();
    expect((await one('PATCH', '/lan', { ports: ['lan0', 'lan1'], confirm: 5 })).body.confirm.secondsLeft).toBe(5);
    expect((await other('POST', '/confirm', {})).status).toBe(403);
    expect((await one('POST', '/confirm', {})).status).toBe(200);
  });

  it('on the console stays at once unless told otherwise', async () => {
    const control = await owned();
    const { body } = await control.call('PATCH', '/lan', { address: '192.168.77.1/24' });
    expect(body.confirm).toBeNull();
    await control.call('PATCH', '/lan', { address: '192.168.78.1/24', confirm: 30 });
    expect((await control.call('GET', '/confirm')).body).toMatchObject({ secondsLeft: 30, by: 'console', yours: true });
    expect((await control.call('DELETE', '/confirm')).status).toBe(200);
    expect(lanAddress(control)).toBe('192.168.77.1');
    expect((await control.call('DELETE', '/confirm')).status).toBe(404);
  });

  it('that cuts nobody off stays at once', async () => {
    const control = await owned();
    const ben = await signedIn(control, 'ben');
    for (const body of [{ defaultAccess: 'everything' }, { dhcp: { from: '192.168.66.20', to: '192.168.66.30' } }]) {
      expect((await ben('PATCH', '/lan', body)).body.confirm).toBeNull();
    }
    expect((await ben('PATCH', '/network', { endpoint: { host: 'hub.example.net' } })).body.confirm).toBeNull();
    expect(
      (await ben('PATCH', '/lan', { address: '192.168.77.1/24', dhcp: null, confirm: 0 })).body.confirm,
    ).toBeNull();
    expect(lanAddress(control)).toBe('192.168.77.1');
  });

  it.each([-1, 1.5, 3601, '90', Number.NaN])('takes no %s for seconds', async (confirm) => {
    const control = await owned();
    const { status, body } = await control.call('PATCH', '/lan', { address: '192.168.77.1/24', confirm });
    expect([status, body.error.path]).toEqual([400, 'confirm']);
    expect(lanAddress(control)).toBe('192.168.66.1');
  });

  it('that made the first LAN needs no confirmation: nobody was on it', async () => {
    const control = await withPeople();
    const ben = await signedIn(control, 'ben');
    const { body } = await ben('PATCH', '/lan', { wan: 'wan0', ports: ['lan0'], address: '192.168.66.1/24' });
    expect(body.confirm).toBeNull();
  });

  it('that waits keeps other network edits out, and lets the rest pass and live on', async () => {
    const control = await owned();
    const ben = await signedIn(control, 'ben');
    await ben('PATCH', '/lan', { address: '192.168.77.1/24' });
    for (const [path, body] of [
      ['/lan', { address: '192.168.78.1/24' }],
      ['/lan', { ports: ['lan0', 'lan1'] }],
    ] as const) {
      expect((await ben('PATCH', path, body)).status).toBe(409);
    }
    // An address of the new LAN would not live in the old one.
    const tv = { label: 'tv', mac: '02:00:00:00:00:01' };
    const refused = await ben('POST', '/lan/devices', { ...tv, address: '192.168.77.9' });
    expect([refused.status, refused.body.error.message]).toEqual([
      409,
      expect.stringContaining('“LAN changed” waits to be confirmed'),
    ]);
    const server = { application: 'shop', label: 'web', publicKey: publicKey() };
    expect((await ben('POST', '/servers', server)).status).toBe(201);
    expect((await ben('PATCH', '/lan', { defaultAccess: ['shop'] })).status).toBe(200);
    control.clock.boot += 90_000;
    expect(look(control).undone).toBe(true);
    const { config } = control.store.snapshot;
    expect(config.lan).toMatchObject({
      address: '192.168.66.1',
      range: '192.168.66.0/24',
      defaultAccess: [expect.any(String)],
    });
    expect(config.servers).toMatchObject([{ label: 'web' }]);
    expect((await ben('POST', '/lan/devices', { ...tv, address: '192.168.66.9' })).status).toBe(201);
  });

  it('is undone after a restart of the machine, whatever time was left', async () => {
    const control = await owned();
    await (await signedIn(control, 'ben'))('PATCH', '/lan', { address: '192.168.77.1/24' });
    Object.assign(control.clock, { bootId: 'boot-2', boot: 10, wall: 0 });
    expect((await control.call('GET', '/confirm')).body).toMatchObject({ secondsLeft: 0 });
    expect(look(control)).toEqual({ undone: true, next: null });
    expect(lanAddress(control)).toBe('192.168.66.1');
  });

  it('that cannot be undone is told, tried again, and may be kept by any owner', async () => {
    const control = await owned();
    const ben = await signedIn(control, 'ben');
    await ben('PATCH', '/lan', { address: '192.168.77.1/24' });
    control.clock.boot += 90_000;
    const { save } = control.store;
    control.store.save = () => {
      throw new Error('disk full');
    };
    expect(look(control)).toEqual({ undone: false, next: 5000 });
    expect(control.conditions.list()).toMatchObject([{ code: 'undo-failing', about: 'disk full' }]);
    control.store.save = save;
    expect((await control.call('POST', '/confirm', {})).status).toBe(200);
    expect(look(control)).toEqual({ undone: false, next: null });
    expect(control.conditions.list()).toEqual([]);
    expect(lanAddress(control)).toBe('192.168.77.1');
  });

  it('comes back with the timer, which tells that it did', async () => {
    const control = await owned();
    const start = performance.now();
    const undone = Promise.withResolvers<void>();
    const clock = () => ({ ...noon, boot: noon.boot + performance.now() - start });
    const again = confirmTimer(new ConfirmKeeper(control.store, control.conditions), clock, undone.resolve);
    await control.call('PATCH', '/lan', { address: '192.168.77.1/24', confirm: 1 });
    again();
    again();
    expect(lanAddress(control)).toBe('192.168.77.1');
    await undone.promise;
    expect(lanAddress(control)).toBe('192.168.66.1');
    expect(performance.now() - start).toBeGreaterThan(990);
  });
});
