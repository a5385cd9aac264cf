/** Synchronous modes over the real front and committer, with replicas that are only words. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {ModeSettings} from '../../src/core/mode.js';
import {PENDING} from '../../src/fuse/handler.js';
import {ModeRig} from './mode-rig.js';
import {PATHS} from './rig.js';

const SYNC: ModeSettings = {mode: 'sync', syncReplicas: 1, degradeAfterSeconds: 5};

test('async: nobody is asked, no file is made', () => {
  const rig = new ModeRig({...SYNC, mode: 'async'});
  rig.write(0, 4096);
  rig.flushed();
  assert.equal(rig.wants, []);
  assert.not(rig.files.exists(PATHS.degradedFile));
});

test('sync: a flush is answered when it is durable here and on the replica, in either order', () => {
  const rig = new ModeRig(SYNC);
  rig.write(0, 4096);
  const first = rig.flushNow();
  assert.equal(rig.wants, [{position: rig.end, durably: true}]);
  assert.is(rig.life.shared.durable.get(), rig.end, 'the local sync does not wait');
  assert.not(rig.answers.has(first));
  rig.confirm('beta', rig.end, rig.end - 8);
  assert.not(rig.answers.has(first), 'received is not durable');
  rig.confirm('beta', rig.end);
  assert.is(rig.answers.get(first), 0);
  rig.write(4096, 4096);
  const [, second] = rig.flush();
  rig.mode.flushWaits();
  rig.mode.confirm(rig.life.disk.epoch, {
    node: 'beta',
    name: 'beta',
    received: rig.end,
    durable: rig.end,
  });
  assert.not(rig.answers.has(second), 'the replica alone is not enough');
  rig.settle();
  assert.is(rig.answers.get(second), 0);
});

test('near-sync: received is enough; everything below counts, not only the newest', () => {
  const rig = new ModeRig({...SYNC, mode: 'near-sync'});
  rig.write(0, 4096);
  const first = rig.flushNow();
  const target = rig.end;
  rig.write(4096, 4096);
  const second = rig.flushNow();
  rig.confirm('beta', target, 0);
  assert.is(rig.answers.get(first), 0);
  assert.not(rig.answers.has(second));
  rig.confirm('beta', rig.end, 0);
  assert.is(rig.answers.get(second), 0);
});

test('durability=write: each write waits as well', () => {
  const rig = new ModeRig(SYNC, {durability: 'write'});
  const [result, unique] = rig.write(0, 4096);
  assert.is(result, PENDING);
  rig.mode.flushWaits();
  rig.settle();
  assert.not(rig.answers.has(unique));
  rig.confirm('beta', rig.end);
  assert.is(rig.answers.get(unique), -4096);
});

test('two of three: the second slowest decides, and one that speaks twice is one', () => {
  const rig = new ModeRig({...SYNC, syncReplicas: 2});
  rig.write(0, 4096);
  const unique = rig.flushNow();
  rig.confirm('beta', rig.end);
  rig.confirm('beta', rig.end);
  rig.confirm('gamma', rig.end - 8);
  assert.not(rig.answers.has(unique));
  rig.confirm('delta', rig.end);
  assert.is(rig.answers.get(unique), 0);
});

test('what is confirmed of another epoch, or beyond the end, does not count', () => {
  const rig = new ModeRig(SYNC);
  rig.write(0, 4096);
  const unique = rig.flushNow();
  rig.confirm('beta', rig.end, rig.end, 'f'.repeat(32));
  rig.confirm('beta', rig.end + 4096);
  assert.not(rig.answers.has(unique));
  rig.confirm('beta', rig.end);
  assert.is(rig.answers.get(unique), 0);
});

test('a flush of what an earlier life wrote waits until a replica has it in this epoch', () => {
  const rig = new ModeRig(SYNC);
  rig.write(0, 4096);
  const old = rig.life.disk.epoch;
  rig.kill();
  rig.beginMode(SYNC);
  const unique = rig.flushNow();
  rig.confirm('beta', rig.end, rig.end, old);
  assert.not(rig.answers.has(unique));
  rig.confirm('beta', rig.end);
  assert.is(rig.answers.get(unique), 0);
});

test('a missing replica degrades the mode: durable, then told, then answered', () => {
  const rig = new ModeRig(SYNC);
  rig.write(0, 4096);
  const unique = rig.flushNow();
  rig.wait(4900);
  assert.not(rig.answers.has(unique));
  assert.match(rig.notices.waiting()?.reason ?? '', '0 of 1 replica confirmed');
  assert.ok(rig.notices.waiting()?.until !== null, 'with a deadline');
  rig.trace = [];
  rig.wait(200);
  assert.is(rig.answers.get(unique), 0);
  const of = (start: string): number => rig.trace.findIndex((line) => line.startsWith(start));
  assert.ok(of('syncData degraded') >= 0);
  assert.ok(of('syncData degraded') < of('event MODE_DEGRADED'));
  assert.ok(of('event MODE_DEGRADED') < of(`answer ${unique}`));
  assert.ok(rig.notices.list().some(({code}) => code === 'MODE_DEGRADED'));
  assert.is(rig.notices.waiting(), null);
  rig.write(4096, 4096);
  rig.flushed();
  rig.files.crash({mode: 'none', cut: 0, keepProbability: 0, tearProbability: 0});
  assert.ok(rig.degradedOnDisk !== null, 'also after power loss');
});

test('a state that cannot be written keeps flushes waiting, loudly; then they go on', () => {
  const rig = new ModeRig(SYNC);
  rig.write(0, 4096);
  const unique = rig.flushNow();
  const {beforeCall} = rig.files;
  rig.files.beforeCall = (actor, call, path) => {
    if (path.includes('degraded')) {
      throw Object.assign(new Error('EIO'), {code: 'EIO', syscall: call});
    }

    beforeCall?.(actor, call, path);
  };
  rig.wait(6000);
  assert.not(rig.answers.has(unique));
  assert.ok(rig.notices.list().some(({code}) => code === 'STORE_IO'));
  assert.not(rig.told.includes('MODE_DEGRADED'));
  if (beforeCall !== undefined) rig.files.beforeCall = beforeCall;
  rig.wait(200);
  assert.is(rig.answers.get(unique), 0);
  assert.ok(rig.degradedOnDisk !== null);
});

test('the next life is degraded as well, and the mode comes back when all is confirmed', () => {
  const rig = new ModeRig(SYNC);
  rig.write(0, 4096);
  rig.flushNow();
  rig.wait(5200);
  rig.kill();
  rig.beginMode(SYNC);
  rig.write(4096, 4096);
  rig.flushed();
  assert.ok(rig.notices.list().some(({code}) => code === 'MODE_DEGRADED'));
  rig.wait(200);
  assert.is(rig.wants.at(-1)?.position, rig.end, 'replicas are asked how far they are');
  rig.confirm('beta', rig.end - 8);
  rig.wait(300);
  assert.not(rig.told.includes('MODE_RESTORED'));
  rig.confirm('beta', rig.end);
  rig.wait(1200);
  rig.confirm('beta', rig.end);
  rig.wait(200);
  assert.ok(rig.told.includes('MODE_RESTORED'));
  assert.is(rig.degradedOnDisk, null);
  assert.not(rig.notices.list().some(({code}) => code === 'MODE_DEGRADED'));
  rig.write(8192, 4096);
  const unique = rig.flushNow();
  assert.not(rig.answers.has(unique), 'flushes wait again');
});

test('the file is whole only when all that was answered without replicas is confirmed', () => {
  const rig = new ModeRig(SYNC);
  rig.write(0, 4096);
  rig.flushNow();
  rig.wait(5200);
  const checkpoint = rig.end;
  rig.write(4096, 4096);
  rig.flushed();
  rig.confirm('beta', checkpoint);
  rig.wait(200);
  assert.ok(rig.degradedOnDisk !== null);
  assert.not(rig.told.includes('MODE_RESTORED'));
  rig.confirm('beta', rig.end);
  rig.wait(1300);
  rig.confirm('beta', rig.end);
  rig.wait(200);
  assert.ok(rig.told.includes('MODE_RESTORED'));
});

test('never: flushes wait, reads and writes go on, and another setting lets them go', () => {
  const rig = new ModeRig({...SYNC, degradeAfterSeconds: null});
  rig.write(0, 4096);
  const unique = rig.flushNow();
  rig.wait(60_000);
  assert.not(rig.answers.has(unique));
  assert.is(rig.notices.waiting()?.until, null);
  assert.ok(rig.notices.list().some(({code}) => code === 'FLUSHES_WAIT'));
  assert.is(rig.told.filter((code) => code === 'FLUSHES_WAIT').length, 1);
  assert.is(rig.write(4096, 4096)[0], 0);
  rig.assertReads();
  rig.mode.configure({...SYNC, mode: 'async'});
  rig.settle();
  assert.is(rig.answers.get(unique), 0);
  assert.is(rig.notices.waiting(), null);
  assert.equal(rig.notices.list(), []);
});

test('from near-sync to sync: what was only received does not count any more', () => {
  const rig = new ModeRig({...SYNC, mode: 'near-sync'});
  rig.write(0, 4096);
  rig.flushNow();
  rig.confirm('beta', rig.end, 0);
  rig.mode.configure(SYNC);
  const unique = rig.flushNow();
  assert.not(rig.answers.has(unique));
  rig.confirm('beta', rig.end);
  assert.is(rig.answers.get(unique), 0);
});

test('a daemon that comes back is told what is waited for', () => {
  const rig = new ModeRig({...SYNC, degradeAfterSeconds: null});
  rig.write(0, 4096);
  rig.flushNow();
  rig.wants.length = 0;
  rig.mode.daemonCame();
  assert.equal(rig.wants, [{position: rig.end, durably: true}]);
  assert.is(rig.mode.status(false)?.daemonUp, false);
  assert.is(rig.mode.status(false)?.flushesWaiting, 1);
});

test.run();
