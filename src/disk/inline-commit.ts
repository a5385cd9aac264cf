/**
 * Whether the front makes the log durable itself, or hands the flush to the commit thread.
 *
 * A flush that nobody else waits beside is answered sooner without waking another thread: on two
 * cores the wake-up costs a third of an fdatasync. But while the front is in fdatasync nothing else is
 * answered, so as soon as requests come in meanwhile, flushes go to the commit thread, which gathers
 * them; after a run in which none came the front tries again.
 *
 *   alone   commit here; the next request comes at once -> shared
 *   shared  hand over; RUN flushes in a row without a request beside them -> alone
 */
import type {Clock} from '../core/clock.js';
import type {Committer} from './committer.js';

const RUN = 32;
/** A request that is there so soon had been waiting: an answer has to reach its program first. */
const AT_ONCE_MS = 0.012;

/** Decides for each flush, by what came in beside the ones before. */
export class InlineCommit {
  readonly #committer: Committer;
  readonly #clock: Clock;
  /** Flushes to hand over before the next try. */
  #remaining = 0;
  #committedAt = -1;

  constructor(committer: Committer, clock: Clock) {
    this.#committer = committer;
    this.#clock = clock;
  }

  /** When the last commit here ended, until the next request comes; -1: none did. */
  get committedAtMs(): number {
    return this.#committedAt;
  }

  /**
   * A request came in.
   *
   * @param waiting how many flushes were handed over and wait
   * @param nowMs where the caller has looked at the clock already
   */
  noteRequest(waiting: number, nowMs?: number): void {
    if (waiting > 0) {
      this.#remaining = RUN;
    } else if (this.#committedAt >= 0) {
      if ((nowMs ?? this.#clock.monotonicMs()) - this.#committedAt < AT_ONCE_MS)
        this.#remaining = RUN;
      this.#committedAt = -1;
    }
  }

  /** @returns true where everything is durable now; else the flush is to be handed over */
  tryCommit(): boolean {
    if (this.#remaining > 0) {
      this.#remaining -= 1;
      return false;
    }

    if (this.#committer.commit() !== 'done') return false;
    this.#committedAt = this.#clock.monotonicMs();
    return true;
  }
}
