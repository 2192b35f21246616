// Conditions: raised and cleared once however often they are seen, the worst first, causes in the log alone.
import { describe, expect, it } from 'vitest';
import { Conditions, causeText, type Severity } from '../src/router/conditions.ts';

function make() {
  const log: string[] = [];
  const time = { now: 1000 };
  let told = 0;
  const conditions = new Conditions(
    () => time.now,
    (line) => log.push(line),
  );
  const stop = conditions.onChange(() => {
    told++;
  });
  return { conditions, log, time, stop, told: () => told };
}

const of = (code: string, severity: Severity = 'error', title = `${code} is broken.`) => ({
  code,
  severity,
  title,
  remedy: 'Mend it.',
});

describe('conditions', () => {
  it('are told once however often they are raised', () => {
    const { conditions, log, time, told } = make();
    for (let i = 0; i < 5; i++) {
      conditions.raise(of('tunnel'), new Error(`attempt ${i}`));
      time.now += 1000;
    }
    expect(conditions.list()).toEqual([{ ...of('tunnel'), since: 1000 }]);
    expect(log).toEqual(['tunnel: tunnel is broken. (attempt 0)']);
    expect(told()).toBe(1);
  });

  it('keep their beginning when they change', () => {
    const { conditions, time, told } = make();
    conditions.raise(of('tunnel', 'warning'));
    time.now = 5000;
    conditions.raise(of('tunnel', 'error'));
    conditions.raise(of('tunnel', 'error', 'Worse.'));
    expect(conditions.list()).toEqual([{ ...of('tunnel', 'error', 'Worse.'), since: 1000 }]);
    expect(told()).toBe(3);
  });

  it('begin anew after they were cleared; clearing what is not there is nothing', () => {
    const { conditions, log, time, told } = make();
    conditions.clear('tunnel');
    expect(told()).toBe(0);
    conditions.raise(of('tunnel'));
    conditions.clear('tunnel');
    time.now = 9000;
    conditions.set(true, of('tunnel'));
    expect(conditions.list()[0]?.since).toBe(9000);
    conditions.set(false, of('tunnel'));
    conditions.set(false, of('tunnel'));
    expect(conditions.list()).toEqual([]);
    expect(log).toHaveLength(4);
    expect(told()).toBe(4);
  });

  it('are listed with the worst first, then as they came', () => {
    const { conditions } = make();
    for (const [code, severity] of [
      ['a', 'info'],
      ['b', 'error'],
      ['c', 'warning'],
      ['d', 'error'],
    ] as const) {
      conditions.raise(of(code, severity));
    }
    expect(conditions.list().map(({ code }) => code)).toEqual(['b', 'd', 'c', 'a']);
  });

  it('keep causes out of what people see', () => {
    const { conditions, log } = make();
    conditions.raise(of('tunnel'), new Error('outer', { cause: new Error('inner', { cause: 'EPERM' }) }));
    expect(JSON.stringify(conditions.list())).not.toContain('inner');
    expect(log[0]).toContain('(outer: inner: EPERM)');
    expect(causeText(undefined)).toBe('undefined');
  });

  it('tell nobody who has stopped listening', () => {
    const { conditions, stop, told } = make();
    stop();
    conditions.raise(of('tunnel'));
    expect(told()).toBe(0);
  });
});
