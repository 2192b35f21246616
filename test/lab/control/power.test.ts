// kill -9 of the router at random moments of 200 edits: the last answered one is there, and never half of one.
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { call } from '../../../src/router/cli/client.ts';
import { CONTROL_SOCKET } from '../../support/lab/hub.ts';
import { poll } from '../../support/lab/lab.ts';
import { sharedLab } from '../../support/lab/shared.ts';
import { control, restoring } from '../clients.ts';

const lab = sharedLab();
const undo = restoring();
const edits = 200;
/** Starting takes seconds on an emulated machine. */
const killEvery = process.env['VM'] === '1' ? 40 : 8;

/** What can be seen of the test's servers from outside: with the rule and the preshared key that came with each. */
interface Seen {
  readonly label: string;
  readonly publicKey: string;
  readonly keepalive: number | null;
  readonly hasPresharedKey: boolean;
  readonly sources: readonly string[];
}

const key = () => randomBytes(32).toString('base64');

async function present(): Promise<readonly Seen[]> {
  const servers: (Seen & { name: string })[] = await control(lab, 'GET', '/servers');
  return servers
    .filter(({ name }) => name.endsWith('.power'))
    .map(({ label, publicKey, keepalive, hasPresharedKey, sources }) => ({
      ...{ label, publicKey, keepalive, hasPresharedKey, sources },
    }))
    .toSorted((a, b) => (a.label < b.label ? -1 : 1));
}

interface Edit {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  readonly after: readonly Seen[];
}

/** Adds a server with key and rule, changes it, gives it a new key, removes an older one, and again. */
function edit(n: number, before: readonly Seen[]): Edit {
  const [oldest] = before;
  const newest = before.at(-1);
  const label = `s${String(n).padStart(4, '0')}`;
  const replace = (one: Seen) => before.map((each) => (each === newest ? one : each));
  if (n % 4 === 1 && newest !== undefined) {
    const keepalive = n + 1;
    return {
      method: 'PATCH',
      path: `/servers/${newest.label}.power`,
      body: { keepalive },
      after: replace({ ...newest, keepalive }),
    };
  }
  if (n % 4 === 2 && newest !== undefined) {
    const publicKey = key();
    const body = { publicKey, presharedKey: true };
    return {
      method: 'POST',
      path: `/servers/${newest.label}.power/rotate`,
      body,
      after: replace({ ...newest, publicKey }),
    };
  }
  if (n % 4 === 3 && oldest !== undefined && before.length > 2) {
    return { method: 'DELETE', path: `/servers/${oldest.label}.power`, after: before.slice(1) };
  }
  const one = { label, publicKey: key(), keepalive: 25, hasPresharedKey: true, sources: [`198.51.100.${n}/32`] };
  const { publicKey, sources } = one;
  const body = { application: 'power', label, publicKey, presharedKey: true, source: sources[0] };
  return { method: 'POST', path: '/servers', body, after: [...before, one] };
}

test(`the last answered of ${edits} edits is there, whenever the router is killed`, async () => {
  await control(lab, 'POST', '/applications', { label: 'power' });
  undo(async () => {
    for (const { label } of await present()) await control(lab, 'DELETE', `/servers/${label}.power`);
    await control(lab, 'DELETE', '/applications/power');
  });
  let expected: readonly Seen[] = [];
  let kills = 0;
  let unanswered = 0;
  for (let n = 0; n < edits; n++) {
    const { method, path, body, after } = edit(n, expected);
    const answer = call(lab.path('hub', CONTROL_SOCKET), method, path, body).then(
      ({ status }) => status,
      () => null,
    );
    if (n % killEvery !== killEvery - 1) {
      expect(await answer, `${method} ${path}`).toBeLessThan(300);
      expected = after;
      continue;
    }
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 25));
    const before = lab.kill('router');
    kills += 1;
    const status = await answer;
    if (status !== null) expect(status, `${method} ${path}`).toBeLessThan(300);
    await poll(() => ![undefined, before].includes(lab.pid('router')), { every: 20, what: 'the router to come back' });
    const found = await poll(() => present().catch(() => null), { within: 20_000, what: 'the control API' });
    if (status === null) unanswered += 1;
    expect(status === null ? [expected, after] : [after]).toContainEqual(found);
    expected = found;
    const { conditions } = await control(lab, 'GET', '/status');
    expect(conditions.filter(({ code }: { code: string }) => /damaged|store/.test(code))).toEqual([]);
  }
  expect(await present()).toEqual(expected);
  expect(kills).toBe(Math.floor(edits / killEvery));
  // Otherwise no kill came in the middle of one.
  expect(unanswered).toBeGreaterThan(0);
}, 300_000);
