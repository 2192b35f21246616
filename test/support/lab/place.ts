// Where a lab keeps what it writes: one folder per lab, and nothing outside it.
import { join, resolve } from 'node:path';

export const REPOSITORY = resolve(import.meta.dirname, '../../..');
export const LAB_FOLDER = join(REPOSITORY, '.lab');
export const DIST = join(REPOSITORY, 'dist');

export const labFolder = (lab: string): string => join(LAB_FOLDER, lab);
export const hostFolder = (lab: string, host: string): string => join(LAB_FOLDER, lab, 'hosts', host);
export const logFile = (lab: string, host: string, program: string): string =>
  join(LAB_FOLDER, lab, 'log', `${host}.${program}.log`);

/** Lab names become part of namespace names and paths. */
export function checkLabName(name: string): string {
  if (!/^[a-z0-9][a-z0-9-]{0,30}$/.test(name)) {
    throw new Error(`lab name ${JSON.stringify(name)}: small letters, digits and hyphens only, at most 31`);
  }
  return name;
}
