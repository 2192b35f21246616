// Conditions: lasting problems a person should know, each raised and cleared by whoever sees it.
export type Severity = 'info' | 'warning' | 'error';

export interface Condition {
  /** Stable name for programs: `firewall-failing`. */
  readonly code: string;
  readonly severity: Severity;
  readonly title: string;
  /** The names it is about: not for everybody on the LAN to read. */
  readonly about?: string;
  /** What to do. */
  readonly remedy: string;
  /** Wall clock, milliseconds. */
  readonly since: number;
}

const severities: readonly Severity[] = ['error', 'warning', 'info'];

export class Conditions {
  readonly #now: () => number;
  readonly #log: (line: string) => void;
  readonly #present = new Map<string, Condition>();
  readonly #listeners = new Set<() => void>();

  constructor(now: () => number, log: (line: string) => void) {
    this.#now = now;
    this.#log = log;
  }

  /** @param cause For the log alone; people see title and remedy. */
  raise(condition: Omit<Condition, 'since'>, cause?: unknown): void {
    const before = this.#present.get(condition.code);
    if (before !== undefined && before.title === condition.title && before.severity === condition.severity) return;
    this.#present.set(condition.code, { ...condition, since: before?.since ?? this.#now() });
    this.#log(`${condition.code}: ${condition.title}${cause === undefined ? '' : ` (${causeText(cause)})`}`);
    this.#tell();
  }

  clear(code: string): void {
    if (!this.#present.delete(code)) return;
    this.#log(`${code}: over`);
    this.#tell();
  }

  /** Raises or clears by what is true now. */
  set(present: boolean, condition: Omit<Condition, 'since'>): void {
    if (present) this.raise(condition);
    else this.clear(condition.code);
  }

  /** The worst first. */
  list(): readonly Condition[] {
    return [...this.#present.values()].sort((a, b) => severities.indexOf(a.severity) - severities.indexOf(b.severity));
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

export function causeText(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return cause.cause === undefined ? cause.message : `${cause.message}: ${causeText(cause.cause)}`;
}
