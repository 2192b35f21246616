// Ends a lab: every process it started, by id, then its namespaces and its folder. Safe to repeat, and after a half start.
import { existsSync, rmdirSync, rmSync } from 'node:fs';
import { ALL_HOSTS } from './hosts.ts';
import { forwarderMark } from './hub.ts';
import { withLock } from './lock.ts';
import { removeNamespaces } from './network.ts';
import { LAB_FOLDER, labFolder } from './place.ts';
import { endAll, forwarders, labProcesses, namespaceInode, namespaceOf } from './process.ts';

/** To be called with the lab's lock held. */
export async function clean(lab: string): Promise<void> {
  const folder = labFolder(lab);
  await endAll(() => [
    ...labProcesses(lab),
    ...forwarders(folder, forwarderMark(lab)).map((pid) => ({ pid, name: 'forwarder' })),
  ]);
  const names = ALL_HOSTS.map(({ name }) => name).filter((host) => namespaceInode(namespaceOf(lab, host)) !== null);
  await removeNamespaces(lab, names);
}

function isEmpty(error: unknown): boolean {
  return ['ENOTEMPTY', 'ENOENT', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '');
}

export async function takeDown(lab: string): Promise<void> {
  const folder = labFolder(lab);
  const nothing = !existsSync(folder) && ALL_HOSTS.every(({ name }) => namespaceInode(namespaceOf(lab, name)) === null);
  if (nothing) return;
  if (process.getuid?.() !== 0) throw new Error('only root can end a lab');
  await withLock(folder, async () => {
    await clean(lab);
    rmSync(folder, { recursive: true, force: true });
  });
  try {
    rmdirSync(LAB_FOLDER);
  } catch (error) {
    // Other labs may still be there.
    if (!isEmpty(error)) throw error;
  }
}
