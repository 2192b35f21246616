// Following a file that is replaced by rename: the folder is watched, and the file looked at now and then in any case.
import { closeSync, type FSWatcher, fstatSync, openSync, readFileSync, watch } from 'node:fs';
import { dirname } from 'node:path';

const largest = 64 << 20;

export interface FileWatch {
  close(): void;
}

/**
 * Calls back at once and then after each change: with the text, or with an error when there is no readable file.
 * @param interval milliseconds between looks, for changes no notification came for
 */
export function watchFile(path: string, interval: number, changed: (text: string | Error) => void): FileWatch {
  let seen = '';
  let watcher: FSWatcher | null = null;
  const look = () => {
    const found = read(path, seen);
    if (found === null) return;
    seen = found.state;
    changed(found.text);
  };
  const follow = () => {
    if (watcher !== null) return;
    try {
      watcher = watch(dirname(path), { persistent: false }, (event) => {
        // It may be the folder itself that is gone.
        if (event === 'rename') forget();
        look();
      });
      watcher.on('error', forget);
    } catch {
      // No folder yet.
    }
  };
  const forget = () => {
    watcher?.close();
    watcher = null;
    follow();
  };
  follow();
  look();
  const timer = setInterval(() => {
    follow();
    look();
  }, interval);
  return {
    close: () => {
      clearInterval(timer);
      watcher?.close();
    },
  };
}

/** Null when nothing changed. State and text come from one open file, whatever is renamed meanwhile. */
function read(path: string, seen: string): { readonly state: string; readonly text: string | Error } | null {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    const { message } = error as Error;
    return message === seen ? null : { state: message, text: error as Error };
  }
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = fstatSync(file, { bigint: true });
    const state = [dev, ino, size, mtimeNs, ctimeNs].join(' ');
    if (state === seen) return null;
    if (size > largest) return { state, text: new Error(`${path} is larger than ${largest} bytes`) };
    return { state, text: readFileSync(file, 'utf8') };
  } catch (error) {
    const { message } = error as Error;
    return message === seen ? null : { state: message, text: error as Error };
  } finally {
    closeSync(file);
  }
}
