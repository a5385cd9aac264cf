/** H6, F17: SIGKILL at every point of a rotation. The disk process must always die, and come back. */
import fs from 'node:fs';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {callSocket} from '../../src/control/client.js';
import {resourcePaths} from '../../src/core/home.js';
import {bareDisk, hashOf, imageBehind, randomFile, served, writeDisk} from '../helpers/disk-io.js';
import {until} from '../helpers/run.js';
import {TempHome, isRunning} from '../helpers/temp-home.js';

const KILLS = process.env['MARS_SOAK'] === '1' ? 200 : 10;
const DATA_MIB = 4;

let node: TempHome;

test.before(async () => {
  node = await TempHome.create();
});

test.after(() => node.dispose());

/** Threads of a process that wait in the kernel, uninterruptibly, for a FUSE answer. */
function stuckThreads(pid: number): string[] {
  try {
    return fs
      .readdirSync(`/proc/${pid}/task`)
      .map((thread) => fs.readFileSync(`/proc/${pid}/task/${thread}/wchan`, 'utf8'))
      .filter((wait) => wait.includes('request_wait_answer'));
  } catch {
    return []; // It is gone: so it should be.
  }
}

/** How long the disk process has been there. */
async function ageMs(of: TempHome): Promise<number> {
  const status = await of.diskStatus('bell');
  return status === undefined ? 0 : Date.now() - Date.parse(status.startedAt);
}

test('H6: SIGKILL at any moment of a rotation ends the process, and the next one answers', async () => {
  const disk = await bareDisk(node, 'bell', '64M');
  const source = randomFile(node, 'source.bin', DATA_MIB);
  const written = await hashOf(source, DATA_MIB);
  const {socket} = resourcePaths(node.home, 'bell');
  const rotate = (): Promise<unknown> =>
    callSocket({
      socket,
      method: 'POST',
      path: '/log/rotate',
      timeoutMs: 5000,
      unreachable: 'DISK_UNREACHABLE',
    }).catch(() => undefined);
  let rotated = 0;
  for (let kill = 0; kill < KILLS; kill += 1) {
    const {pid} = await node.diskProcesses('bell');
    const writing = writeDisk(source, disk, [
      `seek=${(kill % 12) * DATA_MIB}`,
      'conv=notrunc,fsync',
    ]);
    // The delays walk through the whole of a rotation: 0, 2, 4 ... ms after it was asked for.
    const start = performance.now();
    const asked = rotate().then(() => (rotated += 1));
    await until(() => performance.now() - start >= kill * 2, 5000, 'moment of the kill');
    process.kill(pid, 'SIGKILL');
    await until(() => !isRunning(pid), 5000, `death of ${pid}: ${stuckThreads(pid).join()}`);
    await writing;
    await asked;
    await served(node, 'bell', pid);
    // Deaths within the first second are another matter (hazard-young): the holder pauses after them.
    await until(async () => (await ageMs(node)) > 1200, 10_000, 'a life of more than a second');
    assert.is(await hashOf(disk, DATA_MIB, (kill % 12) * DATA_MIB), written, `kill ${kill}`);
  }

  assert.is(rotated, KILLS);
  await node.mars('log', 'rotate', 'bell');
  await node.replayed('bell', 30_000);
  assert.is(await hashOf(imageBehind(node, 'bell'), 48), await hashOf(disk, 48));
  await node.mars('log', 'verify', 'bell');
  await node.mars('secondary', 'bell');
});

test('H6, P23: no process of ours has anything below a mount of ours open, or waits for it', async () => {
  await bareDisk(node, 'far', '64M');
  const {pid, holderPid} = await node.diskProcesses('far');
  const daemonPid = (await node.daemonStatus()).pid ?? 0;
  for (const own of [pid, holderPid, daemonPid]) {
    const links = fs.readdirSync(`/proc/${own}/fd`).map((fd) => linkOf(own, fd));
    const below = links.filter((link) => link.startsWith(`${node.home}/mnt/`));
    assert.equal(below, []);
    assert.not.match(fs.readlinkSync(`/proc/${own}/cwd`), `${node.home}/mnt`);
  }

  // A stopped disk process answers nobody: what asks for the state of the node must not hang.
  process.kill(pid, 'SIGSTOP');
  try {
    const start = performance.now();
    await node.tryMars('status');
    await node.tryMars('resource', 'list');
    await node.tryMars('doctor');
    assert.ok(performance.now() - start < 20_000);
    assert.ok(isRunning(daemonPid));
    assert.equal(stuckThreads(daemonPid), []);
  } finally {
    process.kill(pid, 'SIGCONT');
  }

  await until(async () => (await node.status('far')).state === 'UpToDate', 10_000, 'all well');
  await node.mars('secondary', 'far');
});

function linkOf(pid: number, fd: string): string {
  try {
    return fs.readlinkSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    return ''; // It was closed meanwhile.
  }
}

test.run();
