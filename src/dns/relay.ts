// Passing foreign questions to unbound: their bytes as received under a new random id, replies checked, everything bounded.
import { randomFillSync } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { connect } from 'node:net';
import type { Zone } from '../model/zone.ts';
import type { Transport } from './answer.ts';
import { parseQuery } from './query.ts';

export interface RelayLimits {
  /** Milliseconds until SERVFAIL. */
  readonly timeout: number;
  readonly inFlight: number;
  readonly inFlightPerClient: number;
  readonly tcp: number;
  /** Source ports in use at a time. */
  readonly sockets: number;
  /** Questions from one source port before it is given up for a new one. */
  readonly usesPerSocket: number;
}

export const relayLimits: RelayLimits = {
  ...{ timeout: 5000, inFlight: 2048, inFlightPerClient: 256, tcp: 64, sockets: 16, usesPerSocket: 256 },
};

/** Null: no reply; the caller says SERVFAIL. */
type Done = (reply: Buffer | null) => void;

interface Pending {
  readonly source: string;
  readonly query: Buffer;
  readonly questionEnd: number;
  /** Milliseconds, monotonic. */
  readonly deadline: number;
  readonly finish: Done;
}

interface Port {
  readonly socket: Socket;
  readonly pending: Map<number, Pending>;
  uses: number;
  connected: boolean;
  waiting: Buffer[];
}

type Target = NonNullable<Zone['relay']>;

export class Relay {
  private target: Zone['relay'] | null = null;
  private readonly limits: RelayLimits;
  private ports: (Port | undefined)[] = [];
  private readonly retired = new Set<Port>();
  /** In the order of their deadlines, as all wait equally long. */
  private readonly all = new Set<Pending>();
  private readonly perClient = new Map<string, number>();
  private tcpCount = 0;
  private sweeper: NodeJS.Timeout | null = null;
  private readonly random = Buffer.alloc(4096);
  private randomLeft = 0;

  constructor(limits: RelayLimits = relayLimits) {
    this.limits = limits;
  }

  /** Questions under way to another address than this fail. */
  use(target: Zone['relay'] | null): void {
    if (target?.address === this.target?.address && target?.port === this.target?.port) return;
    this.target = target;
    for (const port of [...this.ports, ...this.retired]) if (port !== undefined) this.drop(port);
    this.ports = [];
  }

  /** @param done called once, never before this returns */
  ask(source: string, packet: Buffer, transport: Transport, done: Done): void {
    const questionEnd = parseQuery(packet)?.end;
    const full =
      this.all.size >= this.limits.inFlight ||
      (this.perClient.get(source) ?? 0) >= this.limits.inFlightPerClient ||
      (transport === 'tcp' && this.tcpCount >= this.limits.tcp);
    if (this.target === null || questionEnd === undefined || full) {
      setImmediate(done, null);
      return;
    }
    const query = Buffer.from(packet);
    const pending: Pending = {
      ...{ source, query, questionEnd, deadline: performance.now() + this.limits.timeout },
      finish: (reply) => {
        if (!this.all.delete(pending)) return;
        const count = (this.perClient.get(source) ?? 1) - 1;
        if (count === 0) this.perClient.delete(source);
        else this.perClient.set(source, count);
        if (reply !== null) packet.copy(reply, 0, 0, 2);
        done(reply);
      },
    };
    this.all.add(pending);
    this.perClient.set(source, (this.perClient.get(source) ?? 0) + 1);
    this.sweeper ??= setInterval(() => this.sweep(), 100);
    if (transport === 'udp') this.askUdp(pending, this.target);
    else this.askTcp(pending, this.target);
  }

  close(): void {
    this.use(null);
    for (const pending of [...this.all]) pending.finish(null);
    this.sweep();
  }

