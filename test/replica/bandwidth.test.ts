import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {Clock} from '../../src/core/clock.js';
import {Bandwidth, type Timer} from '../../src/replica/bandwidth.js';

const PIECE = 1000;

/** Time that only the test moves. */
class FakeTime {
  now = 0;
  readonly clock: Clock = {wallMs: () => this.now, monotonicMs: () => this.now};
  readonly timer: Timer = (action, ms) => {
    const entry = {at: this.now + ms, action};
    this.#timers.push(entry);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== entry);
    };
  };
  #timers: {at: number; action: () => void}[] = [];

  get waiting(): number {
    return this.#timers.length;
  }

  async advance(ms: number): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      await settle();
      const due = this.#timers.filter(({at}) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.now = Math.max(this.now, due.at);
      this.#timers = this.#timers.filter((other) => other !== due);
      due.action();
    }

    this.now = end;
    await settle();
  }
}

function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A stream that sends pieces for ever. @returns how many bytes it has sent */
function endless(bandwidth: Bandwidth, piece = PIECE): () => number {
  let sent = 0;
  const run = async (): Promise<void> => {
    for (;;) {
      await bandwidth.take(piece);
      sent += piece;
    }
  };
  void run();
  return () => sent;
}

function near(found: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(found - expected) <= tolerance, `${found}, expected about ${expected}`);
}

test('without a limit nobody waits', async () => {
  const time = new FakeTime();
  const bandwidth = new Bandwidth(time.clock, null, time.timer);
  for (let count = 0; count < 100; count += 1) await bandwidth.take(2 ** 30);
  assert.is(time.waiting, 0);
});

test('a stream gets what the limit allows', async () => {
  const time = new FakeTime();
  const sent = endless(new Bandwidth(time.clock, 100_000, time.timer));
  await time.advance(10_000);
  near(sent(), 1_000_000, 30_000);
});

test('pieces larger than the bucket pass, and are paid for', async () => {
  const time = new FakeTime();
  const sent = endless(new Bandwidth(time.clock, 1000, time.timer), 5000);
  await time.advance(60_000);
  near(sent(), 60_000, 5000);
});

test('streams share the limit', async () => {
  const time = new FakeTime();
  const bandwidth = new Bandwidth(time.clock, 100_000, time.timer);
  const streams = [endless(bandwidth), endless(bandwidth), endless(bandwidth)];
  await time.advance(9000);
  for (const sent of streams) near(sent(), 300_000, 15_000);
});

test('after a long pause no more than a burst is sent at once', async () => {
  const time = new FakeTime();
  const bandwidth = new Bandwidth(time.clock, 100_000, time.timer);
  await time.advance(3_600_000);
  const sent = endless(bandwidth);
  await time.advance(0);
  near(sent(), 25_000, 2000);
});

test('a new limit counts at once', async () => {
  const time = new FakeTime();
  const bandwidth = new Bandwidth(time.clock, 1, time.timer);
  await bandwidth.take(1_000_000);
  let gone = false;
  const taken = bandwidth.take(PIECE).then(() => (gone = true));
  await time.advance(1000);
  assert.not(gone);
  bandwidth.setLimit(1_000_000);
  await time.advance(2000);
  assert.ok(gone);
  await bandwidth.take(1);
  bandwidth.setLimit(1);
  const last = bandwidth.take(PIECE);
  bandwidth.setLimit(null);
  await Promise.all([taken, last]);
});

test('who gives up leaves the line', async () => {
  const time = new FakeTime();
  const bandwidth = new Bandwidth(time.clock, 1000, time.timer);
  await bandwidth.take(2000);
  const control = new AbortController();
  const given = bandwidth.take(1_000_000, control.signal);
  let gone = false;
  const taken = bandwidth.take(PIECE).then(() => (gone = true));
  control.abort();
  await given;
  await time.advance(2500);
  assert.ok(gone);
  await taken;
  // Given up before: nothing is taken, nobody waits.
  await bandwidth.take(1_000_000, control.signal);
  assert.is(time.waiting, 0);
});

test.run();
