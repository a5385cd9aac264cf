/**
 * The program that serves one mounted moment: one thread that blocks in read(2) on /dev/fuse, without a socket
 * and without a word to anybody. What it serves is in files that do not change (moment-image.ts), so
 * that a kill costs nothing: the next life of it reads them again, and asks the kernel for what was not answered.
 *
 *   main.js HOME NAME ID        started by moment.sh, with descriptor 3
 *
 * Exit: 0 its mount is gone, 70 it could not start; anything else is a death that moment.sh answers.
 */
import {assert} from '../../core/assert.js';
import {DiskError, storeError} from '../../core/errors.js';
import {createFilesFromEnvironment} from '../../core/fault-files.js';
import {historyPath, positionOf, readHistoryMounts} from '../../core/history-mounts.js';
import {resourcePaths} from '../../core/home.js';
import {runKernelSession} from '../../fuse/kernel-session.js';
import {FUSE_FD} from '../../fuse/mount.js';
import {readDiskConfig} from '../config.js';
import {MomentImage} from './moment-image.js';
import {openMomentLog} from './moment-log.js';
import {Overlay} from './overlay.js';

const EXIT_FATAL = 70;

// A storage daemon ends when its mount is gone, not when somebody ends the session around it.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);

const [home, name, id] = process.argv.slice(2);
assert(home !== undefined && name !== undefined && id !== undefined, 'started by moment.sh');
const generation = Number(process.env['MARS_GENERATION'] ?? '1');

try {
  const image = openMoment(home, name, id);
  runKernelSession({
    fd: FUSE_FD,
    handler: image,
    initFile: historyPath(resourcePaths(home, name).historyDirectory, id, 'fuse'),
    resend: generation > 1,
    onInit: () => undefined,
    report: (code, severity, text) => {
      process.stdout.write(`${severity} ${code}: ${text}\n`);
    },
  });
} catch (error) {
  const known = storeError(error, 'serve the moment');
  if (!(known instanceof DiskError)) throw error;
  const {code, message, details} = known;
  process.stdout.write(`${JSON.stringify({fatal: {code, message, details}})}\n`);
  process.exit(EXIT_FATAL);
}

/** @throws DiskError HISTORY_GONE, and what reading files throws */
function openMoment(at: string, resource: string, momentId: string): MomentImage {
  const files = createFilesFromEnvironment([]);
  const paths = resourcePaths(at, resource);
  const config = readDiskConfig(at, resource);
  const directory = paths.historyDirectory;
  const found = readHistoryMounts(files, directory).find(({mount}) => mount.id === momentId);
  if (found === undefined) throw new DiskError('HISTORY_GONE', `${momentId} is not mounted`);
  const {mount} = found;
  // Opened by path once in each life: a life after another image has taken its place finds itself lost.
  const imageFd = files.open(config.resource.imagePath, 'read');
  const place = {files, logDirectory: paths.logDirectory, resourceId: config.resource.id};
  const log = openMomentLog(place, positionOf(mount.base), positionOf(mount.position));
  if (log.chain !== mount.chain) {
    throw new DiskError('HISTORY_GONE', 'the log has another history at that position now');
  }

  const overlay = mount.writable
    ? new Overlay({
        files,
        dataFile: historyPath(directory, momentId, 'overlay'),
        mapFile: historyPath(directory, momentId, 'map'),
        sizeBytes: mount.sizeBytes,
        bytesMax: mount.overlayBytesMax,
      })
    : undefined;
  const mountFile = historyPath(directory, momentId, 'json');
  return new MomentImage({files, mount, mountFile, imageFd, log, overlay});
}
