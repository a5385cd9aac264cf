/** Random writes of all sizes, read back and checked by fio, at rest and under SIGKILL. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {killingDisk} from '../helpers/chaos.js';
import {hashRange} from '../helpers/hash.js';
import {run} from '../helpers/run.js';
import {skip} from '../helpers/skip.js';
import {TempHome} from '../helpers/temp-home.js';

const SECONDS = process.env['MARS_SOAK'] === '1' ? 60 : 10;
const KILL_INTERVAL_MS = 2000;
const DISK_BYTES = 512 * 1024 * 1024;

let node: TempHome;

test.before(async () => {
  node = await TempHome.create();
});

test.after(() => node.dispose());

/** @param unit `sector`: ragged writes too; `block`: whole blocks only, which are gathered */
async function fioVerify(device: string, unit: 'sector' | 'block'): Promise<void> {
  const unitBytes = unit === 'block' ? '4k' : (await run('blockdev', ['--getss', device])).trim();
  const ragged = unit === 'block' ? '8k' : '5k';
  await run(
    'fio',
    [
      '--name=verify',
      `--filename=${device}`,
      '--ioengine=libaio',
      '--direct=1',
      '--iodepth=32',
      '--rw=randwrite',
      `--bssplit=${unitBytes}/20:4k/40:${ragged}/5:16k/15:64k/15:1M/5`,
      `--blockalign=${unitBytes}`,
      '--serialize_overlap=1',
      '--verify=crc32c',
      '--verify_backlog=512',
      '--verify_fatal=1',
      '--verify_state_save=0',
      '--time_based',
      `--runtime=${SECONDS}`,
    ],
    {cwd: node.directory, timeoutMs: SECONDS * 4000 + 60_000},
  );
}

/** The image, once everything is in it, holds byte for byte what the device answers. */
async function assertImageEqualsDevice(name: string): Promise<void> {
  await node.replayed(name, 60_000);
  const image = path.join(node.home, 'resources', name, 'image');
  assert.is(fs.statSync(image).size, DISK_BYTES);
  assert.is(
    await hashRange(image, 0, DISK_BYTES),
    await hashRange(node.device(name), 0, DISK_BYTES),
  );
}

test('fio finds what it wrote, at depth 32 with sizes from a sector to 1 MiB', async () => {
  const device = await node.disk('quiet', String(DISK_BYTES));
  await fioVerify(device, 'sector');
  await assertImageEqualsDevice('quiet');
  await node.mars('secondary', 'quiet');
});

test('fio finds what it wrote while the disk process is killed every 2 s', async () => {
  const device = await node.disk('killed', String(DISK_BYTES));
  const kills = await killingDisk(node, 'killed', KILL_INTERVAL_MS, async () => {
    await fioVerify(device, 'sector');
    await fioVerify(device, 'block');
  });
  assert.ok(kills >= 4, `${kills} kills`);
  assert.is((await node.diskProcesses('killed')).restarts, kills);
  await assertImageEqualsDevice('killed');
  await node.mars('secondary', 'killed');
});

test('whole blocks that come at the same time are appended together, and are right', async () => {
  const device = await node.disk('blocks', String(DISK_BYTES));
  await fioVerify(device, 'block');
  const counters = (await node.diskStatus('blocks'))?.counters;
  assert.ok((counters?.gatheredWrites ?? 0) > 100, JSON.stringify(counters));
  await assertImageEqualsDevice('blocks');
  await node.mars('secondary', 'blocks');
});

test('the fuse-native driver keeps data right, too', async (context) => {
  const options = ['--size', String(DISK_BYTES), '--driver', 'fuse-native'];
  const result = await node.tryMars('resource', 'create', 'native', ...options);
  if (result.stderr.includes('DRIVER_MISSING')) {
    skip(context, result.stderr.split('\n')[0] ?? '');
    return;
  }

  assert.is(result.status, 0, result.stderr);
  assert.is((await node.diskStatus('native'))?.driver, 'fuse-native');
  await fioVerify(node.device('native'), 'sector');
  await assertImageEqualsDevice('native');
  await node.mars('secondary', 'native');
});

test.run();
