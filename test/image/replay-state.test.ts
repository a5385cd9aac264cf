/** The state file of replay: torn at any byte it is the old state or the new one. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {TwoSlotFile} from '../../src/core/two-slot.js';
import {isSameImage, openImage} from '../../src/image/image-file.js';
import {openReplayState, type ReplayState} from '../../src/image/replay-state.js';
import {makeSimDisk, overwrite, readFile} from '../log/log-builder.js';

const PATH = '/log/replay';
const IMAGE = {device: 1, inode: 7, birthMs: 5, sizeBytes: 4096, kind: 'file'} as const;

function stateAt(from: number, to = from): ReplayState {
  return {schema: 1, from, to, image: IMAGE};
}

test('a write that is torn at any byte leaves the old state or the new one', () => {
  const files = makeSimDisk();
  const file = TwoSlotFile.create(files, PATH, stateAt(100));
  file.write(stateAt(100, 300));
  const before = readFile(files, PATH);
  file.write(stateAt(300));
  const after = readFile(files, PATH);
  for (let cut = 0; cut <= after.length; cut += 1) {
    // Either end of the slot may reach the device first.
    for (const [head, tail] of [
      [after, before],
      [before, after],
    ] as const) {
      overwrite(files, PATH, 0, Buffer.concat([head.subarray(0, cut), tail.subarray(cut)]));
      const {from, to} = TwoSlotFile.peek(files, PATH) as ReplayState;
      assert.ok((from === 100 && to === 300) || (from === 300 && to === 300), `cut at ${cut}`);
    }
  }
});

test('what is valid but no replay state is refused', () => {
  const values: unknown[] = [
    null,
    [],
    {schema: 2, from: 0, to: 0, image: IMAGE},
    {schema: 1, from: 0, to: 0},
    {schema: 1, from: 8, to: 0, image: IMAGE},
    {schema: 1, from: 0.5, to: 1, image: IMAGE},
    {schema: 1, from: '0', to: 0, image: IMAGE},
  ];
  for (const [at, value] of values.entries()) {
    const files = makeSimDisk();
    TwoSlotFile.create(files, PATH, value).close();
    assert.throws(
      () => openReplayState(files, PATH),
      (error: unknown) => isDiskError(error, 'STATE_UNREADABLE'),
      `value ${at}`,
    );
  }
});

test('hazard 22: an image is known again by inode and birth, a device by its kind and size', () => {
  assert.ok(isSameImage(IMAGE, {...IMAGE, device: 9, sizeBytes: 8192}));
  assert.not(isSameImage(IMAGE, {...IMAGE, inode: 8}));
  assert.not(isSameImage(IMAGE, {...IMAGE, birthMs: 6}));
  const device = {...IMAGE, kind: 'block'} as const;
  assert.not(isSameImage(IMAGE, device));
  assert.ok(isSameImage(device, {...device, inode: 0, sizeBytes: 8192}));
  assert.not(isSameImage(device, {...device, sizeBytes: 2048}));
});

test('an image that is shorter than the disk grows, one that is missing is an error', () => {
  const files = makeSimDisk();
  files.close(files.open('/log/image', 'create'));
  const fd = openImage(files, '/log/image', 8192);
  assert.is(files.sizeOf(fd), 8192);
  assert.throws(
    () => openImage(files, '/log/none', 8192),
    (error: unknown) => isDiskError(error, 'STORE_IO'),
  );
});

test.run();
