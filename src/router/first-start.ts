// The first start: a LAN on the ports that are there, so that somebody can claim the router, and the card's set-up file.
import { existsSync, readFileSync } from 'node:fs';
import type { Config, Lan } from '../model/config.ts';
import { InvalidInput } from '../model/errors.ts';
import { claimed } from '../model/roles.ts';
import type { Conditions } from './conditions.ts';
import { firstStartSecret, parseSeed, readFirstStart, type Seed } from './control/seed.ts';
import { firstLan, parseMainRoutes, portsOf } from './plan/first-lan.ts';
import type { ObservedLink } from './plan/network.ts';
import { StoreUnavailable } from './store/errors.ts';
import type { Store } from './store/store.ts';

/** A claim code lasts until it is used. */
const forEver = 253_402_300_799_000;

export interface FirstStartOptions {
  readonly store: Store;
  readonly conditions: Conditions;
  /** The set-up file, if there is one. */
  readonly seedFile: string | undefined;
  readonly links: () => Promise<readonly ObservedLink[]>;
  readonly newId: () => string;
  readonly log: (line: string) => void;
}

export interface FirstStart {
  /** Why nobody may claim the router from the LAN, for people; null: somebody may. */
  problem(): string | null;
  /** Makes what is still missing; true when something was saved. */
  look(): Promise<boolean>;
}

/** Reads the set-up file once, if ever: `look` only waits for network ports. */
export function createFirstStart({ store, conditions, seedFile, ...options }: FirstStartOptions): FirstStart {
  let problem: string | null = null;
  let seed: Seed | null | 'refused' = null;
  const before = readFirstStart(store);
  const isFirst = (before === null && store.snapshot.revision === 0) || before?.seed === 'refused';
  if (isFirst && !claimed(store.snapshot.config)) {
    try {
      seed = readSeed(seedFile);
    } catch (error) {
      const { path, message } = error as InvalidInput;
      seed = 'refused';
      const where = path === '' ? '' : ` at ${path}`;
      problem = `The set-up file of this card is wrong${where}: mend or remove it, and start the router again.`;
      options.log(`set-up file ${seedFile} refused: ${path === '' ? '' : `${path}: `}${message}`);
      conditions.raise({
        ...{ code: 'seed-refused', severity: 'error', title: 'The set-up file of this card was refused.' },
        about: path === '' ? message : `${path}: ${message}`,
        remedy: 'Mend or remove it, and start the router again. Until then nobody can claim it from the LAN.',
      });
    }
  }

  const makeLan = async (config: Config): Promise<Lan | null> => {
    if (config.lan !== null) return null;
    const isWireless = (name: string) =>
      ['wireless', 'phy80211'].some((entry) => existsSync(`/sys/class/net/${name}/${entry}`));
    const ports = portsOf(await options.links(), isWireless);
    return firstLan(ports, parseMainRoutes(readFileSync('/proc/net/route', 'utf8')), config.network);
  };

  return {
    problem: () => (claimed(store.snapshot.config) ? null : problem),
    look: async () => {
      if (claimed(store.snapshot.config)) {
        for (const code of ['seed-refused', 'no-lan-port']) conditions.clear(code);
        return false;
      }
      const now = readFirstStart(store);
      const isOver = (now === null && !isFirst) || store.readOnly !== null;
      const lan = isOver ? null : await makeLan(store.snapshot.config);
      conditions.set(!isOver && lan === null && store.snapshot.config.lan === null, {
        ...{ code: 'no-lan-port', severity: 'warning', title: 'There is no network port for a LAN.' },
        remedy: 'Plug in a second one, such as a USB adapter, or set the LAN up on the console: apn lan set.',
      });
      const told = seed === 'refused' ? 'refused' : seed === null ? 'none' : 'taken';
      const isNews = isFirst && now?.seed !== told;
      if (isOver || (lan === null && !isNews)) return false;
      try {
        save(store, seed === 'refused' ? null : seed, lan, isNews ? told : null, options.newId);
      } catch (error) {
        if (!(error instanceof StoreUnavailable || error instanceof InvalidInput)) throw error;
        options.log(`first start: ${error.message}`);
        return false;
      }
      if (lan !== null) options.log(`first start: WAN on ${lan.wan}, LAN ${lan.range} on ${lan.ports.join(', ')}`);
      return true;
    },
  };
}

function save(
  store: Store,
  seed: Seed | null,
  lan: Lan | null,
  told: 'none' | 'taken' | 'refused' | null,
  newId: () => string,
): void {
  store.save({ actor: 'router', summary: 'first start' }, (transaction) => {
    const { config } = transaction;
    const hostName = told === 'taken' ? (seed?.hostName ?? config.system.hostName) : config.system.hostName;
    transaction.put({ ...config, lan: config.lan ?? lan, system: { ...config.system, hostName } });
    transaction.audit('first start', { lan: lan?.range ?? null, seed: told });
    if (told === null) return;
    transaction.putSecret(...firstStartSecret({ seed: told, ownerName: seed?.ownerName ?? null }));
    if (seed?.claimCode !== undefined) {
      transaction.issue('claim', { id: newId(), owner: '', body: {}, expiresAt: forEver, text: seed.claimCode });
    }
  });
}

/** Null: there is none. @throws InvalidInput */
function readSeed(file: string | undefined): Seed | null {
  let content: string;
  try {
    if (file === undefined) return null;
    content = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new InvalidInput('', 'It cannot be read.');
  }
  return parseSeed(content);
}
