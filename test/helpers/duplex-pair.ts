/** Two ends of a stream in memory, with back-pressure, that can lose, change and cut what passes. */
import {Duplex} from 'node:stream';

/** Looks at what passes; returns what arrives, or undefined: the connection breaks here. */
export type Passing = (chunk: Buffer, direction: 'left' | 'right') => Buffer | undefined;

class End extends Duplex {
  peer: End | undefined;
  bytes = 0;
  readonly #direction: 'left' | 'right';
  readonly #passing: Passing | undefined;
  #isWanted: (() => void) | undefined;

  constructor(direction: 'left' | 'right', passing: Passing | undefined) {
    super({highWaterMark: 65_536});
    this.#direction = direction;
    this.#passing = passing;
  }

  override _read(): void {
    const isWanted = this.#isWanted;
    this.#isWanted = undefined;
    isWanted?.();
  }

  override _write(chunk: Buffer, _: string, done: (error?: Error | null) => void): void {
    const arrives = this.#passing === undefined ? chunk : this.#passing(chunk, this.#direction);
    if (arrives === undefined) {
      done(new Error('cut'));
      return;
    }

    this.bytes += chunk.length;
    this.peer?.arrive(arrives, done);
  }

  override _final(done: () => void): void {
    this.peer?.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const {peer} = this;
    setImmediate(() => {
      if (peer?.destroyed === false && !(this.writableFinished && peer.writableFinished)) {
        peer.destroy(new Error('the other end is gone'));
      }
    });
    done(error);
  }

  arrive(chunk: Buffer, done: () => void): void {
    // A copy, as over a network: the sender may use its memory again once it was told so.
    const isMore = this.push(Buffer.from(chunk));
    if (isMore) setImmediate(done);
    else this.#isWanted = done;
  }
}

export interface DuplexPair {
  readonly left: Duplex;
  readonly right: Duplex;
  /** Bytes that were sent to the left and to the right. */
  sent(): {left: number; right: number};
}

/** Makes both ends; `passing` sees what is sent to the left and to the right. */
export function duplexPair(passing?: Passing): DuplexPair {
  const left = new End('right', passing);
  const right = new End('left', passing);
  left.peer = right;
  right.peer = left;
  return {left, right, sent: () => ({left: right.bytes, right: left.bytes})};
}
