// A netlink socket that asks the kernel one thing at a time: requests, dumps and netfilter transactions.
import { constants } from 'node:os';
import type { MessageInfo, RawNetlinkSocket } from 'netlink';
import { encodePayload, indexAttributes, MalformedNetlink, readNumber, required, text } from './attribute.ts';
import {
  encodeMessage,
  messageFlag,
  messageType,
  NetlinkError,
  type NetlinkMessage,
  type NetlinkRequest,
  parseErrno,
  parseError,
  parseMessages,
} from './message.ts';
import { netfilterFamily, subsystem } from './nfnetlink.ts';
import { openRaw, type Protocol } from './raw.ts';

export type SocketOptions = {
  /** Milliseconds without any answer until a request is given up (ETIMEDOUT); 5,000 if not given. */
  readonly timeout?: number;
  /** How often a dump is asked again when what it shows changed meanwhile (EINTR after that); 10 if not given. */
  readonly dumpRetries?: number;
};

/** What the kernel said to part `part` of a batch; without `part`, to the batch as a whole. */
export type BatchFailure = { readonly part?: number; readonly error: NetlinkError };

/** A batch the kernel refused: nothing of it happened. */
export class BatchError extends Error {
  override readonly name = 'BatchError';
  readonly failures: readonly BatchFailure[];

  constructor(failures: readonly BatchFailure[]) {
    super(
      failures
        .map(({ part, error }) => `${part === undefined ? 'batch' : `part ${part}`}: ${error.message}`)
        .join('; '),
    );
    this.failures = failures;
  }
}

/** The answer a turn waits for: `accept` returns true when it was the last. */
type Turn = { readonly accept: (message: NetlinkMessage) => boolean; readonly settle: (error?: Error) => void };

/**
 * A socket for requests, in the network namespace of the process that opens it. Requests are made one after the other, in the
 * order they are asked for. After a lost or senseless answer the next request gets a new socket, so nothing stale is ever read.
 */
export class NetlinkSocket {
  readonly #protocol: Protocol;
  readonly #timeout: number;
  readonly #dumpRetries: number;
  #raw: RawNetlinkSocket | undefined;
  #port = 0;
  #sequence = 0;
  #turn: Turn | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #state: 'open' | 'closed' = 'open';

  constructor(protocol: Protocol, options: SocketOptions = {}) {
    this.#protocol = protocol;
    this.#timeout = options.timeout ?? 5_000;
    this.#dumpRetries = options.dumpRetries ?? 10;
    this.#open();
  }

  /**
   * One request. Resolves to the kernel's messages: all parts of a dump, none for a plain acknowledgement.
   * @throws NetlinkError when the kernel refuses it, or on ETIMEDOUT, EINTR (a dump that never was consistent), ECANCELED (closed)
   * @throws MalformedNetlink when the answer makes no sense
   */
  async request(request: NetlinkRequest): Promise<NetlinkMessage[]> {
    for (let attempt = 0; attempt <= this.#dumpRetries; attempt++) {
      const messages = await this.#queue(() => this.#ask(request));
      if (messages !== 'interrupted') return messages;
    }
    throw new NetlinkError(constants.errno.EINTR, `dump ${request.type}`);
  }

  /**
   * One netfilter transaction: all of `parts`, sent in one buffer, or nothing.
   * @throws BatchError with what the kernel said to which part; otherwise as `request`, EMSGSIZE when it is more than the kernel takes
   */
  async batch(parts: readonly NetlinkRequest[]): Promise<void> {
    if (parts.length > 0) await this.#queue(() => this.#commit(parts));
  }

  /** What is waiting ends with ECANCELED. Safe to repeat. */
  close(): void {
    this.#state = 'closed';
    this.#drop(new NetlinkError(constants.errno.ECANCELED, 'netlink socket closed'));
  }

