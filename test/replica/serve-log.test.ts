import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {DiskError} from '../../src/core/errors.js';
import {formatPosition, parsePosition} from '../../src/core/position.js';
import {writeFrame} from '../../src/log/frame-stream.js';
import {
  encodeAck,
  encodeEnd,
  encodeHello,
  encodeMark,
  RECORDS_HEAD_BYTES,
  type Answer,
  type Hello,
} from '../../src/log/frames.js';
import type {PackingWish} from '../../src/core/packing-names.js';
import {PACKINGS_HERE} from '../../src/log/packing.js';
import {formatChain} from '../../src/log/record.js';
import {until} from '../helpers/run.js';
import {epochOf} from '../log/log-builder.js';

import {DEADLINE_MS, helloOf, makeRig, NOW_MS, untilEven} from './serve-log-rig.js';

for (const name of PACKINGS_HERE) {
  test(`records go compressed with ${name} to who offers it, plain to who does not`, async () => {
    for (const unpacks of [[name], []]) {
      let wish: PackingWish = name;
      const taken: number[] = [];
      const takeBandwidth = (bytes: number): Promise<void> => {
        taken.push(bytes);
        return Promise.resolve();
      };
      const rig = makeRig({compression: () => wish, takeBandwidth});
      for (let stamp = 0; stamp < 20; stamp += 1) rig.builder.write(0, stamp);
      rig.follower.unpacks = unpacks;
      rig.start({compression: [...unpacks]});
      await untilEven(rig);
      assert.is(rig.follower.answer?.compression, unpacks[0]);
      const sent = taken.reduce((sum, bytes) => sum + bytes, 0);
      const isSmaller = sent < rig.builder.writer.position * 0.8;
      assert.is(isSmaller, unpacks.length > 0, `${sent} of ${rig.builder.writer.position}`);
      // What comes after the wish has gone comes as it is.
      wish = 'none';
      rig.builder.write(0, 20);
      await untilEven(rig);
      assert.equal(rig.follower.bytes, rig.expected());
      assert.is((await rig.finish()).code, 'DONE');
    }
  });
}

test('a follower gets what is there, what comes, the marks and an end', async () => {
  const rig = makeRig();
  for (let stamp = 0; stamp < 20; stamp += 1) rig.builder.write(0, stamp);
  rig.start();
  await untilEven(rig);
  assert.is(rig.follower.answer?.kind, 'follow');
  rig.builder.beginSegment(2);
  rig.builder.write(0, 99);
  rig.builder.flush();
  await untilEven(rig);
  const {position} = rig.builder.writer;
  await until(() => rig.follower.marks.at(-1)?.durable === position, DEADLINE_MS, 'mark');
  const mark = rig.follower.marks.at(-1);
  assert.is(mark?.end, position);
  assert.is(mark?.timeMs, NOW_MS);
  assert.ok((mark?.recordMs ?? 0) > 0);
  assert.equal(rig.follower.segments, [1, 2]);
  assert.is(rig.follower.bytes.compare(rig.expected()), 0);
  const ack = {received: position, durable: 8, from: 0, to: 8};
  await rig.follower.ack(ack);
  await until(() => rig.acks.length > 0, DEADLINE_MS, 'ack');
  assert.equal(rig.acks, [ack]);
  assert.equal(await rig.finish(), {code: 'DONE', text: 'the test is over'});
  assert.is(rig.follower.end?.code, 'DONE');
});

test('a kick makes it look at once, idle looks are seldom', async () => {
  const rig = makeRig();
  rig.start();
  await until(() => rig.follower.marks.length > 0, DEADLINE_MS, 'mark');
  // Idle: the pause between two looks grows to 250 ms.
  const before = rig.polls;
  await until(() => rig.follower.marks.length >= 3, DEADLINE_MS, 'marks of an idle source');
  assert.ok(rig.polls - before < 60, `${rig.polls - before} looks in 2 s`);
  rig.builder.write(0, 1);
  const polls = rig.polls;
  rig.server.kick();
  rig.server.kick();
  await until(() => rig.polls > polls, 200, 'look');
  await untilEven(rig);
  await rig.finish();
});

