// `apn backup`, `apn restore`, `apn history` and `apn confirm` as they are run, against the control API in this process.
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { listen } from '../../src/router/control/listen.ts';
import { bundledApn, type Ended } from '../support/apn.ts';
import { type Control, makeControl } from '../support/control.ts';
import { temporaryFolder } from '../support/store.ts';

const cli = bundledApn();

type Apn = (line: string, input?: string) => Promise<Ended>;

async function served(): Promise<{ control: Control; apn: Apn }> {
  const control = makeControl();
  const socket = join(temporaryFolder(), 'control.sock');
  const server = await listen(control.app(), socket, 0o600);
  onTestFinished(() => void server.close().closeAllConnections());
  const apn: Apn = (line, input) => cli.run(socket, line.split(' '), input);
  return { control, apn };
}

const option = '--passphrase-stdin';
const passphrase = 'a passphrase that is long\n';

describe('apn backup and apn restore', () => {
  it('make another router the same hub by way of a file that is its owner’s alone', async () => {
    const [old, blank] = [await served(), await served()];
    await old.control.call('POST', '/members', { name: 'Anna', role: 'owner' });
    const file = join(temporaryFolder(), 'hub.apnbackup');
    const made = await old.apn(`backup ${file} ${option}`, passphrase);
    expect([made.status, made.stderr]).toEqual([0, '']);
    expect(made.stdout).toContain(`Wrote ${file} (${statSync(file).size} bytes)`);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(made.stdout).not.toContain(passphrase.trim());
    const restored = await blank.apn(`restore ${file} ${option}`, passphrase);
    expect([restored.status, restored.stdout]).toEqual([0, 'This is the hub of 2023-11-14T22:13:20.000Z now.\n']);
    expect(blank.control.restarts).toBe(1);
    expect(blank.control.store.snapshot.config.members).toEqual(old.control.store.snapshot.config.members);
  });

  it('say what is wrong, and write over nothing', async () => {
    const { control, apn } = await served();
    const there = join(temporaryFolder(), 'there');
    writeFileSync(there, 'there');
    for (const [line, input, status, told] of [
      [`backup ${there} ${option}`, passphrase, 2, 'is there already'],
      [`backup ${there}.new ${option}`, 'short\n', 2, 'passphrase: A passphrase has at least 10 characters.'],
      [`backup ${there}.new ${option}`, '', 2, 'There is no passphrase on standard input.'],
      [`backup ${there}.new`, passphrase, 2, 'There is nobody to ask'],
      [`restore ${there}.new ${option}`, passphrase, 2, 'cannot be read (ENOENT)'],
      [`restore ${there} ${option}`, passphrase, 2, 'file: This is not a backup of an APN router.'],
      ['restore', '', 2, 'FILE is missing'],
    ] as const) {
      const ended = await apn(line, input);
      expect([line, ended.status]).toEqual([line, status]);
      expect(ended.stderr).toContain(told);
    }
    expect(readFileSync(there, 'utf8')).toBe('there');
    expect([control.restarts, control.store.snapshot.revision]).toEqual([0, 0]);
  });
});

describe('apn history and apn confirm', () => {
  it('show, take back and keep', async () => {
    const { control, apn } = await served();
    for (const line of [
      'apps add shop',
      'apps add books',
      'lan set --wan wan0 --ports lan0 --address 192.168.66.1/24 --dhcp none',
    ]) {
      expect((await apn(line)).status).toBe(0);
    }
    const { stdout } = await apn('history --limit 2');
    expect(stdout.split('\n').map((line) => line.replace(/ +/g, ' ').trim())).toEqual([
      'REVISION AT ACTOR SUMMARY',
      '3 2023-11-14T22:13:20.000Z console LAN changed',
      '2 2023-11-14T22:13:20.000Z console application books added',
      '',
    ]);
    const shown = await apn('history show 2');
    expect(shown.stdout).toContain(
      'Revision 2, 2023-11-14T22:13:20.000Z, by console: application books added\napplications books added\n',
    );
    expect(shown.stdout).toContain('\n  label: null -> books\n');
    expect((await apn('history revert 2')).stdout).toBe('Done, as revision 4.\n');
    expect((await apn('history revert 2')).status).toBe(3);
    expect((await apn('history show 99')).status).toBe(4);
    expect((await apn('history restore 2')).stdout).toBe('Done, as revision 5.\n');
    expect(control.store.snapshot.config.applications.map(({ label }) => label).toSorted()).toEqual(['books', 'shop']);
    expect(control.store.snapshot.config.lan).toBeNull();

    await apn('history revert 5');
    const edited = await apn('lan set --address 192.168.66.2/24 --confirm 90');
    expect(edited.stdout).toContain('\nIt is undone in 1 min 30 s unless you run apn confirm.\n');
    expect((await apn('confirm show')).stdout).toBe(
      '“LAN changed” by console is undone in 1 min 30 s unless it is confirmed.\n',
    );
    expect((await apn('confirm')).stdout).toBe('It stays.\n');
    expect((await apn('confirm show')).stdout).toBe('Nothing waits to be confirmed.\n');
    expect((await apn('confirm')).status).toBe(4);
    await apn('lan set --address 192.168.66.3/24 --confirm 90');
    expect((await apn('confirm undo')).stdout).toBe('It is undone.\n');
    expect(control.store.snapshot.config.lan?.address).toBe('192.168.66.2');
    expect((await apn('lan set --address 192.168.66.3/24 --confirm soon')).stderr).toContain('--confirm takes seconds');
  });
});
