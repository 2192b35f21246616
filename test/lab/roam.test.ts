// Roaming: a member's device that comes from somewhere else leaves no lease behind; a knock alone ends nothing.
import { expect, test } from 'vitest';
import { poll } from '../support/lab/lab.ts';
import { sharedLab } from '../support/lab/shared.ts';
import { connect, control, echo, freshTunnel, grant, LAPTOP, note, reaches, restoring, revokeAll } from './clients.ts';

const lab = sharedLab();
const undo = restoring();
const HUB_INSIDE = '172.16.0.1';
const [HOTEL, STATION] = ['203.0.113.151', '203.0.113.152'];

interface Lease {
  readonly id: string;
  readonly source: string;
}

const forAnna = (source: string): Promise<Lease> =>
  control(lab, 'POST', '/leases', { source, for: '10m', member: 'Anna' });
const live = async (): Promise<readonly string[]> =>
  ((await control(lab, 'GET', '/leases')) as readonly Lease[]).map(({ source }) => source).toSorted();

/** The laptop has another address on the Internet from now on, and not the one before. */
async function moveTo(address: string): Promise<void> {
  const steps = [
    'ip -4 addr flush dev eth0',
    `ip addr add ${address}/24 dev eth0`,
    'ip route add default via 203.0.113.254 dev eth0',
  ];
  await lab.output('laptop', ['sh', '-c', steps.join(' && ')]);
}

/** It was at home first, and its tunnel is up. */
async function leasedAndConnected(): Promise<void> {
  undo(() => revokeAll(lab));
  undo(async () => {
    await moveTo(LAPTOP);
    await freshTunnel(lab, 'laptop');
  });
  const { id } = await connect(lab, 'laptop', LAPTOP);
  await forAnna(LAPTOP);
  await control(lab, 'DELETE', `/leases/${id}`);
  // The router has seen where the laptop is.
  await poll(async () => (await explained()) === LAPTOP, { what: 'the endpoint' });
  await reaches(lab, 'laptop', HUB_INSIDE);
}

async function explained(): Promise<string | null> {
  const query = new URLSearchParams({ source: 'laptop', destination: 'web' });
  return (await control(lab, 'GET', `/explain?${query}`)).door?.address ?? null;
}

/** What the audit log has of leases, the newest first, since a moment. */
async function told(kind: string, since: number): Promise<readonly { event: string; details: object }[]> {
  const all = (await control(lab, 'GET', `/audit?kind=${kind}`)) as { at: string; event: string; details: object }[];
  return all.filter(({ at }) => Date.parse(at) >= since);
}

test('the lease for the address it had ends when the device comes from a new one; the new one stays', async () => {
  await leasedAndConnected();
  // One for everybody there is nobody's to end.
  await grant(lab, LAPTOP);
  const since = Date.now();
  // Two looks of the router, so that the old address is what it compares with.
  await poll(() => Date.now() > since + 7000, { within: 10_000, what: 'the router to look' });
  await forAnna(HOTEL);
  expect(await live()).toEqual([HOTEL, LAPTOP, LAPTOP]);
  await moveTo(HOTEL);
  const moved = Date.now();
  // The stock client keeps to its old address until nothing has come back for 15 s.
  await poll(() => echo(lab, 'laptop', HUB_INSIDE), { within: 45_000, what: 'the laptop to come back' });
  const back = Date.now();
  await poll(async () => (await live()).length === 2, { within: 20_000, what: 'the old lease to end' });
  note(`roaming: the old lease ended ${Date.now() - back} ms after the device came back`);
  expect(await live()).toEqual([HOTEL, LAPTOP]);
  expect(await told('lease', moved)).toContainEqual(
    expect.objectContaining({
      ...{ actor: 'router', event: 'lease ended by roaming' },
      details: expect.objectContaining({ source: `${LAPTOP}/32`, member: 'Anna', device: 'laptop', to: HOTEL }),
    }),
  );
  expect(await told('handshake', since)).toContainEqual(
    expect.objectContaining({
      ...{ actor: 'Anna', event: 'moved' },
      details: { peer: 'laptop.anna.team', member: 'Anna', from: LAPTOP, to: HOTEL },
    }),
  );
  expect(await echo(lab, 'laptop', '172.16.10.10')).toBe(true);
  // Back at the old address without the lease for everybody: refused, until it is leased again.
  await control(lab, 'DELETE', `/leases/${LAPTOP}`);
  await moveTo(LAPTOP);
  await freshTunnel(lab, 'laptop');
  expect(await echo(lab, 'laptop', HUB_INSIDE)).toBe(false);
  await forAnna(LAPTOP);
  await freshTunnel(lab, 'laptop');
  await reaches(lab, 'laptop', HUB_INSIDE);
  await poll(async () => (await live()).join() === LAPTOP, { within: 20_000, what: 'the other lease to end' });
});

test('a knock from elsewhere ends nothing: only when it is let in the other lease goes', async () => {
  await leasedAndConnected();
  const since = Date.now();
  await moveTo(STATION);
  await freshTunnel(lab, 'laptop');
  const asked = await lab.capture('laptop', 'eth0', `udp dst port 51820 and src host ${STATION}`);
  undo(() => asked.stop());
  await poll(
    async () => {
      const knocks = (await control(lab, 'GET', '/knocks')) as readonly { source: string }[];
      return knocks.some(({ source }) => source === STATION);
    },
    { within: 20_000, what: 'the knock to be listed' },
  );
  // The router looks every three seconds while a lease lives.
  await poll(() => Date.now() > since + 10_000, { within: 15_000, what: 'the router to look' });
  expect(await live()).toEqual([LAPTOP]);
  expect(await told('lease', since)).not.toContainEqual(expect.objectContaining({ event: 'lease ended by roaming' }));

  await forAnna(STATION);
  await freshTunnel(lab, 'laptop');
  await reaches(lab, 'laptop', HUB_INSIDE);
  await poll(async () => (await live()).join() === STATION, { within: 20_000, what: 'the old lease to end' });
});
