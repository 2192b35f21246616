// What is pasted on a new server: each text is read by the kind of program that will read it.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type JoinFacts, joinKinds, joinText } from '../../src/model/join.ts';
import { firewallCommand } from '../../src/model/server-firewall.ts';
import { fingerprintOf, shortFingerprint } from '../../src/router/store/knocks.ts';
import { address, prefix, publicKey } from '../support/builders.ts';

const facts: JoinFacts = {
  client: {
    name: 'web.shop.apn',
    address: address('172.16.10.12'),
    dns: { server: address('172.16.0.1'), search: 'apn' },
    hubPublicKey: publicKey(1000),
    endpoint: '203.0.113.1:51820',
    range: prefix('172.16.0.0/16'),
    presharedKey: 'to come',
    keepalive: 25,
    listenPort: null,
  },
  reference: 'shop/web',
  hubAddress: address('172.16.0.1'),
  enrolled: false,
  firewall: false,
};
const withClient = (changes: Partial<JoinFacts['client']>): JoinFacts => ({
  ...facts,
  client: { ...facts.client, ...changes },
});
const variants: readonly JoinFacts[] = [
  facts,
  { ...facts, firewall: true, enrolled: true },
  withClient({ dns: null, presharedKey: null, keepalive: null, listenPort: 51820, endpoint: '[2001:db8::1]:51820' }),
  withClient({ endpoint: null }),
];

