/** The guard of the log's room as a disk process has it: what it sees, and what it tells. */
import {spacePolicyOf, type Slowed} from '../core/space.js';
import {segmentPlan, type DiskConfig} from './config.js';
import type {DiskProcess} from './process.js';
import {WORD} from './shared.js';
import {SPACE_CALM_MS, SpaceGuard} from './space-guard.js';

/** A pulse that comes a little early is that of its second all the same. */
const PULSE_SLACK_MS = 100;

/** The guard and its timer; from the activation of a disk that serves to its end. */
export class SpaceRun {
  readonly guard: SpaceGuard;
  readonly #disk: DiskProcess;
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
    this.run();
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
    const waitMs = this.guard.step();
    if (waitMs >= SPACE_CALM_MS) return;
    this.#timer = setTimeout(() => {
      this.run();
    }, waitMs);
  }

  /** Twice a second: looks where the guard is calm, but the log goes on. */
  pulse(): void {
    const {shared, options} = this.#disk;
    if (this.#timer !== undefined) return;
    const sinceMs = options.clock.monotonicMs() - this.#lookedMs;
    if (sinceMs < SPACE_CALM_MS - PULSE_SLACK_MS) return;
    const {appended, replayed} = this.#seen;
    const isStill = shared.appended.get() === appended && shared.replayed.get() === replayed;
    // Where nothing is written, nothing needs room.
    if (isStill && shared.get(WORD.parked) === 0) this.guard.skip();
    else this.run();
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
