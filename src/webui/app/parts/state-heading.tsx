// The big state line, told apart by word, shape and colour.
import type { Summary } from '../summary.ts';
import { TEXT } from '../text.ts';

interface StateHeadingProps {
  readonly summary: Summary | null;
  readonly stale: boolean;
  /** Since the summary came. */
  readonly seconds: number;
}

export function StateHeading({ summary, stale, seconds }: StateHeadingProps) {
  if (summary === null) {
    const { title, line } = stale ? TEXT.silent : TEXT.waiting;
    return (
      <section class="state none" aria-labelledby="state">
        <span class="lamp" aria-hidden="true" />
        <div>
          <h1 id="state">{title}</h1>
          <p class="sentence">{line}</p>
        </div>
      </section>
    );
  }
  const { title, line } = TEXT.state[summary.state];
  return (
    <section class={`state ${summary.state}`} aria-labelledby="state">
      <span class="lamp" aria-hidden="true" />
      <div>
        <h1 id="state" aria-live="polite">
          {title}
        </h1>
        <p class="sentence">{stale ? TEXT.stale : line}</p>
        <ul class="facts">
          <li class={summary.tunnel.up ? 'good' : 'bad'}>
            {summary.tunnel.up ? TEXT.tunnelUp(summary.tunnel.listenPort) : TEXT.tunnelDown}
          </li>
          <li>{TEXT.uptime(summary.uptimeSeconds + seconds)}</li>
          <li>
            {summary.revision === summary.appliedRevision
              ? TEXT.applied(summary.revision)
              : TEXT.applying(summary.revision, summary.appliedRevision)}
          </li>
        </ul>
      </div>
    </section>
  );
}
