// The pure parts of the page: events, throughput, state and words.
import { describe, expect, test } from 'vitest';
import { createEventParser } from '../../src/webui/app/events.ts';
import { FIRST, reduce } from '../../src/webui/app/state.ts';
import { amount, duration, speed, titleOf } from '../../src/webui/app/text.ts';
import { addSample, history, rateAt, type Sample } from '../../src/webui/app/traffic.ts';
import { SUMMARY } from './fake-control.ts';

describe('events', () => {
  const text =
    ': hello\n\nevent: summary\ndata: {"a":1}\n\ndata:one\r\ndata: two\r\n\r\n: beat\n\nevent: x\n\nid: 3\ndata\n\n';
  const events = [
    { name: 'summary', data: '{"a":1}' },
    { name: 'message', data: 'one\ntwo' },
    { name: 'message', data: '' },
  ];

  test('heartbeats and events without data are nothing', () => {
    expect(createEventParser()(text)).toEqual(events);
  });

  test('may be cut anywhere', () => {
    for (let cut = 0; cut <= text.length; cut += 1) {
      const parse = createEventParser();
      expect([...parse(text.slice(0, cut)), ...parse(text.slice(cut))]).toEqual(events);
    }
  });
});

describe('traffic', () => {
  const steady = (seconds: number): readonly Sample[] => {
    let samples: readonly Sample[] = [];
    for (let at = 0; at <= seconds; at += 1)
      samples = addSample(samples, { at: at * 1_000, rx: at * 100, tx: at * 300 });
    return samples;
  };

  test('a steady flow shows its rate', () => {
    expect(rateAt(steady(20), 20_000)).toEqual({ rx: 100, tx: 300 });
    for (const bar of history(steady(60), 60_000, 60)) {
      expect(bar.rx).toBeCloseTo(100);
      expect(bar.tx).toBeCloseTo(300);
    }
  });

  test('one sample tells nothing, silence lets the rate fall', () => {
    expect(rateAt(steady(0), 0)).toBeNull();
    expect(rateAt(steady(20), 40_000)!.rx).toBeLessThan(10);
  });

  test('counters that go back start afresh', () => {
    expect(addSample(steady(20), { at: 21_000, rx: 0, tx: 0 })).toEqual([{ at: 21_000, rx: 0, tx: 0 }]);
  });

  test('what is older than the chart is forgotten', () => {
    expect(steady(500).length).toBeLessThanOrEqual(62);
    const total = history(steady(500), 500_000, 30).reduce((sum, bar) => sum + bar.rx * 2, 0);
    expect(total).toBeCloseTo(6_000);
  });
});

describe('state', () => {
  test('a summary makes the line live; a lost line keeps the figures and stops the clock', () => {
    const live = reduce(FIRST, { kind: 'summary', summary: SUMMARY, now: 5_000 });
    expect(live).toMatchObject({ line: 'live', summary: SUMMARY, now: 5_000 });
    expect(reduce(live, { kind: 'tick', now: 6_000 }).now).toBe(6_000);
    const lost = reduce(live, { kind: 'line', line: 'lost' });
    expect(lost.summary).toBe(SUMMARY);
    expect(reduce(lost, { kind: 'tick', now: 9_000 }).now).toBe(5_000);
  });
});

describe('words', () => {
  test.each([
    [0, '0 B'],
    [999, '999 B'],
    [999.6, '1.00 kB'],
    [1_234, '1.23 kB'],
    [99_960, '100 kB'],
    [999_600, '1.00 MB'],
    [21_987_654_321, '22.0 GB'],
    [-1, '0 B'],
  ])('amount(%d) is %s', (bytes, text) => expect(amount(bytes)).toBe(text));

  test.each([
    [-3, '0 s'],
    [59.9, '59 s'],
    [61, '1 min'],
    [3_700, '1 h 1 min'],
    [273_840, '3 d 4 h'],
  ])('duration(%d) is %s', (seconds, text) => expect(duration(seconds)).toBe(text));

  test('speeds are in bits', () => {
    expect(speed(125_000)).toBe('1.00 Mbit/s');
    expect(speed(0)).toBe('0 bit/s');
  });

  test('the tab says when its state is old', () => {
    expect(titleOf(null, false)).toBe('APN Router');
    expect(titleOf(SUMMARY, false)).toBe('Up · gateway');
    expect(titleOf(SUMMARY, true)).toBe('Up? · gateway');
  });
});
