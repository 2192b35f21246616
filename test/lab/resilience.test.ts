// The data plane is the kernel's: programs die, stop, restart and change things under traffic, and no packet is lost or let in.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { config as configSchema } from '../../src/model/config.ts';
import { compileChains, declarations, refill } from '../../src/router/plan/ruleset.ts';
import { ethernet, type Injector, injector, macOf, udp } from '../support/lab/frames.ts';
import { type Background, poll, SLOWNESS } from '../support/lab/lab.ts';
import { sharedLab } from '../support/lab/shared.ts';
import {
  CARRIER,
  connect,
  control,
  flowing,
  freshTunnel,
  grant,
  HUB,
  keep,
  LAPTOP,
  note,
  passed,
  restoring,
  revokeAll,
} from './clients.ts';

const lab = sharedLab();
const undo = restoring();
const [WEB, DB] = ['172.16.10.10', '172.16.10.11'];

/** Numbers sent and numbers that came back, by a client that sends one every 20 ms. */
interface Flow {
  readonly name: string;
  /** Ends it; the numbers in between that are missing. */
  readonly lost: () => Promise<readonly number[]>;
  readonly seen: () => number;
}

function missing(numbers: readonly number[]): number[] {
  const seen = new Set(numbers);
  const last = Math.max(...numbers);
  return Array.from({ length: last }, (_, index) => index + 1).filter((number) => !seen.has(number));
}

function flow(name: string, background: Background, pattern: RegExp): Flow {
  const numbers = () => [...background.stdout().matchAll(pattern)].map((match) => Number(match[1]));
  return {
    name,
    seen: () => numbers().length,
    lost: async () => {
      await background.stop('SIGINT');
      return missing(numbers());
    },
  };
}

const ping = (host: string, to: string): Flow =>
  flow(`ping ${host} → ${to}`, keep(lab, host, `exec ping -n -i 0.02 ${to}`, undo), /icmp_seq=(\d+) /g);

/** Writes a number every 20 ms to descriptor 3 for as long as this process lives, which becomes the reader of it. */
const numbers = `n=0
while kill -0 $$ 2>/dev/null; do n=$((n + 1)); echo $n >&3; read -r -t 0.02 <> <(:); done >/dev/null 2>&1 &
exec cat <&3`;

/** Datagrams with numbers to the echo service, and what it sent back. */
const datagrams = (host: string, to: string): Flow =>
  flow(`UDP ${host} → ${to}`, keep(lab, host, `exec 3<>/dev/udp/${to}/7; ${numbers}`, undo), /^(\d+)$/gm);

/** One TCP connection over which numbered lines come and go. */
const lines = (host: string, to: string): Flow =>
  flow(`TCP ${host} → ${to}`, keep(lab, host, `exec 3<>/dev/tcp/${to}/5432; ${numbers}`, undo), /^(\d+)$/gm);

async function noneLost(flows: readonly Flow[]): Promise<void> {
  const before = flows.map((each) => each.seen());
  // The last ones have time to come back.
  await poll(() => flows.every((each, index) => each.seen() > (before[index] ?? 0) + 5), {
    what: 'every flow to go on',
  });
  for (const { name, lost } of flows) expect({ name, lost: await lost() }).toEqual({ name, lost: [] });
}

async function started(flows: readonly Flow[]): Promise<readonly Flow[]> {
  await poll(() => flows.every(({ seen }) => seen() > 5), { what: 'every flow to begin' });
  return flows;
}

interface Peer {
  readonly key: string;
  readonly handshake: number;
  readonly received: number;
  readonly sent: number;
}

/** What of the kernel and of the programs beside it must survive. */
async function kernel() {
  const [rules = '', addresses = '', dump = ''] = (
    await lab.output('hub', [
      'sh',
      '-c',
      'nft -a -t list ruleset; echo ==; ip -o addr show | sed "s/valid_lft.*//"; ip route; echo ==; wg show apn0 dump',
    ])
  ).split('==\n');
  const peers = dump
    .trim()
    .split('\n')
    .slice(1)
    .map((line): Peer => {
      const [key = '', , , , handshake, received, sent] = line.split('\t');
      return { key, handshake: Number(handshake), received: Number(received), sent: Number(sent) };
    });
  return { rules, addresses, peers, pids: ['dnsmasq', 'wireguard-go', 'unbound'].map((program) => lab.pid(program)) };
}

