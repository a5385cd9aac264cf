/** The log stream as the follower takes it, over a stream in memory that breaks and lies. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {FollowStream} from '../../src/disk/follow-stream.js';
import {FollowView} from '../../src/disk/follow-view.js';
import {WORD} from '../../src/disk/shared.js';
import {formatChain} from '../../src/log/record.js';
import {formatPosition} from '../../src/core/position.js';
import {duplexPair, type DuplexPair, type Passing} from '../helpers/duplex-pair.js';
import {until} from '../helpers/run.js';
import {Source} from './follow-source.js';
import {FollowRig, recordsOf, type SourceRecord} from './follow-rig.js';
import {Rig} from './rig.js';

const DEADLINE_MS = 5000;

function comes(condition: () => boolean): Promise<void> {
  return until(condition, DEADLINE_MS, 'progress of the stream');
}

function primaryWith(count: number): Rig {
  const rig = new Rig();
  rig.life.shared.set(WORD.replayPaused, 1);
  for (let at = 0; at < count; at += 1) {
    rig.clock.advance(1000);
    rig.write(((at * 37) % 120) * 8192, 2000 + ((at * 997) % 9000));
    rig.until(() => !rig.parked);
  }

  rig.commit();
  return rig;
}

interface Open {
  readonly stream: FollowStream;
  readonly view: FollowView;
  readonly pair: DuplexPair;
  readonly ended: string[];
}

function open(follower: FollowRig, passing?: Passing): Open {
  const pair = duplexPair(passing);
  const view = new FollowView(follower.clock);
  const ended: string[] = [];
  const stream = new FollowStream({
    log: follower.log,
    view,
    shared: follower.shared,
    clock: follower.clock,
    socket: pair.right,
    nodeId: follower.config.node.id,
    onEnd: (error) => ended.push(error?.code ?? 'none'),
  });
  return {stream, view, pair, ended};
}

function endOf(records: readonly SourceRecord[]): number {
  return records.at(-1)?.end ?? 0;
}

test('HELLO comes first; then what is received is written, committed, replayed and told', async () => {
  const rig = primaryWith(40);
  const records = recordsOf(rig);
  const follower = new FollowRig(rig);
  const {stream, view, pair, ended} = open(follower);
  const source = new Source(pair.left, records);
  await comes(() => follower.log.position === endOf(records));
  assert.is(source.hello?.position, formatPosition(0));
  assert.is(source.hello?.epoch, null);
  assert.is(source.hello?.nodeId, 'c'.repeat(32));
  stream.tick();
  // The stream rests: what came is made durable without being waited for.
  follower.clock.advance(50);
  stream.tick();
  assert.is(follower.shared.get(WORD.commitWanted), 1);
  follower.committer.step();
  assert.is(follower.shared.durable.get(), endOf(records));
  const before = follower.shared.replayed.get();
  source.mark(endOf(records), 5000, 4000);
  await comes(() => view.originEnd !== null);
  assert.ok(before < endOf(records));
  follower.settle();
  stream.tick();
  await comes(() => source.acks.at(-1)?.from === endOf(records));
  assert.equal(source.acks.at(-1), {
    received: endOf(records),
    durable: endOf(records),
    from: endOf(records),
    to: endOf(records),
  });
  follower.assertImage(records);
  assert.is(view.lagSeconds(endOf(records), endOf(records)), 0);
  stream.end(undefined);
  await comes(() => source.end !== undefined);
  assert.equal(ended, ['none']);
  assert.is(view.connected, false);
});

test('a stream that never rests is made durable several times a second', async () => {
  const rig = primaryWith(30);
  const records = recordsOf(rig);
  const follower = new FollowRig(rig);
  const {stream, pair} = open(follower);
  const source = new Source(pair.left, records, undefined, 1);
  let oldestMs = 0;
  for (let at = 1; at < records.length; at += 1) {
    await comes(() => follower.log.position === records[at - 1]?.end);
    source.send(1);
    await comes(() => follower.log.position === records[at]?.end);
    follower.clock.advance(50);
    stream.tick();
    follower.committer.step();
    if (follower.shared.durable.get() === follower.log.position) {
      oldestMs = 0;
      continue;
    }

    oldestMs += 50;
    assert.ok(oldestMs <= 200, `what came ${oldestMs} ms ago is not durable`);
  }

  stream.end(undefined);
  await comes(() => source.end !== undefined);
});

test('who asks is told at once: what is received, or when it is durable', async () => {
  const rig = primaryWith(3);
  const records = recordsOf(rig);
  const end = endOf(records);
  const follower = new FollowRig(rig);
  const {stream, pair} = open(follower);
  const source = new Source(pair.left, records);
  await comes(() => follower.log.position === end);
  assert.is(source.hello?.asks, true);
  assert.equal(source.acks, []);
  source.ask(end, false);
  await comes(() => source.acks.length === 1);
  assert.is(source.acks[0]?.received, end);
  source.ask(end, true);
  await comes(() => follower.shared.get(WORD.commitWanted) === 1);
  assert.is(follower.shared.get(WORD.durableWanted), 1);
  assert.is(source.acks.length, 1, 'nothing is told before it is durable');
  follower.committer.step();
  // As the commit thread tells it, without a tick.
  stream.noteDurable();
  await comes(() => source.acks.length === 2);
  assert.is(source.acks[1]?.durable, end);
  assert.is(follower.shared.get(WORD.durableWanted), 0);
  source.ask(end + 8, true);
  await comes(() => source.end !== undefined);
  assert.is(source.end?.code, 'PEER_PROTOCOL');
});

test('ACKs come once a second when nothing changes', async () => {
  const rig = primaryWith(3);
  const records = recordsOf(rig);
  const follower = new FollowRig(rig);
  const {stream, pair} = open(follower);
  const source = new Source(pair.left, records);
  await comes(() => follower.log.position === endOf(records));
  follower.committer.commit();
  for (let at = 0; at < 100; at += 1) {
    follower.clock.advance(50);
    source.mark(0, 0);
    stream.tick();
    await new Promise(setImmediate);
  }

  await comes(() => source.acks.length >= 5);
  assert.ok(source.acks.length <= 7, `${source.acks.length} ACKs in 5 s`);
});

test('a stream that breaks anywhere goes on at the byte, whatever was received', async () => {
  const rig = primaryWith(30);
  const records = recordsOf(rig);
  const follower = new FollowRig(rig);
  let streams = 0;
  while (follower.log.position < endOf(records)) {
    let left = 16_000 + ((streams * 997) % 9000);
    const {pair, ended} = open(follower, (chunk, direction) => {
      if (direction === 'left') return chunk;
      left -= chunk.length;
      return left < 0 ? undefined : chunk;
    });
    const source = new Source(pair.left, records);
    const before = follower.log.position;
    await comes(() => ended.length > 0 || follower.log.position === endOf(records));
    if (source.hello !== undefined) assert.is(source.hello.position, formatPosition(before));
    pair.right.destroy();
    streams += 1;
    if (streams % 5 === 0) follower.crash('random');
    assert.ok(streams < 300);
  }

  assert.ok(streams > 5, `${streams} streams`);
  follower.log.noteOriginDurable(endOf(records));
  follower.settle();
  assert.is(follower.shared.replayed.get(), endOf(records));
  follower.assertImage(records);
});

test('one bit that is wrong ends the stream, and nothing wrong is stored', async () => {
  const rig = primaryWith(12);
  const records = recordsOf(rig);
  const total = records.reduce((sum, {bytes}) => sum + bytes.length + 24, 0);
  for (let at = 90; at < total; at += 4999) {
    const follower = new FollowRig(rig);
    let offset = 0;
    const flip: Passing = (chunk, direction) => {
      if (direction === 'left') return chunk;
      const here = at - offset;
      offset += chunk.length;
      if (here < 0 || here >= chunk.length) return chunk;
      const bytes = Buffer.from(chunk);
      bytes.writeUInt8((bytes[here] ?? 0) ^ 16, here);
      return bytes;
    };
    const {pair, ended} = open(follower, flip);
    const source = new Source(pair.left, records);
    await comes(() => ended.length > 0);
    assert.equal(ended, ['PEER_PROTOCOL']);
    await comes(() => source.end !== undefined || pair.left.destroyed);
    const {position, chain} = follower.log;
    const last = records.find(({end}) => end === position);
    assert.ok(position === 0 || last !== undefined, `byte ${at}`);
    if (last !== undefined) assert.equal(chain, last.chain);
    const again = open(follower);
    assert.ok(new Source(again.pair.left, records));
    await comes(() => follower.log.position === endOf(records));
  }
});

test('silence of 8 s is the end', async () => {
  const rig = primaryWith(3);
  const records = recordsOf(rig);
  const follower = new FollowRig(rig);
  const {stream, view, pair, ended} = open(follower);
  const source = new Source(pair.left, records);
  await comes(() => follower.log.position === endOf(records));
  for (let at = 0; at < 159; at += 1) {
    follower.clock.advance(50);
    stream.tick();
  }

  assert.equal(ended, []);
  // This thread was held up: nobody could have been heard.
  follower.clock.advance(60_000);
  stream.tick();
  assert.equal(ended, []);
  for (let at = 0; at < 10; at += 1) {
    follower.clock.advance(50);
    stream.tick();
  }

  assert.equal(ended, ['PEER_SILENT']);
  await comes(() => source.end?.code === 'PEER_SILENT');
  assert.is(view.connected, false);
});

test('a cut waits for the batch of replay that runs', async () => {
  const rig = primaryWith(30);
  const records = recordsOf(rig);
  const follower = new FollowRig(rig);
  follower.feed(records);
  const target = records[20];
  assert.ok(target !== undefined);
  follower.shared.set(WORD.replayLock, 1);
  const position = formatPosition(target.end);
  const chain = formatChain(target.chain);
  const {stream, pair} = open(follower);
  const source = new Source(pair.left, records, () => ({kind: 'cut', position, chain}));
  await comes(() => stream.state === 'cutting');
  stream.tick();
  assert.is(follower.log.position, endOf(records));
  follower.shared.set(WORD.replayLock, 0);
  stream.tick();
  assert.is(stream.state, 'streaming');
  await comes(() => follower.log.position === endOf(records));
  assert.ok(source.hello !== undefined);
  follower.log.noteOriginDurable(endOf(records));
  follower.settle();
  follower.assertImage(records);
});

test('an answer for another history is not believed', async () => {
  const rig = primaryWith(20);
  const records = recordsOf(rig);
  for (const kind of ['follow', 'cut'] as const) {
    const follower = new FollowRig(rig);
    follower.feed(records, records[10]?.end);
    const {position} = follower.log;
    const {pair, ended} = open(follower);
    const answer = {kind, position: formatPosition(position), chain: 'f'.repeat(16)};
    assert.ok(new Source(pair.left, records, () => answer));
    await comes(() => ended.length > 0);
    assert.equal(ended, ['PEER_PROTOCOL']);
    assert.is(follower.log.position, position);
  }
});

test('what the source refuses is kept for the status', async () => {
  const rig = primaryWith(3);
  const records = recordsOf(rig);
  for (const kind of ['forked', 'gone', 'unknown', 'behind', 'refused'] as const) {
    const follower = new FollowRig(rig);
    const {stream, view, pair} = open(follower);
    const position = formatPosition(8);
    assert.ok(new Source(pair.left, records, () => ({kind, position, text: 'no'})));
    await comes(() => view.answer !== null);
    assert.equal(view.answer, {kind, position, text: 'no'});
    assert.is(stream.state, 'refused');
    pair.left.destroy();
    await comes(() => stream.state === 'ended');
    assert.is(follower.log.position, 0);
  }
});

test('what another source said is forgotten when the next one is asked', async () => {
  const follower = new FollowRig(primaryWith(3));
  const pair = duplexPair();
  const view = new FollowView(follower.clock);
  view.answer = {kind: 'forked', code: 'ORIGIN_LOST_DATA'};
  const stream = new FollowStream({
    log: follower.log,
    view,
    shared: follower.shared,
    clock: follower.clock,
    socket: pair.right,
    nodeId: follower.config.node.id,
    onEnd: () => undefined,
  });
  assert.is(view.answer, null);
  pair.left.destroy();
  await comes(() => stream.state === 'ended');
  assert.is(view.answer, null);
});

test('what one source had durable beyond our log is not told on as the word of the next', async () => {
  const rig = primaryWith(10);
  const records = recordsOf(rig);
  const follower = new FollowRig(rig);
  const half = records.slice(0, 5);
  const view = new FollowView(follower.clock);
  const begin = (): {pair: DuplexPair; stream: FollowStream} => {
    const pair = duplexPair();
    const {log, shared, clock, config} = follower;
    const socket = pair.right;
    const nodeId = config.node.id;
    const stream = new FollowStream({log, view, shared, clock, socket, nodeId, onEnd: () => 0});
    return {pair, stream};
  };
  const first = begin();
  const old = new Source(first.pair.left, half);
  await comes(() => follower.log.position === endOf(half));
  old.mark(endOf(records), 0);
  await comes(() => view.originDurable === endOf(records));
  first.pair.left.destroy();
  await comes(() => first.stream.state === 'ended');
  const second = begin();
  const next = new Source(second.pair.left, []);
  await comes(() => second.stream.state === 'streaming');
  assert.ok(next.hello !== undefined);
  assert.is(view.originDurable, endOf(half));
  second.stream.end(undefined);
});

test('lag is the age of the oldest change that is not in the image, and grows in silence', () => {
  const rig = primaryWith(1);
  const {clock} = new FollowRig(rig);
  const view = new FollowView(clock);
  assert.is(view.lagSeconds(0, 0), null);
  view.connected = true;
  view.noteContact();
  view.noteMark({durable: 0, end: 0, timeMs: 100_000, recordMs: 0}, 0);
  assert.is(view.lagSeconds(0, 0), 0);
  // Known of, not received: since the source had nothing new, a second ago at most.
  view.noteMark({durable: 0, end: 500, timeMs: 101_000, recordMs: 0}, 0);
  assert.is(view.lagSeconds(0, 0), 1);
  view.noteRecords(0, 100_500, 100_600);
  view.noteRecords(300, 103_000, 103_100);
  view.noteMark({durable: 0, end: 500, timeMs: 104_000, recordMs: 103_100}, 500);
  assert.is(view.lagSeconds(500, 0), 3.5);
  assert.is(view.lagSeconds(500, 300), 1);
  assert.is(view.lagSeconds(500, 500), 0);
  view.connected = false;
  clock.advance(7000);
  assert.is(view.lagSeconds(500, 500), 7);
});

test.run();
