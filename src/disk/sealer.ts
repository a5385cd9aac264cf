/**
 * Gives sealed segments that stay for a while their index file, and binds them: SHA-256 of the
 * records in the header of the next segment. A segment that is replayed and used again within
 * seconds, as on a busy disk that keeps up, is not worth the reading.
 */
import type {Clock} from '../core/clock.js';
import type {Files} from '../core/files.js';
import {SegmentIndex} from '../image/segment-index.js';
import {readSegmentFile} from '../log/directory.js';
import {encodeIndexFile, indexPathOf, sealSegment, type SealedSegment} from '../log/index-file.js';
import type {SegmentPlan} from '../log/segment-files.js';
import {encodeBinding, type SegmentHeader} from '../log/segment.js';
import type {Shared, SharedSegment} from './shared.js';

/** Sealed segments get their index when the log has not rotated for so long ... */
const SETTLED_MS = 2000;
/** ... or when so many younger ones have gathered, because replay is paused or far behind; then
 * one in so long, since reading a segment costs as much as writing it did. */
const YOUNGER_SEGMENTS = 24;
const HURRIED_MS = 1000;

export interface SealerOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly shared: Shared;
  readonly plan: SegmentPlan;
  /** Path of the segment with a number. */
  readonly pathOf: (number: number) => string;
}

/** Looks at one sealed segment after the other, oldest first. */
export class Sealer {
  readonly #files: Files;
  readonly #clock: Clock;
  readonly #shared: Shared;
  readonly #plan: SegmentPlan;
  readonly #pathOf: (number: number) => string;
  /** Ordinal of the next segment to look at. */
  #ordinal = 0;
  #segmentEndSeen = -1;
  #rotatedAt = 0;
  #sealedAt = -Infinity;
  #work: Generator<void, SealedSegment | undefined> | undefined;
  #header: SegmentHeader | undefined;

  constructor(options: SealerOptions) {
    this.#files = options.files;
    this.#clock = options.clock;
    this.#shared = options.shared;
    this.#plan = options.plan;
    this.#pathOf = options.pathOf;
  }

  /** Does one small piece of work. @returns false where there is none now */
  step(): boolean {
    const segment = this.#current();
    if (segment === undefined) return false;
    const path = this.#pathOf(segment.number);
    if (this.#work === undefined) return this.#begin(segment, path);
    const {done, value} = this.#work.next();
    if (done !== true) return true;
    if (value !== undefined && this.#header !== undefined) {
      this.#finish(segment, path, this.#header, value);
    }

    this.#skip();
    return true;
  }

  #current(): SharedSegment | undefined {
    const shared = this.#shared;
    if (this.#ordinal < shared.segmentFirst) {
      this.#skip();
      this.#ordinal = shared.segmentFirst;
    }

    if (this.#ordinal + 1 >= shared.segmentEnd) return undefined;
    const segment = shared.segment(this.#ordinal);
    if (segment.end > shared.durable.get()) return undefined;
    const now = this.#clock.monotonicMs();
    if (this.#work !== undefined) return segment;
    if (this.#segmentEndSeen !== shared.segmentEnd) {
      this.#segmentEndSeen = shared.segmentEnd;
      this.#rotatedAt = now;
    }

    if (now - this.#rotatedAt >= SETTLED_MS) return segment;
    const isHurried = this.#ordinal + YOUNGER_SEGMENTS < shared.segmentEnd;
    if (!isHurried || now - this.#sealedAt < HURRIED_MS) return undefined;
    this.#sealedAt = now;
    return segment;
  }

  #begin(segment: SharedSegment, path: string): boolean {
    const known = this.#files.exists(path) && !this.#files.exists(indexPathOf(path));
    const header = known ? readSegmentFile(this.#files, path, '')?.header : undefined;
    if (
      header?.started !== true ||
      header.start !== segment.start ||
      segment.end <= segment.start
    ) {
      this.#skip();
      return true;
    }

    this.#header = header;
    // The segment may be from a time when they were larger: a table that is full finds no end.
    const builder = new SegmentIndex(Math.max(this.#plan.fileBytes, header.capacityBytes));
    builder.reset(header.start);
    this.#work = sealSegment(this.#files, path, header, segment.end, builder);
    return true;
  }

  #finish(
    segment: SharedSegment,
    path: string,
    header: SegmentHeader,
    sealed: SealedSegment,
  ): void {
    // Used again meanwhile: the keeper has taken its name away.
    if (segment.ordinal < this.#shared.segmentFirst) return;
    const temporary = `${indexPathOf(path)}.tmp`;
    const bytes = encodeIndexFile(header, sealed.index);
    const fd = this.#files.open(temporary, 'create');
    this.#files.truncate(fd, 0);
    this.#files.write(fd, bytes, 0, bytes.length, 0);
    this.#files.sync(fd);
    this.#files.close(fd);
    this.#files.rename(temporary, indexPathOf(path));
    this.#bind(this.#shared.segment(segment.ordinal + 1).number, header, sealed);
  }

  /** Opened by name, not by the front's descriptor: that one may be closed under us. */
  #bind(number: number, header: SegmentHeader, sealed: SealedSegment): void {
    const path = this.#pathOf(number);
    if (!this.#files.exists(path)) return;
    const {bytes, offset} = encodeBinding({
      number: header.number,
      bytes: sealed.bytes,
      sha256: sealed.sha256,
    });
    const fd = this.#files.open(path, 'write');
    // Made durable by the next fdatasync of that segment, or made again. Should the file be used
    // again at this moment, the binding names a number that does not fit and says nothing.
    this.#files.write(fd, bytes, 0, bytes.length, offset);
    this.#files.close(fd);
  }

  #skip(): void {
    this.#work?.return(undefined);
    this.#work = undefined;
    this.#header = undefined;
    this.#ordinal += 1;
  }
}
