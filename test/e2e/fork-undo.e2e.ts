/** A fork on two real nodes: looked at, resolved, brought back; and copies that wait their turn. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {FlowView, ForkResult, ForkView, SyncLimitView} from '../../src/control/api.js';
import type {
  ForkDiff,
  ForkExtractResult,
  ForkForgetResult,
  ForkUndoResult,
} from '../../src/control/fork-api.js';
import {Cluster} from '../helpers/cluster.js';
import {hashOf, imageBehind, randomFile, writeDisk} from '../helpers/disk-io.js';
import {run} from '../helpers/run.js';
import type {TempHome} from '../helpers/temp-home.js';

const MIB = 1024 * 1024;
const SIZE_MIB = 32;
const cluster = new Cluster(['alpha', 'beta']);
let alpha: TempHome;
let beta: TempHome;
/** Hash of alpha's disk at the end of the branch that gives way. */
let lost: string;

test.before(async () => {
  await cluster.start();
  alpha = cluster.node('alpha');
  beta = cluster.node('beta');
  await cluster.createResource('alpha', 'web01', `${SIZE_MIB}M`);
  await write(alpha, 4, 0);
  await cluster.joinResource('beta', 'web01');
  await write(alpha, 1, 6);
  await cluster.equalImages('web01');
});
test.after(() => cluster.dispose());

function write(node: TempHome, mebibytes: number, at: number): Promise<void> {
  const source = randomFile(node, 'source', mebibytes);
  return writeDisk(source, node.device('web01'), [`seek=${at}`, 'conv=notrunc,fsync']);
}

async function replayed(node: TempHome, name: string): Promise<void> {
  await cluster.wait(`all of ${name} on ${node.name} to be in its image`, 30_000, async () => {
    const status = await node.diskStatus(name);
    return status !== undefined && status.replayed === status.position;
  });
}

function imageHash(node: TempHome): Promise<string> {
  return hashOf(imageBehind(node, 'web01'), SIZE_MIB);
}

async function stateIs(node: TempHome, wanted: string): Promise<void> {
  await cluster.wait(`${node.name} to be ${wanted}`, 40_000, async () => {
    return (await node.status('web01')).state === wanted;
  });
}

test('T2, P2: both write after a takeover by force: fork diff says who wrote what, and where', async () => {
  cluster.setLink('alpha', 'beta', 'cut');
  await beta.mars('primary', 'web01', '--force', '--timeout', '30');
  await write(alpha, 2, 8);
  await write(beta, 2, 9);
  await replayed(alpha, 'web01');
  lost = await imageHash(alpha);
  cluster.setLink('alpha', 'beta', 'open');
  await cluster.wait('alpha to see the fork', 40_000, async () => {
    return (await alpha.status('web01')).messages.some(({code}) => code === 'SPLIT_BRAIN');
  });
  await alpha.mars('secondary', 'web01');
  await stateIs(alpha, 'Forked');
  const diff = await alpha.json<ForkDiff>('fork', 'diff', 'web01');
  assert.equal(diff.ranges, [
    {offset: 8 * MIB, length: MIB, by: ['alpha']},
    {offset: 9 * MIB, length: MIB, by: ['alpha', 'beta']},
    {offset: 10 * MIB, length: MIB, by: ['beta']},
  ]);
  assert.is(diff.differingBytes, 3 * MIB);
  for (const side of diff.sides) {
    assert.ok(side.complete && side.exact, JSON.stringify(side));
    assert.is(side.changedBytes, 2 * MIB);
    assert.ok((side.firstTime ?? 'z') <= (side.lastTime ?? ''));
  }
});

test('resolve says before what is lost; then both images are those of the one that was kept', async () => {
  const words = ['fork', 'resolve', 'web01', '--keep', 'beta'];
  const planned = await alpha.json<ForkResult>(...words, '--dry-run');
  assert.is(planned.lost.changedBytes, 2 * MIB);
  assert.is(planned.repair, 'blocks');
  assert.is(planned.noImage, null);
  assert.is(await imageHash(alpha), lost, 'a dry run changes nothing');
  await alpha.mars(...words, '--yes');
  await cluster.equalImages('web01');
  assert.is.not(await imageHash(alpha), lost);
});

