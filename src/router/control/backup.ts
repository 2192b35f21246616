// /backup and /restore: everything in one file that a passphrase opens, and the same hub out of it again.
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import type { Config, Lan } from '../../model/config.ts';
import { Forbidden, InvalidInput, TooMany, Unauthorized } from '../../model/errors.ts';
import { claimed, may } from '../../model/roles.ts';
import { type Contents, decodeContents, encodeContents } from '../store/backup.ts';
import { checkPassphrase, largestFile, openFile, sealFile } from '../store/backup-file.ts';
import { actor, body, configOf, needs, passwordWanted } from './http.ts';
import type { Env } from './services.ts';
import { checkCode, checkOpen } from './setup.ts';

const passphrase = z.string();
const request = z.strictObject({ passphrase });
const backupAnswer = z.strictObject({
  name: z.string(),
  file: z.base64(),
  /** Names of servers, devices and uplinks that are not in it, because their keys are damaged. */
  omitted: z.array(z.string()),
});
const restoration = z.strictObject({
  passphrase,
  file: z.string(),
  /** The claim code of a card that was set up with one, while nobody owns the router. */
  code: z.string().max(200).optional(),
});
const restored = z.strictObject({
  /** When the backup was made. */
  of: z.iso.datetime(),
  revision: z.int(),
  /** The backup's ports are not on this box, so it keeps its own. */
  ownPorts: z.boolean(),
});

/** Base64 of the largest file, and the rest of the request. */
const largest = Math.ceil(largestFile / 3) * 4 + 8192;

export const backup = new Hono<Env>().post(
  '/',
  needs('own', {
    title: 'Everything that makes another box the same hub, in one file that the passphrase opens.',
    body: request,
    answer: backupAnswer,
    fresh: true,
  }),
  async (c) => {
    const asked = await body(c, request);
    checkPassphrase(asked.passphrase);
    const services = c.get('services');
    const contents = services.store.contents();
    const file = await alone(() => sealFile(encodeContents(contents), asked.passphrase));
    services.store.amend(actor(c), (amendment) => amendment.audit('backup made', {}), 'passing');
    const day = new Date(contents.createdAt).toISOString().slice(0, 10);
    const name = `${configOf(c).system.hostName}-${day}.apnbackup`;
    return c.json({ name, file: Buffer.from(file).toString('base64'), omitted: [...contents.omitted] });
  },
);

export const restore = new Hono<Env>().post(
  '/',
  needs('open', {
    title: 'Become the hub of a backup: an owner, or anybody on the LAN while the router has no owner.',
    body: restoration,
    answer: restored,
    largest,
  }),
  async (c) => {
    check(c);
    const asked = await body(c, restoration);
    const services = c.get('services');
    if (!claimed(configOf(c))) checkCode(c, asked.code);
    const file = bytesOf(asked.file);
    const contents = await alone(async () => decodeContents(await openFile(file, asked.passphrase)));
    const ports = await services.ports();
    // It took a while: somebody else may own it by now.
    check(c);
    const lan = fitted(contents.config.lan, configOf(c).lan, ports);
    const wanted: Contents = { ...contents, config: { ...contents.config, lan } };
    const of = new Date(contents.createdAt).toISOString();
    services.store.restore({ actor: actor(c), summary: `backup of ${of} restored` }, wanted);
    services.restart();
    const { revision } = services.store.snapshot;
    return c.json({ of, revision, ownPorts: lan !== contents.config.lan });
  },
);

/** @throws Unauthorized, Forbidden */
function check(c: Context<Env>): void {
  const principal = c.get('principal');
  if (!claimed(configOf(c))) {
    checkOpen(c, configOf(c));
    return;
  }
  if (principal.kind === 'anonymous') throw new Unauthorized('Sign in first.');
  if (!may(principal, 'own', {}, configOf(c))) throw new Forbidden('You may not do this.');
  if (principal.kind === 'member' && principal.fresh !== true) throw passwordWanted();
}

/** @throws InvalidInput */
function bytesOf(text: string): Uint8Array {
  try {
    return Uint8Array.fromBase64(text);
  } catch {
    throw new InvalidInput('file', 'This is not base64.');
  }
}

/**
 * Another box may call its ports otherwise: those it has now stay where the backup's are not here. The addresses are the
 * backup's.
 */
function fitted(wanted: Config['lan'], own: Config['lan'], ports: readonly string[]): Lan | null {
  if (wanted === null || own === null) return wanted;
  const fits = ports.includes(wanted.wan) && wanted.ports.some((port) => ports.includes(port));
  return fits ? wanted : { ...wanted, wan: own.wan, ports: own.ports, topology: own.topology };
}

let running = false;

/** A passphrase takes much memory to try: one at a time. @throws TooMany */
async function alone<T>(work: () => Promise<T>): Promise<T> {
  if (running) throw new TooMany('Another backup is being made or read.', 5);
  running = true;
  try {
    return await work();
  } finally {
    running = false;
  }
}
