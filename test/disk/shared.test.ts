import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {Worker} from 'node:worker_threads';
import {
  LABEL_BYTES_MAX,
  LATENCY_ROW,
  Shared,
  SHARED_BYTES,
  WORD,
  type WaitingRequest,
} from '../../src/disk/shared.js';

function emptyRequest(): WaitingRequest {
  return {uniqueLow: 0, uniqueHigh: 0, target: 0, writtenBytes: 0, sinceMs: 0};
}

test('numbers up to 2^53 come back whole, each word by itself', () => {
  const shared = new Shared(new ArrayBuffer(SHARED_BYTES));
  const numbers = [shared.appended, shared.durable, shared.replayTo, shared.replayed];
  for (const value of [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 45 + 7, Number.MAX_SAFE_INTEGER]) {
    for (const [at, number] of numbers.entries()) number.set(Math.max(0, value - at * 8));
    for (const [at, number] of numbers.entries()) {
      assert.is(number.get(), Math.max(0, value - at * 8));
    }
  }
});

test('no two fields lie over each other', () => {
  const shared = new Shared(new ArrayBuffer(SHARED_BYTES));
  const numbers: readonly number[] = [
    ...[WORD.appended, WORD.durable, WORD.replayTo, WORD.replayed],
    ...[WORD.diskSize, WORD.commandArgument, WORD.retain, WORD.originDurable, WORD.confirmed],
    ...[WORD.replayHold, WORD.historyRoom, WORD.historyFloor, WORD.replayedTime],
  ];
  const wordsAt = (at: number): number => {
    if (at === WORD.label) return LABEL_BYTES_MAX / 4;
    return numbers.includes(at) ? 3 : 1;
  };
  const taken = new Map<number, string>();
  for (const [name, at] of Object.entries(WORD)) {
    if (name === 'counters') continue;
    for (let word = at; word < at + wordsAt(at); word += 1) {
      assert.ok(word < shared.words.length, `${name} lies in the control block`);
      assert.not(taken.has(word), `${name} and ${taken.get(word) ?? ''}`);
      taken.set(word, name);
    }
  }

  shared.counters.fill(-1);
  for (const row of Object.values(LATENCY_ROW)) {
    for (let milliseconds = 0.001; milliseconds < 1e7; milliseconds *= 2) {
      shared.noteLatency(row, milliseconds, row + 1);
    }
  }

  while (shared.pushWaiting(7, 7, 7, 7, 7)) assert.ok(shared.waitingCount <= 2048);
  shared.pushSegment(1, 2, 3);
  assert.ok(shared.counters.every((value) => value === -1));
  for (const row of Object.values(LATENCY_ROW)) {
    const counted = shared.latencies(row).slice(0, -1);
    assert.ok(counted.every((value) => value > 0 && value % (row + 1) === 0));
  }

  for (const word of [WORD.flushHead, WORD.segmentEnd, WORD.currentNumber]) shared.set(word, 0);
  assert.is(shared.get(WORD.appended), 0);
  assert.ok(shared.words.every((word) => word === 0));
});

test('a number is never seen torn by another thread', async () => {
  const memory = new SharedArrayBuffer(SHARED_BYTES);
  const shared = new Shared(memory);
  // Both halves change at once: half a value would be seen as a number that was never written.
  const worker = new Worker(
    `const {workerData} = require('node:worker_threads');
     const words = new Int32Array(workerData, 0, 128);
     const put = (high, low) => {
       const sequence = words[0];
       Atomics.store(words, 0, sequence + 1);
       Atomics.store(words, 1, low);
       Atomics.store(words, 2, high);
       Atomics.store(words, 0, sequence + 2);
     };
     for (let n = 1; Atomics.load(words, 100) === 0; n += 1) put(n & 0xfffff, n & 0xfffff);`,
    {eval: true, workerData: memory},
  );
  const deadline = performance.now() + 10_000;
  while (shared.appended.get() === 0) {
    assert.ok(performance.now() < deadline, 'the other thread writes');
    Atomics.wait(shared.words, 101, 0, 1);
  }

  for (let count = 0; count < 100_000; count += 1) {
    const value = shared.appended.get();
    assert.is(Math.floor(value / 2 ** 32), value % 2 ** 32);
  }

  Atomics.store(shared.words, 100, 1);
  await new Promise((resolve) => worker.once('exit', resolve));
});

