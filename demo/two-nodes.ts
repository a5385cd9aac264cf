/**
 * The second half of the demonstration: beta gets a replica of the disk that alpha uses, follows it
 * over a link that is slow and then cut, takes it over and gives it back, and goes on alone when
 * alpha is lost. In the end both images are compared.
 */
import fs from 'node:fs';
import path from 'node:path';
import type {ReplicaStatus} from '../src/control/api.js';
import {until} from '../test/helpers/run.js';
import {compareImages} from './images.js';
import {Link} from './link.js';
import {
  ALPHA,
  BETA,
  COPY_MS_MAX,
  MOUNT_POINT,
  RESOURCE,
  killEverything,
  system,
  type DemoNode,
} from './node.js';
import {compare} from './one-node.js';
import {ProgressBar, fact, good, limited, mebibytes, plain, step} from './screen.js';
import {copyTree, someOf, type Tree} from './tree.js';

const MIB = 1024 * 1024;
/** What is written in each further step. */
const PART_BYTES = 32 * MIB;
const SLOW_BYTES_PER_SECOND = 6 * MIB;
const LOOK_MS = 700;
const SYNC_MS_MAX = 300_000;
const CATCH_UP_SECONDS = '55';
const LINK_MS_MAX = 60_000;

/**
 * @param tree what is on the disk already
 * @returns how many files, or images, differ
 */
export async function replicate(tree: Tree): Promise<number> {
  const part = someOf(tree, PART_BYTES);
  const link = await Link.create(ALPHA, BETA);
  await joinCluster(link);
  await firstSync();
  await followSlowly(link, part);
  await cutAndHeal(link, part);
  let differences = await thereAndBack(part);
  differences += await loseAlpha(tree, part);
  differences += await comeBack();
  return differences;
}

async function joinCluster(link: Link): Promise<void> {
  step('A second node joins with a token');
  await BETA.init();
  await BETA.startDaemon();
  const {token} = JSON.parse(await ALPHA.mars('peer', 'invite', '--json')) as {token: string};
  await BETA.mars('peer', 'join', token);
  await link.between();
  plain(await BETA.mars('peer', 'list'));
}

async function firstSync(): Promise<void> {
  step('It gets a replica while the disk is in use');
  await until(
    () => BETA.succeeds('resource', 'show', RESOURCE),
    5000,
    'word of the resource',
  ).catch(
    () => undefined, // The join below says better what is wrong.
  );
  await BETA.mars('resource', 'join', RESOURCE);
  let bar: ProgressBar | undefined;
  await until(
    async () => {
      const {follow, state} = await BETA.resourceStatus(RESOURCE);
      const sync = follow?.sync ?? undefined;
      if (sync !== undefined) {
        bar ??= new ProgressBar('first sync', sync.totalBytes);
        bar.set(sync.doneBytes);
      }

      return state === 'UpToDate';
    },
    SYNC_MS_MAX,
    'end of the first sync',
  );
  bar?.set(bar.totalBytes);
  bar?.finish();
  good('beta has the whole disk, as of one position, and follows');
}

async function followSlowly(link: Link, part: Tree): Promise<void> {
  step('The link is slow: alpha does not wait, and says how far beta is behind');
  link.setRate(SLOW_BYTES_PER_SECOND);
  fact(`the link passes ${mebibytes(SLOW_BYTES_PER_SECOND)} MiB a second now`);
  const startedMs = performance.now();
  await write(part, 'slow');
  const seconds = (performance.now() - startedMs) / 1000;
  good(`${mebibytes(part.bytes)} MiB written and synced in ${seconds.toFixed(1)} s`);
  await showLag((beta) => beta.lagBytes === 0);
  link.setRate(0);
}

async function cutAndHeal(link: Link, part: Tree): Promise<void> {
  step('The link is cut: alpha goes on, and beta is not called up to date any more');
  link.cut();
  await write(part, 'cut');
  await showLag((beta) => beta.link === 'down');
  plain(await BETA.mars('status'));
  link.heal();
  good('the link is there again');
  await showLag((beta) => beta.link === 'up' && beta.lagBytes === 0);
  await ALPHA.mars('wait', RESOURCE, 'fetched', '--timeout', CATCH_UP_SECONDS);
}

