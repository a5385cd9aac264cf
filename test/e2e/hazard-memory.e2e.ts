/** H15: few dirty pages allowed on the whole machine, a memory hog, and a buffered writer on our disk. */
import {spawn} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {run, until} from '../helpers/run.js';
import {skip} from '../helpers/skip.js';
import {TempHome} from '../helpers/temp-home.js';

const DIRTY_BYTES = '/proc/sys/vm/dirty_bytes';
const DIRTY_RATIO = '/proc/sys/vm/dirty_ratio';
const MIB = 1024 * 1024;
const HOG_MIB = 512;

let node: TempHome;
let ratioBefore = '';

/** Setting the ratio sets the bytes to 0, as they were. */
function restore(): void {
  if (ratioBefore !== '') fs.writeFileSync(DIRTY_RATIO, ratioBefore);
  ratioBefore = '';
}

test.before(async () => {
  node = await TempHome.create();
});

test.after(async () => {
  restore();
  process.off('exit', restore);
  await node.dispose();
});

test('H15: a writer on our disk never hangs where the machine allows few dirty pages', async (context) => {
  const [bytes, ratio] = [DIRTY_BYTES, DIRTY_RATIO].map((file) =>
    fs.readFileSync(file, 'utf8').trim(),
  );
  if (bytes !== '0' || ratio === undefined) {
    skip(context, 'vm.dirty_bytes is set here already');
    return;
  }

  const device = await node.disk('tight', '192M');
  await run('mkfs.ext4', ['-q', device]);
  const mounted = await node.mount(device, 'tight');
  const source = path.join(node.directory, 'source');
  await run('dd', ['if=/dev/urandom', `of=${source}`, 'bs=1M', 'count=128', 'status=none']);
  const {pid} = await node.diskProcesses('tight');
  const program = `my $x = 'x' x (${HOG_MIB} * ${MIB}); print "ready\\n"; while (1) { substr($x, rand(length $x), 1) = 'y' }`;
  const hog = spawn('nice', ['perl', '-e', '$| = 1;' + program], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    let words = '';
    hog.stdout.setEncoding('utf8').on('data', (text: string) => (words += text));
    await until(() => words.includes('ready'), 20_000, 'memory hog');
    process.on('exit', restore);
    ratioBefore = ratio;
    fs.writeFileSync(DIRTY_BYTES, String(64 * MIB));
    await run('dd', [`if=${source}`, `of=${path.join(mounted, 'copy')}`, 'bs=1M'], {
      timeoutMs: 60_000,
    });
    await run('sync', ['-f', mounted], {timeoutMs: 60_000});
  } finally {
    restore();
    hog.kill('SIGKILL');
  }

  assert.is((await node.diskProcesses('tight')).pid, pid, 'nobody died of it');
  await node.unmount(mounted);
  await node.mount(device, 'tight');
  await run('cmp', [source, path.join(mounted, 'copy')]);
  await node.unmount(mounted);
  await run('e2fsck', ['-fn', device]);
  await node.mars('secondary', 'tight');
});

test('H15: the disk process asks for memory that never waits for its own device, where permitted', async (context) => {
  await node.disk('flusher', '16M', '--set', 'device=on');
  const checks = await node.json<{checks: readonly {name: string; ok: boolean; code: string}[]}>(
    'doctor',
  );
  const flusher = checks.checks.find(({name}) => name === 'io-flusher');
  assert.ok(flusher !== undefined);
  if (!flusher.ok) {
    assert.is(flusher.code, 'CAPABILITY_MISSING');
    skip(context, 'PR_SET_IO_FLUSHER is refused here; doctor says so');
  }

  const {pid} = await node.diskProcesses('flusher');
  // systemd lets programs whose name begins with @ live until after the unmount.
  assert.match(fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /^@/u);
  await node.mars('secondary', 'flusher');
});

test.run();
