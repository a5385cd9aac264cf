/** Faults of the simulated disk: planned ones, and random ones with a probability. */
import {chance} from './random.js';
import type {Random} from './random.js';

/** Calls of Files, as faults, hooks and traces name them. */
export type SimCall =
  | 'open'
  | 'close'
  | 'read'
  | 'write'
  | 'syncData'
  | 'sync'
  | 'truncate'
  | 'sizeOf'
  | 'identify'
  | 'punch'
  | 'rename'
  | 'unlink'
  | 'list'
  | 'exists'
  | 'makeDirectory'
  | 'syncDirectory';

/** `lost` and `misdirected` are writes that the device claims to have done. */
export type SimFaultKind = 'EIO' | 'ENOSPC' | 'EOPNOTSUPP' | 'EROFS' | 'lost' | 'misdirected';

export interface SimFault {
  readonly path: RegExp;
  readonly calls: readonly SimCall[];
  readonly kind: SimFaultKind;
  /** Matching calls that pass before the first that fails; default 0. */
  readonly after?: number;
  /** Calls that fail; default 1. */
  readonly count?: number;
  /** Each of them fails with this probability; default 1. */
  readonly probability?: number;
}

export class SimFaults {
  #faults: {readonly fault: SimFault; after: number; count: number}[] = [];
  /** How many faults were given out: a scenario that never hit anything proves nothing. */
  injected = 0;

  add(fault: SimFault): void {
    this.#faults.push({fault, after: fault.after ?? 0, count: fault.count ?? 1});
  }

  clear(): void {
    this.#faults = [];
  }

  /** @returns the fault that this call meets, if any; counts it */
  meet(random: Random, call: SimCall, path: string): SimFaultKind | undefined {
    for (const state of this.#faults) {
      const {fault} = state;
      if (state.count === 0 || !fault.calls.includes(call) || !fault.path.test(path)) continue;
      if (state.after > 0) {
        state.after -= 1;
        continue;
      }

      if (!chance(random, fault.probability ?? 1)) continue;
      state.count -= 1;
      this.injected += 1;
      return fault.kind;
    }

    return undefined;
  }
}
