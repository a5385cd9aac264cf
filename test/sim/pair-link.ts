/**
 * One log stream between two nodes: on the side of the follower the real stream, on a socket that
 * is two queues; on the side of the source the real LogSource, driven as LogServer drives it. The
 * simulator says when anything moves.
 */
import {EventEmitter} from 'node:events';
import type {Duplex} from 'node:stream';
import {DiskError} from '../../src/core/errors.js';
import {FrameReader} from '../../src/log/frame-reader.js';
import {
  decodeAck,
  decodeHello,
  encodeAnswer,
  encodeAsk,
  encodeEnd,
  encodeMark,
  encodeRecordsHead,
  encodeSegment,
  FRAME,
  type Ack,
  type Answer,
  type Ask,
  type Hello,
} from '../../src/log/frames.js';
import {LogSource} from '../../src/replica/log-source.js';
import type {LogPositions} from '../../src/replica/serve-log.js';
import {forgeRecords} from './pair-forge.js';
import type {PairNode} from './pair-node.js';
import {below, type Random} from './random.js';
import {SimCrash} from './sim-disk.js';

/** Frames under way before the source waits. */
const QUEUE_MAX = 12;

class LinkSocket extends EventEmitter {
  readonly sent: Buffer[] = [];
  readonly writableLength = 0;
  isPaused = false;
  isClosed = false;

  write(bytes: Buffer): boolean {
    if (!this.isClosed) this.sent.push(bytes);
    return true;
  }

  end(bytes: Buffer): void {
    this.write(bytes);
    this.isClosed = true;
  }

  destroy(): void {
    this.isClosed = true;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }
}

export interface LinkEvents {
  readonly onAnswer: (link: PairLink, hello: Hello, answer: Answer) => void;
  /** @param epoch of the source in whose history the follower has it, where that is known */
  readonly onAck: (link: PairLink, ack: Ack, epoch: string | undefined) => void;
  /** Something arrives at the follower. */
  readonly onDeliver: (link: PairLink) => void;
  readonly say: (text: string) => void;
}

export class PairLink {
  readonly source: PairNode;
  readonly follower: PairNode;
  /** On their way to the follower. */
  readonly frames: Buffer[] = [];
  answer: Answer | undefined;
  readonly #events: LinkEvents;
  readonly #socket = new LinkSocket();
  readonly #reader = new FrameReader();
  readonly #log: LogSource;
  #positions: LogPositions | undefined;
  #hello: Hello | undefined;
  #isClosed = false;
  #mark = '';
  #asked: Ask | undefined;