test('what a flush waits for is sent and asked for at once, of this epoch only', async () => {
  const rig = makeRig();
  rig.start({asks: true});
  await until(() => rig.follower.marks.length > 0, DEADLINE_MS, 'mark');
  rig.builder.write(0, 1);
  const {position} = rig.builder.writer;
  rig.server.ask({position, durably: true, epoch: epochOf(7)});
  await untilEven(rig);
  assert.equal(rig.follower.asks, []);
  rig.server.ask({position, durably: true, epoch: rig.builder.epoch});
  await until(() => rig.follower.asks.length > 0, DEADLINE_MS, 'question');
  assert.equal(rig.follower.asks, [{position, durably: true}]);
  rig.builder.write(0, 2);
  const end = rig.builder.writer.position;
  rig.server.ask({position: end, durably: false, epoch: rig.builder.epoch});
  await until(() => rig.follower.asks.length > 1, DEADLINE_MS, 'question behind its records');
  assert.equal(rig.follower.asks[1], {position: end, durably: false});
  await rig.finish();
});

test('an older follower is not asked, but gets the records', async () => {
  const rig = makeRig();
  rig.start();
  rig.builder.write(0, 1);
  const {position} = rig.builder.writer;
  rig.server.ask({position, durably: true, epoch: rig.builder.epoch});
  await untilEven(rig);
  await until(() => rig.follower.marks.at(-1)?.end === position, DEADLINE_MS, 'mark');
  assert.equal(rig.follower.asks, []);
  await rig.finish();
});

test('an ACK is told with the epoch of the history that was sent, unless it is beyond that', async () => {
  const epochs: (string | undefined)[] = [];
  const rig = makeRig({onAck: (_, epoch) => epochs.push(epoch)});
  rig.builder.write(0, 1);
  rig.start();
  await untilEven(rig);
  const {position} = rig.builder.writer;
  await rig.follower.ack({received: position, durable: 0, from: 0, to: 0});
  await until(() => epochs.length === 1, DEADLINE_MS, 'ack');
  await rig.follower.ack({received: position + 8, durable: 0, from: 0, to: 0});
  await until(() => epochs.length === 2, DEADLINE_MS, 'ack');
  assert.equal(epochs, [rig.builder.epoch, undefined]);
  await rig.finish();
});

test('answers that are no follow end the stream', async () => {
  const cases: [Partial<Hello>, Answer['kind'], string][] = [
    [{lineage: []}, 'unknown', 'unknown'],
    [{position: formatPosition(80_000)}, 'behind', 'behind'],
    [{chain: formatChain({low: 1, high: 0})}, 'forked', 'forked'],
    [{resourceId: '77'.repeat(16)}, 'refused', 'RESOURCE_UNKNOWN'],
  ];
  for (const [hello, kind, code] of cases) {
    const answers: string[] = [];
    const rig = makeRig({onAnswer: (_, answer) => answers.push(answer.kind)});
    rig.builder.write(0, 1);
    rig.start(hello);
    await rig.followed;
    assert.is((await rig.served).code, code);
    assert.is(rig.follower.answer?.kind, kind);
    assert.equal(answers, [kind]);
    assert.is(rig.follower.position, parsePosition(rig.follower.answer?.position ?? '') ?? 0);
    await rig.finish();
  }
});

test('a slow reader holds up the source, and nothing piles up', async () => {
  const rig = makeRig();
  let open: () => void = () => undefined;
  rig.follower.gate = new Promise((resolve) => (open = resolve));
  for (let stamp = 0; stamp < 900; stamp += 1) {
    if (stamp % 300 === 299) rig.builder.beginSegment(2 + stamp);
    rig.builder.write(0, stamp, 3);
  }

  rig.start();
  await until(() => rig.server.position > 0, DEADLINE_MS, 'first records');
  const {position} = rig.server;
  // Looks go on for others; this stream stands still.
  const control = makeRig();
  control.builder.write(0, 1);
  control.start();
  await untilEven(control);
  await until(() => control.follower.marks.length >= 2, DEADLINE_MS, 'second');
  await control.finish();
  assert.ok(rig.server.position <= position + 2 * 2 ** 20, 'at most a piece or two are under way');
  assert.ok(rig.pair.left.writableLength < 3 * 2 ** 20);
  open();
  await untilEven(rig);
  assert.is(rig.follower.bytes.compare(rig.expected()), 0);
  await rig.finish();
});

