import {AssertionError} from 'node:assert';

/** Throws unless `condition` holds. For bugs only: bad input and bad disks throw DiskError. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError({message, stackStartFn: assert});
}

/** Marks a branch that cannot be reached; the compiler proves it for a closed union. */
export function unreachable(value: never): never {
  throw new AssertionError({message: `unreachable: ${String(value)}`, stackStartFn: unreachable});
}
