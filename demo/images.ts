/** Compares the images of all replicas, as files, when all of them stand at one position. */
import path from 'node:path';
import {diskStatus} from '../src/control/disk-client.js';
import {resourcePaths} from '../src/core/home.js';
import {run, until} from '../test/helpers/run.js';
import type {DemoNode} from './node.js';
import {bad, fact, good} from './screen.js';

const REPLAY_MS_MAX = 60_000;
const HASH_MS_MAX = 120_000;

/** @returns true where all are equal; nobody may write meanwhile */
export async function compareImages(name: string, nodes: readonly DemoNode[]): Promise<boolean> {
  let position = '';
  await until(
    async () => {
      const all = await Promise.all(
        nodes.map(({home}) => diskStatus(resourcePaths(home, name).socket).catch(() => undefined)),
      );
      position = all[0]?.position ?? '';
      return all.every((one) => one?.position === position && one.replayed === position);
    },
    REPLAY_MS_MAX,
    'equal positions, with all of the log in the images',
  );
  const hashes = await Promise.all(
    nodes.map(async (node) => {
      const file = path.join(node.home, 'resources', name, 'image');
      const words = await run('sha256sum', [file], {timeoutMs: HASH_MS_MAX});
      const hash = words.split(' ')[0] ?? '';
      fact(`${node.name}  ${hash}`);
      return hash;
    }),
  );
  const isEqual = new Set(hashes).size === 1;
  if (isEqual) good(`equal at position ${position}`);
  else bad(`different at position ${position}`);
  return isEqual;
}
