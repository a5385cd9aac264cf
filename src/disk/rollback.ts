/**
 * Brings the disk back to a moment of its log, going forward: the blocks that were changed since are written
 * again with the content they had then, as ordinary records, so that every replica follows and nothing of
 * the log is given up.
 *
 *   1. rollback.json (core/rollback-file) is there: nobody can open the disk, replay is held at the moment
 *   2. the log since then is read: which blocks
 *   3. each is read as of the moment (image, with the log up to there laid over it) and handed to the
 *      front, which writes what differs
 *   4. a mark, durable; then the file goes
 *
 * Whatever ends it in between, it begins again with 2: what is equal already is not written again.
 */
import {setTimeout as sleep} from 'node:timers/promises';
import type {DiskRollback, Waiting} from '../core/disk-status.js';
import {DiskError, errnoOf, storeError} from '../core/errors.js';
import {positionOf} from '../core/history-mounts.js';
import {resourcePaths, type ResourcePaths} from '../core/home.js';
import {endLabel, readRollback, type RollbackFile} from '../core/rollback-file.js';
import {formatBytes} from '../core/units.js';
import {markedBytes, markedRanges, readChangedBlocks} from '../log/changed-blocks.js';
import {listSegments} from '../log/walk.js';
import {openMomentLog, type MomentLog, type MomentPlace} from './moment/moment-log.js';
import type {DiskProcess} from './process.js';
import {readBlocks} from './read.js';
import {COMMAND, REVERT_BYTES_MAX, WORD} from './shared.js';

const ROOM_MS = 200;
/** After a failure: what it failed by may be over. */
const AGAIN_MS = 5000;
/** Whoever is about to take the mount away has done it by then, or was refused. */
const REST_MS = 10_000;
const LOOK_MS = 10;

interface Progress {
  doneBytes: number;
  totalBytes: number | null;
  changedBytes: number;
}

/** One for the life of a disk process. */
export class Rollback {
  readonly #disk: DiskProcess;
  #file: RollbackFile | undefined;
  #progress: Progress = {doneBytes: 0, totalBytes: null, changedBytes: 0};
  #fault: string | undefined;
  #isRunning = false;
  #nextMs = 0;
  #restUntilMs = 0;

  constructor(disk: DiskProcess) {
    this.#disk = disk;
  }

