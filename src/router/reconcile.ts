// The loop that makes the machine what the configuration says: observe, plan, apply, again until quiet.
import type { Conditions } from './conditions.ts';
import type { Driver, Drivers } from './drivers/driver.ts';
import { describe } from './plan/operation.ts';
import {
  type Facts,
  type Intent,
  type Notice,
  type PartName,
  type Parts,
  type Planner,
  partNames,
  planners,
} from './plan/plan.ts';

export interface ReconcilerOptions {
  readonly drivers: Drivers;
  readonly conditions: Conditions;
  /** What is asked for now, and the revision that says so. */
  readonly intent: () => Intent & { readonly revision: number };
  readonly facts: () => Facts;
  readonly log: (line: string) => void;
  /** Called after every run with the parts that changed something. */
  readonly onRun?: (changed: readonly PartName[]) => void;
}

/** A change can make room for another (a link for its address); more rounds than this mean two wills fight. */
const rounds = 5;
const shortestBackoff = 500;
const longestBackoff = 60_000;
const nothing = Number.POSITIVE_INFINITY;

const trouble: Readonly<Record<PartName, { title: string; remedy: string }>> = {
  firewall: {
    title: 'The firewall cannot be set up.',
    remedy: 'What it allowed before stays; see the log for the reason.',
  },
  network: { title: 'A network device cannot be set up.', remedy: 'Check that the ports named under LAN exist.' },
  wireguard: { title: 'The tunnel cannot be set up.', remedy: 'See the log for the reason; the router keeps trying.' },
  dhcp: {
    title: 'DHCP cannot be started.',
    remedy: 'Check that dnsmasq is installed and no other DHCP server runs here.',
  },
  zone: { title: 'The names cannot be written.', remedy: 'Check that the run folder is writable and not full.' },
};

