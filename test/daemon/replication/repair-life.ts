/** One life of the process that repairs the loser of a fork, without a process. */
import * as assert from 'uvu/assert';
import {createNodeFiles, type Files} from '../../../src/core/files.js';
import {readDiskConfig} from '../../../src/disk/config.js';
import {NextReplica} from '../../../src/disk/next-replica.js';
import {readNextState, type NextState} from '../../../src/disk/next-state.js';
import {commitNext, switchToNext} from '../../../src/disk/next-switch.js';
import {duplexPair, type Passing} from '../../helpers/duplex-pair.js';
import {NAME, type ForkNode} from './fork-rig.js';

/** What may go wrong in it. */
export interface RepairFaults {
  /** May fail, as if the process was killed. */
  readonly files?: Files;
  /** What comes over the stream of content. */
  readonly passing?: Passing;
}

/** Makes the new replica beside the old one, where that is wanted, and puts it in place. */
export async function repairLife(
  node: ForkNode,
  source: ForkNode,
  {files = createNodeFiles(), passing}: RepairFaults = {},
): Promise<void> {
  const state = readNextState(files, node.home, NAME);
  if (state?.state === 'fetching') await makeNext(node, source, files, state, passing);
  const work = switchToNext(files, readDiskConfig(node.home, NAME));
  while (work.next().done !== true);
}

async function makeNext(
  node: ForkNode,
  source: ForkNode,
  files: Files,
  state: NextState,
  passing: Passing | undefined,
): Promise<void> {
  const config = readDiskConfig(node.home, NAME);
  let nowMs = 0;
  const troubles: Error[] = [];
  const done = {isWhole: false};
  const next = new NextReplica({
    ...{files, config, state},
    // All that has its time is due at once.
    clock: {wallMs: () => 0, monotonicMs: () => (nowMs += 10_000)},
    onTrouble: (error) => {
      if (error !== undefined) troubles.push(error);
    },
    onDamage: () => undefined,
    onNoRoom: (error) => {
      throw error;
    },
    onWhole: (positions) => {
      done.isWhole = true;
      commitNext(files, config, state, positions);
    },
    onCommitFailed: (errno) => {
      throw new Error(`commit failed: ${errno}`);
    },
  });
  try {
    if (next.log === undefined) {
      const pair = duplexPair(passing);
      // The other end may be gone before this one is read.
      pair.left.on('error', () => undefined);
      next.openSync()(pair.right);
      const serving = node.serveCopy(source, pair.left);
      const [served] = await Promise.allSettled([serving, next.settled]);
      await next.settled;
      for (const trouble of troubles) throw trouble;
      if (served.status === 'rejected') throw new Error('not served', {cause: served.reason});
      node.copiedBytes = served.value.dataBytes;
    }

    const {log} = next;
    assert.ok(log, 'the log is received');
    await node.feed(log, source);
    for (let ticks = 0; !done.isWhole && ticks < 3; ticks += 1) next.tick();
    assert.ok(done.isWhole, 'it is whole when it has the log');
  } finally {
    await next.stop();
  }
}