/** Nothing was made anew: the same handles, the same sessions, counters that only grow. */
async function unchangedSince(before: Awaited<ReturnType<typeof kernel>>): Promise<void> {
  const now = await kernel();
  expect(now.rules).toBe(before.rules);
  expect(now.addresses).toBe(before.addresses);
  expect(now.pids).toEqual(before.pids);
  for (const old of before.peers) {
    const peer = now.peers.find(({ key }) => key === old.key);
    expect(peer?.received).toBeGreaterThanOrEqual(old.received);
    expect(peer?.sent).toBeGreaterThanOrEqual(old.sent);
    // A session renews itself after two minutes of its own accord.
    const renewed = (peer?.handshake ?? 0) - old.handshake;
    if (renewed !== 0 && old.handshake !== 0) expect(renewed).toBeGreaterThanOrEqual(115);
  }
}

afterEach(() => revokeAll(lab));

describe('kill -9', () => {
  beforeEach(() => connect(lab, 'laptop', LAPTOP));

  const everything = () =>
    started([ping('tv', WEB), ping('web', DB), datagrams('laptop', WEB), lines('laptop', DB), lines('tv', DB)]);

  test.each(['router', 'dns', 'webui'] as const)('%s: no packet is lost, nothing is made anew', async (program) => {
    const flows = await everything();
    const before = await kernel();
    await lab.restart(program);
    if (program === 'router') {
      // It has looked at everything once, and found nothing to do.
      const { revision } = await control(lab, 'GET', '/status');
      const agrees = async () => (await control(lab, 'GET', '/status')).appliedRevision === revision;
      await poll(agrees, { what: 'the router to agree with the kernel' });
    }
    if (program === 'dns') {
      const asks = async () => (await lab.output('tv', ['dig', '+short', '+time=1', 'web.shop.apn'])) === WEB;
      await poll(asks, { what: 'names to be answered' });
    }
    await noneLost(flows);
    await unchangedSince(before);
  });

  test('three times in a row, and all three programs at once', async () => {
    const flows = await everything();
    const before = await kernel();
    for (let round = 0; round < 2; round++) await lab.restart('router');
    await Promise.all((['router', 'dns', 'webui'] as const).map((program) => lab.restart(program)));
    await noneLost(flows);
    await unchangedSince(before);
  });

  test('a router that hangs: everything goes on, and it catches up afterwards', async () => {
    const flows = await everything();
    const before = await kernel();
    lab.kill('router', 'SIGSTOP');
    undo(() => lab.pid('router') !== undefined && lab.kill('router', 'SIGCONT'));
    await passed(Date.now() + 2000);
    lab.kill('router', 'SIGCONT');
    await control(lab, 'GET', '/status');
    await noneLost(flows);
    await unchangedSince(before);
  });
});

/** The UDP payload of a first packet of the laptop's, which the hub would answer if it ever got through. */
async function knockOf(host: string): Promise<Buffer> {
  const sent = await lab.capture(host, 'eth0', `udp dst port 51820 and dst host ${HUB} and udp[4:2] = 156`, {
    args: ['-x'],
  });
  try {
    await freshTunnel(lab, host);
    void lab.exec(host, ['ping', '-n', '-c', '1', '-W', '1', '172.16.0.1']);
    const dump = await poll(
      () => {
        const hex = sent.lines().filter((line) => line.startsWith('\t0x'));
        return hex.length >= 11 && hex.slice(0, 11);
      },
      { what: 'a first packet' },
    );
    return Buffer.from(dump.map((line) => line.replace(/^\t0x\w+:/, '').replaceAll(' ', '')).join(''), 'hex').subarray(
      28,
      176,
    );
  } finally {
    await sent.stop();
  }
}

/** Fewer on a machine whose processor is emulated: there each takes half a second. */
const changes = SLOWNESS > 1 ? 160 : 1000;