  private askUdp(pending: Pending, target: Target): void {
    const index = this.randomNumber() % this.limits.sockets;
    let port = this.ports[index];
    if (port === undefined || port.uses >= this.limits.usesPerSocket) {
      if (port !== undefined) this.retire(port);
      port = this.open(target);
      this.ports[index] = port;
    }
    let id = this.randomNumber();
    while (port.pending.has(id)) id = this.randomNumber();
    pending.query.writeUInt16BE(id, 0);
    port.uses++;
    port.pending.set(id, pending);
    if (port.connected) this.send(port, pending.query);
    else port.waiting.push(pending.query);
  }

  private open(target: Target): Port {
    const socket = createSocket(target.address.includes(':') ? 'udp6' : 'udp4');
    const port: Port = { socket, pending: new Map(), uses: 0, connected: false, waiting: [] };
    socket.on('message', (reply, from) => {
      // Connected only since a moment ago: until then the port took packets from anyone.
      if (from.port !== target.port || from.address !== target.address) return;
      const id = reply.length < 12 ? -1 : reply.readUInt16BE(0);
      const pending = port.pending.get(id);
      if (pending === undefined || !isReply(reply, pending)) return;
      port.pending.delete(id);
      pending.finish(reply);
      if (this.retired.has(port) && port.pending.size === 0) this.drop(port);
    });
    // Refused: unbound is down, and the kernel does not say which question it was.
    socket.on('error', () => this.drop(port));
    socket.on('connect', () => {
      port.connected = true;
      for (const query of port.waiting) this.send(port, query);
      port.waiting = [];
    });
    socket.connect(target.port, target.address);
    return port;
  }

  private send(port: Port, query: Buffer): void {
    try {
      port.socket.send(query, (error) => {
        if (error) this.drop(port);
      });
    } catch {
      this.drop(port);
    }
  }

  private askTcp(pending: Pending, target: Target): void {
    const id = this.randomNumber();
    pending.query.writeUInt16BE(id, 0);
    this.tcpCount++;
    let received = Buffer.alloc(0);
    const socket = connect({ host: target.address, port: target.port });
    socket.setTimeout(this.limits.timeout, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.tcpCount--;
      pending.finish(null);
    });
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const reply = received.subarray(2, 2 + received.readUInt16BE(0));
      if (reply.length >= 12 && reply.readUInt16BE(0) === id && isReply(reply, pending)) pending.finish(reply);
      socket.destroy();
    });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(pending.query.length);
    socket.write(Buffer.concat([length, pending.query]));
  }

  /** No new questions; those under way may still be answered. */
  private retire(port: Port): void {
    if (port.pending.size === 0) this.drop(port);
    else this.retired.add(port);
  }

  private drop(port: Port): void {
    this.retired.delete(port);
    const index = this.ports.indexOf(port);
    if (index >= 0) this.ports[index] = undefined;
    const lost = [...port.pending.values()];
    port.pending.clear();
    try {
      port.socket.close();
    } catch {
      // Closed by an earlier error.
    }
    for (const pending of lost) pending.finish(null);
  }

  private sweep(): void {
    const now = performance.now();
    for (const pending of this.all) {
      if (pending.deadline > now) break;
      pending.finish(null);
    }
    for (const port of [...this.ports, ...this.retired]) {
      if (port === undefined) continue;
      for (const [id, pending] of port.pending) if (!this.all.has(pending)) port.pending.delete(id);
      if (this.retired.has(port) && port.pending.size === 0) this.drop(port);
    }
    if (this.all.size === 0 && this.sweeper !== null) {
      clearInterval(this.sweeper);
      this.sweeper = null;
    }
  }

  /** 16 bits. */
  private randomNumber(): number {
    if (this.randomLeft === 0) {
      randomFillSync(this.random);
      this.randomLeft = this.random.length;
    }
    this.randomLeft -= 2;
    return this.random.readUInt16BE(this.randomLeft);
  }
}

/** A response to exactly this question, byte for byte: the id alone can be guessed. */
function isReply(reply: Buffer, { query, questionEnd }: Pending): boolean {
  if (reply.length < questionEnd || ((reply[2] ?? 0) & 0x80) === 0) return false;
  return reply.readUInt16BE(4) === 1 && reply.compare(query, 12, questionEnd, 12, questionEnd) === 0;
}
