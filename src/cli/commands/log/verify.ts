import fs from 'node:fs';
import {resolve} from 'node:path';
import {Args} from '@oclif/core';
import {EXIT} from '../../../core/codes.js';
import {DiskError, errnoOf, storeError} from '../../../core/errors.js';
import {createNodeFiles} from '../../../core/files.js';
import {homePaths} from '../../../core/home.js';
import {checkName} from '../../../core/names.js';
import {logDirectoryOf} from '../../../log/inspect.js';
import {MarsCommand} from '../../base-command.js';
import {refinePathError} from '../../failure.js';
import {
  countReads,
  logBytes,
  placeOf,
  reportLog,
  type LogPlace,
  type LogReport,
} from '../../log-report.js';
import {startProgress} from '../../progress.js';
import {renderLogReport} from '../../render-log.js';

interface VerifyDocument {
  readonly schema: 1;
  readonly ok: boolean;
  readonly logs: readonly LogReport[];
}

export default class LogVerify extends MarsCommand {
  static override args = {
    name: Args.string({
      description: 'resource, or path of a logfile or log directory; left out: all resources',
    }),
  };
  static override description =
    'Every record is checked, and that the files join. Needs no daemon and changes nothing; the ' +
    'disk may run. The exit status is 6 where the log is damaged. A torn tail after a crash is ' +
    'no damage.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01',
    '<%= config.bin %> <%= command.id %> /var/lib/mars/resources/web01/log',
  ];
  static override summary = 'check the transaction logfiles';

  async run(): Promise<VerifyDocument> {
    const {args, flags} = await this.parse(LogVerify);
    const logs: LogReport[] = [];
    for (const place of findPlaces(flags.home, args.name)) {
      const report = await this.#verify(place);
      this.log(renderLogReport(report));
      logs.push(report);
    }

    if (logs.length === 0) this.log('no resources on this node: nothing to verify');
    const ok = logs.every(({faults}) => faults.length === 0);
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
