// Throughput out of byte counters: pure, with the time passed in.

export interface Sample {
  /** Milliseconds of a clock that never goes back. */
  readonly at: number;
  readonly rx: number;
  readonly tx: number;
}

export interface Rate {
  /** Bytes per second. */
  readonly rx: number;
  readonly tx: number;
}

/** How far back the chart shows, milliseconds. */
export const SPAN = 60_000;
/** The figures are a mean over this long, so that they can be read. */
const WINDOW = 5_000;

/** Adds a sample and forgets what is older than the chart; counters that went back (a restart) start afresh. */
export function addSample(samples: readonly Sample[], sample: Sample): readonly Sample[] {
  const last = samples.at(-1);
  if (last !== undefined && (sample.rx < last.rx || sample.tx < last.tx)) return [sample];
  const from = samples.findLastIndex((kept) => kept.at <= sample.at - SPAN);
  return [...samples.slice(Math.max(from, 0)), sample];
}

/** The mean rate of the last five seconds before `now`, or null while one sample is not enough to tell. */
export function rateAt(samples: readonly Sample[], now: number): Rate | null {
  if (samples.length < 2) return null;
  const last = samples.at(-1)!;
  const first = samples.findLast((sample) => sample.at <= now - WINDOW && sample !== last) ?? samples[0]!;
  const seconds = Math.max(now - first.at, last.at - first.at) / 1_000;
  if (seconds <= 0) return null;
  return { rx: (last.rx - first.rx) / seconds, tx: (last.tx - first.tx) / seconds };
}

/** Bytes per second in each of `buckets` equal parts of the last minute, oldest first. */
export function history(samples: readonly Sample[], now: number, buckets: number): readonly Rate[] {
  const width = SPAN / buckets;
  const bars = Array.from({ length: buckets }, () => ({ rx: 0, tx: 0 }));
  for (let index = 1; index < samples.length; index += 1) {
    const before = samples[index - 1]!;
    const after = samples[index]!;
    const seconds = (after.at - before.at) / 1_000;
    if (seconds <= 0) continue;
    for (const [bar, value] of bars.entries()) {
      const start = now - SPAN + bar * width;
      const overlap = Math.min(after.at, start + width) - Math.max(before.at, start);
      if (overlap <= 0) continue;
      value.rx += ((after.rx - before.rx) / seconds) * (overlap / width);
      value.tx += ((after.tx - before.tx) / seconds) * (overlap / width);
    }
  }
  return bars;
}
