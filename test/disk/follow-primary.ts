/** A primary whose log is followed. */
import {WORD} from '../../src/disk/shared.js';
import type {SourceRecord} from './follow-rig.js';
import {Rig} from './rig.js';

/** A primary that has written `count` times over its disk, in segments of 128 KiB. */
export function primaryWith(count: number, seed = 1): Rig {
  const rig = new Rig({seed});
  rig.life.shared.set(WORD.replayPaused, 1);
  write(rig, count);
  return rig;
}

/** Writes `count` times, and makes it durable. */
export function write(rig: Rig, count: number): void {
  for (let at = 0; at < count; at += 1) {
    const offset = ((at * 37) % 120) * 8192;
    if (at % 9 === 8) rig.zero(offset, 16_384, at % 2 === 0);
    else rig.write(offset + (at % 3) * 512, 3000 + ((at * 997) % 20_000));
    rig.until(() => !rig.parked);
    if (at % 10 === 9) rig.flushed();
  }

  rig.commit();
}

/** Where the log ends. */
export function endOf(records: readonly SourceRecord[]): number {
  return records.at(-1)?.end ?? 0;
}
