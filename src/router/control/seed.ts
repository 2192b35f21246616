// The set-up file of a card: what its owner may say before the box has ever run.
import { z } from 'zod';
import { parse, system, text } from '../../model/config.ts';
import { Conflict, InvalidInput } from '../../model/errors.ts';
import { parseDisplayName } from '../../model/name.ts';
import type { Store } from '../store/store.ts';
import { parseJson } from './json.ts';

const shortestCode = 8;

const seed = z.strictObject({
  /** Whoever claims the router has to give it. */
  claimCode: text(parseCode).optional(),
  hostName: system.shape.hostName.optional(),
  /** Name of the first owner, unless another is given. */
  ownerName: text(parseDisplayName).optional(),
});

export type Seed = Readonly<z.infer<typeof seed>>;

/** @throws InvalidInput naming the field; nothing of the file is used then. */
export function parseSeed(content: string): Seed {
  return parse(seed, parseJson(content.replace(/^\ufeff/, '')));
}

function parseCode(code: string): string {
  const plain = normalizedCode(code);
  if (plain.length < shortestCode) {
    throw new InvalidInput('', `A claim code has at least ${shortestCode} letters and digits.`);
  }
  return plain;
}

/** As it is compared: people read it from a sticker, with spaces and hyphens where they like. */
export function normalizedCode(code: string): string {
  return code
    .normalize('NFKC')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]/gu, '');
}

/** What is remembered of the first start. `refused`: the file was wrong, and is read again at the next one. */
const firstStart = z.strictObject({ seed: z.enum(['none', 'taken', 'refused']), ownerName: z.string().nullable() });
export type FirstStart = z.infer<typeof firstStart>;

const place = ['setup', 'first start'] as const;

/** Null: there was none yet. */
export function readFirstStart(store: Store): FirstStart | null {
  try {
    const bytes = store.secret(...place);
    return bytes === null ? null : parse(firstStart, JSON.parse(Buffer.from(bytes).toString()));
  } catch (error) {
    // Damaged: there was one, and all it would tell is a name.
    if (error instanceof Conflict) return { seed: 'none', ownerName: null };
    throw error;
  }
}

export function firstStartSecret(one: FirstStart): readonly [row: string, column: string, value: Uint8Array] {
  return [...place, Buffer.from(JSON.stringify(one))];
}

export function ownerWanted(store: Store): string | null {
  return readFirstStart(store)?.ownerName ?? null;
}
