// The commands about uplinks: a file in, the request of the control API out, and differences as people read them.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { longestFile } from '../../src/model/wireguard-file.ts';
import { parseArguments } from '../../src/router/cli/arguments.ts';
import { commands } from '../../src/router/cli/commands.ts';
import { temporaryFolder } from '../support/store.ts';

let file = '';
beforeEach(() => {
  file = join(temporaryFolder(), 'hosted.conf');
  writeFileSync(file, '[Interface]\n');
});

function find(name: string) {
  const found = commands.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no command ${name}`);
  return found;
}
const request = (name: string, ...line: string[]) => find(name).request(parseArguments(line));
const shown = (name: string, answer: unknown) => find(name).show(answer as never);

describe('requests', () => {
  it('carry the text of the file and who may use it', () => {
    expect(request('uplinks add', 'hosted', file, '--lan', 'tv,desk', '--members', 'Anna', '--apps', 'shop')).toEqual({
      ...{ method: 'POST', path: '/uplinks' },
      body: {
        ...{ label: 'hosted', file: '[Interface]\n' },
        access: { lan: ['tv', 'desk'], members: ['Anna'], applications: ['shop'] },
      },
    });
    expect(request('uplinks add', 'hosted', file, '--lan', 'everyone').body).toMatchObject({
      access: { lan: 'everyone' },
    });
    expect(request('uplinks preview', file)).toEqual({
      ...{ method: 'POST', path: '/uplinks/preview', body: { file: '[Interface]\n' } },
    });
    expect(request('uplinks preview', file, '--uplink', 'hosted').body).toMatchObject({ uplink: 'hosted' });
    expect(request('uplinks update', 'hosted', file)).toMatchObject({ method: 'PUT', path: '/uplinks/hosted/file' });
    expect(request('uplinks ls')).toEqual({ method: 'GET', path: '/uplinks' });
    expect(request('uplinks show', 'hosted')).toEqual({ method: 'GET', path: '/uplinks/hosted' });
    expect(request('uplinks rm', 'hosted')).toEqual({ method: 'DELETE', path: '/uplinks/hosted' });
  });

  it('change only what was said', () => {
    const body = (...line: string[]) => request('uplinks set', 'hosted', ...line).body;
    expect(body()).toEqual({});
    expect(body('--label', 'partner')).toEqual({ label: 'partner' });
    expect(body('--lan', 'nothing', '--members', 'nobody')).toEqual({ access: { lan: 'nothing', members: [] } });
    expect(body('--name', 'db=10.9.0.5', '--name', 'none=crm')).toEqual({
      names: [
        { peer: '10.9.0.5', label: 'db' },
        { peer: 'crm', label: null },
      ],
    });
    expect(() => body('--name', 'db')).toThrow(expect.objectContaining({ path: '--name' }));
  });

  it.each([
    ['is not there', () => `${file}.gone`, /cannot be read \(ENOENT\)/],
    ['is a folder', () => join(file, '..'), /cannot be read \(EISDIR\)/],
    ['is UTF-16', () => written(Buffer.from('\ufeff[Interface]', 'utf16le')), /not UTF-8/],
    ['is huge', () => written(Buffer.alloc(4 * longestFile + 1, 'x')), /too large/],
  ])('are not made of a file that %s', (_, name, why) => {
    expect(() => request('uplinks add', 'hosted', name())).toThrow(expect.objectContaining({ path: 'file' }));
    expect(() => request('uplinks add', 'hosted', name())).toThrow(why);
  });
});

function written(bytes: Buffer): string {
  writeFileSync(file, bytes);
  return file;
}

describe('answers', () => {
  const peer = { label: 'crm', publicKey: 'KEY', allowedIps: ['10.9.0.5/32'], endpoint: '203.0.113.80:51820' };
  const summary = {
    ...{
      address: '10.9.0.2',
      mtu: 1420,
      dns: { servers: ['10.9.0.53'], relayed: ['corp.test'] },
      notes: ['Something.'],
    },
    peers: [peer],
  };
  const uplink = {
    ...summary,
    ...{
      label: 'hosted',
      device: 'apn1',
      connected: 1,
      access: { lan: 'everyone', members: ['anna'], applications: [] },
    },
    peers: [{ ...peer, fqdn: 'crm.hosted.apn', connected: true }],
  };
  const difference = {
    ...{ fields: ['mtu'], added: [peer], removed: [{ ...peer, label: null }], unchanged: 3 },
    changed: [{ peer, fields: ['endpoint', 'keepalive'] }],
  };

  it('are tables of uplinks and of peers', () => {
    expect(shown('uplinks ls', [uplink])).toMatch(
      /hosted\s+apn1\s+10\.9\.0\.2\s+1 of 1 connected\s+everyone\s+anna\s+-/,
    );
    expect(shown('uplinks ls', [])).toBe('None.');
    for (const name of ['uplinks add', 'uplinks show', 'uplinks set']) {
      expect(shown(name, uplink)).toMatch(/lan\s+everyone[\s\S]*Something\.[\s\S]*crm\.hosted\.apn\s+10\.9\.0\.5\/32/);
    }
    expect(shown('uplinks preview', { ...summary, difference: null })).toMatch(
      /corp\.test[\s\S]*crm\s+10\.9\.0\.5\/32/,
    );
  });

  it('are differences, a line each', () => {
    const lines = [
      ...['changed  mtu of the uplink', 'new      crm at 203.0.113.80:51820', 'gone     10.9.0.5/32'],
      ...['changed  crm: endpoint, keepalive', '3 peers stay as they are.'],
    ];
    expect(shown('uplinks update', { ...uplink, difference }).split('\n')).toEqual(lines);
    expect(shown('uplinks preview', { ...summary, difference }).split('\n')).toEqual(lines);
    const nothing = { fields: [], added: [], removed: [], changed: [], unchanged: 1 };
    expect(shown('uplinks update', { ...uplink, difference: nothing })).toBe(
      'Nothing changes.\n1 peer stays as it is.',
    );
  });
});
