// What the page knows: the last summary, how the line is, and the samples behind the throughput. Pure.
import type { Summary } from './summary.ts';
import type { Sample } from './traffic.ts';
import { addSample } from './traffic.ts';

export type Line = 'connecting' | 'live' | 'lost' | 'router-away';

export interface State {
  readonly summary: Summary | null;
  readonly line: Line;
  readonly samples: readonly Sample[];
  /** Clock of the samples, milliseconds; it moves every second so that figures fall when nothing comes. */
  readonly now: number;
  /** When the summary came, on the same clock: uptime counts on from there. */
  readonly heardAt: number;
}

export type Action =
  | { readonly kind: 'summary'; readonly summary: Summary; readonly now: number }
  | { readonly kind: 'line'; readonly line: Line }
  | { readonly kind: 'tick'; readonly now: number };

export const FIRST: State = { summary: null, line: 'connecting', samples: [], now: 0, heardAt: 0 };

export function reduce(state: State, action: Action): State {
  switch (action.kind) {
    case 'summary': {
      const { summary, now } = action;
      const samples = addSample(state.samples, { at: now, rx: summary.rxBytes, tx: summary.txBytes });
      return { summary, line: 'live', samples, now, heardAt: now };
    }
    case 'line':
      return state.line === action.line ? state : { ...state, line: action.line };
    case 'tick':
      // Without a line nothing is known: the figures stay as they were.
      return state.line === 'live' ? { ...state, now: action.now } : state;
  }
}
