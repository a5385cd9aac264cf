/** The daemon between a disk whose flushes wait and the streams of its followers. */
import type {Duplex} from 'node:stream';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {
  ConfirmReader,
  encodeConfirmLine,
  type ConfirmLine,
  type WantLine,
} from '../../../src/core/confirm-lines.js';
import {formatPosition} from '../../../src/core/position.js';
import {SynchronousServing} from '../../../src/daemon/replication/synchronous.js';
import type {LogPositions} from '../../../src/replica/serve-log.js';
import {duplexPair} from '../../helpers/duplex-pair.js';
import {until} from '../../helpers/run.js';
import {SimClock} from '../../sim/sim-clock.js';

const DEADLINE_MS = 5000;
const EPOCH = 'e'.repeat(32);

interface Bench {
  readonly serving: SynchronousServing;
  readonly clock: SimClock;
  /** Ends of the disk process, one for each time that it was opened. */
  readonly disks: Duplex[];
  readonly heard: ConfirmLine[];
  isWanted: boolean;
  readonly end: () => Promise<void>;
}

function begin(): Bench {
  const clock = new SimClock();
  const abort = new AbortController();
  const disks: Duplex[] = [];
  const heard: ConfirmLine[] = [];
  const bench = {clock, disks, heard, isWanted: true};
  const serving = new SynchronousServing(clock, {
    isWanted: () => bench.isWanted,
    open: () => {
      const pair = duplexPair();
      const reader = new ConfirmReader();
      pair.right.on('data', (chunk: Buffer) => heard.push(...reader.push(chunk)));
      pair.right.on('error', () => undefined);
      disks.push(pair.right);
      return Promise.resolve(pair.left);
    },
  });
  const running = serving.run(abort.signal);
  const end = async (): Promise<void> => {
    abort.abort();
    await running;
  };
  return Object.assign(bench, {serving, end});
}

function comes(condition: () => boolean): Promise<void> {
  return until(condition, DEADLINE_MS, 'words between disk and daemon');
}

function want(disk: Duplex | undefined, position: number, change: Partial<WantLine> = {}): void {
  const line: WantLine = {
    kind: 'want',
    position: formatPosition(position),
    durably: true,
    epoch: EPOCH,
    appended: formatPosition(position),
    durable: formatPosition(0),
    ...change,
  };
  disk?.write(encodeConfirmLine(line));
}

test('what a flush waits for goes to every stream, what followers confirm to the disk', async () => {
  const {serving, disks, heard, end} = begin();
  const asked: unknown[] = [];
  const remove = serving.add({nodeId: 'b', stop: () => undefined, ask: (ask) => asked.push(ask)});
  assert.ok(serving.isFetching('b'));
  assert.not(serving.isFetching('c'));
  await comes(() => disks.length === 1);
  want(disks[0], 4096);
  await comes(() => asked.length === 1);
  assert.equal(asked, [{position: 4096, durably: true, epoch: EPOCH}]);
  serving.confirm('b'.repeat(32), 'beta', {received: 4096, durable: 8, from: 0, to: 0}, EPOCH);
  await comes(() => heard.some(({kind}) => kind === 'confirmed'));
  assert.equal(
    heard.find(({kind}) => kind === 'confirmed'),
    {
      kind: 'confirmed',
      node: 'b'.repeat(32),
      name: 'beta',
      epoch: EPOCH,
      received: formatPosition(4096),
      durable: formatPosition(8),
    },
  );
  remove();
  want(disks[0], 8192);
  await comes(() => heard.some(({kind}) => kind === 'alive'));
  assert.is(asked.length, 1);
  await end();
});

test('the stream is opened again when it ended, and not while nobody wants it', async () => {
  const bench = begin();
  await comes(() => bench.disks.length === 1);
  bench.disks[0]?.destroy();
  await comes(() => bench.disks.length === 2);
  bench.isWanted = false;
  await comes(() => bench.disks[1]?.destroyed === true || bench.disks[1]?.readableEnded === true);
  assert.is(bench.disks.length, 2);
  await bench.end();
});

test('positions never go back: what the disk said by itself may come late', async () => {
  const {serving, clock, disks, end} = begin();
  await comes(() => disks.length === 1);
  let asks = 0;
  const ask =
    (appended: number, epoch = EPOCH) =>
    (): Promise<LogPositions> => {
      asks += 1;
      return Promise.resolve({epoch, appended, durable: 0, timeMs: 0});
    };
  const asked: unknown[] = [];
  serving.add({nodeId: 'b', stop: () => undefined, ask: (each) => asked.push(each)});
  assert.is((await serving.positions(ask(100))).appended, 100);
  want(disks[0], 90);
  await comes(() => asked.length === 1);
  assert.is((await serving.positions(ask(110))).appended, 110, 'a late word');
  want(disks[0], 120);
  await comes(() => asked.length === 2);
  const before = asks;
  assert.is((await serving.positions(ask(0))).appended, 120);
  assert.is(asks, before, 'nobody was asked');
  want(disks[0], 50, {epoch: 'f'.repeat(32)});
  await comes(() => asked.length === 3);
  assert.is((await serving.positions(ask(130))).appended, 130, 'another epoch is asked for');
  clock.advance(100);
  assert.is((await serving.positions(ask(140))).appended, 140, 'an old word');
  await end();
});

test('a disk process that speaks another language is left, and asked again later', async () => {
  const {disks, end} = begin();
  await comes(() => disks.length === 1);
  disks[0]?.write('GET / HTTP/1.1\n');
  await comes(() => disks.length === 2);
  await end();
});

test.run();
