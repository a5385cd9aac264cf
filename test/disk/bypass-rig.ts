/** A disk whose log finds no room any more, and whose writes go past it. */
import * as assert from 'uvu/assert';
import {BypassGuard} from '../../src/disk/bypass-guard.js';
import {COMMAND, WORD} from '../../src/disk/shared.js';
import {PENDING} from '../../src/fuse/handler.js';
import {BypassMap, peekBypass, type BypassState} from '../../src/image/bypass-map.js';
import {PATHS, Rig} from './rig.js';

/** A rig with the guard, which is asked with every tick. */
export class BypassRig extends Rig {
  // Set by the first life, which the constructor of the base begins.
  declare guard: BypassGuard;
  declare wantsToLeave: boolean;

  override begin(): void {
    super.begin();
    this.wantsToLeave = false;
    this.guard = new BypassGuard({
      ...{files: this.files, clock: this.clock, shared: this.life.shared},
      ...{paths: PATHS, plan: this.life.disk.plan},
      enter: () => {
        this.life.shared.set(WORD.command, COMMAND.bypass);
      },
      leave: () => {
        this.wantsToLeave = true;
      },
    });
    this.guard.want(true);
    this.guard.prepareNow();
  }

  override tick(milliseconds: number): void {
    super.tick(milliseconds);
    this.guard.step();
  }

  get isInside(): boolean {
    return this.life.shared.get(WORD.bypass) !== 0;
  }

  /** As on a file system that allocates when it overwrites, and is full. */
  takeRoom(): void {
    const path = /\/log\//u;
    this.files.faults.add({path, calls: ['write'], kind: 'ENOSPC', count: Infinity});
  }

  giveRoom(): void {
    this.files.faults.clear();
  }

  /** Writes until the log has no room, waits, and is inside. */
  enter(): void {
    this.write(0, 40_000);
    this.write(600_000, 5000);
    this.flushed();
    this.takeRoom();
    const [result, unique] = this.write(8192, 4096);
    assert.is(result, PENDING);
    for (let count = 0; count < 200 && !this.isInside; count += 1) this.tick(200);
    assert.is(this.answers.get(unique), -4096);
    assert.ok(this.isInside);
  }

  /** The next life, as when the process ends in order. */
  leave(): void {
    this.giveRoom();
    this.until(() => this.wantsToLeave);
    this.kill();
  }

  state(): BypassState | undefined {
    return peekBypass(this.files, PATHS);
  }

  /** Whether the map says that the image may differ there. */
  isMarked(offset: number): boolean {
    const map = BypassMap.open(this.files, PATHS);
    const before = map.regionCount;
    map.mark(offset, 1);
    const isMarked = map.regionCount === before;
    map.close();
    return isMarked;
  }
}
