/** The source of a log stream for tests, written from the protocol alone. */
import type {Duplex} from 'node:stream';
import {parsePosition} from '../../src/core/position.js';
import {FrameReader} from '../../src/log/frame-reader.js';
import {
  decodeAck,
  decodeEnd,
  decodeHello,
  encodeAnswer,
  encodeAsk,
  encodeMark,
  encodeRecordsHead,
  encodeSegment,
  FRAME,
  type Ack,
  type Answer,
  type End,
  type Hello,
} from '../../src/log/frames.js';
import type {SourceRecord} from './follow-rig.js';

/** A source that answers `answer` and sends all it has, or the first `atOnce` records and the rest by `send`. */
export class Source {
  hello: Hello | undefined;
  end: End | undefined;
  readonly acks: Ack[] = [];
  readonly #reader = new FrameReader();
  readonly #socket: Duplex;
  readonly #records: readonly SourceRecord[];
  readonly #answer: (hello: Hello) => Answer;
  readonly #atOnce: number;
  /** What is to be sent, in order. */
  #waiting: SourceRecord[] = [];
  #segment: SourceRecord['segment'] | undefined;

  constructor(
    socket: Duplex,
    records: readonly SourceRecord[],
    answer: (hello: Hello) => Answer = ({position}) => ({kind: 'follow', position}),
    atOnce = Infinity,
  ) {
    this.#socket = socket;
    this.#atOnce = atOnce;
    this.#records = records;
    this.#answer = answer;
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      this.#reader.push(chunk);
      for (;;) {
        const frame = this.#reader.next();
        if (frame === undefined) return;
        if (frame.type === FRAME.hello) this.#begin(decodeHello(frame.payload));
        else if (frame.type === FRAME.ack) this.acks.push(decodeAck(frame.payload));
        else if (frame.type === FRAME.end) this.end = decodeEnd(frame.payload);
      }
    });
  }

  mark(durable: number, timeMs: number, recordMs = 0): void {
    const end = this.#records.at(-1)?.end ?? 0;
    this.#socket.write(encodeMark({durable, end, timeMs, recordMs}));
  }

  ask(position: number, durably: boolean): void {
    this.#socket.write(encodeAsk({position, durably}));
  }

  #begin(hello: Hello): void {
    this.hello = hello;
    const answer = this.#answer(hello);
    this.#socket.write(encodeAnswer(answer));
    if (answer.kind !== 'follow' && answer.kind !== 'cut') return;
    const from = parsePosition(answer.position ?? '') ?? 0;
    this.#waiting = this.#records.filter(({end}) => end > from);
    this.#segment = undefined;
    this.send(this.#atOnce);
  }

  /** Sends the next `count` records. */
  send(count: number): void {
    for (const record of this.#waiting.splice(0, count)) {
      if (record.segment !== this.#segment) {
        this.#socket.write(encodeSegment(record.position, record.segment.bytes));
      }

      this.#segment = record.segment;
      this.#socket.write(encodeRecordsHead(record.position, record.bytes));
      this.#socket.write(record.bytes);
    }
  }
}
