import {PassThrough} from 'node:stream';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {WATCH_ALIVE_MS} from '../../src/core/watch-lines.js';
import {Shared, SHARED_BYTES, WORD} from '../../src/disk/shared.js';
import {WatchPort} from '../../src/disk/watch-port.js';
import {SimClock} from '../sim/sim-clock.js';

function makeBench() {
  const clock = new SimClock();
  const shared = new Shared(new ArrayBuffer(SHARED_BYTES));
  const state = {mark: '', isBusy: false};
  const port = new WatchPort({
    ...{clock, shared},
    mark: () => state.mark,
    isBusy: () => state.isBusy,
  });
  let heard = '';
  const connect = (): PassThrough => {
    const stream = new PassThrough();
    // What is written here is read there; nothing goes the other way.
    port.open(stream);
    return stream;
  };
  const stream = connect();
  /** What is said in the next `ms`, with a look every half second. */
  const said = (ms: number): string => {
    for (let passed = 0; passed < ms; passed += 500) {
      clock.advance(500);
      port.step();
    }

    const words = heard;
    heard = '';
    return words;
  };
  const write = stream.write.bind(stream);
  stream.write = ((chunk: Buffer) => {
    heard += chunk.toString();
    return write(chunk);
  }) as typeof stream.write;
  said(WATCH_ALIVE_MS);
  return {clock, shared, state, port, stream, said};
}

test('a disk that is calm says that it is alive, and nothing else', () => {
  const {said} = makeBench();
  assert.is(said(5 * WATCH_ALIVE_MS), '.....');
});

test('a write, what replay has passed, and a message are told once, within half a second', () => {
  const {said, shared, state} = makeBench();
  shared.appended.set(4096);
  assert.is(said(500), '!');
  shared.replayed.set(4096);
  assert.is(said(500), '!');
  state.mark = 'LOG_SPACE';
  assert.is(said(500), '!');
  assert.is(said(WATCH_ALIVE_MS), '.');
});

test('threads that go to sleep and wake up are no news', () => {
  const {said, shared} = makeBench();
  for (const word of [WORD.commitAsleep, WORD.replayAsleep]) shared.set(word, 1);
  for (const word of [WORD.commitSignal, WORD.replaySignal]) shared.signal(word);
  assert.is(said(WATCH_ALIVE_MS), '.');
});

test('a disk that is in no state that lasts is to be asked all the time', () => {
  const {said, state} = makeBench();
  state.isBusy = true;
  assert.is(said(2000), '!!!!');
});

test('what changed while a daemon read nothing is told when it reads again', () => {
  const {said, shared, stream} = makeBench();
  Object.defineProperty(stream, 'writableLength', {value: 1000, configurable: true});
  shared.appended.set(4096);
  assert.is(said(WATCH_ALIVE_MS), '');
  Object.defineProperty(stream, 'writableLength', {value: 0});
  assert.is(said(500), '!');
});

test('a stream in the place of another one begins with news, and the other one ends', () => {
  const {port, stream} = makeBench();
  const next = new PassThrough();
  port.open(next);
  assert.ok(stream.destroyed);
  assert.is(String(next.read() ?? '!'), '!');
});

test.run();
