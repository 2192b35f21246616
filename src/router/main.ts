// The router: opens the store, starts the loop, listens to the kernel and serves the control API.
import { randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, rmSync, watch } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseInterface } from '../model/address.ts';
import type { Principal } from '../model/roles.ts';
import { type Activity, startActivity } from './activity/start.ts';
import { monotonic, readClock } from './clock.ts';
import { Conditions, causeText } from './conditions.ts';
import { ConfirmKeeper, confirmTimer } from './confirm.ts';
import { Announcements } from './control/announcements.ts';
import { createApp } from './control/app.ts';
import { Attempts } from './control/attempts.ts';
import { listen } from './control/listen.ts';
import { Passwords } from './control/passwords.ts';
import type { LiveTunnel, Saved, Services } from './control/services.ts';
import { createDhcpDriver, readDhcpLeases } from './drivers/dhcp.ts';
import type { Drivers } from './drivers/driver.ts';
import { createFirewallDriver } from './drivers/firewall.ts';
import { createNetworkDriver } from './drivers/network.ts';
import { createWireguardDriver } from './drivers/wireguard.ts';
import { createZoneDriver } from './drivers/zone.ts';
import { endpointFinder } from './endpoint-finder.ts';
import { createFirstStart } from './first-start.ts';
import { KnockKeeper } from './knock/keeper.ts';
import { listenToKnocks } from './knock/listen.ts';
import { LastSeen } from './last-seen.ts';
import { LeaseKeeper } from './leases.ts';
import { decodeNftablesEvent } from './netlink/nftables.ts';
import { netfilterGroup, routeGroup, subscribe } from './netlink/subscription.ts';
import { mendedTimer, openStore, publicKeyOf } from './open-store.ts';
import { type PartName, partNames } from './plan/plan.ts';
import { table } from './plan/ruleset.ts';
import { hubDevice } from './plan/wireguard.ts';
import { Reconciler } from './reconcile.ts';
import { writeProblem } from './store/read-only.ts';
import type { Store } from './store/store.ts';

/** Everything is looked at again this often, notified or not: WireGuard tells nothing of its peers. */
const slowTimer = 10_000;
/** So often, and for so long after the start, it is looked where servers are. */
const startTimer = 2000;
const startTime = 60_000;
/** Milliseconds for an answer to be out before the router starts anew. */
const lastAnswer = 300;
/** Notifications come in bursts; one look is enough for all of them. */
const gather = 20;

const partsOf = { everything: partNames, leases: ['firewall'] } as const;

