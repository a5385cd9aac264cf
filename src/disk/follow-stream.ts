/**
 * One log stream, seen by the side that follows.
 *
 *   state     takes                        next
 *   hello     ANSWER, END                  streaming (follow), cutting (cut), refused (all others)
 *   cutting   nothing: the socket rests    streaming, when no batch of replay and no commit runs
 *   streaming SEGMENT, RECORDS, MARK, END
 *   refused   END
 *   ended     nothing
 *
 * Records are written as they come, so a slow disk slows the stream down. An error ends the stream:
 * what was received stays, the next one begins behind it.
 */
import type {Duplex} from 'node:stream';
import type {Clock} from '../core/clock.js';
import {DiskError, storeError} from '../core/errors.js';
import {parsePosition} from '../core/position.js';
import {FrameReader, type Frame} from '../log/frame-reader.js';
import {
  decodeAnswer,
  decodeAsk,
  decodeEnd,
  decodeMark,
  decodeRecords,
  decodeSegment,
  encodeAck,
  encodeEnd,
  encodeHello,
  FRAME,
  protocolError,
  type Ack,
  type Answer,
  type End,
} from '../log/frames.js';
import type {LineageEntry} from '../log/lineage.js';
import {PACKINGS_HERE} from '../log/packing.js';
import {isSameChain, parseChain, type Chain} from '../log/record.js';
import type {FollowLog} from './follow-log.js';
import type {FollowView} from './follow-view.js';
import {WORD, type Shared} from './shared.js';

export interface FollowStreamOptions {
  readonly log: FollowLog;
  readonly view: FollowView;
  readonly shared: Shared;
  readonly clock: Clock;
  readonly socket: Duplex;
  readonly nodeId: string;
  /** false: what is received is no part of a replica yet, and nobody may rely on it. */
  readonly confirms?: boolean;
  /** Once; `error` where the stream did not end in order. */
  readonly onEnd: (error: DiskError | undefined) => void;
}

/** How often `tick` is to be called. */
export const TICK_MS = 50;
const SILENCE_MS = 8_000;
const IDLE_ACK_MS = 1000;
const END_MS = 1000;
/**
 * So old is the newest durable position at most while the stream goes on without a rest: what is here
 * but not durable is not replayed, and does not count for who asks how far behind this replica is.
 */
const COMMIT_LATEST_MS = 150;
/** A source that does not read gets no more ACKs meanwhile. */
const ACK_BACKLOG_BYTES = 64 * 1024;

type State = 'hello' | 'cutting' | 'streaming' | 'refused' | 'ended';

/** A stream from its HELLO to its end; one at a time. */
export class FollowStream {
  readonly #options: FollowStreamOptions;
  readonly #reader = new FrameReader({reuses: true, unpacks: PACKINGS_HERE});
  #state: State = 'hello';
  #cutTo = 0;
  /** Chain value of the source where we are to go on. */
  #chain: Chain | undefined;
  #sourceLineage: readonly LineageEntry[] = [];
  #heardMs: number;
  #tickMs: number;
  #ack: Ack | undefined;
  #ackMs = 0;
  #isMoving = false;
  /** Since when something has been here that is not durable and not asked for; -1: nothing. */
  #dirtySinceMs = -1;
  #hasReceived = false;
  #limit = -1;
  /** The source waits until everything below is durable here. */
  #asked = -1;

  constructor(options: FollowStreamOptions) {
    this.#options = options;
    const {socket, log, clock, nodeId, view} = options;
    this.#heardMs = clock.monotonicMs();
    this.#tickMs = this.#heardMs;
    view.connected = true;
    // What an earlier source said of the history here must not be taken for the word of this one.
    view.answer = null;
    view.noteContact();
    socket.on('data', (chunk: Buffer) => {
      this.#take(chunk);
    });
    socket.on('error', () => {
      this.#finish();
    });
    socket.on('end', () => {
      this.#finish();
    });
    socket.on('close', () => {
      this.#finish();
    });
    socket.write(encodeHello(log.hello(nodeId)));
  }

  /** The source has given something. */
  get hasReceived(): boolean {
    return this.#hasReceived;
  }

  get state(): State {
    return this.#state;
  }

