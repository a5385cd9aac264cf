/**
 * Judges a simulated disk by the model: every read, every position, the whole disk after a death,
 * the bytes of the image at the end. It knows what is in doubt and what was promised.
 */
import {assert} from '../../src/core/assert.js';
import {formatPosition} from '../../src/core/position.js';
import {MIB} from '../../src/core/units.js';
import {WORD, type Shared} from '../../src/disk/shared.js';
import {MODEL_PAGE_BYTES, ModelDisk, type Version} from './model-disk.js';
import type {Death} from './script.js';

const SECTOR_BYTES = 512;
const READ_BYTES_MAX = MIB;
/** Disks up to this size are compared whole, larger ones where they were ever written. */
const WHOLE_BYTES_MAX = 16 * MIB;
const GUARD = 0xccccccccccccccccn;
const GUARD_BYTES = 8;

/** What the simulator found wrong. */
export class SimFailure extends Error {
  override readonly name = 'SimFailure';
}

/** A change without its place in the log. */
export type Change = Omit<Version, 'begin' | 'end'>;

/** The disk as the oracle sees it. */
export interface Witness {
  /** @returns 0 or an errno */
  read(offset: number, length: number, target: Buffer, targetOffset: number): number;
  /** An error for the user needs a fault that explains it; throws where there was none. */
  excuse(what: string): void;
  /** Changes that are not answered yet, and of which a part may be there already. */
  underWay(): Iterable<Change>;
}

/** What a start found out. */
export interface Recovery {
  readonly death: Death;
  /** Where the log ends now. */
  readonly position: number;
  readonly from: number;
  readonly diskSizeBytes: number;
  /** What went past the log so far (sim/user). */
  readonly pastLogBytes: number;
  /** Whether the map says that a range went past the log, and the new epoch that anything did. */
  readonly isMarked: (offset: number, length: number) => boolean;
  readonly hasGap: boolean;
  /** A log that rotted: what the node's word does not cover cannot be told from a torn tail, and may be cut. */
  readonly rotted: {readonly told: number} | undefined;
}

/** For one comparison. */
interface Memory {
  readonly expected: Buffer;
  readonly found: Buffer;
}

function newMemory(): Memory {
  return {
    expected: Buffer.alloc(READ_BYTES_MAX),
    found: Buffer.alloc(READ_BYTES_MAX + 2 * GUARD_BYTES),
  };
}

export class Oracle {
  readonly model: ModelDisk;
  readonly #witness: Witness;
  /** Changes that failed, or were under way when the process died: there or not. */
  #doubts: (Version & {readonly isPastLog?: boolean})[] = [];
  /** Highest position that a flush has promised. */
  #flushed = 0;
  #replayed = 0;
  #durable = 0;
  /** Where changes began to go past the log in this life: what was before is in the image, durably. */
  #pastLogFrom: number | undefined;
  #pastLog: Change[] = [];
  #memory: Memory | undefined = newMemory();

  constructor(sizeBytes: number, witness: Witness) {
    this.model = new ModelDisk(sizeBytes);
    this.#witness = witness;
  }

  get flushed(): number {
    return this.#flushed;
  }

  /** Everything below `position` was told to be durable. */
  promise(position: number): void {
    this.#flushed = Math.max(this.#flushed, position);
  }

  /** An acknowledged change, which the log has between these positions. */
  accept(change: Change, begin: number, end: number): void {
    // After an I/O error the log may have gone on elsewhere: never below what the model has.
    this.model.apply({...change, begin: Math.max(begin, this.model.end), end});
  }

  /** A change goes past the log: where power is lost before a flush, each sector of it is there or not. */
  pastLog(change: Change): void {
    this.#pastLogFrom ??= this.model.end;
    this.#pastLog.push(change);
  }

  /** A change of which nobody knows whether it happened. */
  doubt(change: Change, isPastLog = false): void {
    const at = this.model.end;
    this.#doubts.push({...change, begin: at, end: at, isPastLog});
  }

