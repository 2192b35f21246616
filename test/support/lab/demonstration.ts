// The live demonstration at the end of `lab.sh up`: what the router is for, in seven requests by stock clients.
import { HUB_WAN } from './hosts.ts';
import type { Lab } from './lab.ts';
import { poll } from './run.ts';

const PAGE = 'http://web.shop.apn';
const LAPTOP = '203.0.113.50';

/** The page, or null when nothing came. Names are resolved by the host itself. */
async function fetchPage(lab: Lab, host: string, url: string, seconds: number): Promise<string | null> {
  const result = await lab.exec(host, ['curl', '-s', '--max-time', String(seconds), url]);
  return result.status === 0 ? result.stdout.trim().replaceAll('\n', ': ') : null;
}

function expect(holds: boolean, what: string): void {
  if (!holds) throw new Error(`the demonstration failed: ${what}`);
}

/** Whose device knocked from this address, as the hub has read it; null: nobody's yet. */
async function knocked(lab: Lab, source: string): Promise<string | null> {
  const list = (await lab.apn('knocks', 'ls')) as unknown as readonly { source: string; name: string | null }[];
  return list.find((one) => one.source === source)?.name ?? null;
}

/** Plays it and says what happened; leaves no lease behind. An error names the first thing that was not as it should be. */
export async function demonstrate(lab: Lab, say: (line: string) => void): Promise<void> {
  const tv = await poll(() => fetchPage(lab, 'tv', PAGE, 3), {
    within: 20_000,
    what: `the television to open ${PAGE}`,
  });
  say(`tv        opens ${PAGE}, with no client     ${tv}`);

  const stranger = await Promise.all([
    fetchPage(lab, 'stranger', `http://${HUB_WAN}`, 1),
    fetchPage(lab, 'stranger', 'http://172.16.10.10', 1),
    lab
      .exec('stranger', ['ping', '-c', '1', '-W', '1', HUB_WAN])
      .then(({ status }) => (status === 0 ? 'an echo' : null)),
  ]);
  expect(
    stranger.every((answer) => answer === null),
    `the stranger got ${stranger.find((answer) => answer !== null)}`,
  );
  say('stranger  gets nothing: no page, no refusal, no echo');

  const refused = await fetchPage(lab, 'laptop', PAGE, 2);
  expect(refused === null, `the laptop got ${refused} without a lease`);
  say('laptop    is refused: it has a key, but no lease');

  const knock = await poll(() => knocked(lab, LAPTOP), { within: 10_000, what: 'the knock of the laptop' });
  say(`hub       apn knocks                                 ${knock}, ${LAPTOP}: the refused handshake says who it is`);

  const lease = await lab.apn('lease', 'add', LAPTOP, '--for', '10m', '--member', 'Anna', '--reason', 'demonstration');
  say(`hub       apn lease add ${LAPTOP} --for 10m        ${lease.remainingSeconds} s`);
  try {
    // A WireGuard client tries again every 5 s by itself.
    const page = await poll(() => fetchPage(lab, 'laptop', PAGE, 3), { within: 20_000, what: 'the laptop to connect' });
    say(`laptop    connects and opens ${PAGE}         ${page}`);
  } finally {
    await lab.apn('lease', 'rm', String(lease.id));
  }
  const after = await fetchPage(lab, 'laptop', PAGE, 2);
  expect(after === null, `the laptop still got ${after} after the end of its lease`);
  say('laptop    is refused again: the lease was ended');
}