test('requests wait in order, wrap, and are refused where the ring is full', () => {
  const shared = new Shared(new ArrayBuffer(SHARED_BYTES));
  const request = emptyRequest();
  let pushed = 0;
  let popped = 0;
  for (let round = 0; round < 5; round += 1) {
    const low = (): number => 0xfffffff0 + (pushed % 16);
    while (shared.pushWaiting(low(), pushed, pushed * 2 ** 33, pushed, pushed / 8)) {
      pushed += 1;
    }

    assert.is(shared.waitingCount, 2048);
    for (let count = 0; count < 1500; count += 1) {
      assert.ok(shared.peekWaiting(request));
      assert.equal(request, {
        uniqueLow: 0xfffffff0 + (popped % 16),
        uniqueHigh: popped,
        target: popped * 2 ** 33,
        writtenBytes: popped,
        sinceMs: popped / 8,
      });
      shared.popWaiting();
      popped += 1;
    }
  }

  while (shared.peekWaiting(request)) shared.popWaiting();
  assert.is(shared.waitingCount, 0);
});

test('the ring goes on where its counters wrap at 2^31', () => {
  const shared = new Shared(new ArrayBuffer(SHARED_BYTES));
  for (const word of [WORD.flushHead, WORD.flushTail]) shared.set(word, 2 ** 31 - 3);
  const request = emptyRequest();
  for (let unique = 1; unique <= 6; unique += 1) {
    assert.ok(shared.pushWaiting(unique, 0, 8, 0, 0));
    assert.is(shared.waitingCount, unique);
  }

  for (let unique = 1; unique <= 6; unique += 1) {
    assert.ok(shared.peekWaiting(request));
    assert.is(request.uniqueLow, unique);
    shared.popWaiting();
  }

  assert.not(shared.peekWaiting(request));
});

test('a segment ends where the next one begins, the last one nowhere', () => {
  const shared = new Shared(new ArrayBuffer(SHARED_BYTES));
  shared.pushSegment(17, 3, 2 ** 40);
  shared.pushSegment(18, 4, 2 ** 40 + 64);
  assert.equal(shared.segment(0), {
    ordinal: 0,
    number: 17,
    fd: 3,
    start: 2 ** 40,
    end: 2 ** 40 + 64,
  });
  assert.is(shared.segment(1).end, Infinity);
  assert.is(shared.get(WORD.currentNumber), 18);
  assert.throws(() => shared.segment(2), /segment exists/u);
});

test('a thread that sleeps for want of work never misses what comes around its last look', () => {
  const shared = new Shared(new SharedArrayBuffer(SHARED_BYTES));
  const bring = (): void => {
    shared.appended.set(shared.appended.get() + 8);
    shared.wakeIfAsleep(WORD.commitAsleep, WORD.commitSignal);
  };
  const sleep = (isIdle: () => boolean): void => {
    const signal = shared.get(WORD.commitSignal);
    shared.sleepUntilWoken(WORD.commitAsleep, WORD.commitSignal, signal, isIdle);
    assert.is(shared.get(WORD.commitAsleep), 0);
  };
  // Each of them would hang where the thread slept all the same.
  bring();
  sleep(() => shared.appended.get() === 0);
  sleep(() => {
    bring();
    return true;
  });
  const signal = shared.get(WORD.commitSignal);
  shared.signal(WORD.commitSignal);
  shared.sleepUntilWoken(WORD.commitAsleep, WORD.commitSignal, signal, () => true);
});

test('a thread that is awake is not signalled for work, whatever comes', () => {
  const shared = new Shared(new SharedArrayBuffer(SHARED_BYTES));
  shared.wakeIfAsleep(WORD.replayAsleep, WORD.replaySignal);
  assert.is(shared.get(WORD.replaySignal), 0);
  shared.set(WORD.replayAsleep, 1);
  for (let count = 0; count < 3; count += 1) {
    shared.wakeIfAsleep(WORD.replayAsleep, WORD.replaySignal);
  }

  assert.is(shared.get(WORD.replaySignal), 1, 'one signal is enough');
});

test.run();
