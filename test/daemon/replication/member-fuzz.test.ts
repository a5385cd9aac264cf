/**
 * A member with a valid certificate that says anything: streams of frames that are wrong in some
 * way, questions with bodies that are. No crash, no hang, no growth, nothing accepted that is not so.
 * FUZZ_RUNS runs more; a failure prints its seed.
 */
import fs from 'node:fs';
import type {Duplex} from 'node:stream';
import {crc32} from 'node:zlib';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isErrorCode} from '../../../src/core/codes.js';
import {systemClock} from '../../../src/core/clock.js';
import {isDiskError} from '../../../src/core/errors.js';
import {formatPosition} from '../../../src/core/position.js';
import type {Peers} from '../../../src/daemon/peers.js';
import {takeRecords} from '../../../src/daemon/replication/take-records.js';
import {
  encodeAck,
  encodeAnswer,
  encodeAsk,
  encodeChunkRange,
  encodeEnd,
  encodeHello,
  encodeMark,
  encodeSegment,
  encodeSyncAsk,
  encodeSyncAskBytes,
  encodeSyncHello,
  FRAME,
  FRAME_CRC_OFFSET,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
} from '../../../src/log/frames.js';
import {formatChain} from '../../../src/log/record.js';
import {LogServer} from '../../../src/replica/serve-log.js';
import {openSourceImage} from '../../../src/replica/source-image.js';
import {serveSync} from '../../../src/replica/sync-source.js';
import {duplexPair} from '../../helpers/duplex-pair.js';
import {below, chance, createRandom, pick, type Random} from '../../sim/random.js';
import {removeNodes, startPair, type PeerNode} from '../peer-rig.js';
import {ForkNode, SIZE_BYTES} from './fork-rig.js';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 60);
/** Runs that once failed come first, always. */
const SEEDS = [258, ...Array.from({length: RUNS}, (_, seed) => seed)];
const DEADLINE_MS = 30_000;
const SILENCE_MS = 400;
const MEMORY_BYTES_MAX = 200 * 1024 * 1024;
const CHAIN = '0'.repeat(16);

let source: ForkNode;

test.before(() => {
  source = new ForkNode('alpha');
  source.begin(1, {position: 0, chain: {low: 0, high: 0}});
  source.write(1, 2, 3);
  source.rotate();
  source.write(4, 5, 6);
});
test.after(async () => {
  source.dispose();
  await removeNodes();
});

/** What JSON can be, and what code forgets that it can. */
const ODD: readonly unknown[] = [
  ...[null, true, '', 'x', -1, 0, 0.5, 1e308, 2 ** 53, [], {}, [null], 'f'.repeat(32)],
  ...['0'.repeat(16), 'f'.repeat(16), '__proto__', '../../etc', 'a'.repeat(5000), '\u0000'],
];

/** The value with one part of it, at any depth, replaced, doubled or taken away. */
function mutated(random: Random, value: unknown): unknown {
  if (Array.isArray(value) && value.length > 0 && chance(random, 0.8)) {
    const at = below(random, value.length);
    if (chance(random, 0.15)) return [...(value as unknown[]), ...(value as unknown[])];
    return value.map((each: unknown, index) => (index === at ? mutated(random, each) : each));
  }

  if (typeof value === 'object' && value !== null && chance(random, 0.9)) {
    const entries = Object.entries(value);
    if (entries.length > 0) {
      const [key] = pick(random, entries);
      if (chance(random, 0.15)) return Object.fromEntries(entries.filter(([name]) => name !== key));
      return Object.fromEntries(
        entries.map(([name, each]) => [name, name === key ? mutated(random, each) : each]),
      );
    }
  }

  return pick(random, ODD);
}

function number(random: Random): number {
  const {position} = source;
  return pick(random, [
    0,
    1,
    position,
    position - 1,
    position + 1,
    2 ** 32,
    2 ** 53 - 1,
    SIZE_BYTES,
  ]);
}

function hello(random: Random): object {
  const position = formatPosition(pick(random, [0, source.position, number(random)]));
  return {
    ...{version: 1, resourceId: source.resource.file.id, nodeId: 'b'.repeat(32), epoch: null},
    ...{position, chain: CHAIN, to: position, lineage: chance(random, 0.7) ? source.lineage : []},
    ...{asks: true, compression: ['zstd', 'gzip', 'none']},
  };
}

function followerFrame(random: Random): Buffer {
  switch (below(random, 6)) {
    case 0: {
      const [received, durable] = [number(random), number(random)];
      return encodeAck({received, durable, from: number(random), to: number(random)});
    }

    case 1:
      return encodeAsk({position: number(random), durably: chance(random, 0.5)});
    case 2:
      return encodeEnd({code: pick(random, ['DONE', 'BUG', '']), text: 'x'});
    case 3:
      return encodeHello(hello(random) as never);
    default:
      return anyFrame(random);
  }
}

