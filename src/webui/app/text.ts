// Every English sentence and unit of the page.
import type { Summary } from './summary.ts';

export const TEXT = {
  product: 'APN Router',
  state: {
    starting: { title: 'Starting', line: 'The hub is putting its configuration in place.' },
    unclaimed: { title: 'Waiting for set-up', line: 'This hub has no owner yet.' },
    up: { title: 'Up', line: 'The hub is doing its work.' },
    fault: { title: 'Fault', line: 'Something needs attention; what still works goes on working.' },
  },
  waiting: { title: 'One moment', line: 'Asking the hub.' },
  silent: { title: 'No answer', line: 'The hub has not said anything yet.' },
  live: 'Live',
  connecting: 'Connecting',
  lost: 'Connection lost – retrying',
  routerAway: 'Router program not running – retrying',
  stale: 'This is the last the hub said. It may have changed.',
  tunnelUp: (port: number) => `Tunnel up on UDP ${port}`,
  tunnelDown: 'Tunnel down',
  uptime: (seconds: number) => `Running for ${duration(seconds)}`,
  applied: (revision: number) => `Configuration ${revision} in force`,
  applying: (revision: number, applied: number) => `Applying configuration ${revision}, ${applied} in force`,
  conditions: 'Conditions',
  noConditions: 'Nothing to report.',
  severity: { info: 'Note', warning: 'Warning', error: 'Fault' },
  since: (date: Date) => `since ${date.toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' })}`,
  connections: 'Connections',
  servers: 'Servers',
  devices: 'Team devices',
  connectedOf: (total: number) => `of ${total} connected`,
  lanDevices: 'LAN devices',
  known: 'known',
  applications: 'Applications',
  configured: 'configured',
  leases: 'Leases',
  leasesNow: 'open now',
  rules: 'Rules',
  rulesNow: 'always open',
  traffic: 'Through the tunnel',
  received: 'Received',
  sent: 'Sent',
  total: (bytes: number) => `${amount(bytes)} in all`,
  lastMinute: 'Last minute',
  noRate: '–',
} as const;

/** The text of the browser's tab; a question mark when nobody vouches for it any more. */
export function titleOf(summary: Summary | null, stale: boolean): string {
  if (summary === null) return TEXT.product;
  return `${TEXT.state[summary.state].title}${stale ? '?' : ''} · ${summary.hostName}`;
}

/** `3 d 4 h`, `4 h 5 min`, `5 min`, `40 s`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [days, hours, minutes] = [
    Math.floor(whole / 86_400),
    Math.floor(whole / 3_600) % 24,
    Math.floor(whole / 60) % 60,
  ];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min` : `${whole} s`;
}

/** Decimal units, three figures: `0 B`, `12.3 kB`, `456 MB`. */
export function amount(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = Math.max(0, bytes);
  let unit = 0;
  // 999.5 would be shown as 1000.
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]!}`;
}

/** Bits per second, as network speeds are given. */
export function speed(bytesPerSecond: number): string {
  return `${amount(bytesPerSecond * 8).replace(/B$/, 'bit')}/s`;
}
