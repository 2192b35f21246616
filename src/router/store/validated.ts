// Whether a configuration may be saved: it can be read again, and breaks no rule.
import { type Config, config as configSchema, parse } from '../../model/config.ts';
import { InvalidInput } from '../../model/errors.ts';
import { type Problem, problems } from '../../model/rules.ts';
import type { Damaged } from './objects.ts';
import type { SaveOptions } from './transaction.ts';

export interface Around {
  readonly hubPublicKey: string;
  readonly damaged: readonly Damaged[];
  readonly editing?: SaveOptions['editing'];
}

/** @throws InvalidInput naming the first field that is wrong. */
export function validated(config: unknown, { hubPublicKey, damaged, editing }: Around): Config {
  // Parsing again is the proof that what is written can be read.
  const parsed = parse(configSchema, config) as Config;
  const isOwn = ({ noun, id }: Problem) => noun === editing?.noun && id === editing.id;
  const found = problems(parsed, { hubPublicKey }).filter((one) => !excused(parsed, damaged, one));
  // Of two ends of one problem the one that is being edited is named.
  const problem = found.find(isOwn) ?? found[0];
  if (problem === undefined) return parsed;
  const { noun, id, field, message } = problem;
  throw new InvalidInput(isOwn(problem) ? field : [noun, id, field].filter((part) => part !== '').join('.'), message);
}

/** A rule of a server whose key is damaged keeps naming it: the server is still in the store. */
function excused({ rules }: Config, damaged: readonly Damaged[], { noun, id, field }: Problem): boolean {
  if (noun !== 'rules' || field !== 'server') return false;
  const server = rules.find((rule) => rule.id === id)?.server;
  return damaged.some((one) => one.noun === 'servers' && one.id === server);
}