function log(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Milliseconds in base 36, then chance: sorts by age, and two of one moment differ. */
function newId(): string {
  return Date.now().toString(36).padStart(9, '0') + randomBytes(5).toString('hex');
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      ...{ state: { type: 'string', default: '/data/apn' }, run: { type: 'string', default: '/run/apn' } },
      seed: { type: 'string' },
    },
  });
  const startedAt = Date.now();
  mkdirSync(values.state, { recursive: true, mode: 0o700 });
  mkdirSync(values.run, { recursive: true, mode: 0o755 });
  const store = await openStore(values.state, values.run, log);
  const dhcp = { folder: join(values.run, 'dhcp'), leases: leasesFolder(store, values.state, values.run) };
  const changes = new Set<() => void>();
  const changed = () => {
    for (const listener of changes) listener();
  };
  const conditions = new Conditions(Date.now, log);
  conditions.onChange(changed);
  const drivers: Drivers = {
    firewall: createFirewallDriver({ now: monotonic }),
    network: createNetworkDriver(),
    wireguard: createWireguardDriver(join(values.run, 'endpoints.json')),
    dhcp: createDhcpDriver(dhcp),
    zone: createZoneDriver(join(values.run, 'zone.json')),
  };
  const found = endpointFinder(store, conditions, () => reconciler.wake(['wireguard']));
  const lastSeen = new LastSeen(join(values.state, 'last-seen.json'));
  const reconciler: Reconciler = new Reconciler({
    drivers,
    conditions,
    log,
    intent: () => store.snapshot,
    facts: () => ({
      ...{ clock: readClock(), leased: readDhcpLeases(dhcp), dhcp, found: found() },
      last: lastSeen.endpoints(store.snapshot.config.servers),
    }),
    onRun: changed,
  });
  const tellDamaged = damageTeller(store, conditions);
  tellDamaged();
  if (store.readOnly !== null) {
    const title = 'The storage cannot be written: nothing can be changed.';
    const remedy = 'It may be full or worn out. What is set up keeps working.';
    conditions.raise({ code: 'store-read-only', severity: 'error', title, remedy }, store.readOnly);
  }
  const keeper = new LeaseKeeper(store, conditions, readClock());
  const tick = startLeaseTimer(keeper, reconciler);
  const hubPublicKey = publicKeyOf(store.snapshot.hubPrivateKey);
  const announcements = new Announcements();
  let activity: Activity | undefined;
  const wake = (what: Saved) => {
    if (what === 'leases') {
      tick();
      activity?.wake();
    }
    if (what === 'everything') knocks.write();
    tellDamaged();
    lookConfirm();
    reconciler.wake(partsOf[what]);
    changed();
  };
  const tunnel = tunnelReader(drivers, conditions);
  const knocks = new KnockKeeper({
    store,
    ...{ hubPrivateKey: store.snapshot.hubPrivateKey, hubPublicKey, clock: readClock, newId, wake, changed, log },
    lastHandshake: async (publicKey) => (await tunnel()).peers.get(publicKey)?.lastHandshake ?? null,
    renewPeer: (publicKey) => {
      const gone = drivers.wireguard.apply({ kind: 'wireguard.remove-peers', device: hubDevice, peers: [publicKey] });
      // The loop sees that it is missing, and makes it again.
      void gone.catch((error: unknown) => log(causeText(error))).then(() => reconciler.wake(['wireguard']));
    },
  });
  const lookConfirm = confirmTimer(new ConfirmKeeper(store, conditions), readClock, () => wake('everything'));
  const links = async () => (await drivers.network.observe()).links;
  const first = createFirstStart({ store, conditions, seedFile: values.seed, links, newId, log });
  const lookFirst = () =>
    first.look().then(
      (saved) => saved && wake('everything'),
      (error: unknown) => log(`first start: ${causeText(error)}`),
    );
  const services: Services = {
    store,
    conditions,
    hubPublicKey,
    clock: readClock,
    newId,
    newPresharedKey: () => randomBytes(32),
    publicKeyOf,
    portAddresses: (port) =>
      (networkInterfaces()[port] ?? []).flatMap(({ cidr }) => (cidr === null ? [] : parseInterface(cidr))),
    ports: async () => (await links()).map(({ name }) => name),
    passwords: new Passwords(),
    attempts: new Attempts(() => performance.now()),
    setupProblem: () => first.problem(),
    wake,
    appliedRevision: () => reconciler.appliedRevision,
    applied: (revision, timeout, what) => reconciler.applied(revision, timeout, partsOf[what]),
    tunnel,
    knocks,
    leased: () => readDhcpLeases(dhcp),
    onChange: (listener) => {
      changes.add(listener);
      return () => changes.delete(listener);
    },
    announcements,
    restart: () => {
      // Nobody new reaches a program that is about to end.
      for (const server of servers) server.close();
      setTimeout(() => void stop(), lastAnswer);
    },
    startedAt,
  };
  const serve = (principal: Principal | 'web', name: string, mode: number) =>
    listen(createApp(services, principal, log), join(values.run, name), mode);
  tick();
  lookConfirm();
  await lookFirst();
  reconciler.wake();
  activity = startActivity({
    ...{ store, conditions, clock: readClock, tunnel, leased: services.leased, log },
    end: (leases, why) => {
      const written = keeper.end(leases, readClock(), 'lease ended by roaming', why);
      if (written) wake('leases');
      return written;
    },
    onEnding: ({ lease, left }) => announcements.leaseEnding(lease, left),
  });
  const listeners = [
    ...listenToKernel(reconciler, dhcp.leases),
    ...[listenToKnocks(knocks, conditions), knocks, activity, rememberServers(lastSeen, store, tunnel)],
  ];
  const slow = setInterval(() => {
    tick();
    void lookFirst();
    reconciler.wake();
    changed();
  }, slowTimer);
  const servers = [await serve({ kind: 'console' }, 'control.sock', 0o600), await serve('web', 'web.sock', 0o666)];
  log(`ready after ${Math.round(performance.now())} ms`);

  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    clearInterval(slow);
    for (const listener of listeners) listener.close();
    for (const server of servers) server.close().closeAllConnections();
    await reconciler.close();
    keeper.checkpoint(readClock());
    store.close();
    process.exit(0);
  };
  if (store.readOnly !== null) {
    setInterval(() => {
      if (stopping || writeProblem(values.state) !== null) return;
      log('The storage can be written again: starting anew.');
      void stop();
    }, mendedTimer);
  }
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

