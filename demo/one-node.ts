/** The first half of the demonstration: one node, whose disk survives a kill and a full stop. */
import fs from 'node:fs';
import path from 'node:path';
import {ALPHA, COPY_MS_MAX, DEVICE, MOUNT_POINT, RESOURCE, stopAll, system} from './node.js';
import {ProgressBar, bad, command, fact, good, limited, mebibytes, step} from './screen.js';
import {compareTree, copyTree, type Tree} from './tree.js';

/** Makes a disk, copies a tree to it through a kill, and starts everything again. */
export async function surviveAlone(tree: Tree): Promise<number> {
  step('A node, its daemon, a disk of 1 GiB');
  await ALPHA.init();
  await ALPHA.startDaemon();
  await ALPHA.mars('resource', 'create', RESOURCE, '--size', '1G');
  await ALPHA.mars('primary', RESOURCE);
  fact(`${DEVICE} is a block device now: ${fs.readlinkSync(DEVICE)}`);

  step('A file system on it');
  await system('mkfs.ext4', '-q', DEVICE);
  await system('mount', DEVICE, MOUNT_POINT);

  const files = tree.entries.filter(({kind}) => kind === 'file').length;
  step(`${files} files of ${tree.source} (${mebibytes(tree.bytes)} MiB) go onto it`);
  await copyWithKill(tree);
  await system('sync', '-f', MOUNT_POINT);

  step('Stop everything, start again');
  await stopAll(ALPHA);
  good('no process, no mount, no loop device is left');
  await ALPHA.startDaemon();
  await ALPHA.mars('primary', RESOURCE);
  await system('mount', DEVICE, MOUNT_POINT);

  step('Is every file what it was?');
  return compare(tree);
}

/**
 * Compares a tree with what is on the disk, file by file.
 *
 * @param below directory of the file system that holds it
 * @returns how many entries differ
 */
export async function compare(tree: Tree, below = ''): Promise<number> {
  const bar = new ProgressBar('compare', tree.bytes);
  const target = path.join(MOUNT_POINT, below);
  const comparison = compareTree(tree, target, bar);
  const differences = await limited('the comparison', comparison, COPY_MS_MAX);
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
    await limited('the copy', copyTree(tree, MOUNT_POINT, bar), COPY_MS_MAX);
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
