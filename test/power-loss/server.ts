/**
 * The program that serves a VolatileTree at MOUNT_POINT: `server SEED`, with the mount point in POWER_LOSS_MOUNT. Each unmount ends a life,
 * and the next one begins at once. It prints what each power loss did.
 */
import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import {mountArguments} from '../../src/fuse/mount.js';
import {createRandom} from '../sim/random.js';
import {FileServer} from './file-server.js';
import {VolatileTree} from './volatile-tree.js';

const MOUNT_TIMEOUT_MS = 20_000;

const [seed = '1'] = process.argv.slice(2);
const lies = process.env['POWER_LOSS_LIES'] === '1';
const mountPoint = process.env['POWER_LOSS_MOUNT'] ?? '';
const random = createRandom(Number(seed));
const tree = new VolatileTree();
for (;;) {
  const life = {isLost: false};
  const device = fs.openSync('/dev/fuse', 'r+');
  const mounted = spawnSync('mount', mountArguments(mountPoint), {
    stdio: ['ignore', 'inherit', 'inherit', device],
    timeout: MOUNT_TIMEOUT_MS,
  });
  if (mounted.status !== 0) process.exit(1);
  process.stdout.write('life\n');
  const server = new FileServer(tree, {
    lies,
    onPowerLoss: (name) => {
      life.isLost = true;
      process.stdout.write(`${name} ${JSON.stringify(tree.crash(random))}\n`);
    },
  });
  server.run(device);
  fs.closeSync(device);
  if (!life.isLost) break;
}
