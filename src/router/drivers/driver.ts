// What every driver is: two verbs on one thing outside the program.
import type { PartName, Parts } from '../plan/plan.ts';

export interface Driver<Name extends PartName> {
  /** What is really there, read afresh. */
  observe(): Promise<Parts[Name]['observed']>;
  /** Makes one change; may be repeated. @throws when the thing outside refuses. */
  apply(operation: Parts[Name]['operation']): Promise<void>;
  /** Lets go of sockets; what was set up stays. */
  close(): void;
}

export type Drivers = { readonly [Name in PartName]: Driver<Name> };
