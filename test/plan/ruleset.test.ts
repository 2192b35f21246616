// The ruleset as text: what must be true of it whatever the configuration is.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fingerprint } from '../../src/router/plan/fingerprint.ts';
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
    expect(comments('wan0')?.[0]).not.toBe(comments('wan1')?.[0]);
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
    const admitted = texts('wireguard_in');
    expect(admitted.at(-1)).toBe('drop');
    for (const text of admitted.slice(0, -2))
      expect(text).toMatch(/^iifname "wan0" ip6? saddr @(rule|lease)[46](_net)? notrack accept$/);
  });

  it('without a LAN nothing is let in from a WAN that nobody has named', () => {
    const bare = { ...exampleConfig(), lan: null, lanDevices: [] };
    expect(texts('wireguard_in', bare)).toEqual(['iifname "br-lan" notrack accept', 'drop']);
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
    for (const { type, keyLength } of sets) {
      expect(type.split(' . ').reduce((sum, one) => sum + (lengths[one] ?? 0), 0)).toBe(keyLength);
    }
  });

  it('numbers hooks as the kernel does', () => {
    expect((['prerouting', 'input', 'forward', 'output', 'postrouting'] as const).map(hookNumber)).toEqual([
      0, 1, 2, 3, 4,
    ]);
  });
});
