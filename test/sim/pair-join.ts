/** What is left on a node after a copy of the image from another one (the sync has tests of its own). */
import {resourcePaths} from '../../src/core/home.js';
import {forgetLog} from '../../src/disk/follow-activation.js';
import {replaceReplayState} from '../../src/image/replay-state.js';
import {emptySyncState, writeSyncState} from '../../src/disk/sync-state.js';
import {formatPosition} from '../../src/core/position.js';
import {SYNC_CHUNK_BYTES} from '../../src/log/frame-schemas.js';
import type {PairNode} from './pair-node.js';

/**
 * Makes `node`, which does not run, a copy of `source`, whose log is kept from `begin` on.
 *
 * @param chain chain value at `begin`
 * @param endChain the same at the source's `to`
 */
export function copyImage(source: PairNode, node: PairNode, chain: string, endChain: string): void {
  const {disk, config} = node;
  const {home, resource} = config;
  const {image, replayFile, directory} = resourcePaths(home, resource.name);
  const begin = source.shared.replayed.get();
  const end = source.shared.replayTo.get();
  forgetLog(disk, config);
  const bytes = source.disk.peek(source.paths.image, 0, resource.sizeBytes);
  const fd = disk.open(image, 'write');
  disk.write(fd, bytes, 0, bytes.length, 0);
  disk.sync(fd);
  const identity = disk.identify(fd);
  disk.close(fd);
  replaceReplayState(disk, directory, replayFile, {
    schema: 1,
    from: begin,
    to: end,
    image: identity,
  });
  const lineage = source.lineage.filter(({start}) => start <= formatPosition(begin));
  const chunks = Math.ceil(resource.sizeBytes / SYNC_CHUNK_BYTES);
  writeSyncState(disk, home, resource.name, {
    ...emptySyncState(resource.sizeBytes, SYNC_CHUNK_BYTES),
    state: 'done',
    epoch: lineage.at(-1)?.epoch ?? null,
    begin,
    chain,
    end,
    endChain,
    doneChunks: chunks,
    lineage,
    image: identity,
  });
}
