// Speaks HTTP to the control API on its unix socket.
import { request } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly body: unknown;
  /** Whether the machine agrees with what was saved; null for reading. */
  readonly applied: boolean | null;
}

/** Seconds a command waits for the kernel to agree. */
const wait = 20;

/** @throws Error when the router does not run. */
export function call(socketPath: string, method: string, path: string, body?: unknown): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = { 'content-type': 'application/json', prefer: `wait=${wait}` };
    const outgoing = request({ socketPath, method, path, headers }, (incoming) => {
      let answer = '';
      incoming.setEncoding('utf8').on('data', (part: string) => {
        answer += part;
      });
      incoming.once('error', reject);
      incoming.once('end', () => {
        const applied = incoming.headers['x-applied'];
        const status = incoming.statusCode ?? 0;
        try {
          // Lines for other programs, and figures.
          const lines = /^(application\/x-ndjson|text\/plain)\b/.test(incoming.headers['content-type'] ?? '');
          const body = answer === '' ? null : lines ? answer : JSON.parse(answer);
          resolve({ status, body, applied: applied === undefined ? null : applied === 'true' });
        } catch {
          reject(new Error(`What answers at ${socketPath} is not the router (status ${status}).`));
        }
      });
    });
    outgoing.once('error', reject);
    outgoing.end(text);
  });
}

/** Writes the event stream as it comes. Ends when the router ends. */
export function follow(socketPath: string, path: string, write: (text: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, path }, (incoming) => {
      if (incoming.statusCode !== 200) reject(new Error(`The router refused (status ${incoming.statusCode}).`));
      let rest = '';
      incoming.setEncoding('utf8').on('data', (part: string) => {
        const lines = (rest + part).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) if (line.startsWith('data: ')) write(`${line.slice(6)}\n`);
      });
      incoming.once('end', resolve);
      incoming.once('error', reject);
    });
    outgoing.once('error', reject);
    outgoing.end();
  });
}
