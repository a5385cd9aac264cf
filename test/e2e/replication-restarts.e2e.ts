/** Daemons that end, or are stopped, in the middle of a copy, a handover, the repair of a fork. */
import fs from 'node:fs';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {Cluster} from '../helpers/cluster.js';
import {hashOf, imageBehind, randomFile, writeDisk} from '../helpers/disk-io.js';
import type {TempHome} from '../helpers/temp-home.js';

const MIB = 1024 * 1024;
const NAME = 'web01';
const SIZE_MIB = 48;

const cluster = new Cluster(['alpha', 'beta']);
let alpha: TempHome;
let beta: TempHome;

test.before(async () => {
  await cluster.start();
  [alpha, beta] = [cluster.node('alpha'), cluster.node('beta')];
  await cluster.createResource('alpha', NAME, `${SIZE_MIB}M`);
  await write(alpha, 'first.bin', 24, 0);
  await alpha.replayed(NAME, 30_000);
});
test.after(() => cluster.dispose());

async function write(node: TempHome, file: string, mib: number, seekMib: number): Promise<string> {
  const source = randomFile(node, file, mib);
  await writeDisk(source, node.device(NAME), [`seek=${seekMib}`, 'conv=notrunc,fsync']);
  return hashOf(source, mib);
}

/** SIGKILL of a daemon, and a new one. */
async function restart(node: TempHome): Promise<void> {
  await node.killDaemon();
  await node.startDaemon();
}

function setRate(bytesPerSecond: number): void {
  for (const wire of cluster.links('alpha', 'beta')) wire.bytesPerSecond = bytesPerSecond;
}

/** Waits until `more` bytes have gone from alpha to beta over streams of beta. */
async function passed(more: number): Promise<void> {
  const wire = cluster.link('beta', 'alpha');
  const before = wire.statistics().back;
  await cluster.wait(`${more} bytes of the copy`, 40_000, () =>
    Promise.resolve(wire.statistics().back - before > more),
  );
}

/** Waits until exactly one node serves, and the other follows it. */
async function onePrimary(): Promise<TempHome> {
  let serving: TempHome[] = [];
  await cluster.wait('one primary with its device', 60_000, async () => {
    const both = await Promise.all([alpha, beta].map((node) => node.diskStatus(NAME)));
    assert.ok(both.filter((disk) => disk?.mode === 'serve').length < 2, 'never two at once');
    serving = [alpha, beta].filter((_, at) => both[at]?.phase === 'serving');
    const [primary] = serving;
    return primary !== undefined && fs.existsSync(`${primary.home}/dev/${NAME}`);
  });
  const [primary] = serving;
  if (primary === undefined) throw new Error('no primary');
  return primary;
}

test('a copy goes on where the daemon of the source, and then that of the target, is killed', async () => {
  setRate(6 * MIB);
  await cluster.wait('beta to join', 30_000, async () => {
    return (await beta.tryMars('resource', 'join', NAME)).status === 0;
  });
  await passed(6 * MIB);
  await restart(alpha);
  await passed(4 * MIB);
  assert.is((await beta.status(NAME)).state, 'Syncing');
  await restart(beta);
  setRate(0);
  await beta.mars('wait', NAME, 'synced', '--timeout', '60');
  await cluster.equalImages(NAME);
});

test('a handover goes on, or is undone, where either daemon is killed in its middle', async () => {
  for (const [index, pauseMs] of [150, 500, 900].entries()) {
    const from = await onePrimary();
    const to = from === alpha ? beta : alpha;
    const written = await write(from, `handover-${index}.bin`, 1, 30 + index);
    const asked = to.tryMars('primary', NAME, '--timeout', '20');
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    await restart(index % 2 === 0 ? from : to);
    await asked;
    // Whatever came of it: asked again it is done, or the right to it was taken already.
    await cluster.wait(`${to.name} to become primary`, 60_000, async () => {
      return (await to.tryMars('primary', NAME, '--timeout', '20')).status === 0;
    });
    assert.is(await onePrimary(), to);
    assert.is(await hashOf(to.device(NAME), 1, 30 + index), written);
    await cluster.equalImages(NAME);
  }
});

