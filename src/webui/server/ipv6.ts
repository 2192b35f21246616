// An IPv6 address as its eight 16-bit groups.

/** `address` is valid IPv6 text, with or without a zone (`%eth0`), which is dropped. */
export function ipv6Groups(address: string): readonly number[] {
  // The URL parser writes every form, an IPv4 tail included, as shortened hexadecimal groups.
  const text = new URL(`http://[${address.split('%', 1)[0]!}]`).hostname.slice(1, -1);
  const [left, right] = text.split('::').map((half) => (half === '' ? [] : half.split(':')));
  const groups =
    right === undefined ? left! : [...left!, ...Array<string>(8 - left!.length - right.length).fill('0'), ...right];
  return groups.map((group) => Number.parseInt(group, 16));
}
