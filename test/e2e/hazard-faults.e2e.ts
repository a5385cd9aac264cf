/** H19: the device below log or image answers EIO. Faults come from core/fault-files. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {
  bareDisk,
  eventsOf,
  hashOf,
  imageBehind,
  killDisk,
  randomFile,
  setFaults,
  withFaultPlan,
  writeDisk,
} from '../helpers/disk-io.js';
import {run, tryRun, until} from '../helpers/run.js';
import {TempHome} from '../helpers/temp-home.js';

const SIZE = '32M';
const DATA_MIB = 6;

let node: TempHome;
let plan: string;

test.before(async () => {
  ({node, plan} = await withFaultPlan(() => TempHome.create()));
});

test.after(async () => {
  setFaults(plan, []);
  await node.dispose();
  fs.rmSync(path.dirname(plan), {recursive: true, force: true});
});

async function has(name: string, code: string): Promise<boolean> {
  const status = await node.diskStatus(name);
  return status?.messages.some((message) => message.code === code) ?? false;
}

test('H19: EIO of one fdatasync of the log is no error: the tail moves, the flush is honest', async () => {
  const disk = await bareDisk(node, 'flush', SIZE);
  await node.mars('replay', 'pause', 'flush');
  const source = randomFile(node, 'flush.bin', DATA_MIB);
  setFaults(plan, [{path: '/log-[^/]*$', call: 'syncData', count: 1, errno: 'EIO'}]);
  await writeDisk(source, disk, ['conv=notrunc,fsync']);
  setFaults(plan, []);
  assert.ok(eventsOf(node).some(({code, text}) => code === 'LOG_IO' && /moved/u.test(text)));
  const written = await hashOf(source, DATA_MIB);
  assert.is(await hashOf(disk, DATA_MIB), written);
  const status = await node.diskStatus('flush');
  assert.is(status?.durable, status?.position);
  await killDisk(node, 'flush');
  assert.is(await hashOf(disk, DATA_MIB), written);
  await node.mars('replay', 'resume', 'flush');
  await node.replayed('flush', 20_000);
  assert.is(await hashOf(imageBehind(node, 'flush'), DATA_MIB), written);
  await node.mars('secondary', 'flush');
});

test('H19: EIO of a write to the log is no error either', async () => {
  const disk = await bareDisk(node, 'append', SIZE);
  const source = randomFile(node, 'append.bin', DATA_MIB);
  setFaults(plan, [{path: '/log-[^/]*$', call: 'write', after: 3, count: 1, errno: 'EIO'}]);
  await writeDisk(source, disk, ['conv=notrunc,fsync']);
  setFaults(plan, []);
  const written = await hashOf(source, DATA_MIB);
  await killDisk(node, 'append');
  assert.is(await hashOf(disk, DATA_MIB), written);
  await node.replayed('append', 20_000);
  assert.is(await hashOf(imageBehind(node, 'append'), DATA_MIB), written);
  await node.mars('secondary', 'append');
});

test('H19: while no logfile at all can be written, writes wait and say so, then go on by themselves', async () => {
  const disk = await bareDisk(node, 'waits', SIZE);
  await node.mars('replay', 'pause', 'waits');
  const source = randomFile(node, 'waits.bin', DATA_MIB);
  await writeDisk(source, disk, ['conv=notrunc,fsync']);
  const {pid} = await node.diskProcesses('waits');
  setFaults(plan, [
    {path: '/log/', call: 'write', errno: 'EIO'},
    {path: '/log/', call: 'syncData', errno: 'EIO'},
    {path: '/log/', call: 'sync', errno: 'EIO'},
  ]);
  const writing = writeDisk(source, disk, ['seek=16', 'conv=notrunc,fsync']);
  try {
    await until(
      async () =>
        (await node.status('waits')).waitingFor !== null && (await has('waits', 'LOG_IO')),
      10_000,
      'reason of the wait',
    );
    const status = await node.status('waits');
    assert.is(status.state, 'DefectiveLog');
    assert.is(status.health, 'critical');
    assert.is(await hashOf(disk, DATA_MIB), await hashOf(source, DATA_MIB), 'reads go on');
  } finally {
    setFaults(plan, []);
  }

  await writing;
  assert.is(await hashOf(disk, DATA_MIB, 16), await hashOf(source, DATA_MIB));
  assert.is((await node.diskProcesses('waits')).pid, pid);
  assert.is((await node.status('waits')).waitingFor, null);
  // F26: files were passed over, so numbers are missing: the log is used up all the same.
  await node.mars('replay', 'resume', 'waits');
  await node.replayed('waits', 20_000);
  await until(async () => ((await node.diskStatus('waits'))?.log.files ?? 9) <= 2, 10_000, 'reuse');
  await node.mars('secondary', 'waits');
});

test('H19: where every next logfile fails writes are refused loudly; what was flushed is safe', async () => {
  const disk = await bareDisk(node, 'broken', SIZE);
  await node.mars('replay', 'pause', 'broken');
  const source = randomFile(node, 'broken.bin', DATA_MIB);
  await writeDisk(source, disk, ['conv=notrunc,fsync']);
  const written = await hashOf(source, DATA_MIB);
  setFaults(plan, [
    {path: '/log-[^/]*$', call: 'write', errno: 'EIO'},
    {path: '/log-[^/]*$', call: 'syncData', errno: 'EIO'},
  ]);
  try {
    const words = [`if=${source}`, `of=${disk}`, 'bs=1M', 'count=1', 'oflag=direct', 'seek=16'];
    const refused = await tryRun('dd', [...words, 'conv=notrunc,fsync']);
    assert.match(refused.stderr, 'Input/output error');
    await until(() => has('broken', 'LOG_IO'), 5000, 'message');
    const status = await node.status('broken');
    assert.is(status.state, 'DefectiveLog');
    assert.is(status.health, 'critical');
    assert.is(await hashOf(disk, DATA_MIB), written, 'reads go on');
  } finally {
    setFaults(plan, []);
  }

  await killDisk(node, 'broken');
  assert.is(await hashOf(disk, DATA_MIB), written);
  await writeDisk(source, disk, ['seek=16', 'conv=notrunc,fsync']);
  assert.is(await hashOf(disk, DATA_MIB, 16), written);
  await until(async () => (await node.status('broken')).state === 'UpToDate', 10_000, 'all well');
  await node.mars('secondary', 'broken');
});

test('H19: EIO of the image is DefectiveImage, reads stay with the log, and replay goes on by itself', async () => {
  const disk = await bareDisk(node, 'image', SIZE);
  const source = randomFile(node, 'image.bin', DATA_MIB);
  setFaults(plan, [{path: '/image$', call: 'write', errno: 'EIO'}]);
  await writeDisk(source, disk, ['conv=notrunc,fsync']);
  await until(() => has('image', 'IMAGE_IO'), 20_000, 'message');
  const status = await node.status('image');
  assert.is(status.state, 'DefectiveImage');
  assert.is(status.health, 'critical');
  const written = await hashOf(source, DATA_MIB);
  assert.is(await hashOf(disk, DATA_MIB), written);
  const before = await node.diskStatus('image');
  assert.ok((before?.replay.backlogBytes ?? 0) >= DATA_MIB * 1024 * 1024);
  setFaults(plan, []);
  await node.replayed('image', 20_000);
  await until(async () => !(await has('image', 'IMAGE_IO')), 5000, 'end of the message');
  assert.is((await node.status('image')).state, 'UpToDate');
  assert.is(await hashOf(imageBehind(node, 'image'), DATA_MIB), written);
  await node.mars('secondary', 'image');
});

test('T13: trouble that lasts is one event and one message, however often it is tried again', async () => {
  const disk = await bareDisk(node, 'flood', SIZE);
  setFaults(plan, [{path: '/image$', call: 'write', errno: 'EIO'}]);
  await writeDisk(randomFile(node, 'flood.bin', 1), disk, ['conv=notrunc,fsync']);
  await until(() => has('flood', 'IMAGE_IO'), 20_000, 'message');
  const first = (await node.diskStatus('flood'))?.messages ?? [];
  const start = performance.now();
  // Tried again each second.
  await until(() => performance.now() - start > 4500, 10_000, 'some tries');
  assert.equal((await node.diskStatus('flood'))?.messages, first);
  const told = eventsOf(node).filter(
    ({code, resource}) => code === 'IMAGE_IO' && resource === 'flood',
  );
  assert.is(told.length, 1);
  setFaults(plan, []);
  await node.replayed('flood', 20_000);
  await node.mars('secondary', 'flood');
});

test('H19: after EIO of the fdatasync of the image the whole batch is written again', async () => {
  const disk = await bareDisk(node, 'again', SIZE);
  const source = randomFile(node, 'again.bin', DATA_MIB);
  const image = imageBehind(node, 'again');
  setFaults(plan, [{path: '/image$', call: 'syncData', errno: 'EIO'}]);
  await writeDisk(source, disk, ['conv=notrunc,fsync']);
  await until(() => has('again', 'IMAGE_IO'), 20_000, 'message');
  const written = await hashOf(source, DATA_MIB);
  // What the kernel does after such an error: the pages are gone, though it calls them clean.
  const zeros = [`of=${image}`, 'if=/dev/zero', 'bs=1M', `count=${DATA_MIB}`, 'conv=notrunc,fsync'];
  await run('dd', zeros);
  assert.is(await hashOf(disk, DATA_MIB), written);
  setFaults(plan, []);
  await node.replayed('again', 20_000);
  assert.is(await hashOf(image, DATA_MIB), written);
  await node.mars('secondary', 'again');
});

test('H19: an image that cannot be read costs the reads of its blocks, and no other', async () => {
  const disk = await bareDisk(node, 'reads', SIZE);
  const source = randomFile(node, 'reads.bin', DATA_MIB);
  await writeDisk(source, disk, ['conv=notrunc,fsync']);
  await node.replayed('reads', 20_000);
  await node.mars('replay', 'pause', 'reads');
  await writeDisk(source, disk, ['seek=16', 'conv=notrunc,fsync']);
  const {pid} = await node.diskProcesses('reads');
  setFaults(plan, [{path: '/image$', call: 'read', errno: 'EIO'}]);
  const failed = await tryRun('dd', [
    `if=${disk}`,
    'of=/dev/null',
    'bs=4k',
    'count=1',
    'iflag=direct',
  ]);
  assert.match(failed.stderr, 'Input/output error');
  const written = await hashOf(source, DATA_MIB);
  assert.is(await hashOf(disk, DATA_MIB, 16), written, 'blocks of the log');
  setFaults(plan, []);
  assert.is(await hashOf(disk, DATA_MIB), written);
  assert.is((await node.diskProcesses('reads')).pid, pid, 'nothing died of it');
  await node.mars('secondary', 'reads');
});

test.run();
