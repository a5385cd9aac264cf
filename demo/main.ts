/**
 * `npm start`: shows on real input what mars is for. A disk with a file tree survives the SIGKILL
 * of its disk process in the middle of a copy, and a full stop; then a second node gets a replica
 * and takes over. Every file is compared, on the first node and on the second.
 *
 * Options: `--once` ends after the comparison; its exit status is 0 only if all compared equal.
 */
import fs from 'node:fs';
import path from 'node:path';
import {
  DemoNode,
  DIRECTORY,
  MOUNT_POINT,
  freePort,
  leftovers,
  removeAll,
  stopAll,
  system,
} from './node.js';
import {ProgressBar, bad, command, fact, good, mebibytes, plain, step, title} from './screen.js';
import {compareTree, copyTree, listTree, type Tree} from './tree.js';

const RESOURCE = 'demo';
const SOURCE = '/usr/share';
const ALPHA = new DemoNode('alpha');
const BETA = new DemoNode('beta');
const DEVICE = ALPHA.device(RESOURCE);
const COPY_MS_MAX = 300_000;

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

/** @returns how many files differ */
async function demonstrate(): Promise<number> {
  title('mars: a disk that survives');
  fact('Here, mars-alpha stands for: bin/run.js --home .demo/alpha, and so does mars-beta');

  step('A node, its daemon, a disk of 1 GiB');
  await ALPHA.mars('init', '--name', 'alpha', '--listen', `127.0.0.1:${await freePort()}`);
  await ALPHA.startDaemon();
  await ALPHA.mars('resource', 'create', RESOURCE, '--size', '1G');
  await ALPHA.mars('primary', RESOURCE);
  fact(`${DEVICE} is a block device now: ${fs.readlinkSync(DEVICE)}`);

  step('A file system on it');
  await system('mkfs.ext4', '-q', DEVICE);
  await system('mount', DEVICE, MOUNT_POINT);

  const tree = listTree(SOURCE);
  const files = tree.entries.filter(({kind}) => kind === 'file').length;
  step(`${files} files of ${SOURCE} (${mebibytes(tree.bytes)} MiB) go onto it`);
  await copyWithKill(tree);
  await system('sync', '-f', MOUNT_POINT);

  step('Stop everything, start again');
  await stopAll(ALPHA);
  good('no process, no mount, no loop device is left');
  await ALPHA.startDaemon();
  await ALPHA.mars('primary', RESOURCE);
  await system('mount', DEVICE, MOUNT_POINT);

  step('Is every file what it was?');
  const differences = await compare(tree);
  if (differences > 0) return differences;
  await followAndTakeOver();
  step('Is every file on the second node what it was on the first?');
  return compare(tree);
}

/** A second node copies the disk while it is in use, follows it, and takes it over. */
async function followAndTakeOver(): Promise<void> {
  step('A second node gets a replica, while the disk is in use');
  await BETA.mars('init', '--name', 'beta', '--listen', `127.0.0.1:${await freePort()}`);
  await BETA.startDaemon();
  const {token} = JSON.parse(await ALPHA.mars('peer', 'invite', '--json')) as {token: string};
  await BETA.mars('peer', 'join', token);
  await BETA.mars('resource', 'join', RESOURCE);
  await BETA.mars('wait', RESOURCE, 'synced', '--timeout', '50');
  const file = path.join(MOUNT_POINT, '.after-the-copy');
  fs.writeFileSync(file, 'written on alpha when beta followed\n');
  await system('sync', '-f', MOUNT_POINT);
  await ALPHA.mars('wait', RESOURCE, 'fetched', '--timeout', '50');
  plain(await ALPHA.mars('status'));

  step('Handover: beta goes on where alpha ended');
  await system('umount', MOUNT_POINT);
  const startedMs = performance.now();
  await BETA.mars('primary', RESOURCE);
  await system('mount', BETA.device(RESOURCE), MOUNT_POINT);
  const seconds = (performance.now() - startedMs) / 1000;
  good(`the disk is on beta, ${seconds.toFixed(1)} s after it was unmounted on alpha`);
  good(fs.readFileSync(file, 'utf8').trim());
  plain(await BETA.mars('status'));
}

/** @returns how many files differ */
async function compare(tree: Tree): Promise<number> {
  const bar = new ProgressBar('compare', tree.bytes);
  const differences = await limited('the comparison', compareTree(tree, MOUNT_POINT, bar));
  bar.finish();
  for (const line of differences.slice(0, 10)) bad(line);
  if (differences.length === 0) good(`all ${tree.entries.length} entries are equal (SHA-256)`);
  else bad(`${differences.length} of ${tree.entries.length} entries differ`);
  return differences.length;
}

/** The copy, and in its middle the SIGKILL of the process that serves the disk. */
async function copyWithKill(tree: Tree): Promise<void> {
  const bar = new ProgressBar('copy', tree.bytes);
  let killing: Promise<void> | undefined;
  const watch = setInterval(() => {
    if (killing === undefined && bar.part > 0.4) {
      killing = killDisk(bar);
      // It is awaited below: until then a failure must not count as unhandled.
      killing.catch(() => undefined);
    }
  }, 10);
  try {
    await limited('the copy', copyTree(tree, MOUNT_POINT, bar));
    bar.finish();
    if (killing === undefined) await killDisk(bar);
    else await killing;
  } finally {
    clearInterval(watch);
  }

  good('the copy went on: no program saw an error');
}

async function killDisk(bar: ProgressBar): Promise<void> {
  const before = (await ALPHA.daemonStatus())?.disks[0];
  if (before?.pid == null) throw new Error('mars daemon status shows no disk process');
  bar.clear();
  command(`kill -9 ${before.pid}   # the disk process, in the middle of the copy`);
  process.kill(before.pid, 'SIGKILL');
  const startedMs = performance.now();
  const pulse = await fs.promises.open(path.join(MOUNT_POINT, '.pulse'), 'w');
  try {
    await pulse.write('written after the kill');
    await pulse.sync();
  } finally {
    await pulse.close();
  }

  const seconds = (performance.now() - startedMs) / 1000;
  const after = (await ALPHA.daemonStatus())?.disks[0];
  bar.clear();
  fact(
    `process ${after?.pid ?? 'unknown'} serves now; a write with fsync took ${seconds.toFixed(2)} s`,
  );
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

async function limited<T>(what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`${what} did not end within ${COPY_MS_MAX / 1000} s`));
    }, COPY_MS_MAX);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}
