// The commands of scripts/lab.sh that change or describe a lab; `exec` is the shell script's own.
import { demonstrate } from './demonstration.ts';
import { takeDown } from './down.ts';
import { uplinkFiles } from './hosted.ts';
import type { Lab } from './lab.ts';
import { checkLabName } from './place.ts';
import { readState } from './state.ts';
import { readStatus, statusText } from './status.ts';
import { bringUp } from './up.ts';

class Usage extends Error {}

const say = (line: string): void => console.log(line);

function flags(args: readonly string[], known: readonly string[]): Set<string> {
  for (const arg of args) {
    if (arg === '--topology') throw new Usage(`${arg} is not part of the lab yet`);
    if (!known.includes(arg)) throw new Usage(`unknown argument ${arg}`);
  }
  return new Set(args);
}

async function startAndShow(name: string, empty: boolean, uplink: boolean): Promise<Lab> {
  const lab = await bringUp({ name, empty, uplink, log: say });
  if (!empty) {
    say('\nDemonstration');
    await demonstrate(lab, (line) => say(`  ${line}`));
  }
  return lab;
}

async function up(name: string, args: readonly string[]): Promise<void> {
  const asked = flags(args, ['--empty', '--uplink']);
  const [empty, uplink] = [asked.has('--empty'), asked.has('--uplink')];
  say(`lab ${name}: starting`);
  const lab = await startAndShow(name, empty, uplink).catch((error: unknown) => {
    say(`\nThe lab is left as it is. What its programs said is in .lab/${name}/log; scripts/lab.sh down removes it.`);
    throw error;
  });
  const prefix = name === 'apn' ? '' : `LAB=${name} `;
  say(`\nThe lab is up. Web UI: ${lab.ui} (its certificate is its own; the browser will ask)`);
  if (empty) {
    say('Nothing is configured: the UI is waiting for its first owner, who comes from the LAN or through it.');
  } else {
    say(`  ${prefix}scripts/lab.sh exec tv -- curl http://web.shop.apn`);
    say(`  ${prefix}scripts/lab.sh exec hub -- apn lease add 203.0.113.50`);
  }
  if (uplink)
    say(`  ${prefix}scripts/lab.sh exec hub -- apn uplinks add hosted ${uplinkFiles(name).file} --lan everyone`);
  say(`  ${prefix}scripts/lab.sh status`);
  say(`  ${prefix}scripts/lab.sh down`);
}

async function status(name: string, args: readonly string[]): Promise<void> {
  const json = flags(args, ['--json']).has('--json');
  const state = readState(name);
  if (!state) throw new Error(`lab ${name} is not running; start it with scripts/lab.sh up`);
  const found = await readStatus(state);
  say(json ? JSON.stringify(found, null, 2) : statusText(found));
}

async function main([command, ...args]: readonly string[]): Promise<void> {
  const name = checkLabName(process.env.LAB || 'apn');
  if (command === 'up') return up(name, args);
  if (command === 'status') return status(name, args);
  if (command === 'down') {
    flags(args, []);
    return takeDown(name);
  }
  throw new Usage(`unknown command ${command ?? ''}`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(`lab: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = error instanceof Usage ? 2 : 1;
}
