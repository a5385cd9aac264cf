/** The file system of the log is full: writes wait with a reason, reads go on, nothing is lost. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {ResourceStatus} from '../../src/control/api.js';
import {resourcePaths} from '../../src/core/home.js';
import {eventsOf, hashOf, killDisk, randomFile, served, writeDisk} from '../helpers/disk-io.js';
import {run, until} from '../helpers/run.js';
import {TempHome, killAndWait} from '../helpers/temp-home.js';

const MIB = 1024 * 1024;
const LOG_MIB = 48;
const DATA_MIB = 40;

let node: TempHome;
let small: string;
let source: string;
let written: string;

test.before(async () => {
  node = await TempHome.create();
  const file = path.join(node.directory, 'small.img');
  fs.writeFileSync(file, '');
  fs.truncateSync(file, LOG_MIB * MIB);
  await run('mkfs.ext4', ['-q', '-m', '0', file]);
  small = await node.mount(file, 'small', '-o', 'loop');
  source = randomFile(node, 'source.bin', DATA_MIB);
  written = await hashOf(source, DATA_MIB);
});

test.after(() => node.dispose());

/** A disk whose log lies on the small file system, and its image elsewhere. */
async function smallLogDisk(name: string): Promise<string> {
  const image = path.join(node.directory, `${name}.image`);
  const words = ['resource', 'create', name, '--size', '64M', '--image', image, '--secondary'];
  await node.mars(...words, '--set', 'device=off', '--set', 'segment-bytes=4M');
  const log = path.join(node.home, 'resources', name, 'log');
  fs.rmdirSync(log);
  fs.mkdirSync(path.join(small, name));
  fs.symlinkSync(path.join(small, name), log);
  await node.mars('primary', name);
  return node.imageFile(name);
}

async function waiting(name: string): Promise<ResourceStatus> {
  let status: ResourceStatus | undefined;
  await until(
    async () => {
      status = await node.status(name);
      return status.waitingFor !== null && status.messages.some(({code}) => code === 'LOG_SPACE');
    },
    30_000,
    'a wait for log space',
  );
  if (status === undefined) throw new Error('no status');
  return status;
}

/** Deletes a resource, and its log, which lies behind a link. */
async function remove(name: string): Promise<void> {
  await node.mars('resource', 'delete', name, '--yes');
  fs.rmSync(path.join(small, name), {recursive: true, force: true});
}

/** Fills the small file system as somebody else's file does. */
function fill(): string {
  const file = path.join(small, 'filler');
  const fd = fs.openSync(file, 'w');
  try {
    for (;;) fs.writeSync(fd, Buffer.alloc(64 * 1024, 1));
  } catch (error) {
    assert.is((error as NodeJS.ErrnoException).code, 'ENOSPC');
  } finally {
    fs.closeSync(fd);
  }

  return file;
}

test('replay paused: writers wait when the log has filled its file system, and resume ends it', async () => {
  const disk = await smallLogDisk('paused');
  await node.mars('replay', 'pause', 'paused');
  let done = false;
  const writing = writeDisk(source, disk, ['conv=notrunc,fsync']).then(() => (done = true));
  const status = await waiting('paused');
  assert.match(status.waitingFor?.reason ?? '', /log space|free a logfile/u);
  assert.match(status.waitingFor?.since ?? '', /^\d{4}-/u);
  assert.is(status.health, 'critical');
  assert.not(done);
  assert.is(await hashOf(disk, 4), await hashOf(source, 4), 'reads go on');
  await node.mars('replay', 'resume', 'paused');
  await writing;
  assert.is(await hashOf(disk, DATA_MIB), written);
  await until(async () => (await node.status('paused')).health === 'ok', 10_000, 'all well');
  await node.mars('secondary', 'paused');
  await remove('paused');
});

test('a foreign file fills it: replay makes room by itself, no write sees ENOSPC', async () => {
  const disk = await smallLogDisk('foreign');
  await writeDisk(source, disk, ['count=4', 'conv=notrunc,fsync']);
  const foreign = fill();
  // Logfiles that exist are used again: the disk goes on in the room that it has.
  await writeDisk(source, disk, ['conv=notrunc,fsync'], 90_000);
  assert.is(await hashOf(disk, DATA_MIB), written);
  await killDisk(node, 'foreign');
  assert.is(await hashOf(disk, DATA_MIB), written);
  fs.rmSync(foreign);
  await until(async () => (await node.status('foreign')).health === 'ok', 10_000, 'all well');
  await node.mars('secondary', 'foreign');
  await remove('foreign');
});

test('a foreign file and paused replay: space back is enough, and the event says so', async () => {
  const disk = await smallLogDisk('both');
  await node.mars('replay', 'pause', 'both');
  const foreign = fill();
  const writing = writeDisk(source, disk, ['count=16', 'conv=notrunc,fsync']);
  const status = await waiting('both');
  assert.match(status.waitingFor?.reason ?? '', 'ENOSPC');
  fs.rmSync(foreign);
  await writing;
  assert.is(await hashOf(disk, 16), await hashOf(source, 16));
  assert.ok(eventsOf(node).some(({code}) => code === 'SPACE_BACK'));
  await node.mars('replay', 'resume', 'both');
  await node.replayed('both', 20_000);
  assert.is(await hashOf(path.join(node.directory, 'both.image'), 16), await hashOf(source, 16));
  await node.mars('secondary', 'both');
  await remove('both');
});

test('killed while it is full: nothing is lost, the reason is shown, space back is enough', async () => {
  const disk = await smallLogDisk('killed');
  await node.mars('replay', 'pause', 'killed');
  await writeDisk(source, disk, ['count=8', 'conv=notrunc,fsync']);
  const foreign = fill();
  const rest = ['skip=8', 'seek=8', 'count=24', 'conv=notrunc,fsync'];
  const writing = writeDisk(source, disk, rest);
  // Whatever comes of the waits below: the writer's end is looked at last.
  writing.catch(() => undefined);
  await waiting('killed');
  const {pid} = await node.diskProcesses('killed');
  await killAndWait(pid);
  const {output} = resourcePaths(node.home, 'killed');
  await until(() => fs.readFileSync(output, 'utf8').includes('LOG_SPACE'), 20_000, 'reason');
  fs.rmSync(foreign);
  await served(node, 'killed', pid);
  await node.mars('replay', 'resume', 'killed');
  await writing;
  assert.is(await hashOf(disk, 32), await hashOf(source, 32));
  await node.mars('secondary', 'killed');
});

test.run();
