// Answers as people read them on a terminal.
export type Columns = readonly string[];
type Row = Readonly<Record<string, unknown>>;

function cell(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(cell).join(',');
  if (typeof value === 'object') {
    const entries = Object.entries(value);
    return entries.length === 0 ? '-' : entries.map(([key, each]) => `${key}=${cell(each)}`).join(',');
  }
  return String(value);
}

/** Columns as wide as their widest cell. */
export function table(columns: Columns): (rows: readonly Row[]) => string {
  return (rows) => {
    if (rows.length === 0) return 'None.';
    const lines = [
      columns.map((name) => name.replace(/([A-Z])/g, ' $1').toUpperCase()),
      ...rows.map((row) => columns.map((name) => cell(row[name]))),
    ];
    const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
    return lines
      .map((line) =>
        line
          .map((text, i) => text.padEnd(widths[i] ?? 0))
          .join('  ')
          .trimEnd(),
      )
      .join('\n');
  };
}

/** One `name value` line a field. */
export function object(one: Row | null): string {
  if (one === null) return 'Not set up yet.';
  const width = Math.max(...Object.keys(one).map((name) => name.length));
  return Object.entries(one)
    .map(([name, value]) => `${name.padEnd(width)}  ${cell(value)}`)
    .join('\n');
}

interface Peer {
  readonly name: string;
  readonly address: string;
  readonly config: string;
  /** The private key is in the file. */
  readonly whole?: boolean;
  readonly file?: string;
  readonly unwritten?: string;
  readonly qr?: string;
  readonly answer?: string;
}

export function addedPeer(peer: Peer): string {
  return `Added ${peer.name} as ${peer.address}. ${peerFile(peer)}`;
}

export function rotatedPeer(peer: Peer): string {
  return `${peer.name} has a new key, and the old one is dead. ${peerFile(peer)}`;
}

function peerFile({ config, whole, file, unwritten, qr, answer }: Peer): string {
  const complete = whole === true ? 'shown this once' : 'to be completed with the private key where that was made';
  const text = `Its WireGuard file, ${complete}:\n\n${config.trimEnd()}`;
  return [
    ...(unwritten === undefined ? [] : [`It could not be written (${unwritten}).`]),
    file === undefined ? text : `Its WireGuard file is ${file}.`,
    ...(qr === undefined ? [] : [`\n\n${qr}`]),
    ...(answer === undefined || whole === true ? [] : [`\n\nThe answer line for the script of apn join:\n\n${answer}`]),
  ].join('');
}

export function handover({ name, path, expiresAt }: { name: string; path: string; expiresAt: string }): string {
  return `Whoever opens this link first gets the configuration of ${name}; it ends ${expiresAt}:\n\nhttps://hub.apn${path}`;
}

export function lease(one: { source: string; remainingSeconds: number; id: string; state: string }): string {
  return `UDP 51820 is open for ${one.source} for ${duration(one.remainingSeconds)} (lease ${one.id}).`;
}

export function leases({ renewed }: { renewed: readonly Parameters<typeof lease>[0][] }): string {
  return renewed.map(lease).join('\n');
}

export function duration(seconds: number): string {
  const parts = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
    seconds % 60,
  ];
  const text = parts.flatMap((part, i) => (part === 0 ? [] : [`${part} ${['d', 'h', 'min', 's'][i]}`]));
  return text.length === 0 ? '0 s' : text.slice(0, 2).join(' ');
}

interface Status {
  readonly hostName: string;
  readonly state: string;
  readonly revision: number;
  readonly appliedRevision: number;
  readonly uptimeSeconds: number;
  readonly tunnel: { readonly up: boolean; readonly listenPort: number };
  readonly counts: Readonly<Record<string, number>>;
  readonly conditions: readonly {
    readonly severity: string;
    readonly title: string;
    readonly about?: string;
    readonly remedy: string;
  }[];
}

export function status(one: Status): string {
  const { counts: n } = one;
  return [
    `${one.hostName} is ${one.state}, revision ${one.revision}${one.appliedRevision < one.revision ? ` (applied: ${one.appliedRevision})` : ''}, running for ${duration(one.uptimeSeconds)}`,
    `tunnel    ${one.tunnel.up ? `up on UDP ${one.tunnel.listenPort}` : 'down'}`,
    `servers   ${n['serversConnected']} of ${n['servers']} connected, in ${n['applications']} applications`,
    `devices   ${n['devicesConnected']} of ${n['devices']} connected; ${n['lanDevices']} on the LAN`,
    `open to   ${n['leases']} leases, ${n['rules']} rules`,
    ...one.conditions.map(({ severity, title, about, remedy }) =>
      [`${severity}:`, title, ...(about === undefined ? [] : [`It is ${about}.`]), remedy].join(' '),
    ),
  ].join('\n');
}