  checkPositions(shared: Shared, writerPosition: number): void {
    const [appended, durable] = [shared.appended.get(), shared.durable.get()];
    const [replayTo, replayed] = [shared.replayTo.get(), shared.replayed.get()];
    const facts = `replayed ${replayed} to ${replayTo}, durable ${durable}, appended ${appended}`;
    if (!(replayed <= replayTo && replayTo <= durable && durable <= appended)) {
      throw new SimFailure(`positions are out of order: ${facts}`);
    }

    if (durable < this.#durable || replayed < this.#replayed) {
      throw new SimFailure(`a position went back: ${facts}`);
    }

    if (shared.get(WORD.logDefective) === 0 && writerPosition !== appended) {
      throw new SimFailure(`the log ends at ${writerPosition}: ${facts}`);
    }

    this.#durable = durable;
    this.#replayed = replayed;
    // Nobody can be thrown back behind what is in the image.
    if (this.#doubts.length === 0) this.model.settle(Math.min(replayed, this.#flushed));
  }

  /** After a start: finds the one position at which the disk equals the model. */
  judgeRecovery(recovery: Recovery): void {
    const {death, from, diskSizeBytes, pastLogBytes} = recovery;
    const position = recovery.position + pastLogBytes;
    const rotted = recovery.rotted && {told: recovery.rotted.told + pastLogBytes};
    if (rotted && position >= rotted.told) this.#flushed = Math.min(this.#flushed, position);
    if (position < this.#flushed) {
      const flushed = formatPosition(this.#flushed);
      throw new SimFailure(
        `flushed to ${flushed}, but the log ends at ${formatPosition(position)}`,
      );
    }

    const known = this.model.end;
    if (death === 'kill' && rotted === undefined && position < known) {
      const acknowledged = formatPosition(known);
      const end = formatPosition(position);
      throw new SimFailure(`acknowledged to ${acknowledged}, but the log ends at ${end}`);
    }

    if (from < this.#replayed) throw new SimFailure(`replayed to ${this.#replayed}, now ${from}`);
    const pastLogFrom = this.#pastLogFrom;
    this.#pastLogFrom = undefined;
    const isTorn = death === 'power' && pastLogFrom !== undefined;
    const lost = this.model.rewind(isTorn ? Math.max(this.#flushed, pastLogFrom) : position);
    this.#doubts = [...lost, ...this.#doubts].filter(({begin, end}) => {
      return begin < position || (begin === end && begin === position);
    });
    this.#judgeMap(recovery);
    this.#judgeSize(diskSizeBytes);
    this.#settleDoubts(isTorn);
    this.compareAll();
    this.#replayed = from;
    this.#durable = 0;
  }

  compare(offset: number, length: number): void {
    const count = Math.min(length, this.model.sizeBytes - offset);
    if (count <= 0) return;
    // Whoever interrupts this read compares in memory of his own.
    const memory = this.#memory ?? newMemory();
    this.#memory = undefined;
    const expected = this.model.read(offset, count, memory.expected);
    const found = this.#read(offset, count, memory.found);
    if (found?.equals(expected) === false) this.#explain(offset, found, expected, 'read');
    this.#memory = memory;
  }

  compareAll(): void {
    const {sizeBytes} = this.model;
    if (sizeBytes <= WHOLE_BYTES_MAX) {
      for (let at = 0; at < sizeBytes; at += READ_BYTES_MAX) this.compare(at, READ_BYTES_MAX);
      return;
    }

    for (const page of this.model.touchedPages()) {
      this.compare(page * MODEL_PAGE_BYTES, MODEL_PAGE_BYTES);
    }

    this.compare(sizeBytes - MODEL_PAGE_BYTES, MODEL_PAGE_BYTES);
  }

  /** The image alone, byte for byte: no log, no index. */
  compareImage(peek: (offset: number, length: number) => Buffer): void {
    const {sizeBytes} = this.model;
    const pages = new Set(this.model.touchedPages());
    if (sizeBytes <= WHOLE_BYTES_MAX) {
      for (let page = 0; page * MODEL_PAGE_BYTES < sizeBytes; page += 1) pages.add(page);
    }

    for (const page of pages) {
      const at = page * MODEL_PAGE_BYTES;
      if (at >= sizeBytes) continue;
      const count = Math.min(MODEL_PAGE_BYTES, sizeBytes - at);
      const expected = this.model.read(at, count);
      const found = Buffer.alloc(count);
      peek(at, count).copy(found);
      if (!found.equals(expected)) this.#explain(at, found, expected, 'image');
    }
  }

  /** What went past the log is told of, and where: nobody who has the log only may think that he has all. */
  #judgeMap({isMarked, hasGap}: Recovery): void {
    const changes = this.#pastLog.filter(({kind}) => kind !== 'resize');
    this.#pastLog = [];
    if (changes.length > 0 && !hasGap) throw new SimFailure('there is no GAP for what went past');
    const missing = changes.find(({offset, length}) => !isMarked(offset, length));
    if (missing !== undefined)
      throw new SimFailure(`the map lacks the change at ${missing.offset}`);
    // Where a region is not marked nothing of it can have happened.
    this.#doubts = this.#doubts.filter(
      ({isPastLog, offset, length}) => isPastLog !== true || isMarked(offset, length),
    );
  }

  #judgeSize(diskSizeBytes: number): void {
    if (diskSizeBytes === this.model.sizeBytes) return;
    const {end} = this.model;
    const resize = this.#doubts.find(
      ({kind, offset}) => kind === 'resize' && offset === diskSizeBytes,
    );
    if (resize === undefined) {
      throw new SimFailure(`size ${diskSizeBytes}, expected ${this.model.sizeBytes}`);
    }