test('a reader that reads nothing any more does not hold up the end', async () => {
  const rig = makeRig({farewellMs: 50});
  rig.follower.gate = new Promise(() => undefined);
  for (let stamp = 0; stamp < 900; stamp += 1) {
    if (stamp % 300 === 299) rig.builder.beginSegment(2 + stamp);
    rig.builder.write(0, stamp, 3);
  }

  rig.served = rig.server.run();
  void rig.follower.run(helloOf(rig.lineage)).catch(() => undefined);
  await until(() => rig.server.position > 0, DEADLINE_MS, 'first records');
  rig.server.stop({code: 'DONE', text: 'now'});
  assert.is((await rig.served).code, 'DONE');
  assert.ok(rig.pair.left.destroyed);
});

test('a peer that is silent is dead', async () => {
  const quiet = makeRig({silenceMs: 50});
  quiet.start();
  assert.is((await quiet.served).code, 'PEER_SILENT');
  assert.ok(quiet.pair.left.destroyed);
  await quiet.finish();
  // One that says nothing at all, as well.
  const mute = makeRig({silenceMs: 50});
  mute.served = mute.server.run();
  assert.is((await mute.served).code, 'PEER_SILENT');
  await mute.finish();
});

test('one that sends an ACK now and then is not', async () => {
  const rig = makeRig({silenceMs: 400});
  rig.start();
  const ack = {received: 0, durable: 0, from: 0, to: 0};
  const timer = setInterval(() => void rig.follower.ack(ack).catch(() => undefined), 40);
  try {
    await until(() => rig.acks.length >= 20, DEADLINE_MS, 'acks for 800 ms');
    assert.not(rig.follower.isClosed);
  } finally {
    clearInterval(timer);
  }

  assert.is((await rig.finish()).code, 'DONE');
});

test('what a follower must not send ends the stream with the reason', async () => {
  const sends: [Buffer, RegExp][] = [
    [Buffer.from('GET / HTTP/1.1\r\n\r\n'), /no frame begins here/u],
    [encodeMark({durable: 0, end: 0, timeMs: 0, recordMs: 0}), /instead of a HELLO/u],
    [encodeHello({...helloOf([]), resourceId: 'x'}), /resourceId/u],
  ];
  for (const [bytes, words] of sends) {
    const rig = makeRig({farewellMs: 50});
    rig.served = rig.server.run();
    rig.pair.right.on('error', () => undefined).resume();
    rig.pair.right.write(bytes);
    const end = await rig.served;
    assert.is(end.code, 'PEER_PROTOCOL');
    assert.match(end.text, words);
    await rig.finish();
  }
});

test('among ACKs nothing else is taken, and a changed byte is noticed', async () => {
  const broken = encodeAck({received: 1, durable: 2, from: 3, to: 4});
  broken[20] = (broken[20] ?? 0) ^ 1;
  for (const bytes of [encodeMark({durable: 0, end: 0, timeMs: 0, recordMs: 0}), broken]) {
    const rig = makeRig();
    rig.start();
    await until(() => rig.follower.answer !== undefined, DEADLINE_MS, 'answer');
    await writeFrame(rig.follower.stream, bytes);
    assert.is((await rig.served).code, 'PEER_PROTOCOL');
    assert.equal(rig.acks, []);
    await rig.followed;
    assert.is(rig.follower.end?.code, 'PEER_PROTOCOL');
    await rig.finish();
  }
});

