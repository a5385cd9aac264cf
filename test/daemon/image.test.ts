import fs from 'node:fs';
import {join} from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {makeImage, planImage, type ImageWish} from '../../src/daemon/image.js';
import {rejectsWith} from './fake-node.js';

const test = suite<{root: string; wish: (path: string, change?: Partial<ImageWish>) => ImageWish}>(
  'images',
);
const SIZE = 4 * 2 ** 20;

test.before.each((context) => {
  const root = fs.realpathSync(fs.mkdtempSync('/var/tmp/mars-image-'));
  context.root = root;
  context.wish = (path, change = {}) => ({
    path: join(root, path),
    sizeBytes: SIZE,
    force: false,
    preallocate: false,
    places: {mounts: [], mountsDirectory: join(root, 'mnt'), devices: []},
    others: new Map([[join(root, 'taken'), 'web02']]),
    ...change,
  });
});
test.after.each(({root}) => {
  fs.rmSync(root, {recursive: true});
});

function refuses(code: string, wish: ImageWish): Promise<Error> {
  return rejectsWith(
    code,
    Promise.resolve().then(() => planImage(wish)),
  );
}

test('a missing file is made sparse, or preallocated, and undone', async ({root, wish}) => {
  const path = join(root, 'new');
  const undo = await makeImage(planImage(wish('new')), wish('new'));
  assert.is(fs.statSync(path).size, SIZE);
  assert.is(fs.statSync(path).blocks, 0);
  undo();
  assert.not(fs.existsSync(path));
  const full = wish('new', {preallocate: true});
  await makeImage(planImage(full), full);
  assert.ok(fs.statSync(path).blocks * 512 >= SIZE);
});

test('an empty file of the user is made bigger, and empty again when undone', async (context) => {
  const {root, wish} = context;
  const path = join(root, 'mine');
  fs.writeFileSync(path, '');
  const plan = planImage(wish('mine'));
  assert.is(plan.kind, 'file');
  const undo = await makeImage(plan, wish('mine'));
  assert.is(fs.statSync(path).size, SIZE);
  undo();
  assert.is(fs.statSync(path).size, 0);
});

test('content at the beginning or the end is found, and taken by force only', async (context) => {
  const {root, wish} = context;
  const path = join(root, 'old');
  for (const offset of [0, 4095, SIZE - 1]) {
    fs.writeFileSync(path, '');
    fs.truncateSync(path, SIZE);
    assert.is(planImage(wish('old')).kind, 'file');
    const fd = fs.openSync(path, 'r+');
    fs.writeSync(fd, 'x', offset);
    fs.closeSync(fd);
    const error = await refuses('IMAGE_NOT_EMPTY', wish('old'));
    assert.match(error.message, `at byte ${offset}`);
    assert.not(planImage(wish('old', {force: true})).extend);
  }
});

test('a file that is too small, of another resource, or open elsewhere is refused', async (context) => {
  const {root, wish} = context;
  fs.writeFileSync(join(root, 'small'), Buffer.alloc(4096));
  await refuses('IMAGE_TOO_SMALL', wish('small'));
  await refuses('IMAGE_TOO_SMALL', wish('small', {force: true}));
  fs.writeFileSync(join(root, 'taken'), '');
  assert.match((await refuses('IMAGE_IN_USE', wish('taken'))).message, 'web02');
});

test('what is no file and no block device is refused', async ({root, wish}) => {
  fs.mkdirSync(join(root, 'directory'));
  await refuses('IMAGE_PATH_INVALID', wish('directory'));
  await refuses('IMAGE_PATH_INVALID', wish('', {path: '/dev/null'}));
  await refuses('IMAGE_PATH_INVALID', wish('', {path: '/dev/no-such-device'}));
  await refuses('IMAGE_PATH_INVALID', wish('', {path: 'relative'}));
  await refuses('IMAGE_PATH_INVALID', wish('no/such/directory'));
});

test('a name that may be another disk tomorrow is refused', async ({wish}) => {
  if (!fs.existsSync('/dev/vda')) return;
  await refuses('IMAGE_PATH_INVALID', wish('', {path: '/dev/vda'}));
});

test('a size that the file system cannot hold leaves nothing behind', async ({root, wish}) => {
  const huge = wish('huge', {sizeBytes: 2 ** 52});
  await rejectsWith('SIZE_INVALID', makeImage(planImage(huge), huge));
  const full = wish('full', {sizeBytes: 8 * 2 ** 40, preallocate: true});
  await rejectsWith('STORE_FULL', makeImage(planImage(full), full));
  assert.equal(fs.readdirSync(root), []);
});

test.run();
