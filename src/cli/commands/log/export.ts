import {existsSync} from 'node:fs';
import {dirname, resolve} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {Args, Flags} from '@oclif/core';
import type {ExportRequest, ExportResult} from '../../../control/api.js';
import {DiskError, isDiskError} from '../../../core/errors.js';
import {createNodeFiles} from '../../../core/files.js';
import {formatPosition, parsePosition} from '../../../core/position.js';
import {writeLogWrites} from '../../../log/dm-log-writes.js';
import {anyResourceId} from '../../../log/inspect.js';
import {listSegments} from '../../../log/walk.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {refinePathError} from '../../failure.js';
import {placeOf} from '../../log-report.js';
import {resourceArgument, timeoutFlag} from '../../options.js';
import {renderExport, renderLogWrites, type LogWritesDocument} from '../../render-files.js';

export default class LogExport extends MarsCommand {
  static override args = {
    name: resourceArgument,
    folder: Args.string({
      description: 'folder to write to, made if missing; with --format a new file',
      required: true,
    }),
  };
  static override description =
    'Replication by files: bring them to another node by any means, and there type mars resource ' +
    'join NAME --from DIR, or mars replay follow NAME DIR. Called again it adds what is new; ' +
    'meanwhile the log is kept for the folder, within log-cap. Files that were brought away may be ' +
    'removed. Nothing is exported that is not durable, and a file has its name only when it is whole. ' +
    'With --format dm-log-writes the log from a position to its end becomes one file for tools such ' +
    'as replay-log of xfstests; that needs no daemon.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> web01 /mnt/usb/web01 --base',
    '<%= config.bin %> <%= command.id %> web01 /srv/outbox/web01 --open --follow',
    '<%= config.bin %> <%= command.id %> web01 /mnt/usb/web01 --forget',
    '<%= config.bin %> <%= command.id %> web01 /var/tmp/web01.writes --format dm-log-writes',
  ];
  static override flags = {
    base: Flags.boolean({
      description: 'also write the image, sparse, for a node that has none',
      default: false,
      exclusive: ['forget'],
    }),
    open: Flags.boolean({
      description: 'also the logfile that is still written to, as far as it is durable',
      default: false,
    }),
    follow: Flags.boolean({
      description: 'go on until interrupted',
      default: false,
      exclusive: ['forget'],
    }),
    interval: Flags.integer({
      description: 'seconds between two exports with --follow',
      default: 10,
      min: 1,
      max: 86_400,
      helpValue: 'S',
    }),
    forget: Flags.boolean({
      description: 'export nothing, and keep no log for the folder any more',
      default: false,
    }),
    format: Flags.option({
      description: 'writes and flushes as the dm-log-writes target of the kernel records them',
      options: ['dm-log-writes'] as const,
      exclusive: ['base', 'open', 'follow', 'forget'],
    })(),
    from: Flags.string({
      description: 'with --format: the position to begin at; left out: the oldest that is there',
      dependsOn: ['format'],
      helpValue: 'POSITION',
    }),
    timeout: timeoutFlag(3600),
  };
  static override summary =
    'write the logfiles of a resource to a folder, for nodes without a network';

  async run(): Promise<ExportResult | LogWritesDocument | undefined> {
    const {args, flags} = await this.parse(LogExport);
    if (flags.format !== undefined) {
      const document = await exportLogWrites(
        flags.home,
        args.name,
        resolve(args.folder),
        flags.from,
      );
      this.log(renderLogWrites(document));
      return document;
    }

    const {base, open, forget, timeout} = flags;
    const daemon = connectDaemon(flags.home);
    const path = resourcePath(args.name, '/log/export');
    const once = (request: ExportRequest): Promise<ExportResult> =>
      daemon.post<ExportResult>(path, request, timeout);
    const folder = resolve(args.folder);
    const first = await once({folder, base, open, forget});
    if (!flags.follow) {
      this.log(renderExport(first));
      return first;
    }

    // One document a line, as it never ends by itself.
    this.#tell(first);
    for (;;) {
      await sleep(flags.interval * 1000);
      try {
        const next = await once({folder, base: false, open, forget: false});
        if (next.files.length > 0) this.#tell(next);
      } catch (error) {
        // A daemon that is replaced, or a disk process that starts again, is back soon.
        if (!isPassing(error)) throw error;
        this.remark(`${args.name}: ${error.message}; tried again`);
      }
    }
  }

  #tell(result: ExportResult): void {
    process.stdout.write(`${this.jsonEnabled() ? JSON.stringify(result) : renderExport(result)}\n`);
  }
}

/** @throws DiskError USAGE, LOG_GONE, STORE_* */
async function exportLogWrites(
  home: string,
  name: string,
  file: string,
  begin: string | undefined,
): Promise<LogWritesDocument> {
  const files = createNodeFiles();
  const {directory, resourceId} = placeOf(home, name);
  const segments = listSegments(files, directory, resourceId ?? anyResourceId(files, directory));
  const from = begin === undefined ? segments[0]?.header.start : parsePosition(begin);
  if (from === undefined) {
    const text =
      begin === undefined
        ? `there is no logfile with records in ${directory}`
        : `expected a position, up to 16 hex digits, got '${begin}'`;
    throw new DiskError('USAGE', text, {directory});
  }

  const parent = dirname(file);
  const written = await writeLogWrites({files, segments}, file, from).catch((error: unknown) => {
    if (!existsSync(parent)) throw refinePathError(error, parent, 'a directory for the file');
    if (!isDiskError(error, 'STORE_IO') || error.details['errno'] !== 'EEXIST') throw error;
    const text = `expected the path of a file that does not exist, got ${file}`;
    throw new DiskError('USAGE', text, {file}, {cause: error});
  });
  const range = {from: formatPosition(written.from), to: formatPosition(written.to)};
  return {schema: 1, name, file, ...written, ...range};
}

function isPassing(error: unknown): error is Error {
  const codes = ['DAEMON_UNREACHABLE', 'DISK_UNREACHABLE', 'TIMEOUT'] as const;
  return codes.some((code) => isDiskError(error, code));
}
