/** A disk with a mode (rig.ts); its replicas say what the test says. */
import * as assert from 'uvu/assert';
import type {ModeSettings} from '../../src/core/mode.js';
import {TwoSlotFile} from '../../src/core/two-slot.js';
import {Notices} from '../../src/disk/notices.js';
import {SyncMode, type Want} from '../../src/disk/sync-mode.js';
import {PENDING} from '../../src/fuse/handler.js';
import {PATHS, Rig, type RigOptions} from './rig.js';

/** What the main thread of a disk process does beside front and committer, by hand. */
export class ModeRig extends Rig {
  mode!: SyncMode;
  notices!: Notices;
  readonly wants: Want[] = [];
  readonly told: string[] = [];

  constructor(settings: ModeSettings, options: RigOptions = {}) {
    super(options);
    this.beginMode(settings);
  }

  /** Belongs to each life, before the first request. */
  beginMode(settings: ModeSettings): void {
    this.notices = new Notices(this.clock);
    this.mode = new SyncMode({
      files: this.files,
      clock: this.clock,
      shared: this.life.shared,
      notices: this.notices,
      directory: PATHS.directory,
      degradedFile: PATHS.degradedFile,
      event: ({code}) => {
        this.told.push(code);
        this.trace.push(`event ${code}`);
      },
      ask: (want) => {
        this.wants.push(want);
        return true;
      },
    });
    this.mode.start(settings);
    this.mode.activated(this.life.disk.epoch);
  }

  /** A flush that the main thread and the commit thread have seen. */
  flushNow(): number {
    const [result, unique] = this.flush();
    assert.is(result, PENDING);
    this.mode.flushWaits();
    this.settle();
    return unique;
  }

  settle(): void {
    this.life.committer.step();
  }

  /** Time passes for everybody. */
  wait(milliseconds: number): void {
    for (let passed = 0; passed < milliseconds; passed += 100) {
      this.clock.advance(100);
      this.mode.step();
      this.settle();
    }
  }

  confirm(name: string, received: number, durable = received, epoch = this.life.disk.epoch): void {
    this.mode.confirm(epoch, {node: name, name, received, durable});
    this.settle();
  }

  get end(): number {
    return this.life.shared.appended.get();
  }

  get degradedOnDisk(): unknown {
    const value = TwoSlotFile.peek(this.files, PATHS.degradedFile);
    return (value as {degraded: unknown}).degraded;
  }
}
