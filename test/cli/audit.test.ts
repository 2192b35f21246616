// `apn audit`, `apn metrics`, `apn lease renew` and what `apn explain` says of the door.
import { describe, expect, it } from 'vitest';
import { InvalidInput } from '../../src/model/errors.ts';
import { parseArguments } from '../../src/router/cli/arguments.ts';
import { commands } from '../../src/router/cli/commands.ts';

function find(name: string) {
  const command = commands.find((each) => each.name === name);
  if (command === undefined) throw new Error(`no command ${name}`);
  return command;
}
const request = (name: string, ...line: string[]) => find(name).request(parseArguments(line));
const show = (name: string, answer: unknown) => find(name).show(answer as never);

describe('audit', () => {
  it('asks for what is wished, and for no more', () => {
    expect(request('audit ls')).toEqual({ method: 'GET', path: '/audit' });
    const options = ['--kind', 'denied', '--member', 'Anna Lee', '--limit', '5', '--before', '77'];
    expect(request('audit ls', ...options).path).toBe('/audit?kind=denied&member=Anna+Lee&limit=5&before=77');
    expect(request('audit export', '--kind', 'lease').path).toBe('/audit/export?kind=lease');
    expect(find('audit export').options).not.toContain('--limit');
  });

  it('is a table, and the export and the figures are passed on as they are', () => {
    const entry = { at: '2026-01-01T00:00:00.000Z', actor: 'Anna', event: 'moved', details: { from: 'a', to: 'b' } };
    expect(show('audit ls', [entry]).split('\n')[1]).toBe('2026-01-01T00:00:00.000Z  Anna   moved  from=a,to=b');
    expect(show('audit export', '{"id":1}\n{"id":2}\n')).toBe('{"id":1}\n{"id":2}');
    expect(show('audit export', null)).toBe('');
    expect(request('metrics')).toEqual({ method: 'GET', path: '/metrics' });
    expect(show('metrics', '# HELP a b\na 1\n')).toBe('# HELP a b\na 1');
  });
});

describe('lease renew', () => {
  it('by id or address, for so long', () => {
    expect(request('lease renew', '203.0.113.0/24', '--for', '2h')).toEqual({
      ...{ method: 'POST', path: '/leases/203.0.113.0%2F24/renew' },
      body: { for: '2h' },
    });
    expect(request('lease renew', 'id').body).toEqual({});
    expect(() => request('lease renew')).toThrow(InvalidInput);
    const lease = { id: 'one', source: '203.0.113.7', remainingSeconds: 7200, state: 'active' };
    expect(show('lease renew', { renewed: [lease, { ...lease, id: 'two' }] }).split('\n')).toEqual([
      'UDP 51820 is open for 203.0.113.7 for 2 h (lease one).',
      'UDP 51820 is open for 203.0.113.7 for 2 h (lease two).',
    ]);
  });
});

describe('explain', () => {
  it('says what the door does, where there is one', () => {
    expect(request('explain', 'laptop', 'web', '--from', '203.0.113.7').path).toBe(
      '/explain?source=laptop&destination=web&port=&from=203.0.113.7',
    );
    expect(show('explain', { message: 'It may.', door: null })).toBe('It may.');
    expect(show('explain', { message: 'It may.', door: { message: 'It is refused.' } })).toBe(
      'It may.\nIt is refused.',
    );
  });
});
