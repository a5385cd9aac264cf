/**
 * The log as a source for one follower: answers where it stands, then yields segment headers and
 * records. It reads the files of a log that is written to, and used again, at the same time by
 * another process, so it believes the directory only as long as the records fit:
 *
 *   where no valid record follows     the directory is read again: the next segment, the same one
 *                                     in another file (a moved tail), or gone
 *   where the disk has a new epoch    the directory is read again before anything is sent or told:
 *                                     the log may have been cut below what the follower has
 *   where the disk is in another      the same: a write that failed may have left a valid record
 *   segment than the last known       behind the end of this one, and the next one has another there
 *
 * Nothing at or above the position that the disk process has appended is ever read.
 */
import {assert} from '../core/assert.js';
import {DiskError, errnoOf, storeError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {formatPosition, parsePosition} from '../core/position.js';
import type {SegmentFile} from '../log/directory.js';
import type {Answer, Hello} from '../log/frames.js';
import type {LineageEntry} from '../log/lineage.js';
import {formatChain, type Chain} from '../log/record.js';
import {listSegments} from '../log/walk.js';
import {findCommonPoint} from './common-point.js';
import {isSameSegment, READ_BYTES, SegmentReader} from './segment-reader.js';

export interface LogPlace {
  readonly files: Files;
  readonly directory: string;
  readonly resourceId: string;
}

/** What the source has when a follower asks. */
export interface SourceLog {
  readonly lineage: readonly LineageEntry[];
  /** Where its log ends. */
  readonly position: number;
  readonly sizeBytes: number;
}

/** What the disk process says of its log, all at one moment. */
export interface LogEnd {
  /** Where its last record ends. */
  readonly appended: number;
  /** Epoch that it appends in, or that its log ends with. */
  readonly epoch: string;
  /** Name of the segment that it appends to, where it is known. */
  readonly currentFile?: string | null;
}

/** Either the header of the segment that follows, or whole records. */
export interface SourceBatch {
  readonly kind: 'segment' | 'records';
  readonly position: number;
  readonly bytes: Buffer;
}

interface Place {
  readonly segment: SegmentFile;
  /** Where the next segment that counts begins. */
  readonly end: number;
}

/** How often the directory is asked where the next record is, before it is called damaged. */
const LOOK_TRIES = 3;

/** Reads a log for one follower. */
export class LogSource {
  readonly #log: LogPlace;
  readonly #memory: Buffer | undefined;
  #reader: SegmentReader | undefined;
  /** Name of its file. */
  #name = '';
  /** No record of this segment counts from here on. */
  #end = Infinity;
  #isAnnounced = false;
  /** Epoch of the disk for which the place of the reader in the log was looked at. */
  #epoch: string | undefined;
  #timeMs = 0;

  /**
   * @param memory where all records are read to, READ_BYTES or more: a batch is good until the next
   *   call then. Without it each batch has memory of its own.
   */
  constructor(place: LogPlace, memory?: Buffer) {
    this.#log = place;
    this.#memory = memory;
  }

  /** Where the next record begins. */
  get position(): number {
    return this.#reader?.position ?? 0;
  }

  /** Chain value there; undefined where nothing is open. */
  get chain(): Readonly<Chain> | undefined {
    return this.#reader?.chain;
  }

  /** Name of the file that is read. */
  get fileName(): string {
    return this.#name;
  }

  /** Epoch of the disk whose history everything is that was sent so far; undefined: not known. */
  get epoch(): string | undefined {
    return this.#epoch;
  }

  /** Time of the newest record that was read; 0 before the first. */
  get timeMs(): number {
    return Math.max(this.#timeMs, this.#reader?.timeMs ?? 0);
  }

  /**
   * Answers a follower. After `follow` and `cut`, `read` goes on from the position of the answer.
   *
   * @throws DiskError STORE_IO, LOG_FORMAT, LOG_CORRUPT
   */
  async open(hello: Hello, log: SourceLog): Promise<Answer> {
    const {lineage, sizeBytes} = log;
    const told = {lineage: [...lineage], sizeBytes};
    const common = findCommonPoint(log, {
      lineage: hello.lineage,
      position: numberOf(hello.position),
      nodeId: hello.nodeId,
      to: numberOf(hello.to),
    });
    if (common.kind === 'unknown' || common.kind === 'behind') return {kind: common.kind, ...told};
    const position = formatPosition(common.position);
    if (common.kind === 'forked') {
      return {...told, ...common, position};
    }

    const found = await this.#begin(common.position);
    if (found === 'gone') return {kind: 'gone', ...told, ...this.#oldest()};
    const chain = this.#reader === undefined ? '' : formatChain(this.#reader.chain);
    const isSame = common.position !== numberOf(hello.position) || chain === hello.chain;
    if (found === 'begun' && isSame) return {...told, kind: common.kind, position, chain};
    // One epoch with two contents: a machine was restored with its memory, or damage.
    this.close();
    const before = lineage.findLast(({start}) => start <= position)?.start ?? position;
    return {...told, kind: 'forked', position: before};
  }

  /**
   * Reads on.
   *
   * @returns undefined where there is nothing new, or where `end` is not to be told yet as the log
   *   changes: then ask the disk process again
   * @throws DiskError LOG_BRANCHED, LOG_GONE: the follower has to ask again; LOG_CORRUPT, STORE_IO,
   *   LOG_FORMAT
   */
  read(end: LogEnd): SourceBatch | undefined {
    assert(this.#reader !== undefined, 'read follows open');
    if (end.appended < this.position) throw this.#branched(end.appended);
    if (!this.isOn(end) && !this.#confirm(end)) return undefined;
    const isLast = (end.currentFile ?? this.#name) === this.#name;
    // The last epoch may have no record yet: whoever has all of the log needs its header all the same.
    if (!isLast && (this.#end === Infinity || this.#end === this.position)) this.#enter();
    for (let tries = 0; tries < LOOK_TRIES; tries += 1) {
      const {position} = this;
      const reader = this.#reader;
      if (!this.#isAnnounced) {
        this.#isAnnounced = true;
        return {kind: 'segment', position, bytes: reader.headerBytes};
      }

      if (end.appended === position) return undefined;
      const bytes = this.#read(reader, Math.min(end.appended, this.#end));
      if (bytes !== undefined) return {kind: 'records', position, bytes};
      this.#enter();
    }

    throw this.#damaged();
  }

  /** Whether what the disk process says of its log is about the history that was sent. */
  isOn(end: LogEnd): boolean {
    return end.epoch === this.#epoch && end.appended >= this.position;
  }

  /**
   * Looks up the chain value at a position, for whoever begins there.
   *
   * @returns undefined where the log does not hold the position, or no record begins there
   */
  async chainAt(position: number): Promise<Chain | undefined> {
    const begun = await this.#begin(position);
    return begun === 'begun' && this.#reader !== undefined ? {...this.#reader.chain} : undefined;
  }

  close(): void {
    this.#timeMs = this.timeMs;
    this.#reader?.close();
    this.#reader = undefined;
  }

  /** Opens the segment with `position` and walks up to it, so that the chain value is known. */
  async #begin(position: number): Promise<'begun' | 'gone' | 'other'> {
    for (let tries = 0; tries < LOOK_TRIES; tries += 1) {
      const found = this.#find(position);
      if (found === undefined) return 'gone';
      const reader = this.#open(found);
      if (reader === undefined) continue;
      while (reader.position < position && this.#read(reader, position) !== undefined) {
        await new Promise((resolve) => setImmediate(resolve));
      }

      if (reader.position === position) return 'begun';
      // A record that begins below and ends above: nobody with this history stands there.
      if (this.#read(reader, Infinity) !== undefined) return 'other';
    }

    throw this.#damaged();
  }

  /** Goes to the segment that has the next record. */
  #enter(): void {
    const {position} = this;
    const found = this.#find(position);
    if (found === undefined) throw this.#gone();
    const reader = this.#reader;
    assert(reader !== undefined, 'it is open');
    const {header} = found.segment;
    this.#end = found.end;
    if (isSameSegment(header, reader.header)) return;
    const chain = {...reader.chain};
    if (header.start < position) {
      // A tail that was moved to another file has the same records; another epoch has not.
      if (header.epoch !== reader.header.epoch) throw this.#branched(header.start);
    } else if (formatChain(header.chain) !== formatChain(chain)) {
      throw this.#branched(header.start);
    }

    this.#open(found)?.moveTo(position, chain);
  }

  /** Looks whether the log still goes on from where the follower is, after a new epoch began. */
  #confirm({epoch}: LogEnd): boolean {
    const newest = this.#list().at(-1)?.header.epoch;
    // Not told yet, or told already and superseded: the next answer of the disk process fits.
    if (newest !== epoch) return false;
    this.#enter();
    this.#epoch = epoch;
    return true;
  }

  /** Takes the segment in place of the one that is open. @returns undefined where it has changed */
  #open({segment, end}: Place): SegmentReader | undefined {
    const {files} = this.#log;
    let reader: SegmentReader | undefined;
    try {
      reader = SegmentReader.open(files, segment.path, segment.header);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw storeError(error, `read ${segment.path}`);
    }

    if (reader === undefined) return undefined;
    this.close();
    this.#reader = reader;
    this.#name = segment.name;
    this.#end = end;
    this.#isAnnounced = false;
    return reader;
  }

  /** The segment that holds what begins at `position`, and where it ends. */
  #find(position: number): Place | undefined {
    const segments = this.#list();
    const at = segments.findLastIndex(({header}) => header.start <= position);
    const segment = segments[at];
    return segment && {segment, end: segments[at + 1]?.header.start ?? Infinity};
  }

  /** The segments that count, in order. */
  #list(): SegmentFile[] {
    const {files, directory, resourceId} = this.#log;
    return listSegments(files, directory, resourceId);
  }

  #oldest(): {oldest?: string} {
    const first = this.#list()[0];
    return first === undefined ? {} : {oldest: formatPosition(first.header.start)};
  }

  #read(reader: SegmentReader, limit: number): Buffer | undefined {
    try {
      return reader.read(limit, this.#memory ?? Buffer.allocUnsafe(READ_BYTES));
    } catch (error) {
      throw storeError(error, `read the log in ${this.#log.directory}`);
    }
  }

  #branched(end: number): DiskError {
    return new DiskError(
      'LOG_BRANCHED',
      `the log of the source goes on from ${formatPosition(end)}, below ` +
        `${formatPosition(this.position)} up to which it was sent: ask again`,
      {position: formatPosition(this.position), end: formatPosition(end)},
    );
  }

  #gone(): DiskError {
    return new DiskError(
      'LOG_GONE',
      `the log from ${formatPosition(this.position)} on is not kept any more`,
      {position: formatPosition(this.position)},
    );
  }

  #damaged(): DiskError {
    return new DiskError(
      'LOG_CORRUPT',
      `the log is damaged at position ${formatPosition(this.position)} in ` +
        `${this.#log.directory}: see mars log verify`,
      {position: formatPosition(this.position), directory: this.#log.directory},
    );
  }
}

/** Positions in a HELLO were checked when it was decoded. */
function numberOf(position: string): number {
  const value = parsePosition(position);
  assert(value !== undefined, 'a checked position');
  return value;
}
