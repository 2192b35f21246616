// What the control API tells anybody who opens the page: counts and states, no names and no addresses.

/** `GET /summary` on the web socket, and the data of every `summary` event of `GET /events`. */
export interface Summary {
  readonly hostName: string;
  readonly state: 'starting' | 'unclaimed' | 'up' | 'fault';
  /** Of the saved configuration; `appliedRevision` is what the kernel has. */
  readonly revision: number;
  readonly appliedRevision: number;
  readonly uptimeSeconds: number;
  readonly tunnel: { readonly up: boolean; readonly listenPort: number };
  readonly counts: {
    readonly applications: number;
    readonly servers: number;
    readonly serversConnected: number;
    readonly devices: number;
    readonly devicesConnected: number;
    readonly lanDevices: number;
    readonly leases: number;
    readonly rules: number;
  };
  /** Bytes through the tunnel since start, as the hub counts them. */
  readonly rxBytes: number;
  readonly txBytes: number;
  readonly conditions: readonly {
    readonly code: string;
    readonly title: string;
    readonly severity: 'info' | 'warning' | 'error';
    /** ISO 8601 time. */
    readonly since: string;
  }[];
}
