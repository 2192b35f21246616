// One command at a time changes a lab: a lock on the lab's folder that ends with this process, however it ends.
import { spawn } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';

const inode = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.ino;

/** Waits for the lock; gives the way to let go of it, or null when the folder is gone. */
async function take(folder: string): Promise<(() => void) | null> {
  // `/.`: a folder that is gone is an error, not a new file. The child holds the lock until its standard input
  // closes, which the kernel does when we die.
  const child = spawn('flock', [`${folder}/.`, 'sh', '-c', 'echo locked; exec cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const locked = await new Promise<boolean>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => resolve(false));
    child.stdout.once('data', () => resolve(true));
  });
  child.stdout.resume();
  return locked ? () => child.stdin.end() : null;
}

/** Runs `work` while nobody else holds the folder's lock; makes the folder when it is missing. */
export async function withLock<T>(folder: string, work: () => Promise<T>): Promise<T> {
  // Each turn lost means that somebody else had the lock and removed the folder: it does not go on for ever.
  for (let turn = 0; turn < 100; turn += 1) {
    mkdirSync(folder, { recursive: true });
    const before = inode(folder);
    const release = await take(folder);
    if (!release) continue;
    try {
      // The one before us may have removed the folder that we were waiting for.
      if (before !== undefined && inode(folder) === before) return await work();
    } finally {
      release();
    }
  }
  throw new Error(`cannot lock ${folder}`);
}
