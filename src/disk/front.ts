/**
 * The front of the disk: takes requests, appends to the log, keeps the index, answers reads.
 * The fuse thread owns it; nothing else writes the index or the log.
 *
 *   write   complete to whole blocks -> append -> index -> acknowledged (it is in the logfile);
 *           whole blocks that came together are appended with one write(2)
 *   read    by the index from the log, else from the image
 *   flush   handed to the commit thread, unless everything is durable already
 *   zero    a record without payload; its ragged ends are written as zeros
 *
 * A write that finds no room is parked, not refused (disk/parking). After an I/O error of the log
 * the tail that is not durable moves to another file (disk/relocate).
 */
import {assert} from '../core/assert.js';
import {passCrashPoint} from '../core/crash-points.js';
import {BLOCK_BYTES} from '../core/limits.js';
import {MIB} from '../core/units.js';
import {
  ERRNO,
  PENDING,
  WRITE_BATCH_COUNT_MAX,
  WRITE_HEADROOM_BYTES,
  WRITE_TAILROOM_BYTES,
  type DiskHandler,
  type WriteBatch,
} from '../fuse/handler.js';
import {EXTENTS_MAX} from '../image/segment-index.js';
import {encodeLabel} from '../log/mark-label.js';
import {RECORD} from '../log/record.js';
import type {ActiveDisk} from './activation.js';
import type {Bypass} from './bypass.js';
import {enterBypass} from './bypass-enter.js';
import {COUNTER} from './counters.js';
import {answerCommand, takeCommand} from './commands.js';
import type {InlineCommit} from './inline-commit.js';
import {FrontLog} from './front-log.js';
import type {FrontOptions} from './front-options.js';
import {NO_ROOM, ParkingLot} from './parking.js';
import {completeBlocks, readBlocks, type BlockReader} from './read.js';
import {Reverter} from './revert.js';
import {COMMAND, LATENCY_ROW, WORD, type Shared} from './shared.js';
import {WriteTimer} from './write-timer.js';

/** Memory of the index at which writes wait for replay. */
const INDEX_BYTES_MAX = 64 * MIB;

/** The handler that a FUSE driver serves: one disk, one thread. */
export class Front implements DiskHandler {
  readonly log: FrontLog;
  readonly #shared: Shared;
  readonly #disk: ActiveDisk;
  readonly #reader: BlockReader;
  readonly #durableWrites: boolean;
  readonly #inline: InlineCommit | undefined;
  readonly #parking: ParkingLot;
  readonly #timer: WriteTimer;
  readonly #options: FrontOptions;
  /** Where writes go past the log. */
  #bypass: Bypass | undefined;
  /** For ragged ends of discards and for parked requests. */
  readonly #scratch = Buffer.alloc(WRITE_HEADROOM_BYTES + BLOCK_BYTES + WRITE_TAILROOM_BYTES);
  readonly #positions = new Float64Array(WRITE_BATCH_COUNT_MAX);
  #sizeBytes: number;
  #replayedSeen = -1;
  #restWanted = false;
  readonly #reverter: Reverter;
  readonly openErrno = (): number => this.#reverter.openErrno();

