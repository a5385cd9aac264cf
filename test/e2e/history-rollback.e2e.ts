/** A disk becomes again what it was at a moment, its replica too, whatever dies meanwhile; and forth again. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {HistoryRollbackResult, HistoryView} from '../../src/control/history-api.js';
import type {RollbackFile} from '../../src/core/rollback-file.js';
import {Cluster} from '../helpers/cluster.js';
import {
  eventsOf,
  hashOf,
  imageBehind,
  killDisk,
  randomFile,
  setFaults,
  writeDisk,
} from '../helpers/disk-io.js';
import {run, tryRun, until} from '../helpers/run.js';
import {killAndWait, type TempHome} from '../helpers/temp-home.js';

const SIZE_MIB = 32;
const FLUSHED = 'conv=notrunc,fsync';

const cluster = new Cluster(['alpha', 'beta']);
let then = '';
let before = '';
/** Position before the rollback. */
let undo = '';

/** Faults of all nodes, until a daemon is started anew. */
const faults = path.join(
  fs.mkdtempSync(path.join(process.env['MARS_TEST_DIR'] ?? '/var/tmp', 'mars-plan-')),
  'plan.json',
);

test.before(() => withFaults(() => cluster.start()));

test.after(async () => {
  await cluster.dispose();
  fs.rmSync(path.dirname(faults), {recursive: true, force: true});
});

const alpha = (): TempHome => cluster.node('alpha');
const disk = (): string => alpha().device('web');
const rollbackFile = (): string => path.join(alpha().home, 'resources', 'web', 'rollback.json');

/** What is started looks for faults. */
async function withFaults(start: () => Promise<void>): Promise<void> {
  process.env['MARS_FAULTS'] = faults;
  try {
    await start();
  } finally {
    delete process.env['MARS_FAULTS'];
  }
}

async function rollBack(...words: string[]): Promise<HistoryRollbackResult> {
  return JSON.parse(
    await alpha().mars('history', 'rollback', 'web', ...words, '--json'),
  ) as HistoryRollbackResult;
}

/** Begins one, whose writes take their time, and returns when it is in the middle of them. */
async function inTheMiddle(to: string): Promise<{readonly ended: Promise<string>}> {
  const log = `${alpha().home}/resources/web/log/`;
  setFaults(faults, [{path: log, call: 'write', after: 3, count: 1000, delayMs: 500}]);
  const ended = alpha()
    .tryMars('history', 'rollback', 'web', '--to', to, '--json')
    .then(({stdout, stderr}) => stdout + stderr);
  await until(
    async () => ((await alpha().diskStatus('web'))?.rollback?.changedBytes ?? 0) > 0,
    30_000,
    'the rollback to write',
  );
  assert.ok(fs.existsSync(rollbackFile()), 'it is not done yet');
  return {ended};
}

async function untilOpen(): Promise<void> {
  setFaults(faults, []);
  await until(
    () => Promise.resolve(!fs.existsSync(rollbackFile())),
    60_000,
    'the rollback to end by itself',
  );
  await until(
    () => Promise.resolve(fs.existsSync(path.join(alpha().home, 'dev', 'web'))),
    30_000,
    'the device to be back',
  );
}

/** Of a replica: image and log as its disk process holds them. */
async function hashOfReplica(): Promise<string> {
  const beta = cluster.node('beta');
  await cluster.caughtUp('web', 'alpha', 'beta', 60_000);
  await until(
    async () => {
      const status = await beta.diskStatus('web');
      return status !== undefined && status.replayed === status.position;
    },
    60_000,
    'all of the log to be in the image of beta',
  );
  return hashOf(imageBehind(beta, 'web'), SIZE_MIB);
}

