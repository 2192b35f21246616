// Where servers last called from: kept over a restart, written only when something moved, and never in the way.
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LastSeen } from '../src/router/last-seen.ts';
import { address, exampleConfig, publicKey } from './support/builders.ts';
import { temporaryFolder } from './support/store.ts';

const { servers } = exampleConfig();
const [web] = servers;
const at = (text: string, port: number) => new Map([[web!.publicKey, { endpoint: { address: address(text), port } }]]);

describe('what is remembered', () => {
  it('outlives the program, and follows a server that moves', () => {
    const file = join(temporaryFolder(), 'last-seen.json');
    const one = new LastSeen(file);
    expect(one.endpoints(servers).size).toBe(0);
    one.look(servers, at('203.0.113.10', 4000));
    expect(new LastSeen(file).endpoints(servers)).toEqual(
      new Map([[web!.publicKey, { address: '203.0.113.10', port: 4000 }]]),
    );
    one.look(servers, at('2001:db8::7', 5000));
    expect(new LastSeen(file).endpoints(servers).get(web!.publicKey)).toEqual({ address: '2001:db8::7', port: 5000 });
    // After a reboot nobody is anywhere yet.
    one.look(servers, new Map([[web!.publicKey, { endpoint: null }]]));
    expect(new LastSeen(file).endpoints(servers).size).toBe(1);
    one.look([], new Map());
    expect(new LastSeen(file).endpoints(servers).size).toBe(0);
  });

  it('is written when something moved, and then alone', () => {
    const file = join(temporaryFolder(), 'last-seen.json');
    const one = new LastSeen(file);
    one.look(servers, at('203.0.113.10', 4000));
    const { ino } = statSync(file);
    one.look(servers, at('203.0.113.10', 4000));
    expect(statSync(file).ino).toBe(ino);
  });

  it('holds no key, and goes with the server to its new one', () => {
    const file = join(temporaryFolder(), 'last-seen.json');
    new LastSeen(file).look(servers, at('203.0.113.10', 4000));
    expect(readFileSync(file, 'utf8')).not.toContain(web!.publicKey);
    const rotated = [{ ...web!, publicKey: publicKey(99) }];
    expect([...new LastSeen(file).endpoints(rotated).keys()]).toEqual([publicKey(99)]);
  });

  it.each(['', '{', '[1]', '{"x":7}', `{"${web!.id}":"nowhere 1"}`, `{"${web!.id}":"203.0.113.10"}`, 'null'])(
    'is none when the file says %j',
    (text) => {
      const file = join(temporaryFolder(), 'last-seen.json');
      writeFileSync(file, text);
      expect(new LastSeen(file).endpoints(servers).size).toBe(0);
    },
  );

  it('is kept for the next look when it cannot be written', () => {
    const folder = join(temporaryFolder(), 'state');
    const one = new LastSeen(join(folder, 'last-seen.json'));
    expect(() => one.look(servers, at('203.0.113.10', 4000))).toThrow();
    mkdirSync(folder);
    one.look(servers, at('203.0.113.10', 4000));
    expect(new LastSeen(join(folder, 'last-seen.json')).endpoints(servers).size).toBe(1);
    rmSync(folder, { recursive: true });
  });
});
