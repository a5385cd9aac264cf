/**
 * Ranges of a replica that a comparison found to differ are taken from the primary, by what repairs a
 * fork's loser: their content and the log that goes with it are fetched beside the image (begin-copy.ts),
 * which stays whole until all of it is here, or into the image, which is InConsistent until then.
 *
 * The histories are one: the log goes on from where the image is. So the list of ranges is all that can
 * differ, and nothing of the log here is given up before the new one is there.
 */
import {DiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {formatPosition} from '../../core/position.js';
import {readLineage} from '../../log/lineage.js';
import {emptySyncState, type SyncState} from '../../disk/sync-state.js';
import {openReplayState} from '../../image/replay-state.js';
import type {ByteRange} from '../../log/changes.js';
import {SYNC_CHUNK_BYTES} from '../../log/frame-schemas.js';
import {formatChain} from '../../log/record.js';
import {listSegments} from '../../log/walk.js';
import {findDisk, stopReplay} from '../activate.js';
import type {Context} from '../context.js';
import type {Resource} from '../resource.js';
import {beginCopy, type CopyPlan} from './begin-copy.js';
import {chainAt} from './branch-image.js';
import {refuseSwitching} from './next-view.js';

const STOP_TIMEOUT_MS = 30_000;

/**
 * Begins it: durable when this resolves. The replica follows the primary as soon as it is poked.
 *
 * @param end end of the primary's log
 * @returns how
 * @throws DiskError RESOURCE_PRIMARY, VERIFY_REFUSED, TIMEOUT, LOG_CORRUPT, STORE_*
 */
export async function beginRepair(
  context: Context,
  resource: Resource,
  ranges: readonly ByteRange[],
  end: number,
): Promise<CopyPlan['how']> {
  return resource.run('verify repair', async () => {
    const {name, places, file} = resource;
    refuseSwitching(context.paths.home, name);
    const found = await findDisk(places);
    if (file.designatedRole === 'primary' || found.kind === 'serving') {
      const text = `${name} is primary here: what differs is never copied to the primary`;
      throw new DiskError('RESOURCE_PRIMARY', text, {resource: name});
    }

    if (found.kind !== 'absent') {
      await stopReplay(places, name, performance.now() + STOP_TIMEOUT_MS);
      resource.noteEnd(found.status);
    }

    const plan = await beginCopy({
      ...{home: context.paths.home, file, end, at: null, isGarbage: false},
      known: planRanges(resource, ranges),
      keepsHistory: true,
    });
    const how = plan.how === 'repair' ? 'beside it' : `into its image: ${plan.whyNotBeside ?? ''}`;
    const text = `what differs of ${name} is fetched from the primary, ${how}`;
    context.tell('SYNC_BEGUN', 'warning', name, text);
    if (plan.how !== 'repair') resource.noteLost();
    return plan.how;
  });
}

/** What a copy has to know to move these ranges alone. @throws DiskError VERIFY_REFUSED, LOG_CORRUPT */
function planRanges({places, file, name}: Resource, ranges: readonly ByteRange[]): SyncState {
  const files = createNodeFiles();
  const {logDirectory, replayFile, lineageFile} = places.paths;
  const {file: stateFile, state} = openReplayState(files, replayFile);
  stateFile.close();
  const {from: begin, to} = state;
  if (begin !== to) {
    // A batch that broke off has written blocks that are in no list; the next process writes it again.
    const text = `replay of ${name} was broken off: it has to end its batch first`;
    throw new DiskError('VERIFY_REFUSED', text, {resource: name});
  }

  const chain = chainAt(files, listSegments(files, logDirectory, file.id), begin);
  const lineage = readLineage(files, lineageFile).filter(
    ({start}) => start <= formatPosition(begin),
  );
  const epoch = lineage.at(-1)?.epoch;
  if (epoch === undefined) {
    throw new DiskError('VERIFY_REFUSED', `${name} has no history yet`, {resource: name});
  }

  return {
    ...emptySyncState(file.sizeBytes, SYNC_CHUNK_BYTES),
    ...{state: 'copying', epoch, begin, lineage, image: state.image},
    ...{chain: formatChain(chain), only: ranges},
  };
}
