/** What a resource does when its log runs out of room, and who gives way first. */
import type {ResourceFile} from './home.js';

export const WHEN_FULL = ['block', 'throttle', 'bypass'] as const;

/**
 * `block`: writes wait until there is room. `throttle`: they are slowed before that. `bypass`: they wait
 * only until all of the log is in the image, and go there then.
 */
export type WhenFull = (typeof WHEN_FULL)[number];

export const WHEN_FULL_DEFAULT: WhenFull = 'block';

/** Of resources that share a file system the one with the lowest number gives way first. */
export const PRIORITY_DEFAULT = 50;
export const PRIORITY_MAX = 100;

export interface SpacePolicy {
  readonly whenFull: WhenFull;
  readonly priority: number;
}

/** The policy in force of a resource; absent settings have their default. */
export function spacePolicyOf({whenFull, priority}: Partial<ResourceFile>): SpacePolicy {
  return {whenFull: whenFull ?? WHEN_FULL_DEFAULT, priority: priority ?? PRIORITY_DEFAULT};
}

/** Writes that go past the log; part of the status. */
export interface Bypassed {
  /** RFC 3339. */
  readonly since: string;
  /** Of the image that the log does not describe any more, in steps of some MiB. */
  readonly bytes: number;
}

/** Writes that are slowed; part of the status. */
export interface Slowed {
  /** So much is let through. */
  readonly bytesPerSecond: number;
  /** RFC 3339. */
  readonly since: string;
  readonly reason: string;
}
