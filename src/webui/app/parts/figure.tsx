// One counted thing, with a thin bar when it is a part of a whole.
interface FigureProps {
  readonly name: string;
  readonly value: number;
  readonly note: string;
  readonly share?: readonly [part: number, whole: number];
}

export function Figure({ name, value, note, share }: FigureProps) {
  return (
    <div class="figure">
      <dt>{name}</dt>
      <dd>
        <strong>{value.toLocaleString('en-GB')}</strong> <span>{note}</span>
        {share !== undefined && (
          <svg class="share" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
            <rect class="whole" width="100" height="4" />
            <rect class="part" width={share[1] === 0 ? 0 : (100 * share[0]) / share[1]} height="4" />
          </svg>
        )}
      </dd>
    </div>
  );
}
