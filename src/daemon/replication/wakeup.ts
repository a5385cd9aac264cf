/** A pause that can be ended from outside. */
export class Wakeup {
  readonly #waiting = new Set<() => void>();

  /** Ends all pauses under way. */
  wake(): void {
    for (const end of [...this.#waiting]) end();
  }

  /** Resolves after `ms`, at `wake`, or when `signal` is aborted. */
  wait(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        this.#waiting.delete(end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal.addEventListener('abort', end);
      this.#waiting.add(end);
    });
  }
}
