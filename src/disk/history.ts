/**
 * The history of a disk, as the main thread looks after it: how far replay trails behind (a setting), how
 * much of the log may wait for it, which moments are mounted and hold log and replay, and what is told of
 * all that. Replay itself is limited in replay-limit.
 *
 * Mounted moments give way when room runs short: the oldest first, its file renamed before anything that
 * it stands on may change (core/history-mounts).
 */
import type {DiskHistory} from '../core/disk-status.js';
import {DiskError, errnoOf} from '../core/errors.js';
import {
  historyPath,
  loseHistoryMount,
  positionOf,
  readHistoryMounts,
  type HistoryMount,
} from '../core/history-mounts.js';
import {resourcePaths, type ResourceFile} from '../core/home.js';
import {INDEXED_BYTES, LOG_CAP_BYTES_DEFAULT} from '../core/limits.js';
import {formatPosition} from '../core/position.js';
import {formatBytes, formatDuration} from '../core/units.js';
import {readDiskConfig, segmentPlan} from './config.js';
import type {DiskProcess} from './process.js';
import {Rollback} from './rollback.js';
import {COMMAND, WORD} from './shared.js';
import {requireLog} from './space-run.js';

const BATCH_MS = 60_000;
const LOCK_LOOK_MS = 5;
/** Below the share at which replay is forced (space-plan): history gives way before anything else does. */
const ROOM_SHARE = 0.4;

/** One for the life of a disk process. */
export class History {
  readonly #disk: DiskProcess;
  #file: ResourceFile | undefined;
  #isShort = false;
  /** Mounted, and not lost. */
  #mounts: readonly HistoryMount[] = [];
  /** What peers need; Infinity: nothing. */
  #retainFrom = Infinity;
  /** The image is about to change past the log: no moment is mounted from here on. */
  #isClosed = false;

  /** One that is under way. */
  readonly rollback: Rollback;

  constructor(disk: DiskProcess) {
    this.#disk = disk;
    this.rollback = new Rollback(disk);
  }

  /** With the settings as they are when the process starts. @throws DiskError as Rollback.load */
  start(file: ResourceFile): void {
    this.rollback.load();
    this.#configure(file);
  }

  /** Nothing at or above it is given up, as peers need it; what mounted moments need is kept besides. */
  get retainFrom(): number {
    return this.#retainFrom;
  }

  retain(position: number): void {
    this.#retainFrom = position;
    this.#publish();
  }

  /**
   * Reads settings, mounted moments and a rollback again; they hold when this resolves.
   *
   * @returns no position below can be mounted
   * @throws DiskError as readDiskConfig: then all is as before; TIMEOUT where a batch of replay does not end;
   *   BYPASS where a moment is to be mounted while writes go past the log
   */
  async reload(): Promise<number> {
    const {options, shared} = this.#disk;
    this.rollback.load();
    this.#configure(readDiskConfig(options.home, options.name).resource);
    this.#refuseBesideBypass();
    shared.signal(WORD.replaySignal);
    // A batch that runs began before, and may go further than it would now.
    const deadline = options.clock.monotonicMs() + BATCH_MS;
    while (!shared.tryLock(WORD.replayLock)) {
      if (options.clock.monotonicMs() > deadline) {
        throw new DiskError('TIMEOUT', 'a batch of replay did not end in time', {
          waitedMs: BATCH_MS,
        });
      }

      await new Promise((resolve) => setTimeout(resolve, LOCK_LOOK_MS));
    }

    shared.unlock(WORD.replayLock);
    this.#refuseBesideBypass();
    this.rollback.look();
    return shared.replayTo.get();
  }

