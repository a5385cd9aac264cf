/**
 * Keeps facts in line with wishes, once every two seconds per resource; but a disk that serves and says
 * that nothing has changed (disk-watch.ts) is only looked at twice a minute.
 *
 *   wish                fact                                  done
 *   primary, attached   disk answers                          missing device made again
 *   primary, attached   lock held, no answer                  message: it is being started again
 *   primary, attached   lock free                             cleaned up, activated, with pauses,
 *                                                             unless another node is primary now
 *   secondary           write-back ended                      its end noted
 *   secondary, others   disk process is missing               replication/follow starts it
 *   any                 disk process started again            event; often: message DISK_FAILING
 *   any                 its log is damaged                    mended from a replica (mend-log)
 */
import {DiskError, isDiskError} from '../core/errors.js';
import {WATCH_PROTOCOL} from '../core/watch-lines.js';
import type {Context} from './context.js';
import {hasDevice} from './device.js';
import {DiskWatch} from './disk-watch.js';
import {HistoryCare} from './history/care.js';
import {isRollingBack} from './history/rollback-state.js';
import {applyDevice, bringUp, noteDevice, takeSize, writeBack} from './operations.js';
import {openDiskStream} from './replication/disk-stream.js';
import {mendLog, noteDamagedFiles} from './replication/mend-log.js';
import {noteForks, noteGrant} from './replication/role-notes.js';
import {ASK_PEERS_MS, mayServeAgain} from './replication/roles.js';
import type {Resource} from './resource.js';
import {beforePrimary, startUnit} from './role-change.js';
import {isErrorCode, type ErrorCode} from '../core/codes.js';

export const SUPERVISE_INTERVAL_MS = 2000;
const ACTIVATE_TIMEOUT_MS = 60_000;
const PAUSE_MS_FIRST = 1000;
const PAUSE_MS_MAX = 60_000;
/** So many restarts within the window are no accident. */
const RESTARTS_MANY = 3;
const RESTARTS_WINDOW_MS = 600_000;
/** A loop device that cannot be had is asked for again after this long. */
const DEVICE_PAUSE_MS = 30_000;
/** However calm a disk is, all is looked at so often. */
const LOOK_MS_MAX = 30_000;
const WATCH_TIMEOUT_MS = 2000;
/** A log that nobody can mend now is looked at again after this long: peers may come back. */
const MEND_PAUSE_MS = 30_000;

/** What the supervision remembers of one resource; all of it may be forgotten. */
export class Supervision {
  readonly #context: Context;
  readonly #resource: Resource;
  #holderPid: number | null = null;
  #restarts = 0;
  #restartTimes: number[] = [];
  #failures = 0;
  #hasAsked = false;
  #nextTryMs = 0;
  #nextDeviceMs = 0;
  #nextMendMs = 0;
  readonly #watch: DiskWatch;
  /** What a look was made with; the same again would come to the same. */
  #seen = {revision: -1, factsRevision: -1, atMs: -Infinity};
  readonly #history: HistoryCare;

