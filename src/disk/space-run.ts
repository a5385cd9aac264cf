/** The guards of the log's room as a disk process has them: what they see, and what they tell. */
import fs from 'node:fs/promises';
import {DiskError, errnoOf} from '../core/errors.js';
import {resourcePaths} from '../core/home.js';
import {spacePolicyOf, type Bypassed, type Slowed, type WhenFull} from '../core/space.js';
import {formatBytes} from '../core/units.js';
import {REGION_BYTES} from '../image/bypass-map.js';
import {BypassGuard} from './bypass-guard.js';
import {segmentPlan, type DiskConfig} from './config.js';
import type {Activated} from './messages.js';
import type {DiskProcess} from './process.js';
import {COMMAND, WORD} from './shared.js';
import {SPACE_CALM_MS, SpaceGuard} from './space-guard.js';

/** A pulse that comes a little early is that of its second all the same. */
const PULSE_SLACK_MS = 100;

const LEAVE_TIMEOUT_MS = 30_000;

/** The guards and their timer; from the activation of a disk that serves to its end. */
export class SpaceRun {
  readonly guard: SpaceGuard;
  readonly #bypass: BypassGuard;
  readonly #disk: DiskProcess;
  #bypassedSince: string | undefined;
  #isTold = false;
  #isTurning = false;
  #heardMs: number;
  #timer: NodeJS.Timeout | undefined;
  #seen = {appended: -1, replayed: -1};
  #lookedMs = -Infinity;

