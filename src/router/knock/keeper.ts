// The knock: hears refused and accepted handshakes, knows who sent them, lists them, and lets in whom the policy lets in.
import type { Config, Device, Server } from '../../model/config.ts';
import type { PrivateKey, PublicKey } from '../../model/key.ts';
import { decide, isAutomatic, type Knock, type Outcome } from '../../model/knock.ts';
import { StoreUnavailable } from '../store/errors.ts';
import { fingerprintOf, shortFingerprint } from '../store/knocks.ts';
import { type Act, type ActingParts, Acts } from './acts.ts';
import { Budget } from './budget.ts';
import { type Judgement, PeerClocks } from './clocks.ts';
import {
  createHandshakeReader,
  ephemeralOf,
  type HandshakeReader,
  hasEmptyMac2,
  type Initiation,
} from './handshake.ts';
import { RefusedList } from './list.ts';
import { type Datagram, readDatagram } from './packet.ts';
import { Refusals } from './refusals.ts';
import { compareTimestamps } from './timestamp.ts';

/**
 * How many messages are opened, at about a millisecond each (ten on a small Pi): whoever knows the hub's public key can
 * make as many as he likes. Addresses that known peers came from have a budget of their own.
 */
const openings = { perSecond: 10, burst: 20 };
/** After a restart of the hub everybody comes at once; only leased addresses can. */
const acceptedOpenings = { perSecond: 20, burst: 60 };
const rememberedSources = 1024;
const rememberedMessages = 512;
/**
 * Milliseconds until something is written down: a refusal for the audit log soon; a timestamp, where nothing is done by
 * itself, with many others, because a client that is not let in tries every 5 s for as long as it runs.
 */
const writeDelay = { refusal: 1000, timestamp: 60_000 } as const;

export interface KeeperParts extends Omit<ActingParts, 'settle'> {
  readonly hubPrivateKey: PrivateKey;
  readonly hubPublicKey: PublicKey;
  /** Makes the tunnel's peer anew: WireGuard remembers the newest timestamp as well, and nobody can ask it for that. */
  readonly renewPeer: (publicKey: PublicKey) => void;
  /** The list is another than before. */
  readonly changed: () => void;
  readonly log: (line: string) => void;
}

interface Peer {
  readonly device: Device | null;
  readonly server: Server | null;
}

export class KnockKeeper {
  readonly #parts: KeeperParts;
  readonly #reader: HandshakeReader;
  readonly #clocks: PeerClocks;
  readonly #acts: Acts;
  readonly #refusals: Refusals;
  readonly #list = new RefusedList();
  readonly #budgets: Readonly<Record<'accepted' | 'heard' | 'others', Budget>>;
  /** Addresses that known peers came from, the latest last. */
  readonly #heard = new Set<string>();
  /** Messages that were opened, the latest last. */
  readonly #opened = new Set<string>();
  /** Keys for which something is being done. */
  readonly #busy = new Set<string>();
  #timer: { readonly due: number; readonly timer: NodeJS.Timeout } | undefined;

  constructor(parts: KeeperParts) {
    const { boot } = parts.clock();
    const budget = ({ perSecond, burst } = openings) => new Budget(perSecond, burst, boot);
    this.#parts = parts;
    this.#reader = createHandshakeReader(parts.hubPrivateKey, parts.hubPublicKey);
    this.#clocks = new PeerClocks(parts.store);
    this.#acts = new Acts({ ...parts, settle: () => this.#clocks.flush() });
    this.#refusals = new Refusals(boot);
    this.#budgets = { accepted: budget(acceptedOpenings), heard: budget(), others: budget() };
  }

