/** How much room a rollback needs in the log, and how much there is. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {availableBytesOf, neededBytesOf} from '../../src/daemon/history/rollback-room.js';
import {GIB, MIB} from '../../src/core/units.js';

const segmentBytes = 64 * MIB;

test('it needs what was changed, with headers; never more than there is data to bring back', () => {
  const all = neededBytesOf({changedBytes: GIB, dataBytes: Infinity, segmentBytes});
  assert.ok(all > GIB + 2 * segmentBytes && all < 1.1 * GIB + 2 * segmentBytes, `${all}`);
  const few = neededBytesOf({changedBytes: 1000 * GIB, dataBytes: 10 * MIB, segmentBytes});
  assert.ok(few < 11 * MIB + 2 * segmentBytes, `${few}`);
});

test('what there is ends with the free space, with log-cap, and with what the index holds', () => {
  const room = {freeBytes: 100 * GIB, spareBytes: GIB, heldBytes: 2 * GIB, logCapBytes: 50 * GIB};
  assert.is(availableBytesOf(room), 10 * GIB, 'index');
  assert.is(availableBytesOf({...room, logCapBytes: 5 * GIB}), 3 * GIB, 'log-cap');
  assert.is(availableBytesOf({...room, freeBytes: GIB}), 2 * GIB - 64 * MIB, 'free space');
  assert.is(availableBytesOf({...room, logCapBytes: GIB}), 0, 'none');
});

test.run();
