// One lab for all files of ring 2: started by the first that asks in a run, ended when the run ends.
import { inject } from 'vitest';
import { attachLab, type Lab } from './lab.ts';

declare module 'vitest' {
  interface ProvidedContext {
    lab: string;
  }
}

/** Every test leaves the lab as it found it: what it granted is revoked, what it added is removed. */
export function sharedLab(): Lab {
  return attachLab(inject('lab'));
}
