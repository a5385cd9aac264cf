/** Two nodes that were both primary, of which one has begun to give way: what it had must not be lost. */
import fs from 'node:fs';
import {join} from 'node:path';
import * as assert from 'uvu/assert';
import {createNodeFiles} from '../../../src/core/files.js';
import {replayOnto} from '../../../src/daemon/replication/branch-image.js';
import {readSyncState} from '../../../src/disk/sync-state.js';
import {ForkNode, NAME, SIZE_BYTES} from './fork-rig.js';

export interface World {
  readonly winner: ForkNode;
  readonly loser: ForkNode;
  /** The disk of the loser at the end of its branch. */
  readonly old: Buffer;
}

/** @param keepsImage the image of the branch is kept as well: takes its time */
export async function inWorld(
  run: (world: World) => Promise<void>,
  keepsImage = false,
): Promise<void> {
  const alpha = new ForkNode('alpha');
  const beta = new ForkNode('beta');
  alpha.others = [beta];
  beta.others = [alpha];
  try {
    alpha.begin(1, {position: 0, chain: {low: 0, high: 0}});
    alpha.write(1, 2, 3, 4);
    beta.receive(alpha);
    const {common} = alpha;
    alpha.write(6, 7, 3);
    alpha.rotate();
    alpha.write(8);
    beta.begin(2, common);
    beta.write(20, 2, 21);
    beta.rotate();
    beta.write(3, 22);
    await alpha.replay(alpha.position);
    await beta.replay(beta.position);
    const old = Buffer.from(alpha.model);
    await alpha.giveWayTo(beta, keepsImage);
    await run({winner: beta, loser: alpha, old});
  } finally {
    alpha.dispose();
    beta.dispose();
  }
}

/** The disk as image and log of a node have it. */
export async function diskOf(node: ForkNode): Promise<Buffer> {
  assert.is(readSyncState(createNodeFiles(), node.home, NAME), undefined, 'no mixture');
  const image = join(node.home, 'judged');
  fs.copyFileSync(node.paths.image, image);
  const {from} = node.replayed();
  const {segments, position: to} = node;
  if (from < to) await replayOnto({segments, image, sizeBytes: SIZE_BYTES, from, to});
  const content = fs.readFileSync(image);
  fs.rmSync(image);
  return content;
}
