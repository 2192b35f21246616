// The certificate: what is in it, that it is kept, and when it is made again.
import { X509Certificate } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeCertificate } from '../../src/webui/server/certificate.ts';
import { ensureIdentity, fits } from '../../src/webui/server/tls.ts';

const NAMES = ['hub.apn', '192.168.66.1', 'fd00::1', 'localhost'];
const DAY = 86_400_000;
const NOW = Date.UTC(2026, 10, 22);
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'webui-tls-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('makeCertificate', () => {
  const start = new Date(NOW);
  const end = new Date(NOW + 800 * DAY);

  test('is a self-signed P-256 server certificate for exactly its names', () => {
    const pem = makeCertificate(NAMES, start, end);
    const certificate = new X509Certificate(pem);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.ca).toBe(false);
    expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    expect(certificate.subject).toBe('CN=hub.apn');
    expect(certificate.issuer).toBe('CN=hub.apn');
    expect(certificate.validFromDate).toEqual(start);
    expect(certificate.validToDate).toEqual(end);
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(certificate.subjectAltName).toBe(
      'DNS:hub.apn, IP Address:192.168.66.1, IP Address:FD00:0:0:0:0:0:0:1, DNS:localhost',
    );
    const other = new X509Certificate(makeCertificate(NAMES, start, end));
    expect(certificate.verify(other.publicKey)).toBe(false);
  });

  test('no two share a serial number, and dates after 2049 are right', () => {
    const late = new X509Certificate(makeCertificate(['hub.apn'], start, new Date(Date.UTC(2051, 1, 3, 4, 5, 6))));
    expect(late.validToDate.toISOString()).toBe('2051-02-03T04:05:06.000Z');
    expect(late.serialNumber).not.toBe(new X509Certificate(makeCertificate(['hub.apn'], start, end)).serialNumber);
  });

  test('long lists of names need long lengths', () => {
    const names = Array.from({ length: 40 }, (_, index) => `host-${index}.apn`);
    const certificate = new X509Certificate(makeCertificate(names, start, end));
    expect(names.every((name) => certificate.checkHost(name) === name)).toBe(true);
  });
});

describe('ensureIdentity', () => {
  test('is made once, readable by its owner only, and used again', () => {
    const first = ensureIdentity(folder, NAMES, NOW);
    expect(first).toMatchObject({ made: true, unsaved: null });
    expect(statSync(join(folder, 'tls.pem')).mode & 0o777).toBe(0o400);
    expect(ensureIdentity(folder, NAMES, NOW + 60 * DAY)).toEqual({ pem: first.pem, made: false, unsaved: null });
  });

  test('changed names, the last 30 days, and a damaged file make a new one', () => {
    const { pem } = ensureIdentity(folder, NAMES, NOW);
    expect(fits(pem, NAMES.toReversed(), NOW)).toBe(true);
    expect(fits(pem, NAMES.slice(1), NOW)).toBe(false);
    expect(fits(pem, [...NAMES, 'extra.apn'], NOW)).toBe(false);
    expect(fits(pem, ['hub.apn', '192.168.66.2', 'fd00::1', 'localhost'], NOW)).toBe(false);
    expect(fits(pem, NAMES, NOW + 768 * DAY)).toBe(true);
    expect(fits(pem, NAMES, NOW + 770 * DAY)).toBe(false);
    const renewed = ensureIdentity(folder, NAMES, NOW + 770 * DAY);
    expect(renewed.made).toBe(true);
    expect(readFileSync(join(folder, 'tls.pem'), 'utf8')).toBe(renewed.pem);
    chmodSync(join(folder, 'tls.pem'), 0o600);
    writeFileSync(join(folder, 'tls.pem'), renewed.pem.slice(0, 300));
    expect(ensureIdentity(folder, NAMES, NOW).made).toBe(true);
  });

  test('a key that is not the certificate’s does not fit', () => {
    const one = ensureIdentity(folder, NAMES, NOW).pem;
    const other = makeCertificate(NAMES, new Date(NOW - DAY), new Date(NOW + 700 * DAY));
    const cut = one.indexOf('-----BEGIN CERT');
    expect(fits(one.slice(0, cut) + other.slice(other.indexOf('-----BEGIN CERT')), NAMES, NOW)).toBe(false);
  });

  test('a clock at 1970 neither replaces a good certificate nor makes one from 1970', () => {
    const { pem } = ensureIdentity(folder, NAMES, NOW);
    expect(fits(pem, NAMES, 0)).toBe(true);
    const early = new X509Certificate(ensureIdentity(join(folder, 'other'), NAMES, 0).pem);
    expect(early.validFromDate.getUTCFullYear()).toBe(2025);
  });

  test('one made by a clock ten years ahead is replaced when the clock is right again', () => {
    const { pem } = ensureIdentity(folder, NAMES, NOW + 3_650 * DAY);
    expect(fits(pem, NAMES, NOW)).toBe(false);
  });

  test('a disk that takes nothing still gives a certificate, and says why it is not kept', () => {
    writeFileSync(join(folder, 'file'), '');
    const identity = ensureIdentity(join(folder, 'file'), NAMES, NOW);
    expect(identity.made).toBe(true);
    expect(identity.unsaved).toMatch(/EEXIST|ENOTDIR/);
    expect(fits(identity.pem, NAMES, NOW)).toBe(true);
  });
});
