import {test} from 'uvu';
import * as assert from 'uvu/assert';
import * as fc from 'fast-check';
import {
  formatBytes,
  GIB,
  KIB,
  MIB,
  parseSize,
  TIB,
  parseDuration,
  formatDuration,
} from '../../src/core/units.js';
import {isDiskError} from '../../src/core/errors.js';

const SIZES: Readonly<Record<string, number>> = {
  '1': 1,
  '4096': 4096,
  '1k': KIB,
  '10G': 10 * GIB,
  '512M': 512 * MIB,
  '1.5T': 1.5 * TIB,
  '10GiB': 10 * GIB,
  '10gb': 10 * GIB,
  ' 7 m ': 7 * MIB,
  '0.5k': 512,
};
for (const [text, bytes] of Object.entries(SIZES)) {
  test(`'${text}' is ${bytes} bytes`, () => {
    assert.is(parseSize(text), bytes);
  });
}

for (const text of ['', '0', '-1', '1.2.3', '10X', 'G', '1e9', '0.3', '9999999T', '1 2', '0x10']) {
  test(`'${text}' is not a size`, () => {
    assert.throws(
      () => parseSize(text),
      (error: unknown) => isDiskError(error, 'USAGE'),
    );
  });
}

test('whole units are shown as such, others with at most two digits behind the point', () => {
  assert.is(formatBytes(0), '0 B');
  assert.is(formatBytes(512), '512 B');
  assert.is(formatBytes(1024), '1 KiB');
  assert.is(formatBytes(1536), '1.50 KiB');
  assert.is(formatBytes(15.5 * MIB), '15.5 MiB');
  assert.is(formatBytes(10 * GIB), '10 GiB');
  assert.is(formatBytes(15 * TIB), '15 TiB');
  assert.is(formatBytes(2 ** 53), '8 PiB');
});

test('what formatBytes shows, parseSize reads to within the digits shown', () => {
  fc.assert(
    fc.property(fc.integer({min: 1, max: 15 * TIB}), (bytes) => {
      const text = formatBytes(bytes);
      const [number = '', suffix = ''] = text.split(' ');
      const shown = parseSize(suffix === 'B' ? number : `${Math.ceil(Number(number))}${suffix}`);
      assert.ok(shown >= bytes * 0.9);
      assert.ok(shown <= bytes * 2);
    }),
  );
});

test('durations as people type them, and back', () => {
  for (const [text, seconds] of [
    ['90', 90],
    ['90s', 90],
    ['15m', 900],
    ['15 min', 900],
    ['24h', 86_400],
    ['7d', 604_800],
    ['2w', 1_209_600],
  ] as const) {
    assert.is(parseDuration(text), seconds, text);
    assert.is(parseDuration(formatDuration(seconds)), seconds, text);
  }

  for (const bad of ['', '0', '-1', '1.5h', '1y', 'h', '9'.repeat(17)]) {
    assert.throws(() => parseDuration(bad), /expected a duration/u, bad);
  }

  assert.is(formatDuration(604_800 * 2), '2w');
  assert.is(formatDuration(90_061), '25h');
  assert.is(formatDuration(400_000), '5d');
});

test.run();
