// The second factor: six digits of an authenticator app (RFC 6238), and recovery codes for when it is lost.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { Secret, TOTP } from 'otpauth';

/** Seconds. What every app understands: SHA-1, six digits, half a minute. */
const period = 30;
/** Steps before and after: clocks differ. */
const window = 1;
const recoveryCodes = 10;

/** 160 bits, base32. */
export function newTotpSecret(): string {
  return new Secret({ size: 20 }).base32;
}

/** `otpauth://totp/…`, for a QR code. */
export function totpUri(secret: string, member: string, hostName: string): string {
  return new TOTP({ issuer: hostName, label: member, secret: Secret.fromBase32(secret) }).toString();
}

/**
 * The step that the code belongs to, or null when it is wrong or not newer than the last step that was used.
 * @param wall Milliseconds since 1970.
 */
export function totpStep(secret: string, code: string, wall: number, lastStep: number): number | null {
  const digits = code.replaceAll(/\s/g, '');
  if (!/^\d{6}$/.test(digits)) return null;
  const delta = TOTP.validate({ token: digits, secret: Secret.fromBase32(secret), period, timestamp: wall, window });
  if (delta === null) return null;
  const step = Math.floor(wall / 1000 / period) + delta;
  return step > lastStep ? step : null;
}

/** Codes as they are shown once, and their hashes. 80 bits each: nobody guesses one, so a plain hash will do. */
export function newRecoveryCodes(): { readonly codes: readonly string[]; readonly hashes: readonly string[] } {
  const codes = Array.from({ length: recoveryCodes }, () =>
    (new Secret({ buffer: Uint8Array.from(randomBytes(10)).buffer }).base32.toLowerCase().match(/.{4}/g) ?? []).join(
      '-',
    ),
  );
  return { codes, hashes: codes.map((code) => hashOf(code).toString('base64')) };
}

/** The hashes that are left after the code was used; null when it is none of them. Looks at all of them. */
export function withoutRecoveryCode(hashes: readonly string[], code: string): readonly string[] | null {
  const given = hashOf(code);
  const left = hashes.filter((hash) => !timingSafeEqual(Buffer.from(hash, 'base64'), given));
  return left.length === hashes.length ? null : left;
}

function hashOf(code: string): Buffer {
  return createHash('sha256')
    .update(code.toLowerCase().replaceAll(/[^a-z0-9]/g, ''))
    .digest();
}
