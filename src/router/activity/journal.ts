// Entries for the audit log that come by themselves: gathered, and written together when the disk takes them.

import type { AuditEntry, AuditKind } from '../store/audit.ts';
import { StoreUnavailable } from '../store/errors.ts';

/** So many wait for a disk that takes nothing; of more, the oldest are lost. */
const waitingAtMost = 500;

export class Journal {
  readonly #record: (kind: AuditKind, entries: readonly AuditEntry[]) => void;
  readonly #waiting = new Map<AuditKind, AuditEntry[]>();

  constructor(record: (kind: AuditKind, entries: readonly AuditEntry[]) => void) {
    this.#record = record;
  }

  add(kind: AuditKind, entries: readonly AuditEntry[]): void {
    if (entries.length === 0) return;
    const all = [...(this.#waiting.get(kind) ?? []), ...entries];
    this.#waiting.set(kind, all.slice(-waitingAtMost));
  }

  /** Tries to write what waits; what cannot be written now waits on. */
  flush(): void {
    for (const [kind, entries] of this.#waiting) {
      try {
        this.#record(kind, entries);
        this.#waiting.delete(kind);
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        return;
      }
    }
  }
}
