// Leases outlive the router's death and the hub's reboot with the time that is left of them, never longer.
import { beforeEach, expect, test } from 'vitest';
import { type Lab, poll } from '../support/lab/lab.ts';
import { sharedLab } from '../support/lab/shared.ts';
import {
  connect,
  control,
  echo,
  freshTunnel,
  grant,
  HUB,
  keep,
  LAPTOP,
  page,
  passed,
  reaches,
  restoring,
  revoke,
  revokeAll,
} from './clients.ts';

const lab = sharedLab();
const undo = restoring();
const WEB = '172.16.10.10';

beforeEach(() => {
  undo(() => revokeAll(lab));
});

interface Listed {
  readonly id: string;
  readonly source: string;
  readonly state: string;
  readonly expiresAt: string;
  readonly remainingSeconds: number;
}

const leases = (lab: Lab, all = false): Promise<Listed[]> => control(lab, 'GET', all ? '/leases?all=yes' : '/leases');

/** What is left agrees to a second with the end that was promised. */
function expectRemaining(lease: Listed | undefined, expiresAt: string): void {
  const left = (Date.parse(expiresAt) - Date.now()) / 1000;
  expect(lease?.state).toBe('active');
  expect(lease?.expiresAt).toBe(expiresAt);
  expect(Math.abs((lease?.remainingSeconds ?? 0) - left)).toBeLessThanOrEqual(1);
}

test.each(['SIGKILL', 'SIGTERM'] as const)(
  'a router ended by %s loses no packet and no second of a lease',
  async (signal) => {
    const lease = await connect(lab, 'laptop', LAPTOP);
    const timed = await grant(lab, '198.51.100.30', '2s');
    const ping = keep(lab, 'laptop', `exec ping -n -q -i 0.05 ${WEB}`, undo);
    const flow = keep(lab, 'tv', `exec ping -n -q -i 0.05 ${WEB}`, undo);
    const before = lab.kill('router', signal);
    await poll(() => ![undefined, before].includes(lab.pid('router')), { every: 20, what: 'the router to come back' });
    const [restored, short] = await poll(() => leases(lab).catch(() => null), {
      within: 20_000,
      what: 'the control API',
    });
    expect(restored?.id).toBe(lease.id);
    expectRemaining(restored, lease.expiresAt);
    if (short) expectRemaining(short, timed.expiresAt);
    await passed(Date.parse(timed.expiresAt) + 300);
    expect((await leases(lab, true)).find(({ id }) => id === timed.id)?.state).toBe('expired');
    for (const running of [ping, flow]) {
      const { stdout } = await running.stop('SIGINT');
      const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(stdout) ?? [];
      expect(Number(sent)).toBeGreaterThan(20);
      // The last one may have been under way when the ping was ended.
      expect(Number(sent) - Number(received)).toBeLessThanOrEqual(1);
    }
  },
);

test('after a reboot rules are open at once, leases when the time is known, and ended ones stay ended', async () => {
  const lease = await connect(lab, 'laptop', LAPTOP);
  const revoked = await grant(lab, '198.51.100.31');
  const gone = await grant(lab, '198.51.100.32', '2s');
  await revoke(lab, revoked.id);

  // Whatever becomes of this test, the next one finds a hub whose clock is right.
  const synchronise = () =>
    lab.output('hub', ['sh', '-c', 'mkdir -p /run/systemd/timesync; : >/run/systemd/timesync/synchronized']);
  undo(synchronise);
  await lab.rebootHub({ synchronized: false });
  // A server finds out by itself that its session is gone, after up to 40 s; the test does not wait for that.
  await Promise.all(['web', 'db', 'ledger'].map((host) => freshTunnel(lab, host)));
  await poll(async () => (await page(lab, 'tv', `http://${WEB}/address`)) === '172.16.2.11', {
    within: 20_000,
    what: 'the servers, which hold rules',
  });
  // It asks for its address again hours later: the hub still knows that it is the guest's.
  expect(await page(lab, 'guest', 'http://203.0.113.53/address')).toBe(HUB);

  const waiting = await leases(lab);
  expect(waiting.find(({ id }) => id === lease.id)?.state).toBe('waiting');
  const answers = await lab.capture('laptop', 'eth0', `ip src host ${HUB}`);
  undo(() => answers.stop());
  const asked = await lab.capture('laptop', 'eth0', `udp dst port 51820 and dst host ${HUB}`);
  undo(() => asked.stop());
  await freshTunnel(lab, 'laptop');
  await poll(() => asked.count() > 0, { what: 'a handshake' });
  expect(await echo(lab, 'laptop', WEB)).toBe(false);
  expect(answers.count()).toBe(0);
  // A new one works without the clock.
  const fresh = await grant(lab, '198.51.100.33', '1m');
  expect(fresh.remainingSeconds).toBeGreaterThanOrEqual(59);

  await synchronise();
  await poll(async () => (await leases(lab)).find(({ id }) => id === lease.id)?.state === 'active', {
    within: 10_000,
    what: 'the lease to be restored',
  });
  expectRemaining(
    (await leases(lab)).find(({ id }) => id === lease.id),
    lease.expiresAt,
  );
  await freshTunnel(lab, 'laptop');
  await reaches(lab, 'laptop', WEB);
  const all = await leases(lab, true);
  expect(all.find(({ id }) => id === revoked.id)?.state).toBe('revoked');
  expect(all.find(({ id }) => id === gone.id)?.state).toBe('expired');
  // The restored end is the kernel's too: with the router stopped nothing prolongs it.
  await revoke(lab, LAPTOP);
  expect(await echo(lab, 'laptop', WEB)).toBe(false);
});
