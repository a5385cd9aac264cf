/** What replicas confirmed over their streams, with the time: newer than their facts. */
import type {Clock} from '../../core/clock.js';
import type {Ack} from './views.js';

/** So much older than the sockets say, an acknowledgement is no news. */
const FRESH_MS = 15_000;

/** The last word of each replica of one resource. */
export class Acks {
  readonly #clock: Clock;
  readonly #acks = new Map<string, {readonly ack: Ack; readonly atMs: number}>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  note(nodeId: string, ack: Ack): void {
    this.#acks.set(nodeId, {ack, atMs: this.#clock.monotonicMs()});
  }

  forget(nodeId: string): void {
    this.#acks.delete(nodeId);
  }

  /** undefined where it said nothing lately. */
  fresh(nodeId: string): Ack | undefined {
    const known = this.#acks.get(nodeId);
    return known !== undefined && this.#clock.monotonicMs() - known.atMs < FRESH_MS
      ? known.ack
      : undefined;
  }
}
