/** Which position is older than the window: what replay that trails behind is allowed. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {HistoryWindow} from '../../src/image/history-window.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

test('what was written before a time is found, and never more than that', () => {
  const window = new HistoryWindow();
  for (let second = 0; second <= 100; second += 1)
    window.note(second * 1000, second * 1000, 10_000);
  assert.is(window.position(-1), 0);
  assert.is(window.position(50_000), 50_000);
  assert.is(window.position(50_999), 50_000);
  assert.is(window.position(1e9), 100_000);
});

test('a disk that rests is older than its last write only, not than the last look at it', () => {
  const window = new HistoryWindow();
  window.note(4096, 1000, 10_000);
  for (let at = 2000; at < 60_000; at += 1000) window.note(4096, at, 10_000);
  assert.is(window.position(1000), 4096);
  window.note(8192, 60_000, 10_000);
  assert.is(window.position(59_999), 4096);
  assert.is(window.position(60_000), 8192);
});

test('a window of a day takes some hundred samples, and trails by little more than it', () => {
  const window = new HistoryWindow();
  let most = 0;
  for (let at = 0; at < 3 * DAY_MS; at += 10_000) {
    window.note(at, at, DAY_MS);
    most = Math.max(most, window.count);
    const position = window.position(at - DAY_MS);
    assert.ok(position <= Math.max(0, at - DAY_MS), 'nothing younger than the window');
    assert.ok(position >= at - DAY_MS - DAY_MS / 200, 'nothing much older is held back');
  }

  assert.ok(most < 300, `${most} samples`);
});

test('a log that was cut is not older behind the cut than what comes in its place', () => {
  const window = new HistoryWindow();
  window.note(1000, 0, 10_000);
  window.note(2000, 1000, 10_000);
  window.note(3000, 2000, 10_000);
  window.cut(2500);
  window.note(3000, 9000, 10_000);
  assert.is(window.position(8999), 2000);
  assert.is(window.position(9000), 3000);
});

test.run();