  /** What time brings: ACKs, a commit when the stream rests, the end of one that is silent. */
  tick(): void {
    if (this.#state === 'ended') return;
    const {clock} = this.#options;
    const now = clock.monotonicMs();
    // While this thread did something else nobody could have been heard.
    if (now - this.#tickMs > 2 * TICK_MS) this.#heardMs += now - this.#tickMs - TICK_MS;
    this.#tickMs = now;
    if (this.#state === 'cutting') {
      this.#heardMs = now;
      this.#guard(() => {
        this.#tryCut();
      });
    }

    if (now - this.#heardMs > SILENCE_MS) {
      this.end(new DiskError('PEER_SILENT', 'nothing came from the source for 8 s'));
      return;
    }

    this.#requestCommit(now);
    this.#signalReplay();
    this.#sendAck(now);
  }

  /** More of the log has become durable: who waits for that is told at once. */
  noteDurable(): void {
    if (this.#state === 'ended') return;
    this.#answerAsk();
    this.#requestAsked();
  }

  /** Also what was told before: whoever asks may not have got it. */
  #answerAsk(): void {
    this.#ack = undefined;
    this.#sendAck(this.#options.clock.monotonicMs());
  }

  /** Ends the stream from this side; undefined: in order. */
  end(error: DiskError | undefined): void {
    if (this.#state === 'ended') return;
    const {socket} = this.#options;
    const end: End = {code: error?.code ?? 'DONE', text: error?.message ?? 'the follower stops'};
    const destroy = (): void => {
      socket.destroy();
    };
    socket.end(encodeEnd(end), destroy);
    // A source that does not read the END is not waited for.
    setTimeout(destroy, END_MS).unref();
    this.#leave(error);
  }

  /** The other side has ended it, or it broke. */
  #finish(): void {
    if (this.#state === 'ended') return;
    this.#options.socket.destroy();
    this.#leave(undefined);
  }

  #leave(error: DiskError | undefined): void {
    this.#state = 'ended';
    const {view, socket} = this.#options;
    view.connected = false;
    // What is still under way is of no use.
    socket.removeAllListeners('data');
    socket.resume();
    this.#options.onEnd(error);
  }