  #queue<T>(turn: () => Promise<T>): Promise<T> {
    const result = this.#last.then(turn);
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #ask(request: NetlinkRequest): Promise<NetlinkMessage[] | 'interrupted'> {
    const dump = (request.flags & messageFlag.dump) === messageFlag.dump;
    // Without an acknowledgement nothing would tell that the answer is complete.
    const flags = request.flags | messageFlag.request | (dump ? 0 : messageFlag.ack);
    const sequence = this.#nextSequences(1);
    const messages: NetlinkMessage[] = [];
    let interrupted = false;
    let failure: NetlinkError | undefined;
    await this.#exchange([{ ...request, flags, sequence }], (message) => {
      if (message.sequence !== sequence) return false;
      if (dump && (message.flags & messageFlag.dumpInterrupted) !== 0) interrupted = true;
      const ends = message.type === messageType.error || message.type === messageType.done;
      if (!ends) messages.push(message);
      else if (parseErrno(message) !== 0) failure = parseError(message, `request ${request.type}`);
      return ends;
    });
    if (dump && failure?.errno === constants.errno.EINTR) return 'interrupted';
    if (failure !== undefined) throw failure;
    return interrupted ? 'interrupted' : messages;
  }

  async #commit(parts: readonly NetlinkRequest[]): Promise<void> {
    const first = this.#nextSequences(parts.length + 2);
    const messages = [batchMark(batchBegin), ...parts, batchMark(batchEnd)].map((part, index) => ({
      ...part,
      flags: part.flags | messageFlag.request | (index > 0 && index <= parts.length ? messageFlag.ack : 0),
      sequence: first + index,
    }));
    const failures: BatchFailure[] = [];
    let open = parts.length;
    await this.#exchange(messages, (message) => {
      const index = message.sequence - first;
      if (message.type !== messageType.error || index < 0 || index >= messages.length) return false;
      const errno = parseErrno(message);
      const part = index > 0 && index <= parts.length ? index - 1 : undefined;
      if (errno !== 0) {
        const error = parseError(message, `request ${messages[index]!.type}`);
        failures.push(part === undefined ? { error } : { part, error });
      }
      if (part !== undefined) open--;
      // A refusal of the whole is said of its beginning, and then the parts may never be mentioned.
      return open === 0 || (part === undefined && errno !== 0);
    });
    if (failures.length > 0) throw new BatchError(failures);
  }

  // Numbers 1 … 2^32-1; a range never wraps in its middle.
  #nextSequences(count: number): number {
    if (this.#sequence + count > 0xffff_ffff) this.#sequence = 0;
    const first = this.#sequence + 1;
    this.#sequence += count;
    return first;
  }

  #exchange(
    messages: readonly (NetlinkRequest & { readonly sequence: number })[],
    accept: Turn['accept'],
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const raw = this.#open();
      const bytes = Buffer.concat(messages.map((message) => encodeMessage({ ...message, port: this.#port })));
      // What waits for the answer runs outside the native callback: an exception there would end the process without a word.
      const settle = (error?: Error): void => {
        clearTimeout(timer);
        this.#turn = undefined;
        setImmediate(() => (error === undefined ? resolve() : reject(error)));
      };
      const expire = (): void => this.#drop(new NetlinkError(constants.errno.ETIMEDOUT, 'no answer from the kernel'));
      const turn: Turn = {
        accept: (message) => {
          timer.refresh();
          return accept(message);
        },
        settle,
      };
      // Sending can block for long (removing a peer waits in the kernel), so an answer may be there already when the timer
      // runs: it is read first.
      const timer = setTimeout(() => setImmediate(() => this.#turn === turn && expire()), this.#timeout);
      this.#turn = turn;
      raw.send(bytes, undefined, (error) => {
        if (error !== undefined && this.#turn === turn) settle(new NetlinkError(error.errno, 'sending to the kernel'));
      });
    });
  }

  #open(): RawNetlinkSocket {
    if (this.#state === 'closed') throw new NetlinkError(constants.errno.ECANCELED, 'netlink socket closed');
    if (this.#raw !== undefined) return this.#raw;
    const raw = openRaw(this.#protocol);
    this.#port = raw.address().port;
    raw.on('message', (bytes, from) => this.#receive(raw, bytes, from));
    raw.on('error', (error) => raw === this.#raw && this.#drop(new NetlinkError(error.errno, 'netlink socket')));
    this.#raw = raw;
    return raw;
  }

  // Nothing may be thrown from here: the native part would end the process.
  #receive(raw: RawNetlinkSocket, bytes: Buffer, from: MessageInfo): void {
    // Any process may send to our port; the kernel's is 0.
    if (from.port !== 0 || raw !== this.#raw) return;
    try {
      for (const message of parseMessages(bytes)) {
        if (this.#turn?.accept(message) === true) this.#turn.settle();
      }
    } catch (error) {
      this.#drop(error instanceof Error ? error : new MalformedNetlink(String(error)));
    }
  }

  #drop(error: Error): void {
    this.#raw?.close();
    this.#raw = undefined;
    this.#turn?.settle(error);
  }
}

/** A socket to WireGuard; `family` is the id its requests are encoded with. */
export type WireguardSocket = { readonly socket: NetlinkSocket; readonly family: number };

export function openRoute(options?: SocketOptions): NetlinkSocket {
  return new NetlinkSocket('route', options);
}

export function openNetfilter(options?: SocketOptions): NetlinkSocket {
  return new NetlinkSocket('netfilter', options);
}

/** @throws NetlinkError ENOENT when this kernel has no WireGuard */
export async function openWireguard(options?: SocketOptions): Promise<WireguardSocket> {
  const socket = new NetlinkSocket('generic', options);
  try {
    return { socket, family: await findFamily(socket, 'wireguard') };
  } catch (error) {
    socket.close();
    throw error;
  }
}

// include/uapi/linux/genetlink.h: the family that knows the others.
const controller = { id: 16, getFamily: 3, version: 1, familyId: 1, familyName: 2 } as const;

async function findFamily(socket: NetlinkSocket, name: string): Promise<number> {
  const header = Uint8Array.of(controller.getFamily, controller.version);
  const payload = encodePayload(header, [text(controller.familyName, name)]);
  const [answer] = await socket.request({ type: controller.id, flags: messageFlag.request, payload });
  const fields = indexAttributes(required(answer, `generic netlink family ${name}`).payload, 4);
  return required(readNumber(fields, controller.familyId, 2), `id of generic netlink family ${name}`);
}

const batchBegin = 16; // NFNL_MSG_BATCH_BEGIN
const batchEnd = 17; // NFNL_MSG_BATCH_END

// struct nfgenmsg whose resource id, big-endian, is the subsystem the batch is for.
function batchMark(type: number): NetlinkRequest {
  return { type, flags: 0, payload: Uint8Array.of(netfilterFamily.any, 0, 0, subsystem.nftables) };
}
