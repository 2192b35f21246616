// Writes the archive format of an initramfs ("newc" cpio, see the kernel's buffer-format.rst); pure.

export type Entry =
  | { readonly name: string; readonly kind: 'folder' }
  | { readonly name: string; readonly kind: 'file'; readonly mode: number; readonly data: Uint8Array };

/** Header fields are 8 hexadecimal digits; name and data are each padded to a multiple of 4 bytes. */
export function cpio(entries: readonly Entry[]): Buffer {
  const parts: Buffer[] = [];
  const add = (inode: number, name: string, mode: number, data: Uint8Array): void => {
    // inode mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, Buffer.byteLength(name) + 1, 0];
    const head = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`;
    parts.push(padded(Buffer.from(head)), padded(Buffer.from(data)));
  };
  entries.forEach((entry, index) => {
    if (entry.kind === 'folder') add(index + 1, entry.name, 0o040755, new Uint8Array());
    else add(index + 1, entry.name, 0o100000 | entry.mode, entry.data);
  });
  add(0, 'TRAILER!!!', 0, new Uint8Array());
  return Buffer.concat(parts);
}

function padded(bytes: Buffer): Buffer {
  const missing = (4 - (bytes.length % 4)) % 4;
  return missing === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(missing)]);
}
