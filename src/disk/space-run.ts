/** The guard of the log's room as a disk process has it: what it sees, and what it tells. */
import {spacePolicyOf, type Slowed} from '../core/space.js';
import {segmentPlan, type DiskConfig} from './config.js';
import type {DiskProcess} from './process.js';
import {SpaceGuard} from './space-guard.js';

/** The guard and its timer; from the activation of a disk that serves to its end. */
export class SpaceRun {
  readonly guard: SpaceGuard;
  readonly #disk: DiskProcess;
  #heardMs: number;
  #timer: NodeJS.Timeout | undefined;

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
    if (this.#disk.phase === 'stopping') return;
    this.#timer = setTimeout(() => {
      this.run();
    }, this.guard.step());
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
