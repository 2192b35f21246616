// The UDP socket loop of one local address: receive, answer, send. It knows nothing of DNS.
import { createSocket, type RemoteInfo } from 'node:dgram';
import type { Open } from './binding.ts';
import type { Responder } from './server.ts';

/** Bytes of datagrams the kernel may hold while we are busy (it gives what its own limit allows). */
const receiveBuffer = 1 << 20;

export function openUdp(address: string, port: number, responder: Responder): Open {
  return (lost) =>
    new Promise((resolve, reject) => {
      const type = address.includes(':') ? 'udp6' : 'udp4';
      const socket = createSocket({
        ...{ type, ipv6Only: type === 'udp6', recvBufferSize: receiveBuffer },
        // Addresses only, at once: the default look-up waits for the next tick for each packet.
        lookup: (host, _options, done) => done(null, host, type === 'udp6' ? 6 : 4),
      });
      const send = (packet: Buffer, to: RemoteInfo) => {
        // Errors of a send (unreachable, no buffers) have no callback to go to: the packet is lost, as packets are.
        socket.send(packet, to.port, to.address);
      };
      socket.on('message', (packet, from) => {
        if (from.port === 0) return;
        const reply = responder.answer(from.address, packet, 'udp');
        if (reply === 'drop') return;
        if (reply !== 'relay') send(reply, from);
        else {
          responder.relay(from.address, packet, 'udp', (relayed) => {
            if (open) send(relayed, from);
          });
        }
      });
      let open = false;
      const close = () => {
        open = false;
        try {
          socket.close();
        } catch {
          // Never bound.
        }
      };
      socket.on('error', (error) => {
        const wasOpen = open;
        close();
        if (wasOpen) lost(error);
        else reject(error);
      });
      socket.bind({ address, port, exclusive: true }, () => {
        open = true;
        resolve(close);
      });
    });
}
