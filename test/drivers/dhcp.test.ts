// What dnsmasq has handed out: its leases file with good lines, lines of other kinds, and lines a stranger wrote.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createDhcpDriver, readDhcpLeases } from '../../src/router/drivers/dhcp.ts';
import { temporaryFolder } from '../support/store.ts';

function leases(text: string | Uint8Array) {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'dnsmasq.leases'), text);
  return readDhcpLeases({ folder, leases: folder });
}

describe('readDhcpLeases', () => {
  it('reads what dnsmasq writes', () => {
    const text = [
      '1700043200 02:00:00:00:00:01 192.168.66.140 tv 01:02:00:00:00:00:01',
      '1700043200 02:00:00:00:00:02 192.168.66.141 * *',
      'duid 00:01:00:01:2c:aa:bb:cc:02:00:00:00:00:09',
      '1700043200 12345678 fd00::5 phone 00:01:00:01:2c',
      '',
    ].join('\n');
    expect(leases(text)).toEqual([
      { mac: '02:00:00:00:00:01', address: '192.168.66.140', hostName: 'tv' },
      { mac: '02:00:00:00:00:02', address: '192.168.66.141', hostName: '*' },
    ]);
  });

  it('without a file there are none', () =>
    expect(readDhcpLeases({ folder: '', leases: temporaryFolder() })).toEqual([]));

  it.each([
    ['nothing', ''],
    ['empty lines', '\n\n\n'],
    ['a line that breaks off', '1700043200 02:00:00:00:00:01'],
    ['an address that is none', '1 02:00:00:00:00:01 192.168.66.999 tv *'],
    ['leading zeros', '1 02:00:00:00:00:01 192.168.066.1 tv *'],
    ['a multicast MAC', '1 01:00:5e:00:00:01 192.168.66.9 tv *'],
    ['a broadcast MAC', '1 ff:ff:ff:ff:ff:ff 192.168.66.9 tv *'],
    ['a token ring MAC', '1 06-02:00:00:00:00:01 192.168.66.9 tv *'],
    ['zero bytes', '1 02:00:00:00:00:0\0 192.168.66.9 tv *'],
    ['a quote and a brace', '1 "}; 192.168.66.9 tv *'],
  ])('%s: passed over', (_, line) => {
    expect(leases(`${line}\n1 02:00:00:00:00:07 192.168.66.7 good *\n`)).toEqual([
      { mac: '02:00:00:00:00:07', address: '192.168.66.7', hostName: 'good' },
    ]);
  });

  it.each(['a_b', 'a.b', '-a', 'a-', 'a'.repeat(64), '\x1b[31mred', '<script>', '../../etc', 'ünicode', '\u202egnp'])(
    'the host name %j is no name',
    (name) => {
      expect(leases(`1 02:00:00:00:00:07 192.168.66.7 ${name} *\n`)[0]?.hostName).toBe('*');
    },
  );

  it('takes any bytes without an accident, and gives nothing but addresses and names', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.string(), (bytes, text) => {
        for (const { mac, address, hostName } of [
          ...leases(bytes),
          ...leases(`1 02:00:00:00:00:07 192.168.66.7 ${text}`),
        ]) {
          expect(mac).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
          expect(address).toMatch(/^[0-9a-f.:]+$/);
          expect(hostName).toMatch(/^([A-Za-z0-9-]{1,63}|\*)$/);
        }
      }),
    );
  });
});

describe('the DHCP driver', () => {
  it('sees that nothing runs, and what the hosts file holds', async () => {
    const folder = join(temporaryFolder(), 'dhcp');
    const driver = createDhcpDriver({ folder, leases: folder });
    expect(await driver.observe()).toEqual({ running: null, hosts: null });
    await driver.apply({ kind: 'dhcp.write-hosts', hosts: 'one\n', reload: true });
    expect(await driver.observe()).toEqual({ running: null, hosts: 'one\n' });
    await driver.apply({ kind: 'dhcp.stop' });
  });

  it.each(['', 'rubbish', '-1', '0', '99999999', String(process.pid)])(
    'a pid file with %j misleads nobody',
    async (pid) => {
      const folder = temporaryFolder();
      writeFileSync(join(folder, 'dnsmasq.pid'), pid);
      expect((await createDhcpDriver({ folder, leases: folder }).observe()).running).toBeNull();
      // Ends nothing: this very process would be the victim.
      await createDhcpDriver({ folder, leases: folder }).apply({ kind: 'dhcp.stop' });
    },
  );
});
