import {MessageChannel} from 'node:worker_threads';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {ERRNO, PENDING} from '../../src/fuse/handler.js';
import type {Callback} from '../../src/fuse/native-operations.js';
import {PendingAnswers, createNativeOperations} from '../../src/fuse/native-operations.js';
import {NATIVE_LIMITS, nativeOptions, probeNative} from '../../src/fuse/native-session.js';
import {createPortResponder, relayAnswers} from '../../src/fuse/port-responder.js';
import {createMemoryHandler} from '../helpers/memory-handler.js';
import type {MemoryHandler} from '../helpers/memory-handler.js';
import {until} from '../helpers/run.js';

const DISK_BYTES = 1024 * 1024;

interface Rig {
  readonly handler: MemoryHandler;
  readonly waiting: PendingAnswers;
  readonly operations: ReturnType<typeof createNativeOperations>;
}

function createRig(): Rig {
  const handler = createMemoryHandler(Buffer.alloc(DISK_BYTES));
  const waiting = new PendingAnswers();
  return {handler, waiting, operations: createNativeOperations(handler, waiting, () => 1000)};
}

/** Catches what a callback gets. */
function caught(use: (callback: Callback) => void): [result: number, value: unknown] {
  const got: [number, unknown][] = [];
  use((result, value) => got.push([result, value]));
  assert.is(got.length, 1, 'one answer');
  return got[0] ?? [NaN, undefined];
}

const resultOf = (use: (callback: Callback) => void): number => caught(use)[0];

test('no operation that lasts when missing is missing (H17)', () => {
  const {operations} = createRig();
  for (const name of [
    'fsync',
    'fsyncdir',
    'flush',
    'open',
    'opendir',
    'release',
    'write',
  ] as const) {
    assert.type(operations[name], 'function', name);
  }
});

test('the package is told of big writes, direct I/O and no timeouts', () => {
  const options = nativeOptions();
  const words = String(options['fsname']).split(',');
  assert.is(words[0], 'mars');
  for (const word of ['big_writes', 'direct_io', 'attr_timeout=0', 'max_write=131072']) {
    assert.ok(words.includes(word), word);
  }

  assert.is(options['timeout'], false);
  assert.ok(NATIVE_LIMITS.length > 0);
});

test('the probe says whether and why', () => {
  const probe = probeNative();
  assert.type(probe.works, 'boolean');
  assert.ok(probe.reason.length > 0);
});

test('what is written is read, clipped at the end as a block device does', () => {
  const {operations} = createRig();
  const data = Buffer.from('hello');
  const write = (offset: number): number =>
    resultOf((callback) => {
      operations.write('/disk.img', 2, data, 5, offset, callback);
    });
  assert.is(write(100), 5);
  assert.is(write(DISK_BYTES - 2), 2);
  assert.is(write(DISK_BYTES), -ERRNO.ENOSPC);
  const target = Buffer.alloc(16);
  const read = (offset: number): number =>
    resultOf((callback) => {
      operations.read('/disk.img', 2, target, 16, offset, callback);
    });
  assert.is(read(100), 16);
  assert.is(target.toString('utf8', 0, 5), 'hello');
  assert.is(read(DISK_BYTES - 2), 2);
  assert.is(read(DISK_BYTES + 5), 0);
});

test('pending requests are answered later, once, and by their own number', () => {
  const {handler, waiting, operations} = createRig();
  handler.answers = {flush: PENDING, write: PENDING, zero: 0, read: 0};
  const uniques: number[] = [];
  handler.flush = (low, high) => {
    assert.is(high, 0);
    uniques.push(low);
    return PENDING;
  };
  const got: string[] = [];
  operations.fsync('/disk.img', 0, 2, (result) => got.push(`first ${result}`));
  operations.fsync('/disk.img', 0, 2, (result) => got.push(`second ${result}`));
  assert.equal(got, []);
  waiting.answer(uniques[1] ?? 0, 0, 5);
  waiting.answer(uniques[0] ?? 0, 0, 0);
  waiting.answer(uniques[0] ?? 0, 0, 5);
  waiting.answerWrite(77, 0, 5);
  assert.equal(got, ['second -5', 'first 0']);
});

test('a flush that fails is told, and ENOSYS never', () => {
  const {handler, operations} = createRig();
  const fsync = (): number =>
    resultOf((callback) => {
      operations.fsync('/disk.img', 0, 2, callback);
    });
  assert.is(fsync(), 0);
  handler.answers.flush = 5;
  assert.is(fsync(), -5);
  handler.answers.flush = 38;
  assert.is(fsync(), -ERRNO.EIO);
});

test('the tree is fixed, and attributes follow the handler', () => {
  const {handler, operations} = createRig();
  const stat = (path: string): [number, unknown] =>
    caught((callback) => {
      operations.getattr(path, callback);
    });
  assert.is(stat('/nothing')[0], -ERRNO.ENOENT);
  const [result, value] = stat('/disk.img');
  assert.is(result, 0);
  const {size, ino, mode, blocks} = value as Record<string, number>;
  assert.equal([size, ino, mode, blocks], [DISK_BYTES, 1001, 0o100600, DISK_BYTES / 512]);
  assert.equal(
    caught((callback) => {
      operations.readdir('/', callback);
    }),
    [0, ['.', '..', 'disk.img', 'status.json']],
  );
  const truncate = (sizeBytes: number): number =>
    resultOf((callback) => {
      operations.truncate('/disk.img', sizeBytes, callback);
    });
  assert.is(truncate(DISK_BYTES), 0);
  assert.is(truncate(0), -ERRNO.EPERM);
  assert.is(
    resultOf((callback) => {
      operations.unlink('/disk.img', callback);
    }),
    -ERRNO.EPERM,
  );
  assert.ok(handler.calls.afterRequest > 0);
});

test('status.json is for reading, one document per open', () => {
  const {handler, operations} = createRig();
  const open = (flags: number): [number, unknown] =>
    caught((callback) => {
      operations.open('/status.json', flags, callback);
    });
  assert.is(open(1)[0], -ERRNO.EACCES);
  const handle = open(0)[1] as number;
  handler.statusJson = () => 'changed';
  const target = Buffer.alloc(100);
  const bytes = resultOf((callback) => {
    operations.read('/status.json', handle, target, 100, 0, callback);
  });
  assert.is(target.toString('utf8', 0, bytes), '{"schema":1,"name":"memory"}\n');
});

test('answers of another thread travel through a port', async () => {
  const {port1, port2} = new MessageChannel();
  const got: string[] = [];
  relayAnswers(port2, {
    answer: (low, high, errno) => got.push(`answer ${low} ${high} ${errno}`),
    answerWrite: (low, high, bytes) => got.push(`write ${low} ${high} ${bytes}`),
  });
  try {
    const responder = createPortResponder(port1);
    responder.answer(1, 2, 0);
    responder.answer(3, 4, 5);
    responder.answerWrite(5, 6, 4096);
    await until(() => got.length === 3, 5000, 'answers');
    assert.equal(got, ['answer 1 2 0', 'answer 3 4 5', 'write 5 6 4096']);
  } finally {
    port1.close();
  }
});

test.run();
