/** H16, H17, H18, H23: what a second life of the disk process knows, and does not assume. */
import {spawn} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {resourcePaths} from '../../src/core/home.js';
import {tryLock} from '../../src/daemon/file-lock.js';
import {
  bareDisk,
  hashOf,
  imageBehind,
  killDisk,
  randomFile,
  served,
  writeDisk,
} from '../helpers/disk-io.js';
import {run, until} from '../helpers/run.js';
import {killAndWait, TempHome} from '../helpers/temp-home.js';

const MIB = 1024 * 1024;
/** Enough logfiles of 4 MiB that a scan of all of them would not pass unseen. */
const BACKLOG_MIB = 96;

let node: TempHome;

test.before(async () => {
  node = await TempHome.create();
});

test.after(() => node.dispose());

async function counter(name: string, key: 'flushes' | 'writes'): Promise<number> {
  return (await node.diskStatus(name))?.counters[key] ?? -1;
}

test('H16: whether it is open is asked of the kernel: secondary is refused after a restart, too', async () => {
  const device = await node.disk('open', '64M');
  await run('mkfs.ext4', ['-q', device]);
  const mounted = await node.mount(device, 'open');
  await killDisk(node, 'open');
  await killDisk(node, 'open');
  const refused = await node.tryMars('secondary', 'open');
  assert.is(refused.status, 3);
  assert.match(refused.stderr, 'RESOURCE_BUSY');
  assert.is((await node.status('open')).role, 'primary');
  fs.writeFileSync(path.join(mounted, 'file'), 'still here');
  await node.unmount(mounted);
  await killDisk(node, 'open');
  await node.mars('secondary', 'open');
});

test('H16: the INIT answer is kept: after a restart a MiB is one request still, and FORGETs are harmless', async () => {
  const disk = await bareDisk(node, 'init', '64M');
  const {fuseFile} = resourcePaths(node.home, 'init');
  const kept = fs.readFileSync(fuseFile);
  const source = randomFile(node, 'init.bin', 8);
  for (const life of [1, 2, 3]) {
    const before = await counter('init', 'writes');
    await writeDisk(source, disk, ['conv=notrunc,fsync']);
    assert.is((await counter('init', 'writes')) - before, 8, `life ${life}`);
    assert.is(await hashOf(disk, 8), await hashOf(source, 8));
    await killDisk(node, 'init');
    assert.ok(fs.readFileSync(fuseFile).equals(kept));
  }

  await node.mars('secondary', 'init');
});

test('H17, P10: three fsyncs are three flushes, in every life, and each waits for the log', async () => {
  const disk = await bareDisk(node, 'flush', '32M');
  const program = `
    use IO::Handle;
    open(my $file, '+<', $ARGV[0]) or die "open: $!";
    for my $round (1 .. 3) {
      sysseek($file, 8192 * $round, 0);
      syswrite($file, chr(96 + $round) x 4096) or die "write: $!";
      $file->sync or die "fsync: $!";
    }`;
  for (const life of [1, 2]) {
    const before = await counter('flush', 'flushes');
    await run('perl', ['-e', program, disk]);
    const status = await node.diskStatus('flush');
    assert.is((status?.counters.flushes ?? -1) - before, 3, `life ${life}`);
    assert.is(status?.durable, status?.position, 'nothing is left to be made durable');
    await killDisk(node, 'flush');
  }

  await node.mars('secondary', 'flush');
});

test('H17: fsync ends in an fdatasync of a logfile before it is answered', async () => {
  const disk = await bareDisk(node, 'trace', '32M');
  const {pid} = await node.diskProcesses('trace');
  const trace = path.join(node.directory, 'trace');
  const strace = spawn('strace', [
    '-f',
    '-y',
    '-e',
    'trace=fdatasync',
    '-o',
    trace,
    '-p',
    String(pid),
  ]);
  try {
    let words = '';
    strace.stderr.setEncoding('utf8').on('data', (text: string) => (words += text));
    await until(() => words.includes('attached'), 10_000, 'strace');
    const source = randomFile(node, 'trace.bin', 1);
    await writeDisk(source, disk, ['conv=notrunc,fsync']);
    // fsync has returned: what it stands for must be in the trace already, and have succeeded.
    // A call that overlaps one of another thread stands in two lines.
    const text = fs.readFileSync(trace, 'utf8');
    assert.match(text, /fdatasync\(\d+<[^>]*\/log\/log-[^>]*>(\)\s+= 0| <unfinished)/u);
    assert.match(text, /fdatasync(\(\d+<[^>]*\/log\/log-[^>]*>| resumed>)\)\s+= 0/u);
  } finally {
    const ended = new Promise((resolve) => strace.once('exit', resolve));
    strace.kill('SIGINT');
    await ended;
  }

  await node.mars('secondary', 'trace');
});

