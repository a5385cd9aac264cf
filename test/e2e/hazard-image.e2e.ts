/** H1, H22, P12, P20: the last record rots, the image is another one, state files are torn, locks and sockets are stale. */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {CutResult} from '../../src/control/cut-api.js';
import {resourcePaths, homePaths} from '../../src/core/home.js';
import {bareDisk, hashOf, imageBehind, randomFile, writeDisk} from '../helpers/disk-io.js';
import {killAll} from '../helpers/chaos.js';
import {run, until} from '../helpers/run.js';
import {killAndWait, TempHome} from '../helpers/temp-home.js';

const DATA_MIB = 4;

let node: TempHome;
let source: string;
let written: string;

test.before(async () => {
  node = await TempHome.create();
  source = randomFile(node, 'source.bin', DATA_MIB);
  written = await hashOf(source, DATA_MIB);
});

test.after(() => node.dispose());

/** A resource that was written, and is secondary with everything in its image. */
async function atRest(name: string): Promise<string> {
  const disk = await bareDisk(node, name, '16M');
  await writeDisk(source, disk, ['conv=notrunc,fsync']);
  await node.replayed(name, 20_000);
  await node.mars('secondary', name);
  await until(async () => (await node.status(name)).state === 'UpToDate', 20_000, 'write-back');
  return disk;
}

test('H22, P20: an image that was replaced by a copy is noticed before a byte is written to it', async () => {
  const disk = await atRest('swap');
  const image = imageBehind(node, 'swap');
  const stranger = path.join(node.directory, 'stranger');
  await run('dd', ['if=/dev/urandom', `of=${stranger}`, 'bs=1M', 'count=16', 'status=none']);
  const before = await hashOf(stranger, 16);
  fs.renameSync(image, `${image}.mine`);
  fs.renameSync(stranger, image);
  const refused = await node.tryMars('primary', 'swap', '--json');
  assert.is(refused.status, 6);
  assert.match(refused.stdout, 'IMAGE_CHANGED');
  assert.is(await hashOf(image, 16), before, 'nothing was written');
  assert.is((await node.status('swap')).role, 'secondary');
  fs.renameSync(image, stranger);
  fs.renameSync(`${image}.mine`, image);
  await node.mars('primary', 'swap');
  assert.is(await hashOf(disk, DATA_MIB), written);
  await node.mars('secondary', 'swap');
});

test('H22: --force takes the content of another image, knowingly', async () => {
  const disk = await atRest('force');
  const image = imageBehind(node, 'force');
  await run('cp', ['--sparse=never', image, `${image}.copy`]);
  fs.renameSync(`${image}.copy`, image);
  assert.is((await node.tryMars('primary', 'force')).status, 6);
  await node.mars('primary', 'force', '--force');
  assert.is(await hashOf(disk, DATA_MIB), written);
  await node.mars('secondary', 'force');
  await node.mars('primary', 'force');
  await node.mars('secondary', 'force');
});

test('H22: a half-written replay file costs one slot; no slot at all is refused, and no data is wrong', async () => {
  const disk = await atRest('torn');
  const {replayFile} = resourcePaths(node.home, 'torn');
  const bytes = fs.readFileSync(replayFile);
  let accepted = 0;
  for (const half of [0, 1]) {
    const torn = Buffer.from(bytes);
    torn.fill(0xff, (half * torn.length) / 2 + 64, (half * torn.length) / 2 + 128);
    fs.writeFileSync(replayFile, torn);
    const result = await node.tryMars('primary', 'torn', '--json');
    if (result.status === 0) {
      accepted += 1;
      assert.is(await hashOf(disk, DATA_MIB), written, `slot ${half}`);
      await node.mars('secondary', 'torn');
      await until(async () => (await node.status('torn')).state === 'UpToDate', 20_000, 'end');
      fs.readFileSync(replayFile).copy(bytes);
    } else {
      // Rot of the newest slot, long after it was written: the log below it is used again.
      assert.is(result.status, 6);
      assert.match(result.stdout, /LOG_CORRUPT|STATE_UNREADABLE/u);
      fs.writeFileSync(replayFile, bytes);
    }
  }

  // A write that power loss cut is in the slot that was the older one.
  assert.ok(accepted >= 1);
  fs.writeFileSync(replayFile, Buffer.alloc(bytes.length, 0xff));
  const refused = await node.tryMars('primary', 'torn', '--json');
  assert.is(refused.status, 6);
  assert.match(refused.stdout, 'STATE_UNREADABLE');
  fs.writeFileSync(replayFile, bytes);
  await node.mars('primary', 'torn');
  assert.is(await hashOf(disk, DATA_MIB), written);
  await node.mars('secondary', 'torn');
});