function targetFrame(random: Random): Buffer {
  const [first, count] = [
    pick(random, [0, 1, 2, number(random)]),
    pick(random, [0, 1, 64, number(random)]),
  ];
  switch (below(random, 6)) {
    case 0:
      return encodeSyncAsk(first, Buffer.alloc(32 * (1 + below(random, 64)), below(random, 256)));
    case 1:
      return encodeChunkRange(FRAME.syncAskZeros, {first, count});
    case 2:
      return encodeChunkRange(FRAME.syncSkip, {first, count});
    case 3:
      return encodeSyncAskBytes(number(random), number(random));
    default:
      return anyFrame(random);
  }
}

function anyFrame(random: Random): Buffer {
  const type = pick(random, Object.values(FRAME));
  const payload = Buffer.alloc(below(random, 200));
  for (let at = 0; at < payload.length; at += 1) payload[at] = below(random, 256);
  return frame(type, payload);
}

/** A frame of any length, with a checksum that is right: the encoder refuses such. */
function frame(type: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header.writeUInt32LE(FRAME_MAGIC, 0);
  header[4] = type;
  header.writeUInt32LE(payload.length, 8);
  const crc = crc32(payload, crc32(header.subarray(0, FRAME_CRC_OFFSET)));
  header.writeUInt32LE(crc, FRAME_CRC_OFFSET);
  return Buffer.concat([header, payload]);
}

/** Bytes as they might come: bits flipped, a part lost, a length or a checksum that lies. */
function spoiled(random: Random, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  if (copy.length === 0) return copy;
  switch (below(random, 8)) {
    case 0:
      copy[below(random, copy.length)] = below(random, 256);
      return copy;
    case 1:
      return copy.subarray(0, below(random, copy.length));
    case 2:
      copy.writeUInt32LE(pick(random, [0, 1, 2 ** 31, 2 ** 32 - 1]), Math.min(8, copy.length - 4));
      return copy;
    default:
      return copy;
  }
}

/** Sends all in pieces of any size; what comes back is read, and counted. */
async function send(random: Random, stream: Duplex, bytes: Buffer): Promise<void> {
  stream.on('error', () => undefined).resume();
  for (let at = 0; at < bytes.length && !stream.destroyed;) {
    const length = 1 + below(random, 5000);
    stream.write(bytes.subarray(at, at + length));
    at += length;
    if (chance(random, 0.2)) await new Promise((resolve) => setImmediate(resolve));
  }

  if (chance(random, 0.5)) stream.end();
}

/** Runs `work` for each seed; it has to end in time, and with a DiskError if with any. */
async function campaign(work: (random: Random) => Promise<unknown>): Promise<void> {
  const before = process.memoryUsage.rss();
  for (const seed of SEEDS) {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`no end within ${DEADLINE_MS} ms`));
      }, DEADLINE_MS);
    });
    try {
      await Promise.race([work(createRandom(seed)), late]);
    } catch (error) {
      if (!isDiskError(error) || isDiskError(error, 'BUG')) {
        throw new Error(
          `seed ${seed}: ${error instanceof Error ? (error.stack ?? '') : String(error)}`,
          {cause: error},
        );
      }
    } finally {
      clearTimeout(timer);
    }
  }

  const grown = process.memoryUsage.rss() - before;
  assert.ok(grown < MEMORY_BYTES_MAX, `${grown} bytes more`);
}

test('a follower that says anything: the stream ends, and no ACK counts beyond what was sent', async () => {
  const {position, lineage} = source;
  const epoch = source.segments.at(-1)?.header.epoch ?? '';
  await campaign(async (random) => {
    const pair = duplexPair();
    const server = new LogServer({
      ...{stream: pair.left, place: source.place, clock: systemClock},
      ...{silenceMs: SILENCE_MS, farewellMs: SILENCE_MS},
      log: () => Promise.resolve({lineage, position, sizeBytes: SIZE_BYTES}),
      positions: () => Promise.resolve({appended: position, epoch, durable: position, timeMs: 0}),
      onAck: ({received}, counts) => {
        if (counts !== undefined)
          assert.ok(received <= server.position, `${received} was not sent`);
      },
    });
    const first = chance(random, 0.6) ? hello(random) : mutated(random, hello(random));
    const parts = [frame(FRAME.hello, Buffer.from(JSON.stringify(first)))];
    for (let count = below(random, 8); count > 0; count -= 1) parts.push(followerFrame(random));
    const bytes = spoiled(random, Buffer.concat(parts));
    await Promise.all([server.run(), send(random, pair.right, bytes)]);
  });
});

