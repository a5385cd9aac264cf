import {resolve} from 'node:path';
import {Args, Flags} from '@oclif/core';
import {createNodeFiles} from '../../../core/files.js';
import {
  describeSegment,
  type RecordDescription,
  type SegmentDescription,
} from '../../../log/inspect.js';
import {MarsCommand} from '../../base-command.js';
import {refinePathError} from '../../failure.js';
import {
  renderRecord,
  renderSegment,
  segmentDocument,
  type SegmentDocument,
} from '../../render-log.js';

const LIMIT_DEFAULT = 1000;

export default class LogShow extends MarsCommand {
  static override args = {
    file: Args.string({description: 'path of a logfile', required: true}),
  };
  static override description = 'Needs no daemon and changes nothing.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> /var/lib/mars/resources/web01/log/log-000000001-alpha',
    '<%= config.bin %> <%= command.id %> log-000000001-alpha --records --limit 20 --json',
  ];
  static override flags = {
    records: Flags.boolean({char: 'r', description: 'also its records', default: false}),
    limit: Flags.integer({
      description: 'at most so many records, from the first on',
      default: LIMIT_DEFAULT,
      min: 1,
      helpValue: 'N',
    }),
  };
  static override summary = 'show the header and the records of a logfile';

  async run(): Promise<SegmentDocument> {
    const {args, flags} = await this.parse(LogShow);
    const records: RecordDescription[] = [];
    const wanted = flags.records ? flags.limit : 0;
    const segment = describeFile(resolve(args.file), (record) => {
      if (records.length < wanted) records.push(record);
      return records.length < wanted;
    });
    this.log(renderSegment(segment));
    for (const record of records) this.log(renderRecord(record));
    return segmentDocument(segment, flags.records ? records : undefined);
  }
}

/** @throws DiskError USAGE where there is no such file, else as describeSegment */
function describeFile(
  path: string,
  onRecord: (record: RecordDescription) => boolean,
): SegmentDescription {
  try {
    return describeSegment(createNodeFiles(), path, onRecord);
  } catch (error) {
    throw refinePathError(error, path, 'a logfile');
  }
}
