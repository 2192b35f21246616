// A short, stable name for a text: tells whether the kernel or a daemon holds what we would write. Not for secrets.

/** FNV-1a over UTF-16 code units, 64 bits, as 12 hex digits of the folded result. */
export function fingerprint(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (let i = 0; i < text.length; i++) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(text.charCodeAt(i))) * 0x100000001b3n);
  }
  return BigInt.asUintN(48, hash ^ (hash >> 48n))
    .toString(16)
    .padStart(12, '0');
}