  constructor(options: FrontOptions) {
    this.#shared = options.shared;
    this.#disk = options.disk;
    this.#durableWrites = options.durableWrites;
    this.#inline = options.inline;
    this.#sizeBytes = options.disk.diskSizeBytes;
    this.log = new FrontLog(options);
    this.#reader = (offset, length, target, targetOffset) =>
      readBlocks(options.files, options.disk, this.log, offset, length, target, targetOffset);
    this.#parking = new ParkingLot(options.shared, options.clock);
    this.#timer = new WriteTimer(options.shared, options.clock);
    this.#options = options;
    this.#reverter = new Reverter({
      shared: options.shared,
      read: this.#reader,
      write: (at, length, request, start) => this.#tryWrite(at, length, request, start),
      discard: (at, end) => this.#tryZero(at, end, true),
    });
  }

  sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Unlike in every activation, so that no page of an earlier one is believed. */
  inode(): number {
    return 16 + (Number.parseInt(this.#disk.epoch.slice(0, 12), 16) || 1);
  }

  statusJson(): string {
    return this.#options.statusJson();
  }

  allocatedBytes(): number {
    return 0;
  }

  read(offset: number, length: number, target: Buffer, targetOffset: number): number {
    this.#takeReplayed();
    this.#inline?.noteRequest(this.#shared.waitingCount);
    this.#count(COUNTER.reads, 1);
    this.#count(COUNTER.readBytes, length);
    return this.#reader(offset, length, target, targetOffset);
  }

  write(
    offset: number,
    length: number,
    request: Buffer,
    payloadOffset: number,
    uniqueLow: number,
    uniqueHigh: number,
  ): number {
    if (offset + length > this.#sizeBytes) return ERRNO.ENOSPC;
    this.#inline?.noteRequest(this.#shared.waitingCount);
    if (this.#parking.holdsBack) {
      return this.#parkWrite(offset, length, request, payloadOffset, uniqueLow, uniqueHigh);
    }

    if (this.#waitsForLog) {
      const sinceMs = this.#options.clock.monotonicMs();
      const result = this.#tryWrite(offset, length, request, payloadOffset);
      if (result === 0) return this.#awaitDurable(uniqueLow, uniqueHigh, length, sinceMs);
      if (result !== NO_ROOM) return result;
    } else {
      const beganMs = this.#timer.begin(1);
      const result = this.#tryWrite(offset, length, request, payloadOffset);
      if (result === 0) this.#timer.end(beganMs);
      else this.#timer.drop(1);
      if (result !== NO_ROOM) return result;
    }

    return this.#parkWrite(offset, length, request, payloadOffset, uniqueLow, uniqueHigh);
  }

  writeBatch(batch: WriteBatch): boolean {
    if (this.#durableWrites || this.#parking.holdsBatchesBack || this.#bypass) return false;
    if (this.#shared.get(WORD.logDefective) !== 0) return false;
    if (this.#shared.get(WORD.commitFailed) !== 0) return false;
    const {count, offsets, lengths} = batch;
    this.#inline?.noteRequest(this.#shared.waitingCount);
    assert(count <= this.#positions.length, 'a batch within WRITE_BATCH_COUNT_MAX');
    const beganMs = this.#timer.begin(count);
    if (!this.log.appendWrites(batch, this.#positions)) {
      this.#timer.drop(count);
      return false;
    }

    for (let at = 0; at < count; at += 1) {
      const block = (offsets[at] ?? 0) / BLOCK_BYTES;
      this.#disk.index.put(block, (lengths[at] ?? 0) / BLOCK_BYTES, this.#positions[at] ?? 0);
    }

    this.#count(COUNTER.writes, count);
    this.#count(COUNTER.writtenBytes, batch.payloadBytes);
    if (count > 1) this.#count(COUNTER.gatheredWrites, count);
    this.#timer.end(beganMs);
    return true;
  }

  flush(uniqueLow: number, uniqueHigh: number): number {
    this.#count(COUNTER.flushes, 1);
    if (this.#shared.get(WORD.logDefective) !== 0) return ERRNO.EIO;
    if (this.#bypass !== undefined) return this.#bypass.flush();
    if (this.#shared.flushLimit >= this.log.position) {
      this.#shared.noteLatency(LATENCY_ROW.frontFlush, 0);
      return 0;
    }

    const sinceMs = this.#options.clock.monotonicMs();
    // Replicas have to confirm it, and nothing else is kept waiting for them.
    if (this.#shared.get(WORD.synchronous) === 0) {
      const {waitingCount} = this.#shared;
      this.#inline?.noteRequest(waitingCount, sinceMs);
      // Who waits already is answered first, and by the commit thread.
      if (waitingCount === 0 && this.#inline?.tryCommit() === true) {
        this.#shared.noteLatency(LATENCY_ROW.frontFlush, this.#inline.committedAtMs - sinceMs);
        return 0;
      }
    }

    return this.#awaitDurable(uniqueLow, uniqueHigh, 0, sinceMs);
  }

  zero(
    offset: number,
    length: number,
    discard: boolean,
    uniqueLow: number,
    uniqueHigh: number,
  ): number {
    const end = Math.min(offset + length, this.#sizeBytes);
    if (end <= offset) return 0;
    const kind = discard ? 'discard' : 'zero';
    if (this.#parking.count > 0) {
      this.#parking.parkZero(kind, offset, end - offset, uniqueLow, uniqueHigh);
      return PENDING;
    }

    const result = this.#tryZero(offset, end, discard);
    if (result === NO_ROOM) {
      this.#beginParking();
      this.#parking.parkZero(kind, offset, end - offset, uniqueLow, uniqueHigh);
      return PENDING;
    }

    if (result !== 0 || !this.#waitsForLog) return result;
    return this.#awaitDurable(uniqueLow, uniqueHigh, 0, this.#options.clock.monotonicMs());
  }

  afterRequest(): void {
    // Also where nobody reads: logfiles that were used up are held open until it is noticed.
    this.#takeReplayed();
    if (this.#shared.get(WORD.commitFailed) !== 0) this.#handleCommitFailure();
    if (this.#parking.count > 0) this.#unpark();
    if (this.#shared.get(WORD.command) !== COMMAND.none) this.#command();
  }

  /**
   * Between two requests: where the process is to be renewed, and nothing that was taken is without
   * an answer of ours, no more is taken until the main thread ends the rest, or the process.
   */
  restIfWanted(): void {
    if (!this.#restWanted || this.#parking.count > 0) return;
    const shared = this.#shared;
    this.#restWanted = false;
    shared.set(WORD.resting, 1);
    this.#options.notify({kind: 'rests'});
    while (shared.get(WORD.resting) !== 0) Atomics.wait(shared.words, WORD.resting, 1);
  }

  /** Takes the newest replay position into the index, and lets go of what lies below. */
  #takeReplayed(): void {
    const replayed = this.#shared.replayed.get();
    if (replayed === this.#replayedSeen) return;
    this.#replayedSeen = replayed;
    this.#disk.index.setReplayed(replayed);
    this.log.dropSegmentsBelow(replayed);
  }

  #count(counter: number, amount: number): void {
    const {counters} = this.#shared;
    counters[counter] = (counters[counter] ?? 0) + amount;
  }

  #awaitDurable(
    uniqueLow: number,
    uniqueHigh: number,
    writtenBytes: number,
    sinceMs: number,
  ): number {
    const shared = this.#shared;
    const target = this.log.position;
    while (!shared.pushWaiting(uniqueLow, uniqueHigh, target, writtenBytes, sinceMs)) {
      // The commit thread empties the ring; it signals after each round.
      Atomics.wait(shared.words, WORD.frontSignal, shared.get(WORD.frontSignal), 100);
      // After a failed fdatasync it empties nothing before the tail has moved.
      if (shared.get(WORD.commitFailed) !== 0) this.#handleCommitFailure();
    }

    // Replicas are asked before the local sync begins: both take their time together.
    if (shared.get(WORD.synchronous) !== 0) this.#askReplicas();
    shared.signal(WORD.commitSignal);
    return PENDING;
  }

  #askReplicas(): void {
    if (Atomics.exchange(this.#shared.words, WORD.confirmWanted, 1) !== 0) return;
    this.#options.notify({kind: 'flush-waits'});
  }

  /** Room in log and index for a record with this payload; rotates when the segment is full. */
  #makeRoom(storedLength: number): boolean {
    const {log} = this;
    if (this.#shared.get(WORD.commitFailed) !== 0) return false;
    if (log.fits(storedLength) && this.#disk.index.openExtents < EXTENTS_MAX) return true;
    this.#takeReplayed();
    if (this.#disk.index.memoryBytes > INDEX_BYTES_MAX) {
      this.#shared.set(WORD.replayForced, 1);
      this.#shared.signal(WORD.replaySignal);
      return false;
    }

    return log.rotate();
  }

  #tryWrite(offset: number, length: number, request: Buffer, payloadOffset: number): number {
    if (this.#bypass !== undefined)
      return this.#bypass.write(offset, length, request, payloadOffset);
    if (this.#shared.get(WORD.logDefective) !== 0) return ERRNO.EIO;
    const headSkip = offset % BLOCK_BYTES;
    const tail = (offset + length) % BLOCK_BYTES;
    const tailSkip = tail === 0 ? 0 : BLOCK_BYTES - tail;
    const storedLength = headSkip + length + tailSkip;
    if (!this.#makeRoom(storedLength)) return this.#refusal();
    let start = payloadOffset - headSkip;
    if (headSkip + tailSkip > 0) {
      this.#takeReplayed();
      const around = {headSkip, tailSkip};
      start = completeBlocks(this.#reader, offset, length, request, payloadOffset, around);
      if (start < 0) return ERRNO.EIO;
    }

    const diskOffset = offset - headSkip;
    const position = this.log.appendWrite(
      request,
      start,
      storedLength,
      diskOffset,
      headSkip,
      tailSkip,
    );
    if (position < 0) {
      // The next try, or the parking lot, takes the payload from where it was.
      const moved = start + headSkip;
      if (moved !== payloadOffset) request.copyWithin(payloadOffset, moved, moved + length);
      return this.#refusal();
    }

    this.#parking.notePassed(length);
    this.#disk.index.put(diskOffset / BLOCK_BYTES, storedLength / BLOCK_BYTES, position);
    this.#count(COUNTER.writes, 1);
    this.#count(COUNTER.writtenBytes, length);
    return 0;
  }

  /** A write is answered when the log is durable. */
  get #waitsForLog(): boolean {
    return this.#durableWrites && this.#bypass === undefined;
  }

  /** Ragged ends are written as zeros, the whole blocks between them are one record. */
  #tryZero(offset: number, end: number, discard: boolean): number {
    if (this.#bypass !== undefined) return this.#bypass.zero(offset, end);

    if (this.#shared.get(WORD.logDefective) !== 0) return ERRNO.EIO;
    const firstWhole = Math.ceil(offset / BLOCK_BYTES) * BLOCK_BYTES;
    const endWhole = Math.floor(end / BLOCK_BYTES) * BLOCK_BYTES;
    if (firstWhole > endWhole) return this.#writeZeros(offset, end);
    if (offset < firstWhole) {
      const result = this.#writeZeros(offset, firstWhole);
      if (result !== 0) return result;
    }

    if (endWhole < end) {
      const result = this.#writeZeros(endWhole, end);
      if (result !== 0) return result;
    }

    if (firstWhole === endWhole) return 0;
    if (!this.#makeRoom(0)) return this.#refusal();
    const position = this.log.appendPlain({
      type: discard ? RECORD.discard : RECORD.zero,
      logicalLength: endWhole - firstWhole,
      diskOffset: firstWhole,
    });
    if (position < 0) return this.#refusal();
    this.#disk.index.putZero(firstWhole / BLOCK_BYTES, endWhole / BLOCK_BYTES, position);
    this.#count(COUNTER.discards, 1);
    return 0;
  }

  #writeZeros(offset: number, end: number): number {
    assert(end - offset < BLOCK_BYTES, 'a ragged end is less than a block');
    const scratch = this.#scratch.fill(0);
    return this.#tryWrite(offset, end - offset, scratch, WRITE_HEADROOM_BYTES);
  }

  #parkWrite(
    offset: number,
    length: number,
    request: Buffer,
    payloadOffset: number,
    uniqueLow: number,
    uniqueHigh: number,
  ): number {
    // Beyond the bound nothing more is read from the kernel until there is room.
    while (!this.#parking.hasRoom(length)) {
      Atomics.wait(this.#shared.words, WORD.frontSignal, this.#shared.get(WORD.frontSignal), 100);
      this.afterRequest();
    }

    this.#beginParking();
    this.#parking.parkWrite(offset, length, request, payloadOffset, uniqueLow, uniqueHigh);
    return PENDING;
  }

  #beginParking(): void {
    if (this.#parking.count > 0) return;
    this.#shared.set(WORD.parked, 1);
    this.#shared.set(WORD.replayForced, 1);
    this.#shared.signal(WORD.replaySignal);
    this.#shared.signal(WORD.commitSignal);
    this.#options.notify({kind: 'parked'});
  }

  #unpark(): void {
    for (let first = this.#parking.first(); first; first = this.#parking.first()) {
      if (!this.#restWanted && !this.#parking.mayPass(first)) return;
      const {kind, offset, length, bytes, uniqueLow, uniqueHigh, sinceMs} = first;
      const result =
        kind === 'write'
          ? this.#tryWrite(offset, length, bytes, WRITE_HEADROOM_BYTES)
          : this.#tryZero(offset, offset + length, kind === 'discard');
      if (result === NO_ROOM) return;
      this.#parking.dropFirst();
      const writtenBytes = kind === 'write' ? length : 0;
      if (result !== 0) this.#options.responder.answer(uniqueLow, uniqueHigh, result);
      else if (this.#waitsForLog) this.#awaitDurable(uniqueLow, uniqueHigh, writtenBytes, sinceMs);
      else if (kind === 'write') {
        this.#options.responder.answerWrite(uniqueLow, uniqueHigh, length);
        this.#timer.endParked(sinceMs);
      } else this.#options.responder.answer(uniqueLow, uniqueHigh, 0);
    }

    this.#shared.set(WORD.parked, 0);
    this.#shared.set(WORD.replayForced, 0);
    this.#options.notify({kind: 'unparked'});
  }

  /** An append found no segment: it waits for one, unless the log was given up. */
  #refusal(): number {
    return this.#shared.get(WORD.logDefective) === 0 ? NO_ROOM : ERRNO.EIO;
  }

  /** Until the tail has moved nothing is appended, and nobody is told that it is durable. */
  #handleCommitFailure(): void {
    const moved = this.log.moveTail();
    if (!moved && this.#shared.get(WORD.logDefective) === 0) return;
    this.#shared.set(WORD.commitFailed, 0);
    this.#shared.signal(WORD.commitSignal);
  }

  #command(): void {
    const shared = this.#shared;
    const command = takeCommand(shared);
    // Whoever waited for it has just given up.
    if (command === COMMAND.none) return;
    answerCommand(shared, this.#carryOut(command, shared.commandArgument.get()));
  }

  #carryOut(command: number, argument: number): boolean {
    if (command === COMMAND.bypass) return this.#enterBypass();
    if (command === COMMAND.rotate) return this.#bypass === undefined && this.log.rotate();
    if (command === COMMAND.mark) return this.#mark(this.#shared.label);
    if (command === COMMAND.revert) return this.#parking.count === 0 && this.#reverter.revert();
    if (command === COMMAND.imageFailed) return this.#bypass?.fail() !== 0;
    if (command !== COMMAND.rest) return this.#resize(argument);
    this.#restWanted = argument !== 0;
    return true;
  }

  /** Names the disk as it is: everything that was acknowledged before lies below the record. */
  #mark(label: string): boolean {
    if (this.#bypass !== undefined) return false;
    const text = encodeLabel(label);
    if (!this.#makeRoom(text.length)) return false;
    const body = {type: RECORD.mark, logicalLength: 0, diskOffset: 0};
    if (this.log.appendPlain(body, text) < 0) return false;
    this.#shared.commandArgument.set(this.log.position);
    return true;
  }

  /** Everything waits for the log, and all that it holds is in the image: writes go there now. */
  #enterBypass(): boolean {
    if (this.#bypass !== undefined) return true;
    this.#takeReplayed();
    this.#bypass = enterBypass(this.#options, this.log.position);
    if (this.#bypass === undefined) return false;
    this.#unpark();
    return true;
  }

  /** The image has grown already: the record makes the new size part of the history. */
  #resize(sizeBytes: number): boolean {
    if (this.#bypass !== undefined) return false;
    // A disk only grows: somebody else may have grown it further in the meantime.
    if (sizeBytes < this.#sizeBytes || !this.#makeRoom(0)) return false;
    const position = this.log.appendPlain({
      type: RECORD.resize,
      logicalLength: 0,
      diskOffset: sizeBytes,
    });
    if (position < 0) return false;
    passCrashPoint('resize-logged');
    this.#sizeBytes = sizeBytes;
    this.log.diskSizeBytes = sizeBytes;
    this.#shared.diskSize.set(sizeBytes);
    return true;
  }
}
