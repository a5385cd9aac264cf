/**
 * `npm start`: shows on real input what mars is for. A disk with a file tree survives the SIGKILL
 * of its disk process in the middle of a copy, and a full stop (one-node.ts). Then a second node
 * follows it, over a link that is slow and cut, takes it over, gives it back, and goes on alone when
 * the first is lost (two-nodes.ts). Files are compared at each step, both images at the end.
 *
 * Options: `--once` ends after the comparison; its exit status is 0 only if all compared equal.
 */
import fs from 'node:fs';
import {
  ALPHA,
  BETA,
  DIRECTORY,
  MOUNT_POINT,
  RESOURCE,
  leftovers,
  removeAll,
  stopAll,
} from './node.js';
import {surviveAlone} from './one-node.js';
import {bad, fact, plain, step, title} from './screen.js';
import {listTree} from './tree.js';
import {replicate} from './two-nodes.js';

const SOURCE = '/usr/share';

/** @returns the exit status */
export async function main(args: readonly string[]): Promise<number> {
  const once = args.includes('--once');
  if (args.some((word) => word !== '--once')) {
    process.stderr.write('usage: npm start [-- --once]\n');
    return 2;
  }

  if (process.getuid?.() !== 0) {
    process.stderr.write('mounting and loop devices need root: sudo npm start\n');
    return 3;
  }

  if (leftovers() > 0 || fs.existsSync(DIRECTORY)) {
    plain('an earlier run left .demo behind: removing it');
    removeAll();
  }

  fs.mkdirSync(MOUNT_POINT, {recursive: true});
  // However this process ends, nothing of it stays.
  process.on('exit', removeAll);
  const interrupted = interruption();
  try {
    const differences = await Promise.race([demonstrate(), interrupted]);
    if (differences === undefined) return 130;
    if (differences > 0) return 1;
    if (!once) await stay(interrupted);
    step('The end');
    await stopAll(BETA, ALPHA);
    return 0;
  } catch (error) {
    bad(error instanceof Error ? error.message : String(error));
    return 1;
  }
}

/** @returns how many files, or images, differ */
async function demonstrate(): Promise<number> {
  title('mars: a disk that survives');
  fact('Here, mars-alpha stands for: bin/run.js --home .demo/alpha, and so does mars-beta');
  const tree = listTree(SOURCE);
  const differences = await surviveAlone(tree);
  return differences > 0 ? differences : replicate(tree);
}

async function stay(interrupted: Promise<undefined>): Promise<void> {
  step('Yours until Ctrl-C');
  fact(`files:  ${MOUNT_POINT}`);
  fact(`device: ${BETA.device(RESOURCE)}`);
  fact('try:    node bin/run.js --home .demo/beta status');
  fact('        node bin/run.js --home .demo/alpha fetch status demo');
  fact('        node bin/run.js --home .demo/beta events --follow');
  const alive = setInterval(() => undefined, 60_000);
  await interrupted;
  clearInterval(alive);
  plain('');
}

/** Resolves at the first Ctrl-C; the second ends the process, and its exit handler cleans up. */
function interruption(): Promise<undefined> {
  return new Promise((resolve) => {
    let count = 0;
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        count += 1;
        if (count > 1) process.exit(130);
        resolve(undefined);
      });
    }
  });
}
