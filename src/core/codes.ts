/**
 * Every error and warning code: a stable interface of scripts, `mars explain` and the exit status.
 * A code is never renamed; a new one gets its entry here or the build fails.
 */
import {HISTORY_CODES} from './history-codes.js';
import {PEER_CODES} from './peer-codes.js';
import {REPLICA_CODES} from './replica-codes.js';
import {ROLE_CODES} from './role-codes.js';
import {SPACE_CODES} from './space-codes.js';

/** Exit status of commands, as documented for users. */
export const EXIT = {
  done: 0,
  bug: 1,
  usage: 2,
  refused: 3,
  unreachable: 4,
  timeout: 5,
  damage: 6,
} as const;

export type ExitKind = keyof typeof EXIT;

export interface CodeEntry {
  readonly exit: ExitKind;
  /** What it means, in one or two sentences. */
  readonly meaning: string;
  /** What to do, as steps or commands. */
  readonly remedy: string;
}

export const CODES = {
  BUG: {
    exit: 'bug',
    meaning: 'mars broke one of its own rules. No data was acknowledged on the strength of it.',
    remedy: 'Keep the log of the daemon (journalctl -u mars) and report it.',
  },
  USAGE: {
    exit: 'usage',
    meaning: 'The command line has a word or value that the command does not take.',
    remedy: 'See the help of the command: mars COMMAND --help. Nothing was changed.',
  },
  NAME_INVALID: {
    exit: 'usage',
    meaning: 'The name cannot be used for a resource or node.',
    remedy: 'Use 1 to 63 letters, digits, _ . or -, beginning with a letter or digit; not "all".',
  },
  SIZE_INVALID: {
    exit: 'usage',
    meaning: 'The size is not a multiple of 4 KiB, is too small, or is above the limit of 15 TiB.',
    remedy: 'Give a size such as 10G: at least 1M, at most 15T, a multiple of 4096 bytes.',
  },
  KEY_UNKNOWN: {
    exit: 'usage',
    meaning: 'The setting does not exist, or does not take this value.',
    remedy:
      'The message names what it takes. mars resource show NAME lists the settings of a resource, mars peer list those of a member.',
  },
  NOT_ROOT: {
    exit: 'refused',
    meaning: 'Mounting, loop devices and the node home need root (or CAP_SYS_ADMIN).',
    remedy: 'Run the command as root, for example with sudo.',
  },
  NOT_INITIALISED: {
    exit: 'refused',
    meaning: 'There is no node at this home.',
    remedy: 'Run mars init, or point --home or MARS_HOME at the home of an existing node.',
  },
  ALREADY_INITIALISED: {
    exit: 'refused',
    meaning: 'There is a node at this home already.',
    remedy: 'Use it as it is, or choose another home with --home.',
  },
  HOME_NOT_EMPTY: {
    exit: 'refused',
    meaning: 'The directory is no home of a node, but holds something already.',
    remedy: 'Choose a new or empty directory with --home. Nothing was changed.',
  },
  HOME_NEWER: {
    exit: 'refused',
    meaning: 'The home was written by a newer version of mars, which this one would misread.',
    remedy: 'Install the newer version again. Nothing was changed.',
  },
  STATE_UNREADABLE: {
    exit: 'damage',
    meaning: 'A state file of the home is not valid: half written, edited wrongly, or damaged.',
    remedy: 'The message names the file and the fault. Restore or correct it; it was not touched.',
  },
  DAEMON_UNREACHABLE: {
    exit: 'unreachable',
    meaning: 'No daemon answers at this home. Disks that run go on without it.',
    remedy: 'Start it: mars daemon run, or systemctl start mars.',
  },
  DAEMON_RUNNING: {
    exit: 'refused',
    meaning: 'A daemon runs at this home already.',
    remedy: 'Use it, or stop it with mars daemon stop.',
  },
  DISK_UNREACHABLE: {
    exit: 'unreachable',
    meaning: 'The disk process of the resource does not answer.',
    remedy:
      'mars daemon status shows its holder and restarts; the reason is in run/disks/NAME.log.',
  },
  DISK_FAILING: {
    exit: 'damage',
    meaning: 'The disk process died again and again; it is started again with growing pauses.',
    remedy: 'Read run/disks/NAME.log below the home for the cause; mars status shows the restarts.',
  },
  RENEW_REFUSED: {
    exit: 'refused',
    meaning:
      'A disk process could not be ended without leaving a request unanswered, or what it depends ' +
      'on would end with it. It goes on as it was, with its old version.',
    remedy:
      'The message says what it waits for: see mars status, and try mars daemon upgrade again. ' +
      'With the driver fuse-native: unmount, mars secondary NAME, mars primary NAME.',
  },
  UNITS_OTHER_HOME: {
    exit: 'refused',
    meaning:
      'The systemd units of this machine are those of a node with another home. One node has them.',
    remedy:
      'Run the daemon of this node by mars daemon run --home HOME, from a unit of your own. Where the ' +
      'other node is gone: remove the unit that the message names, then try again.',
  },
  UPGRADE_FAILED: {
    exit: 'damage',
    meaning: 'The new version does not start on this machine, or did not come up. Disks go on.',
    remedy:
      'The message has its words. Install the old version again, or correct what it names, and ' +
      'try mars daemon upgrade again; mars daemon run where no daemon runs.',
  },
  TIMEOUT: {
    exit: 'timeout',
    meaning: 'What was waited for did not happen in time; it may still happen.',
    remedy: 'mars status shows what is waited for and since when. Try again with --timeout.',
  },
  RESOURCE_UNKNOWN: {
    exit: 'refused',
    meaning: 'There is no resource of this name on this node.',
    remedy: 'mars status shows those of this node and of its cluster.',
  },
  RESOURCE_EXISTS: {
    exit: 'refused',
    meaning: 'There is a resource of this name already.',
    remedy:
      'mars status NAME shows it. Use it as it is, or choose another name; what mars resource delete NAME would remove, its --dry-run says.',
  },
  RESOURCE_BUSY: {
    exit: 'refused',
    meaning: 'The device or image of the resource is open or mounted.',
    remedy: 'Unmount the file system or stop the program that the message names, then try again.',
  },
  RESOURCE_DETACHED: {
    exit: 'refused',
    meaning: 'The resource is detached: its image and log are not touched.',
    remedy: 'mars attach NAME, then try again.',
  },
  RESOURCE_PRIMARY: {
    exit: 'refused',
    meaning: 'This cannot be done while the resource is primary here.',
    remedy: 'mars secondary NAME, then try again.',
  },
  RESOURCE_NOT_PRIMARY: {
    exit: 'refused',
    meaning: 'This can only be done where the resource is primary.',
    remedy: 'mars primary NAME, then try again.',
  },
  RESOURCE_LOCKED: {
    exit: 'refused',
    meaning: 'Another process holds the lock of the resource.',
    remedy: 'The message names its pid; it ends by itself or with mars daemon stop --disks.',
  },
  CONFIRM_NEEDED: {
    exit: 'refused',
    meaning: 'The command destroys data and wants to be told so.',
    remedy:
      'Look at what would be lost with --dry-run, where the command takes it, then add --yes.',
  },
  IMAGE_IN_USE: {
    exit: 'refused',
    meaning: 'The image or block device is used by something else.',
    remedy: 'The message names the user. Unmount or detach it, or choose another image.',
  },
  IMAGE_TOO_SMALL: {
    exit: 'refused',
    meaning: 'The image or block device is smaller than the size of the resource.',
    remedy: 'Give a smaller --size or a larger device.',
  },
  IMAGE_PATH_INVALID: {
    exit: 'refused',
    meaning: 'The path cannot be the image of a resource, or a folder for exported logfiles.',
    remedy:
      'Use a regular file or a block device by a stable name, or a folder, in a directory that exists, outside ' +
      'the mounts of mars.',
  },
  IMAGE_NOT_EMPTY: {
    exit: 'refused',
    meaning: 'The image file or device exists and holds data already.',
    remedy: 'Add --force to take its content as the content of the resource, or choose another.',
  },
  IMAGE_CHANGED: {
    exit: 'damage',
    meaning: 'The image is not the one that was replayed to: swapped, restored, or another disk.',
    remedy: 'Bring the right image back. Nothing was written to this one.',
  },
  IMAGE_IO: {
    exit: 'damage',
    meaning: 'The image cannot be written or read (state DefectiveImage). The log keeps the data.',
    remedy: 'Mend the device or file system below the image; the batch is then written again.',
  },
  LOG_IO: {
    exit: 'damage',
    meaning: 'The log cannot be written or read (state DefectiveLog).',
    remedy: 'Mend the device or file system below the log, then start the disk process again.',
  },
  LOG_CORRUPT: {
    exit: 'damage',
    meaning: 'A record below the durable position is missing or damaged.',
    remedy:
      'mars log verify NAME shows where. A replica that has the same log and answers gives the good copy at ' +
      'the next start of the disk: mars status NAME. Where the image is a replica, mars invalidate NAME --yes copies it ' +
      'again; where it is the primary, mars primary NAME --force --dry-run on a replica says what that costs. ' +
      'Without any replica: mars log cut NAME --dry-run says what would be lost if the log ended where it is good.',
  },
  LOG_CUT: {
    exit: 'damage',
    meaning:
      'A damaged log that nobody had a good copy of was cut where it is good, by wish. What was behind is lost ' +
      'to the disk; the files are kept below cuts/ in the directory of the resource.',
    remedy:
      'mars log cut NAME --undo puts it back as long as the disk was not primary since. Check the file system on it, and the ' +
      'device below the log. When it is not wanted any more: mars log prune NAME --purge --yes.',
  },
  CUT_REFUSED: {
    exit: 'refused',
    meaning:
      'The log is not cut: another node has, or may have, what would be lost; or the place is not where it is ' +
      'damaged; or there is nothing to undo any more.',
    remedy: 'The message says which, and what to type. Nothing was changed.',
  },
  CUT_MIXED: {
    exit: 'refused',
    meaning:
      'Replay broke off in the damaged part of the log: the image holds some blocks from it, and is no state ' +
      'that the disk ever had, wherever the log is cut.',
    remedy:
      'A backup, or the logfile in good order, is better. Where there is neither: the same with --force, then a check of ' +
      'the file system or database on the disk before anything is written to it.',
  },
  LOG_MENDED: {
    exit: 'damage',
    meaning:
      'A logfile was damaged where it was durable, and the good copy was taken from a replica. The damaged ' +
      'file is kept as bad-NAME.damaged in the log directory.',
    remedy:
      'Look at the device below the log, then mars log prune NAME --purge --yes removes the file.',
  },
  LOG_TORN: {
    exit: 'damage',
    meaning:
      'The tail of the log was incomplete after a crash and was cut: normal after power loss.',
    remedy: 'Nothing to do: only writes that no fsync covered were cut.',
  },
  LOG_FORMAT: {
    exit: 'refused',
    meaning: 'The logfile has a version or feature that this version of mars does not know.',
    remedy: 'Use the version that wrote it, or a newer one. Nothing was changed.',
  },
  LOG_SPACE: {
    exit: 'refused',
    meaning: 'The file system of the log has no room: writes wait, reads go on. Nothing is lost.',
    remedy: 'Free space on it. Writing goes on by itself; there is nothing to restart.',
  },
  STORE_FULL: {
    exit: 'refused',
    meaning: 'The file system has no room for what was asked.',
    remedy: 'Free space or choose another place. Nothing was changed.',
  },
  STORE_READ_ONLY: {
    exit: 'refused',
    meaning: 'The file system is read-only.',
    remedy: 'Mount it read-write or choose another place. Nothing was changed.',
  },
  STORE_IO: {
    exit: 'damage',
    meaning: 'The file system answered with an I/O error.',
    remedy: 'The message names the file. Look at the kernel log (dmesg) and at the device below.',
  },
  FUSE_MISSING: {
    exit: 'refused',
    meaning: 'There is no /dev/fuse on this machine.',
    remedy: 'modprobe fuse, or in a container pass the device: --device /dev/fuse.',
  },
  FUSE_TIMEOUT_SET: {
    exit: 'refused',
    meaning: 'The kernel is set to abort slow FUSE requests, which would be an I/O error.',
    remedy: 'sysctl fs.fuse.default_request_timeout=0 fs.fuse.max_request_timeout=0',
  },
  FUSE_PROTOCOL: {
    exit: 'refused',
    meaning: 'The FUSE protocol of the kernel is older than mars can speak.',
    remedy: 'Install a newer kernel: at least 5.4, better 6.9 or later.',
  },
  FUSE_RESENT: {
    exit: 'damage',
    meaning: 'One request made the disk process die three times; it was answered with EIO.',
    remedy: 'Report it with the kept bytes: the message names the file.',
  },
  MOUNT_FAILED: {
    exit: 'damage',
    meaning: 'The FUSE mount could not be made.',
    remedy: 'mars doctor tells what is missing; the message has the words of mount.',
  },
  LOOP_MISSING: {
    exit: 'refused',
    meaning: 'Loop devices are not to be had here.',
    remedy: 'modprobe loop, free one (losetup -l), or use primary --no-device and the image file.',
  },
  FILE_SYSTEM_BROKEN: {
    exit: 'damage',
    meaning:
      'mars log verify --fsck found a state of the disk whose file system cannot be mounted, or that ' +
      'its own check finds faults in. Expected while mkfs runs, where the file system has no ' +
      'journal, and behind the first fault of its own.',
    remedy:
      'The message has the words of the program. Look at earlier positions (--from, --every 1) for ' +
      'the first broken one; compare with another replica; check a copy, never the only image.',
  },
  LOOP_FAILED: {
    exit: 'damage',
    meaning: 'losetup refused to make or to change the loop device.',
    remedy: 'The message has its words; losetup -l shows the devices in use.',
  },
  DRIVER_MISSING: {
    exit: 'refused',
    meaning: 'The FUSE driver that was asked for cannot work here.',
    remedy: 'mars doctor tells why. Use --driver kernel or --driver auto.',
  },
  KERNEL_OLD: {
    exit: 'refused',
    meaning:
      'Kernels before 6.9 cannot resend requests: a crash of a disk process is an I/O error.',
    remedy: 'Install a newer kernel (on Debian 12: the one from backports).',
  },
  CAPABILITY_MISSING: {
    exit: 'refused',
    meaning: 'The kernel did not permit something that makes memory pressure safer.',
    remedy: 'Give the service CAP_SYS_RESOURCE; mars works without, with less margin.',
  },
  TOOL_MISSING: {
    exit: 'refused',
    meaning: 'A program that mars starts is not installed.',
    remedy: 'Install the Debian package that the message names.',
  },
  ...PEER_CODES,
  ...REPLICA_CODES,
  ...ROLE_CODES,
  ...SPACE_CODES,
  ...HISTORY_CODES,
  LOG_GONE: {
    exit: 'refused',
    meaning: 'The log from the wanted position on is not kept any more.',
    remedy: 'The node needs a sync, a new copy of the disk; it begins by itself.',
  },
  LOG_BRANCHED: {
    exit: 'refused',
    meaning: 'The log of the source goes on from an earlier position than the follower has.',
    remedy: 'The follower asks again by itself and is told where to go on, or that it forked.',
  },
  CRASH_CLEANED: {
    exit: 'done',
    meaning: 'Remains of a crash or reboot (mount, loop device, link, socket) were removed.',
    remedy: 'Nothing to do.',
  },
} as const satisfies Readonly<Record<string, CodeEntry>>;

export type ErrorCode = keyof typeof CODES;

/** Narrows a string, for example one that a user typed after `explain`. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(CODES, text);
}
