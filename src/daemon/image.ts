/**
 * The image of a new resource: what may be one, who else uses it, and how it is made. Content is
 * only ever read here; a file that was there before is never truncated, and removed by nobody.
 */
import fs from 'node:fs';
import {basename, dirname, normalize} from 'node:path';
import {createNodeFiles} from '../core/files.js';
import {DiskError, errnoOf, storeError} from '../core/errors.js';
import {MIB, formatBytes} from '../core/units.js';
import {findOpeners} from './openers.js';
import {listLoopDevices} from './loop-devices.js';
import {programWords, runProgram} from '../core/run-program.js';
import {invalid, resolveSafely, type ForbiddenPlaces} from './safe-path.js';

export interface ImageWish {
  /** Absolute, as the user gave it. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly force: boolean;
  readonly preallocate: boolean;
  readonly places: ForbiddenPlaces;
  /** Canonical images of the other resources, with their names. */
  readonly others: ReadonlyMap<string, string>;
}

export interface ImagePlan {
  /** What goes into resource.json: canonical for files; the stable link for block devices. */
  readonly path: string;
  readonly kind: 'missing' | 'file' | 'block';
  /** An empty file of the user that is only made bigger. */
  readonly extend: boolean;
}

/** Names that the kernel gives in the order of discovery: another disk after the next boot. */
const UNSTABLE_NAME = /^(sd|vd|xvd|hd|nvme|mmcblk|dm-|md|nbd|sr)/u;
const STABLE_DIRECTORY = /^\/dev\/(disk\/by-[^/]+|mapper|md)\//u;
const SCAN_BYTES = MIB;
const ALLOCATE_TIMEOUT_MS = 300_000;

/**
 * Looks whether a path can become an image. Changes nothing.
 *
 * @throws DiskError IMAGE_PATH_INVALID, IMAGE_IN_USE, IMAGE_TOO_SMALL, IMAGE_NOT_EMPTY, STORE_IO
 */
export function planImage(wish: ImageWish): ImagePlan {
  const path = resolveSafely(wish.path, wish.places);
  const stat = statOrUndefined(path);
  if (stat === undefined) {
    if (path.startsWith('/dev/')) throw invalid(wish.path, 'there is no such block device');
    // A resource whose image is gone still owns the place.
    checkUnused(wish, path);
    return {path, kind: 'missing', extend: false};
  }

  if (!stat.isFile() && !stat.isBlockDevice()) {
    throw invalid(wish.path, 'it is neither a regular file nor a block device');
  }

  if (stat.isBlockDevice()) checkBlockName(wish, path);
  checkUnused(wish, path);
  return stat.isFile() ? planFile(wish, path, stat) : planBlock(wish, path);
}

function statOrUndefined(path: string): fs.Stats | undefined {
  try {
    return fs.lstatSync(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw storeError(error, `look up ${path}`);
  }
}

function checkUnused(wish: ImageWish, path: string): void {
  const other = wish.others.get(path);
  if (other !== undefined) throw inUse(path, `it is the image of resource ${other}`);
  const loop = listLoopDevices().find((device) => device.backingFile === path);
  if (loop !== undefined) throw inUse(path, `${loop.path} is a loop device on it`);
  const opener = findOpeners([path], [process.pid])[0];
  if (opener !== undefined) throw inUse(path, opener.text);
}

function inUse(path: string, user: string): DiskError {
  return new DiskError('IMAGE_IN_USE', `${path} is in use: ${user}`, {path, user});
}

function planFile(wish: ImageWish, path: string, stat: fs.Stats): ImagePlan {
  if (stat.size === 0) return {path, kind: 'file', extend: true};
  checkCapacity(wish, path, stat.size);
  if (!wish.force && stat.blocks > 0) checkEmpty(path, stat.size);
  return {path, kind: 'file', extend: false};
}

function isStableName(path: string): boolean {
  return STABLE_DIRECTORY.test(normalize(path));
}

function checkBlockName(wish: ImageWish, path: string): void {
  if (wish.places.devices.includes(path)) {
    throw invalid(wish.path, `${path} is a device of mars itself`);
  }

  const unstable = UNSTABLE_NAME.test(basename(path)) && dirname(path) === '/dev';
  if (!unstable || isStableName(wish.path)) return;
  const link = stableLinks(path)[0];
  const advice = link === undefined ? '' : `, such as ${link}`;
  throw invalid(wish.path, `the name can be another disk tomorrow: use a stable name${advice}`);
}

function planBlock(wish: ImageWish, path: string): ImagePlan {
  let fd: number;
  try {
    // O_EXCL without O_CREAT: the kernel refuses a device that is mounted, swap or below another.
    fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_EXCL);
  } catch (error) {
    if (errnoOf(error) === 'EBUSY') throw inUse(path, 'the kernel says it is busy (see lsblk)');
    throw storeError(error, `open ${path}`);
  }

  let sizeBytes: number;
  try {
    sizeBytes = createNodeFiles().sizeOf(fd);
  } finally {
    fs.closeSync(fd);
  }

  checkCapacity(wish, path, sizeBytes);
  if (!wish.force) checkEmpty(path, sizeBytes);
  return {path: isStableName(wish.path) ? wish.path : path, kind: 'block', extend: false};
}

