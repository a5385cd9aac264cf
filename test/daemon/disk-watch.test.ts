import {once} from 'node:events';
import {PassThrough} from 'node:stream';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {DiskError} from '../../src/core/errors.js';
import {WATCH_SILENCE_MS} from '../../src/core/watch-lines.js';
import {DiskWatch} from '../../src/daemon/disk-watch.js';
import {SimClock} from '../sim/sim-clock.js';

const PID = 7;

async function makeBench() {
  const clock = new SimClock();
  const streams: PassThrough[] = [];
  const watch = new DiskWatch({
    clock,
    open: () => {
      const stream = new PassThrough();
      streams.push(stream);
      return Promise.resolve(stream);
    },
  });
  watch.beginLook();
  await watch.connect(PID);
  const say = async (words: string): Promise<void> => {
    const stream = streams.at(-1);
    assert.ok(stream);
    const heard = once(stream, 'data');
    stream.write(words);
    await heard;
  };
  return {clock, watch, streams, say};
}

test('a disk that says nothing but that it is alive need not be asked', async () => {
  const {watch, say} = await makeBench();
  assert.not(watch.isCalm, 'it has said nothing yet');
  await say('.');
  assert.ok(watch.isCalm);
});

test('one that has news is asked, and what it says during the look is news again', async () => {
  const {watch, say} = await makeBench();
  await say('!');
  assert.not(watch.isCalm);
  watch.beginLook();
  assert.ok(watch.isCalm);
  await say('..!.');
  assert.not(watch.isCalm);
});

test('one that is silent is asked, as are all whose stream has ended', async () => {
  const {clock, watch, say, streams} = await makeBench();
  await say('.');
  clock.advance(WATCH_SILENCE_MS);
  assert.not(watch.isCalm);
  await say('.');
  assert.ok(watch.isCalm);
  const [stream] = streams;
  assert.ok(stream);
  const closed = once(stream, 'close');
  stream.destroy();
  await closed;
  assert.not(watch.isCalm);
  watch.beginLook();
  assert.not(watch.isCalm, 'nobody says that it is alive');
  await watch.connect(PID);
  await say('.');
  assert.ok(watch.isCalm);
});

test('an older disk process, which has no such stream, is tried once, and the next one again', async () => {
  let tries = 0;
  const watch = new DiskWatch({
    clock: new SimClock(),
    open: () => {
      tries += 1;
      return Promise.reject(new DiskError('USAGE', 'the disk process has no stream /watch'));
    },
  });
  await watch.connect(PID);
  await watch.connect(PID);
  assert.is(tries, 1);
  await watch.connect(PID + 1);
  assert.is(tries, 2);
  assert.not(watch.isCalm);
});

test.run();
