/**
 * The fuse-native driver: the same tree and handler through the npm package `fuse-native` (an N-API
 * addon over libfuse 2), on the main thread. It is an optional dependency, loaded when asked for.
 *
 * libfuse answers ENOSYS for an operation that is left out, and one ENOSYS to FSYNC or FLUSH makes
 * every later one a lie, so the operations (native-operations.ts) are complete on purpose. FALLOCATE
 * is not to be had: there the kernel says EOPNOTSUPP, which is true. What else it lacks:
 * NATIVE_LIMITS.
 */
import fs from 'node:fs';
import {createRequire} from 'node:module';
import {DiskError} from '../core/errors.js';
import type {DiskHandler, Responder} from './handler.js';
import {MOUNT_SOURCE, findMount, parseMountInfo} from './mount.js';
import {PendingAnswers, createNativeOperations} from './native-operations.js';

/** What this driver cannot do, for `mars doctor`; each a sentence. */
export const NATIVE_LIMITS: readonly string[] = [
  'A crash of the disk process is an I/O error: requests are not sent again, the mount is gone.',
  'Discard and write-zeroes are refused: the image does not shrink by fstrim.',
  'Direct I/O of a loop device arrives one request at a time, in pieces of 128 KiB.',
  'Inode numbers are cut to 32 bits.',
];

/** Largest WRITE and READ of libfuse 2. */
const NATIVE_REQUEST_BYTES_MAX = 128 * 1024;
const UNMOUNT_POLL_MS = 200;

/** The little that we use of the package, which has no types. */
interface NativeFuse {
  mount(done: (error: Error | null) => void): void;
}
type NativeConstructor = new (
  mountPoint: string,
  operations: object,
  options: Readonly<Record<string, unknown>>,
) => NativeFuse;

export interface NativeProbe {
  readonly works: boolean;
  /** Why not, or what was found. */
  readonly reason: string;
}

/** Whether the driver can be loaded here; loads the addon, mounts nothing. */
export function probeNative(): NativeProbe {
  if (!fs.existsSync('/dev/fuse')) return {works: false, reason: 'there is no /dev/fuse'};
  try {
    loadPackage();
    return {works: true, reason: 'fuse-native and libfuse 2 are there'};
  } catch (error) {
    const words = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    const hint = words.includes('libfuse') ? ' (apt-get install libfuse2)' : '';
    return {works: false, reason: `fuse-native cannot be loaded: ${words}${hint}`};
  }
}

function loadPackage(): NativeConstructor {
  // A package of CommonJS: require says at once, and synchronously, what is missing.
  return createRequire(import.meta.url)('fuse-native') as NativeConstructor;
}

/**
 * Options of the mount. The package knows few of libfuse's, but hands the value of `fsname` on as it
 * is, and libfuse splits it at the commas. Without big_writes every write comes in pages.
 */
export function nativeOptions(): Readonly<Record<string, unknown>> {
  const fsname = [
    MOUNT_SOURCE,
    'big_writes',
    `max_write=${NATIVE_REQUEST_BYTES_MAX}`,
    `max_read=${NATIVE_REQUEST_BYTES_MAX}`,
    'direct_io',
    'use_ino',
    'attr_timeout=0',
    'entry_timeout=0',
    'negative_timeout=0',
  ].join(',');
  // By default the package answers ETIMEDOUT after 15 s: an I/O error where we only wait for space.
  return {fsname, timeout: false, force: false, mkdir: false};
}

export interface NativeSessionOptions {
  /** An empty directory; nothing may be mounted there. */
  readonly mountPoint: string;
  readonly handler: DiskHandler;
  readonly wallMs?: () => number;
}

export interface NativeSession {
  /** For the main thread; other threads answer through `createPortResponder`. */
  readonly responder: Responder;
  /** Resolves when the mount is gone, whoever unmounted it. */
  readonly ended: Promise<'unmounted'>;
}

/**
 * Mounts and serves; the event loop of the main thread must run.
 *
 * @throws DiskError DRIVER_MISSING where the package cannot be loaded, MOUNT_FAILED
 */
export async function startNativeSession(options: NativeSessionOptions): Promise<NativeSession> {
  const probe = probeNative();
  if (!probe.works) throw new DiskError('DRIVER_MISSING', probe.reason);
  const {mountPoint} = options;
  const waiting = new PendingAnswers();
  const operations = createNativeOperations(options.handler, waiting, options.wallMs ?? Date.now);
  const Native = loadPackage();
  const fuse = new Native(mountPoint, operations, nativeOptions());
  try {
    await new Promise<void>((resolve, reject) => {
      fuse.mount((error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    throw new DiskError(
      'MOUNT_FAILED',
      `cannot mount ${mountPoint}: ${words}`,
      {mountPoint},
      {
        cause: error,
      },
    );
  }

  return {responder: waiting, ended: untilUnmounted(mountPoint)};
}

/** libfuse tells nobody that its loop has ended: the list of mounts does, without touching ours. */
async function untilUnmounted(mountPoint: string): Promise<'unmounted'> {
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      const mounts = parseMountInfo(fs.readFileSync('/proc/self/mountinfo', 'utf8'));
      if (findMount(mounts, mountPoint) !== undefined) return;
      clearInterval(timer);
      resolve('unmounted');
    }, UNMOUNT_POLL_MS);
  });
}
