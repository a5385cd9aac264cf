/** Logfiles for people, and the document of `log show`. */
import {formatPosition} from '../core/position.js';
import {formatBytes} from '../core/units.js';
import type {RecordDescription, SegmentDescription} from '../log/inspect.js';
import {formatChain} from '../log/record.js';
import type {LogReport} from './log-report.js';
import {formatTime} from './times.js';
import {wrapText} from './wrap-text.js';

export interface SegmentDocument {
  readonly schema: 1;
  readonly file: string;
  readonly number: number;
  readonly resource: string;
  readonly origin: {readonly name: string; readonly id: string};
  readonly epoch: string;
  readonly epochStart: string;
  readonly start: string;
  readonly chain: string;
  readonly durable: string;
  readonly createdAt: string;
  readonly diskSizeBytes: number;
  readonly alignmentBytes: number;
  readonly capacityBytes: number;
  /** Number, length and SHA-256 of the file before; null where it is not bound yet. */
  readonly previous: {
    readonly number: number;
    readonly bytes: number;
    readonly sha256: string;
  } | null;
  readonly recordCount: number;
  readonly recordsByType: Readonly<Record<string, number>>;
  readonly payloadBytes: number;
  readonly end: string;
  readonly endChain: string;
  /** Records behind the end that do not join. */
  readonly tornRecords: number;
  /** Only where asked for. */
  readonly records?: readonly RecordDescription[];
}

/** The document of `log show`: positions and chains as hex. */
export function segmentDocument(
  segment: SegmentDescription,
  records?: readonly RecordDescription[],
): SegmentDocument {
  const {header, binding} = segment;
  return {
    schema: 1,
    file: segment.file,
    number: header.number,
    resource: header.resourceId,
    origin: {name: header.originName, id: header.originId},
    epoch: header.epoch,
    epochStart: formatPosition(header.epochStart),
    start: formatPosition(header.start),
    chain: formatChain(header.chain),
    durable: formatPosition(header.durable),
    createdAt: new Date(header.createdMs).toISOString(),
    diskSizeBytes: header.diskSizeBytes,
    alignmentBytes: header.alignmentBytes,
    capacityBytes: header.capacityBytes,
    previous: binding ?? null,
    recordCount: segment.records,
    recordsByType: segment.recordsByType,
    payloadBytes: segment.payloadBytes,
    end: segment.end,
    endChain: segment.endChain,
    tornRecords: segment.remains,
    ...(records === undefined ? {} : {records}),
  };
}

/** Header and counts of one logfile, a line for each fact. */
export function renderSegment(segment: SegmentDescription): string {
  const one = segmentDocument(segment);
  const types = Object.entries(one.recordsByType).map(([type, count]) => `${type} ${count}`);
  const {previous} = one;
  const fields: [string, string][] = [
    ['number', `${one.number}, made ${formatTime(one.createdAt)} by ${one.origin.name}`],
    ['resource', one.resource],
    ['epoch', `${one.epoch}, from ${one.epochStart}`],
    ['start', `${one.start}, chain ${one.chain}`],
    ['end', `${one.end}, chain ${one.endChain}`],
    ['disk', `${formatBytes(one.diskSizeBytes)}, records padded to ${one.alignmentBytes}`],
    ['records', `${one.recordCount} (${types.join(', ') || 'none'})`],
    ['payload', `${formatBytes(one.payloadBytes)}; room for ${formatBytes(one.capacityBytes)}`],
    ['file before', previous === null ? 'not bound' : `${previous.number}, ${previous.sha256}`],
    ['behind the end', `${one.tornRecords} records that do not join`],
  ];
  return [one.file, ...fields.map(([name, value]) => `  ${name.padEnd(15)} ${value}`)].join('\n');
}

/** One record on one line. */
export function renderRecord(record: RecordDescription): string {
  const type = record.type.padEnd(8);
  const length = formatBytes(record.lengthBytes);
  return `${record.position} ${type} at ${record.diskOffset}, ${length}, ${record.time}`;
}

/** What was read, and each fault with its file and position. */
export function renderLogReport(report: LogReport): string {
  const name = report.name ?? report.directory;
  const files = `${report.files.length} file${report.files.length === 1 ? '' : 's'}`;
  const range = `${report.firstPosition ?? 'none'} to ${report.end ?? 'none'}`;
  const read = `${report.records} records in ${files}, ${range}`;
  if (report.faults.length > 0) {
    const lines = [`${name}: the log is DAMAGED; ${read}`];
    for (const {file, position, fault} of report.faults) {
      lines.push(...wrapText(`  ${file} at ${position}: ${fault}`, {hanging: '    '}));
    }

    lines.push('  more: mars explain LOG_CORRUPT');
    return lines.join('\n');
  }

  const torn =
    report.tornRecords === 0
      ? ''
      : `\n  ${report.tornRecords} torn records behind the end, none of them durable: as after a crash`;
  return `${name}: the log is sound: ${read}${torn}`;
}
