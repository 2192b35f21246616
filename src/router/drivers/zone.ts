// The zone driver: one file, replaced whole, that the DNS program watches.
import { readFileSync } from 'node:fs';
import type { Zone } from '../../model/zone.ts';
import { writeFileAtomic } from '../files.ts';
import type { ObservedZone } from '../plan/zone.ts';
import type { Driver } from './driver.ts';

export function createZoneDriver(file: string): Driver<'zone'> {
  return {
    async observe(): Promise<ObservedZone> {
      try {
        const zone = JSON.parse(readFileSync(file, 'utf8')) as Zone;
        return typeof zone.serial === 'number' && zone.version === 1 ? zone : null;
      } catch {
        return null;
      }
    },
    async apply({ zone }) {
      writeFileAtomic(file, `${JSON.stringify(zone)}\n`);
    },
    close() {},
  };
}
