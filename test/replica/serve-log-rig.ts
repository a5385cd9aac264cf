/** A source and a follower of one log, connected by a pair of streams. */
import type {Duplex} from 'node:stream';
import * as assert from 'uvu/assert';
import {DiskError} from '../../src/core/errors.js';
import {formatPosition, parsePosition} from '../../src/core/position.js';
import {readFrames, writeFrame} from '../../src/log/frame-stream.js';
import {
  decodeAnswer,
  decodeAsk,
  decodeEnd,
  decodeMark,
  decodeRecords,
  decodeSegment,
  encodeAck,
  encodeHello,
  FRAME,
  type Ack,
  type Answer,
  type Ask,
  type End,
  type Hello,
  type Mark,
} from '../../src/log/frames.js';
import type {PackingName} from '../../src/core/packing-names.js';
import type {LineageEntry} from '../../src/log/lineage.js';
import {formatChain} from '../../src/log/record.js';
import {LogServer, type LogPositions, type ServeLogOptions} from '../../src/replica/serve-log.js';
import {duplexPair, type DuplexPair, type Passing} from '../helpers/duplex-pair.js';
import {until} from '../helpers/run.js';
import {
  bytesOf,
  DIRECTORY,
  DISK_BYTES,
  epochOf,
  LogBuilder,
  makeSimDisk,
  ORIGIN_ID,
  planFor,
  RESOURCE_ID,
} from '../log/log-builder.js';

export const DEADLINE_MS = 10_000;
export const NOW_MS = 1_800_000_000_000;

/** What a follower got. */
export class Follower {
  readonly stream: Duplex;
  answer: Answer | undefined;
  position = 0;
  readonly records: Buffer[] = [];
  readonly segments: number[] = [];
  readonly marks: Mark[] = [];
  readonly asks: Ask[] = [];
  end: End | undefined;
  isClosed = false;
  /** What it can unpack. */
  unpacks: readonly PackingName[] = [];
  /** Resolved before each frame is taken: a slow reader waits here. */
  gate: Promise<void> = Promise.resolve();

  constructor(stream: Duplex) {
    this.stream = stream;
    stream.on('error', () => undefined);
  }

  /** Says HELLO and reads to the end. */
  async run(hello: Hello): Promise<void> {
    await writeFrame(this.stream, encodeHello(hello));
    try {
      for await (const {type, payload} of readFrames(this.stream, DEADLINE_MS, this.unpacks)) {
        await this.gate;
        this.#take(type, payload);
      }
    } finally {
      this.isClosed = true;
      this.stream.end();
    }
  }

  ack(ack: Ack): Promise<void> {
    return writeFrame(this.stream, encodeAck(ack));
  }

  get bytes(): Buffer {
    return Buffer.concat(this.records);
  }

  #take(type: number, payload: Buffer): void {
    if (type === FRAME.answer) {
      this.answer = decodeAnswer(payload);
      this.position = parsePosition(this.answer.position ?? '') ?? 0;
    } else if (type === FRAME.segment) {
      const {position, header} = decodeSegment(payload);
      assert.is(position, this.position);
      this.segments.push(header.number);
    } else if (type === FRAME.records) {
      const {position, records} = decodeRecords(payload);
      assert.is(position, this.position);
      this.records.push(records);
      this.position += records.length;
    } else if (type === FRAME.mark) {
      const mark = decodeMark(payload);
      assert.ok(mark.end >= this.position, 'nothing was sent beyond the end');
      this.marks.push(mark);
    } else if (type === FRAME.ask) {
      const ask = decodeAsk(payload);
      assert.ok(ask.position <= this.position, 'what is asked for was sent');
      this.asks.push(ask);
    } else if (type === FRAME.end) {
      this.end = decodeEnd(payload);
    }
  }
}

export interface Rig {
  readonly builder: LogBuilder;
  readonly lineage: LineageEntry[];
  readonly pair: DuplexPair;
  readonly server: LogServer;
  readonly follower: Follower;
  readonly acks: Ack[];
  /** What the disk process says, in place of what is true. */
  told: Partial<LogPositions> | DiskError;
  polls: number;
  served: Promise<End>;
  followed: Promise<void>;
  start(hello?: Partial<Hello>): void;
  /** What the follower should have got: all of the first segments. */
  expected(): Buffer;
  finish(): Promise<End>;
}

/** A source over a log on a simulated disk, and a follower that notes what it gets. */
export function makeRig(changed: Partial<ServeLogOptions> = {}, passing?: Passing): Rig {
  const files = makeSimDisk();
  const builder = new LogBuilder({files, plan: planFor(4096 + 2 ** 22)});
  const start = formatPosition(0);
  const entry = {epoch: epochOf(1), node: ORIGIN_ID, nodeName: 'alpha', start};
  const lineage = [{...entry, chain: formatChain({low: 0, high: 0})}];
  builder.beginEpoch(1, 1);
  const pair = duplexPair(passing);
  const acks: Ack[] = [];
  const rig: Rig = {
    builder,
    lineage,
    pair,
    server: new LogServer({
      stream: pair.left,
      place: {files, directory: DIRECTORY, resourceId: RESOURCE_ID},
      log: () =>
        Promise.resolve({lineage, position: builder.writer.position, sizeBytes: DISK_BYTES}),
      positions: () => {
        rig.polls += 1;
        if (rig.told instanceof DiskError) return Promise.reject(rig.told);
        const {durable, epoch} = builder;
        const appended = builder.writer.position;
        return Promise.resolve({appended, durable, epoch, timeMs: NOW_MS, ...rig.told});
      },
      onAck: (ack) => acks.push(ack),
      ...changed,
    }),
    follower: new Follower(pair.right),
    acks,
    told: {},
    polls: 0,
    served: Promise.resolve({code: '', text: ''}),
    followed: Promise.resolve(),
    start(hello = {}) {
      rig.served = rig.server.run();
      rig.followed = rig.follower.run({...helloOf(lineage), ...hello}).catch(() => undefined);
    },
    expected: () => bytesOf(files, builder.records),
    async finish() {
      rig.server.stop({code: 'DONE', text: 'the test is over'});
      const end = await rig.served;
      rig.pair.right.destroy();
      await rig.followed;
      builder.close();
      // What was read is closed: whatever happened, no file stays open.
      assert.is(files.descriptorCount, 0);
      return end;
    },
  };
  return rig;
}

/** What a follower with nothing says. */
export function helloOf(lineage: readonly LineageEntry[]): Hello {
  return {
    version: 1,
    resourceId: RESOURCE_ID,
    nodeId: '33'.repeat(16),
    epoch: null,
    position: formatPosition(0),
    chain: formatChain({low: 0, high: 0}),
    to: formatPosition(0),
    lineage: [...lineage],
  };
}

/** Waits until the follower has all that the source has. */
export async function untilEven(rig: Rig): Promise<void> {
  const {position} = rig.builder.writer;
  await until(() => rig.follower.position === position, DEADLINE_MS, 'position of the source');
}