/** The links below /dev/disk that lead to a device: for the advice. */
function stableLinks(path: string): string[] {
  const links: string[] = [];
  for (const directory of ['by-id', 'by-partuuid', 'by-path', 'by-uuid']) {
    try {
      for (const name of fs.readdirSync(`/dev/disk/${directory}`)) {
        const link = `/dev/disk/${directory}/${name}`;
        if (fs.realpathSync(link) === path) links.push(link);
      }
    } catch {
      // No udev here: there are no such links.
    }
  }

  return links;
}

function checkCapacity(wish: ImageWish, path: string, capacityBytes: number): void {
  if (capacityBytes >= wish.sizeBytes) return;
  throw new DiskError(
    'IMAGE_TOO_SMALL',
    `${path} has ${formatBytes(capacityBytes)}, the resource wants ${formatBytes(wish.sizeBytes)}`,
    {path, capacityBytes, sizeBytes: wish.sizeBytes},
  );
}

/** File systems, partition tables and volumes leave their marks at the beginning or the end. */
function checkEmpty(path: string, sizeBytes: number): void {
  const fd = fs.openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(SCAN_BYTES);
    for (const start of [0, Math.max(0, sizeBytes - SCAN_BYTES)]) {
      const length = fs.readSync(fd, bytes, 0, SCAN_BYTES, start);
      const found = bytes.subarray(0, length).findIndex((byte) => byte !== 0);
      if (found === -1) continue;
      throw new DiskError(
        'IMAGE_NOT_EMPTY',
        `${path} holds data already (at byte ${start + found}): --force takes its content`,
        {path, offsetBytes: start + found},
      );
    }
  } catch (error) {
    throw storeError(error, `read ${path}`);
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Makes the image as planned: a sparse file, or a preallocated one.
 *
 * @returns what undoes it
 * @throws DiskError STORE_FULL, STORE_READ_ONLY, STORE_IO, SIZE_INVALID; it is then undone
 */
export async function makeImage(plan: ImagePlan, wish: ImageWish): Promise<() => void> {
  if (plan.kind === 'block' || (plan.kind === 'file' && !plan.extend)) return () => undefined;
  const undo = (): void => {
    if (plan.kind === 'missing') fs.rmSync(plan.path, {force: true});
    else fs.truncateSync(plan.path, 0);
  };
  let fd: number;
  try {
    fd = fs.openSync(plan.path, plan.kind === 'missing' ? 'wx' : 'r+', 0o600);
  } catch (error) {
    throw storeError(error, `make the image ${plan.path}`);
  }

  try {
    fs.ftruncateSync(fd, wish.sizeBytes);
    if (wish.preallocate) await preallocate(plan.path, wish.sizeBytes);
    fs.fsyncSync(fd);
    syncDirectory(dirname(plan.path));
  } catch (error) {
    undo();
    if (errnoOf(error) === 'EFBIG') throw tooBig(plan.path, wish.sizeBytes);
    throw storeError(error, `make the image ${plan.path}`);
  } finally {
    fs.closeSync(fd);
  }

  return undo;
}

function tooBig(path: string, sizeBytes: number): DiskError {
  const text = `the file system of ${path} cannot hold a file of ${formatBytes(sizeBytes)}`;
  return new DiskError('SIZE_INVALID', text, {path, sizeBytes});
}

async function preallocate(path: string, sizeBytes: number): Promise<void> {
  const result = await runProgram(
    'fallocate',
    ['-l', String(sizeBytes), path],
    ALLOCATE_TIMEOUT_MS,
  );
  if (result.status === 0) return;
  const words = programWords(result);
  const full = /No space left|quota/iu.test(words);
  throw new DiskError(
    full ? 'STORE_FULL' : 'STORE_IO',
    `cannot preallocate ${formatBytes(sizeBytes)} for ${path}: ${words}`,
    {path, sizeBytes},
  );
}

function syncDirectory(path: string): void {
  const fd = fs.openSync(path, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}