    this.model.apply({...resize, begin: end, end});
  }

  /** What was in doubt is decided by what is there now; then there is no doubt left. */
  #settleDoubts(isTorn: boolean): void {
    const doubts = this.#doubts.filter(({kind}) => kind !== 'resize');
    const [only] = doubts;
    // Past the log it is no record: a death in the middle of it leaves a part, as on any disk.
    // Nor where a change that was acknowledged behind it lies over a part of it.
    const isLast = only !== undefined && only.begin >= this.model.end;
    const isRecord = !isTorn && only?.isPastLog !== true && isLast;
    if (doubts.length === 1 && only?.kind === 'write' && isRecord) this.#judgeWhole(only);
    const {end} = this.model;
    for (const doubt of doubts) {
      for (const {at, count} of this.#piecesOf(doubt)) {
        this.compare(at, count);
        const found = this.#read(at, count);
        if (found !== undefined) this.model.write(at, found, end, end);
      }
    }

    this.#doubts = [];
  }

  /** A write is one record: it is there, or it is not. */
  #judgeWhole({offset, length, bytes}: Version): void {
    const found = this.#read(offset, length);
    assert(bytes !== undefined, 'a write has its bytes');
    if (found === undefined || found.equals(bytes)) return;
    if (!found.equals(this.model.read(offset, length))) {
      throw new SimFailure(`a part of the write at ${offset}, ${length} bytes, is there`);
    }
  }

  /** A discard of terabytes is looked at where there ever was anything. */
  #piecesOf({kind, offset, length}: Version): {at: number; count: number}[] {
    const {sizeBytes} = this.model;
    const last = Math.min(offset + length, sizeBytes);
    const isSparse = kind === 'zero' && sizeBytes > WHOLE_BYTES_MAX;
    const step = isSparse ? MODEL_PAGE_BYTES : READ_BYTES_MAX;
    const starts = isSparse
      ? this.model.touchedPages().map((page) => page * MODEL_PAGE_BYTES)
      : Array.from({length: Math.ceil((last - offset) / step)}, (_, at) => offset + at * step);
    return starts
      .map((start) => ({at: Math.max(offset, start), end: Math.min(last, start + step)}))
      .filter(({at, end}) => end > at)
      .map(({at, end}) => ({at, count: end - at}));
  }

  #read(
    offset: number,
    length: number,
    memory: Buffer = Buffer.alloc(length + 2 * GUARD_BYTES),
  ): Buffer | undefined {
    const target = memory.subarray(0, length + 2 * GUARD_BYTES).fill(0xcc);
    const errno = this.#witness.read(offset, length, target, GUARD_BYTES);
    if (errno !== 0) {
      this.#witness.excuse(`a read was refused with errno ${errno}`);
      return undefined;
    }

    if (
      target.readBigUInt64LE(0) !== GUARD ||
      target.readBigUInt64LE(length + GUARD_BYTES) !== GUARD
    ) {
      throw new SimFailure(`a read of ${length} bytes wrote beyond its buffer`);
    }

    return target.subarray(GUARD_BYTES, GUARD_BYTES + length);
  }

  /** Each sector is what the model says, or what a change in doubt would have made of it. */
  #explain(offset: number, found: Buffer, expected: Buffer, what: string): void {
    for (let at = 0; at < found.length; at += SECTOR_BYTES) {
      const sector = found.subarray(at, at + SECTOR_BYTES);
      if (sector.equals(expected.subarray(at, at + SECTOR_BYTES))) continue;
      const isFrom = (change: Change): boolean =>
        sectorOf(change, offset + at)?.equals(sector) === true;
      if (this.#doubts.some(isFrom) || [...this.#witness.underWay()].some(isFrom)) continue;
      const words = `expected ${stampOf(expected, at)}, found ${stampOf(found, at)}`;
      throw new SimFailure(`${what} at ${offset + at}: ${words}`);
    }
  }
}

function sectorOf({offset, length, bytes}: Change, at: number): Buffer | undefined {
  if (at < offset || at + SECTOR_BYTES > offset + length) return undefined;
  return bytes?.subarray(at - offset, at - offset + SECTOR_BYTES) ?? Buffer.alloc(SECTOR_BYTES);
}

function stampOf(bytes: Buffer, at: number): string {
  if (bytes.readUInt32LE(at + 8) !== 0x6d617273) {
    return `0x${bytes.toString('hex', at, at + 8)}`;
  }

  return `write ${bytes.readUInt32LE(at)}+${bytes.readUInt32LE(at + 4)}`;
}
