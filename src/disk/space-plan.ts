/**
 * How full the log is, and what is done about it before writes have to wait. Pure, so that tests
 * own the numbers.
 *
 *   fill    0 .. 1: the log that still has to go somewhere, of the room that there is for it
 *   0.5     replay does not wait for more to merge (left below 0.25)
 *   0.5     `throttle`: writes are slowed, so that the log nears 0.7 ever more slowly (left below 0.4)
 *   0.7     ... to the speed at which it drains: it grows no further
 *   1       ... at almost nothing, but never below RATE_MIN_BYTES
 */
import {MIB} from '../core/units.js';

/** Two ways for the log to go: into the image, and to the slowest replica that is connected. */
export interface Drain {
  /** What has not gone that way yet. */
  readonly waitingBytes: number;
  /** The room for it. */
  readonly roomBytes: number;
  /** Position up to which it has gone. */
  readonly position: number;
}

const FORCE_ON = 0.5;
const FORCE_OFF = 0.25;
const THROTTLE_ON = 0.5;
const THROTTLE_OFF = 0.4;
/** Where the log settles while it is written faster than it drains. */
const FILL_TARGET = 0.7;
/** What is left to that point lasts so long at the least. */
const APPROACH_SECONDS = 4;
/** The slowest that writes are made. */
export const RATE_MIN_BYTES = MIB;
/** Faster than this nobody has to be slowed to. */
export const RATE_MAX_BYTES = 2 ** 40;
/** Time constant of the measured speeds. */
const SPEED_SECONDS = 2;

/** 0: nothing waits; 1: there is no room left. */
export function fillOf({waitingBytes, roomBytes}: Drain): number {
  if (waitingBytes <= 0) return 0;
  return Math.min(1, waitingBytes / Math.max(roomBytes, 1));
}

/** Whether replay is forced, with hysteresis. */
export function isReplayForced(fill: number, before: boolean): boolean {
  return fill >= (before ? FORCE_OFF : FORCE_ON);
}

/** Whether writes are slowed, with hysteresis. */
export function isThrottled(fill: number, before: boolean): boolean {
  return fill >= (before ? THROTTLE_OFF : THROTTLE_ON);
}

/** How fast writes may be, in bytes a second, where the log drains at `drainBytes` a second. */
export function writeRate({waitingBytes, roomBytes}: Drain, drainBytes: number): number {
  const growth = (FILL_TARGET * roomBytes - waitingBytes) / APPROACH_SECONDS;
  // Behind that point what was measured may be old: the drain may stand still just now.
  const left = (roomBytes - waitingBytes) / ((1 - FILL_TARGET) * roomBytes);
  const drain = drainBytes * Math.min(1, Math.max(0, left));
  return Math.min(RATE_MAX_BYTES, Math.max(RATE_MIN_BYTES, drain + growth));
}

/** The speed of a position that moves in steps, smoothed. */
export class Speed {
  bytesPerSecond = 0;
  #position: number;

  constructor(position: number) {
    this.#position = position;
  }

  note(position: number, elapsedSeconds: number): void {
    if (elapsedSeconds <= 0) return;
    const now = Math.max(0, position - this.#position) / elapsedSeconds;
    this.#position = position;
    const weight = Math.min(1, elapsedSeconds / SPEED_SECONDS);
    this.bytesPerSecond += weight * (now - this.bytesPerSecond);
  }
}
