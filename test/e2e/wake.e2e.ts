/** Whoever waits is served when what it waits for has come, also on a disk that nobody else uses. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {
  bareDisk,
  hashOf,
  randomFile,
  setFaults,
  withFaultPlan,
  writeDisk,
} from '../helpers/disk-io.js';
import {TempHome} from '../helpers/temp-home.js';

const SIZE = '32M';

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

test('a write that the log had no room for at one moment goes on without another request', async () => {
  const disk = await bareDisk(node, 'wake', SIZE);
  const source = randomFile(node, 'wake.bin', 1);
  setFaults(plan, [{path: '/log-[^/]*$', call: 'write', count: 2, errno: 'ENOSPC'}]);
  await writeDisk(source, disk, ['conv=notrunc'], 10_000);
  setFaults(plan, []);
  assert.is(await hashOf(disk, 1), await hashOf(source, 1));
  setFaults(plan, []);
  await node.mars('secondary', 'wake');
});

test('a flush is answered where the move of the tail fails at first', async () => {
  const disk = await bareDisk(node, 'move', SIZE);
  const source = randomFile(node, 'move.bin', 1);
  await writeDisk(source, disk, ['conv=notrunc']);
  setFaults(plan, [
    {path: '/log-[^/]*$', call: 'syncData', count: 1, errno: 'EIO'},
    {path: '/log-[^/]*2-[^/]*$', call: 'write', count: 2, errno: 'EIO'},
  ]);
  await writeDisk(source, disk, ['conv=notrunc,fsync'], 10_000);
  setFaults(plan, []);
  assert.is(await hashOf(disk, 1), await hashOf(source, 1));
  await node.mars('secondary', 'move');
});

test.run();
