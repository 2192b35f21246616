// Keys that the command makes: what is sent, what is shown once, and what is refused before anybody is asked.
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import decodeQR from 'qr/decode.js';
import { describe, expect, it } from 'vitest';
import { parseArguments } from '../../src/router/cli/arguments.ts';
import { commands } from '../../src/router/cli/commands.ts';
import { keyed, qrCode } from '../../src/router/cli/keys.ts';
import { type Control, makeControl } from '../support/control.ts';
import { publicKey } from '../support/saving.ts';
import { temporaryFolder } from '../support/store.ts';

async function small(): Promise<Control> {
  const control = makeControl();
  await control.call('PATCH', '/network', { endpoint: { host: '2001:db8::1' } });
  await control.call('POST', '/applications', { label: 'shop' });
  await control.call('POST', '/members', { name: 'Anna', role: 'owner' });
  return control;
}

/** The command from its line to its text, as the program runs it. */
async function run(control: Control, name: string, ...line: readonly string[]) {
  const found = commands.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no command ${name}`);
  const request = found.request(parseArguments(line));
  const { status, body } = await control.call(request.method, request.path, request.body);
  expect([name, status, body.error]).toEqual([name, status < 300 ? status : 201, undefined]);
  const answer = request.finish?.(body as never) ?? body;
  return { request, answer: answer as Record<string, unknown>, text: found.show(answer as never) };
}

describe('--make-key', () => {
  it('sends the public half alone, and prints the whole file', async () => {
    const control = await small();
    const { request, text } = await run(control, 'devices add', 'anna/laptop', '--make-key');
    const secret = /^PrivateKey = (\S{44})$/m.exec(text)?.[1] ?? '';
    expect(secret).not.toBe('');
    expect(JSON.stringify(request)).not.toContain(secret);
    expect(text).toContain('Its WireGuard file, shown this once:');
    expect(text).toMatch(/^PresharedKey = \S{44}$/m);
    expect(text).toContain('DNS = 172.16.0.1, apn');
    const short = await run(control, 'devices add', 'anna/phone', '--make-key', '--no-dns', '--no-preshared-key');
    expect(short.text).not.toMatch(/DNS|PresharedKey/);
  });

  it('writes a file for its owner alone, never over another', async () => {
    const control = await small();
    const file = join(temporaryFolder(), 'laptop.conf');
    const { text, answer } = await run(control, 'devices add', 'anna/laptop', '--make-key', '--out', file);
    expect(text).toBe(`Added laptop.anna.team as 172.16.1.10. Its WireGuard file is ${file}.`);
    expect(readFileSync(file, 'utf8')).toBe(answer['config']);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(() => keyed(parseArguments(['--make-key', '--out', file]))).toThrow(
      expect.objectContaining({ path: '--out' }),
    );
  });

  it('shows what it could not write: the peer is there, and the key would be lost', async () => {
    const control = await small();
    const file = join(temporaryFolder(), 'missing', 'laptop.conf');
    const { text } = await run(control, 'devices add', 'anna/laptop', '--make-key', '--out', file);
    expect(text).toMatch(/could not be written \(ENOENT/);
    expect(text).toMatch(/^PrivateKey = \S{44}$/m);
    // Somebody else was faster.
    const late = join(temporaryFolder(), 'phone.conf');
    const { publicKey: key, finish } = keyed(parseArguments(['--make-key', '--out', late]));
    writeFileSync(late, 'theirs');
    const { body } = await control.call('POST', '/devices', { member: 'anna', label: 'phone', publicKey: key });
    expect(finish?.(body as never)).toMatchObject({ unwritten: expect.stringContaining('EEXIST') });
    expect(readFileSync(late, 'utf8')).toBe('theirs');
  });

  it('draws a QR code that is the file', async () => {
    const control = await small();
    const { text, answer } = await run(control, 'devices add', 'anna/phone', '--make-key', '--qr');
    const drawn = answer['qr'] as string;
    expect(text.endsWith(drawn)).toBe(true);
    expect(read(drawn)).toBe(answer['config']);
    expect(drawn.split('\n')[0]?.length).toBeLessThan(80);
  });

  it('rotates, and takes a link', async () => {
    const control = await small();
    await run(control, 'devices add', 'anna/phone', '--make-key');
    const before = control.store.snapshot.config.devices[0]?.publicKey;
    const rotated = await run(control, 'devices rotate', 'anna/phone', '--make-key');
    expect(rotated.text).toMatch(/^phone\.anna\.team has a new key, and the old one is dead\. Its/);
    expect(control.store.snapshot.config.devices[0]?.publicKey).not.toBe(before);
    const made = await run(control, 'handover add', 'shop/web', '--for', '2h');
    expect(made.text).toMatch(/^Whoever opens this link first .* web\.shop; .*:\n\nhttps:\/\/hub\.apn\/get\/\w+#\S+$/s);
    const link = made.text.split('\n').at(-1) ?? '';
    const taken = await run(control, 'handover take', link, '--make-key');
    expect(taken.text).toMatch(/^Added web\.shop as 172\.16\.10\.10\..*PrivateKey = \S{44}$/ms);
  });
});

/** Reads a drawing of half blocks, light on dark, as a camera does. */
function read(drawn: string): string {
  const scale = 4;
  const rows = drawn.split('\n').flatMap((line) => {
    const cells = [...line];
    return [cells.map((cell) => '█▀'.includes(cell)), cells.map((cell) => '█▄'.includes(cell))];
  });
  const width = (rows[0]?.length ?? 0) * scale;
  const pixels = rows.flatMap((row) => {
    const wide = row.flatMap((light) => Array.from({ length: scale }, () => (light ? 255 : 0)));
    return Array.from({ length: scale }, () => wide).flat();
  });
  const data = Uint8Array.from(pixels.flatMap((value) => [value, value, value, 255]));
  return decodeQR({ width, height: rows.length * scale, data });
}

describe('without it', () => {
  it('the key is given, and the file is completed elsewhere', async () => {
    const control = await small();
    const { text } = await run(control, 'servers add', 'shop/web', '--public-key', publicKey(), '--no-dns');
    expect(text).toContain('PrivateKey = PRIVATE-KEY-OF-web.shop\n');
    expect(text).not.toContain('DNS');
    expect(text.split('\n').slice(-3)).toEqual([
      'The answer line for the script of apn join:',
      '',
      expect.stringMatching(/^172\.16\.10\.10 \S{44}$/),
    ]);
  });

  it.each([
    [['--make-key', '--public-key', 'K'], '--make-key'],
    [['--qr', '--public-key', 'K'], '--qr'],
    [['--out', 'x'], '--out'],
  ])('%j is refused', (line, path) => {
    expect(() => keyed(parseArguments(line))).toThrow(expect.objectContaining({ path }));
  });
});

describe('options', () => {
  const body = (name: string, ...line: readonly string[]) =>
    commands.find((each) => each.name === name)?.request(parseArguments(line)).body;

  it.each([
    [['servers add', 'shop/web', '--public-key', 'K', '--keepalive', 'off'], { keepalive: null }],
    [['servers set', 'shop/web', '--keepalive', '60'], { keepalive: 60 }],
    [['devices add', 'anna/phone', '--no-preshared-key'], { presharedKey: false }],
    [['devices rotate', 'anna/phone', '--preshared-key'], { presharedKey: true }],
    [['join', 'shop/web', '--as', 'file', '--no-dns'], { as: 'file', dns: false, firewall: false }],
    [['join', 'shop/web', '--firewall', '--for', '2d'], { for: '2d', firewall: true }],
    [['join', 'shop/web', '--as', 'file', '--public-key', 'K'], { publicKey: 'K', label: 'web' }],
    [['handover add', 'anna/phone'], { name: 'anna/phone' }],
    [['handover add', 'shop/web', '--kind', 'server', '--source', '203.0.113.7'], { server: 'shop/web' }],
    [['handover take', 'https://hub.apn/get/x#apn_handover_y', '--public-key', 'K'], { secret: 'apn_handover_y' }],
  ] as const)('%j', ([name, ...line], expected) => expect(body(name, ...line)).toMatchObject(expected));

  it.each([
    [['servers set', 'web', '--keepalive', 'never'], '--keepalive'],
    [['devices add', 'anna/x', '--preshared-key', '--no-preshared-key'], '--no-preshared-key'],
    [['join', 'shop/web', '--public-key', 'K', '--firewall'], '--public-key'],
    [['join', 'shop/web', '--public-key', 'K', '--as', 'script'], '--public-key'],
    [['handover add', 'anna/x', '--kind', 'person'], '--kind'],
    [['join', 'web'], ''],
  ] as const)('%j is refused', ([name, ...line], path) => {
    expect(() => body(name, ...line)).toThrow(expect.objectContaining({ name: 'InvalidInput', path }));
  });

  it('join prints the text and nothing else', async () => {
    const control = await small();
    const script = await run(control, 'join', 'shop/web');
    expect(script.text).toMatch(/^#!\/bin\/sh\n/);
    const file = await run(control, 'join', 'shop/web', '--public-key', publicKey());
    expect(file.text).toMatch(/^# web\.shop\.apn\n\[Interface\]/);
  });

  it('a terminal gets its colours with the code, a file does not', () => {
    const { isTTY } = process.stdout;
    try {
      process.stdout.isTTY = true;
      const [first = ''] = qrCode('x').split('\n');
      expect(first).toBe(`\u001b[97;40m${'█'.repeat(first.length - 12)}\u001b[0m`);
      process.stdout.isTTY = false;
      expect(qrCode('x').split('\n')[0]).toMatch(/^█+$/);
    } finally {
      process.stdout.isTTY = isTTY;
    }
  });
});
