import type {Files} from '../../src/core/files.js';
import {TwoSlotFile} from '../../src/core/two-slot.js';
import type {SimDisk} from './sim-disk.js';

/** Whether the device itself says that flushes were answered without replicas. */
export function isDegraded(disk: SimDisk, path: string): boolean {
  const device: Pick<Files, 'open' | 'close' | 'read'> = {
    open: () => 0,
    close: () => undefined,
    read: (_fd, target, offset, length, position) =>
      disk.peek(path, position, length, true).copy(target, offset),
  };
  try {
    const state = TwoSlotFile.peek(device as Files, path) as {degraded: unknown} | undefined;
    return (state?.degraded ?? null) !== null;
  } catch {
    // It was never written, or that is not durable.
    return false;
  }
}
