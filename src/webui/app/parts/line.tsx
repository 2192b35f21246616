// The live indicator: whether what the page shows is what the hub says now.
import type { Line } from '../state.ts';
import { TEXT } from '../text.ts';

const WORDS: Readonly<Record<Line, string>> = {
  connecting: TEXT.connecting,
  live: TEXT.live,
  lost: TEXT.lost,
  'router-away': TEXT.routerAway,
};

export function LineState(props: { readonly line: Line }) {
  return (
    <p class={`line ${props.line}`} role="status" aria-live="polite">
      <span class="dot" aria-hidden="true" />
      {WORDS[props.line]}
    </p>
  );
}
