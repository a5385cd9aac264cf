import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {Trend} from '../../../src/daemon/space/forecast.js';

const MIB = 1024 * 1024;

/** Room every 10 s, as `roomAt` says. */
function trendOf(seconds: number, roomAt: (second: number) => number): Trend {
  const trend = new Trend();
  for (let second = 0; second <= seconds; second += 2) trend.note(second * 1000, roomAt(second));
  return trend;
}

test('a file system that fills at a steady pace is full when the line says so', () => {
  const forecast = trendOf(600, (second) => 11_400 * MIB - second * MIB).forecast();
  assert.ok(Math.abs((forecast?.growthBytesPerSecond ?? 0) - MIB) < 10);
  assert.ok(Math.abs((forecast?.fullInSeconds ?? 0) - 10_800) < 10, 'in 3 h');
});

test('logfiles that come and go are noise', () => {
  const forecast = trendOf(1200, (second) => (1000 - (second % 60 < 30 ? 12 : 0)) * MIB).forecast();
  assert.is(forecast?.fullInSeconds, null);
});

test('two minutes are too short for a word', () => {
  assert.is(trendOf(100, (second) => 1e9 - second * 1e6).forecast(), undefined);
});

test('a file system that is being emptied is never full, and one that was filled before is forgotten', () => {
  assert.is(trendOf(600, (second) => 1e9 + second * 1e6).forecast()?.fullInSeconds, null);
  const calm = trendOf(7200, (second) => 1e10 - Math.min(second, 600) * 1e6).forecast();
  assert.is(calm?.fullInSeconds, null);
});

test.run();