  /** @param wake lets the front look at parked writes */
  constructor(disk: DiskProcess, config: DiskConfig, wake: () => void) {
    this.#disk = disk;
    const {files, clock} = disk.options;
    this.#heardMs = clock.monotonicMs();
    this.guard = new SpaceGuard({
      ...{files, clock, wake, shared: disk.shared, directory: segmentPlan(config).directory},
      segmentBytes: config.resource.segmentBytes,
      whenFull: spacePolicyOf(config.resource).whenFull,
      spareCount: () => disk.spareCount,
      onSlowed: (slowed) => {
        noteSlowed(disk, slowed);
      },
      silentMs: () => clock.monotonicMs() - this.#heardMs,
      letGo: () => {
        letGoOldest(disk);
      },
    });
    this.#bypass = new BypassGuard({
      ...{files, clock, shared: disk.shared, plan: segmentPlan(config)},
      paths: resourcePaths(config.home, config.resource.name),
      enter: () => {
        this.#turn(async () => {
          // Before the front changes the image: who reads a moment that stands on it sees that it is lost.
          if (disk.history.close()) await disk.command(COMMAND.bypass);
        });
      },
      leave: () => {
        this.#turn(() => this.#leave(config.resource.imagePath));
      },
    });
    this.configure(spacePolicyOf(config.resource).whenFull);
    // Before spares take the room.
    this.#bypass.prepareNow();
    this.run();
  }

  /** A new policy, from now on. */
  configure(whenFull: WhenFull): void {
    const isNew = whenFull !== this.guard.whenFull;
    this.guard.configure(whenFull);
    // Only what can be ended in order can also be left.
    this.#bypass.want(whenFull === 'bypass' && this.#disk.options.driver === 'kernel');
    if (isNew) this.run();
  }

  /** Writes that go past the log now. */
  get bypassed(): Bypassed | undefined {
    const regions = this.#disk.shared.get(WORD.bypass) - 1;
    if (regions < 0) return undefined;
    this.#bypassedSince ??= new Date(this.#disk.options.clock.wallMs()).toISOString();
    return {since: this.#bypassedSince, bytes: regions * REGION_BYTES};
  }

  /** Somebody asked how the disk is, as a daemon does every other second. */
  noteHeard(): void {
    this.#heardMs = this.#disk.options.clock.monotonicMs();
  }

  /** Looks now, and again when the guard wants to. */
  run(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#disk.phase === 'stopping') return;
    const {shared, options} = this.#disk;
    this.#seen = {appended: shared.appended.get(), replayed: shared.replayed.get()};
    this.#lookedMs = options.clock.monotonicMs();
    // Before writes wait: history and mounted moments are the first to give way.
    this.#disk.history.look();
    this.#openHistory();
    this.#tellBypass();
    const waitMs = Math.min(this.guard.step(), this.#bypass.step());
    if (waitMs >= SPACE_CALM_MS) return;
    this.#timer = setTimeout(() => {
      this.run();
    }, waitMs);
  }

  /** Twice a second: looks where the guard is calm, but the log goes on. */
  pulse(): void {
    const {shared, options} = this.#disk;
    this.#openHistory();
    if (this.#timer !== undefined) return;
    const sinceMs = options.clock.monotonicMs() - this.#lookedMs;
    if (sinceMs < SPACE_CALM_MS - PULSE_SLACK_MS) return;
    const {appended, replayed} = this.#seen;
    const isStill = shared.appended.get() === appended && shared.replayed.get() === replayed;
    // Where nothing is written, nothing needs room.
    if (isStill && shared.get(WORD.parked) === 0 && !this.#bypass.isBusy) this.guard.skip();
    else this.run();
  }

  /** Once it is clear that the front does not go past the log: it may be about to, though nobody waits for it. */
  #openHistory(): void {
    const {history, commands, shared} = this.#disk;
    if (this.#isTurning || commands.isOwed || shared.get(WORD.bypass) !== 0) return;
    history.open();
  }

  #tellBypass(): void {
    const bypassed = this.bypassed;
    if (bypassed === undefined) return;
    const text = `the log has no room: writes go past it, to the image, ${formatBytes(bypassed.bytes)} of it so far`;
    this.#disk.notices.bypassed(text);
    if (!this.#isTold) this.#disk.event({code: 'BYPASS', severity: 'critical', text});
    this.#isTold = true;
  }

  /** One at a time; where it does not come about the guard asks again. */
  #turn(act: () => Promise<unknown>): void {
    if (this.#isTurning) return;
    this.#isTurning = true;
    act()
      .catch((error: unknown) => {
        if (!(error instanceof DiskError)) throw error;
      })
      .finally(() => {
        this.#isTurning = false;
        this.run();
      });
  }

  /** Most of the image is synced before anybody has to wait for it. */
  async #leave(imagePath: string): Promise<void> {
    const image = await fs.open(imagePath, 'r+');
    try {
      await image.datasync();
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      // It is told once: who opens the image behind it would not hear of it.
      await this.#disk.command(COMMAND.imageFailed);
      return;
    } finally {
      await image.close();
    }

    await this.#disk.renewal.prepare(LEAVE_TIMEOUT_MS);
    this.#disk.renewal.end();
  }
}

function noteSlowed(disk: DiskProcess, slowed: Slowed | undefined): void {
  const text = disk.notices.slowed(slowed);
  if (text === undefined) return;
  if (slowed === undefined) disk.event({code: 'WRITES_FREE', severity: 'info', text});
  else disk.event({code: 'WRITES_SLOWED', severity: 'warning', text});
}

function letGoOldest(disk: DiskProcess): void {
  const oldest = disk.retained[0];
  if (oldest === undefined) return;
  const text = `there is no room for the log, and no daemon to say whom it is kept for: ${oldest.name} is let go`;
  disk.event({code: 'REPLICA_DROPPED', severity: 'critical', text});
  disk.retain(oldest.end);
}

/** @throws DiskError BYPASS where writes go past the log */
export function requireLog({options, shared}: DiskProcess, until: string): void {
  if (shared.get(WORD.bypass) === 0) return;
  const {name} = options;
  const text = `writes of ${name} go past its log, which has no room: free space there before ${until}`;
  throw new DiskError('BYPASS', text, {resource: name});
}

/** The life before wrote past the log, and this one has said so in there. */
export function tellLeft(disk: DiskProcess, {bypassedBytes = 0}: Activated): void {
  if (bypassedBytes === 0) return;
  const text = `writes go to the log again; ${formatBytes(bypassedBytes)} of the image were written past it`;
  disk.event({code: 'BYPASS_LEFT', severity: 'warning', text});
}
