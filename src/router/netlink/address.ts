// IP addresses as the kernel writes them: a family and the bytes in network order.

export type IpFamily = 4 | 6;

/** `bytes` is 4 long (family 4) or 16 long (family 6), network byte order. */
export type IpAddress = { readonly family: IpFamily; readonly bytes: Uint8Array };

/** `cidr` is the prefix length: 0–32 (family 4) or 0–128 (family 6). */
export type IpPrefix = IpAddress & { readonly cidr: number };

/** AF_INET = 2, AF_INET6 = 10 (include/linux/socket.h). */
export function toAddressFamily(family: IpFamily): number {
  return family === 4 ? 2 : 10;
}

/** The family of an AF_ number; undefined for any family that is not IP. */
export function fromAddressFamily(number: number): IpFamily | undefined {
  if (number === 2) return 4;
  return number === 10 ? 6 : undefined;
}

/** Length of an address in bytes. */
export function addressLength(family: IpFamily): number {
  return family === 4 ? 4 : 16;
}
