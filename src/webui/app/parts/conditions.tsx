// Lasting problems a person should know, the worst first.
import type { Summary } from '../summary.ts';
import { TEXT } from '../text.ts';

const ORDER = { error: 0, warning: 1, info: 2 } as const;

export function Conditions(props: { readonly conditions: Summary['conditions'] }) {
  const sorted = props.conditions.toSorted((a, b) => ORDER[a.severity] - ORDER[b.severity]);
  return (
    <section aria-labelledby="conditions" class={sorted.length === 0 ? 'quiet' : undefined}>
      <h2 id="conditions">{TEXT.conditions}</h2>
      <div aria-live="polite">
        {sorted.length === 0 ? (
          <p class="nothing">{TEXT.noConditions}</p>
        ) : (
          <ul class="conditions">
            {sorted.map((condition) => (
              <li key={condition.code} class={condition.severity}>
                <span class="tag">{TEXT.severity[condition.severity]}</span>
                <span class="title">{condition.title}</span>
                <time dateTime={condition.since}>{TEXT.since(new Date(condition.since))}</time>
              </li>
            ))}
          </ul>
        )}
      </div>
    </section>
  );
}
