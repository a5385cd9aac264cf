/**
 * The source's end of one log stream (docs/PROTOCOL.md): HELLO comes, ANSWER goes, then records as
 * fast as the peer, its bandwidth and the log allow, and ACKs come back.
 *
 * What is told in a MARK is told only of the history that was sent: the disk process says epoch and
 * positions together, and the source looks at its log again where the epoch is new. Else a follower
 * could take records of a lost branch for durable, and replay them.
 */
import type {Duplex} from 'node:stream';
import {assert} from '../core/assert.js';
import {systemClock, type Clock} from '../core/clock.js';
import {isDiskError} from '../core/errors.js';
import {readFrames, writeFrame, writeThrough} from '../log/frame-stream.js';
import type {Frame} from '../log/frame-reader.js';
import {
  decodeAck,
  decodeEnd,
  decodeHello,
  encodeAnswer,
  encodeAsk,
  encodeEnd,
  encodeMark,
  encodePacked,
  encodeRecordsHead,
  RECORDS_HEAD_BYTES,
  encodeSegment,
  FRAME,
  FRAME_HEADER_BYTES,
  protocolError,
  type Ack,
  type Answer,
  type Ask,
  type End,
  type Hello,
  type Mark,
} from '../log/frames.js';
import type {PackingWish} from '../core/packing-names.js';
import {Packer} from './packer.js';
import {READ_BYTES} from './segment-reader.js';
import {LogSource, type LogEnd, type LogPlace, type SourceLog} from './log-source.js';

/** What the disk process says, all at one moment. */
export interface LogPositions extends LogEnd {
  /** Durable at the origin, as far as is known here. */
  readonly durable: number;
  /** Wall clock, milliseconds since 1970. */
  readonly timeMs: number;
}

export interface ServeLogOptions {
  readonly stream: Duplex;
  readonly place: LogPlace;
  /** Asked once, when the follower says HELLO: the log from its position on is to be kept then. */
  readonly log: (hello: Hello) => Promise<SourceLog>;
  /** Asked again and again. */
  readonly positions: () => Promise<LogPositions>;
  readonly onAnswer?: (hello: Hello, answer: Answer) => void;
  /**
   * @param epoch epoch of the disk in whose history the follower has what it says; undefined where
   *   that is not known yet
   */
  readonly onAck: (ack: Ack, epoch: string | undefined) => void;
  /** Waits until so many bytes may be sent; at once where `signal` is aborted. */
  readonly takeBandwidth?: (bytes: number, signal: AbortSignal) => Promise<void>;
  /** What to compress with, asked for each piece; `none` where it is left out. */
  readonly compression?: () => PackingWish;
  readonly clock?: Clock;
  /** How long the peer may be silent. */
  readonly silenceMs?: number;
  /** How long the peer may take to read what was sent before the end, and to close its side. */
  readonly farewellMs?: number;
}

const SILENCE_MS = 8_000;
const POLL_MS = 10;
const IDLE_POLL_MS = 250;
const MARK_MS = 50;
const IDLE_MARK_MS = 1000;
const FAREWELL_MS = 5000;
/** Longest text in an END. */
const TEXT_MAX = 4000;
const CLOSED: End = {code: 'PEER_UNREACHABLE', text: 'the peer has closed the stream'};

/** Serves one follower until either side ends. */
export class LogServer {
  readonly #options: ServeLogOptions;
  readonly #clock: Clock;
  readonly #source: LogSource;
  /** One piece, with room for the head of its frame before it: so it is sent without a copy. */
  readonly #piece = Buffer.allocUnsafeSlow(RECORDS_HEAD_BYTES + READ_BYTES);
  readonly #stopping = new AbortController();
  #end: End | undefined;
  #bug: Error | undefined;
  /** Runs from the end on until the stream is closed. */
  #timer: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;
  #isKicked = false;
  #packer: Packer | undefined;
  #mark: Mark | undefined;
  /** The follower understands ASK. */
  #mayAsk = false;
  /** What a flush waits for, and the epoch of its position. */
  #asked: (Ask & {readonly epoch: string}) | undefined;
  #markedAt = -Infinity;
  #positions: LogPositions | undefined;

  constructor(options: ServeLogOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#source = new LogSource(options.place, this.#piece.subarray(RECORDS_HEAD_BYTES));
  }

  /** Position up to which records were sent. */
  get position(): number {
    return this.#source.position;
  }

  /** Something was appended, or became durable: looks now, not when the time has come. */
  kick(): void {
    this.#isKicked = true;
    this.#wake?.();
  }

