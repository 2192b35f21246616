// What the tests of ring 2 do with the lab's clients: ask the control API, open pages, connect tunnels, time packets.
import { appendFileSync } from 'node:fs';
import { afterEach } from 'vitest';
import { call } from '../../src/router/cli/client.ts';
import type { Capture } from '../support/lab/capture.ts';
import { CONTROL_SOCKET } from '../support/lab/hub.ts';
import { type Background, type Lab, poll, SLOWNESS } from '../support/lab/lab.ts';

export const HUB = '203.0.113.1';
export const LAPTOP = '203.0.113.50';
export const CARRIER = '203.0.113.70';

/** A filter for what `nft list` prints. Who knocked of late is filled in by the kernel, and not ours to bring back. */
export const withoutMeters = "perl -0pe 's/(set knocking[46] \\{[^}]*?)\\n\\t\\telements = \\{[^}]*\\}/$1/g'";

/** Steps that put the lab back as it was, run in reverse order after each test, whatever became of it. */
export function restoring(): (step: () => unknown) => void {
  const steps: (() => unknown)[] = [];
  afterEach(async () => {
    const errors: unknown[] = [];
    for (const step of steps.splice(0).reverse()) {
      try {
        await step();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  });
  return (step) => {
    steps.push(step);
  };
}

/** One request to the control API; the answer once the kernel agrees. Cheaper than a process of `apn`. */
// biome-ignore lint/suspicious/noExplicitAny: every route has its own answer, and tests say what they expect
export async function control(lab: Lab, method: string, path: string, body?: unknown): Promise<any> {
  const answer = await call(lab.path('hub', CONTROL_SOCKET), method, path, body);
  if (answer.status >= 400) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  if (answer.applied === false) throw new Error(`${method} ${path}: saved, but not applied`);
  return answer.body;
}

export const grant = (lab: Lab, source: string, duration = '10m') =>
  control(lab, 'POST', '/leases', { source, for: duration });
export const revoke = (lab: Lab, reference: string) =>
  control(lab, 'DELETE', `/leases/${encodeURIComponent(reference)}`);

/** Ends every live lease. */
export async function revokeAll(lab: Lab): Promise<void> {
  for (const { id } of await control(lab, 'GET', '/leases')) {
    // One that ends by itself meanwhile is no error.
    await revoke(lab, id).catch(() => {});
  }
}

/** The body of a page, or null when none came in time. */
export async function page(lab: Lab, host: string, url: string, seconds = 2): Promise<string | null> {
  const limit = String(seconds * SLOWNESS);
  const { status, stdout } = await lab.exec(host, ['curl', '-s', '--max-time', limit, url]);
  return status === 0 ? stdout.trim() : null;
}

/** Forgets the sessions of a host's tunnel, so that its next handshake comes at once and not with the next retry. */
export async function freshTunnel(lab: Lab, host: string, endpoint = `${HUB}:51820`): Promise<void> {
  const file = `wg-quick strip wg0 | sed 's/^Endpoint = .*/Endpoint = ${endpoint}/'`;
  await lab.output(host, ['bash', '-c', `wg setconf wg0 <(${file})`]);
}

/** Leases the source and waits until the host's tunnel carries packets. */
export async function connect(lab: Lab, host: string, source: string): Promise<{ id: string; expiresAt: string }> {
  const lease = await grant(lab, source);
  await freshTunnel(lab, host);
  await reaches(lab, host, '172.16.0.1');
  return lease;
}

export async function echo(lab: Lab, host: string, address: string): Promise<boolean> {
  const ping = ['ping', '-n', '-q', '-c', '1', '-W', String(SLOWNESS), address];
  return (await lab.exec(host, ping)).status === 0;
}

export function reaches(lab: Lab, host: string, address: string): Promise<unknown> {
  return poll(() => echo(lab, host, address), { within: 15_000, what: `${host} to reach ${address}` });
}

/** Leaves a shell script running on a host until the test's end. */
export function keep(lab: Lab, host: string, script: string, undo: (step: () => unknown) => void): Background {
  // A session of its own, so that what the script started ends with it.
  const background = lab.spawn(host, ['setsid', 'bash', '-c', script]);
  undo(() => {
    try {
      process.kill(-background.pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
    return background.ended;
  });
  return background;
}

/** A ping every 50 ms, without end. */
export const constantPing = (lab: Lab, host: string, address: string, undo: (step: () => unknown) => void) =>
  keep(lab, host, `exec ping -n -q -i 0.05 ${address}`, undo);

/** When each packet was seen, in milliseconds of the wall clock. */
export function times(lines: readonly string[]): number[] {
  return lines.flatMap((line) => {
    const stamp = /^(\d{9,}\.\d+) /.exec(line)?.[1];
    return stamp === undefined ? [] : [Number(stamp) * 1000];
  });
}

export const lastTime = (capture: Capture): number => times(capture.lines()).at(-1) ?? 0;

/** Waits until packets were seen after this moment: traffic really flows. */
export function flowing(capture: Capture, what: string): Promise<unknown> {
  const now = Date.now();
  return poll(() => lastTime(capture) > now, { within: 10_000, what });
}

/** Resolves once the wall clock has passed this moment. */
export function passed(moment: number): Promise<unknown> {
  return poll(() => Date.now() >= moment, { within: moment - Date.now() + 1000, every: 20, what: 'the time to pass' });
}

/** The longest time in milliseconds between two packets that follow each other, within a stretch of time. */
export function longestGap(lines: readonly string[], from: number, to: number): number {
  const seen = [from, ...times(lines).filter((time) => time >= from && time <= to), to];
  return Math.max(...seen.slice(1).map((time, index) => time - (seen[index] ?? from)));
}

/** Writes down a figure for whoever asked for it by REPORT=FILE. */
export function note(line: string): void {
  const file = process.env['REPORT'];
  if (file !== undefined) appendFileSync(file, `${line}\n`);
}