  constructor(context: Context, resource: Resource) {
    this.#context = context;
    this.#resource = resource;
    this.#history = new HistoryCare(context, resource);
    this.#watch = new DiskWatch({
      clock: context.clock,
      open: () => openDiskStream(resource.places.paths.socket, WATCH_PROTOCOL, WATCH_TIMEOUT_MS),
    });
  }

  /** Nobody looks any more. */
  close(): void {
    this.#watch.close();
  }

  /** Looks once. Never throws: what goes wrong becomes a message. */
  async tick(): Promise<void> {
    if (this.#isBusy()) return;
    if (this.#isCalm()) {
      // Who serves a moment is another process: of its death the disk says nothing.
      await this.#history.look();
      if (this.#needsDevice()) await this.#repairDevice();
      return;
    }

    const hadDisk = this.#resource.disk !== undefined;
    this.#seen = this.#standing();
    this.#watch.beginLook();
    await this.#resource.poll();
    const {disk} = this.#resource;
    if (disk?.mode === 'serve') void this.#watch.connect(disk.pid);
    this.#noteRestarts();
    if (this.#resource.fault !== undefined) return;
    this.#noteSilence();
    if (this.#isBusy()) return;
    noteGrant(this.#context, this.#resource);
    noteForks(this.#context, this.#resource);
    noteDamagedFiles(this.#resource);
    await this.#history.look();
    if (this.#needsMending()) await this.#mend();
    else if (this.#needsActivation()) await this.#activateAgain(hadDisk);
    else if (this.#isBegun()) await this.#endBeginning();
    else if (this.#needsDevice()) await this.#repairDevice();
    else if (this.#needsWriteBack()) await this.#goOnWritingBack();
  }

  /** At the start of the daemon: adopts what runs, restores what should run. */
  async begin(): Promise<void> {
    const {name} = this.#resource;
    await this.#resource.poll();
    const status = this.#resource.disk;
    if (status !== undefined) {
      this.#holderPid = status.holderPid;
      this.#restarts = status.restarts;
      const text = `the disk process of ${name} (pid ${status.pid}) was adopted`;
      this.#context.tell('DISK_ADOPTED', 'info', name, text, {pid: status.pid});
      if (this.#resource.fault === undefined) takeSize(this.#resource);
    }

    if (this.#resource.fault !== undefined) return;
    const {file} = this.#resource;
    if (file.designatedRole === 'secondary' && status === undefined) {
      await this.#resource.run('write-back', () => writeBack(this.#context, this.#resource));
    }

    await this.tick();
  }

  /** What a look depends on, beside the disk process. */
  #standing(): {revision: number; factsRevision: number; atMs: number} {
    const {clock, roles} = this.#context;
    const factsRevision = roles?.factsRevision() ?? 0;
    return {revision: this.#resource.revision, factsRevision, atMs: clock.monotonicMs()};
  }

  /** A disk that serves, without a word to say, where nothing has changed since the last look. */
  #isCalm(): boolean {
    const {disk} = this.#resource;
    if (disk?.mode !== 'serve' || disk.phase !== 'serving' || disk.messages.length > 0)
      return false;
    if (this.#isBegun()) return false;
    const {revision, factsRevision, atMs} = this.#standing();
    const isSame = revision === this.#seen.revision && factsRevision === this.#seen.factsRevision;
    return isSame && atMs - this.#seen.atMs < LOOK_MS_MAX && this.#watch.isCalm;
  }

  #isBusy(): boolean {
    return this.#resource.operation !== undefined;
  }

  #noteRestarts(): void {
    const status = this.#resource.disk;
    if (status === undefined) return;
    const now = this.#context.clock.monotonicMs();
    // Another holder counts from zero.
    const known = status.holderPid === this.#holderPid ? this.#restarts : 0;
    const fresh = status.restarts - known - this.#resource.takeRenewals();
    this.#holderPid = status.holderPid;
    this.#restarts = status.restarts;
    if (fresh > 0) {
      for (let count = 0; count < fresh; count += 1) this.#restartTimes.push(now);
      const text = `the disk process of ${status.name} died and was started again (${status.restarts} times so far)`;
      const details = {pid: status.pid, restarts: status.restarts};
      this.#context.tell('DISK_RESTARTED', 'warning', status.name, text, details);
    }

    this.#restartTimes = this.#restartTimes.filter((at) => now - at < RESTARTS_WINDOW_MS);
    if (this.#restartTimes.length >= RESTARTS_MANY) {
      const count = this.#restartTimes.length;
      const text = `the disk process died ${count} times within ${RESTARTS_WINDOW_MS / 60_000} minutes: see ${this.#resource.places.paths.output}`;
      this.#resource.say('DISK_FAILING', 'warning', text);
    } else if (this.#failures === 0) {
      this.#resource.hush('DISK_FAILING');
    }
  }

  #noteSilence(): void {
    const resource = this.#resource;
    if (resource.silentSince === undefined) {
      resource.hush('DISK_UNREACHABLE');
      if (resource.disk?.phase === 'serving') resource.hushFailure();
      return;
    }

    const fatal = resource.lastWords();
    if (fatal !== undefined) resource.sayFailure(fatal.code, fatal.message);
    const cause = fatal === undefined ? '' : `; its last words: ${fatal.code}: ${fatal.message}`;
    const text = `the disk process does not answer; its holder starts it again${cause}`;
    resource.say('DISK_UNREACHABLE', 'warning', text);
  }

  /** A disk process that found its log damaged, and goes on without replay or cannot start. */
  #needsMending(): boolean {
    const {disk, silentSince} = this.#resource;
    if (this.#context.clock.monotonicMs() < this.#nextMendMs) return false;
    if (disk !== undefined) return disk.messages.some(({code}) => code === 'LOG_CORRUPT');
    return silentSince !== undefined && this.#resource.lastWords()?.code === 'LOG_CORRUPT';
  }

  async #mend(): Promise<void> {
    await this.#resource.run('mend', async () => {
      await mendLog(this.#context, this.#resource);
    });
    this.#nextMendMs = this.#context.clock.monotonicMs() + MEND_PAUSE_MS;
  }

  #needsActivation(): boolean {
    const {file, disk, silentSince} = this.#resource;
    if (file.designatedRole !== 'primary' || !file.attached) return false;
    if (silentSince !== undefined || disk?.mode === 'serve') return false;
    return this.#context.clock.monotonicMs() >= this.#nextTryMs;
  }

  /** A disk that was not ready in time when it became primary serves now. */
  #isBegun(): boolean {
    const {disk, file, isBeginning} = this.#resource;
    if (!isBeginning || file.designatedRole !== 'primary') return false;
    return disk?.mode === 'serve' && disk.phase === 'serving';
  }

  /** Device, unit and hook, as if it had been ready in time. */
  async #endBeginning(): Promise<void> {
    const resource = this.#resource;
    try {
      await resource.run('activate', async () => {
        if (!this.#isBegun()) return;
        const {driver} = resource.file;
        const deadlineMs = performance.now() + ACTIVATE_TIMEOUT_MS;
        await bringUp(this.#context, resource, {driver, acceptImage: false, deadlineMs});
      });
    } catch (error) {
      this.#noteFailure(error);
    }
  }

  async #activateAgain(hadDisk: boolean): Promise<void> {
    const resource = this.#resource;
    const deadlineMs = performance.now() + ACTIVATE_TIMEOUT_MS;
    try {
      await resource.run('activate', async () => {
        // The role may have changed while this waited for its turn.
        if (!this.#needsActivation()) return;
        if (!(await this.#mayServe())) return;
        if (!hadDisk) await beforePrimary(this.#context, resource, deadlineMs);
        if (hadDisk) this.#context.log.warn({resource: resource.name}, 'holder and disk died');
        await bringUp(this.#context, resource, {
          driver: resource.file.driver,
          acceptImage: false,
          deadlineMs,
        });
      });
      this.#failures = hadDisk ? 1 : 0;
      this.#nextTryMs = hadDisk ? this.#context.clock.monotonicMs() + PAUSE_MS_FIRST : 0;
    } catch (error) {
      this.#noteFailure(error);
    }
  }

  /** Peers are asked once, at the start of the daemon; afterwards their facts come by themselves. */
  async #mayServe(): Promise<boolean> {
    const askMs = this.#hasAsked ? 0 : ASK_PEERS_MS;
    this.#hasAsked = true;
    return mayServeAgain(this.#context, this.#resource, askMs);
  }

  #noteFailure(error: unknown): void {
    this.#failures += 1;
    const pauseMs = Math.min(PAUSE_MS_FIRST * 2 ** (this.#failures - 1), PAUSE_MS_MAX);
    this.#nextTryMs = this.#context.clock.monotonicMs() + pauseMs;
    const code: ErrorCode = isDiskError(error) ? error.code : 'BUG';
    const words = error instanceof Error ? error.message : String(error);
    this.#context.log.error({resource: this.#resource.name, code, err: error}, 'activation failed');
    this.#resource.sayFailure(code, words);
    if (this.#failures < RESTARTS_MANY) return;
    const text = `it could not be started ${this.#failures} times; next try in ${Math.round(pauseMs / 1000)} s`;
    this.#resource.say('DISK_FAILING', 'critical', text);
    if (this.#failures === RESTARTS_MANY) {
      this.#context.tell('DISK_FAILING', 'critical', this.#resource.name, `${text}: ${words}`);
    }
  }

  /** A secondary without a disk process, of which it is not known that all is in the image. */
  #needsWriteBack(): boolean {
    const {file, disk, silentSince, isWrittenBack} = this.#resource;
    if (file.designatedRole === 'primary' || !file.attached || file.replayPaused) return false;
    if (this.#resource.follow?.isWanted === true) return false;
    return disk === undefined && silentSince === undefined && !isWrittenBack;
  }

  async #goOnWritingBack(): Promise<void> {
    const resource = this.#resource;
    const holder = resource.writeBack;
    if (this.#context.clock.monotonicMs() < this.#nextTryMs) return;
    if (holder !== undefined) {
      // Not ended: on a busy machine it takes a while until there is something of it to be seen.
      if (holder.ended === undefined) return;
      if (holder.ended !== 0) {
        const text = 'the write-back ended before its time, without a word';
        this.#noteFailure(resource.lastWords() ?? new DiskError('DISK_FAILING', text));
      }
    }

    await resource.run('write-back', () => writeBack(this.#context, resource));
  }

  #needsDevice(): boolean {
    const {file, disk, places} = this.#resource;
    if (disk?.mode !== 'serve' || disk.phase !== 'serving') return false;
    if (file.designatedRole !== 'primary' || !file.device || file.withoutDevice === true)
      return false;
    if (isRollingBack(this.#resource)) return false;
    // To set one up flushes the image: losetup would wait as well, and cannot be ended then.
    if ((disk.synchronous?.flushesWaiting ?? 0) > 0) return false;
    return !hasDevice(places) && this.#context.clock.monotonicMs() >= this.#nextDeviceMs;
  }

  async #repairDevice(): Promise<void> {
    this.#nextDeviceMs = this.#context.clock.monotonicMs() + DEVICE_PAUSE_MS;
    try {
      await this.#resource.run('device', async () => {
        await applyDevice(this.#resource);
        await startUnit(this.#context, this.#resource);
      });
    } catch (error) {
      if (!(error instanceof DiskError) || !isErrorCode(error.code)) throw error;
      noteDevice(this.#resource, error);
    }
  }
}
