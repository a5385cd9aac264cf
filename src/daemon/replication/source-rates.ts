/**
 * How fast sources are, and when another one is worth a try. A source that is alive but slow would
 * keep a replica behind for ever though another has the log (F20).
 *
 * Measured is only what counts: the progress over a window in which we were, and stayed, far behind.
 * A source is slow where another one was faster by half, or was not tried yet: then that one has its
 * turn. So each is tried once, the fastest stays, and after a while all is forgotten and tried again.
 */

/** So long progress is looked at before it is judged. */
const WINDOW_MS = 10_000;
/** Who will have caught up within this is not far behind. */
const NEAR_MS = 10_000;
/** What was measured counts for so long. */
const MEMORY_MS = 600_000;
/** Another source has to be that much faster: streams that change for nothing help nobody. */
const FASTER = 1.5;

interface Rate {
  readonly bytesPerMs: number;
  readonly atMs: number;
}

interface Sample {
  readonly atMs: number;
  readonly doneBytes: number;
}

/** Rates of the sources of one replica, by node. */
export class SourceRates {
  readonly #windowMs: number;
  readonly #rates = new Map<string, Rate>();
  /** Until when a node counts as slow. */
  readonly #slow = new Map<string, number>();
  #current: string | undefined;
  #samples: Sample[] = [];

  constructor(windowMs = WINDOW_MS) {
    this.#windowMs = windowMs;
  }

  /** A stream from this node begins. */
  begin(nodeId: string): void {
    this.#current = nodeId;
    this.#samples = [];
  }

  /**
   * Notes how far we are, while the stream runs. Where the source turns out to be slow, it is among
   * `slow` from now on.
   *
   * @param doneBytes grows with what the source gives
   * @param missingBytes what is known to be somewhere and is not here
   * @param others nodes that could give it, too
   */
  note(doneBytes: number, missingBytes: number, others: readonly string[], nowMs: number): void {
    const current = this.#current;
    if (current === undefined) return;
    this.#samples.push({atMs: nowMs, doneBytes});
    const first = this.#samples[0];
    if (first === undefined || nowMs - first.atMs < this.#windowMs) return;
    this.#samples = this.#samples.filter(({atMs}) => nowMs - atMs < this.#windowMs);
    const bytesPerMs = Math.max(0, doneBytes - first.doneBytes) / (nowMs - first.atMs);
    // Who is not far behind gets what there is, however little that is.
    if (missingBytes <= bytesPerMs * NEAR_MS) return;
    this.#rates.set(current, {bytesPerMs, atMs: nowMs});
    const better = others.filter((other) => this.#isWorthIt(other, bytesPerMs, nowMs));
    if (better.length === 0) return;
    for (const other of better) this.#slow.delete(other);
    this.#slow.set(current, nowMs + MEMORY_MS);
  }

  /** Nodes that are not to be a source while another one can. */
  slow(nowMs: number): ReadonlySet<string> {
    for (const [nodeId, untilMs] of this.#slow) if (untilMs <= nowMs) this.#slow.delete(nodeId);
    return new Set(this.#slow.keys());
  }

  #isWorthIt(nodeId: string, bytesPerMs: number, nowMs: number): boolean {
    if (nodeId === this.#current) return false;
    const known = this.#rates.get(nodeId);
    if (known === undefined || nowMs - known.atMs > MEMORY_MS) return true;
    return known.bytesPerMs > bytesPerMs * FASTER;
  }
}