test('a dry run says what would be taken back, and changes nothing', async () => {
  await alpha().disk('web', `${SIZE_MIB}M`, '--set', 'segment-bytes=4M', '--history', '1h');
  await writeDisk(randomFile(alpha(), 'then.bin', 12), disk(), [FLUSHED]);
  await cluster.joinResource('beta', 'web');
  await alpha().mars('history', 'mark', 'web', 'then');
  then = await hashOf(disk(), SIZE_MIB);
  // Over a part, beyond it, and less of it.
  await writeDisk(randomFile(alpha(), 'now.bin', 12), disk(), ['seek=6', FLUSHED]);
  await run('blkdiscard', ['-o', '0', '-l', String(2 * 2 ** 20), disk()]);
  before = await hashOf(disk(), SIZE_MIB);
  const plan = await rollBack('--to', 'then', '--dry-run');
  assert.is(plan.changedBytes, 14 * 2 ** 20);
  assert.ok(plan.neededBytes > 12 * 2 ** 20 && plan.neededBytes < plan.availableBytes);
  assert.equal([plan.dryRun, plan.undo, plan.isKept, plan.users], [true, null, true, []]);
  assert.is(await hashOf(disk(), SIZE_MIB), before);
  assert.not(fs.existsSync(rollbackFile()));
});

test('it is refused, with the reason, while somebody has the disk open, and for a wrong moment', async () => {
  const fd = fs.openSync(disk(), 'r');
  const open = await alpha().tryMars('history', 'rollback', 'web', '--to', 'then', '--json');
  fs.closeSync(fd);
  assert.is(open.status, 3);
  assert.match(open.stdout + open.stderr, /RESOURCE_BUSY/u);
  assert.match(open.stdout + open.stderr, `pid ${process.pid}`);
  // The kernel has the image open for it, and no process.
  const loop = (await run('losetup', ['-f', '--show', alpha().imageFile('web')])).trim();
  const second = await alpha().tryMars('history', 'rollback', 'web', '--to', 'then', '--json');
  await run('losetup', ['-d', loop]);
  assert.match(second.stdout + second.stderr, /RESOURCE_BUSY/u);
  assert.match(second.stdout + second.stderr, `is used by ${loop}`);
  const unknown = await alpha().tryMars('history', 'rollback', 'web', '--to', 'never', '--json');
  assert.match(unknown.stdout + unknown.stderr, 'HISTORY_MARK_UNKNOWN');
  const beta = cluster.node('beta');
  const replica = await beta.tryMars('history', 'rollback', 'web', '--to', 'then', '--json');
  assert.match(replica.stdout + replica.stderr, 'RESOURCE_NOT_PRIMARY');
  const mark = await alpha().tryMars('history', 'mark', 'web', 'rolled-back-to-x', '--json');
  assert.is(mark.status, 2);
  assert.is(await hashOf(disk(), SIZE_MIB), before);
  assert.not(fs.existsSync(rollbackFile()));
});

test('without a history it asks first; what a disk has grown by since becomes zeros', async () => {
  const node = alpha();
  await node.disk('plain', '4M', '--set', 'segment-bytes=4M');
  await node.mars('replay', 'pause', 'plain');
  await writeDisk(randomFile(node, 'small.bin', 4), node.device('plain'), [FLUSHED]);
  const small = await hashOf(node.device('plain'), 4);
  await node.mars('history', 'mark', 'plain', 'small');
  await node.mars('resource', 'resize', 'plain', '8M');
  await writeDisk(randomFile(node, 'large.bin', 7), node.device('plain'), ['seek=1', FLUSHED]);
  const words = ['history', 'rollback', 'plain', '--to', 'small'];
  const asked = await node.tryMars(...words, '--json');
  assert.match(asked.stdout + asked.stderr, 'CONFIRM_NEEDED');
  await node.mars(...words, '--yes');
  const device = node.device('plain');
  assert.is(await hashOf(device, 4), small);
  await run('cmp', ['-n', String(4 * 2 ** 20), '-i', `${4 * 2 ** 20}:0`, device, '/dev/zero']);
  assert.is(Number(await run('blockdev', ['--getsize64', device])), 8 * 2 ** 20);
});

