// The page's only way to the hub: one event stream of summaries, opened again whenever it breaks.
import { createEventParser } from './events.ts';
import type { Summary } from './summary.ts';

/** The router sends a heartbeat every 15 s: after this long without a byte the line is dead. */
const SILENCE = 35_000;
const FIRST_RETRY = 1_000;
const LAST_RETRY = 10_000;

export interface Follower {
  readonly onSummary: (summary: Summary) => void;
  readonly onAlive: () => void;
  /** `router` when the hub answers but its router program does not, `line` when nothing answers. */
  readonly onLost: (why: 'line' | 'router') => void;
}

/** Follows the summaries while the page is visible; the function it gives ends that. */
export function followSummaries(follower: Follower): () => void {
  let current: AbortController | null = null;
  let retry: number | undefined;
  let delay = FIRST_RETRY;

  async function read(control: AbortController): Promise<void> {
    let silence = setTimeout(() => control.abort(), SILENCE);
    try {
      const response = await fetch('/api/events', {
        headers: { Accept: 'text/event-stream' },
        cache: 'no-store',
        signal: control.signal,
      });
      if (!response.ok || response.body === null) throw new Error(String(response.status), { cause: 'router' });
      const parse = createEventParser();
      const decoder = new TextDecoder();
      const reader = response.body.getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) throw new Error('ended');
        clearTimeout(silence);
        silence = setTimeout(() => control.abort(), SILENCE);
        delay = FIRST_RETRY;
        follower.onAlive();
        for (const event of parse(decoder.decode(value, { stream: true }))) {
          if (event.name === 'summary') follower.onSummary(JSON.parse(event.data) as Summary);
        }
      }
    } catch (error) {
      if (current !== control) return;
      control.abort();
      follower.onLost(error instanceof Error && error.cause === 'router' ? 'router' : 'line');
      retry = setTimeout(start, delay);
      delay = Math.min(delay * 2, LAST_RETRY);
    } finally {
      clearTimeout(silence);
    }
  }

  function start(): void {
    clearTimeout(retry);
    current?.abort();
    current = new AbortController();
    void read(current);
  }

  function stop(): void {
    clearTimeout(retry);
    const control = current;
    current = null;
    control?.abort();
  }

  // A hidden tab holds no stream: the gateway gives each client only a few.
  function onVisibility(): void {
    if (document.visibilityState === 'hidden') stop();
    else start();
  }

  document.addEventListener('visibilitychange', onVisibility);
  window.addEventListener('online', start);
  onVisibility();
  return () => {
    document.removeEventListener('visibilitychange', onVisibility);
    window.removeEventListener('online', start);
    stop();
  };
}