  /**
   * Whatever stands on the image is given up, and nothing else may stand on it until `open`: writes are
   * about to go past the log.
   *
   * @returns false where that cannot be noted now: the image must not change then
   */
  close(): boolean {
    this.#isClosed = true;
    this.#readMounts();
    for (const mount of this.#mounts) this.#lose(mount, 'writes go past the log, to the image');
    return this.#mounts.length === 0 && this.rollback.hold === undefined;
  }

  /** Writes did not go past the log after all. */
  open(): void {
    this.#isClosed = false;
  }

  #refuseBesideBypass(): void {
    if (this.#mounts.length === 0 && this.rollback.hold === undefined) return;
    if (!this.#isClosed && this.#disk.shared.get(WORD.bypass) === 0) return;
    throw new DiskError('BYPASS', 'writes go past the log: no moment of this disk can be had');
  }

  /**
   * Names the moment.
   *
   * @returns the position behind its record, which is durable
   * @throws DiskError LOG_SPACE, TIMEOUT
   */
  async mark(label: string): Promise<number> {
    requireLog(this.#disk, 'it takes a mark');
    const done = await this.#disk.command(COMMAND.mark, 0, label);
    if (!done) throw new DiskError('LOG_SPACE', 'the log has no room for the mark now: try again');
    const position = this.#disk.shared.commandArgument.get();
    await this.#disk.commit();
    return position;
  }

  /** A rollback has ended: what it held is free. */
  refresh(): void {
    this.#publish();
  }

  status(): DiskHistory {
    const {shared} = this.#disk;
    return {
      windowSeconds: shared.get(WORD.historySeconds),
      oldest: formatPosition(shared.replayTo.get()),
      restorableFrom: this.#restorableFrom(),
    };
  }

  /** Looks once, with each pulse: how much room there is, and whether history is shorter than it should be. */
  look(): void {
    const {shared} = this.#disk;
    const isWanted = shared.get(WORD.historySeconds) > 0;
    if (isWanted || this.#mounts.length > 0) {
      const roomBytes = this.#roomBytes();
      if (roomBytes !== undefined) shared.historyRoom.set(Math.max(1, Math.trunc(roomBytes)));
      if (this.#mounts.length > 0) this.#lookAtMounts();
    }

    this.#tellShort(isWanted && shared.get(WORD.historyShort) !== 0);
    this.rollback.look();
  }

  /** Some may have been lost by another hand; and the oldest is let go where room is short. */
  #lookAtMounts(): void {
    const {files} = this.#disk.options;
    const directory = this.#directory;
    const left = this.#mounts.filter(({id}) => files.exists(historyPath(directory, id, 'json')));
    if (left.length < this.#mounts.length) {
      this.#mounts = left;
      this.#publish();
    }

    const replayedTo = this.#disk.shared.replayTo.get();
    for (const mount of left.filter(({position}) => positionOf(position) < replayedTo)) {
      this.#lose(mount, 'the image is newer than a moment that was mounted');
    }

    const [oldest] = this.#mounts;
    if (oldest === undefined || !this.#mustGiveWay(oldest)) return;
    this.#lose(oldest, 'the log ran out of room');
  }

  #mustGiveWay({base, position}: HistoryMount): boolean {
    const {shared} = this.#disk;
    const roomBytes = shared.historyRoom.get();
    if (shared.appended.get() - positionOf(base) > roomBytes) return true;
    // Others give way first: replay goes on up to the moment. Then it is the moment's turn.
    const isShort = shared.get(WORD.spaceShort) !== 0 || shared.get(WORD.keeperTroubled) !== 0;
    return isShort && shared.replayed.get() >= positionOf(position);
  }

  #lose(mount: HistoryMount, why: string): void {
    const {files} = this.#disk.options;
    try {
      loseHistoryMount(files, this.#directory, mount.id);
    } catch (error) {
      // Not even that can be noted now: it holds what it holds, and the next look tries again.
      if (errnoOf(error) === undefined) throw error;
      return;
    }

    this.#mounts = this.#mounts.filter((one) => one !== mount);
    const text =
      `${why}: the moment mounted as ${mount.id} is lost, reads of it are answered with an I/O error; ` +
      `the disk itself is not touched`;
    this.#disk.event({code: 'HISTORY_LOST', severity: 'warning', text});
    this.#publish();
  }

  /** Reads which moments are mounted. Where the image has gone beyond one it is lost. */
  #readMounts(): void {
    const {files} = this.#disk.options;
    const found = readHistoryMounts(files, this.#directory).filter(({isLost}) => !isLost);
    this.#mounts = found
      .map(({mount}) => mount)
      .sort((one, other) => positionOf(one.base) - positionOf(other.base));
    this.#publish();
  }

  #publish(): void {
    const {shared} = this.#disk;
    const {hold} = this.rollback;
    const held = hold === undefined ? [] : [hold];
    const bases = this.#mounts.map(({base}) => positionOf(base));
    const positions = this.#mounts.map(({position}) => positionOf(position));
    for (const {base, position} of held) {
      bases.push(base);
      positions.push(position);
    }

    shared.retain(Math.min(this.#retainFrom, ...bases));
    shared.holdReplay(Math.min(Infinity, ...positions));
    shared.signal(WORD.replaySignal);
  }

  get #directory(): string {
    const {home, name} = this.#disk.options;
    return resourcePaths(home, name).historyDirectory;
  }

  #configure(file: ResourceFile): void {
    this.#file = file;
    this.#disk.shared.set(WORD.historySeconds, file.historySeconds ?? 0);
    this.#readMounts();
    this.look();
  }

  /** Bytes of log that may wait for replay; undefined where it cannot be asked now. */
  #roomBytes(): number | undefined {
    const {shared, options, config, spareCount} = this.#disk;
    if (config === undefined) return undefined;
    const {logCapBytes, segmentBytes} = this.#file ?? config.resource;
    try {
      const freeBytes = options.files.freeBytes(segmentPlan(config).directory);
      const kept = this.#mounts.map(({base}) => positionOf(base));
      const waitingBytes = shared.appended.get() - Math.min(shared.replayed.get(), ...kept);
      const share = ROOM_SHARE * (freeBytes + spareCount * segmentBytes + waitingBytes);
      const indexed = options.mode === 'serve' ? INDEXED_BYTES : Infinity;
      return Math.min(share, logCapBytes ?? LOG_CAP_BYTES_DEFAULT, indexed);
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      return undefined;
    }
  }

  #tellShort(isShort: boolean): void {
    const {notices, shared} = this.#disk;
    const wasShort = this.#isShort;
    this.#isShort = isShort;
    if (!isShort) {
      notices.drop('HISTORY_SHORTENED');
      return;
    }

    const window = formatDuration(shared.get(WORD.historySeconds));
    const room = formatBytes(shared.historyRoom.get());
    const from = this.#restorableFrom();
    const text =
      `the log has room for ${room} of history only, less than history=${window} needs` +
      (from === null ? '' : `: what was before ${from} cannot be mounted`);
    notices.put('HISTORY_SHORTENED', 'warning', text);
    if (!wasShort) this.#disk.event({code: 'HISTORY_SHORTENED', severity: 'warning', text});
  }

  #restorableFrom(): string | null {
    const {shared} = this.#disk;
    const timeMs = shared.replayedTime.get();
    if (timeMs > 0) return new Date(timeMs).toISOString();
    // Nothing was ever replayed: the disk was as it is now, empty or taken over, when it was made.
    return shared.replayTo.get() === 0 ? (this.#file?.createdAt ?? null) : null;
  }
}
