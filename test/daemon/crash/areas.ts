/** Which test passes each crash point: a point without one does not compile, one that is dead fails there. */
import * as assert from 'uvu/assert';
import type {CrashPoint} from '../../../src/core/crash-points.js';

/**
 * simulator: test/sim/crash-points.test.ts, with power loss as well; the others: the file of the
 * name in this directory.
 */
export type Area = 'simulator' | 'fork' | 'roles' | 'resource' | 'cut';

const AREA_OF: Readonly<Record<CrashPoint, Area>> = {
  'file-written': 'simulator',
  'file-renamed': 'simulator',
  'two-slot-written': 'simulator',
  'two-slot-synced': 'simulator',
  'replay-state-made': 'fork',
  'replay-state-renamed': 'fork',
  'sync-state-removed': 'simulator',
  'segment-ready-written': 'simulator',
  'segment-ready-renamed': 'simulator',
  'spares-set-aside': 'simulator',
  'epoch-in-lineage': 'simulator',
  'epoch-begun': 'simulator',
  'batch-noted': 'simulator',
  'batch-written': 'simulator',
  'follow-epoch-in-lineage': 'simulator',
  'follow-segment-begun': 'simulator',
  'cut-lineage': 'simulator',
  'cut-segments': 'simulator',
  'cut-done': 'simulator',
  'log-forgotten': 'fork',
  'copy-begun': 'fork',
  'copy-progress': 'fork',
  'copy-image-done': 'fork',
  'copy-replay-state': 'fork',
  'resize-image': 'resource',
  'resize-logged': 'resource',
  'resize-done': 'resource',
  'create-staged': 'resource',
  'create-renamed': 'resource',
  'delete-renamed': 'resource',
  'delete-run-files': 'resource',
  'slots-written': 'resource',
  'handover-deactivated': 'roles',
  'handover-end-known': 'roles',
  'handover-forced-cleared': 'roles',
  'handover-granted': 'roles',
  'handover-wish-saved': 'roles',
  'take-granted': 'roles',
  'take-log-here': 'roles',
  'take-follower-ended': 'roles',
  'take-wish-saved': 'roles',
  'force-follower-ended': 'roles',
  'force-wish-saved': 'roles',
  'return-wish-corrected': 'roles',
  'secondary-deactivated': 'roles',
  'fork-kept': 'fork',
  'fork-lineage': 'fork',
  'fork-segments': 'fork',
  'fork-cut': 'fork',
  'branch-staged': 'fork',
  'branch-renamed': 'fork',
  'branch-dying': 'fork',
  'tail-staged': 'fork',
  'tail-renamed': 'fork',
  'copy-again': 'fork',
  'copy-again-noted': 'fork',
  'switch-image': 'fork',
  'switch-log': 'fork',
  'switch-lineage': 'fork',
  'log-cut-staged': 'cut',
  'log-cut-kept': 'cut',
  'log-cut-begin': 'cut',
  'log-cut-lineage': 'cut',
  'log-cut-segments': 'cut',
  'log-cut-done': 'cut',
  'log-cut-undo-replay': 'cut',
  'log-cut-undo-file': 'cut',
  'undo-marked': 'fork',
  'undo-log-removed': 'fork',
  'undo-log-copied': 'fork',
  'undo-image-staged': 'fork',
  'undo-image': 'fork',
  'undo-replay-state': 'fork',
};

/** The points that the tests of an area have to pass. */
export function pointsOf(area: Area): CrashPoint[] {
  return (Object.keys(AREA_OF) as CrashPoint[]).filter((point) => AREA_OF[point] === area);
}

/** @throws AssertionError with the names of points that nobody passed */
export function assertArea(area: Area, passed: ReadonlySet<CrashPoint>): void {
  const dead = pointsOf(area).filter((point) => !passed.has(point));
  assert.equal(dead, [], `points of "${area}" that no test passes`);
}
