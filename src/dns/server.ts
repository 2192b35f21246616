// The sockets of all local addresses, and the table they answer from: the only state of this program.
import type { Address } from '../model/address.ts';
import { type Answer, answer, failure, foreignFor, type Transport } from './answer.ts';
import { Binding } from './binding.ts';
import { parseQuery } from './query.ts';
import { Relay, type RelayLimits, relayLimits } from './relay.ts';
import { Connections, openTcp, type TcpLimits, tcpLimits } from './tcp.ts';
import { degrade, type Table } from './tree.ts';
import { openUdp } from './udp.ts';

/** What a socket loop needs to know: bytes in, bytes out. */
export interface Responder {
  answer(source: string, packet: Buffer, transport: Transport): Answer;
  /** @param done called once with what to send: the relay's reply, or SERVFAIL */
  relay(source: string, packet: Buffer, transport: Transport, done: (reply: Buffer) => void): void;
}

export interface ServerOptions {
  readonly port: number;
  readonly log: (line: string) => void;
  readonly relay?: Partial<RelayLimits>;
  readonly tcp?: Partial<TcpLimits>;
  /** Where servers of foreign domains listen. */
  readonly foreignPort?: number;
}

/** A foreign server may be far away, and there may be a second one to ask. */
const foreignLimits: RelayLimits = { ...relayLimits, timeout: 2500, inFlight: 512, sockets: 4, tcp: 16 };

export class Server implements Responder {
  private table: Table = degrade(null);
  private readonly options: ServerOptions;
  private readonly relayed: Relay;
  /** To servers of foreign domains, by their address. */
  private readonly others = new Map<string, Relay>();
  private readonly connections: Connections;
  private readonly bindings = new Map<string, readonly Binding[]>();
  private failures = 0;

  constructor(options: ServerOptions) {
    this.options = options;
    this.relayed = new Relay({ ...relayLimits, ...options.relay });
    this.connections = new Connections({ ...tcpLimits, ...options.tcp });
  }

  /** Answers from this table from now on, at its addresses; sockets of addresses that stay are not touched. */
  use(table: Table): void {
    this.table = table;
    this.relayed.use(table.relay);
    const wanted = new Set([...table.foreign.values()].flatMap(({ servers }) => servers.map(({ address }) => address)));
    for (const [address, relay] of this.others) {
      if (wanted.has(address as Address)) continue;
      relay.close();
      this.others.delete(address);
    }
    for (const address of wanted) {
      if (this.others.has(address)) continue;
      const relay = new Relay({ ...foreignLimits, ...this.options.relay });
      relay.use({ address, port: this.options.foreignPort ?? 53 });
      this.others.set(address, relay);
    }
    for (const [address, bindings] of this.bindings) {
      if (table.listen.includes(address)) continue;
      for (const binding of bindings) binding.close();
      this.bindings.delete(address);
    }
    const { port, log } = this.options;
    for (const address of table.listen) {
      if (this.bindings.has(address)) continue;
      this.bindings.set(address, [
        new Binding(`UDP ${address} port ${port}`, openUdp(address, port, this), log),
        new Binding(`TCP ${address} port ${port}`, openTcp(address, port, this, this.connections), log),
      ]);
    }
  }

  /** When each socket was tried once. */
  async tried(): Promise<void> {
    await Promise.all([...this.bindings.values()].flat().map((binding) => binding.tried));
  }

  /** Addresses with both sockets open. */
  get bound(): readonly string[] {
    return [...this.bindings].filter(([, all]) => all.every((binding) => binding.bound)).map(([address]) => address);
  }

  get tcpConnections(): number {
    return this.connections.size;
  }

  answer(source: string, packet: Buffer, transport: Transport): Answer {
    try {
      return answer(this.table, source, packet, transport);
    } catch (error) {
      this.failed(packet, error);
      return 'drop';
    }
  }

  relay(source: string, packet: Buffer, transport: Transport, done: (reply: Buffer) => void): void {
    try {
      this.ask(this.relaysFor(packet), source, packet, transport, done);
    } catch (error) {
      this.failed(packet, error);
    }
  }

  private relaysFor(packet: Buffer): readonly Relay[] {
    const query = parseQuery(packet);
    const foreign = query === null ? null : foreignFor(this.table, query.key);
    if (foreign === null) return [this.relayed];
    return foreign.servers.flatMap(({ address }) => this.others.get(address) ?? []);
  }

  /** One after the other; nobody else is asked when all of them are silent. */
  private ask(
    [first, ...more]: readonly Relay[],
    source: string,
    packet: Buffer,
    transport: Transport,
    done: (reply: Buffer) => void,
  ): void {
    if (first === undefined) setImmediate(done, failure(packet, transport));
    else {
      first.ask(source, packet, transport, (reply) => {
        if (reply === null) this.ask(more, source, packet, transport, done);
        else done(reply);
      });
    }
  }

  /** A defect of ours; one bad query must not end the service, nor fill the log. */
  private failed(packet: Buffer, error: unknown): void {
    if (++this.failures <= 10) this.options.log(`query ${packet.toString('hex', 0, 300)}: ${String(error)}`);
  }

  close(): void {
    for (const binding of [...this.bindings.values()].flat()) binding.close();
    this.bindings.clear();
    for (const relay of [this.relayed, ...this.others.values()]) relay.close();
    this.connections.close();
  }
}
