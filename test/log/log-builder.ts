/** Logs for tests, made with the real writer on any `Files`; small segments, fixed ids and times. */
import {join} from 'node:path';
import {BLOCK_BYTES} from '../../src/core/limits.js';
import type {Clock} from '../../src/core/clock.js';
import type {Files} from '../../src/core/files.js';
import {RECORD, RECORD_HEADER_BYTES, type Chain} from '../../src/log/record.js';
import {makeReady, type SegmentPlan} from '../../src/log/segment-files.js';
import {SEGMENT_HEADER_BYTES, type SegmentHeader} from '../../src/log/segment.js';
import {LEAD_BYTES_MAX, LogWriter, TRAIL_BYTES_MAX} from '../../src/log/writer.js';
import {createRandom} from '../sim/random.js';
import {SimDisk} from '../sim/sim-disk.js';

const PAYLOAD_OFFSET = LEAD_BYTES_MAX + RECORD_HEADER_BYTES;

export const RESOURCE_ID = '11'.repeat(16);
export const ORIGIN_ID = '22'.repeat(16);
export const DIRECTORY = '/log';
export const DISK_BYTES = 2 ** 20;
export const START_MS = Date.UTC(2026, 10, 22);

/** Epoch number `count` of a test. */
export function epochOf(count: number): string {
  return count.toString(16).padStart(2, '0').repeat(16);
}

export function makeSimDisk(seed = 1): SimDisk {
  const files = new SimDisk({random: createRandom(seed)});
  files.makeDirectory(DIRECTORY);
  return files;
}

export function planFor(fileBytes: number, directory = DIRECTORY): SegmentPlan {
  return {
    directory,
    resourceId: RESOURCE_ID,
    originId: ORIGIN_ID,
    originName: 'alpha',
    fileBytes,
  };
}

/** `count` blocks that no other stamp has. */
export function blocksOf(stamp: number, count = 1): Buffer {
  const bytes = Buffer.alloc(count * BLOCK_BYTES);
  for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE((stamp * 65_537 + at) >>> 0, at);
  return bytes;
}

/** One record as the builder wrote it. */
export interface BuiltRecord {
  readonly position: number;
  readonly end: number;
  readonly type: number;
  readonly file: string;
  /** Offset of the header in the file. */
  readonly offset: number;
  /** Chain value behind it. */
  readonly chain: Readonly<Chain>;
}

export interface BuilderOptions {
  readonly files: Files;
  readonly plan?: SegmentPlan;
  readonly alignmentBytes?: number;
  readonly position?: number;
  readonly chain?: Readonly<Chain>;
}

/** Writes a log record by record; the test says what was durable and when a segment begins. */
export class LogBuilder {
  readonly records: BuiltRecord[] = [];
  readonly writer: LogWriter;
  readonly plan: SegmentPlan;
  durable: number;
  epoch = epochOf(1);
  #epochStart: number;
  readonly #files: Files;
  readonly #alignmentBytes: number;
  #fd = -1;
  #file = '';
  #timeMs = START_MS;
  #diskBytes = DISK_BYTES;

