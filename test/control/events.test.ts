// /events: that a lease is about to end is told to those who may see leases, and to nobody else.
import { describe, expect, it } from 'vitest';
import type { Principal } from '../../src/model/roles.ts';
import { type Control, makeControl } from '../support/control.ts';
import { poll } from '../support/lab/run.ts';
import { leaseAt, noon } from '../support/saving.ts';

async function ready(): Promise<Control> {
  const control = makeControl();
  await control.call('POST', '/members', { name: 'Olga', role: 'owner' });
  await control.call('POST', '/members', { name: 'Anna', role: 'viewer' });
  return control;
}

/** Reads the stream as it comes; `stop` ends it. */
async function listen(control: Control, principal: Principal) {
  const response = await control.app(principal).request('/events');
  let text = '';
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  const done = (async () => {
    for (;;) {
      const { value, done: over } = await reader.read();
      if (over) return;
      text += decoder.decode(value, { stream: true });
    }
  })();
  const events = () => [...text.matchAll(/event: ([a-z-]+)\ndata: (.+)/g)].map(([, event, data]) => ({ event, data }));
  const stop = async () => {
    await reader.cancel();
    await done;
  };
  await poll(() => events().length > 0, { what: 'the first event' });
  return { events, stop };
}

const ending = (control: Control, member: string | null = null) =>
  control.services.announcements.leaseEnding({ ...leaseAt(noon, 'one', 1), member }, 599_000);

describe('a lease that is about to end', () => {
  it('is told to the console and to members, with the name of whom it is for', async () => {
    const control = await ready();
    const anna = control.store.snapshot.config.members.find(({ name }) => name === 'Anna')?.id ?? '';
    for (const principal of [{ kind: 'console' }, { kind: 'member', id: anna }] as const) {
      const stream = await listen(control, principal);
      ending(control, anna);
      ending(control);
      const told = () => stream.events().filter(({ event }) => event === 'lease-ending');
      await poll(() => told().length === 2, { what: 'the warnings' });
      expect(told().map(({ data }) => JSON.parse(data ?? ''))).toEqual([
        { id: 'one', source: '203.0.113.7', member: 'Anna', minutes: 10 },
        { id: 'one', source: '203.0.113.7', member: null, minutes: 10 },
      ]);
      await stream.stop();
    }
  });

  it('is not told to strangers, to whoever signed out meanwhile, nor to a member who was disabled', async () => {
    const control = await ready();
    const anna = control.store.snapshot.config.members.find(({ name }) => name === 'Anna')?.id ?? '';
    const session = { id: 'session1', owner: anna, body: {}, expiresAt: noon.wall + 3600_000 };
    control.store.tickets.issue('session', session);
    const signedIn = { kind: 'member', id: anna, ticket: 'session1' } as const;
    const streams = await Promise.all(
      [{ kind: 'anonymous' } as const, signedIn, { kind: 'member', id: anna } as const].map((one) =>
        listen(control, one),
      ),
    );
    const [stranger, session1, member] = streams.map(
      ({ events }) =>
        () =>
          events().map(({ event }) => event),
    );
    ending(control);
    await poll(() => session1!().includes('lease-ending') && member!().includes('lease-ending'), {
      what: 'the warning',
    });
    control.store.tickets.end('session', 'session1');
    const before = session1!().length;
    ending(control);
    await poll(() => session1!().length > before && member!().length > before, { what: 'another event' });
    expect(session1!().filter((event) => event === 'lease-ending')).toHaveLength(1);
    expect(member!().filter((event) => event === 'lease-ending')).toHaveLength(2);
    await control.call('PATCH', '/members/anna', { disabled: true });
    const then = member!().length;
    ending(control);
    await poll(() => member!().length > then, { what: 'an event after that' });
    expect(member!().filter((event) => event === 'lease-ending')).toHaveLength(2);
    expect(stranger!()).not.toContain('lease-ending');
    expect(stranger!().length).toBeGreaterThan(1);
    await Promise.all(streams.map(({ stop }) => stop()));
  });
});
