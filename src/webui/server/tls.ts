// The gateway's key and certificate: made at first start, kept in one file, made again when names or time say so.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { makeCertificate } from './certificate.ts';

const DAY = 86_400_000;
/** Apple's systems refuse server certificates that are valid for more than 825 days. */
const LIFETIME = 800 * DAY;
const RENEW_BEFORE_END = 30 * DAY;
/** A clock before this is wrong: the Pi has no battery clock and may start anywhere. */
const CLOCK_FLOOR = Date.UTC(2026, 0, 1);

export interface Identity {
  /** Key and certificate, both PEM; https takes it as `key` and as `cert`. */
  readonly pem: string;
  readonly made: boolean;
  /** Why the new one could not be kept (a full or read-only disk); it is used until the process ends. */
  readonly unsaved: string | null;
}

/**
 * The kept identity if it fits `names` (DNS names and addresses) at `now` (ms), else a new one. Key and certificate
 * share the file `tls.pem`, mode 0400, so that no power cut can part them.
 */
export function ensureIdentity(folder: string, names: readonly string[], now: number): Identity {
  const file = join(folder, 'tls.pem');
  const kept = readOrNull(file);
  if (kept !== null && fits(kept, names, now)) return { pem: kept, made: false, unsaved: null };
  const start = Math.max(now, CLOCK_FLOOR);
  const pem = makeCertificate(names, new Date(start - DAY), new Date(start - DAY + LIFETIME));
  try {
    writeWhole(folder, file, pem);
    return { pem, made: true, unsaved: null };
  } catch (error) {
    return { pem, made: true, unsaved: (error as Error).message };
  }
}

/** False when the text is damaged, the names differ, or the certificate ends soon or was made by a clock gone ahead. */
export function fits(pem: string, names: readonly string[], now: number): boolean {
  try {
    const certificate = new X509Certificate(pem);
    if (!certificate.checkPrivateKey(createPrivateKey(pem))) return false;
    if (certificate.subjectAltName?.split(', ').length !== names.length) return false;
    const named = names.every((name) =>
      isIP(name) === 0 ? certificate.checkHost(name) !== undefined : certificate.checkIP(name) !== undefined,
    );
    if (!named) return false;
    // With a clock that cannot be right, a certificate people have already accepted stays.
    if (now < CLOCK_FLOOR) return true;
    return certificate.validFromDate.getTime() <= now && certificate.validToDate.getTime() - now > RENEW_BEFORE_END;
  } catch {
    return false;
  }
}

function readOrNull(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

function writeWhole(folder: string, file: string, text: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const part = `${file}.new`;
  rmSync(part, { force: true });
  const descriptor = openSync(part, 'wx', 0o400);
  try {
    writeSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(part, file);
  const parent = openSync(folder, 'r');
  try {
    fsyncSync(parent);
  } finally {
    closeSync(parent);
  }
}