test('primary and replica are what they were, by device, by file and past the cache; positions go on', async () => {
  const {position = ''} = (await alpha().diskStatus('web')) ?? {};
  // Pages of before are in the caches, where any are kept.
  for (const place of [alpha().imageFile('web'), disk()]) {
    await run('dd', [`if=${place}`, 'of=/dev/null', 'bs=1M']);
  }

  const result = await rollBack('--to', 'then');
  undo = result.undo ?? '';
  assert.ok(undo >= position, 'the moment before');
  assert.is(await hashOf(disk(), SIZE_MIB), then);
  for (const place of [disk(), alpha().imageFile('web')]) {
    const buffered = await run('openssl', ['dgst', '-sha256', '-r', place]);
    assert.is(buffered.split(' ')[0], then, place);
  }

  assert.is(await hashOfReplica(), then);
  const view = JSON.parse(await alpha().mars('history', 'list', 'web', '--json')) as HistoryView;
  assert.equal(
    view.marks.map(({label}) => label),
    ['then', `before-rollback-to-${result.position}`, `rolled-back-to-${result.position}`],
  );
  const codes = eventsOf(alpha()).map(({code}) => code);
  assert.ok(codes.includes('ROLLBACK_BEGUN') && codes.includes('ROLLBACK_DONE'));
  assert.is((await rollBack('--to', `rolled-back-to-${result.position}`)).records, 0);
});

test('SIGKILL of the disk process in the middle: it goes on by itself, and can be opened when it is done', async () => {
  const {ended} = await inTheMiddle(undo);
  const opened = await tryRun('dd', [`if=${alpha().imageFile('web')}`, 'of=/dev/null', 'count=1']);
  assert.match(opened.stderr, /busy/iu);
  const role = await alpha().tryMars('secondary', 'web', '--json');
  assert.match(role.stdout + role.stderr, 'ROLLBACK_UNFINISHED');
  await killDisk(alpha(), 'web');
  setFaults(faults, []);
  await ended;
  await untilOpen();
  assert.is(await hashOf(disk(), SIZE_MIB), before);
});

test('SIGKILL of daemon, holder and disk process in the middle: the next daemon goes on with it', async () => {
  const {ended} = await inTheMiddle('then');
  await alpha().killDaemon();
  const {pid, holderPid} = await alpha().diskProcesses('web');
  assert.ok(fs.existsSync(rollbackFile()), 'it is not done yet');
  await killAndWait(holderPid);
  await killAndWait(pid);
  await ended;
  await withFaults(() => alpha().startDaemon());
  await untilOpen();
  assert.is(await hashOf(disk(), SIZE_MIB), then);
});

test('daemon and disk are stopped in the middle, in order: it goes on when they are started', async () => {
  const {ended} = await inTheMiddle(undo);
  await alpha().mars('daemon', 'stop', '--disks');
  await ended;
  assert.ok(fs.existsSync(rollbackFile()), 'it is not done yet');
  await withFaults(() => alpha().startDaemon());
  await untilOpen();
  assert.is(await hashOf(disk(), SIZE_MIB), before);
});

test('it can be turned back in the middle', async () => {
  const {ended} = await inTheMiddle('then');
  const aborted = alpha().mars('history', 'rollback', 'web', '--abort');
  await until(
    async () => (await alpha().diskStatus('web'))?.rollback?.asked === 'before the rollback',
    30_000,
    'the disk to be on its way back',
  );
  // Asked for again it is waited for.
  const {to = ''} = (await alpha().diskStatus('web'))?.rollback ?? {};
  const again = rollBack('--to', to).then(({running}) => {
    assert.ok(running);
    assert.not(fs.existsSync(rollbackFile()), 'it has ended');
  });
  setFaults(faults, []);
  assert.match(await aborted, 'is what it was before the rollback');
  assert.match(await ended, 'was turned back');
  await again;
  assert.is(await hashOf(disk(), SIZE_MIB), before);
  assert.is(await hashOfReplica(), before);
});

