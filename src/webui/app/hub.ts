// The hook that keeps the page's state in step with the hub.
import { useEffect, useReducer } from 'preact/hooks';
import { followSummaries } from './api.ts';
import type { State } from './state.ts';
import { FIRST, reduce } from './state.ts';

/** The live state of the hub. */
export function useHub(): State {
  const [state, dispatch] = useReducer(reduce, FIRST);
  useEffect(() => {
    const clock = setInterval(() => dispatch({ kind: 'tick', now: performance.now() }), 1_000);
    const stop = followSummaries({
      onSummary: (summary) => dispatch({ kind: 'summary', summary, now: performance.now() }),
      onAlive: () => dispatch({ kind: 'line', line: 'live' }),
      onLost: (why) => dispatch({ kind: 'line', line: why === 'router' ? 'router-away' : 'lost' }),
    });
    return () => {
      clearInterval(clock);
      stop();
    };
  }, []);
  return state;
}