  /** An IP packet with a handshake that the firewall refused. */
  refused(packet: Uint8Array): void {
    this.#safely(() => {
      const datagram = readDatagram(packet);
      if (datagram === null) return;
      const initiation = this.#open(datagram, 'refused');
      if (initiation === 'unreadable') this.#unreadable(datagram);
      else if (initiation !== null) this.#knock(datagram, initiation);
    });
  }

  /** The same of one that passed: its timestamp counts, or whoever recorded it could use it later. */
  accepted(packet: Uint8Array): void {
    this.#safely(() => {
      const datagram = readDatagram(packet);
      const initiation = datagram === null ? null : this.#open(datagram, 'accepted');
      if (datagram === null || initiation === null || initiation === 'unreadable') return;
      const { publicKey, timestamp } = initiation;
      const peer = this.#peer(publicKey);
      if (peer === null) return;
      const fingerprint = fingerprintOf(publicKey);
      const judgement = this.#clocks.judge(fingerprint, timestamp, this.#parts.clock());
      if (judgement === 'replay' || judgement === 'stuck') return;
      this.#hold(fingerprint, timestamp, this.#actsByItself(peer));
      const id = shortFingerprint(fingerprint);
      if (this.#list.find(id)?.source === datagram.source) this.dismiss(id);
    });
  }

  list(): readonly Knock[] {
    const { devices, servers }: Config = this.#parts.store.snapshot.config;
    const owners = new Map<string, string>([...devices, ...servers].map(({ publicKey, id }) => [publicKey, id]));
    // Whoever was removed, has another key or was enrolled since then is somebody else now.
    const current = this.#list.all().filter(({ publicKey, peer }) => (owners.get(publicKey ?? '') ?? null) === peer);
    return current.map(({ timestamp: _, ...knock }) => knock);
  }

  settle({ id, publicKey }: Knock): void {
    const timestamp = this.#list.find(id)?.timestamp;
    if (publicKey === null || timestamp == null) return;
    const fingerprint = fingerprintOf(publicKey);
    const judgement = this.#clocks.judge(fingerprint, timestamp, this.#parts.clock());
    if (judgement === 'new' || judgement === 'ahead') this.#clocks.hold(fingerprint, timestamp);
    this.#clocks.flush();
  }

  dismiss(id: string): void {
    if (this.#list.remove(id)) this.#parts.changed();
  }

  forgetClock(publicKey: PublicKey): void {
    const fingerprint = fingerprintOf(publicKey);
    this.#clocks.forget(fingerprint, this.#parts.clock().wall);
    this.#parts.renewPeer(publicKey);
    this.dismiss(shortFingerprint(fingerprint));
  }

  close(): void {
    this.write();
  }

  /**
   * Writes down what was seen and not written yet. After every change of the configuration: who was listed until then
   * may be let in from then on, and what was recorded of him before must not count.
   */
  write(): void {
    clearTimeout(this.#timer?.timer);
    this.#timer = undefined;
    try {
      this.#clocks.flush();
      const entries = this.#refusals.take();
      if (entries.length > 0) this.#parts.store.record('lease', entries);
    } catch (error) {
      // In memory it goes on; the lease keeper and every save tell of a disk that cannot be written.
      if (!(error instanceof StoreUnavailable)) throw error;
    }
  }

  /** Null: not looked at, or seen before. */
  #open({ source, payload }: Datagram, group: 'refused' | 'accepted'): Initiation | 'unreadable' | null {
    if (!this.#reader.isForUs(payload)) return 'unreadable';
    if (group === 'refused' && !hasEmptyMac2(payload)) return 'unreadable';
    const ephemeral = ephemeralOf(payload);
    if (this.#opened.has(ephemeral)) return null;
    const budget = group === 'accepted' ? 'accepted' : this.#heard.has(source) ? 'heard' : 'others';
    if (!this.#budgets[budget].take(this.#parts.clock().boot)) return null;
    remember(this.#opened, ephemeral, rememberedMessages);
    return this.#reader.open(payload) ?? 'unreadable';
  }

  #unreadable({ source, port }: Datagram): void {
    const id = `ip${source.replace(/[.:]/g, (mark) => (mark === '.' ? 'x' : 'y'))}`;
    const common = { peer: null, publicKey: null, source, port, clockAhead: false };
    this.#list.add({ ...common, id, kind: 'unreadable', outcome: 'unreadable' }, null, this.#parts.clock().wall);
    this.#parts.changed();
  }

  #knock(datagram: Datagram, initiation: Initiation): void {
    const { publicKey, timestamp } = initiation;
    const clock = this.#parts.clock();
    const peer = this.#peer(publicKey);
    const fingerprint = fingerprintOf(publicKey);
    const id = shortFingerprint(fingerprint);
    const judgement = this.#judge(id, fingerprint, timestamp);
    if (judgement === 'replay') return;
    if (peer === null) {
      this.#show(datagram, initiation, { peer, outcome: 'unknown', clockAhead: judgement === 'ahead' });
      return;
    }
    if (judgement === 'stuck') {
      // Where it came from says nothing: it may be a copy. A row that is there keeps the address it has.
      if (this.#list.change(id, { outcome: 'stuck', clockAhead: true })) this.#parts.changed();
      else this.#show(datagram, initiation, { peer, outcome: 'stuck', clockAhead: true });
      return;
    }
    remember(this.#heard, datagram.source, rememberedSources);
    const { config, leases } = this.#parts.store.snapshot;
    const decision = decide({ ...peer, source: datagram.source }, config, leases, clock);
    const ahead = judgement === 'ahead';
    // What is done writes first; what could be done another time is written at once as well.
    this.#hold(fingerprint, timestamp, (decision.act === 'nothing' || ahead) && this.#actsByItself(peer));
    if (decision.act !== 'nothing' && !ahead) {
      this.#perform(decision, initiation, id, (outcome) =>
        this.#show(datagram, initiation, { peer, outcome, clockAhead: false }),
      );
      return;
    }
    const outcome = decision.act === 'nothing' ? decision.outcome : 'ask';
    if (outcome === 'granted' || outcome === 'moved') return;
    this.#show(datagram, initiation, {
      peer,
      outcome: ahead && outcome === 'ask' ? 'clock' : outcome,
      clockAhead: ahead,
    });
  }

  /** Of an unknown key only what is on the list is remembered: making keys costs nothing. */
  #judge(id: string, fingerprint: string, timestamp: Uint8Array): Judgement {
    const before = this.#list.find(id);
    if (before?.kind === 'unknown' && before.timestamp !== null) {
      if (compareTimestamps(timestamp, before.timestamp) <= 0) return 'replay';
    }
    return this.#clocks.judge(fingerprint, timestamp, this.#parts.clock());
  }

  #show(
    { source, port }: Datagram,
    { publicKey, timestamp }: Initiation,
    { peer, ...more }: { peer: Peer | null; outcome: Outcome; clockAhead: boolean },
  ): void {
    const { wall, boot } = this.#parts.clock();
    const id = shortFingerprint(fingerprintOf(publicKey));
    const kind = peer === null ? 'unknown' : peer.device === null ? 'server' : 'device';
    const known = peer?.device?.id ?? peer?.server?.id ?? null;
    const listed = this.#list.add({ ...more, id, kind, peer: known, publicKey, source, port }, timestamp, wall);
    if (this.#refusals.add(listed, boot)) this.#writeIn(writeDelay.refusal);
    this.#parts.changed();
  }

  #perform(act: Act, initiation: Initiation, id: string, failed: (outcome: Outcome) => void): void {
    if (this.#busy.has(id)) return;
    this.#busy.add(id);
    void this.#acts
      .perform(act, initiation)
      .then((outcome) => {
        if (outcome === 'granted' || outcome === 'moved') this.dismiss(id);
        else failed(outcome);
      })
      .catch((error: unknown) => this.#tell(error))
      .finally(() => this.#busy.delete(id));
  }

  #hold(fingerprint: string, timestamp: Uint8Array, atOnce: boolean): void {
    this.#clocks.hold(fingerprint, timestamp);
    if (atOnce) this.write();
    else this.#writeIn(writeDelay.timestamp);
  }

  #writeIn(delay: number): void {
    const due = this.#parts.clock().boot + delay;
    if (this.#timer !== undefined && this.#timer.due <= due) return;
    clearTimeout(this.#timer?.timer);
    this.#timer = { due, timer: setTimeout(() => this.#safely(() => this.write()), delay).unref() };
  }

  #actsByItself({ device, server }: Peer): boolean {
    const { config } = this.#parts.store.snapshot;
    const member = config.members.find(({ id }) => id === device?.member);
    return server?.follow === true || (member !== undefined && isAutomatic(member, this.#parts.clock().wall));
  }

  #peer(publicKey: PublicKey): Peer | null {
    const { devices, servers }: Config = this.#parts.store.snapshot.config;
    const device = devices.find((one) => one.publicKey === publicKey) ?? null;
    const server = servers.find((one) => one.publicKey === publicKey) ?? null;
    return device === null && server === null ? null : { device, server };
  }

  /** What strangers send must not end the router, whatever is wrong here. */
  #safely(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#tell(error);
    }
  }

  #tell(error: unknown): void {
    this.#parts.log(`knock: ${error instanceof Error ? error.stack : String(error)}`);
  }
}

/** Adds as the latest; the oldest goes when there are too many. */
function remember(set: Set<string>, value: string, most: number): void {
  set.delete(value);
  set.add(value);
  const [oldest] = set;
  if (set.size > most && oldest !== undefined) set.delete(oldest);
}
