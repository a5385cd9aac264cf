/**
 * Who may copy an image now: at most N resources of this node at once (`mars sync limit`), in the
 * order in which they began to want it. A copy that breaks off keeps its place in the order, but
 * not its turn: who can be copied meanwhile goes on.
 *
 *   state      becomes
 *   waiting    running, when fewer than N run and nobody waits who came before; gone by `leave`
 *   running    gone by `leave`; never taken back, so that a smaller N counts from the next on
 */

/** What a waiting resource waits for. */
export interface SyncWait {
  readonly limit: number;
  /** Names of the resources that go first: those that run, then those that wait. */
  readonly ahead: readonly string[];
}

export interface SyncTurn {
  readonly name: string;
  /** Since when it runs or waits; RFC 3339. */
  readonly since: string;
}

/** The order of all resources of a node that are to be copied. */
export class SyncTurns {
  readonly #limit: () => number;
  readonly #now: () => string;
  readonly #onFree: () => void;
  /** When each began to want a copy that is not complete: its place in the order. */
  readonly #places = new Map<string, number>();
  readonly #running = new Map<string, string>();
  readonly #waiting = new Map<string, string>();
  #placesGiven = 0;

  /**
   * @param limit how many may run; 0: as many as want to
   * @param now RFC 3339
   * @param onFree somebody who waits may go on
   */
  constructor(limit: () => number, now: () => string, onFree: () => void) {
    this.#limit = limit;
    this.#now = now;
    this.#onFree = onFree;
  }

  /** Takes the turn of a resource that could be copied now. @returns undefined where it has it */
  take(name: string): SyncWait | undefined {
    if (this.#running.has(name)) return undefined;
    if (!this.#places.has(name)) this.#places.set(name, (this.#placesGiven += 1));
    if (!this.#waiting.has(name)) this.#waiting.set(name, this.#now());
    const limit = this.#limit();
    const before = this.#inOrder(this.#waiting).filter((other) => this.#isBefore(other, name));
    if (limit === 0 || this.#running.size + before.length < limit) {
      this.#waiting.delete(name);
      this.#running.set(name, this.#now());
      return undefined;
    }

    return {limit, ahead: [...this.#inOrder(this.#running), ...before]};
  }

  /**
   * It is not copied now: complete, broken off, paused, without a source.
   *
   * @param isDone true: it wants no copy any more, and loses its place
   */
  leave(name: string, isDone: boolean): void {
    if (isDone) this.#places.delete(name);
    const wasWaiting = this.#waiting.delete(name);
    if (this.#running.delete(name) || wasWaiting) this.#onFree();
  }

  get running(): SyncTurn[] {
    return this.#turns(this.#running);
  }

  get waiting(): SyncTurn[] {
    return this.#turns(this.#waiting);
  }

  #turns(since: ReadonlyMap<string, string>): SyncTurn[] {
    return this.#inOrder(since).map((name) => ({name, since: since.get(name) ?? ''}));
  }

  #inOrder(names: ReadonlyMap<string, string>): string[] {
    return [...names.keys()].sort((left, right) => this.#place(left) - this.#place(right));
  }

  #isBefore(left: string, right: string): boolean {
    return this.#place(left) < this.#place(right);
  }

  #place(name: string): number {
    return this.#places.get(name) ?? Infinity;
  }
}
