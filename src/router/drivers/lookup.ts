// Looks up a host name in a process of its own: this one opens no network socket, and that one has no rights.
import { type Address, parseAddress } from '../../model/address.ts';
import { run } from './run.ts';

/** The local unbound: cache, DNSSEC and protection against rebinding are its work. */
const server = '127.0.0.1:5335';
const nobody = 65_534;
const longest = 15_000;

/** Reads `server name`, writes one address a line. A name without addresses of one family is no error. */
const script = `
const { Resolver } = require('node:dns').promises;
const [server, name] = require('node:fs').readFileSync(0, 'utf8').split(' ');
const resolver = new Resolver({ timeout: 3000, tries: 2 });
resolver.setServers([server]);
Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]).then((found) => {
  for (const { value = [] } of found) for (const address of value) console.log(address);
});
`;

/** Every address of the name, IPv4 first; none when it has none or nobody answers. @throws ProgramFailed */
export async function lookUp(name: string): Promise<readonly Address[]> {
  // Its own environment is empty: nothing of ours reaches it.
  const as = process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {};
  const options = { ...as, env: {}, cwd: '/' };
  const output = await run(process.execPath, ['-e', script], `${server} ${name}`, longest, options);
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map(parseAddress);
}
