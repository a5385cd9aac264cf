/**
 * The newest copy of each block in a stretch of log [begin, position), for whoever reads an image that
 * this log has not reached, or only in part: laid over the image it gives the disk as of `position`.
 *
 * Only where records lie is kept in memory; a record is read again, and checked again, when it is laid
 * over something. The files are written to and used again by the disk process meanwhile: what is gone is
 * LOG_GONE, never wrong data.
 */
import {setImmediate as pause} from 'node:timers/promises';
import {join} from 'node:path';
import {assert} from '../core/assert.js';
import {DiskError, errnoOf, storeError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {BLOCK_BYTES, PAYLOAD_BYTES_MAX} from '../core/limits.js';
import {formatPosition} from '../core/position.js';
import {MIB} from '../core/units.js';
import {epochWords} from '../log/cursor.js';
import {
  crcOf,
  decodeRecord,
  emptyRecord,
  formatChain,
  RECORD,
  RECORD_HEADER_BYTES,
} from '../log/record.js';
import {decodeSegmentHeader, SEGMENT_HEADER_BYTES, type SegmentHeader} from '../log/segment.js';
import {LogSource, type LogEnd, type LogPlace} from './log-source.js';
import {isSameSegment, READ_BYTES} from './segment-reader.js';

/** Blocks that the log may hold and the image not: some 60 bytes of memory each. */
const BLOCKS_MAX = 2 ** 20;
const ZEROS_MAX = 2 ** 16;
/** Below that nothing is thrown out. */
const PRUNE_BLOCKS_MIN = 2 ** 14;
/** Log that is read before others get their turn. */
const TURN_BYTES = 4 * MIB;
/** How often the disk process is asked where its log ends, before it is told that the log changes. */
const END_TRIES = 100;
const END_PAUSE_MS = 20;

interface Zero {
  readonly start: number;
  readonly end: number;
  readonly position: number;
}

interface OpenedSegment {
  readonly path: string;
  readonly header: SegmentHeader;
}

/** Called for what each record changes: bytes [start, end) of the disk. */
export type OnChange = (start: number, end: number) => void;

/** One for each run of a comparison, at each end of it. */
export class LogTail {
  readonly #place: LogPlace;
  readonly #source: LogSource;
  readonly #onChange: OnChange;
  readonly #record = emptyRecord();
  readonly #header = Buffer.alloc(RECORD_HEADER_BYTES);
  readonly #payload = Buffer.alloc(PAYLOAD_BYTES_MAX);
  /** Block to the position of the record that wrote it last. */
  readonly #blocks = new Map<number, number>();
  #zeros: Zero[] = [];
  #segments: OpenedSegment[] = [];
  #position = 0;
  #chain = '';
  #isOpen = false;
  #pruneAt = PRUNE_BLOCKS_MIN;

  constructor(place: LogPlace, onChange: OnChange) {
    this.#place = place;
    this.#onChange = onChange;
    this.#source = new LogSource(place, Buffer.alloc(READ_BYTES));
  }

  /** Everything of the log below is known. */
  get position(): number {
    return this.#position;
  }

  /** Chain value at `position`, as text. */
  get chain(): string {
    return this.#chain;
  }

  /**
   * Begins at a position.
   *
   * @param endChain chain value where the log ends, if it ends there: it may have no file yet
   * @throws DiskError LOG_GONE, STORE_IO, LOG_FORMAT
   */
  async begin(position: number, endChain: string | undefined): Promise<void> {
    this.#position = position;
    const chain = await this.#source.chainAt(position);
    this.#isOpen = chain !== undefined;
    if (chain !== undefined) this.#chain = formatChain(chain);
    else if (endChain === undefined) throw gone(position);
    else this.#chain = endChain;
  }

  /**
   * Reads on, up to `to`, which the log has reached.
   *
   * @param end asked again where the log changes meanwhile
   * @throws DiskError LOG_GONE, LOG_BRANCHED, LOG_CORRUPT, STORE_IO; VERIFY_BEHIND: too much of it
   */
  async extend(to: number, end: () => Promise<LogEnd>): Promise<void> {
    if (to < this.#position) throw branched(to, this.#position);
    if (to > this.#position && !this.#isOpen) {
      const chain = await this.#source.chainAt(this.#position);
      if (chain === undefined) throw gone(this.#position);
      this.#isOpen = true;
    }

    let turn = this.#position;
    let known = await end();
    for (let tries = 0; this.#position < to;) {
      const {epoch, currentFile} = known;
      const batch = this.#source.read({appended: to, epoch, currentFile: currentFile ?? null});
      if (batch === undefined) {
        tries += 1;
        if (tries > END_TRIES) throw branched(to, this.#position);
        await new Promise((resolve) => setTimeout(resolve, END_PAUSE_MS));
        known = await end();
        continue;
      }

      if (batch.kind === 'segment') this.#enter(batch.bytes);
      else {
        this.#take(batch.bytes);
        this.#position = this.#source.position;
        tries = 0;
      }

      if (this.#position > turn + TURN_BYTES) {
        turn = this.#position;
        await pause();
      }
    }

    if (this.#isOpen) this.#chain = formatChain(this.#source.chain ?? {low: 0, high: 0});
  }

  /** What lies below is in the image: it is forgotten. */
  prune(from: number): void {
    if (this.#blocks.size < this.#pruneAt && this.#zeros.length < ZEROS_MAX / 2) return;
    for (const [block, position] of this.#blocks) if (position < from) this.#blocks.delete(block);
    this.#zeros = this.#zeros.filter(({position}) => position >= from);
    this.#pruneAt = Math.max(PRUNE_BLOCKS_MIN, 2 * this.#blocks.size);
    const first = this.#segments.findLastIndex(({header}) => header.start <= from);
    if (first > 0) this.#segments.splice(0, first);
  }

  /**
   * Lays what was written from `from` on over bytes of the disk.
   *
   * @param offset of `bytes` on the disk; a multiple of a block
   * @throws DiskError LOG_GONE: a file was used again; STORE_IO
   */
  overlay(bytes: Buffer, offset: number, from: number): void {
    assert(offset % BLOCK_BYTES === 0, 'whole blocks are looked up');
    const first = offset / BLOCK_BYTES;
    const end = Math.ceil((offset + bytes.length) / BLOCK_BYTES);
    const zeros = this.#zeros.filter((one) => {
      return one.position >= from && one.start < end && one.end > first;
    });
    const wanted = new Map<number, number[]>();
    for (let block = first; block < end; block += 1) {
      const written = this.#blocks.get(block) ?? -1;
      const zeroed = lastZero(zeros, block);
      if (zeroed > written) {
        const at = (block - first) * BLOCK_BYTES;
        bytes.fill(0, at, Math.min(bytes.length, at + BLOCK_BYTES));
      } else if (written >= from) {
        const blocks = wanted.get(written);
        if (blocks === undefined) wanted.set(written, [block]);
        else blocks.push(block);
      }
    }

    this.#layRecords(wanted, bytes, first);
  }

  close(): void {
    this.#source.close();
  }

  #layRecords(wanted: ReadonlyMap<number, readonly number[]>, bytes: Buffer, first: number): void {
    const {files} = this.#place;
    const opened = new Map<OpenedSegment, number>();
    try {
      for (const [position, blocks] of wanted) {
        const segment = this.#segments.findLast(({header}) => header.start <= position);
        if (segment === undefined) throw gone(position);
        const fd = opened.get(segment) ?? openAgain(files, segment);
        opened.set(segment, fd);
        const payload = this.#readRecord(fd, segment.header, position);
        const begin = this.#record.diskOffset / BLOCK_BYTES;
        for (const block of blocks) {
          const from = (block - begin) * BLOCK_BYTES;
          assert(from >= 0 && from < payload.length, 'the record has the block');
          const at = (block - first) * BLOCK_BYTES;
          payload.copy(bytes, at, from, from + Math.min(BLOCK_BYTES, bytes.length - at));
        }
      }
    } finally {
      for (const fd of opened.values()) files.close(fd);
    }
  }

  /** The record at a position, checked as when it was read first. */
  #readRecord(fd: number, {start, epoch}: SegmentHeader, position: number): Buffer {
    const {files} = this.#place;
    const record = this.#record;
    const at = SEGMENT_HEADER_BYTES + position - start;
    const header = this.#header;
    try {
      const got = files.read(fd, header, 0, header.length, at);
      if (got < header.length || !decodeRecord(header, 0, record)) throw gone(position);
      const [low, high] = epochWords(epoch);
      const isSame = record.epochLow0 === low && record.epochLow1 === high;
      if (record.position !== position || !isSame) throw gone(position);
      const length = record.storedLength;
      const read = files.read(fd, this.#payload, 0, length, at + RECORD_HEADER_BYTES);
      if (read < length || crcOf(this.#payload, 0, length) !== record.payloadCrc) {
        throw gone(position);
      }

      return this.#payload.subarray(0, length);
    } catch (error) {
      throw storeError(error, `read the log in ${this.#place.directory}`);
    }
  }

  #enter(bytes: Buffer): void {
    const header = decodeSegmentHeader(bytes);
    assert(header !== undefined, 'the header was valid when it was read');
    this.#segments.push({path: join(this.#place.directory, this.#source.fileName), header});
  }

  #take(bytes: Buffer): void {
    const record = this.#record;
    for (let offset = 0; offset < bytes.length;) {
      const isValid = decodeRecord(bytes, offset, record);
      assert(isValid, 'the source gives valid records');
      this.#note();
      offset += RECORD_HEADER_BYTES + record.storedLength;
    }

    if (this.#blocks.size <= BLOCKS_MAX && this.#zeros.length <= ZEROS_MAX) return;
    throw new DiskError(
      'VERIFY_BEHIND',
      `the log behind the image at ${formatPosition(this.#position)} holds more than ` +
        `${BLOCKS_MAX} blocks: replay has to catch up first`,
      {position: formatPosition(this.#position)},
    );
  }

  #note(): void {
    const {type, diskOffset, storedLength, logicalLength, position} = this.#record;
    const first = diskOffset / BLOCK_BYTES;
    if (type === RECORD.write) {
      const end = first + storedLength / BLOCK_BYTES;
      for (let block = first; block < end; block += 1) this.#blocks.set(block, position);
      this.#onChange(diskOffset, diskOffset + storedLength);
    } else if (type === RECORD.discard || type === RECORD.zero) {
      const end = first + logicalLength / BLOCK_BYTES;
      this.#zeros.push({start: first, end, position});
      this.#onChange(diskOffset, diskOffset + logicalLength);
    }
  }
}

function lastZero(zeros: readonly Zero[], block: number): number {
  return zeros.findLast(({start, end}) => start <= block && block < end)?.position ?? -1;
}

/** @throws DiskError LOG_GONE where the file is not that segment any more */
function openAgain(files: Files, {path, header}: OpenedSegment): number {
  let fd: number;
  try {
    fd = files.open(path, 'read');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') throw gone(header.start);
    throw storeError(error, `read ${path}`);
  }

  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  const got = files.read(fd, bytes, 0, bytes.length, 0);
  const found = got === bytes.length ? decodeSegmentHeader(bytes) : undefined;
  if (found !== undefined && isSameSegment(found, header)) return fd;
  files.close(fd);
  throw gone(header.start);
}

function gone(position: number): DiskError {
  const at = formatPosition(position);
  return new DiskError('LOG_GONE', `the log at ${at} was given up while it was looked at`, {
    position: at,
  });
}

function branched(to: number, position: number): DiskError {
  const [wanted, is] = [formatPosition(to), formatPosition(position)];
  const text = `the log was read up to ${is}, and is to be looked at up to ${wanted}: it has changed`;
  return new DiskError('LOG_BRANCHED', text, {position: is});
}
