/**
 * The mount of the kernel driver: the options with which the `mount` program is called by the holder,
 * which has /dev/fuse open as descriptor 3, and the way back from /proc/self/mountinfo to the
 * connection. Only text is looked at here: no path below a mount is ever touched.
 */
import {assert} from '../core/assert.js';
import {REQUEST_BYTES_MAX} from '../core/limits.js';

/** Descriptor of /dev/fuse in holder and disk process. */
export const FUSE_FD = 3;
/**
 * A second descriptor of the same connection that never blocks (FUSE_DEV_IOC_CLONE, O_NONBLOCK), made by
 * the holder; absent where it could not be made. What waits is read from it without sleeping.
 */
export const FUSE_SECOND_FD = 5;
/** Type and source of our mounts, as mountinfo shows them: `fuse`, `mars`. */
export const MOUNT_TYPE = 'fuse';
export const MOUNT_SOURCE = 'mars';

/**
 * Value of `-o` for `mount -i -t fuse`. Without allow_other the kernel lets root only in, and the loop
 * device, which does not ask; with it the modes of the files must be held by the kernel.
 */
export function mountOptions(allowOther = false): string {
  const options = [
    `fd=${FUSE_FD}`,
    'rootmode=40000',
    'user_id=0',
    'group_id=0',
    `max_read=${REQUEST_BYTES_MAX}`,
  ];
  if (allowOther) options.push('allow_other', 'default_permissions');
  return options.join(',');
}

/** Arguments for the `mount` program; `-i` skips the helper mount.fuse, which may not be there. */
export function mountArguments(mountPoint: string, allowOther = false): string[] {
  return ['-i', '-t', MOUNT_TYPE, '-o', mountOptions(allowOther), MOUNT_SOURCE, mountPoint];
}

/** One line of /proc/self/mountinfo, proc(5). */
export interface MountEntry {
  readonly mountId: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly mountPoint: string;
  readonly type: string;
  readonly source: string;
  readonly superOptions: string;
}

/** @param text content of /proc/self/mountinfo; lines that are not understood are left out */
export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [front = '', back = ''] = line.split(' - ', 2);
    const [mountId, , device = '', , mountPoint] = front.split(' ');
    const [type, source, superOptions] = back.split(' ');
    const [major, minor] = device.split(':').map(Number);
    if (mountId === undefined || mountPoint === undefined || source === undefined) continue;
    if (major === undefined || minor === undefined || type === undefined) continue;
    entries.push({
      mountId: Number(mountId),
      deviceMajor: major,
      deviceMinor: minor,
      mountPoint: unescapePath(mountPoint),
      type,
      source: unescapePath(source),
      superOptions: superOptions ?? '',
    });
  }

  return entries;
}

/** @returns what is mounted at exactly this path, the topmost where there are several */
export function findMount(
  entries: readonly MountEntry[],
  mountPoint: string,
): MountEntry | undefined {
  return entries.findLast((entry) => entry.mountPoint === mountPoint);
}

/**
 * Directory of the connection in fusectl, with the files `abort` and `waiting`. Its name is the
 * device number of the mount, whose major is 0.
 */
export function connectionDirectory(entry: MountEntry): string {
  assert(entry.deviceMajor === 0, 'a FUSE mount without block device has an anonymous device');
  return `/sys/fs/fuse/connections/${entry.deviceMinor}`;
}

/** Space, tab, newline and backslash are written in octal. */
function unescapePath(text: string): string {
  // The bytes of a name are UTF-8 as they are; only the four ASCII characters are escaped.
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