/** Who has which address outlives a power cut; while the disk cannot be written it goes on in memory. */
function leasesFolder({ readOnly }: Store, state: string, run: string): string {
  const [kept, volatile] = [join(state, 'dhcp'), join(run, 'dhcp-leases')];
  const [from, to] = readOnly === null ? [volatile, kept] : [kept, volatile];
  // Found there after a restart: the other one is older.
  if (existsSync(from) && (readOnly === null || !existsSync(to))) cpSync(from, to, { recursive: true });
  if (readOnly === null) rmSync(volatile, { recursive: true, force: true });
  return to;
}

/** Looks often while servers come back after a start. A disk that cannot be written is told elsewhere. */
function rememberServers(lastSeen: LastSeen, store: Store, tunnel: () => Promise<LiveTunnel>): { close(): void } {
  let timer: NodeJS.Timeout;
  const look = async () => {
    const { peers } = await tunnel();
    try {
      if (store.readOnly === null) lastSeen.look(store.snapshot.config.servers, peers);
    } catch (error) {
      log(`last-seen.json: ${causeText(error)}`);
    }
    timer = setTimeout(look, performance.now() < startTime ? startTimer : slowTimer);
  };
  timer = setTimeout(look, startTimer);
  return { close: () => clearTimeout(timer) };
}

/** Raises a condition for each peer whose keys do not open, and clears it when that is removed. */
function damageTeller(store: Store, conditions: Conditions): () => void {
  let told: readonly string[] = [];
  return () => {
    const { damaged } = store.snapshot;
    for (const id of told) if (!damaged.some((one) => one.id === id)) conditions.clear(`damaged-${id}`);
    for (const { noun, id, label } of damaged) {
      conditions.raise({
        code: `damaged-${id}`,
        severity: 'error',
        title: 'The stored keys of a peer are damaged, so it is switched off.',
        about: `${label} (${noun})`,
        remedy: 'Remove it and add it again.',
      });
    }
    told = damaged.map(({ id }) => id);
  };
}

/** Looks at the leases now, and again whenever one ends. */
function startLeaseTimer(keeper: LeaseKeeper, reconciler: Reconciler): () => void {
  let timer: NodeJS.Timeout | undefined;
  const tick = () => {
    clearTimeout(timer);
    const next = keeper.tick(readClock());
    timer = setTimeout(
      () => {
        tick();
        reconciler.wake(['firewall']);
      },
      Math.max(10, next + 5),
    );
  };
  return tick;
}

function tunnelReader({ wireguard }: Drivers, conditions: Conditions): () => Promise<LiveTunnel> {
  let cached: { at: number; tunnel: Promise<LiveTunnel> } | undefined;
  const read = async (): Promise<LiveTunnel> => {
    try {
      const devices = new Map((await wireguard.observe()).map(({ name, peers }) => [name, peers]));
      conditions.clear('tunnel-unreadable');
      return { up: devices.has(hubDevice), peers: devices.get(hubDevice) ?? new Map(), devices };
    } catch (error) {
      conditions.raise(
        {
          code: 'tunnel-unreadable',
          severity: 'warning',
          title: 'The tunnel does not answer.',
          remedy: 'It is tried again.',
        },
        error,
      );
      return { up: false, peers: new Map(), devices: new Map() };
    }
  };
  return () => {
    // Many readers at one moment share one look.
    if (cached === undefined || performance.now() - cached.at > 200) cached = { at: performance.now(), tunnel: read() };
    return cached.tunnel;
  };
}

/** Wakes the parts that a notification may concern. */
function listenToKernel(reconciler: Reconciler, dhcpFolder: string): readonly { close(): void }[] {
  const due = new Set<PartName>();
  let timer: NodeJS.Timeout | undefined;
  const wake = (...parts: readonly PartName[]) => {
    for (const part of parts) due.add(part);
    timer ??= setTimeout(() => {
      timer = undefined;
      reconciler.wake([...due]);
      due.clear();
    }, gather);
  };
  const lost = () => wake('firewall', 'network', 'wireguard');
  const { link, ipv4Address, ipv6Address, ipv4Route } = routeGroup;
  const groups = [link, ipv4Address, ipv6Address, ipv4Route];
  return [
    subscribe('route', groups, () => wake('network', 'wireguard'), lost),
    subscribe(
      'netfilter',
      [netfilterGroup.nftables],
      (message) => {
        const event = decodeNftablesEvent(message);
        if (event?.table?.name === table) wake('firewall');
      },
      lost,
    ),
    // dnsmasq rewrites its leases in place: who holds which address decides who may pass.
    watch(dhcpFolder, (_, file) => {
      if (file === 'dnsmasq.leases') wake('firewall', 'zone', 'network');
    }),
    { close: () => clearTimeout(timer) },
  ];
}

await main();