  /**
   * The follower is to ACK at once when it has everything below a position; what is not sent yet is
   * sent now. A later call takes the place of one that was not sent.
   */
  ask(ask: Ask & {readonly epoch: string}): void {
    this.#asked = ask;
    this.kick();
  }

  /** Ends the stream in order, with these words for the peer. */
  stop(end: End): void {
    this.#end ??= end;
    // A peer that reads nothing, or never closes its side, does not hold us up.
    const {stream, farewellMs = FAREWELL_MS} = this.#options;
    this.#timer ??= setTimeout(() => stream.destroy(), farewellMs);
    this.#stopping.abort();
    this.kick();
  }

  /**
   * Drives the stream until it is closed.
   *
   * @returns why it ended: the words of the side that ended it, or what broke it
   */
  async run(): Promise<End> {
    const {stream, silenceMs = SILENCE_MS} = this.#options;
    // Whoever reads or writes is told; without a listener the process would end.
    stream.on('error', () => undefined);
    const frames = readFrames(stream, silenceMs);
    let reading: Promise<void> | undefined;
    try {
      const answer = await this.#answer(frames);
      reading = this.#readAcks(frames).catch((error: unknown) => {
        this.#fail(error);
      });
      if (answer === undefined) await this.#send();
      else this.stop(answer);
    } catch (error) {
      this.#fail(error);
    }

    await this.#farewell();
    await reading;
    clearTimeout(this.#timer);
    stream.destroy();
    this.#source.close();
    if (this.#bug !== undefined) throw this.#bug;
    return this.#end ?? CLOSED;
  }

  /** @returns undefined where records follow */
  async #answer(frames: AsyncGenerator<Frame, void>): Promise<End | undefined> {
    const {place, stream, compression} = this.#options;
    const {value: first} = await frames.next();
    if (first === undefined) return CLOSED;
    if (first.type !== FRAME.hello) throw protocolError(`type ${first.type} instead of a HELLO`);
    const hello = decodeHello(first.payload);
    this.#mayAsk = hello.asks === true;
    this.#packer = new Packer(compression ?? (() => 'none'), hello.compression, this.#clock);
    const answer: Answer =
      hello.resourceId === place.resourceId
        ? await this.#source.open(hello, await this.#options.log(hello))
        : {kind: 'refused', code: 'RESOURCE_UNKNOWN', text: 'this is the log of another resource'};
    this.#options.onAnswer?.(hello, answer);
    const {name} = this.#packer;
    await writeFrame(
      stream,
      encodeAnswer(name === undefined ? answer : {...answer, compression: name}),
    );
    if (answer.kind === 'follow' || answer.kind === 'cut') return undefined;
    return {code: answer.code ?? answer.kind, text: answer.text ?? `answered ${answer.kind}`};
  }

  async #readAcks(frames: AsyncGenerator<Frame, void>): Promise<void> {
    for await (const {type, payload} of frames) {
      if (type === FRAME.ack) {
        const ack = decodeAck(payload);
        // What was never sent on this stream is no word on the history that was.
        const isSent = ack.received <= this.#source.position;
        this.#options.onAck(ack, isSent ? this.#source.epoch : undefined);
      } else if (type === FRAME.end) {
        this.stop(decodeEnd(payload));
      } else {
        throw protocolError(`a frame of type ${type} from a follower`);
      }
    }

    this.stop(CLOSED);
  }

  /** Sends until the stream is stopped. */
  async #send(): Promise<void> {
    let delayMs = POLL_MS;
    while (!this.#stopping.signal.aborted) {
      this.#isKicked = false;
      const positions = await this.#options.positions();
      this.#positions = positions;
      const hasSent = await this.#sendRecords(positions);
      const ask = this.#takeAsk();
      if (ask.length > 0) await writeFrame(this.#options.stream, ...ask);
      const markMs = await this.#sendMark();
      if (hasSent && this.#source.position < positions.appended) continue;
      delayMs = hasSent ? POLL_MS : Math.min(delayMs * 1.5, IDLE_POLL_MS);
      await this.#pause(Math.min(delayMs, markMs));
    }
  }

  /** Sends what is there, for as long as the positions are fresh. @returns whether there was any */
  async #sendRecords(positions: LogPositions): Promise<boolean> {
    const {stream} = this.#options;
    const until = this.#clock.monotonicMs() + MARK_MS;
    let hasSent = false;
    while (!this.#stopping.signal.aborted) {
      const batch = this.#source.read(positions);
      if (batch === undefined) break;
      const {position, bytes} = batch;
      if (batch.kind === 'segment') {
        await this.#takeBandwidth(bytes.length);
        await writeFrame(stream, encodeSegment(position, bytes));
      } else {
        await this.#sendPiece(position, bytes);
        const ask = this.#takeAsk();
        if (ask.length > 0) await writeFrame(stream, ...ask);
      }

      hasSent = true;
      if (this.#clock.monotonicMs() >= until) break;
      // A stream that never makes us wait must not keep the thread from everybody else.
      await new Promise((resolve) => setImmediate(resolve));
    }

    return hasSent;
  }

  /** The question that is due: everything below its position was sent. */
  #takeAsk(): Buffer[] {
    const asked = this.#asked;
    const isDue = asked !== undefined && asked.position <= this.#source.position;
    if (!isDue || asked.epoch !== this.#source.epoch) return [];
    this.#asked = undefined;
    return this.#mayAsk ? [encodeAsk(asked)] : [];
  }

  /** Sends records that lie in `#piece`; nothing reads the next ones there before they have gone. */
  async #sendPiece(position: number, records: Buffer): Promise<void> {
    const {stream} = this.#options;
    const bytes = this.#piece.subarray(0, RECORDS_HEAD_BYTES + records.length);
    assert(bytes.buffer === records.buffer, 'records are read to the piece');
    bytes.writeBigUInt64LE(BigInt(position), FRAME_HEADER_BYTES);
    const payload = bytes.subarray(FRAME_HEADER_BYTES);
    const small = await this.#packer?.pack(payload);
    const sent = small?.packed.length ?? bytes.length;
    const begun = this.#clock.monotonicMs();
    await this.#takeBandwidth(sent);
    if (small === undefined) {
      encodeRecordsHead(position, records).copy(bytes);
      await writeThrough(stream, bytes);
    } else {
      const {name, packed} = small;
      await writeFrame(stream, ...encodePacked(FRAME.records, name, payload.length, packed));
    }

    this.#packer?.noteSent(sent, this.#clock.monotonicMs() - begun);
  }

  /** Waits for bandwidth; marks go on meanwhile, so that the peer knows that we live. */
  async #takeBandwidth(bytes: number): Promise<void> {
    const {takeBandwidth, positions} = this.#options;
    if (takeBandwidth === undefined) return;
    const taken = takeBandwidth(bytes, this.#stopping.signal);
    while (!(await isSettled(taken, IDLE_MARK_MS))) {
      this.#positions = await positions();
      await this.#sendMark();
    }
  }

  /** Tells the positions where they have moved, or it is time. @returns in how many ms to ask again */
  async #sendMark(): Promise<number> {
    const positions = this.#positions;
    // About another history than the one that was sent: nothing of it is to be told.
    if (positions === undefined || !this.#source.isOn(positions)) return IDLE_MARK_MS;
    const {durable, appended: end, timeMs} = positions;
    const mark: Mark = {durable, end, timeMs, recordMs: this.#source.timeMs};
    const last = this.#mark;
    const hasMoved =
      last?.durable !== durable || last.end !== end || last.recordMs !== mark.recordMs;
    const dueMs = this.#markedAt + (hasMoved ? MARK_MS : IDLE_MARK_MS) - this.#clock.monotonicMs();
    if (dueMs > 0) return dueMs;
    this.#mark = mark;
    this.#markedAt = this.#clock.monotonicMs();
    await writeFrame(this.#options.stream, encodeMark(mark));
    return IDLE_MARK_MS;
  }

  /** Waits for some milliseconds, a kick or the end. */
  async #pause(ms: number): Promise<void> {
    if (this.#isKicked || this.#stopping.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }

  /** Notes why it ended; what is no DiskError is a bug, and its owner gets it. */
  #fail(error: unknown): void {
    if (isDiskError(error)) {
      this.stop({code: error.code, text: error.message.slice(0, TEXT_MAX)});
    } else {
      this.#bug ??= error instanceof Error ? error : new Error(String(error));
      this.stop({code: 'BUG', text: 'the source has a fault'});
    }
  }

  /** Says why, and waits until the peer has got it. */
  async #farewell(): Promise<void> {
    const {stream} = this.#options;
    if (stream.destroyed || !stream.writable) return;
    await new Promise<void>((resolve) => {
      stream.once('close', resolve);
      stream.end(encodeEnd(this.#end ?? CLOSED), resolve);
    });
  }
}

/** @returns whether a promise is settled within some milliseconds */
async function isSettled(promise: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, ms, false);
  });
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
