/** Two ends of a stream inside one process, with back-pressure: for a source that is no other node. */
import {Duplex} from 'node:stream';

/** Large enough that a record and its frame pass in one piece. */
const BUFFER_BYTES = 1024 * 1024;

class End extends Duplex {
  peer: End | undefined;
  #wanted: (() => void) | undefined;

  constructor() {
    super({highWaterMark: BUFFER_BYTES});
  }

  override _read(): void {
    const wanted = this.#wanted;
    this.#wanted = undefined;
    wanted?.();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.peer?.arrive(chunk, done);
  }

  override _final(done: () => void): void {
    this.peer?.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const {peer} = this;
    // Whoever still writes to this end is not held up any more.
    this._read();
    setImmediate(() => {
      if (peer !== undefined && !peer.destroyed && !peer.writableFinished) peer.destroy();
    });
    done(error);
  }

  /** @param done called when more may come */
  arrive(chunk: Buffer, done: () => void): void {
    // A copy, as over a network: the sender uses its memory again once it is told so.
    if (this.destroyed || this.push(Buffer.from(chunk))) setImmediate(done);
    else this.#wanted = done;
  }
}

/** Makes both ends: what is written to one is read from the other. */
export function localStream(): readonly [Duplex, Duplex] {
  const [left, right] = [new End(), new End()];
  left.peer = right;
  right.peer = left;
  return [left, right];
}
