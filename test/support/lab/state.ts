// What a running lab remembers about itself in its folder: enough to attach to it from another process.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { labFolder } from './place.ts';

export interface LabState {
  readonly name: string;
  /** Port of the UI on this machine's loopback. */
  readonly port: number;
  /** True after `up --empty`: nobody is enrolled. */
  readonly empty: boolean;
  /** True after `up --uplink`: a hosted APN is there. */
  readonly uplink?: boolean;
  readonly holders: Readonly<Record<string, number>>;
  readonly ownerName: string | null;
  readonly ownerPassword: string | null;
}

const file = (lab: string): string => join(labFolder(lab), 'lab.json');

export function writeState(state: LabState): void {
  writeFileSync(file(state.name), `${JSON.stringify(state, null, 2)}\n`);
}

/** Null when no lab of that name is up. */
export function readState(lab: string): LabState | null {
  try {
    return JSON.parse(readFileSync(file(lab), 'utf8')) as LabState;
  } catch {
    return null;
  }
}