/** Every shell that may stand behind /bin/sh here. */
const shells = ['dash', 'bash', 'busybox'].filter((name) => spawnSync('which', [name]).status === 0);
const read = (shell: string, script: string) =>
  spawnSync(shell, [...(shell === 'busybox' ? ['sh'] : []), '-n'], { input: script, encoding: 'utf8' });

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'apn-test-'));
  onTestFinished(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/**
 * Runs the script with commands of its own in front of the machine's: nothing is changed here.
 * `wg` writes the arguments it was given; its keys are constant.
 */
function run(script: string, input: string, { args = [] as readonly string[], handshake = '1' } = {}) {
  const base = folder();
  const commands: Readonly<Record<string, string>> = {
    id: 'echo 0',
    ip: 'case "$*" in *"route get"*) echo "203.0.113.1 dev eth0 src 203.0.113.66 uid 0" ;; *) exit 1 ;; esac',
    ping: 'exit 1',
    sleep: 'exit 0',
    resolvconf: ':',
    'wg-quick': 'echo "wg-quick $*"',
    systemctl: 'echo "systemctl $*"',
    nft: ':',
    ss: ':',
    wg: `case $1 in
      genkey) echo ${publicKey(1)} ;;
      pubkey) read -r key; [ \${#key} = 44 ] && echo ${publicKey(2)} ;;
      show) printf '%s\\t%s\\n' ${publicKey(1000)} ${handshake} ;;
      esac`,
  };
  for (const [name, text] of Object.entries(commands)) {
    writeFileSync(join(base, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  }
  const placed = script
    .replaceAll('/etc/wireguard', `${base}/wireguard`)
    .replaceAll('/usr/local/sbin', base)
    .replaceAll('/run/systemd/system', `${base}/no-systemd`)
    .replaceAll('/dev/tty', `${base}/no-tty`);
  const env = { PATH: `${base}:/usr/sbin:/usr/bin:/sbin:/bin`, APN_WAIT: '1' };
  const ended = spawnSync('sh', ['-c', placed, 'apn-join', ...args], { input, env, encoding: 'utf8', timeout: 20_000 });
  const file = (name: string) => readFileSync(join(base, name), 'utf8');
  const conf = () => file('wireguard/apn.conf');
  const moved = (text: string) =>
    text.replaceAll(`${base}/no-systemd`, '/run/systemd/system').replaceAll(`${base}/wireguard`, '/etc/wireguard');
  return { ...ended, conf, file, moved, mode: (name: string) => statSync(join(base, name)).mode & 0o777 };
}

const lines = (more: readonly string[], changes: Record<string, string> = {}) =>
  [
    ...['# web.shop.apn', '[Interface]', `PrivateKey = ${publicKey(1)}`, 'Address = 172.16.10.12/32'],
    ...['DNS = 172.16.0.1, apn', '', '[Peer]', `PublicKey = ${publicKey(1000)}`, ...more],
    ...['AllowedIPs = 172.16.0.0/16', 'Endpoint = 203.0.113.1:51820', 'PersistentKeepalive = 25', ''],
  ]
    .map((line) => changes[line] ?? line)
    .join('\n');

describe('the texts', () => {
  it('are shell that every shell reads', () => {
    expect(shells).toContain('dash');
    for (const shell of shells) {
      for (const script of [...variants.map((one) => joinText('script', one)), firewallCommand]) {
        expect(read(shell, script), shell).toMatchObject({ status: 0, stderr: '' });
      }
      expect(read(shell, 'if true; then').status).not.toBe(0);
    }
  });

  it('hold no private and no preshared key', () => {
    for (const one of variants) {
      for (const kind of joinKinds) {
        const keys = joinText(kind, one).match(/[A-Za-z0-9+/]{43}=/g);
        expect(new Set(keys)).toEqual(new Set([publicKey(1000)]));
      }
    }
  });

  it('the file says what to do with the key, and is otherwise whole', () => {
    const text = joinText('file', facts);
    expect(text).toContain('#   apn servers add shop/web --public-key …');
    expect(text).toContain("# PresharedKey = in the hub's answer\n");
    expect(text.replace(/^#.*\n/gm, '')).toBe(
      lines([], {
        [`PrivateKey = ${publicKey(1)}`]: 'PrivateKey = PRIVATE-KEY-OF-web.shop.apn',
      }).replace(/^#.*\n/, ''),
    );
    const again = joinText('file', { ...withClient({ presharedKey: null }), enrolled: true });
    expect(again).toContain('#   apn servers rotate shop/web --no-preshared-key --public-key …');
    expect(again).not.toMatch(/PresharedKey/);
  });

  it.each(variants)('the cloud-init snippet holds the script whole', (one) => {
    const text = joinText('cloud-init', one);
    const [head = '', rest = ''] = text.split('    content: |\n');
    const [content = '', commands = ''] = rest.split(/^(?=runcmd:)/m);
    expect(text.split('\n')[0]).toBe('#cloud-config');
    expect(head).toContain(`packages: [wireguard-tools${one.firewall ? ', nftables' : ''}]\n`);
    expect(head).toContain("  - path: /usr/local/sbin/apn-join\n    permissions: '0700'\n");
    expect(content.replace(/^ {6}/gm, '')).toBe(joinText('script', one));
    expect(commands).toBe('runcmd:\n  - [sh, /usr/local/sbin/apn-join, --unattended]\n');
    // What clouds take for user data.
    expect(text.length).toBeLessThan(16_384);
    expect(text).not.toContain('\t');
  });
});

describe('the script', () => {
  const script = joinText('script', facts);
  const answer = `172.16.10.13 ${publicKey(3)}`;

  it('makes the key, asks for the answer, writes the file for root alone and connects', () => {
    const { status, stdout, stderr, conf, file, mode } = run(script, `${answer}\n`);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain(`apn servers add shop/web --public-key ${publicKey(2)} --source 203.0.113.66\n`);
    expect(stdout).toContain(`Its fingerprint: ${shortFingerprint(fingerprintOf(publicKey(2)))}\n`);
    expect(stdout).toContain('wg-quick up apn\n');
    expect(stdout).toContain('Connected: this is web.shop.apn, 172.16.10.13.');
    expect(stdout).not.toContain(publicKey(1));
    expect(file('wireguard/apn.key')).toBe(`${publicKey(1)}\n`);
    expect([mode('wireguard'), mode('wireguard/apn.key'), mode('wireguard/apn.conf')]).toEqual([0o700, 0o600, 0o600]);
    expect(conf()).toBe(
      lines([`PresharedKey = ${publicKey(3)}`], { 'Address = 172.16.10.12/32': 'Address = 172.16.10.13/32' }),
    );
  });

  it.each(['', '\n'])('takes %j for: without an answer', (input) => {
    const { status, conf } = run(script, input);
    expect(status).toBe(0);
    expect(conf()).toBe(lines([]));
  });

  it('asks again as long as the answer is none', () => {
    const wrong = ['what', '172.16.10', '172.16.10.1.1', '172.16.10.12 short', `172.16.10.12 ${publicKey(3)} more`];
    const { status, stdout, conf } = run(script, [...wrong, '172.16.10.12', ''].join('\n'));
    expect(status).toBe(0);
    expect(stdout.match(/This is no answer/g)).toHaveLength(wrong.length);
    expect(conf()).toBe(lines([]));
  });

  it('says where to look when the hub does not answer, and leaves the tunnel up', () => {
    const { status, stdout } = run(script, `${answer}\n`, { handshake: '0' });
    expect(status).toBe(1);
    expect(stdout).toContain('No answer within 1 s. The tunnel stays up and goes on trying.');
    expect(stdout).toContain(publicKey(2));
  });

  it('asks and awaits nothing where nobody is there, and knows the files that have no port or names', () => {
    const one = withClient({ dns: null, keepalive: null, listenPort: 51820, presharedKey: null });
    const { status, stdout, conf } = run(joinText('script', one), 'ignored\n', {
      args: ['--unattended'],
      handshake: '0',
    });
    expect(status).toBe(0);
    expect(stdout).not.toContain('Answer');
    expect(stdout).toContain(`The public key of this server: ${publicKey(2)}`);
    expect(conf()).toContain('\nListenPort = 51820\n');
    expect(conf()).not.toMatch(/DNS|PersistentKeepalive|PresharedKey/);
    expect(run(script, '', { args: ['--what'] }).stderr).toBe('apn-join: it takes --unattended or nothing.\n');
  });

  it('brings the firewall along when asked to', () => {
    const { status, stdout, file, moved, mode } = run(joinText('script', variants[1] as JoinFacts), `${answer}\n`);
    expect(status).toBe(0);
    expect(moved(file('apn-firewall'))).toBe(firewallCommand);
    expect(mode('apn-firewall')).toBe(0o755);
    expect(stdout).toContain('apn servers rotate shop/web');
    expect(stdout).toContain('apn-firewall close');
  });
});
