// Reads what the firewall copies to nflog group 77, at once, and says each IPv4 source the first time it is seen, with the time.
import { writeSync } from 'node:fs';
import { be32, encodePayload, indexAttributes, u8 } from '../src/router/netlink/attribute.ts';
import { encodeMessage, messageFlag, parseMessages } from '../src/router/netlink/message.ts';
import { nfHeaderLength } from '../src/router/netlink/nfnetlink.ts';
import { openRaw } from '../src/router/netlink/raw.ts';

const group = 77;
const packetMessage = (4 << 8) | 0; // NFNL_SUBSYS_ULOG, NFULNL_MSG_PACKET
const configMessage = (4 << 8) | 1; // NFULNL_MSG_CONFIG
const attribute = { command: 1, mode: 2, timeout: 4, threshold: 5, payload: 9 } as const; // NFULA_CFG_*, NFULA_PAYLOAD

const socket = openRaw('netfilter');
const seen = new Set<string>();
socket.on('message', (bytes) => {
  const now = performance.timeOrigin + performance.now();
  for (const { type, payload } of parseMessages(bytes)) {
    if (type !== packetMessage) continue;
    const packet = indexAttributes(payload, nfHeaderLength).get(attribute.payload);
    const source = packet?.subarray(12, 16).join('.');
    if (source === undefined || seen.has(source)) continue;
    seen.add(source);
    writeSync(1, `${source} ${now}\n`);
  }
});

const configure = (sequence: number, attributes: Parameters<typeof encodePayload>[1]) => {
  const header = Uint8Array.of(0, 0, group >> 8, group & 0xff);
  const { request, ack } = messageFlag;
  const message = { type: configMessage, flags: request | ack, payload: encodePayload(header, attributes) };
  socket.send(encodeMessage({ ...message, sequence, port: socket.address().port }));
};
configure(1, [u8(attribute.command, 1)]); // NFULNL_CFG_CMD_BIND
configure(2, [
  { type: attribute.mode, value: Uint8Array.of(0, 0, 0, 64, 2, 0) }, // 64 bytes, NFULNL_COPY_PACKET
  be32(attribute.threshold, 1),
  be32(attribute.timeout, 1), // hundredths of a second
]);
writeSync(1, 'ready\n');
process.stdin.resume().once('end', () => process.exit(0));
