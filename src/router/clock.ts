// The machine's clocks. The only file that reads them for leases.
import { existsSync, readFileSync } from 'node:fs';
import type { Clock } from '../model/lease.ts';

/** systemd-timesyncd makes this file when the wall clock has been set from the network. */
const synchronisedFile = '/run/systemd/timesync/synchronized';

/** CLOCK_MONOTONIC in milliseconds: the same for every process until the machine starts again. */
export function monotonic(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

export function readClock(): Clock {
  return { wall: Date.now(), boot: monotonic(), bootId, synchronised: existsSync(synchronisedFile) };
}

/** One process lives in one boot. */
const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
