/** What recovery makes of a golden log, as expected.json holds it. */
import {isDiskError} from '../../src/core/errors.js';
import {formatPosition} from '../../src/core/position.js';
import {describeSegment, type RecordDescription} from '../../src/log/inspect.js';
import {formatChain} from '../../src/log/record.js';
import {DIRECTORY, makeSimDisk} from './log-builder.js';
import {recover} from './recover.js';

export interface FixtureResult {
  readonly outcome: 'end' | 'LOG_CORRUPT' | 'LOG_FORMAT';
  /** Where the log ends, or where it is damaged. */
  readonly position?: string;
  readonly chain?: string;
  readonly fromChain?: string;
  readonly epoch?: string;
  readonly proven?: string;
  readonly diskSizeBytes?: number;
  readonly tornRecords?: number;
  readonly segments?: readonly number[];
  readonly spares?: readonly string[];
}

export interface Fixture {
  readonly name: string;
  readonly what: string;
  readonly from: number;
  readonly to: number;
  readonly expected: FixtureResult;
  /** Records of each file by themselves, where it has a header that is valid and started. */
  readonly records: Readonly<Record<string, readonly RecordDescription[]>>;
}

function load(files: ReadonlyMap<string, Buffer>): ReturnType<typeof makeSimDisk> {
  const disk = makeSimDisk();
  for (const [name, bytes] of files) {
    const fd = disk.open(`${DIRECTORY}/${name}`, 'create');
    disk.write(fd, bytes, 0, bytes.length, 0);
    disk.close(fd);
  }

  return disk;
}

export function recoverFixture(
  files: ReadonlyMap<string, Buffer>,
  from: number,
  to: number,
  durable = 0,
): FixtureResult {
  try {
    const result = recover(load(files), {from, to, durable});
    return {
      outcome: 'end',
      position: formatPosition(result.position),
      chain: formatChain(result.chain),
      fromChain: formatChain(result.fromChain),
      epoch: result.epoch ?? '',
      proven: formatPosition(result.proven),
      diskSizeBytes: result.diskSizeBytes,
      tornRecords: result.tornRecords,
      segments: result.segments.map(({header}) => header.number),
      spares: [...result.spares, ...result.cut].map(({name}) => name),
    };
  } catch (error) {
    if (isDiskError(error, 'LOG_CORRUPT')) {
      return {outcome: 'LOG_CORRUPT', position: String(error.details['position'])};
    }

    if (isDiskError(error, 'LOG_FORMAT')) return {outcome: 'LOG_FORMAT'};
    throw error;
  }
}

export function recordsOf(files: ReadonlyMap<string, Buffer>): Record<string, RecordDescription[]> {
  const disk = load(files);
  const result: Record<string, RecordDescription[]> = {};
  for (const name of files.keys()) {
    if (!/^log-\d+-[a-z]+$/u.test(name)) continue;
    const records: RecordDescription[] = [];
    try {
      describeSegment(disk, `${DIRECTORY}/${name}`, (record) => {
        records.push(record);
        return true;
      });
    } catch (error) {
      if (isDiskError(error)) continue;
      throw error;
    }

    result[name] = records;
  }

  return result;
}
