/** The bound that random writes over a huge disk would break first. */
import fs from 'node:fs';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {run} from '../helpers/run.js';
import {TempHome} from '../helpers/temp-home.js';

const GIB = 1024 ** 3;
const BACKLOG_BYTES = process.env['MARS_SOAK'] === '1' ? 2 * GIB : GIB / 2;
const RSS_MIB_MAX = 256;

let node: TempHome;

test.before(async () => {
  node = await TempHome.create();
});

test.after(() => node.dispose());

test(`a backlog of random writes over 4 TiB fits ${RSS_MIB_MAX} MiB of memory`, async () => {
  const device = await node.disk('wide', '4T');
  await node.mars('replay', 'pause', 'wide');
  await run(
    'fio',
    [
      '--name=wide',
      `--filename=${device}`,
      '--ioengine=libaio',
      '--direct=1',
      '--iodepth=32',
      '--rw=randwrite',
      '--bs=4k',
      '--norandommap',
      '--random_generator=tausworthe64',
      '--size=4t',
      `--io_size=${BACKLOG_BYTES}`,
    ],
    {cwd: node.directory, timeoutMs: 240_000},
  );
  const status = await node.diskStatus('wide');
  // Replay may have been forced by a bound; most of it waits all the same, or nothing is shown.
  assert.ok((status?.replay.backlogBytes ?? 0) > BACKLOG_BYTES / 2, JSON.stringify(status?.replay));
  const {pid} = await node.diskProcesses('wide');
  const text = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  const rssMib = Number(/^VmHWM:\s+(\d+) kB/mu.exec(text)?.[1]) / 1024;
  process.stdout.write(`\nmost memory that the disk process had: ${rssMib.toFixed(0)} MiB\n`);
  assert.ok(rssMib < RSS_MIB_MAX, `${rssMib} MiB`);
  await node.mars('replay', 'resume', 'wide');
  await node.mars('secondary', 'wide');
});

test.run();
