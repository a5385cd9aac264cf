/**
 * When writes go past the log, and when they do not any more (`when-full=bypass`). Main thread, small
 * steps; what is done is done by the front (bypass-enter) and by the next life (bypass-leave).
 *
 *   state     is left when
 *   unready   map and reserve are there, with all their space
 *   ready     writes have waited for room for ENTER_MS, all of the log is in the image, and nothing of it
 *             is kept for anybody: what could make room has been done by then
 *   inside    READY_FILES logfiles have been ready for LEAVE_MS, and there was room for one more
 */
import {join} from 'node:path';
import type {Clock} from '../core/clock.js';
import {DiskError, errnoOf} from '../core/errors.js';
import type {Files} from '../core/files.js';
import type {ResourcePaths} from '../core/home.js';
import {bypassFileBytes, makeBypassFile} from '../image/bypass-map.js';
import {makeSpare, type SegmentPlan} from '../log/segment-files.js';
import {isImageWhole} from './bypass-enter.js';
import {BYPASS_RESERVE} from './bypass-leave.js';
import {KEEPER_NO_ROOM, WORD, type Shared} from './shared.js';

/** Longer than the daemon takes to free its reserve and to let go of slots. */
const ENTER_MS = 8000;
const LEAVE_MS = 5000;
const READY_FILES = 2;
const LOOK_MS = 1000;
const MAKING_MS = 5;
const RETRY_MS = 10_000;

export interface BypassGuardOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly shared: Shared;
  readonly paths: ResourcePaths;
  readonly plan: SegmentPlan;
  /** The front is to go past the log; it may find that it cannot. */
  readonly enter: () => void;
  /** The process is to end for its next life. */
  readonly leave: () => void;
}

/** One per disk that serves. */
export class BypassGuard {
  readonly #options: BypassGuardOptions;
  #isWanted = false;
  /** Disk size for which all is ready. */
  #readyBytes = -1;
  #making: Generator<void, void> | undefined;
  #retryMs = -Infinity;
  #stuckMs: number | undefined;
  #roomMs: number | undefined;

  constructor(options: BypassGuardOptions) {
    this.#options = options;
  }

  /** Whether it may be entered. One that was entered is left as ever. */
  want(isWanted: boolean): void {
    this.#isWanted = isWanted;
    if (isWanted || this.isInside) return;
    const {files, plan} = this.#options;
    const reserve = join(plan.directory, BYPASS_RESERVE);
    this.#readyBytes = -1;
    // Its room is the log's again.
    if (files.exists(reserve)) files.unlink(reserve);
  }

  /** Writes go past the log now. */
  get isInside(): boolean {
    return this.#options.shared.get(WORD.bypass) !== 0;
  }

  /** Map and reserve are there. */
  get isReady(): boolean {
    return this.#readyBytes === this.#options.shared.diskSize.get();
  }

  /** It has something to do though nothing is written. */
  get isBusy(): boolean {
    return this.isInside || (this.#isWanted && !this.isReady);
  }

  /** Looks once. @returns milliseconds until the next look; Infinity: none is needed */
  step(): number {
    const now = this.#options.clock.monotonicMs();
    if (this.isInside) return this.#leave(now);
    if (!this.#isWanted) {
      this.#stuckMs = undefined;
      return Infinity;
    }

    if (!this.isReady && now >= this.#retryMs) this.#prepare(now);
    this.#enter(now);
    return this.#making === undefined ? LOOK_MS : MAKING_MS;
  }

  /** All of it at once; before others take the room. */
  prepareNow(): void {
    const now = this.#options.clock.monotonicMs();
    while (this.#isWanted && !this.isReady && now >= this.#retryMs) this.#prepare(now);
  }

  #prepare(now: number): void {
    const {files, shared, paths, plan} = this.#options;
    const reserve = join(plan.directory, BYPASS_RESERVE);
    const temporary = `${reserve}.new`;
    const diskBytes = shared.diskSize.get();
    try {
      if (this.#making !== undefined) {
        if (this.#making.next().done !== true) return;
        this.#making = undefined;
        files.rename(temporary, reserve);
        files.syncDirectory(plan.directory);
      }

      if (sizeOf(files, reserve) !== plan.fileBytes) {
        if (files.exists(reserve)) files.unlink(reserve);
        this.#making = makeSpare(files, plan, temporary);
        return;
      }

      if (sizeOf(files, paths.bypassFile) < bypassFileBytes(diskBytes)) {
        makeBypassFile(files, paths, diskBytes);
      }

      this.#readyBytes = diskBytes;
    } catch (error) {
      if (!(error instanceof DiskError) && errnoOf(error) === undefined) throw error;
      this.#making = undefined;
      this.#retryMs = now + RETRY_MS;
    }
  }

  #enter(now: number): void {
    const {shared, enter} = this.#options;
    const end = shared.appended.get();
    const isStuck =
      this.isReady &&
      shared.get(WORD.parked) !== 0 &&
      hasNoRoom(shared) &&
      shared.retainFrom >= end &&
      isImageWhole(shared, end);
    if (!isStuck) this.#stuckMs = undefined;
    else this.#stuckMs ??= now;
    if (this.#stuckMs === undefined || now - this.#stuckMs < ENTER_MS) return;
    // Where nothing comes of it, not again at once: room may come meanwhile, which somebody has to see.
    this.#stuckMs = now;
    enter();
  }

  /** Files that are ready are not enough where overwriting takes room. */
  #isRoomy(): boolean {
    const {files, plan} = this.#options;
    try {
      return files.freeBytes(plan.directory) >= plan.fileBytes;
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      return false;
    }
  }

  #leave(now: number): number {
    const {shared, leave} = this.#options;
    const ready = shared.get(WORD.readyUpTo) - shared.get(WORD.currentNumber);
    const isSupplied = ready >= READY_FILES && shared.get(WORD.keeperTroubled) === 0;
    const hasRoom = isSupplied && this.#isRoomy();
    if (!hasRoom) this.#roomMs = undefined;
    else this.#roomMs ??= now;
    if (this.#roomMs !== undefined && now - this.#roomMs >= LEAVE_MS) {
      this.#roomMs = now;
      leave();
    }

    return LOOK_MS;
  }
}

/** For the next logfile, or for the next record where overwriting takes room. */
function hasNoRoom(shared: Shared): boolean {
  return shared.get(WORD.keeperTroubled) === KEEPER_NO_ROOM || shared.get(WORD.appendNoRoom) !== 0;
}

/** @returns -1 where there is no such file */
function sizeOf(files: Files, path: string): number {
  if (!files.exists(path)) return -1;
  const fd = files.open(path, 'read');
  try {
    return files.sizeOf(fd);
  } finally {
    files.close(fd);
  }
}
