/**
 * The served tree: `disk.img` and `status.json` below the root. Node ids are constants and file
 * handles name their node, so that a process which takes over a running mount knows them all;
 * nothing is counted, since FORGETs and OPENs of a dead process are never sent again.
 */
import type {Attributes} from './encode.js';
import type {DiskHandler} from './handler.js';

export const NODE = {ROOT: 1, DISK: 2, STATUS: 3} as const;

export const DISK_NAME = 'disk.img';
export const STATUS_NAME = 'status.json';
/** Looking up a name that begins so wakes the fuse thread; it never exists. */
export const BELL_PREFIX = '.bell';

/** Directory entries in order; `fileType` as in the upper bits of the mode. */
export const ENTRIES: readonly {
  readonly name: string;
  readonly node: number;
  readonly fileType: number;
}[] = [
  {name: '.', node: NODE.ROOT, fileType: 4},
  {name: '..', node: NODE.ROOT, fileType: 4},
  {name: DISK_NAME, node: NODE.DISK, fileType: 8},
  {name: STATUS_NAME, node: NODE.STATUS, fileType: 8},
];

/** @returns the node of a name in the root, 0 for a name that does not exist */
export function nodeOfName(name: string): number {
  if (name === DISK_NAME) return NODE.DISK;
  if (name === STATUS_NAME) return NODE.STATUS;
  return 0;
}

/** st_ino: that of disk.img is the handler's, which changes with each activation. */
export function inodeOf(node: number, handler: DiskHandler): number {
  return node === NODE.DISK ? handler.inode() : node;
}

/**
 * Fills `target` with what stat(2) tells.
 *
 * @param timeMs atime, mtime and ctime
 * @returns false for a node that does not exist
 */
export function fillAttributes(
  target: Attributes,
  node: number,
  handler: DiskHandler,
  timeMs: number,
): boolean {
  target.inode = inodeOf(node, handler);
  target.timeMs = timeMs;
  target.linkCount = 1;
  switch (node) {
    case NODE.ROOT:
      target.mode = 0o040700;
      target.linkCount = 2;
      target.sizeBytes = 4096;
      target.blocks = 8;
      return true;
    case NODE.DISK:
      target.mode = 0o100600;
      target.sizeBytes = handler.sizeBytes();
      target.blocks = blocksOf(target.sizeBytes, handler.allocatedBytes());
      return true;
    case NODE.STATUS:
      target.mode = 0o100400;
      target.sizeBytes = Buffer.byteLength(handler.statusJson());
      target.blocks = Math.ceil(target.sizeBytes / 512);
      return true;
    default:
      return false;
  }
}

/**
 * Never 0 for a disk with a size: tar --sparse takes such a file for one hole without reading it,
 * and what is in the log only is not in the image's allocation yet.
 */
function blocksOf(sizeBytes: number, allocatedBytes: number): number {
  return Math.ceil((allocatedBytes > 0 ? allocatedBytes : sizeBytes) / 512);
}