async function thereAndBack(part: Tree): Promise<number> {
  step('Handover to beta');
  await handOver(BETA);
  let differences = 0;
  for (const name of ['slow', 'cut']) differences += await compare(part, name);
  await write(part, 'beta');
  step('And back to alpha');
  await handOver(ALPHA);
  differences += await compare(part, 'beta');
  return differences;
}

/** The pause of the application is from the umount here to the mount there. */
async function handOver(to: DemoNode): Promise<void> {
  const startedMs = performance.now();
  await system('umount', MOUNT_POINT);
  await to.mars('primary', RESOURCE);
  await system('mount', to.device(RESOURCE), MOUNT_POINT);
  const seconds = (performance.now() - startedMs) / 1000;
  good(`the disk is mounted on ${to.name}, ${seconds.toFixed(1)} s after the umount`);
}

async function loseAlpha(tree: Tree, part: Tree): Promise<number> {
  step('alpha is lost while the disk is mounted there');
  await write(part, 'last');
  await ALPHA.mars('wait', RESOURCE, 'fetched', '--timeout', CATCH_UP_SECONDS);
  await killEverything(ALPHA);
  await system('umount', '-l', MOUNT_POINT);

  step('beta takes over, but only when a human says so');
  const refusal = await BETA.refused('primary', RESOURCE, '--timeout', '5');
  plain(refusal);
  plain(await BETA.mars('primary', RESOURCE, '--force'));
  await system('mount', BETA.device(RESOURCE), MOUNT_POINT);
  let differences = await compare(part, 'last');
  step('Is every file on beta what it was on alpha in the beginning?');
  differences += await compare(tree);
  return differences;
}

async function comeBack(): Promise<number> {
  step('alpha comes back: it has nothing of its own, so it follows by itself');
  fs.writeFileSync(path.join(MOUNT_POINT, 'on-beta'), 'written while alpha was away\n');
  await system('sync', '-f', MOUNT_POINT);
  await ALPHA.startDaemon();
  await ALPHA.mars('wait', RESOURCE, 'secondary', '--timeout', CATCH_UP_SECONDS);
  await BETA.mars('wait', RESOURCE, 'replayed', '--timeout', CATCH_UP_SECONDS);
  plain(await BETA.mars('status'));

  step('Are both images the same, byte for byte?');
  await system('umount', MOUNT_POINT);
  const isEqual = await compareImages(RESOURCE, [ALPHA, BETA]);
  await system('mount', BETA.device(RESOURCE), MOUNT_POINT);
  return isEqual ? 0 : 1;
}

async function write(tree: Tree, name: string): Promise<void> {
  const target = path.join(MOUNT_POINT, name);
  fs.mkdirSync(target);
  const bar = new ProgressBar(`write ${name}/`, tree.bytes);
  await limited('the copy', copyTree(tree, target, bar), COPY_MS_MAX);
  bar.finish();
  await system('sync', '-f', MOUNT_POINT);
}

/** Says how beta stands, until it is as it should be. */
async function showLag(isDone: (beta: ReplicaStatus) => boolean): Promise<void> {
  let said = '';
  let lookedMs = -Infinity;
  await until(
    async () => {
      if (performance.now() - lookedMs < LOOK_MS) return false;
      lookedMs = performance.now();
      const {replicas} = await ALPHA.resourceStatus(RESOURCE);
      const beta = replicas.find(({node}) => node === BETA.name);
      if (beta === undefined) return false;
      const text = describe(beta);
      if (text !== said) fact(text);
      said = text;
      return isDone(beta);
    },
    LINK_MS_MAX,
    'change of what alpha says of beta',
  );
}

function describe({link, state, lagBytes, lagSeconds}: ReplicaStatus): string {
  const bytes = lagBytes === null ? 'unknown' : `${(lagBytes / MIB).toFixed(1)} MiB`;
  const seconds = lagSeconds === null ? 'unknown' : `${lagSeconds.toFixed(1)} s`;
  return `beta: link ${link}, ${state}, behind by ${bytes} and ${seconds}`;
}
