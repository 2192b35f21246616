// The sockets of all local addresses, and the table they answer from: the only state of this program.
import { type Answer, answer, failure, type Transport } from './answer.ts';
import { Binding } from './binding.ts';
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
}

export class Server implements Responder {
  private table: Table = degrade(null);
  private readonly options: ServerOptions;
  private readonly relayed: Relay;
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
      this.relayed.ask(source, packet, transport, (reply) => done(reply ?? failure(packet, transport)));
    } catch (error) {
      this.failed(packet, error);
    }
  }

  /** A defect of ours; one bad query must not end the service, nor fill the log. */
  private failed(packet: Buffer, error: unknown): void {
    if (++this.failures <= 10) this.options.log(`query ${packet.toString('hex', 0, 300)}: ${String(error)}`);
  }

  close(): void {
    for (const binding of [...this.bindings.values()].flat()) binding.close();
    this.bindings.clear();
    this.relayed.close();
    this.connections.close();
  }
}
