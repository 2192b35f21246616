// Keeps one socket bound: tries again, more and more slowly, until the address exists, and again when the socket is lost.

/** Opens a socket; resolves with how to close it. `lost` is called when an open one fails. */
export type Open = (lost: (error: Error) => void) => Promise<() => void>;

const firstDelay = 100;
/** Milliseconds: the longest a new address waits for its socket. */
const longestDelay = 2000;

export class Binding {
  private readonly open: Open;
  private readonly what: string;
  private readonly log: (line: string) => void;
  private closeSocket: (() => void) | null = null;
  private timer: NodeJS.Timeout | null = null;
  private delay = firstDelay;
  private readonly ending = new AbortController();
  private lastError = '';
  /** The first attempt has ended, either way. */
  readonly tried: Promise<void>;

  constructor(what: string, open: Open, log: (line: string) => void) {
    this.open = open;
    this.what = what;
    this.log = log;
    this.tried = this.attempt();
  }

  get bound(): boolean {
    return this.closeSocket !== null;
  }

  close(): void {
    this.ending.abort();
    if (this.timer !== null) clearTimeout(this.timer);
    this.closeSocket?.();
    this.closeSocket = null;
  }

  private async attempt(): Promise<void> {
    try {
      const close = await this.open((error) => this.failed(error));
      if (this.ending.signal.aborted) {
        close();
        return;
      }
      this.closeSocket = close;
      this.delay = firstDelay;
      if (this.lastError !== '') this.log(`${this.what}: bound`);
      this.lastError = '';
    } catch (error) {
      this.failed(error instanceof Error ? error : new Error(String(error)));
    }
  }

  private failed(error: Error): void {
    this.closeSocket = null;
    if (this.ending.signal.aborted) return;
    // One line per reason, not one per attempt.
    if (error.message !== this.lastError) this.log(`${this.what}: ${error.message}; trying again`);
    this.lastError = error.message;
    this.timer = setTimeout(() => void this.attempt(), this.delay);
    this.delay = Math.min(longestDelay, this.delay * 2);
  }
}
