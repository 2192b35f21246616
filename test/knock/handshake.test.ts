// Reading handshakes: real ones open, and nothing else does.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { encodeKey, type PublicKey, Secret } from '../../src/model/key.ts';
import { createHandshakeReader, ephemeralOf, hasEmptyMac2 } from '../../src/router/knock/handshake.ts';
import { timestampToWall } from '../../src/router/knock/timestamp.ts';
import { initiation, keyPairOf, makeKeyPair, tai } from './initiator.ts';

const recorded = JSON.parse(readFileSync(new URL('./recorded/wireguard-go.json', import.meta.url), 'utf8')) as {
  readonly hubPrivateKey: string;
  readonly sender: string;
  readonly sentAt: number;
  readonly message: string;
};
const hub = makeKeyPair();
const reader = createHandshakeReader(new Secret('private key', hub.privateKey), encodeKey(hub.publicKey) as PublicKey);
const phone = makeKeyPair();
const timestamp = tai(Date.now());
const real = () => initiation({ hub: hub.publicKey, from: phone, timestamp });

/** As the keeper does with what was refused: mac1, mac2, and only then the costly part. */
function read(message: Uint8Array) {
  return reader.isForUs(message) && hasEmptyMac2(message) ? reader.open(message) : null;
}

describe('reading a handshake', () => {
  it('names the sender and gives the time', () => {
    expect(read(real())).toEqual({ publicKey: encodeKey(phone.publicKey), timestamp });
  });

  it('knows the bytes a stock client once sent', () => {
    const hubOfThen = keyPairOf(Buffer.from(recorded.hubPrivateKey, 'base64'));
    const then = createHandshakeReader(
      new Secret('private key', hubOfThen.privateKey),
      encodeKey(hubOfThen.publicKey) as PublicKey,
    );
    const message = Buffer.from(recorded.message, 'hex');
    expect(then.isForUs(message)).toBe(true);
    expect(hasEmptyMac2(message)).toBe(true);
    const opened = then.open(message);
    expect(opened?.publicKey).toBe(recorded.sender);
    // The client rounds down to 2^24 ns, and was started right after.
    const after = timestampToWall(opened?.timestamp ?? new Uint8Array(12)) - recorded.sentAt;
    expect(after).toBeGreaterThan(-17);
    expect(after).toBeLessThan(2000);
    expect(reader.isForUs(message)).toBe(false);
  });

  it('refuses each of the 1,184 messages that differ in one bit', () => {
    const message = real();
    for (let bit = 0; bit < message.length * 8; bit++) {
      const flipped = Buffer.from(message);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(read(flipped), `bit ${bit}`).toBeNull();
    }
    expect(read(message)).not.toBeNull();
  });

  it('does not trust mac1 alone: what somebody who knows the hub’s key made up does not open', () => {
    const stranger = makeKeyPair();
    // Says to be the phone, without the phone's private key.
    const claimed = { privateKey: stranger.privateKey, publicKey: phone.publicKey };
    const message = initiation({ hub: hub.publicKey, from: claimed, timestamp });
    expect(reader.isForUs(message)).toBe(true);
    expect(reader.open(message)).toBeNull();
  });

  it('refuses points of low order, in the clear and sealed', () => {
    const low = { privateKey: phone.privateKey, publicKey: new Uint8Array(32) };
    const message = initiation({ hub: hub.publicKey, from: low, timestamp });
    expect(reader.open(message)).toBeNull();
    const clear = Buffer.from(real());
    clear.fill(0, 8, 40);
    expect(reader.open(clear)).toBeNull();
  });

  it('refuses handshakes with another hub', () => {
    const other = makeKeyPair();
    expect(reader.isForUs(initiation({ hub: other.publicKey, from: phone, timestamp }))).toBe(false);
  });

  it('refuses every length from 0 to 1500, and junk', () => {
    const long = Buffer.concat([real(), randomBytes(1352)]);
    for (let length = 0; length <= 1500; length++) {
      expect(reader.isForUs(long.subarray(0, length)), `${length} bytes`).toBe(length === 148);
    }
    for (let i = 0; i < 500; i++) {
      const junk = randomBytes(148);
      junk.set([1, 0, 0, 0]);
      expect(reader.isForUs(junk)).toBe(false);
      expect(reader.open(junk)).toBeNull();
    }
  });

  it('tells copies by their ephemeral key, and changed ones by mac2', () => {
    const message = real();
    expect(ephemeralOf(message)).toBe(ephemeralOf(Buffer.from(message)));
    expect(ephemeralOf(message)).not.toBe(ephemeralOf(real()));
    expect(hasEmptyMac2(message)).toBe(true);
  });
});
