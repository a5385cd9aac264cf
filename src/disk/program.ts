/**
 * READ FIRST: the disk process of one resource, and the whole data path in one page.
 *
 *   application -> loop -> FUSE request -> front thread (front-thread.ts, front.ts)
 *     write: log file (front-log.ts, log/writer.ts), index (image/block-index.ts), reply
 *     read:  index -> log file or image (read.ts)
 *     flush: shared memory (shared.ts) -> commit thread (committer.ts): fdatasync, reply
 *   replay thread (image/replay.ts): log -> image, sorted; publishes how far
 *   main thread (this file): keeps segments ready (keeper.ts), serves the socket (server.ts),
 *     rings the bell, watches the holder
 *
 * Start and restart are activation.ts: nothing is answered before it is done.
 *
 * In mode `follow` there is no front: the main thread receives the log of another node in its place
 * (follower.ts, follow-stream.ts, follow-log.ts), commit and replay work on it as on their own.
 *
 *   main.js HOME NAME MOUNT DRIVER MODE        started by holder.sh, with descriptors 3, 8, 9
 *   main.js --check                            loads the program, prints its version, ends
 *
 * Exit: 0 in order, 70 could not start, 75 the next generation is to run (renewal.ts); anything else is a death that the holder answers.
 */
import fs from 'node:fs';
import {fileURLToPath} from 'node:url';
import {inspect} from 'node:util';
import {assert} from '../core/assert.js';
import {threadsClock} from '../core/clock.js';
import {createFilesFromEnvironment} from '../core/fault-files.js';
import {helperFromEnvironment} from '../core/fallocate.js';
import {FUSE_FD, FUSE_SECOND_FD} from '../fuse/mount.js';
import type {ThreadInput} from './messages.js';
import {SHARED_BYTES_ALL} from './shared.js';
import {programVersion} from './program-version.js';
import {startThread} from './start-thread.js';
import {HELPER} from './thread.js';

if (process.argv[2] === '--check') {
  // Whether this program can be run here at all, before a disk depends on it.
  await Promise.all([import('./process.js'), import('./front.js'), import('../image/replay.js')]);
  process.stdout.write(`${programVersion()}\n`);
  process.exit(0);
}

const [home, name, mount, driver, mode] = process.argv.slice(2);
assert(home !== undefined && name !== undefined && mount !== undefined, 'started by the holder');
assert(driver === 'kernel' || driver === 'fuse-native', 'the holder chose a driver');
assert(mode === 'serve' || mode === 'replay' || mode === 'follow', 'serve, replay or follow');

// A storage daemon ends when its mount is gone, not when somebody ends the session around it.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);

// A bug in any thread ends the process: the next one recovers from the log. Not by exit, which joins
// the threads: the front may be in a read(2) that only the next request ends, and whoever waits for
// an answer of the dead thread sends none.
process.on('uncaughtException', (error) => {
  fs.writeSync(2, `${inspect(error)}\n`);
  process.kill(process.pid, 'SIGKILL');
});

/** Where an installation was removed that ran when the holder was started: the one beside this file. */
function holderScript(): string | undefined {
  const known = process.env['MARS_HOLDER_SCRIPT'];
  if (known === undefined || fs.existsSync(known)) return known;
  return fileURLToPath(new URL('holder.sh', import.meta.url));
}

const generation = Number(process.env['MARS_GENERATION'] ?? '1');
const acceptImage = process.env['MARS_ACCEPT_IMAGE'] === '1';
const input: ThreadInput = {
  memory: new SharedArrayBuffer(SHARED_BYTES_ALL),
  home,
  name,
  fuseFd: FUSE_FD,
  ...(process.env['MARS_FUSE_SECOND'] === undefined ? {} : {fuseSecondFd: FUSE_SECOND_FD}),
  resend: generation > 1,
  serve: mode === 'serve',
  follow: mode === 'follow',
  acceptImage,
};
// Whoever waits for the disk waits for the front: it loads its part while this thread loads the rest.
const hasFront = mode !== 'follow' && (driver === 'kernel' || mode === 'replay');
const front = hasFront ? startThread('front', input) : undefined;
const {DiskProcess} = await import('./process.js');
const disk = new DiskProcess({
  home,
  name,
  version: programVersion(),
  mount,
  driver,
  mode,
  generation,
  holderPid: Number(process.env['MARS_HOLDER_PID'] ?? process.ppid),
  holderScript: holderScript(),
  acceptImage,
  files: createFilesFromEnvironment([], helperFromEnvironment(HELPER.front)),
  clock: threadsClock,
  input,
  front,
});
disk.start();
