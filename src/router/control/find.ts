// Finds objects by id or by the names people use: `shop`, `shop/web`, `web.shop.apn`, `anna/laptop`, `tv`.

import { shorten } from '../../model/address.ts';
import type { Application, Config, Device, LanDevice, Member, Server, Uplink } from '../../model/config.ts';
import { NotFound } from '../../model/errors.ts';

/** @throws NotFound at `path`. */
function found<T>(one: T | undefined, path: string, what: string, reference: string): T {
  if (one === undefined) throw new NotFound(path, `There is no ${what} “${shorten(reference)}”.`);
  return one;
}

export function findApplication({ applications }: Config, reference: string, path = ''): Application {
  return found(
    applications.find(({ id, label }) => id === reference || label === reference),
    path,
    'application',
    reference,
  );
}

export function findMember({ members }: Config, reference: string, path = ''): Member {
  const lower = reference.toLowerCase();
  return found(
    members.find(({ id, label, name }) => id === reference || label === lower || name.toLowerCase() === lower),
    path,
    'member',
    reference,
  );
}

/** `group/label`, `label.group`, `label.group.domain`, or a label that only one has. */
function byPath<T extends { readonly id: string; readonly label: string }>(
  list: readonly T[],
  groupOf: (one: T) => string,
  reference: string,
  suffixes: readonly string[],
): T | undefined {
  const wanted = reference.toLowerCase();
  const exact = list.find((one) => {
    const group = groupOf(one);
    const dotted = `${one.label}.${group}`;
    return (
      one.id === reference ||
      wanted === `${group}/${one.label}` ||
      suffixes.some((suffix) => wanted === dotted + suffix)
    );
  });
  if (exact !== undefined) return exact;
  const short = list.filter(({ label }) => label === wanted);
  return short.length === 1 ? short[0] : undefined;
}

export function findServer(config: Config, reference: string, path = ''): Server {
  const { domain } = config.network;
  return found(
    byPath(config.servers, (one) => applicationLabel(config, one), reference, ['', `.${domain}`]),
    path,
    'server',
    reference,
  );
}

export function findDevice(config: Config, reference: string): Device {
  const suffixes = ['', '.team', `.team.${config.network.domain}`];
  return found(
    byPath(config.devices, (one) => memberLabel(config, one), reference, suffixes),
    '',
    'device',
    reference,
  );
}

export function findLanDevice({ lanDevices, network }: Config, reference: string, path = ''): LanDevice {
  const wanted = reference.toLowerCase();
  return found(
    lanDevices.find(
      ({ id, label, mac }) =>
        id === reference ||
        mac === wanted ||
        label === wanted ||
        `${label}.lan` === wanted ||
        `${label}.lan.${network.domain}` === wanted,
    ),
    path,
    'LAN device',
    reference,
  );
}

export function findUplink({ uplinks }: Config, reference: string, path = ''): Uplink {
  return found(
    uplinks.find(({ id, label }) => id === reference || label === reference),
    path,
    'uplink',
    reference,
  );
}

/** Null where `find` throws NotFound. */
export function orNull<T>(find: () => T): T | null {
  try {
    return find();
  } catch (error) {
    if (error instanceof NotFound) return null;
    throw error;
  }
}

/** `web.shop`, `laptop.anna.team`: its name below the domain. */
export function peerName(
  config: Config,
  one: Pick<Server, 'application' | 'label'> | Pick<Device, 'member' | 'label'>,
): string {
  return 'application' in one
    ? `${one.label}.${applicationLabel(config, one)}`
    : `${one.label}.${memberLabel(config, one)}.team`;
}

export function applicationLabel({ applications }: Config, { application }: Pick<Server, 'application'>): string {
  return applications.find(({ id }) => id === application)?.label ?? '';
}

export function memberLabel({ members }: Config, { member }: Pick<Device, 'member'>): string {
  return members.find(({ id }) => id === member)?.label ?? '';
}