test('a follower that ends, or is gone, ends the stream', async () => {
  const orderly = makeRig();
  orderly.start();
  await until(() => orderly.follower.answer !== undefined, DEADLINE_MS, 'answer');
  orderly.follower.stream.end(encodeEnd({code: 'DONE', text: 'the follower stops'}));
  assert.is((await orderly.served).text, 'the follower stops');
  await orderly.finish();

  const closed = makeRig();
  closed.start();
  await until(() => closed.follower.answer !== undefined, DEADLINE_MS, 'answer');
  closed.follower.stream.end();
  assert.is((await closed.served).code, 'PEER_UNREACHABLE');
  await closed.finish();

  const gone = makeRig();
  gone.start();
  await until(() => gone.follower.answer !== undefined, DEADLINE_MS, 'answer');
  gone.follower.stream.destroy();
  assert.is((await gone.served).code, 'PEER_UNREACHABLE');
  await gone.finish();
});

test('a connection that breaks while records are sent ends it', async () => {
  let passed = 0;
  const rig = makeRig({}, (chunk, direction) => {
    if (direction === 'right') passed += chunk.length;
    return passed > 300_000 ? undefined : chunk;
  });
  for (let stamp = 0; stamp < 200; stamp += 1) rig.builder.write(0, stamp);
  rig.start();
  assert.is((await rig.served).code, 'PEER_UNREACHABLE');
  await rig.finish();
});

test('nothing is told of positions that belong to another history', async () => {
  const rig = makeRig();
  rig.builder.write(0, 1);
  rig.start();
  await untilEven(rig);
  await until(() => rig.follower.marks.length > 0, DEADLINE_MS, 'mark');
  const {length} = rig.follower.marks;
  // The disk process has an epoch that the files do not show yet.
  rig.told = {epoch: epochOf(2), appended: 1_000_000, durable: 1_000_000};
  rig.server.kick();
  const {polls} = rig;
  await until(() => rig.polls > polls + 3, DEADLINE_MS, 'looks');
  assert.ok(rig.follower.marks.slice(length).every(({durable}) => durable < 1_000_000));
  // The log ends below what was sent: the follower has to ask again.
  rig.told = {epoch: epochOf(2), appended: 8, durable: 8};
  assert.is((await rig.served).code, 'LOG_BRANCHED');
  await rig.followed;
  assert.is(rig.follower.end?.code, 'LOG_BRANCHED');
  assert.ok(rig.follower.marks.every(({durable}) => durable < 1_000_000));
  await rig.finish();
});

test('the stream ends when the disk process does not answer; a bug goes to the owner', async () => {
  const rig = makeRig();
  rig.told = new DiskError('DISK_UNREACHABLE', 'it does not answer');
  rig.start();
  assert.equal(await rig.served, {code: 'DISK_UNREACHABLE', text: 'it does not answer'});
  await rig.followed;
  assert.is(rig.follower.end?.code, 'DISK_UNREACHABLE');
  await rig.finish();

  const bug = makeRig({positions: () => Promise.reject(new TypeError('a bug'))});
  bug.start();
  const error: unknown = await bug.served.catch((reason: unknown) => reason);
  assert.instance(error, TypeError);
  assert.ok(bug.pair.left.destroyed);
  bug.pair.right.destroy();
  await bug.followed;
});

test('bandwidth is asked for, and marks go on while it is waited for', async () => {
  const asked: number[] = [];
  let give: () => void = () => undefined;
  const rig = makeRig({
    takeBandwidth: (bytes) => {
      asked.push(bytes);
      return asked.length < 2 ? Promise.resolve() : new Promise((resolve) => (give = resolve));
    },
  });
  rig.builder.write(0, 1);
  rig.start();
  await until(() => rig.follower.marks.length >= 2, DEADLINE_MS, 'marks');
  assert.equal(rig.follower.segments, [1]);
  assert.is(rig.follower.bytes.length, 0);
  give();
  await untilEven(rig);
  assert.equal(asked, [4096, RECORDS_HEAD_BYTES + rig.builder.writer.position]);
  await rig.finish();
});

test.run();
