// The status page: how the hub is, to anybody on the LAN, with nothing that names a person or a machine.
import { useEffect } from 'preact/hooks';
import { useHub } from '../hub.ts';
import { Conditions } from '../parts/conditions.tsx';
import { Figure } from '../parts/figure.tsx';
import { LineState } from '../parts/line.tsx';
import { StateHeading } from '../parts/state-heading.tsx';
import { Traffic } from '../parts/traffic.tsx';
import { TEXT, titleOf } from '../text.ts';

export function StatusPage() {
  const { summary, line, samples, now, heardAt } = useHub();
  const stale = line === 'lost' || line === 'router-away';
  const title = titleOf(summary, stale);
  useEffect(() => {
    document.title = title;
  }, [title]);
  return (
    <>
      <header class="bar">
        <p class="product">
          <img src="/icon.svg" alt="" width="26" height="26" />
          <span>{TEXT.product}</span>
          {summary !== null && <span class="host">{summary.hostName}</span>}
        </p>
        <LineState line={line} />
      </header>
      <main class={stale ? 'stale' : undefined}>
        <StateHeading summary={summary} stale={stale} seconds={(now - heardAt) / 1_000} />
        {summary !== null && (
          <>
            <Conditions conditions={summary.conditions} />
            <section aria-labelledby="connections">
              <h2 id="connections">{TEXT.connections}</h2>
              <dl class="figures">
                <Figure
                  name={TEXT.servers}
                  value={summary.counts.serversConnected}
                  note={TEXT.connectedOf(summary.counts.servers)}
                  share={[summary.counts.serversConnected, summary.counts.servers]}
                />
                <Figure
                  name={TEXT.devices}
                  value={summary.counts.devicesConnected}
                  note={TEXT.connectedOf(summary.counts.devices)}
                  share={[summary.counts.devicesConnected, summary.counts.devices]}
                />
                <Figure name={TEXT.lanDevices} value={summary.counts.lanDevices} note={TEXT.known} />
                <Figure name={TEXT.applications} value={summary.counts.applications} note={TEXT.configured} />
                <Figure name={TEXT.leases} value={summary.counts.leases} note={TEXT.leasesNow} />
                <Figure name={TEXT.rules} value={summary.counts.rules} note={TEXT.rulesNow} />
              </dl>
            </section>
            <Traffic summary={summary} samples={samples} now={now} />
          </>
        )}
      </main>
    </>
  );
}
