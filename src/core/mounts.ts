/** Mounts, as /proc tells them. Nothing here touches a path below a mount. */
import fs from 'node:fs';

/** One line of /proc/PID/mountinfo (proc(5)). */
export interface Mount {
  /** `major:minor` of the file system's device. */
  readonly device: string;
  readonly mountPoint: string;
  readonly type: string;
  readonly source: string;
}

/** Reads the text of /proc/PID/mountinfo, in mount order; lines that are not understood are left out. */
export function parseMountInfo(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const fields = before.split(' ');
    const [type, source = ''] = after.split(' ');
    const device = fields[2];
    const mountPoint = fields[4];
    if (device === undefined || mountPoint === undefined || type === undefined) continue;
    mounts.push({device, mountPoint: unescape(mountPoint), type, source: unescape(source)});
  }

  return mounts;
}

/** The kernel writes blank, tab, newline and backslash as three octal digits, in bytes. */
function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/gu, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** The mounts that this process sees. */
export function listMounts(): Mount[] {
  return parseMountInfo(fs.readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** The mount on top at exactly this path. */
export function mountAt(mounts: readonly Mount[], path: string): Mount | undefined {
  return mounts.findLast((mount) => mount.mountPoint === path);
}

/** true where `path` is `directory` or lies below it; both absolute and normalised. */
export function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === '/' ? '/' : `${directory}/`);
}

/** true for a mount that a disk process of mars serves, of this home or of another one. */
export function isOurs(mount: Mount): boolean {
  return (
    mount.type === 'fuse.mars' || (mount.type === 'fuse' && /^mars(,|:|$)/u.test(mount.source))
  );
}