  /**
   * Reads what is to be done. Whoever opens the disk from here on is refused, where there is anything; a disk
   * that is not served only holds what the next one that is will need.
   *
   * @throws DiskError STATE_UNREADABLE, STORE_IO: all is then as before
   */
  load(): void {
    const {options, shared} = this.#disk;
    const found = readRollback(this.#paths.rollbackFile);
    if (JSON.stringify(found) !== JSON.stringify(this.#file)) {
      this.#file = found;
      this.#fault = undefined;
      this.#nextMs = 0;
      this.#restUntilMs = 0;
      this.#progress = {doneBytes: 0, totalBytes: null, changedBytes: 0};
      if (found === undefined) this.#disk.notices.drop('ROLLBACK_UNFINISHED');
    }

    if (options.mode === 'serve') shared.set(WORD.closed, found === undefined ? 0 : 1);
  }

  /** What it needs of the log, and where replay is to wait. */
  get hold(): {readonly base: number; readonly position: number} | undefined {
    const file = this.#file;
    return file && {base: positionOf(file.base), position: positionOf(file.position)};
  }

  status(): DiskRollback | null {
    const file = this.#file;
    if (file === undefined) return null;
    const {position, from, asked, phase, startedAt} = file;
    return {
      to: position,
      from,
      asked,
      phase,
      startedAt,
      ...this.#progress,
      fault: this.#fault ?? null,
    };
  }

  waiting(): Waiting | null {
    const file = this.#file;
    if (file?.phase !== 'running' || this.#disk.options.mode !== 'serve') return null;
    const {doneBytes, totalBytes} = this.#progress;
    const far =
      totalBytes === null
        ? 'the log is read'
        : `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)} are done`;
    const reason = `the disk to be rolled back to ${file.asked}: ${this.#fault ?? far}`;
    return {reason, since: file.startedAt, until: null};
  }

  /** Pauses it: resolves when nothing of it is under way. */
  async rest(): Promise<void> {
    const {clock} = this.#disk.options;
    this.#restUntilMs = clock.monotonicMs() + REST_MS;
    while (this.#isRunning) {
      await sleep(LOOK_MS);
      this.#restUntilMs = clock.monotonicMs() + REST_MS;
    }
  }

  get #rests(): boolean {
    return this.#disk.options.clock.monotonicMs() < this.#restUntilMs;
  }

  /** With each pulse, and when there is something new: goes on with what is to be done. */
  look(): void {
    const file = this.#file;
    const {options, phase, activated} = this.#disk;
    if (file?.phase !== 'running' || this.#isRunning || options.mode !== 'serve') return;
    if (phase !== 'serving' || activated === undefined || this.#rests) return;
    if (options.clock.monotonicMs() < this.#nextMs) return;
    this.#isRunning = true;
    this.#say(file);
    this.#carryOut(file)
      .catch((error: unknown) => {
        this.#noteFailure(file, error);
      })
      .finally(() => {
        this.#isRunning = false;
      });
  }

  #noteFailure(file: RollbackFile, error: unknown): void {
    const known = storeError(error, 'roll the disk back');
    if (!(known instanceof DiskError)) throw error;
    this.#nextMs = this.#disk.options.clock.monotonicMs() + AGAIN_MS;
    if (this.#file !== file) return;
    this.#fault = `${known.code}: ${known.message}`;
    this.#say(file);
  }

  #say(file: RollbackFile): void {
    const {name} = this.#disk.options;
    const {asked, position} = file;
    const why = this.#fault === undefined ? '' : `; it does not get on: ${this.#fault}`;
    const text =
      `${name} is being rolled back to ${asked} (position ${position}) and cannot be opened meanwhile` +
      `${why}; mars history rollback ${name} ${this.#wayOut(file)}`;
    this.#disk.notices.put('ROLLBACK_UNFINISHED', 'warning', text);
  }

  #wayOut({from}: RollbackFile): string {
    const canGoBack = from !== null && positionOf(from) >= this.#disk.shared.replayTo.get();
    return canGoBack
      ? '--abort goes back to what it was before'
      : '--abort --force opens it as it is, a mixture';
  }

  /** The daemon may have put another one in its place, or taken it away, and not have been heard. */
  #isStillAsked(file: RollbackFile): boolean {
    if (JSON.stringify(readRollback(this.#paths.rollbackFile)) === JSON.stringify(file))
      return true;
    this.load();
    this.#disk.history.refresh();
    return false;
  }

  async #carryOut(file: RollbackFile): Promise<void> {
    const {options, config, shared, history} = this.#disk;
    const {files} = options;
    if (!this.#isStillAsked(file)) return;
    const position = positionOf(file.position);
    if (shared.replayTo.get() > position) {
      const text = 'the image is newer than that moment already, so it cannot be had from here';
      throw new DiskError('HISTORY_GONE', text, {position: file.position});
    }

    // Of a command that was given up: it reads the memory below, and what it writes is to be taken back as well.
    await this.#disk.commands.settle();
    const end = file.from === null ? shared.appended.get() : positionOf(file.from);
    const place: MomentPlace = {
      ...{files, logDirectory: this.#paths.logDirectory},
      resourceId: config?.resource.id ?? '',
    };
    const segments = listSegments(files, place.logDirectory, place.resourceId);
    const sizeBytes = shared.diskSize.get();
    const isWanted = (): boolean => this.#isWanted(file);
    const log = {files, segments};
    const changed = await readChangedBlocks(log, position, end, sizeBytes, isWanted);
    if (!isWanted()) return;
    this.#progress = {doneBytes: 0, totalBytes: markedBytes(changed), changedBytes: 0};
    const moment = openMomentLog(place, positionOf(file.base), position);
    try {
      if (moment.chain !== file.chain) {
        throw new DiskError('HISTORY_GONE', 'the log has another history at that position now');
      }

      const imageFd = files.open(config?.resource.imagePath ?? '', 'read');
      try {
        for (const [start, stop] of markedRanges(changed, REVERT_BYTES_MAX)) {
          if (!isWanted()) return;
          this.#readMoment(moment, imageFd, start, stop);
          if (!(await this.#revert(file, start, stop - start))) return;
          this.#progress.doneBytes += stop - start;
        }
      } finally {
        files.close(imageFd);
      }
    } finally {
      moment.close();
    }

    const mark = await history.mark(endLabel(file.position));
    if (isWanted()) this.#end(file, mark);
  }

  /** Another one may have taken its place, or it rests, or the process ends. */
  #isWanted(file: RollbackFile): boolean {
    return this.#file === file && this.#disk.phase === 'serving' && !this.#rests;
  }

  /** The disk as of the moment, into the memory that is shared with the front. */
  #readMoment(log: MomentLog, imageFd: number, start: number, stop: number): void {
    const {shared, options} = this.#disk;
    const {content} = shared;
    // The disk may have grown since.
    const had = Math.max(start, Math.min(stop, log.sizeBytes));
    content.fill(0, had - start, stop - start);
    if (had === start) return;
    const disk = {index: log.index, imageFd};
    if (readBlocks(options.files, disk, log, start, had - start, content, 0) === 0) return;
    throw new DiskError(
      'IMAGE_IO',
      `what the disk had at ${start} at that moment cannot be read, from the image or the log`,
      {offset: start},
    );
  }

  /** @returns false where it is not wanted any more */
  async #revert(file: RollbackFile, offset: number, length: number): Promise<boolean> {
    const disk = this.#disk;
    const {shared} = disk;
    while (this.#isWanted(file)) {
      shared.set(WORD.revertBytes, length);
      const isDone = await disk.command(COMMAND.revert, offset);
      if (isDone) {
        // Where it was refused nobody has put the bytes there.
        this.#progress.changedBytes += shared.commandArgument.get();
        this.#fault = undefined;
        return true;
      }

      this.#fault = 'the log has no room now';
      await sleep(ROOM_MS);
    }

    return false;
  }

  #end(file: RollbackFile, mark: number): void {
    if (!this.#isStillAsked(file)) return;
    const {asked, position} = file;
    const disk = this.#disk;
    const {files} = disk.options;
    const {directory, rollbackFile} = this.#paths;
    const {changedBytes} = this.#progress;
    try {
      files.unlink(rollbackFile);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }

    files.syncDirectory(directory);
    this.load();
    disk.history.refresh();
    const text = `the disk is what it was at ${asked} (position ${position}); ${formatBytes(changedBytes)} were written`;
    disk.event({
      ...{code: 'ROLLBACK_DONE', severity: 'info', text},
      details: {position, mark, changedBytes},
    });
  }

  get #paths(): ResourcePaths {
    const {home, name} = this.#disk.options;
    return resourcePaths(home, name);
  }
}