/** The logfile that was written last, and a place in the payload of its last record. */
function lastRecord(name: string): {file: string; offset: number} {
  const {logDirectory} = resourcePaths(node.home, name);
  const names = fs.readdirSync(logDirectory).filter((entry) => /^log-\d+-[^.]+$/u.test(entry));
  for (const entry of names.sort().reverse()) {
    const bytes = fs.readFileSync(path.join(logDirectory, entry));
    const offset = bytes.findLastIndex((byte) => byte !== 0) - 100;
    if (offset > 4096) return {file: path.join(logDirectory, entry), offset};
  }

  throw new Error('the log has no record');
}

function flip(file: string, offset: number): void {
  const bytes = fs.readFileSync(file);
  bytes[offset] = (bytes[offset] ?? 0) ^ 16;
  const fd = fs.openSync(file, 'r+');
  fs.writeSync(fd, bytes, offset, 1, offset);
  fs.closeSync(fd);
}

test('H1: rot in the last flushed record of a process that was killed is never cut: it is refused, and nothing changed', async () => {
  const disk = await bareDisk(node, 'rot', '16M');
  await node.mars('replay', 'pause', 'rot');
  await writeDisk(source, disk, ['conv=notrunc,fsync']);
  await killAll(node, 'rot');
  const {file, offset} = lastRecord('rot');
  flip(file, offset);
  const damaged = fs.readFileSync(file);
  await node.startDaemon();
  const refused = await node.tryMars('primary', 'rot', '--json');
  assert.is(refused.status, 6, refused.stdout);
  assert.match(refused.stdout, 'LOG_CORRUPT');
  assert.match(refused.stdout, /mars log verify/u, 'it says what to type');
  assert.is((await node.status('rot')).state, 'DefectiveLog');
  assert.is((await node.tryMars('log', 'verify', 'rot')).status, 6);
  assert.ok(fs.readFileSync(file).equals(damaged), 'nothing was cut');
  flip(file, offset);
  await node.mars('log', 'verify', 'rot');
  await node.mars('primary', 'rot');
  assert.is(
    await hashOf(disk, DATA_MIB),
    written,
    'with the right byte all that was flushed is there',
  );
  await node.mars('secondary', 'rot');
});

test('log cut: a damaged log that nobody else has: what it says is lost is missing, all else is there', async () => {
  const disk = await bareDisk(node, 'cut', '16M');
  await node.mars('replay', 'pause', 'cut');
  await writeDisk(source, disk, ['conv=notrunc,fsync']);
  await killAll(node, 'cut');
  const {file, offset} = lastRecord('cut');
  flip(file, offset);
  await node.startDaemon();
  assert.is((await node.tryMars('primary', 'cut')).status, 6);
  await node.mars('secondary', 'cut', '--timeout', '40');
  const said = await node.json<CutResult>('log', 'cut', 'cut', '--dry-run');
  assert.ok(said.damaged && !said.mixed && said.lost.records > 0);
  assert.is((await node.tryMars('log', 'cut', 'cut')).status, 3, 'it wants --yes');
  await node.mars('log', 'cut', 'cut', '--at', said.position ?? '', '--yes');
  await node.mars('log', 'cut', 'cut', '--undo', '--yes');
  assert.is((await node.tryMars('log', 'verify', 'cut')).status, 6, 'as damaged as before');
  const done = await node.json<CutResult>(
    'log',
    'cut',
    'cut',
    '--at',
    said.position ?? '',
    '--yes',
  );
  assert.ok(fs.existsSync(done.kept ?? ''));
  await node.mars('primary', 'cut');
  const expected = fs.readFileSync(source);
  for (const range of done.lost.ranges) {
    expected.fill(0, range.offset, range.offset + range.length);
  }

  const model = path.join(node.directory, 'cut.model');
  fs.writeFileSync(model, expected);
  assert.is(await hashOf(disk, DATA_MIB), await hashOf(model, DATA_MIB));
  assert.match(await node.mars('events'), /LOG_CUT/u);
  await node.mars('secondary', 'cut');
});