test('a daemon that is stopped (SIGSTOP) holds up nobody, and goes on', async () => {
  const primary = await onePrimary();
  const other = primary === alpha ? beta : alpha;
  const pid = other.daemonPid ?? 0;
  process.kill(pid, 'SIGSTOP');
  let written = '';
  try {
    written = await write(primary, 'stopped.bin', 4, 36);
    await cluster.wait('the link to be down', 40_000, async () => {
      const [replica] = (await primary.status(NAME)).replicas;
      return replica?.link === 'down';
    });
    assert.is.not((await primary.status(NAME)).health, 'ok');
  } finally {
    process.kill(pid, 'SIGCONT');
  }

  await cluster.equalImages(NAME);
  assert.is(await hashOf(imageBehind(other, NAME), 4, 36), written);
});

test('a disk process of a replica that is stopped (SIGSTOP) is said to be silent, and goes on', async () => {
  const primary = await onePrimary();
  const other = primary === alpha ? beta : alpha;
  const {pid} = await other.diskProcesses(NAME);
  process.kill(pid, 'SIGSTOP');
  let written = '';
  try {
    written = await write(primary, 'silent.bin', 4, 40);
    await cluster.wait(`${primary.name} to see that ${other.name} is behind`, 40_000, async () => {
      const [replica] = (await primary.status(NAME)).replicas;
      return (replica?.lagBytes ?? 0) > 3 * MIB && replica?.state !== 'UpToDate';
    });
    await cluster.wait(`${other.name} to say what is wrong`, 40_000, async () => {
      const {health, messages} = await other.status(NAME);
      return health !== 'ok' && messages.some(({code}) => code === 'DISK_UNREACHABLE');
    });
  } finally {
    process.kill(pid, 'SIGCONT');
  }

  await cluster.equalImages(NAME);
  assert.is(await hashOf(imageBehind(other, NAME), 4, 40), written);
});

test('the repair of a fork goes on where either daemon is killed in its middle', async () => {
  const loser = await onePrimary();
  const winner = loser === alpha ? beta : alpha;
  cluster.setLink('alpha', 'beta', 'cut');
  await winner.mars('primary', NAME, '--force', '--timeout', '30');
  await write(loser, 'loser.bin', 12, 2);
  const kept = await write(winner, 'winner.bin', 12, 6);
  await loser.replayed(NAME, 30_000);
  cluster.setLink('alpha', 'beta', 'open');
  await cluster.wait('the fork to be seen', 40_000, async () => {
    return (await loser.status(NAME)).messages.some(({code}) => code === 'SPLIT_BRAIN');
  });
  await loser.mars('secondary', NAME);
  await cluster.wait(`${loser.name} to be Forked`, 40_000, async () => {
    return (await loser.status(NAME)).state === 'Forked';
  });
  setRate(3 * MIB);
  const wire = cluster.link(loser.name, winner.name);
  const before = wire.statistics().back;
  await loser.mars('fork', 'resolve', NAME, '--keep', winner.name, '--yes');
  for (const [node, mib] of [
    [loser, 2],
    [winner, 5],
  ] as const) {
    await cluster.wait(`${mib} MiB of the repair`, 40_000, () =>
      Promise.resolve(wire.statistics().back - before > mib * MIB),
    );
    await restart(node);
  }

  setRate(0);
  await cluster.equalImages(NAME);
  assert.is(await hashOf(imageBehind(loser, NAME), 12, 6), kept);
  const {branches} = await loser.json<{branches: object[]}>('fork', 'show', NAME);
  assert.is(branches.length, 1, 'the branch that gave way is kept');
});

test.run();
