import type {Files} from '../../src/core/files.js';
import {resourcePaths} from '../../src/core/home.js';
import {TwoSlotFile} from '../../src/core/two-slot.js';
import {SimFailure} from './oracle.js';
import {SIM_HOME, SIM_NAME} from './sim-config.js';
import type {SimCall} from './sim-faults.js';
import type {SimDisk} from './sim-disk.js';

/**
 * Log before image: when replay is about to change the image, the device itself must hold the
 * state {from, to} with to > from, or nobody would know that the image is a mixture.
 */
export function checkAnnounced(disk: SimDisk, call: SimCall, path: string): void {
  const {image, replayFile} = resourcePaths(SIM_HOME, SIM_NAME);
  if (path !== image || (call !== 'write' && call !== 'punch')) return;
  const device: Pick<Files, 'open' | 'close' | 'read'> = {
    open: () => 0,
    close: () => undefined,
    read: (_fd, target, offset, length, position) =>
      disk.peek(replayFile, position, length, true).copy(target, offset),
  };
  const state = TwoSlotFile.peek(device as Files, replayFile) as {from: number; to: number};
  if (state.to <= state.from) throw new SimFailure('the image is changed without announcement');
}
