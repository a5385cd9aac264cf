import fs from 'node:fs';
import {resolve} from 'node:path';
import {Args, Flags} from '@oclif/core';
import {EXIT} from '../../../core/codes.js';
import {DiskError, errnoOf, storeError} from '../../../core/errors.js';
import {createNodeFiles} from '../../../core/files.js';
import {homePaths} from '../../../core/home.js';
import {checkName} from '../../../core/names.js';
import {parsePosition} from '../../../core/position.js';
import {GIB, parseSize} from '../../../core/units.js';
import {logDirectoryOf} from '../../../log/inspect.js';
import {MarsCommand} from '../../base-command.js';
import {refinePathError} from '../../failure.js';
import {checkFileSystem, type FsckReport, type FsckRequest} from '../../fsck.js';
import {
  countReads,
  logBytes,
  placeOf,
  reportLog,
  type LogPlace,
  type LogReport,
} from '../../log-report.js';
import {startProgress} from '../../progress.js';
import {renderFsck} from '../../render-fsck.js';
import {renderLogReport} from '../../render-log.js';

interface VerifyDocument {
  readonly schema: 1;
  readonly ok: boolean;
  readonly logs: readonly (LogReport & {readonly fsck?: FsckReport | null})[];
}

const SCRATCH_DEFAULT = '/var/tmp';
const SCRATCH_BYTES_DEFAULT = 8 * GIB;

const positionFlag = Flags.custom<number>({
  helpValue: 'POSITION',
  parse: (input) => {
    const position = parsePosition(input);
    if (position !== undefined) return Promise.resolve(position);
    throw new DiskError('USAGE', `expected a position, up to 16 hex digits, got '${input}'`);
  },
});

export default class LogVerify extends MarsCommand {
  static override args = {
    name: Args.string({
      description: 'resource, or path of a logfile or log directory; left out: all resources',
    }),
  };
  static override description =
    'Every record is checked, and that the files join. Needs no daemon and changes nothing; the ' +
    'disk may run. The exit status is 6 where the log is damaged. A torn tail after a crash is ' +
    'no damage. --fsck also checks the file system (ext3, ext4, xfs) of the disk as it was at the ' +
    'flushes of the log, each as after a power loss there: mounted, so that its journal is replayed, ' +
    'then looked at by e2fsck -n or xfs_repair -n. That needs root, FUSE, loop devices, and room for ' +
    'the blocks that are in the log; exit status 6 where one is broken.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01',
    '<%= config.bin %> <%= command.id %> web01 --fsck --every 1',
    '<%= config.bin %> <%= command.id %> /var/lib/mars/resources/web01/log',
  ];
  static override flags = {
    fsck: Flags.boolean({
      description: 'also check the file system of the disk at positions of the log',
      default: false,
    }),
    at: positionFlag({description: 'only the disk at this position', exclusive: ['from', 'every']}),
    from: positionFlag({description: 'only positions from this one on'}),
    every: Flags.integer({
      description: 'each N-th flush; left out: as many as make 50 positions',
      min: 1,
      helpValue: 'N',
    }),
    base: Flags.option({
      description:
        'what the log goes on from: the image here (of a folder, its newest base), or an empty disk ' +
        'at position 0',
      options: ['image', 'empty'] as const,
      default: 'image' as const,
    })(),
    scratch: Flags.string({
      description: 'directory for temporary files',
      default: SCRATCH_DEFAULT,
      helpValue: 'DIR',
    }),
    'scratch-limit': Flags.string({
      description: 'what these may take, such as 2G',
      helpValue: 'SIZE',
    }),
  };
  static override summary = 'check the transaction logfiles';

  async run(): Promise<VerifyDocument> {
    const {args, flags} = await this.parse(LogVerify);
    const unused = (['at', 'from', 'every', 'scratch-limit'] as const).find(
      (flag) => flags[flag] !== undefined,
    );
    if (!flags.fsck && unused !== undefined) {
      throw new DiskError('USAGE', `--${unused} says something of --fsck, which is not given`);
    }

    const limitBytes = parseLimit(flags['scratch-limit']);
    const {at, from, every, base} = flags;
    const wish = {
      ...(at === undefined ? {} : {at}),
      ...(from === undefined ? {} : {from}),
      ...(every === undefined ? {} : {every}),
    };
    const logs: (LogReport & {fsck?: FsckReport | null})[] = [];
    for (const place of findPlaces(flags.home, args.name)) {
      const report = await this.#verify(place);
      this.log(renderLogReport(report));
      if (!flags.fsck) {
        logs.push(report);
        continue;
      }

      const fsck =
        report.faults.length > 0
          ? null
          : await checkFileSystem(
              {place: fsckPlace(flags.home, place), base, wish, limitBytes},
              resolve(flags.scratch),
              `fsck ${place.name ?? place.directory}`,
            );
      this.log(renderFsck(report.name ?? report.directory, fsck));
      logs.push({...report, fsck});
    }

    if (logs.length === 0) this.log('no resources on this node: nothing to verify');
    const ok = logs.every(({faults, fsck}) => faults.length === 0 && !isBroken(fsck));
    const document: VerifyDocument = {schema: 1, ok, logs};
    if (!ok) this.finish(document, EXIT.damage);
    return document;
  }

  async #verify(place: LogPlace): Promise<LogReport> {
    const files = createNodeFiles();
    const progress = await startProgress({
      label: `verify ${place.name ?? place.directory}`,
      totalBytes: logBytes(files, place.directory),
      stream: process.stderr,
    });
    try {
      const counted = countReads(files, (readBytes) => {
        progress.update(readBytes);
      });
      return await reportLog(counted, place);
    } catch (error) {
      throw place.name === null
        ? refinePathError(error, place.directory, 'a log directory')
        : error;
    } finally {
      progress.end();
    }
  }
}

function isBroken(fsck: FsckReport | null | undefined): boolean {
  return fsck?.checks.some(({verdict}) => verdict === 'broken') === true;
}

function fsckPlace(home: string, {name, directory}: LogPlace): FsckRequest['place'] {
  return name === null ? {directory} : {home, name};
}

/** @throws DiskError SIZE_INVALID */
function parseLimit(text: string | undefined): number {
  if (text === undefined) return SCRATCH_BYTES_DEFAULT;
  try {
    return parseSize(text);
  } catch {
    throw new DiskError('SIZE_INVALID', `expected a size such as 2G, got '${text}'`);
  }
}

/** @throws DiskError RESOURCE_UNKNOWN, NOT_INITIALISED, NAME_INVALID, STORE_IO */
function findPlaces(home: string, word: string | undefined): LogPlace[] {
  if (word?.includes('/') === true) return [{name: null, directory: logDirectoryOf(resolve(word))}];
  const names = listResources(home);
  if (word === undefined || word === 'all') return names.map((name) => placeOf(home, name));
  const name = checkName('resource', word);
  if (names.includes(name)) return [placeOf(home, name)];
  throw new DiskError('RESOURCE_UNKNOWN', `there is no resource ${name} at ${home}`, {name});
}

function listResources(home: string): string[] {
  try {
    return fs.readdirSync(homePaths(home).resourcesDirectory).sort();
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw storeError(error, `read ${home}`);
    throw new DiskError('NOT_INITIALISED', `there is no node at ${home}: type mars init`, {home});
  }
}
