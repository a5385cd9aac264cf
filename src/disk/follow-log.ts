/**
 * The log of another node, as it is received: the same records at the same positions, in files with
 * the same names. Commit thread and replay thread see it in the shared memory as they see a log that
 * is written here; this class is the `front` of their table.
 *
 *   new segment  everything before is made durable -> a new epoch goes to the lineage, durably ->
 *                spare: header, fsync, rename, fsync of the directory -> started header, fsync ->
 *                records
 *   records      all checked (follow-check) -> written -> `appended`
 *   cut to X     what this node said of its own log is taken back -> the lineage loses its epochs behind X, durably -> segments behind X are removed,
 *                fsync of the directory -> zeros behind X, fdatasync -> `appended` is X
 *   recycling    a segment below `replayed`, and below what others fetch from here, becomes a spare
 *
 * A segment that we have only from its middle on (after a copy of the image, or because the origin
 * moved its tail) gets a header of its own, which begins there: a log has no holes. One that was
 * only kept for others is the last of the log again where a cut gives up all behind it.
 *
 * What is cut is never used again as a spare: its records say what was durable in a history that is
 * none any more, and where the header of a file that is used again is torn they would be believed.
 *
 * What fails leaves the log as it was: the stream ends, and begins anew where the log ends.
 */
import {join} from 'node:path';
import {assert} from '../core/assert.js';
import {passCrashPoint} from '../core/crash-points.js';
import {DiskError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {resourcePaths} from '../core/home.js';
import {loseHistoryMounts} from '../core/history-mounts.js';
import {COMMIT_BYTES_MAX, SEGMENT_BYTES_MAX} from '../core/limits.js';
import {formatPosition} from '../core/position.js';
import {RecordCursor} from '../log/cursor.js';
import {readSegmentFile, type SegmentFile} from '../log/directory.js';
import {removeDurableWord} from '../log/durable-word.js';
import {protocolError, type Hello, type SegmentFrame} from '../log/frames.js';
import type {LineageEntry} from '../log/lineage.js';
import {PACKINGS_HERE} from '../log/packing.js';
import {formatChain, isSameChain, RECORD, type Chain} from '../log/record.js';
import {encodeSegmentHeader, SEGMENT_HEADER_BYTES, type SegmentHeader} from '../log/segment.js';
import type {SegmentPlan} from '../log/segment-files.js';
import type {DiskConfig} from './config.js';
import {zeroBehind, type FollowedDisk} from './follow-activation.js';
import {checkRecords} from './follow-check.js';
import {headerHere, isBefore, isSame} from './follow-header.js';
import {FollowSupply} from './follow-supply.js';
import {extendLineage, lineageBefore} from './follow-lineage.js';
import {writeLineage} from './lineage.js';
import type {RetainedSegment} from './retained.js';
import {WORD, type Shared} from './shared.js';

export interface FollowLogOptions {
  readonly files: Files;
  readonly config: DiskConfig;
  readonly shared: Shared;
  readonly disk: FollowedDisk;
  /** Makes everything that was appended durable; throws where it cannot. */
  readonly commit: () => void;
  /** The chain value at `state.from` is known now, though it was not at the start. */
  readonly onFromChain?: (chain: Chain) => void;
}

interface HeldSegment {
  readonly name: string;
  readonly header: SegmentHeader;
  readonly fd: number;
  /** Another took its place: only its descriptor is left. Its name may be that of a later one. */
  isGone?: boolean;
}

/** What a frame of records was about. */
export interface TakenRecords {
  /** Time of the first and of the last record. */
  readonly firstMs: number;
  readonly lastMs: number;
}

/** The log of one resource while it is followed; one owner, the main thread. */
export class FollowLog {
  readonly #files: Files;
  readonly #config: DiskConfig;
  readonly #shared: Shared;
  readonly #plan: SegmentPlan;
  readonly #disk: FollowedDisk;
  readonly #commit: () => void;
  readonly #onFromChain: ((chain: Chain) => void) | undefined;
  readonly #supply: FollowSupply;
  readonly #segments: HeldSegment[] = [];
  readonly #retained: RetainedSegment[];
  #lineage: readonly LineageEntry[];
  /** The lineage of the source, as it was when the stream began. */
  #sourceLineage: readonly LineageEntry[] = [];
  #position: number;
  #chain: Chain;
  #committedBytes: number;
  /** The stream has told in which segment it goes on. */
  #isOpen = false;
  #fromChain: Chain | undefined;

  constructor(options: FollowLogOptions) {
    const {files, shared, disk} = options;
    this.#files = files;
    this.#config = options.config;
    this.#shared = shared;
    this.#plan = disk.plan;
    this.#disk = disk;
    this.#commit = options.commit;
    this.#onFromChain = options.onFromChain;
    this.#supply = new FollowSupply(files, disk.plan);
    this.#retained = [...disk.retained];
    this.#lineage = disk.lineage;
    this.#position = disk.recovered.position;
    this.#chain = {...disk.recovered.chain};
    this.#committedBytes = this.#position;
    this.#fromChain = disk.fromChain;
    for (const [at, {name, header}] of disk.recovered.segments.entries()) {
      this.#segments.push({name, header, fd: shared.segment(shared.segmentFirst + at).fd});
    }
  }

  /** End of the log. */
  get position(): number {
    return this.#position;
  }

  /** Chain value at `position`. */
  get chain(): Readonly<Chain> {
    return this.#chain;
  }

  get lineage(): readonly LineageEntry[] {
    return this.#lineage;
  }

  get epoch(): string | null {
    return this.#lineage.at(-1)?.epoch ?? null;
  }

  /** Name of the segment that is received. */
  get currentName(): string | null {
    return this.#segments.at(-1)?.name ?? null;
  }

  get spareCount(): number {
    return this.#supply.spareCount;
  }

  /** Replayed segments that are kept for others, oldest first. */
  get retained(): readonly RetainedSegment[] {
    return this.#retained;
  }

  /** Whether image and log together are a state of the disk. */
  get isConsistent(): boolean {
    return this.#position >= this.#shared.replayTo.get();
  }

  /** What a source has to know to go on. */
  hello(nodeId: string): Hello {
    return {
      version: 1,
      resourceId: this.#config.resource.id,
      nodeId,
      epoch: this.epoch,
      position: formatPosition(this.#position),
      chain: formatChain(this.#chain),
      to: formatPosition(this.#imageEnd),
      lineage: [...this.#lineage],
      asks: true,
      compression: [...PACKINGS_HERE],
    };
  }

  /**
   * Up to where the image binds us to this history. A copy may end in a later epoch than it begins
   * with, which our lineage does not have yet: `endChain` proves the rest when the log gets there.
   */
  get #imageEnd(): number {
    const {sync} = this.#disk;
    const to = this.#shared.replayTo.get();
    const isProven = sync?.endChain != null && sync.end === to && this.#position < to;
    return isProven ? this.#position : to;
  }

  /** A source goes on from here. What another one said of its own disk does not count any more. */
  beginStream(sourceLineage: readonly LineageEntry[]): void {
    this.#sourceLineage = sourceLineage;
    this.#isOpen = false;
    this.#limitOriginDurable(this.#position);
  }

  /** The origin has everything below `position` on stable storage. */
  noteOriginDurable(position: number): void {
    const {originDurable} = this.#shared;
    if (position <= originDurable.get()) return;
    originDurable.set(position);
    this.#shared.wakeIfAsleep(WORD.replayAsleep, WORD.replaySignal);
  }

  /**
   * The stream goes on in this segment.
   *
   * @throws DiskError PEER_PROTOCOL where it does not join; the error of the file system
   */
  takeSegment({position, bytes, header}: SegmentFrame): void {
    this.#isOpen = false;
    if (position !== this.#position) throw protocolError('a SEGMENT for another position');
    if (header.resourceId !== this.#plan.resourceId) {
      throw protocolError('a SEGMENT of another resource');
    }

    if (SEGMENT_HEADER_BYTES + header.capacityBytes > SEGMENT_BYTES_MAX) {
      throw protocolError('a SEGMENT that is too large');
    }

    const current = this.#segments.at(-1)?.header;
    const goesOn = current !== undefined && (isSame(current, header) || isBefore(header, current));
    if (!goesOn) {
      const isJoined = header.start !== this.#position || isSameChain(header.chain, this.#chain);
      if (!isJoined) throw protocolError('a SEGMENT of another history');
      this.#begin(bytes, header);
    }

    this.#dropEmpty();
    this.#isOpen = true;
  }

  /**
   * Adds records; all of them or none.
   *
   * @throws DiskError PEER_PROTOCOL, LOG_FORMAT; the error of the file system
   */
  takeRecords(position: number, records: Buffer): TakenRecords {
    const segment = this.#segments.at(-1);
    if (!this.#isOpen || segment === undefined) throw protocolError('RECORDS before a SEGMENT');
    if (position !== this.#position) throw protocolError('RECORDS for another position');
    const {header, fd} = segment;
    let [firstMs, lastMs, durable, sizeBytes] = [0, 0, 0, 0];
    let end = position;
    let fromChain = this.#fromChain;
    const chain: Chain = {...this.#chain};
    const start = {position, chain, epoch: header.epoch, end: header.start + header.capacityBytes};
    checkRecords(records, start, (record, behind, chainBehind) => {
      if (firstMs === 0) firstMs = record.timeMs;
      lastMs = Math.max(lastMs, record.timeMs);
      durable = Math.max(durable, record.durable);
      if (record.type === RECORD.resize) sizeBytes = record.diskOffset;
      const before = end;
      end = behind;
      chain.low = chainBehind.low;
      chain.high = chainBehind.high;
      if (behind === this.#disk.state.from) fromChain = {...chain};
      this.#checkCopy(before, behind, chain);
    });
    const filePosition = SEGMENT_HEADER_BYTES + position - header.start;
    this.#files.write(fd, records, 0, records.length, filePosition);
    this.#advance(end, chain);
    if (sizeBytes > 0) this.#shared.diskSize.set(sizeBytes);
    // A record tells what was durable when it was built, also where the source does not.
    this.noteOriginDurable(Math.min(durable, end));
    if (fromChain !== undefined && this.#fromChain === undefined) this.#onFromChain?.(fromChain);
    this.#fromChain = fromChain;
    return {firstMs, lastMs};
  }

  /**
   * Gives up everything behind `to`: it is no part of the source's history, and was never replayed.
   *
   * @param chain chain value of the source at `to`
   * @returns false where a batch or a commit runs just now: to be tried again
   * @throws DiskError ORIGIN_LOST_DATA where the image holds blocks from behind `to` already;
   *   PEER_PROTOCOL where no record ends there
   */
  cut(to: number, chain?: Readonly<Chain>): boolean {
    const shared = this.#shared;
    if (!shared.tryLock(WORD.replayLock)) return false;
    try {
      if (!shared.tryLock(WORD.commitLock)) return false;
      try {
        this.#cutLocked(to, chain);
        return true;
      } finally {
        shared.unlock(WORD.commitLock);
      }
    } finally {
      shared.unlock(WORD.replayLock);
    }
  }

  /**
   * Does one small piece of work: recycles, or prepares.
   *
   * @returns false where there is none now
   * @throws the error of the file system
   */
  step(): boolean {
    return this.#release() || this.#recycle() || this.#supply.step();
  }

  #advance(position: number, chain: Chain): void {
    assert(position >= this.#position, 'records go forward');
    this.#position = position;
    this.#chain = chain;
    this.#shared.appended.set(position);
    this.#shared.wakeIfAsleep(WORD.commitAsleep, WORD.commitSignal);
    if (position - this.#committedBytes < COMMIT_BYTES_MAX) return;
    this.#committedBytes = position;
    this.#shared.signal(WORD.commitSignal);
  }

  /** Where the log passes the end of a copy it must be the history that was copied. */
  #checkCopy(before: number, behind: number, chain: Readonly<Chain>): void {
    const {sync} = this.#disk;
    if (sync === undefined || sync.endChain === null || sync.end === null) return;
    if (before >= sync.end || behind < sync.end) return;
    // In another history the end may lie inside a record.
    if (behind === sync.end && formatChain(chain) === sync.endChain) return;
    throw new DiskError(
      'SYNC_MISMATCH',
      `the log at ${formatPosition(behind)} is not the history that the image was copied from: ` +
        `the image is copied again`,
      {position: formatPosition(sync.end)},
    );
  }

  #limitOriginDurable(position: number): void {
    const {originDurable} = this.#shared;
    if (originDurable.get() > position) originDurable.set(position);
  }

  #begin(bytes: Buffer, origin: SegmentHeader): void {
    const shared = this.#shared;
    const position = this.#position;
    const lineage = extendLineage(
      this.#lineage,
      this.#sourceLineage,
      origin,
      formatPosition(position),
    );
    // The next recovery takes for durable whatever lies in front of the last segment.
    this.#commit();
    this.#committedBytes = position;
    const gives = lineage.length < this.#lineage.length;
    if (lineage !== this.#lineage && !gives) {
      this.#takeLineage(lineage);
      passCrashPoint('follow-epoch-in-lineage');
    }

    const header = headerHere(origin, position, {...this.#chain}, this.#segments.at(-1)?.header);
    const {number, originName} = header;
    const path = this.#supply.take(number, originName, SEGMENT_HEADER_BYTES + origin.capacityBytes);
    const stored = header === origin ? bytes : encodeSegmentHeader(header);
    const fd = this.#files.open(path, 'write');
    try {
      this.#files.write(fd, stored, 0, SEGMENT_HEADER_BYTES, 0);
      // It may be the only place that tells where the log is, and no record may come for hours.
      this.#files.syncData(fd);
      passCrashPoint('follow-segment-begun');
      // Epochs without records go when something else tells where the log is.
      if (gives) this.#takeLineage(lineage);
    } catch (error) {
      this.#files.close(fd);
      throw error;
    }

    this.#segments.push({name: path.slice(this.#plan.directory.length + 1), header, fd});
    shared.pushSegment(number, fd, position);
    // When it was begun, all before it was durable at its origin.
    this.noteOriginDurable(Math.min(header.durable, position));
  }

  #takeLineage(lineage: readonly LineageEntry[]): void {
    this.#limitOriginDurable(this.#position);
    writeLineage(this.#config, lineage, this.#files);
    this.#lineage = lineage;
  }

  /** Those whose place the last one took: recovery would not know which of them counts. */
  #dropEmpty(): void {
    const last = this.#segments.at(-1);
    const empty = this.#segments
      .slice(0, -1)
      .filter(({header, isGone}) => header.start === last?.header.start && isGone !== true);
    if (empty.length === 0) return;
    // One of the same name went when the last one was made.
    for (const {name} of empty) if (name !== last?.name) this.#supply.discard(name);
    this.#files.syncDirectory(this.#plan.directory);
    for (const segment of empty) segment.isGone = true;
  }

  #release(): boolean {
    const oldest = this.#retained[0];
    if (oldest === undefined || oldest.end > this.#shared.retainFrom) return false;
    this.#retained.shift();
    this.#supply.setAside(oldest.name);
    return true;
  }

  #recycle(): boolean {
    const shared = this.#shared;
    const ordinal = shared.segmentFirst;
    const first = this.#segments[0];
    if (first === undefined || shared.segmentEnd - ordinal < 2) return false;
    const {start, end} = shared.segment(ordinal);
    // The header of the next one is durable together with a record behind it only.
    if (end > shared.replayed.get() || end >= shared.durable.get()) return false;
    shared.set(WORD.segmentFirst, ordinal + 1);
    this.#segments.shift();
    this.#files.close(first.fd);
    if (first.isGone === true) return true;
    if (end > shared.retainFrom) this.#retained.push({name: first.name, start, end});
    else this.#supply.setAside(first.name);
    return true;
  }

  #cutLocked(to: number, theirs: Readonly<Chain> | undefined): void {
    const shared = this.#shared;
    if (to > this.#position) throw protocolError('a cut behind the end of the log');
    if (to < shared.replayTo.get()) {
      throw new DiskError(
        'ORIGIN_LOST_DATA',
        `the source wants the log to be cut at ${formatPosition(to)}, but the image holds blocks ` +
          `up to ${formatPosition(shared.replayTo.get())}: the image has to be compared again`,
        {position: formatPosition(to), replayed: formatPosition(shared.replayTo.get())},
      );
    }

    const before = this.#segments.findLastIndex(({header}) => header.start < to);
    const first = this.#segments.findIndex(({isGone}) => isGone !== true);
    const at = before < 0 ? first : before;
    const place = this.#segments[at];
    const chain = this.#chainAt(place, to);
    if (theirs !== undefined && !isSameChain(theirs, chain)) {
      throw protocolError('a cut to another history');
    }

    const {home, resource} = this.#config;
    const paths = resourcePaths(home, resource.name);
    loseHistoryMounts(this.#files, paths.historyDirectory, to);
    removeDurableWord(this.#files, paths);
    // Where nothing is left of all that are open, the one before them is the last of the log again.
    const retained = before < 0 ? this.#retainedBefore(to) : undefined;
    const last = retained ?? place;
    this.#isOpen = false;
    const kept = last !== undefined && last.header.start >= to ? last.header.epoch : undefined;
    const lineage = lineageBefore(this.#lineage, formatPosition(to), kept);
    if (lineage.length < this.#lineage.length) {
      writeLineage(this.#config, lineage, this.#files);
      this.#lineage = lineage;
    }

    passCrashPoint('cut-lineage');
    const fd = retained === undefined ? -1 : this.#files.open(retained.path, 'write');
    const dropped = this.#segments.splice(retained === undefined ? at + 1 : 0);
    shared.dropSegmentsFrom(shared.segmentEnd - dropped.length);
    if (retained !== undefined) {
      const {name, header} = retained;
      this.#retained.pop();
      this.#segments.push({name, header, fd});
      shared.pushSegment(header.number, fd, header.start);
    }

    for (const {fd: old, name, isGone} of dropped.toReversed()) {
      this.#files.close(old);
      if (isGone !== true) this.#supply.discard(name);
    }

    if (dropped.length > 0) this.#files.syncDirectory(this.#plan.directory);
    passCrashPoint('cut-segments');
    if (last !== undefined) {
      const path = join(this.#plan.directory, last.name);
      zeroBehind(this.#files, {path, header: last.header}, to);
    }

    passCrashPoint('cut-done');
    this.#position = to;
    this.#chain = chain;
    this.#committedBytes = to;
    shared.appended.set(to);
    if (shared.durable.get() > to) shared.durable.set(to);
    this.#limitOriginDurable(to);
  }

  /** The segment that was kept for others only, where it ends at `position`. */
  #retainedBefore(position: number): SegmentFile | undefined {
    const kept = this.#retained.at(-1);
    if (kept?.end !== position) return undefined;
    return readSegmentFile(this.#files, join(this.#plan.directory, kept.name), kept.name);
  }

  #chainAt(segment: HeldSegment | undefined, to: number): Chain {
    if (to === this.#position) return {...this.#chain};
    assert(segment !== undefined, 'what is cut lies in a segment');
    const {fd, header} = segment;
    const cursor = new RecordCursor(this.#files);
    cursor.open(fd, header, header.start, header.chain, to);
    while (cursor.position < to && cursor.next());
    if (cursor.position !== to) throw protocolError('a cut where no record ends');
    return {low: cursor.chain.low, high: cursor.chain.high};
  }
}
