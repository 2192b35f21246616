// The commands about signing in, as they are run on the console: links, resets with a password from standard input, tokens, set-up.
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { listen } from '../../src/router/control/listen.ts';
import { bundledApn } from '../support/apn.ts';
import { bearer, password, signedIn, throughGateway } from '../support/people.ts';
import { temporaryFolder } from '../support/store.ts';

const cli = bundledApn();

/** A router with its console, and what `apn` says there. */
async function makeConsole() {
  const control = throughGateway();
  const socket = join(temporaryFolder(), 'control.sock');
  const server = await listen(control.app(), socket, 0o600);
  onTestFinished(() => void server.close().closeAllConnections());
  const apn = (line: readonly string[], input?: string) => cli.run(socket, line, input);
  return { control, apn };
}

describe('apn', () => {
  it('setup claim makes the first owner', async () => {
    const { control, apn } = await makeConsole();
    expect((await apn(['setup'])).stdout).toMatch(/claimed +no/);
    const without = await apn(['setup', 'claim', 'Ben', '--password-stdin']);
    expect([without.status, without.stderr]).toEqual([2, expect.stringContaining('no password')]);
    expect((await apn(['setup', 'claim', 'Ben'])).status).toBe(2);
    const { status, stdout } = await apn(['setup', 'claim', 'Ben', '--password-stdin'], `${password}\n`);
    expect([status, stdout]).toEqual([0, 'Ben owns this router.\n']);
    await signedIn(control, 'Ben');
    expect((await apn(['setup', 'claim', 'Olga', '--password-stdin'], `${password}\n`)).status).toBe(3);
    expect((await apn(['setup'])).stdout).toMatch(/claimed +yes/);
  });

  it('invite and reset-password print a link that works once', async () => {
    const { control, apn } = await makeConsole();
    await apn(['members', 'add', 'Ben', '--role', 'owner']);
    for (const line of [
      ['invite', 'Ben', '--for', '1h'],
      ['reset-password', 'Ben'],
    ]) {
      const { status, stdout } = await apn(line);
      expect(status).toBe(0);
      const secret = /https:\/\/hub\.apn\/welcome#(apn_invite_[\w-]{43})\n$/.exec(stdout)?.[1];
      const take = () => control.web('POST', '/invitations/take', { secret, password });
      expect([(await take()).status, (await take()).status]).toEqual([201, 404]);
    }
    const set = await apn(['reset-password', 'Ben', '--password-stdin'], 'eleven blue whales\r\n');
    expect([set.status, set.stdout]).toEqual([0, 'Ben has a new password.\n']);
    await signedIn(control, 'Ben', 'eleven blue whales');
    expect((await apn(['reset-password', 'Ben', '--password-stdin'], 'short\n')).stderr).toContain('10 characters');
    expect((await apn(['reset-password', 'Nobody'])).status).toBe(4);
  });

  it('reset-password says that a second factor stays, unless it is told to take it away', async () => {
    const { control, apn } = await makeConsole();
    await apn(['members', 'add', 'Ben', '--role', 'owner']);
    await apn(['reset-password', 'Ben', '--password-stdin'], password);
    const ben = await signedIn(control, 'Ben');
    const { TOTP } = await import('otpauth');
    const { secret } = (await ben('POST', '/account/totp')).body;
    const code = TOTP.generate({ secret: new TOTP({ secret }).secret, timestamp: control.clock.wall });
    await ben('POST', '/account/totp/confirm', { code });
    expect((await apn(['reset-password', 'Ben', '--password-stdin'], password)).stdout).toContain('--totp-off');
    await expect(signedIn(control, 'Ben')).rejects.toThrow('code');
    const off = await apn(['reset-password', 'Ben', '--password-stdin', '--totp-off'], password);
    expect(off.stdout).not.toContain('--totp-off');
    await signedIn(control, 'Ben');
  });

  it('tokens are made, listed and ended', async () => {
    const { control, apn } = await makeConsole();
    await apn(['members', 'add', 'Ben', '--role', 'owner']);
    const made = await apn(['tokens', 'add', 'backup job', '--member', 'Ben', '--scope', 'read', '--days', '7']);
    const token = /^apn_token_[\w-]{43}$/m.exec(made.stdout)?.[0] ?? '';
    const ask = bearer(control, token);
    expect((await ask('GET', '/servers')).status).toBe(200);
    expect((await apn(['tokens'])).stdout).toMatch(/backup job +Ben +read/);
    expect((await apn(['tokens', 'add', 'x', '--member', 'Ben', '--scope', 'everything'])).status).toBe(2);
    expect((await apn(['tokens', 'add', 'x', '--member', 'Ben', '--scope', 'read', '--days', 'many'])).status).toBe(2);
    expect((await apn(['tokens', 'rm', 'backup job'])).status).toBe(0);
    expect((await ask('GET', '/servers')).status).toBe(401);
  });
});
