import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {Trend} from '../../../src/daemon/space/forecast.js';

const MIB = 1024 * 1024;
const HOUR = 3600;

/** Room every 10 s, as `roomAt` says. */
function trendOf(seconds: number, roomAt: (second: number) => number): Trend {
  const trend = new Trend();
  for (let second = 0; second <= seconds; second += 2) trend.note(second * 1000, roomAt(second));
  return trend;
}

/** The second in which a forecast first says that it fills up; undefined: never. */
function firstAlarm(seconds: number, roomAt: (second: number) => number): number | undefined {
  const trend = new Trend();
  for (let second = 0; second <= seconds; second += 2) {
    trend.note(second * 1000, roomAt(second));
    if (trend.forecast()?.fullInSeconds != null) return second;
  }

  return undefined;
}

test('a file system that fills at a steady pace is full when the line says so', () => {
  const forecast = trendOf(2000, (second) => 12_800 * MIB - second * MIB).forecast();
  assert.ok(Math.abs((forecast?.growthBytesPerSecond ?? 0) - MIB) < 10);
  assert.ok(Math.abs((forecast?.fullInSeconds ?? 0) - 10_800) < 10, 'in 3 h');
});

test('growth that was watched for a while says nothing about more than eight times as long', () => {
  const steady = (second: number): number => 12_800 * MIB - second * MIB;
  const early = trendOf(600, steady).forecast();
  assert.is(early?.fullInSeconds, null, '3 h ahead after ten minutes');
  assert.ok(Math.abs((early?.growthBytesPerSecond ?? 0) - MIB) < 10, 'how fast it grows is known');
  const alarm = firstAlarm(4000, steady) ?? Infinity;
  assert.ok(alarm >= 12_800 / 9, `not before a ninth of the time: ${alarm} s`);
  assert.ok(alarm <= 12_800 / 5, `but well before it is full: ${alarm} s`);
});

test('what fills up within minutes is told after two', () => {
  const alarm = firstAlarm(600, (second) => 20_000 * MIB - second * 25 * MIB) ?? Infinity;
  assert.ok(alarm <= 130, `${alarm} s`);
});

test('what begins to fill up fast after a calm day is told as soon', () => {
  const day = 24 * HOUR;
  const forecast = trendOf(day + 130, (second) => {
    return 20_000 * MIB - Math.max(0, second - day) * 25 * MIB;
  }).forecast();
  assert.ok((forecast?.fullInSeconds ?? Infinity) < 800, String(forecast?.fullInSeconds));
});

test('slow growth is told days ahead once it was watched for hours', () => {
  const roomAt = (second: number): number => 4 * 24 * HOUR * 1e6 - second * 1e6;
  const fullInSeconds = trendOf(20 * HOUR, roomAt).forecast()?.fullInSeconds ?? 0;
  assert.ok(Math.abs(fullInSeconds - 76 * HOUR) < HOUR, `${fullInSeconds / HOUR} h`);
});

test('a burst of two minutes on a large file system is no alarm', () => {
  const roomAt = (second: number): number => {
    const written = Math.min(Math.max(second - 600, 0), 120) * 20;
    return (60_000 - written) * MIB;
  };
  assert.is(firstAlarm(2 * HOUR, roomAt), undefined);
});

test('a large file of somebody else is no growth, whenever it is put there', () => {
  for (let offset = 0; offset < 60; offset += 6) {
    const roomAt = (second: number): number => (second < 600 + offset ? 60_000 : 40_000) * MIB;
    assert.is(firstAlarm(2 * HOUR, roomAt), undefined, `at ${600 + offset} s`);
  }
});

test('growth that has ended raises no alarm any more', () => {
  const roomAt = (second: number): number => 20_000 * MIB - Math.min(second, 240) * 25 * MIB;
  assert.ok(trendOf(230, roomAt).forecast()?.fullInSeconds);
  assert.is(trendOf(900, roomAt).forecast()?.fullInSeconds, null);
});

test('logfiles that come and go are noise', () => {
  const roomAt = (second: number): number => (1000 - (second % 60 < 30 ? 12 : 0)) * MIB;
  assert.is(firstAlarm(2 * HOUR, roomAt), undefined);
});

test('two minutes are too short for a word', () => {
  assert.is(trendOf(100, (second) => 1e9 - second * 1e6).forecast(), undefined);
});

test('a file system that is being emptied is never full, and one that was filled before is forgotten', () => {
  const emptied = trendOf(600, (second) => 1e9 + second * 1e6).forecast();
  assert.is(emptied?.fullInSeconds, null);
  assert.ok((emptied?.growthBytesPerSecond ?? 0) < 0);
  const calm = trendOf(7200, (second) => 1e10 - Math.min(second, 600) * 1e6).forecast();
  assert.is(calm?.fullInSeconds, null);
});

test.run();