test('a disk that cannot start again says why at once, and is secondary when that is asked for', async () => {
  const disk = await bareDisk(node, 'stuck', '16M');
  await node.mars('replay', 'pause', 'stuck');
  await writeDisk(source, disk, ['conv=notrunc,fsync']);
  const {file, offset} = lastRecord('stuck');
  flip(file, offset);
  await killAndWait((await node.diskProcesses('stuck')).pid);
  await until(async () => (await node.status('stuck')).state === 'DefectiveLog', 20_000, 'state');
  const refused = await node.tryMars('primary', 'stuck', '--timeout', '40', '--json');
  assert.match(refused.stdout, 'LOG_CORRUPT');
  assert.is(refused.status, 6);
  await node.mars('secondary', 'stuck', '--timeout', '40');
  assert.is((await node.status('stuck')).role, 'secondary');
  flip(file, offset);
  await node.mars('primary', 'stuck');
  assert.is(await hashOf(disk, DATA_MIB), written);
  await node.mars('secondary', 'stuck');
});

test('F4: a half-written resource.json costs its resource only, is told, and not touched', async () => {
  await atRest('whole');
  await atRest('half');
  const {resourceFile} = resourcePaths(node.home, 'half');
  const text = fs.readFileSync(resourceFile, 'utf8');
  await node.mars('daemon', 'stop', '--disks');
  fs.writeFileSync(resourceFile, text.slice(0, text.length / 2));
  await node.startDaemon();
  const status = await node.status('half');
  assert.is(status.health, 'critical');
  assert.ok(
    status.messages.some(({code, text: words}) => {
      return code === 'STATE_UNREADABLE' && words.includes(resourceFile);
    }),
  );
  assert.is(fs.readFileSync(resourceFile, 'utf8'), text.slice(0, text.length / 2));
  assert.is((await node.status('whole')).health, 'ok');
  await node.mars('primary', 'whole');
  await node.mars('secondary', 'whole');
  fs.writeFileSync(resourceFile, text);
  await until(async () => (await node.status('half')).health === 'ok', 10_000, 'mended file');
  await node.mars('primary', 'half');
  assert.is(await hashOf(node.imageFile('half'), DATA_MIB), written);
  await node.mars('secondary', 'half');
});

test('P12: stale lock, socket, pipe and lock of the daemon do not block a start', async () => {
  const disk = await atRest('stale');
  await node.mars('daemon', 'stop', '--disks');
  const {socket, fifo, fuseFile, lock, generationLock} = resourcePaths(node.home, 'stale');
  const {daemonLock, daemonSocket} = homePaths(node.home);
  for (const file of [fifo, fuseFile, `${socket}.tmp`])
    fs.writeFileSync(file, 'left', {mode: 0o600});
  for (const file of [lock, generationLock, daemonLock]) fs.writeFileSync(file, '4711\n');
  for (const file of [socket, daemonSocket]) await leaveSocket(file);
  await node.startDaemon();
  await node.mars('primary', 'stale');
  assert.is(await hashOf(disk, DATA_MIB), written);
  await node.mars('secondary', 'stale');
});

/** A socket file whose server is gone, as SIGKILL leaves it. */
async function leaveSocket(file: string): Promise<void> {
  fs.rmSync(file, {force: true});
  const short = path.join('/var/tmp', `s-${process.pid}`);
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(short, resolve));
  fs.linkSync(short, file);
  await new Promise((resolve) => server.close(resolve));
  fs.rmSync(short, {force: true});
}

test('F12: home, state, sockets and logs can be read by root only', async () => {
  await bareDisk(node, 'modes', '16M');
  // The disk makes and renames logfiles meanwhile.
  const wanted = ['-ignore_readdir_race', '-xdev', '-perm', '/077', '-not', '-type', 'l'];
  const output = await run('find', [node.home, ...wanted]);
  // The mount point itself is reached by the mount's own mode; its parents are closed.
  const open = output
    .split('\n')
    .filter((file) => file !== '' && !file.startsWith(`${node.home}/mnt`));
  assert.equal(open, []);
  assert.is(fs.statSync(node.home).mode & 0o777, 0o700);
  await node.mars('secondary', 'modes');
});

test.run();