describe('changes under traffic', () => {
  /** Knocks with a key that is right from an address that may not, a few hundred times a second. */
  async function knocking(): Promise<{ answers: () => readonly string[]; stop: () => Promise<void> }> {
    const knock = await knockOf('laptop');
    // Its own attempts would be newer than the one that is repeated.
    await lab.wireguardDown('laptop');
    undo(() => lab.wireguardUp('laptop'));
    const hub = await macOf(lab, 'hub', 'wan0');
    const frame = ethernet(
      hub,
      await macOf(lab, 'laptop', 'eth0'),
      udp({ from: LAPTOP, to: HUB, sport: 51_821, dport: 51_820 }, knock),
    );
    const heard = await lab.capture('laptop', 'eth0', `ether src ${hub} and not arp and not icmp6`);
    const arrived = await lab.capture('hub', 'wan0', `udp dst port 51820 and src host ${LAPTOP}`, {
      args: ['-s', '64'],
    });
    const flood: Injector = injector(lab, 'laptop', 'eth0', Array<Uint8Array>(5).fill(frame));
    const timer = setInterval(flood.send, 10);
    const stop = async () => {
      clearInterval(timer);
      await flood.close();
      await Promise.all([heard.stop(), arrived.stop()]);
    };
    undo(stop);
    await flowing(arrived, 'the knocking at the hub');
    undo(() => note(`knocks: ${arrived.count()}`));
    return { answers: () => heard.lines(), stop };
  }

  /** The positive: once the address is leased, the very same packet is answered. */
  async function answered(answers: () => readonly string[]): Promise<void> {
    await grant(lab, LAPTOP);
    await poll(() => answers().some((line) => line.includes(`${HUB}.51820 > ${LAPTOP}`)), { what: 'the answer' });
  }

  const permitted = async () => {
    await connect(lab, 'phone', CARRIER);
    return started([ping('tv', WEB), datagrams('web', DB), lines('phone', DB)]);
  };

  test('1,000 reconciles with changes: nobody is let in, nothing that may is lost', {
    timeout: 120_000 * SLOWNESS,
  }, async () => {
    const flows = await permitted();
    const { answers } = await knocking();
    const rounds = changes / 8;
    const commands = Array.from({ length: rounds }, (_, index) => {
      const [a, b, c] = [`198.51.${index}.1`, `198.51.${index}.128/25`, `2001:db8:${index + 1}::1`];
      const even = index % 2 === 0;
      return [
        ['lease', 'add', a, '--for', '10m'],
        ['lease', 'add', b, '--for', '10m'],
        even ? ['rule', 'add', `198.18.${index}.0/24`] : ['rule', 'rm', `198.18.${index - 1}.0/24`],
        ['lease', 'rm', a],
        ['lease', 'add', c, '--for', '10m'],
        ['lan', 'edit', 'printer', '--access', ['books', 'nothing', 'shop', 'everything'][index % 4] ?? 'nothing'],
        ['lease', 'rm', b],
        ['lease', 'rm', `2001:db8:${index + 1}::/64`],
      ];
    }).flat();
    undo(async () => {
      await lab.apn('lan', 'edit', 'printer', '--access', 'everything');
      for (const { id, note: text } of await control(lab, 'GET', '/rules')) {
        if (text === '') await control(lab, 'DELETE', `/rules/${id}`);
      }
    });
    expect(commands).toHaveLength(changes);
    const start = performance.now();
    for (let first = 0; first < commands.length; first += 200) await lab.apnBatch(commands.slice(first, first + 200));
    note(`${changes} reconciles with changes: ${Math.round(performance.now() - start)} ms`);
    expect(answers()).toEqual([]);
    await noneLost(flows);
    await answered(answers);
  });

  test('the ruleset loaded again and again: nobody is let in, nothing that may is lost', async () => {
    const flows = await permitted();
    const { answers } = await knocking();
    const config = configSchema.parse(await desired());
    const chains = compileChains(config);
    const script = [...declarations(chains), ...refill(chains), ''].join('\n');
    await lab.output('hub', ['sh', '-c', 'cat >/run/again.nft'], { input: script });
    undo(() => lab.output('hub', ['rm', '-f', '/run/again.nft']));
    const deadline = performance.now() + 8000;
    let loads = 0;
    while (performance.now() < deadline) {
      // One transaction each, as the router loads it.
      const many = `for i in 1 2 3 4 5 6 7 8 9 10; do nft -f /run/again.nft || exit 1; done`;
      await lab.output('hub', ['bash', '-c', many], { timeout: 60_000 });
      loads += 10;
    }
    // And by the router itself, each time a hand has been at every chain.
    const scribble = chains.map(({ name }) => `add rule inet apn ${name} counter`).join('\n');
    const clean = async () =>
      !/^\t\tcounter/m.test(await lab.output('hub', ['nft', '-t', 'list', 'table', 'inet', 'apn']));
    for (let round = 0; round < 10; round++) {
      await lab.output('hub', ['nft', '-f', '-'], { input: scribble });
      await poll(clean, { every: 10, what: 'the chains to be as they were' });
    }
    note(`ruleset loaded ${loads} times in 8 s, and 10 times by the router`);
    expect(loads).toBeGreaterThanOrEqual(SLOWNESS > 1 ? 10 : 100);
    expect(answers()).toEqual([]);
    await noneLost(flows);
    await answered(answers);
  });

  /** What the chains depend on, as the lab is configured. */
  async function desired() {
    const { range, domain, endpoint } = await control(lab, 'GET', '/network');
    const lan = await control(lab, 'GET', '/lan');
    const network = { range, domain, endpoint };
    const empty = { applications: [], servers: [], members: [], devices: [], lanDevices: [], rules: [], names: [] };
    return { ...empty, network, lan: { ...lan, defaultAccess: 'nothing' }, system: { hostName: 'hub' } };
  }
});