test('H18: who reads disk.img buffered while the loop device writes never keeps an old block', async () => {
  const device = await node.disk('stale', '16M');
  const image = node.imageFile('stale');
  // Reader and writer at once; then, with the same descriptor as in the race, the last word.
  const script = `
    exec 3<"$1"
    ( for i in $(seq 1 60); do dd bs=64k count=4 status=none <&3 >/dev/null;
        perl -e 'open(my $f, "<&=", 3); sysseek($f, 0, 0)'; done ) &
    for i in $(seq 1 30); do
      tr '\\0' "$(printf "\\\\$(printf %o $((65 + i % 26)))")" </dev/zero |
        dd of="$2" bs=64k count=4 iflag=fullblock oflag=direct conv=notrunc status=none
    done
    wait
    perl -e 'open(my $f, "<&=", 3); sysseek($f, 0, 0); sysread($f, my $t, 65536); print $t' | sha256sum
    dd if="$2" bs=64k count=1 iflag=direct status=none | sha256sum
    head -c 65536 "$1" | sha256sum`;
  const output = await run('bash', ['-c', script, 'bash', image, device], {timeoutMs: 60_000});
  const [same, direct, opened] = output.trim().split('\n');
  assert.is(same, direct, 'the descriptor that raced');
  assert.is(opened, direct, 'a new descriptor');
  await node.mars('secondary', 'stale');
});

test('H23, P5: a restart with a long log searches index files, and rebuilds one that is bad', async () => {
  const disk = await bareDisk(node, 'long', '128M');
  await node.mars('replay', 'pause', 'long');
  const source = randomFile(node, 'long.bin', BACKLOG_MIB);
  await writeDisk(source, disk, ['conv=notrunc,fsync']);
  const written = await hashOf(source, BACKLOG_MIB);
  const log = resourcePaths(node.home, 'long').logDirectory;
  const indexes = (): string[] => fs.readdirSync(log).filter((name) => name.endsWith('.idx'));
  await until(() => indexes().length >= BACKLOG_MIB / 4 - 2, 30_000, 'index files');
  await killDisk(node, 'long');
  assert.is(await hashOf(disk, BACKLOG_MIB), written);
  // Bad in each way: cut, flipped, empty, gone.
  const [cut = '', flipped = '', empty = '', gone = ''] = indexes().map((name) =>
    path.join(log, name),
  );
  fs.truncateSync(cut, Math.floor(fs.statSync(cut).size / 2));
  const bytes = fs.readFileSync(flipped);
  const middle = bytes.length >> 1;
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  fs.writeFileSync(flipped, bytes);
  fs.truncateSync(empty, 0);
  fs.rmSync(gone);
  await killDisk(node, 'long');
  assert.is(await hashOf(disk, BACKLOG_MIB), written);
  await node.mars('replay', 'resume', 'long');
  await node.replayed('long', 60_000);
  assert.is(await hashOf(imageBehind(node, 'long'), BACKLOG_MIB), written);
  await until(() => indexes().length <= 1, 10_000, 'index files gone with their logfiles');
  assert.is(fs.statSync(imageBehind(node, 'long')).size, 128 * MIB);
  await node.mars('secondary', 'long');
});

/** Whether a flock(1) of a holder has the file open. */
function isWaitedFor(lock: string): boolean {
  return fs.readdirSync('/proc').some((pid) => {
    try {
      const isFlock = fs.readFileSync(`/proc/${pid}/comm`, 'utf8') === 'flock\n';
      return isFlock && fs.readlinkSync(`/proc/${pid}/fd/7`) === lock;
    } catch {
      return false; // No process, or one that has ended.
    }
  });
}

test('F11: while a logfile is being replaced the next generation reads nothing', async () => {
  const disk = await bareDisk(node, 'mended', '32M');
  const source = randomFile(node, 'mended.bin', 4);
  await writeDisk(source, disk, ['conv=notrunc,fsync']);
  const {mendLock} = resourcePaths(node.home, 'mended');
  const lock = await tryLock(mendLock);
  assert.ok(lock !== undefined);
  const {pid} = await node.diskProcesses('mended');
  try {
    await killAndWait(pid);
    await until(() => isWaitedFor(mendLock), 20_000, 'generation that waits for the lock');
    assert.is(await node.diskStatus('mended'), undefined);
  } finally {
    fs.closeSync(lock);
  }

  await served(node, 'mended', pid);
  assert.is(await hashOf(disk, 4), await hashOf(source, 4));
  await node.mars('secondary', 'mended');
});

test.run();