  constructor(source: PairNode, follower: PairNode, events: LinkEvents) {
    this.source = source;
    this.follower = follower;
    this.#events = events;
    this.#log = new LogSource({
      files: source.daemon,
      directory: source.paths.logDirectory,
      resourceId: source.config.resource.id,
    });
    follower.act('main', () => {
      follower.follow?.follower.openLog()(this.#socket as unknown as Duplex);
    });
  }

  get isClosed(): boolean {
    return this.#isClosed || (this.#socket.isClosed && this.#socket.sent.length === 0);
  }

  /** The connection breaks; whoever lives is told. */
  cut(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.sent.length = 0;
    this.frames.length = 0;
    try {
      if (!this.source.disk.dead) this.#log.close();
    } catch (error) {
      // The death of the source is found out when this step ends.
      if (!(error instanceof SimCrash)) throw error;
    }

    this.follower.act('main', () => {
      this.#socket.emit('close');
    });
    this.#socket.isClosed = true;
  }

  /** The next piece of the stream arrives; `bytes` of it, or a whole frame. */
  deliver(bytes = Infinity): void {
    const chunk = this.frames.shift();
    if (chunk === undefined || this.#isClosed || !this.follower.isUp) return;
    if (this.#socket.isPaused || this.follower.acting.has('main')) {
      this.frames.unshift(chunk);
      return;
    }

    if (bytes < chunk.length) this.frames.unshift(chunk.subarray(bytes));
    this.#events.onDeliver(this);
    this.follower.act('main', () => {
      this.#socket.emit('data', chunk.subarray(0, bytes));
    });
  }

  /** A bit of what is under way changes. @returns false where nothing is */
  flip(random: Random): boolean {
    const index = below(random, this.frames.length);
    const frame = this.frames[index];
    if (frame === undefined) return false;
    const at = below(random, frame.length);
    const changed = Buffer.from(frame);
    changed[at] = (changed[at] ?? 0) ^ (1 << below(random, 8));
    this.frames[index] = changed;
    return true;
  }

  /** What the follower has said arrives at the source. */
  async hear(): Promise<void> {
    if (!this.source.isUp) return;
    try {
      for (;;) {
        const chunk = this.#socket.sent.shift();
        if (chunk === undefined || this.#isClosed) return;
        this.#reader.push(chunk);
        for (let frame = this.#reader.next(); frame !== undefined; frame = this.#reader.next()) {
          if (frame.type === FRAME.hello) await this.#open(decodeHello(frame.payload));
          else if (frame.type === FRAME.ack) this.#takeAck(decodeAck(frame.payload));
          else this.cut();
        }
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  /** What is under way becomes records of another history. @returns false where there are none */
  forge(): boolean {
    const forged = forgeRecords(this.frames);
    if (forged === undefined) return false;
    this.frames[forged.at] = forged.frame;
    return true;
  }

  /**
   * The source sends what is next: one batch, or a mark.
   *
   * @param isEarly a mark goes first, though there may be more to send
   */
  pump(isFresh: boolean, isEarly: boolean): void {
    const {kind} = this.answer ?? {};
    if (this.#isClosed || this.frames.length >= QUEUE_MAX) return;
    if (kind !== 'follow' && kind !== 'cut') return;
    try {
      if (isFresh || this.#positions === undefined) {
        if (!this.source.isUp) throw new DiskError('DISK_UNREACHABLE', 'the disk process is gone');
        this.#positions = this.source.positions();
      }

      const positions = this.#positions;
      if (isEarly && this.#log.isOn(positions)) this.#sendMark(positions);
      const batch = this.#log.read(positions);
      if (batch?.kind === 'segment') this.frames.push(encodeSegment(batch.position, batch.bytes));
      else if (batch !== undefined) {
        const head = encodeRecordsHead(batch.position, batch.bytes);
        this.frames.push(Buffer.concat([head, batch.bytes]));
      } else if (isFresh && this.#log.isOn(positions)) this.#sendMark(positions);
      this.#sendAsk();
    } catch (error) {
      this.#fail(error);
    }
  }

  #sendMark({durable, appended: end, timeMs}: LogPositions): void {
    const text = `${durable} ${end}`;
    if (text === this.#mark) return;
    this.#mark = text;
    this.frames.push(encodeMark({durable, end, timeMs, recordMs: this.#log.timeMs}));
  }

  /** As LogServer: the question goes when everything below its position was sent. */
  #sendAsk(): void {
    const {wanted} = this.source;
    const epoch = this.source.serve?.disk.epoch;
    if (wanted === undefined || epoch === undefined || epoch !== this.#log.epoch) return;
    if (wanted.position > this.#log.position || wanted === this.#asked) return;
    this.#asked = wanted;
    this.frames.push(encodeAsk(wanted));
  }

  #takeAck(ack: Ack): void {
    const isSent = ack.received <= this.#log.position;
    this.#events.onAck(this, ack, isSent ? this.#log.epoch : undefined);
  }

  async #open(hello: Hello): Promise<void> {
    if (this.#hello !== undefined) throw new DiskError('PEER_PROTOCOL', 'a second HELLO');
    this.#hello = hello;
    const {source} = this;
    const log = {
      lineage: source.lineage,
      position: source.position,
      sizeBytes: source.shared.diskSize.get(),
    };
    const answer = await this.#log.open(hello, log);
    this.answer = answer;
    this.#events.onAnswer(this, hello, answer);
    this.frames.push(encodeAnswer(answer));
    if (answer.kind === 'follow' || answer.kind === 'cut') return;
    this.frames.push(encodeEnd({code: answer.code ?? answer.kind, text: 'that is all'}));
  }

  #fail(error: unknown): void {
    if (!(error instanceof DiskError)) throw error;
    this.#events.say(`  ${this.source.name} ends its stream: ${error.code} ${error.message}`);
    this.frames.push(encodeEnd({code: error.code, text: error.message}));
    this.answer = undefined;
  }
}