export class Reconciler {
  readonly #options: ReconcilerOptions;
  /** Parts that have to look again, with the oldest revision they have not caught up with; `nothing`: only to look. */
  readonly #pending = new Map<PartName, number>();
  /** The part at work and what it owed when it began: what comes meanwhile is owed anew, since it may have looked already. */
  #working: { readonly part: PartName; readonly owed: number } | null = null;
  readonly #backoff = new Map<PartName, { until: number; delay: number }>();
  readonly #waiting = new Set<{ owes: () => readonly PartName[]; done: (applied: boolean) => void }>();
  /** What each part logged last: a change that fails again and again is told once. */
  readonly #told = new Map<PartName, string>();
  readonly #noticed = new Map<PartName, readonly Notice[]>();
  #running: Promise<void> | null = null;
  #retry: NodeJS.Timeout | undefined;
  /** The newest revision that anybody woke us for. */
  #known = -1;
  #closed = false;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** The newest revision that the whole machine agrees with. */
  get appliedRevision(): number {
    return Math.min(this.#known, ...partNames.map((part) => this.#owed(part) - 1));
  }

  /** Has the parts look again, soon. A part that is backing off is tried at once: something has changed. */
  wake(parts: readonly PartName[] = partNames): void {
    if (this.#closed) return;
    const { revision } = this.#options.intent();
    // A revision heard of before is no news: the parts only look whether the machine still agrees with it.
    const owed = revision > this.#known ? revision : nothing;
    this.#known = Math.max(this.#known, revision);
    for (const part of parts) {
      this.#owe(part, owed);
      const backoff = this.#backoff.get(part);
      if (backoff !== undefined) this.#backoff.set(part, { ...backoff, until: 0 });
    }
    this.#running ??= this.#run();
  }

  /**
   * Waits until these parts of the machine agree with the revision. False: they do not, after so many milliseconds or
   * because a part that is left keeps failing.
   */
  applied(revision: number, timeout: number, parts: readonly PartName[] = partNames): Promise<boolean> {
    const owes = () => parts.filter((part) => this.#owed(part) <= revision);
    if (owes().length === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = setTimeout(() => entry.done(false), timeout);
      const entry = {
        owes,
        done: (applied: boolean) => {
          clearTimeout(timer);
          this.#waiting.delete(entry);
          resolve(applied);
        },
      };
      this.#waiting.add(entry);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#running;
    for (const { done } of [...this.#waiting]) done(false);
    for (const driver of Object.values(this.#options.drivers)) driver.close();
  }

  async #run(): Promise<void> {
    // Let the caller that saved and woke us finish first.
    await Promise.resolve();
    const changed = new Set<PartName>();
    for (let due = this.#due(); due.length > 0 && !this.#closed; due = this.#due()) {
      for (const part of due) {
        if (this.#closed) break;
        if (await this.#work(part)) changed.add(part);
        // A lease is in a hurry: it waits for one part at most, not for all of them.
        if (part !== 'firewall' && this.#due().includes('firewall') && (await this.#work('firewall')))
          changed.add('firewall');
      }
    }
    this.#running = null;
    this.#options.onRun?.([...changed]);
    this.#tellWaiting();
    this.#scheduleRetry();
  }

  /** One part until it is quiet or has failed. Whether it changed anything. */
  async #work(part: PartName): Promise<boolean> {
    const { revision } = this.#options.intent();
    const owed = this.#pending.get(part) ?? nothing;
    this.#pending.delete(part);
    this.#working = { part, owed };
    const changed = await this.#settle(part);
    this.#working = null;
    // A device made by the network part is an empty one for the tunnel part.
    if (changed && part === 'network') this.#owe('wireguard', nothing);
    if (this.#backoff.has(part)) this.#owe(part, Math.min(owed, revision));
    this.#tellWaiting();
    return changed;
  }

  #owe(part: PartName, revision: number): void {
    this.#pending.set(part, Math.min(this.#pending.get(part) ?? nothing, revision));
  }

  #owed(part: PartName): number {
    return Math.min(this.#pending.get(part) ?? nothing, this.#working?.part === part ? this.#working.owed : nothing);
  }

  #tellWaiting(): void {
    for (const { owes, done } of [...this.#waiting]) {
      const left = owes();
      if (left.length === 0) done(true);
      else if (left.every((part) => (this.#backoff.get(part)?.delay ?? 0) > shortestBackoff)) done(false);
    }
  }

  #due(): readonly PartName[] {
    const now = performance.now();
    return partNames.filter((part) => this.#pending.has(part) && (this.#backoff.get(part)?.until ?? 0) <= now);
  }

  #scheduleRetry(): void {
    clearTimeout(this.#retry);
    if (this.#backoff.size === 0 || this.#closed) return;
    const next = Math.min(...[...this.#backoff.values()].map(({ until }) => until));
    this.#retry = setTimeout(
      () => {
        this.#running ??= this.#run();
      },
      Math.max(1, next - performance.now()),
    );
  }

  /** Whether it changed anything. A failure raises a condition and backs this part off; the others go on. */
  async #settle(part: PartName): Promise<boolean> {
    const code = `${part}-failing`;
    try {
      const changed = await this.#rounds(part, planners[part], this.#options.drivers[part]);
      this.#backoff.delete(part);
      this.#options.conditions.clear(code);
      this.#told.delete(part);
      return changed;
    } catch (error) {
      const before = this.#backoff.get(part)?.delay ?? 0;
      const delay = Math.min(longestBackoff, Math.max(shortestBackoff, before * 2));
      this.#backoff.set(part, { until: performance.now() + delay, delay });
      // The first failure may be a race with the kernel (an element that just expired): one more try before it is a condition.
      if (before > 0) this.#options.conditions.raise({ code, severity: 'error', ...trouble[part] }, error);
      else this.#options.log(`${code}: trying again (${error instanceof Error ? error.message : error})`);
      return true;
    }
  }

  async #rounds<Name extends PartName>(part: Name, planner: Planner<Name>, driver: Driver<Name>): Promise<boolean> {
    const failures: unknown[] = [];
    for (let round = 0; round < rounds; round++) {
      const desired = planner.compile(this.#options.intent(), this.#options.facts());
      const observed = await driver.observe();
      const operations = planner.plan(desired, observed);
      this.#notice(part, planner.notices?.(desired, observed) ?? []);
      if (operations.length === 0) return round > 0;
      failures.length = 0;
      this.#tell(part, operations.map(describe));
      for (const operation of operations) {
        try {
          await driver.apply(operation as Parts[Name]['operation']);
        } catch (error) {
          failures.push(new Error(describe(operation), { cause: error }));
          // Order is meaning in the firewall: nothing is given after taking failed.
          if (part === 'firewall') break;
        }
      }
      if (failures.length > 0 && round > 0) break;
    }
    throw failures[0] ?? new Error('Something else keeps changing it back.');
  }

  #notice(part: PartName, notices: readonly Notice[]): void {
    for (const { code } of this.#noticed.get(part) ?? []) {
      if (!notices.some((notice) => notice.code === code)) this.#options.conditions.clear(code);
    }
    for (const notice of notices) this.#options.conditions.raise(notice);
    this.#noticed.set(part, notices);
  }

  #tell(part: PartName, lines: readonly string[]): void {
    const text = lines.join('\n');
    if (this.#told.get(part) === text) return;
    this.#told.set(part, text);
    for (const line of lines) this.#options.log(line);
  }
}
