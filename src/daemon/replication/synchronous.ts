/**
 * The synchronous modes as the daemon of a primary sees them: carries what a flush waits for from
 * the disk process to the streams of the followers, and what these confirm back.
 */
import type {Clock} from '../../core/clock.js';
import type {WantLine} from '../../core/confirm-lines.js';
import type {Ack, Ask} from '../../log/frames.js';
import {formatPosition} from '../../core/position.js';
import type {LogPositions} from '../../replica/serve-log.js';
import {ConfirmLink, type ConfirmLinkOptions} from './confirm-link.js';
import {numberOf} from './replica-state.js';

/** Positions that the disk process brought by itself are good for so long. */
const FRESH_MS = 20;

/** A stream that is served to a follower. */
export interface ServedStream {
  /** The follower's node. */
  readonly nodeId: string;
  readonly stop: () => void;
  readonly ask: (ask: Ask & {readonly epoch: string}) => void;
}

/** One per resource. */
export class SynchronousServing {
  readonly #clock: Clock;
  readonly #link: ConfirmLink;
  readonly #streams = new Set<ServedStream>();
  #want: WantLine | undefined;
  #wantedMs = -Infinity;
  #asked: LogPositions | undefined;

  constructor(clock: Clock, options: Omit<ConfirmLinkOptions, 'onWant'>) {
    this.#clock = clock;
    this.#link = new ConfirmLink({
      ...options,
      onWant: (want) => {
        this.#take(want);
      },
    });
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#link.run(signal);
  }

  /** A wish has changed. */
  poke(): void {
    this.#link.poke();
  }

  /** @returns to be called when the stream has ended */
  add(stream: ServedStream): () => void {
    this.#streams.add(stream);
    return () => this.#streams.delete(stream);
  }

  /** Whether a node fetches the log from here just now. */
  isFetching(nodeId: string): boolean {
    return [...this.#streams].some((stream) => stream.nodeId === nodeId);
  }

  /** Ends all streams. */
  stopStreams(): void {
    for (const stream of this.#streams) stream.stop();
  }

  /** A follower has this much of the history of an epoch. */
  confirm(node: string, name: string, ack: Ack, epoch: string): void {
    const received = formatPosition(ack.received);
    this.#link.send({node, name, epoch, received, durable: formatPosition(ack.durable)});
  }

  /**
   * Where the log is: as the disk process has just said by itself, else as it says when asked.
   *
   * @returns never less than before of one epoch: what was said by itself may come late
   */
  async positions(ask: () => Promise<LogPositions>): Promise<LogPositions> {
    const said = this.#said();
    const asked = this.#asked;
    const isLate =
      asked !== undefined && (said?.epoch !== asked.epoch || said.appended < asked.appended);
    if (said !== undefined && !isLate) return said;
    const answer = await ask();
    this.#asked = answer;
    return answer;
  }

  #said(): LogPositions | undefined {
    const want = this.#want;
    if (want === undefined || this.#clock.monotonicMs() - this.#wantedMs > FRESH_MS) {
      return undefined;
    }

    return {
      epoch: want.epoch,
      appended: numberOf(want.appended),
      durable: numberOf(want.durable),
      timeMs: this.#clock.wallMs(),
    };
  }

  #take(want: WantLine): void {
    this.#want = want;
    this.#wantedMs = this.#clock.monotonicMs();
    const {durably, epoch} = want;
    const position = numberOf(want.position);
    for (const stream of this.#streams) stream.ask({position, durably, epoch});
  }
}
