// Throughput of the last minute: received above the line, sent below it, on one scale.
import type { Summary } from '../summary.ts';
import { speed, TEXT } from '../text.ts';
import type { Sample } from '../traffic.ts';
import { history, rateAt } from '../traffic.ts';

const BARS = 60;
const HALF = 40;
/** The scale never shows less than this, bytes per second: a heartbeat is not a mountain. */
const LEAST = 12_500;

interface TrafficProps {
  readonly summary: Summary;
  readonly samples: readonly Sample[];
  readonly now: number;
}

export function Traffic({ summary, samples, now }: TrafficProps) {
  const rate = rateAt(samples, now);
  const bars = history(samples, now, BARS);
  const top = Math.max(LEAST, ...bars.flatMap((bar) => [bar.rx, bar.tx]));
  const height = (value: number): number => (HALF * value) / top;
  return (
    <section aria-labelledby="traffic">
      <h2 id="traffic">{TEXT.traffic}</h2>
      <div class="traffic">
        <dl>
          <div class="rx">
            <dt>{TEXT.received}</dt>
            <dd>
              <strong>{rate === null ? TEXT.noRate : speed(rate.rx)}</strong> <span>{TEXT.total(summary.rxBytes)}</span>
            </dd>
          </div>
          <div class="tx">
            <dt>{TEXT.sent}</dt>
            <dd>
              <strong>{rate === null ? TEXT.noRate : speed(rate.tx)}</strong> <span>{TEXT.total(summary.txBytes)}</span>
            </dd>
          </div>
        </dl>
        <figure>
          <svg viewBox={`0 0 ${BARS * 4} ${2 * HALF + 2}`} preserveAspectRatio="none" aria-hidden="true">
            {bars.map((bar, index) => (
              <g key={index}>
                <rect class="rx" x={index * 4 + 0.5} width="3" y={HALF - height(bar.rx)} height={height(bar.rx)} />
                <rect class="tx" x={index * 4 + 0.5} width="3" y={HALF + 2} height={height(bar.tx)} />
              </g>
            ))}
            <rect class="axis" x="0" width={BARS * 4} y={HALF + 0.5} height="1" />
          </svg>
          <figcaption>{TEXT.lastMinute}</figcaption>
        </figure>
      </div>
    </section>
  );
}