  constructor(options: BuilderOptions) {
    this.#files = options.files;
    this.plan = options.plan ?? planFor(SEGMENT_HEADER_BYTES + 64 * 1024);
    this.#alignmentBytes = options.alignmentBytes ?? 8;
    const position = options.position ?? 0;
    this.durable = position;
    this.#epochStart = position;
    const clock: Clock = {wallMs: () => this.#timeMs++, monotonicMs: () => 0};
    const chain = options.chain ?? {low: 0, high: 0};
    this.writer = new LogWriter(this.#files, clock, {position, chain, timeMs: 0});
  }

  /** Begins epoch `count` at the end of the log, in segment `number`. */
  beginEpoch(count: number, number: number): void {
    this.epoch = epochOf(count);
    this.#epochStart = this.writer.position;
    this.durable = this.writer.position;
    this.beginSegment(number);
  }

  /** Begins segment `number`, out of `spare` where one is given. */
  beginSegment(number: number, spare?: string): SegmentHeader {
    const {plan, writer} = this;
    if (this.#fd >= 0) this.#files.close(this.#fd);
    const path = makeReady(this.#files, plan, spare ?? this.#makeSpare(number), number);
    this.#file = path;
    this.#fd = this.#files.open(path, 'write');
    const header: SegmentHeader = {
      started: true,
      resourceId: plan.resourceId,
      originId: plan.originId,
      epoch: this.epoch,
      originName: plan.originName,
      number,
      start: writer.position,
      chain: {...writer.chain},
      durable: this.durable,
      epochStart: this.#epochStart,
      createdMs: START_MS,
      diskSizeBytes: this.#diskBytes,
      alignmentBytes: this.#alignmentBytes,
      capacityBytes: plan.fileBytes - SEGMENT_HEADER_BYTES,
    };
    writer.beginSegment(this.#fd, header);
    return header;
  }

  #makeSpare(number: number): string {
    const spare = join(this.plan.directory, `spare-new-${number}`);
    const fd = this.#files.open(spare, 'create');
    this.#files.truncate(fd, this.plan.fileBytes);
    this.#files.close(fd);
    return spare;
  }

  write(block: number, stamp: number, count = 1): BuiltRecord {
    const payload = blocksOf(stamp, count);
    const bytes = Buffer.concat([
      Buffer.alloc(PAYLOAD_OFFSET),
      payload,
      Buffer.alloc(TRAIL_BYTES_MAX),
    ]);
    return this.#note(RECORD.write, () => {
      const diskOffset = block * BLOCK_BYTES;
      const {writer, durable} = this;
      writer.appendWrite(bytes, PAYLOAD_OFFSET, payload.length, diskOffset, 0, 0, durable);
    });
  }

  /** A WRITE of a few bytes, a multiple of 8: so short that every byte of it can be tried. */
  small(payloadBytes: number, stamp: number): BuiltRecord {
    const bytes = Buffer.alloc(PAYLOAD_OFFSET + payloadBytes + TRAIL_BYTES_MAX, stamp);
    return this.#note(RECORD.write, () => {
      this.writer.appendWrite(bytes, PAYLOAD_OFFSET, payloadBytes, 0, 0, 0, this.durable);
    });
  }

  /** A record without payload: DISCARD and ZERO of blocks, RESIZE to `block` blocks, SEAL ... */
  plain(type: number, block = 0, count = 0, flags = 0): BuiltRecord {
    const body = {
      type,
      flags,
      diskOffset: block * BLOCK_BYTES,
      logicalLength: count * BLOCK_BYTES,
    };
    if (type === RECORD.resize) this.#diskBytes = body.diskOffset;
    return this.#note(type, () => {
      this.writer.appendPlain(body, this.durable);
    });
  }

  /** From here on the log tells that everything before is durable. */
  flush(): void {
    this.#files.syncData(this.#fd);
    this.durable = this.writer.position;
  }

  close(): void {
    this.#files.close(this.#fd);
  }

  #note(type: number, append: () => void): BuiltRecord {
    const {writer} = this;
    const position = writer.position;
    const offset = SEGMENT_HEADER_BYTES + position - (writer.header?.start ?? 0);
    append();
    const chain = {...writer.chain};
    const record = {position, end: writer.position, type, file: this.#file, offset, chain};
    this.records.push(record);
    return record;
  }
}

/** Overwrites bytes of a file, as damage does. */
export function overwrite(files: Files, path: string, offset: number, bytes: Buffer): void {
  const fd = files.open(path, 'write');
  files.write(fd, bytes, 0, bytes.length, offset);
  files.close(fd);
}

export function readFile(files: Files, path: string): Buffer {
  const fd = files.open(path, 'read');
  const bytes = Buffer.alloc(files.sizeOf(fd));
  files.read(fd, bytes, 0, bytes.length, 0);
  files.close(fd);
  return bytes;
}

/** The bytes of records, joined, as they are in the files. */
export function bytesOf(files: Files, records: readonly BuiltRecord[]): Buffer {
  const contents = new Map<string, Buffer>();
  const parts = records.map(({file, offset, position, end}) => {
    const content = contents.get(file) ?? readFile(files, file);
    contents.set(file, content);
    return content.subarray(offset, offset + end - position);
  });
  return Buffer.concat(parts);
}

export function flipBit(files: Files, path: string, bit: number): void {
  const bytes = readFile(files, path).subarray(bit >> 3, (bit >> 3) + 1);
  overwrite(files, path, bit >> 3, Buffer.of((bytes[0] ?? 0) ^ (1 << (bit & 7))));
}

/** Everything in a directory, to see that nothing has changed. */
export function snapshot(files: Files, directory = DIRECTORY): Record<string, string> {
  const names = files.list(directory);
  return Object.fromEntries(
    names.map((name) => [name, readFile(files, join(directory, name)).toString('base64')]),
  );
}