  #take(chunk: Buffer): void {
    if (this.#state === 'ended') return;
    const {clock, view} = this.#options;
    this.#heardMs = clock.monotonicMs();
    view.noteContact();
    this.#guard(() => {
      this.#reader.push(chunk);
      this.#takeFrames();
    });
  }

  #takeFrames(): void {
    while (this.#state !== 'ended' && this.#state !== 'cutting') {
      const frame = this.#reader.next();
      if (frame === undefined) return;
      this.#takeFrame(frame);
    }
  }

  /** Errors of the peer and of the disk end the stream; bugs are thrown on. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      const known = storeError(error, 'write the log that is received');
      if (!(known instanceof DiskError)) throw error;
      this.end(known);
    }
  }

  #takeFrame({type, payload}: Frame): void {
    if (type === FRAME.end) {
      this.#takeEnd(decodeEnd(payload));
    } else if (this.#state === 'hello' && type === FRAME.answer) {
      this.#takeAnswer(decodeAnswer(payload));
    } else if (this.#state === 'streaming') {
      this.#takeLog(type, payload);
    } else throw protocolError(`a frame of type ${type} that was not expected`);
  }

  #takeEnd({code, text}: End): void {
    const {view} = this.#options;
    // An answer that allows nothing has told more already.
    if (this.#state === 'hello') view.answer = {kind: 'refused', code, text};
    this.#finish();
  }

  #takeAnswer(answer: Answer): void {
    const {view, log} = this.#options;
    view.noteAnswer(answer);
    if (answer.kind !== 'follow' && answer.kind !== 'cut') {
      this.#state = 'refused';
      return;
    }

    const position = parsePosition(answer.position ?? '') ?? -1;
    this.#sourceLineage = answer.lineage ?? [];
    this.#chain = parseChain(answer.chain ?? '');
    if (answer.kind === 'cut') {
      this.#cutTo = position;
      this.#tryCut();
      return;
    }

    if (position !== log.position) throw protocolError('an ANSWER for another position');
    if (this.#chain !== undefined && !isSameChain(this.#chain, log.chain)) {
      throw protocolError('an ANSWER for another history');
    }

    this.#begin();
  }

  #tryCut(): void {
    const {log, socket, view} = this.#options;
    if (!log.cut(this.#cutTo, this.#chain)) {
      this.#state = 'cutting';
      socket.pause();
      return;
    }

    view.noteCut(this.#cutTo);
    const waited = this.#state === 'cutting';
    this.#begin();
    if (!waited) return;
    this.#takeFrames();
    socket.resume();
  }

  #begin(): void {
    const {log, view} = this.#options;
    log.beginStream(this.#sourceLineage);
    view.limitDurable(log.position);
    this.#state = 'streaming';
  }

  #takeLog(type: number, payload: Buffer): void {
    const {log, view} = this.#options;
    switch (type) {
      case FRAME.segment: {
        log.takeSegment(decodeSegment(payload));
        break;
      }

      case FRAME.records: {
        const {position, records} = decodeRecords(payload);
        const {firstMs, lastMs} = log.takeRecords(position, records);
        view.noteRecords(position, firstMs, lastMs);
        this.#isMoving = true;
        this.#hasReceived = true;
        break;
      }

      case FRAME.ask: {
        const {position, durably} = decodeAsk(payload);
        if (position > log.position) throw protocolError('an ASK for what was not sent');
        if (durably) this.#asked = Math.max(this.#asked, position);
        if (!durably || position <= this.#options.shared.durable.get()) this.#answerAsk();
        else this.#requestAsked();
        break;
      }

      case FRAME.mark: {
        const mark = decodeMark(payload);
        view.noteMark(mark, log.position);
        log.noteOriginDurable(mark.durable);
        this.#hasReceived = true;
        break;
      }

      default: {
        throw protocolError(`a frame of type ${type} among records`);
      }
    }
  }

  /** Makes durable what the source waits for, and has this thread told of it. */
  #requestAsked(): void {
    const {shared} = this.#options;
    const isWanted = this.#asked > shared.durable.get();
    shared.set(WORD.durableWanted, isWanted ? 1 : 0);
    if (!isWanted) return;
    // Between the look and the word it may have become durable, unheard: then this look sees it.
    if (this.#asked <= shared.durable.get()) {
      this.#answerAsk();
      return;
    }

    shared.set(WORD.commitWanted, 1);
    shared.signal(WORD.commitSignal);
  }

  /** When the stream rests nothing more is gathered: the origin is told soon what is safe here. */
  #requestCommit(now: number): void {
    const {shared} = this.#options;
    const isMoving = this.#isMoving;
    this.#isMoving = false;
    if (shared.appended.get() <= shared.durable.get()) {
      this.#dirtySinceMs = -1;
      return;
    }

    if (this.#dirtySinceMs < 0) this.#dirtySinceMs = now;
    if (isMoving && now - this.#dirtySinceMs < COMMIT_LATEST_MS - TICK_MS) return;
    this.#dirtySinceMs = -1;
    if (shared.get(WORD.commitWanted) !== 0) return;
    shared.set(WORD.commitWanted, 1);
    shared.signal(WORD.commitSignal);
  }

  #signalReplay(): void {
    const {shared} = this.#options;
    const limit = shared.replayLimit;
    if (limit === this.#limit) return;
    this.#limit = limit;
    shared.signal(WORD.replaySignal);
  }

  #sendAck(now: number): void {
    const {log, shared, socket} = this.#options;
    if (this.#state !== 'streaming' || socket.writableLength > ACK_BACKLOG_BYTES) return;
    const from = shared.replayed.get();
    const confirms = this.#options.confirms !== false;
    const ack: Ack = {
      received: confirms ? log.position : from,
      durable: confirms ? shared.durable.get() : from,
      from,
      to: shared.replayTo.get(),
    };
    const last = this.#ack;
    const isNew =
      last === undefined ||
      last.received !== ack.received ||
      last.durable !== ack.durable ||
      last.from !== ack.from ||
      last.to !== ack.to;
    if (!isNew && now - this.#ackMs < IDLE_ACK_MS) return;
    this.#ack = ack;
    this.#ackMs = now;
    socket.write(encodeAck(ack));
  }
}
