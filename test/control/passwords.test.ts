// argon2id a few at a time, and the bounded memory of wrong attempts.
import { describe, expect, it } from 'vitest';
import { TooMany } from '../../src/model/errors.ts';
import { Attempts } from '../../src/router/control/attempts.ts';
import { Passwords, usualCost } from '../../src/router/control/passwords.ts';
import { address } from '../support/builders.ts';

const cheap = { memory: 8, passes: 1, parallelism: 1 };

describe('Passwords', () => {
  it('are kept in a form that says how they were made', async () => {
    const passwords = new Passwords();
    const stored = await passwords.hash('correct horse');
    expect(stored).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/);
    expect(usualCost.memory).toBeGreaterThanOrEqual(19_456);
    expect(await passwords.verify(stored, 'correct horse')).toBe(true);
    expect(await passwords.verify(stored, 'correct horsE')).toBe(false);
    expect(await passwords.hash('correct horse')).not.toBe(stored);
    expect([passwords.isStale(stored), new Passwords(cheap).isStale(stored)]).toEqual([false, true]);
  });

  it('read a hash made elsewhere', async () => {
    // `argon2` of the reference implementation: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32
    const known = '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc';
    expect(await new Passwords(cheap).verify(known, 'password')).toBe(true);
    expect(await new Passwords(cheap).verify(known, 'Password')).toBe(false);
  });

  it('that are none match nothing, after the same work', async () => {
    const passwords = new Passwords(cheap);
    for (const stored of [null, '', 'x', '$argon2id$v=19$m=8,t=1,p=1$AAAA$AAAA', '$2b$10$abc']) {
      expect(await passwords.verify(stored, '')).toBe(false);
    }
    const [none, some] = [new Passwords(), await new Passwords().hash('x'.repeat(10))];
    const took = async (stored: string | null) => {
      const begun = performance.now();
      for (let i = 0; i < 5; i++) await none.verify(stored, 'wrong password');
      return performance.now() - begun;
    };
    await took(some);
    const ratio = (await took(null)) / (await took(some));
    // The machine may be busy; without the work it would be a hundredth.
    expect(ratio).toBeGreaterThan(0.2);
  });

  it('are looked at two at a time, eight wait, and others are sent away', async () => {
    const passwords = new Passwords(cheap);
    const all = await Promise.allSettled(Array.from({ length: 30 }, () => passwords.hash('x')));
    const refused = all.filter((one) => one.status === 'rejected');
    expect(refused).toHaveLength(20);
    for (const one of refused) expect(one.reason).toBeInstanceOf(TooMany);
    // Their places are free again.
    expect((await Promise.all(Array.from({ length: 10 }, () => passwords.hash('x')))).length).toBe(10);
  });
});

describe('Attempts', () => {
  it('are bounded in number, and nobody is forgotten who was wrong a moment ago', () => {
    let now = 0;
    const attempts = new Attempts(() => now);
    for (let i = 0; i < 5; i++) attempts.begin('ben', address('192.168.66.10'));
    for (let i = 0; i < 20_000; i++) {
      attempts.begin(`name ${i}`, address(`2001:db8:${(i >> 8).toString(16)}:${(i & 255).toString(16)}::1`));
      if (i === 100) expect(() => attempts.begin('ben', address('192.168.66.10'))).toThrow(TooMany);
    }
    expect(attempts.size).toBeLessThanOrEqual(10_000);
    now += 3600_000;
    attempts.begin('ben', address('192.168.66.10'));
  });

  it('count once, whatever is said of them and how often', () => {
    const attempts = new Attempts(() => 0);
    const from = address('192.168.66.10');
    for (let i = 0; i < 100; i++) {
      const one = attempts.begin('ben', from);
      one.withdraw();
      one.withdraw();
      one.succeeded();
    }
    expect(attempts.size).toBe(0);
    for (let i = 0; i < 4; i++) attempts.begin('ben', from);
    attempts.begin('ben', from).succeeded();
    for (let i = 0; i < 5; i++) attempts.begin('ben', from);
    expect(() => attempts.begin('ben', from)).toThrow(TooMany);
  });

  it('on the console are slowed down for each account alone', () => {
    const attempts = new Attempts(() => 0);
    for (let i = 0; i < 100; i++) attempts.begin(`name ${i}`, null);
    for (let i = 0; i < 5; i++) attempts.begin('ben', null);
    expect(() => attempts.begin('ben', null)).toThrow(TooMany);
  });
});
