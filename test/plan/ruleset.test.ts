// The ruleset as text: what must be true of it whatever the configuration is.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fingerprint } from '../../src/router/plan/fingerprint.ts';
import { logGroup, meters } from '../../src/router/plan/knock.ts';
import { compileChains, declarations, hookNumber, refill, sets } from '../../src/router/plan/ruleset.ts';
import { exampleConfig, withLan } from '../support/builders.ts';
import { anyConfig } from '../support/random.ts';

const texts = (name: string, config = exampleConfig()) =>
  compileChains(config)
    .find((chain) => chain.name === name)
    ?.rules.map(({ text }) => text) ?? [];

describe('the ruleset', () => {
  it('knows its rules by comments that are unique and short enough for the kernel (128 bytes)', () => {
    fc.assert(
      fc.property(anyConfig, (config) => {
        const comments = compileChains(config).flatMap(({ rules }) => rules.map(({ comment }) => comment));
        expect(new Set(comments).size).toBe(comments.length);
        for (const comment of comments) expect(comment.length).toBeLessThan(128);
      }),
      { numRuns: 100 },
    );
  });

  it('another text has another comment, so that a changed rule is seen', () => {
    const comments = (wan: string) =>
      compileChains(withLan({ wan }))
        .find(({ name }) => name === 'wireguard_in')
        ?.rules.map(({ comment }) => comment);
    expect(comments('wan0')?.[1]).not.toBe(comments('wan1')?.[1]);
    expect(fingerprint('')).toMatch(/^[0-9a-f]{12}$/);
  });

  it('every one of its lines is about the table inet apn', () => {
    const chains = compileChains(exampleConfig());
    for (const line of [...declarations(chains), ...refill(chains)])
      expect(line).toMatch(/^(add|flush) \w+ inet apn( |$)/);
  });

  it('drops by default what comes in and what is forwarded', () => {
    const policies = compileChains(exampleConfig()).flatMap(({ name, base }) =>
      base?.policy === 'drop' ? [name] : [],
    );
    expect(policies).toEqual(['input', 'forward']);
  });

  it('forwards nothing because it is established', () => {
    fc.assert(
      fc.property(anyConfig, (config) => {
        for (const text of texts('forward', config)) expect(text).not.toMatch(/established|related/);
      }),
      { numRuns: 50 },
    );
  });

  it('decides about 51820 before connection tracking, and admits rules, leases and the LAN alone', () => {
    const gate = compileChains(exampleConfig()).find(({ name }) => name === 'gate_in');
    expect(gate?.base).toMatchObject({ hook: 'prerouting', priority: -300 });
    const [handshakes, ...admitted] = texts('wireguard_in');
    expect(handshakes).toBe('udp length 156 @th,64,32 0x01000000 goto initiation');
    expect(admitted.at(-1)).toBe('drop');
    for (const text of admitted.slice(0, -2))
      expect(text).toMatch(/^iifname "wan0" ip6? saddr @(rule|lease)[46](_net)? notrack accept$/);
  });

  it('decides about handshakes as about everything else, and copies each within limits before its verdict', () => {
    const decided = texts('wireguard_in').slice(1, -2);
    const again = texts('initiation');
    expect(again.slice(0, decided.length)).toEqual(
      decided.map((text) => text.replace('notrack accept', 'goto initiation_accepted')),
    );
    expect(again.slice(decided.length)).toEqual([
      'iifname "wan0" goto initiation_refused',
      'iifname "br-lan" goto initiation_accepted',
      'drop',
    ]);
    for (const [chain, verdict, group] of [
      ['initiation_accepted', 'notrack accept', logGroup.accepted],
      ['initiation_refused', 'drop', logGroup.refused],
    ] as const) {
      const copied = texts(chain);
      // Whatever the limits say, the packet ends with the verdict.
      expect(copied.at(-1)).toBe(verdict);
      expect(copied.filter((text) => text.includes('@')).every((text) => text.endsWith(`} ${verdict}`))).toBe(true);
      const logs = copied.filter((text) => text.includes('log '));
      expect(logs).toEqual([
        expect.stringMatching(
          `^limit rate \\d+/second burst \\d+ packets log group ${group} snaplen 256 queue-threshold 1$`,
        ),
      ]);
    }
    // Nothing else copies into these groups, and no group has two kinds.
    expect(new Set(Object.values(logGroup)).size).toBe(3);
  });

  it('copies the beginning of what it refuses inside, within a limit, just before it says no, and nothing of the WAN', () => {
    fc.assert(
      fc.property(anyConfig, (config) => {
        const copy = `log group ${logGroup.denied} `;
        for (const { name, rules } of compileChains(config)) {
          for (const [i, { text }] of rules.entries()) {
            if (!text.includes(copy)) continue;
            expect(['input_lan', 'input_apn', 'forward']).toContain(name);
            expect(text).toMatch(/ct direction original limit rate 20\/second .* snaplen 64 queue-threshold 1$/);
            expect(rules[i + 1]?.text).toBe(
              `${text.slice(0, text.indexOf('meta pkttype'))}meta l4proto tcp reject with tcp reset`,
            );
          }
        }
        for (const name of ['input_lan', 'input_apn', 'forward']) {
          expect(texts(name, config).at(-3)).toContain(copy);
          // Nobody outside fills the log.
          if (config.lan !== null && name === 'forward') {
            const wan = texts(name, config).indexOf(`iifname "${config.lan.wan}" drop`);
            expect(wan).toBeGreaterThan(0);
            for (const text of texts(name, config).slice(0, wan)) {
              if (text.includes(copy)) expect(text).toMatch(/^iifname "br-lan" /);
            }
          }
        }
      }),
      { numRuns: 50 },
    );
  });

  it('without a LAN nothing is let in from a WAN that nobody has named', () => {
    const bare = { ...exampleConfig(), lan: null, lanDevices: [] };
    expect(texts('wireguard_in', bare).slice(1)).toEqual(['iifname "br-lan" notrack accept', 'drop']);
    expect(texts('initiation', bare)).toEqual(['iifname "br-lan" goto initiation_accepted', 'drop']);
    expect(texts('srcnat', bare)).toEqual([]);
    expect(texts('leak', bare)).toEqual([]);
  });

  it('masks TCP and UDP of LAN devices with ports that are not 51820', () => {
    const masks = texts('srcnat').filter((text) => text.includes('masquerade'));
    expect(masks).toEqual([
      'oifname "wan0" ip saddr 192.168.66.0/24 meta l4proto { tcp, udp } masquerade to :20000-51000',
      'oifname "wan0" ip saddr 192.168.66.0/24 masquerade',
    ]);
  });

  it('declares keys as long as their types', () => {
    const lengths: Readonly<Record<string, number>> = { ipv4_addr: 4, ipv6_addr: 16, ether_addr: 8 };
    for (const { type, keyLength } of [...sets, ...meters]) {
      expect(type.split(' . ').reduce((sum, one) => sum + (lengths[one] ?? 0), 0)).toBe(keyLength);
    }
  });

  it('numbers hooks as the kernel does', () => {
    expect((['prerouting', 'input', 'forward', 'output', 'postrouting'] as const).map(hookNumber)).toEqual([
      0, 1, 2, 3, 4,
    ]);
  });
});