test('a target that says anything: the stream ends, and it gets nothing but this image', async () => {
  const {position, lineage} = source;
  await campaign(async (random) => {
    const pair = duplexPair();
    const first = {
      ...{version: 1, resourceId: source.resource.file.id, nodeId: 'b'.repeat(32)},
      ...{chunkBytes: 2 ** 20, compression: []},
      resume: chance(random, 0.5)
        ? null
        : {
            ...{epoch: lineage[0]?.epoch ?? null, begin: formatPosition(number(random))},
            ...{chain: CHAIN, doneChunks: below(random, 3), end: null, endChain: null},
          },
    };
    const said = chance(random, 0.6) ? encodeSyncHello(first as never) : undefined;
    const odd = Buffer.from(JSON.stringify(mutated(random, first)));
    const parts = [said ?? frame(FRAME.syncHello, odd)];
    for (let count = below(random, 8); count > 0; count -= 1) parts.push(targetFrame(random));
    let got = 0;
    pair.right.on('data', (chunk: Buffer) => (got += chunk.length));
    await Promise.all([
      serveSync({
        ...{stream: pair.left, resourceId: source.resource.file.id, silenceMs: SILENCE_MS},
        image: await openSourceImage(source.paths.image),
        positions: () =>
          Promise.resolve({from: position, to: position, sizeBytes: SIZE_BYTES, lineage}),
        chainAt: () => Promise.resolve(CHAIN),
        pin: () => Promise.resolve(),
      }),
      send(random, pair.right, spoiled(random, Buffer.concat(parts))),
    ]).finally(() => {
      assert.ok(got < 16 * SIZE_BYTES, `${got} bytes of an image of ${SIZE_BYTES}`);
    });
  });
});

test('a source that says anything to who mends a log: only records of this history are taken', async () => {
  const [segment] = source.segments;
  const next = source.segments[1];
  assert.ok(segment && next);
  const file = fs.readFileSync(segment.path);
  const good = file.subarray(4096, 4096 + next.header.start);
  const damage = {
    ...{segment, position: 0, chain: {low: 0, high: 0}},
    ...{end: next.header.start, endChain: next.header.chain, lastProven: undefined},
  };
  let mended = 0;
  await campaign(async (random) => {
    const pair = duplexPair();
    const answer = {kind: 'follow', position: formatPosition(0), chain: formatChain(damage.chain)};
    const said = chance(random, 0.8) ? encodeAnswer(answer as never) : undefined;
    const parts = [
      said ?? frame(FRAME.answer, Buffer.from(JSON.stringify(mutated(random, answer)))),
    ];
    parts.push(encodeSegment(0, file.subarray(0, 4096)));
    if (chance(random, 0.3)) parts.push(anyFrame(random));
    const records = spoiled(random, good);
    const at = chance(random, 0.8) ? 0 : number(random);
    const head = Buffer.alloc(8);
    head.writeBigUInt64LE(BigInt(Math.max(0, at)));
    parts.push(frame(FRAME.records, Buffer.concat([head, records])));
    parts.push(encodeMark({durable: 0, end: number(random), timeMs: 0, recordMs: 0}));
    if (chance(random, 0.5)) parts.push(encodeEnd({code: 'DONE', text: ''}));
    const taken = Buffer.alloc(good.length);
    const asked = {
      ...{resourceId: source.resource.file.id, nodeId: 'a'.repeat(32)},
      ...{lineage: source.lineage, damage},
    };
    const [end] = await Promise.all([
      takeRecords(pair.left, asked, (position, bytes) => {
        bytes.copy(taken, position);
      }).finally(() => {
        pair.left.destroy();
      }),
      send(random, pair.right, Buffer.concat(parts)).then(() => {
        pair.right.end();
      }),
    ]);
    assert.is(end, next.header.start);
    assert.ok(taken.equals(good), 'what is taken is what was there');
    mended += 1;
  });
  assert.ok(mended > 0, 'good ones are among them');
});

function peerCall(beta: PeerNode, path: string, body: unknown): Promise<unknown> {
  return beta.peers.caller.call(beta.member('alpha'), 'POST', path, body, DEADLINE_MS);
}

/** What alpha holds of itself, whatever others say. */
function ownFacts(peers: Peers): string {
  return JSON.stringify(peers.facts.get(peers.selfId)?.resources);
}

test('a member that asks anything is told what is wrong, and alpha stays what it is', async () => {
  const [alpha, beta] = await startPair();
  const own = ownFacts(alpha.peers);
  const known = alpha.peers.cluster?.id;
  const facts = {facts: beta.peers.facts.all(), knows: {}, members: 'x'};
  const members = {id: known, members: beta.peers.cluster?.members ?? []};
  await campaign(async (random) => {
    const path = pick(random, [
      'facts',
      'members',
      'join',
      'resources/x/handover',
      'x',
      '%00',
      'a/b/c',
    ]);
    const template = path === 'members' ? members : facts;
    try {
      await peerCall(beta, path, mutated(random, template));
    } catch (error) {
      assert.ok(isDiskError(error) && isErrorCode(error.code), String(error));
      assert.is.not(error.code, 'BUG', `${path}: ${error.message}`);
      assert.is.not(error.code, 'TIMEOUT', path);
    }

    assert.is(alpha.peers.cluster?.id, known);
    assert.is(ownFacts(alpha.peers), own);
    const self = alpha.peers.cluster?.members.find(({id}) => id === alpha.peers.selfId);
    assert.is(self?.name, 'alpha');
  });
  const again = await alpha.restart();
  assert.is(again.peers.fault, undefined, 'what was written can be read');
  assert.is(again.peers.cluster?.id, known);
});

test.run();
