/** One mode for all replicas: which of two changes counts, and what a change is. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../../src/core/errors.js';
import {
  isLaterChange,
  isSameMode,
  MODE_DEFAULT,
  modeOf,
  sharedModeOf,
  type ModeChange,
} from '../../../src/core/mode.js';
import {withModeChange} from '../../../src/daemon/replication/shared-mode.js';
import {parseSettings, showSettings} from '../../../src/daemon/settings.js';
import {file} from './samples.js';

const ALPHA = 'a'.repeat(32);
const BETA = 'b'.repeat(32);

test('of all pairs of changes exactly one counts, whoever looks', () => {
  const changes: ModeChange[] = [1, 2, 3].flatMap((count) =>
    [ALPHA, BETA].map((node) => ({count, node})),
  );
  for (const one of changes) {
    assert.ok(isLaterChange(one, undefined));
    for (const other of changes) {
      const isOne = one.count === other.count && one.node === other.node;
      assert.is(isLaterChange(one, other) !== isLaterChange(other, one), !isOne);
    }
  }

  assert.ok(isLaterChange({count: 3, node: ALPHA}, {count: 2, node: BETA}));
});

test('a changed mode is one change more than the one before; other settings are none', () => {
  const first = withModeChange({}, parseSettings({mode: 'sync'}), ALPHA);
  assert.equal(first, {mode: 'sync', modeChange: {count: 1, node: ALPHA}});
  const second = withModeChange(first, parseSettings({'degrade-after': 'never'}), BETA);
  assert.equal(second, {degradeAfterSeconds: null, modeChange: {count: 2, node: BETA}});
  assert.equal(withModeChange(first, parseSettings({device: 'off'}), BETA), {device: false});
});

test('settings of a mode are shown with their defaults, and wrong ones are refused', () => {
  assert.is(showSettings(file())['mode'], 'async');
  assert.is(showSettings(file())['sync-replicas'], '1');
  assert.is(showSettings(file())['degrade-after'], '5');
  const never = {...file(), ...parseSettings({'degrade-after': 'never', 'sync-replicas': '2'})};
  assert.is(showSettings(never)['degrade-after'], 'never');
  assert.is(showSettings(never)['sync-replicas'], '2');
  const wrong = [
    {mode: 'Sync'},
    {'sync-replicas': '0'},
    {'sync-replicas': '16'},
    {'degrade-after': '0'},
    {'degrade-after': '1.5'},
    {'degrade-after': 'always'},
  ];
  for (const pairs of wrong) {
    assert.throws(
      () => parseSettings(pairs),
      (error: unknown) => isDiskError(error, 'KEY_UNKNOWN'),
    );
  }
});

test('a mode that nobody changed is not told to others', () => {
  assert.ok(isSameMode(modeOf(file()), MODE_DEFAULT));
  assert.is(sharedModeOf(file()), undefined);
  const changed = {...file(), ...withModeChange({}, parseSettings({mode: 'near-sync'}), ALPHA)};
  assert.equal(sharedModeOf(changed), {
    ...MODE_DEFAULT,
    mode: 'near-sync',
    change: {count: 1, node: ALPHA},
  });
});

test.run();
