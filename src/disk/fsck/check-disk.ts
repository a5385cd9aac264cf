/**
 * Checks the file system of a served disk as a machine would after a power loss there: mounted, so that
 * the kernel replays the journal, unmounted, then looked at by the file system's own program, which changes
 * nothing. What the mount writes goes to the overlay.
 */
import {DiskError} from '../../core/errors.js';
import {programWords, runProgram, type ProgramResult} from '../../core/run-program.js';

const LOOK_MS = 60_000;
const MOUNT_MS = 600_000;
const FSCK_MS = 6 * 3_600_000;
const DETAIL_CHARS = 2000;

/**
 *   clean   mounted and checked
 *   broken  the mount was refused, or the check found faults
 *   none    nothing on the disk, or what blkid does not know
 *   other   something that is not checked: another file system, a partition table, LVM, swap, ...
 */
export type Verdict = 'clean' | 'broken' | 'none' | 'other';

export interface DiskVerdict {
  readonly verdict: Verdict;
  /** As blkid names it: `ext4`; null where it found nothing. */
  readonly type: string | null;
  /** What the programs said of a broken one, else null. */
  readonly detail: string | null;
}

interface Checker {
  readonly mountOptions: string;
  readonly command: string;
  readonly args: readonly string[];
}

// Never the owner's word on what runs here: no devices, no programs, no set-uid files.
const SAFE = 'nodev,nosuid,noexec,noatime';
const EXT4: Checker = {
  mountOptions: `loop,${SAFE},noinit_itable`,
  command: 'e2fsck',
  args: ['-f', '-n'],
};
const CHECKERS: Readonly<Record<string, Checker>> = {
  ext3: EXT4,
  ext4: EXT4,
  // The disk itself may be mounted on this machine: then its UUID is in use.
  xfs: {mountOptions: `loop,${SAFE},nouuid`, command: 'xfs_repair', args: ['-n', '-f']},
};

/** File systems that are checked. */
export const CHECKED_TYPES = Object.keys(CHECKERS);

export interface DiskPaths {
  readonly image: string;
  readonly mountPoint: string;
}

/**
 * Looks at the disk as it is now.
 *
 * @param whileMounted called between mount and unmount: for who wants to look at the files
 * @throws DiskError TOOL_MISSING, LOOP_FAILED where this machine cannot mount it, TIMEOUT
 */
export async function checkDisk(
  {image, mountPoint}: DiskPaths,
  whileMounted: () => Promise<void> = () => Promise.resolve(),
): Promise<DiskVerdict> {
  const type = await typeOf(image);
  if (type === null) return {verdict: 'none', type, detail: null};
  const checker = CHECKERS[type];
  if (checker === undefined) return {verdict: 'other', type, detail: null};
  const {mountOptions, command, args} = checker;
  const mount = ['-t', type, '-o', mountOptions, image, mountPoint];
  const mounted = await inTime('mount', mount, MOUNT_MS);
  if (mounted.status !== 0) {
    const words = programWords(mounted);
    if (isMachine(words)) throw cannotMount(type, words);
    return {verdict: 'broken', type, detail: `mount: ${words}`};
  }

  try {
    await whileMounted();
  } finally {
    await unmount(mountPoint);
  }

  const checked = await inTime(command, [...args, image], FSCK_MS);
  if (checked.status === 0) return {verdict: 'clean', type, detail: null};
  const said = `${checked.stdout}${checked.stderr}`.trim().slice(0, DETAIL_CHARS);
  return {verdict: 'broken', type, detail: `${command}: ${said}`};
}

/** What blkid finds: TYPE, else PTTYPE; null for nothing. */
async function typeOf(image: string): Promise<string | null> {
  const args = ['-p', '-o', 'export', image];
  const {status, stdout, stderr} = await inTime('blkid', args, LOOK_MS);
  const found = /^(?:TYPE|PTTYPE)=(.+)$/mu.exec(stdout)?.[1];
  if (found !== undefined) return found;
  // 2: nothing; 8: several at once, as where a new one was made over an old one.
  if (status === 2) return null;
  if (status === 8) return 'ambivalent';
  throw new DiskError('STORE_IO', `blkid failed on a state of the disk: ${stderr.trim()}`);
}

async function unmount(mountPoint: string): Promise<void> {
  const result = await inTime('umount', [mountPoint], MOUNT_MS);
  if (result.status === 0) return;
  throw new DiskError('LOOP_FAILED', `cannot unmount ${mountPoint}: ${programWords(result)}`);
}

async function inTime(
  command: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<ProgramResult> {
  const result = await runProgram(command, args, timeoutMs);
  if (!result.timedOut) return result;
  const limit = `${timeoutMs / 1000} s`;
  throw new DiskError('TIMEOUT', `${command} on a state of the disk did not end in ${limit}`);
}

/** Words of mount(8) that say something of the machine, not of the disk. */
function isMachine(words: string): boolean {
  return /unknown filesystem type|cannot allocate memory|loop device|permission denied|only root|not permitted/iu.test(
    words,
  );
}

function cannotMount(type: string, words: string): DiskError {
  return new DiskError(
    'LOOP_FAILED',
    `a ${type} file system has to be mounted by a loop device to be checked, which is not possible ` +
      `here: ${words}`,
    {type},
  );
}