test('a file system of the moment is whole', async () => {
  await run('mkfs.ext4', ['-q', '-F', disk()]);
  const target = await alpha().mount(disk(), 'fs');
  fs.writeFileSync(path.join(target, 'kept'), 'kept');
  await alpha().unmount(target);
  await alpha().mars('history', 'mark', 'web', 'with-file');
  await alpha().mount(disk(), 'fs');
  fs.rmSync(path.join(target, 'kept'));
  const mounted = await alpha().tryMars('history', 'rollback', 'web', '--to', 'with-file');
  assert.match(mounted.stdout + mounted.stderr, /is mounted at/u);
  await alpha().unmount(target);
  await rollBack('--to', 'with-file');
  await run('e2fsck', ['-fn', disk()]);
  await alpha().mount(disk(), 'fs');
  assert.is(fs.readFileSync(path.join(target, 'kept'), 'utf8'), 'kept');
  await alpha().unmount(target);
});

test('who becomes primary by force in the middle is told, and finishes it there', async () => {
  const beta = cluster.node('beta');
  await beta.mars('resource', 'set', 'web', 'history=1h');
  await alpha().mars('history', 'mark', 'web', 'whole');
  const whole = await hashOf(disk(), SIZE_MIB);
  await writeDisk(randomFile(alpha(), 'more.bin', 16), disk(), [FLUSHED]);
  await cluster.caughtUp('web', 'alpha', 'beta', 60_000);
  const {ended} = await inTheMiddle('whole');
  const from = (await alpha().diskStatus('web'))?.rollback?.from ?? '';
  assert.is.not(from, '', 'it is not done yet');
  await until(
    async () => ((await beta.diskStatus('web'))?.position ?? '') > from,
    30_000,
    'beta to have some of it',
  );
  await alpha().killDaemon();
  cluster.setLink('alpha', 'beta', 'cut');
  await ended;
  const {position: cutAt = ''} = (await alpha().diskStatus('web')) ?? {};
  await until(
    async () => ((await alpha().diskStatus('web'))?.position ?? '') > cutAt,
    30_000,
    'alpha to have some that beta does not get',
  );
  const {pid, holderPid} = await alpha().diskProcesses('web');
  await killAndWait(holderPid);
  await killAndWait(pid);
  setFaults(faults, []);
  await beta.mars('primary', 'web', '--force');
  await until(
    async () =>
      (await beta.status('web')).messages.some(({code}) => code === 'ROLLBACK_UNFINISHED'),
    30_000,
    'beta to say that its log ends in a rollback',
  );
  await beta.mars('history', 'rollback', 'web', '--to', 'whole');
  assert.is(await hashOf(beta.device('web'), SIZE_MIB), whole);
  const {messages} = await beta.status('web');
  assert.not(messages.some(({code}) => code === 'ROLLBACK_UNFINISHED'));
});

test('the node that it began on keeps it while it is forked, and drops it when it follows', async () => {
  const {position} = JSON.parse(fs.readFileSync(rollbackFile(), 'utf8')) as RollbackFile;
  cluster.setLink('alpha', 'beta', 'open');
  await withFaults(() => alpha().startDaemon());
  await until(
    async () => (await alpha().status('web')).state === 'Forked',
    60_000,
    'alpha to see the fork',
  );
  const status = await alpha().diskStatus('web');
  assert.is(status?.mode, 'follow');
  assert.is(status?.rollback?.to, position);
  assert.ok((status?.replayed ?? '~') <= position, 'its image is not newer');
  assert.ok(fs.existsSync(rollbackFile()));
  await alpha().mars('fork', 'resolve', 'web', '--keep', 'beta', '--yes');
  await until(() => Promise.resolve(!fs.existsSync(rollbackFile())), 60_000, 'it to be dropped');
  await alpha().mars('resource', 'set', 'web', 'history=off');
  const whole = await hashOf(cluster.node('beta').device('web'), SIZE_MIB);
  await cluster.caughtUp('web', 'beta', 'alpha', 60_000);
  await until(
    async () => {
      const disk = await alpha().diskStatus('web');
      return disk?.rollback === null && disk.replayed === disk.position;
    },
    60_000,
    'all of the log to be in the image of alpha',
  );
  assert.is(await hashOf(imageBehind(alpha(), 'web'), SIZE_MIB), whole);
});

test.run();
