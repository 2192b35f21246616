// The history: what each revision changed, and the sealed values it took out, which are kept as long as it is.
import type { Body, Difference, Noun } from './differences.ts';
import type { Vault } from './objects.ts';
import { isSealed, presharedKeyIds, withPublicKeys } from './sealed.ts';
import { unseal } from './secrets.ts';

export interface Revision {
  readonly revision: number;
  /** Wall clock, milliseconds. */
  readonly at: number;
  readonly actor: string;
  readonly summary: string;
  readonly changes: readonly Change[];
}

/** Bodies are whole: with the public keys, without secrets. */
export interface Change extends Difference {
  readonly revision: number;
}

/** Where a kept value is found. */
export interface Kept {
  readonly revision: number;
  readonly row: string;
}

interface Row {
  readonly revision: number;
  readonly noun: Noun;
  readonly id: string;
  readonly before: string | null;
  readonly after: string | null;
}

const publicKeyColumn = 'public key';

type Head = Omit<Revision, 'changes'>;

/**
 * Keeps what a change is about to take out, within its transaction. A key of ours that is replaced is dead, so of that
 * the public one alone is kept, to be shown; an uplink's keys are the other network's, which may go back to them.
 */
export function keep({ database }: Vault, revision: number, { noun, id, before, after }: Difference): void {
  if (before === null || id === '') return;
  const copy = (row: string, only?: string) =>
    database
      .prepare(
        'INSERT INTO kept SELECT ?, row, column, sealed FROM secret WHERE row = ? AND column = coalesce(?, column)',
      )
      .run(revision, row, only ?? null);
  if (after === null || noun === 'uplinks') for (const row of [id, ...presharedKeyIds(before)]) copy(row);
  else if (before['publicKey'] !== after['publicKey']) copy(id, publicKeyColumn);
}

/** Puts kept values back, within a transaction. Public keys are written with their object. */
export function revive({ database }: Vault, { revision, row }: Kept): void {
  database
    .prepare(
      'INSERT OR REPLACE INTO secret SELECT row, column, sealed FROM kept WHERE revision = ? AND row = ? AND column <> ?',
    )
    .run(revision, row, publicKeyColumn);
}

export class History {
  readonly #vault: Vault;

  constructor(vault: Vault) {
    this.#vault = vault;
  }

  /** Revisions that changed the configuration, the newest first. */
  list({ before, limit }: { readonly before: number; readonly limit: number }): readonly Revision[] {
    const rows = this.#vault.database
      .prepare(
        `SELECT * FROM revision WHERE revision < ? AND EXISTS (SELECT 1 FROM change WHERE change.revision = revision.revision)
         ORDER BY revision DESC LIMIT ?`,
      )
      .all(before, limit) as unknown as Head[];
    return rows.map((row) => this.#whole(row));
  }

  find(revision: number): Revision | null {
    const row = this.#vault.database.prepare('SELECT * FROM revision WHERE revision = ?').get(revision);
    return row === undefined ? null : this.#whole(row as unknown as Head);
  }

  /** What was changed after a revision, the oldest first. */
  since(revision: number): readonly Change[] {
    const rows = this.#vault.database
      .prepare('SELECT * FROM change WHERE revision > ? ORDER BY revision')
      .all(revision) as unknown as Row[];
    return rows.map((row) => this.#change(row));
  }

  /** An object as it was when it was last removed. */
  lastOf(noun: Noun, id: string): Change | null {
    const row = this.#vault.database
      .prepare('SELECT * FROM change WHERE noun = ? AND id = ? AND after IS NULL ORDER BY revision DESC LIMIT 1')
      .get(noun, id);
    return row === undefined ? null : this.#change(row as unknown as Row);
  }

  /** The first revision after this one that keeps a value of the row, or null. */
  keptAfter(revision: number, row: string): Kept | null {
    const found = this.#vault.database
      .prepare('SELECT min(revision) AS revision FROM kept WHERE row = ? AND revision > ?')
      .get(row, revision)?.['revision'];
    return typeof found === 'number' ? { revision: found, row } : null;
  }

  #whole(head: Head): Revision {
    const { revision, at, actor, summary } = head;
    const rows = this.#vault.database
      .prepare('SELECT * FROM change WHERE revision = ? ORDER BY noun, id')
      .all(revision) as unknown as Row[];
    return { revision, at, actor, summary, changes: rows.map((row) => this.#change(row)) };
  }

  #change({ revision, noun, id, before, after }: Row): Change {
    const body = (text: string | null, from: number): Body | null => {
      if (text === null) return null;
      const stored = JSON.parse(text) as Body;
      if (!isSealed(noun)) return stored;
      return withPublicKeys(stored, this.#publicKeys(id, from)) ?? stored;
    };
    return { revision, noun, id, before: body(before, revision), after: body(after, revision + 1) };
  }

  /** The keys an object had before this revision: those kept next, or those it has now. Null: not known. */
  #publicKeys(id: string, revision: number): Uint8Array | null {
    const row = this.#vault.database
      .prepare(
        `SELECT sealed FROM (
           SELECT revision, sealed FROM kept WHERE row = ?1 AND column = ?2 AND revision >= ?3
           UNION ALL SELECT 9e15, sealed FROM secret WHERE row = ?1 AND column = ?2
         ) ORDER BY revision LIMIT 1`,
      )
      .get(id, publicKeyColumn, revision);
    if (row === undefined) return null;
    return unseal(this.#vault.storeKey, { column: publicKeyColumn, row: id }, row['sealed'] as Uint8Array);
  }
}