test('the branch that gave way can be read: its logfiles, its image, and a copy of that', async () => {
  const {branches} = await alpha.json<ForkView>('fork', 'show', 'web01');
  const [branch] = branches;
  assert.ok(branch?.image && branch.undoable);
  assert.is(await hashOf(branch.image, SIZE_MIB), lost);
  const files = fs.readdirSync(branch.directory).filter((name) => name.startsWith('log-'));
  assert.ok(files.length > 0);
  for (const name of files) await alpha.mars('log', 'show', path.join(branch.directory, name));
  const to = path.join(alpha.directory, 'lost.img');
  const copy = await alpha.json<ForkExtractResult>('fork', 'extract', 'web01', '--to', to);
  assert.is(copy.end, branch.end);
  assert.is(await hashOf(to, SIZE_MIB), lost);
  const again = await alpha.tryMars('fork', 'extract', 'web01', '--to', to);
  assert.is(again.status, 2, again.stderr);
});

test('undo: the branch is back with every byte, and the other node can give way to it', async () => {
  await write(beta, 1, 20);
  await cluster.equalImages('web01');
  const planned = await alpha.json<ForkUndoResult>('fork', 'undo', 'web01', '--dry-run');
  assert.is(planned.other, 'beta');
  const refused = await alpha.tryMars('fork', 'undo', 'web01');
  assert.match(refused.stderr, 'CONFIRM_NEEDED');
  await alpha.mars('fork', 'undo', 'web01', '--yes');
  assert.is(await imageHash(alpha), lost);
  await stateIs(alpha, 'Forked');
  assert.is(await imageHash(alpha), lost);
  await cluster.wait('beta to see the fork', 40_000, async () => {
    return (await beta.json<ForkView>('fork', 'show', 'web01')).forked;
  });
  await beta.mars('secondary', 'web01');
  await beta.mars('fork', 'resolve', 'web01', '--keep', 'alpha', '--yes');
  await cluster.equalImages('web01');
  assert.is(await imageHash(beta), lost);
  await alpha.mars('primary', 'web01', '--timeout', '30');
  await write(alpha, 1, 30);
  await cluster.equalImages('web01');
});

test('a branch is dropped when that is confirmed, and on this node only', async () => {
  const [branch] = (await alpha.json<ForkView>('fork', 'show', 'web01')).branches;
  assert.ok(branch);
  const refused = await alpha.tryMars('fork', 'forget', 'web01');
  assert.match(refused.stderr, 'CONFIRM_NEEDED');
  assert.ok(fs.existsSync(branch.directory));
  const words = ['fork', 'forget', 'web01', '--branch', branch.branch];
  const gone = await alpha.json<ForkForgetResult>(...words, '--yes');
  assert.ok(gone.bytes > MIB);
  assert.not(fs.existsSync(branch.directory));
  assert.match((await alpha.tryMars(...words, '--yes')).stderr, 'FORK_UNKNOWN');
  assert.is((await beta.json<ForkView>('fork', 'show', 'web01')).branches.length, 1);
});

test('T11: with a limit of 1 a second copy waits for the first by name, and then runs', async () => {
  const names = ['web02', 'web03'];
  // Both are in alpha's image: what is only in its log comes with the log, and a copy of it is over at once.
  for (const name of names) {
    const device = await cluster.createResource('alpha', name, '32M');
    const to = [`of=${device}`, 'bs=1M', 'count=24', 'oflag=direct', 'conv=fsync'];
    await run('dd', ['if=/dev/urandom', ...to]);
    await replayed(alpha, name);
  }

  await beta.mars('sync', 'limit', '1');
  // So slow that no copy ends before it is let go, however slow this machine is.
  await alpha.mars('peer', 'set', 'beta', 'bandwidth-limit=64K');
  for (const name of names) {
    await cluster.wait(`beta to join ${name}`, 40_000, async () => {
      return (await beta.tryMars('resource', 'join', name)).status === 0;
    });
  }

  // A copy that breaks off keeps its place but not its turn: either may be the one that runs.
  await cluster.wait(
    'one copy to run, and the other to say that it waits for it',
    60_000,
    async () => {
      const {running, waiting} = await beta.json<SyncLimitView>('sync', 'limit');
      assert.ok(running.length <= 1, 'never two at once');
      const [first] = running;
      const [second] = waiting;
      if (first === undefined || second === undefined) return false;
      const flow = await beta.json<FlowView>('sync', 'status', second.name);
      return flow.waiting?.reason.endsWith(`before it ${first.name}`) === true;
    },
  );
  await alpha.mars('peer', 'set', 'beta', 'bandwidth-limit=none');
  for (const name of names) await beta.mars('wait', name, 'synced', '--timeout', '60');
  for (const name of names) await cluster.equalImages(name);
});

test.run();
