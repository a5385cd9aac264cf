/** The log of a resource in `mars status --json`, and the room that it has. */
import type {Bypassed, Slowed, WhenFull} from '../core/space.js';

/** A file system, for who writes to it. */
export interface FileSystemSpace {
  /** What programs may still take: without what is reserved. */
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Held back by the daemon and given to a log that has no room; absent: not known. */
  readonly reserveBytes?: number;
  /** How fast the room goes, above 0, or comes back; null or absent: not known. */
  readonly growthBytesPerSecond?: number | null;
  /** When it is full at the present growth; null or absent: it does not fill up, or is not known. */
  readonly fullInSeconds?: number | null;
}

/** From where on log is kept for a replica on another node. */
export interface SlotStatus {
  readonly node: string;
  /** null: it was let go as it lagged too far, and has to be copied again. */
  readonly position: string | null;
  /** Log at or above the position. */
  readonly bytes: number | null;
  /** For how long the log has been beyond the position. */
  readonly ageSeconds: number | null;
  /** When the position was last heard of, or since when it is let go. */
  readonly at: string;
}

/** The log as this node has it. */
export interface LogStatus {
  readonly files: number;
  readonly bytes: number;
  readonly capBytes: number | null;
  readonly firstPosition: string | null;
  /** Of the file system where the log lies; null where it does not answer. */
  readonly fileSystem?: FileSystemSpace | null;
  /** Longest time for which log is kept for a replica; null or absent: no limit. */
  readonly ageLimitSeconds?: number | null;
  /** What is kept for others here; absent where this node has no replica, or no cluster. */
  readonly slots?: readonly SlotStatus[];
  /** What happens when it runs out of room (core/space); absent where it is not known. */
  readonly whenFull?: WhenFull;
  /** Who gives way first where logs share a file system: the lowest. */
  readonly priority?: number;
  /** Writes that are slowed now; null: none are. */
  readonly slowed?: Slowed | null;
  /** Writes that go past the log now, to the image; null: none do. */
  readonly bypassed?: Bypassed | null;
}
