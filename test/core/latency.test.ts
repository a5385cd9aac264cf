/** Histograms of latency: buckets that double, and quantiles of what came between two looks. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {threadsClock} from '../../src/core/clock.js';
import {
  countOf,
  LATENCY_BOUNDS_SECONDS,
  LATENCY_BUCKET_COUNT,
  latencyBetween,
  latencyBucketOf,
  latencyQuantile,
} from '../../src/core/latency.js';

test('each time is in the first bucket whose bound it does not exceed', () => {
  for (const [at, seconds] of LATENCY_BOUNDS_SECONDS.entries()) {
    assert.is(latencyBucketOf(seconds * 1000), at, `${seconds} s`);
    assert.is(latencyBucketOf(seconds * 1000 + 0.0001), at + 1, `more than ${seconds} s`);
  }

  for (const [milliseconds, bucket] of [
    [0, 0],
    [-1, 0],
    [NaN, 0],
    [1e12, LATENCY_BUCKET_COUNT - 1],
    [Infinity, LATENCY_BUCKET_COUNT - 1],
  ] as const) {
    assert.is(latencyBucketOf(milliseconds), bucket, `${milliseconds} ms`);
  }
});

test('bounds double from 4 us to a minute', () => {
  assert.is(LATENCY_BOUNDS_SECONDS[0], 4e-6);
  assert.ok((LATENCY_BOUNDS_SECONDS.at(-1) ?? 0) > 60);
  for (const [at, bound] of LATENCY_BOUNDS_SECONDS.entries()) {
    if (at > 0) assert.is(bound, 2 * (LATENCY_BOUNDS_SECONDS[at - 1] ?? 0));
  }
});

test('a quantile is exact to its bucket, and spread evenly in it', () => {
  const histogram = {counts: [50, 0, 40, 10], sumSeconds: 1};
  assert.is(countOf(histogram), 100);
  assert.is(latencyQuantile(histogram, 0.5), 4e-6);
  assert.ok(Math.abs((latencyQuantile(histogram, 0.7) ?? 0) - 12e-6) < 1e-9);
  assert.ok(Math.abs((latencyQuantile(histogram, 0.99) ?? 0) - 30.4e-6) < 1e-9);
  assert.is(latencyQuantile({counts: [], sumSeconds: 0}, 0.5), null);
  const slow = Array.from({length: LATENCY_BUCKET_COUNT}, (_, at) => (at === 25 ? 1 : 0));
  assert.is(latencyQuantile({counts: slow, sumSeconds: 90}, 0.99), LATENCY_BOUNDS_SECONDS.at(-1));
});

test('between two looks counts what came, also where more buckets count than before', () => {
  const before = {counts: [3, 1], sumSeconds: 2};
  const after = {counts: [3, 4, 0, 9], sumSeconds: 5};
  assert.equal(latencyBetween(before, after), {counts: [0, 3, 0, 9], sumSeconds: 3});
});

test('the clock of all threads is the monotonic clock of the process', () => {
  const hrMs = (): number => Number(process.hrtime.bigint()) / 1e6;
  const before = hrMs();
  const now = threadsClock.monotonicMs();
  const after = hrMs();
  assert.ok(now > before - 1 && now < after + 1, `${before} <= ${now} <= ${after}`);
});

test.run();
